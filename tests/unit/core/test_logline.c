#include "test.h"

#include "capture.h"
#include "core/json.h"
#include "core/logline.h"

#include <stdio.h>
#include <string.h>

static const struct log_id session = {"rtmp", 1, 0x2f3a};
static const struct log_id process = {"main", -1, 0};

/* One line without its time, which is checked for its shape. */
static const char *logged(struct capture *c)
{
    const char *line = capture_end(c);
    assert_true(strlen(line) > 25);
    assert_int_equal(line[4], '-');
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[19], '.');
    assert_int_equal(line[23], 'Z');
    assert_int_equal(line[24], ' ');
    return line + 25;
}

static void test_text(void **state)
{
    struct capture c;
    log_setup(LOG_INFO, false);

    capture_begin(&c);
    log_info(&session, "session.close reason=%s seconds=%.1f", "peer_closed", 12.5);
    assert_string_equal(logged(&c),
                        "info w1/rtmp#2f3a session.close reason=peer_closed seconds=12.5\n");

    capture_begin(&c);
    log_error(&process, "listen.failed why=\"%s\" address=%s", "no room", ":1935");
    assert_string_equal(logged(&c), "error main listen.failed why=\"no room\" address=:1935\n");

    capture_begin(&c);
    log_warn(&process, "node.draining");
    assert_string_equal(logged(&c), "warn main node.draining\n");
}

static void test_level(void **state)
{
    struct capture c;
    capture_begin(&c);
    log_setup(LOG_WARN, false);
    log_info(&process, "not.written");
    log_set_level(LOG_DEBUG);
    log_debug(&process, "is.written");
    assert_string_equal(logged(&c), "debug main is.written\n");

    log_setup(LOG_INFO, false);
}

/* Whatever a peer calls itself, it is one value of one line. */
static void test_injection(void **state)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"a\r\n2026 info main fake", "name=\"a\\x0d\\x0a2026 info main fake\""},
        {"\x1b[31mred", "name=\\x1b[31mred"},
        {"a\" level=\"error", "name=\"a\\\" level=\\\"error\""},
        {"a b=c", "name=\"a b=c\""},
        {"a\\x0a", "name=\"a\\\\x0a\""},
        {"\x1f=\x1f", "name=\\x1f=\\x1f"},
        {"gr\xc3\xbcn\x7f", "name=gr\\xc3\\xbcn\\x7f"},
        {"", "name=\"\""},
    };
    struct capture c;
    char want[256];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        capture_begin(&c);
        log_info(&process, "peer.hello name=%s size=%d", cases[i].name, 7);
        snprintf(want, sizeof want, "info main peer.hello %s size=7\n", cases[i].want);
        assert_string_equal(logged(&c), want);
    }
}

static json_t *logged_json(struct capture *c)
{
    const char *line = capture_end(c);
    size_t len = strlen(line);
    assert_true(len > 0 && len <= LOG_LINE_MAX && line[len - 1] == '\n');
    json_t *j = json_parse(slice_of(line, len));
    assert_non_null(j);
    return j;
}

static void assert_member(const json_t *j, const char *key, const char *want)
{
    const char *have = json_string_value(json_object_get(j, key));
    assert_non_null(have);
    assert_string_equal(have, want);
}

static void test_json(void **state)
{
    struct capture c;
    log_setup(LOG_INFO, true);
    capture_begin(&c);
    log_info(&session, "peer.hello name=%s why=\"%s\" event=%d", "x\" level=\"error\n", "no room",
             5);
    log_setup(LOG_INFO, false);
    json_t *j = logged_json(&c);
    assert_int_equal(json_object_size(j), 7);
    assert_member(j, "level", "info");
    assert_member(j, "object", "w1/rtmp#2f3a");
    assert_member(j, "event", "peer.hello");
    assert_member(j, "name", "x\" level=\"error\\x0a");
    assert_member(j, "why", "no room");
    assert_member(j, "event_", "5");
    json_decref(j);
}

static void assert_capped(const char *name)
{
    struct capture c;
    capture_begin(&c);
    log_info(&process, "peer.hello name=%s after=%d", name, 1);
    const char *line = logged(&c);
    assert_true(strlen(line) + 25 <= LOG_LINE_MAX);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);

    log_setup(LOG_INFO, true);
    capture_begin(&c);
    log_info(&process, "peer.hello name=%s after=%d", name, 1);
    log_setup(LOG_INFO, false);
    json_decref(logged_json(&c));
}

/* Every length around the limit, of characters that are written as one, two, four and five. */
static void test_cap(void **state)
{
    static const char fills[] = {'x', '"', '\n'};
    char name[3 * LOG_LINE_MAX] = "";
    for (size_t i = 0; i < COUNT_OF(fills); i++) {
        for (size_t len = LOG_LINE_MAX / 8; len < LOG_LINE_MAX + 100; len++) {
            memset(name, fills[i], len);
            name[len] = '\0';
            assert_capped(name);
        }
        memset(name, fills[i], sizeof name - 1);
        assert_capped(name);
        memset(name, 0, sizeof name);
    }
}

static void test_ids(void **state)
{
    uint32_t a = log_new_id(), b = log_new_id();
    assert_true(a != 0 && b != 0 && a != b);
}

static void test_limit(void **state)
{
    static const struct log_id id = {"test", -1, 0};
    struct log_limit limit = {0};
    struct capture c;
    log_setup(LOG_INFO, false);
    capture_begin(&c);
    for (int i = 0; i < LOG_LIMIT_PER_SECOND; i++)
        assert_true(log_limit_pass(&limit, 1000 + i, &id));
    for (int i = 0; i < 5; i++)
        assert_false(log_limit_pass(&limit, 500000, &id));
    assert_true(log_limit_pass(&limit, 1001000, &id));
    assert_true(log_limit_pass(&limit, 1001001, &id));
    const char *text = capture_end(&c);
    const char *line = strstr(text, " info test log.suppressed lines=5\n");
    assert_non_null(line);
    assert_null(strstr(strchr(line, '\n'), "log.suppressed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),      cmocka_unit_test(test_level),
        cmocka_unit_test(test_injection), cmocka_unit_test(test_json),
        cmocka_unit_test(test_cap),       cmocka_unit_test(test_ids),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
