#include "test.h"

#include "cluster/redis_record.h"

#include <stdlib.h>
#include <string.h>

static redisReply *reply_of(const char *wire)
{
    redisReader *reader = redisReaderCreate();
    redisReply *r = redis_reply_parse(reader, slice_text(wire));
    redisReaderFree(reader);
    assert_non_null(r);
    return r;
}

static void keys_are_those_of_the_contract(void **state)
{
    struct redis_keys k;
    assert_int_equal(redis_keys_init(&k, "default"), 0);
    assert_string_equal(k.stream, "sluice:{default}:stream:");
    assert_string_equal(k.node, "sluice:{default}:node:");
    assert_string_equal(k.to, "sluice:{default}:to:");
    assert_string_equal(k.next, "sluice:{default}:next:");
    assert_string_equal(k.nodes, "sluice:{default}:nodes");
    assert_string_equal(k.epoch, "sluice:{default}:epoch");
    assert_string_equal(k.version, "sluice:{default}:version");
    assert_string_equal(k.events, "sluice:{default}:events");
    static const char *const bad[] = {"", "a}b", "{", "a b", "a*", "a\r\nb", "\x80"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_true(redis_keys_init(&k, bad[i]) < 0);
}

static void owners(void **state)
{
    struct cluster_owner o;
    redisReply *r = reply_of("*5\r\n$2\r\no1\r\n$16\r\n00000000000000ff\r\n$9\r\n10.0.0.1:\r\n"
                             "$3\r\n123\r\n$4\r\nlost\r\n");
    assert_true(redis_owner_parse(r, &o));
    assert_true(o.found && o.lost && o.from_directory);
    assert_int_equal(o.epoch, 123);
    assert_int_equal(o.instance, 255);
    assert_string_equal(o.node, "o1");
    assert_string_equal(o.address, "10.0.0.1:");
    freeReplyObject(r);
    static const char *const none[] = {
        "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n",
        "*5\r\n$2\r\no1\r\n$15\r\n0000000000000ff\r\n$1\r\na\r\n$3\r\n123\r\n$4\r\nlive\r\n",
        "*5\r\n$2\r\no1\r\n$16\r\n00000000000000FF\r\n$1\r\na\r\n$3\r\n123\r\n$4\r\nlive\r\n",
        "*5\r\n$2\r\no1\r\n$16\r\n00000000000000ff\r\n$1\r\na\r\n$1\r\n0\r\n$4\r\nlive\r\n",
        ("*5\r\n$2\r\no1\r\n$16\r\n00000000000000ff\r\n$1\r\na\r\n$16\r\n9007199254740992\r\n"
         "$4\r\nlive\r\n"),
        "*5\r\n$3\r\n\r\n*\r\n$16\r\n00000000000000ff\r\n$1\r\na\r\n$3\r\n123\r\n$4\r\nlive\r\n",
        "*0\r\n",
        ":1\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        r = reply_of(none[i]);
        assert_false(redis_owner_parse(r, &o));
        assert_false(o.found);
        freeReplyObject(r);
    }
    assert_false(redis_owner_parse(NULL, &o));
}

#define OWN                                                                                        \
    "\"node\":\"o2\",\"instance\":\"9f00000000000001\",\"epoch\":\"1795404426681057\","            \
    "\"addr\":\"10.7.0.2:7000\""

static void events(void **state)
{
    struct redis_event e;
    const char *text = "{\"v\":812,\"t\":\"own\",\"stream\":\"live/cam1\"," OWN ",\"new\":[1]}";
    assert_true(redis_event_parse(slice_text(text), &e));
    assert_int_equal(e.kind, REDIS_EVENT_OWN);
    assert_int_equal(e.version, 812);
    assert_string_equal(e.stream, "live/cam1");
    assert_true(e.owner.found);
    assert_int_equal(e.owner.epoch, 1795404426681057);
    assert_int_equal(e.owner.instance, 0x9f00000000000001);
    text = "{\"v\":813,\"t\":\"end\",\"stream\":\"live/cam1\"," OWN ",\"why\":\"x\"}";
    assert_true(redis_event_parse(slice_text(text), &e));
    assert_false(e.owner.found);
    assert_int_equal(e.owner.epoch, 1795404426681057);
    assert_true(redis_event_parse(slice_text("{\"t\":\"drain\",\"node\":\"o2\"}"), &e));
    assert_int_equal(e.version, 0);

    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"t\":1}",
        "{\"t\":\"later\"," OWN "}",
        "{\"t\":\"own\"," OWN "}",
        "{\"t\":\"own\",\"stream\":\"live/../x\"," OWN "}",
        "{\"t\":\"own\",\"stream\":\"a\\r\\nb/c\"," OWN "}",
        "{\"t\":\"own\",\"stream\":\"live/cam1\",\"node\":\"o2\"}",
        ("{\"t\":\"own\",\"stream\":\"a/b\",\"node\":\"o\",\"instance\":\"9f00000000000001\","
         "\"epoch\":17,\"addr\":\"\"}"),
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        print_message("%s\n", bad[i]);
        assert_false(redis_event_parse(slice_text(bad[i]), &e));
    }
}

static void requests_go_and_come(void **state)
{
    struct buf b;
    struct redis_request q;
    buf_init(&b, 1024);
    assert_int_equal(redis_request_print(&b, "kick", "live/a", "o1"), 0);
    assert_true(redis_request_parse(buf_slice(&b), &q));
    assert_string_equal(q.verb, "kick");
    assert_string_equal(q.stream, "live/a");
    assert_string_equal(q.from, "o1");
    buf_fini(&b);
    static const char *const bad[] = {
        "{\"verb\":\"Kick\",\"stream\":\"a/b\",\"from\":\"o\"}",
        "{\"verb\":\"kick\",\"stream\":\"b\",\"from\":\"o\"}",
        "{\"verb\":\"kick\",\"stream\":\"a/b\"}",
        "{\"verb\":\"\",\"stream\":\"a/b\",\"from\":\"o\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(redis_request_parse(slice_text(bad[i]), &q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_the_contract),
        cmocka_unit_test(owners),
        cmocka_unit_test(events),
        cmocka_unit_test(requests_go_and_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
