#include "test.h"

#include "base/err.h"
#include "base/must.h"
#include "base/name.h"
#include "proto/gossip.h"

#include <stdlib.h>

static const uint8_t challenge[GOSSIP_CHALLENGE_SIZE] = "0123456789abcdef";

static const struct gossip_header header = {.type = GOSSIP_HEARTBEAT,
                                            .flags = 0x8001,
                                            .keyid = 7,
                                            .cluster = UINT64_C(0x0102030405060708),
                                            .node = UINT64_MAX,
                                            .instance = 3,
                                            .start_us = 4,
                                            .seq = 5};

static void headers(void **state)
{
    uint8_t bytes[GOSSIP_DATAGRAM_MAX + 1] = {0};
    struct wr w = wr_init(bytes, sizeof bytes);
    gossip_header_write(&w, &header);
    assert_int_equal(wr_len(&w), GOSSIP_HEADER_SIZE);
    assert_memory_equal(bytes, "LMG\x01\x01\x80\x01\x07\x01\x02\x03\x04\x05\x06\x07\x08", 16);
    struct gossip_header h;
    struct slice body;
    const size_t least = GOSSIP_HEADER_SIZE + GOSSIP_TAG_SIZE;
    assert_int_equal(gossip_header_read(slice_of(bytes, least + 9), &h, &body), 0);
    assert_int_equal(body.len, 9);
    assert_ptr_equal(body.p, bytes + GOSSIP_HEADER_SIZE);
    assert_int_equal(h.type, header.type);
    assert_int_equal(h.flags, header.flags);
    assert_int_equal(h.keyid, header.keyid);
    assert_true(h.cluster == header.cluster && h.node == header.node);
    assert_true(h.instance == 3 && h.start_us == 4 && h.seq == 5);
    for (size_t len = 0; len < least; len++)
        assert_int_equal(gossip_header_read(slice_of(bytes, len), &h, &body), ERR_PROTOCOL);
    assert_int_equal(gossip_header_read(slice_of(bytes, sizeof bytes), &h, &body), ERR_TOO_LARGE);
    static const struct {
        size_t at;
        uint8_t value;
        int want;
    } cases[] = {{0, 'l', ERR_PROTOCOL},  {2, 'S', ERR_PROTOCOL},
                 {3, 2, ERR_UNSUPPORTED}, {4, 200, 0},
                 {47, 0, ERR_PROTOCOL},   {47, 1, 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t kept = bytes[cases[i].at];
        bytes[cases[i].at] = cases[i].value;
        assert_int_equal(gossip_header_read(slice_of(bytes, least), &h, &body), cases[i].want);
        bytes[cases[i].at] = kept;
    }
}

static size_t write_all(uint8_t *bytes, size_t room)
{
    const struct gossip_hello hello = {.node = slice_text("node-1"),
                                       .relay = slice_text("10.0.0.1:1935"),
                                       .http = slice_text("10.0.0.1:8080"),
                                       .role = slice_text("origin"),
                                       .zone = slice_text("a"),
                                       .software = slice_text("1.0"),
                                       .draining = true,
                                       .load_percent = 99,
                                       .streams = 3,
                                       .viewers = 400000};
    const struct gossip_summary summary = {.version = 9, .digest = 10, .count = 11};
    const struct gossip_peer v4 = {1, 2, 3, 7946, 4, {10, 0, 0, 2}};
    const struct gossip_peer v6 = {4, 5, 6, 7947, 16, {0xfe, 0x80, [15] = 1}};
    const struct gossip_stream live = {GOSSIP_LIVE,         8, 100, 3, slice_text("publisher"),
                                       slice_text("live/a")};
    const struct gossip_stream ended = {GOSSIP_ENDED,        9, 0, 0, slice_text("unpublished"),
                                        slice_text("live/b")};
    struct wr w = wr_init(bytes, room);
    gossip_write_hello(&w, &hello);
    gossip_write_summary(&w, &summary);
    gossip_write_peer(&w, &v4);
    gossip_write_peer(&w, &v6);
    gossip_write_range(&w, 7, 9);
    gossip_write_stream(&w, &live);
    wr_bytes(&w, "\xee\x00\x02xx", 5);
    gossip_write_stream(&w, &ended);
    gossip_write_ask(&w, "live/c");
    gossip_write_challenge(&w, challenge);
    must(!w.overflow);
    return wr_len(&w);
}

static void all_fields(void **state)
{
    uint8_t bytes[GOSSIP_BODY_MAX];
    struct slice body = slice_of(bytes, write_all(bytes, sizeof bytes));
    struct gossip_message m;
    assert_int_equal(gossip_message_read(body, &m), 0);
    assert_true(slice_is(m.hello.node, "node-1") && slice_is(m.hello.relay, "10.0.0.1:1935"));
    assert_true(slice_is(m.hello.http, "10.0.0.1:8080") && slice_is(m.hello.role, "origin"));
    assert_true(slice_is(m.hello.zone, "a") && slice_is(m.hello.software, "1.0"));
    assert_true(m.hello.draining && m.hello.load_percent == 99);
    assert_true(m.hello.streams == 3 && m.hello.viewers == 400000);
    assert_true(m.has_set && m.set.version == 9 && m.set.digest == 10 && m.set.count == 11);
    assert_true(m.has_range && m.since == 7 && m.to == 9);
    assert_int_equal(m.peer_count, 2);
    assert_true(m.peers[0].node == 1 && m.peers[0].instance == 2 && m.peers[0].version == 3);
    assert_true(m.peers[0].port == 7946 && m.peers[0].host_len == 4 && m.peers[0].host[3] == 2);
    assert_true(m.peers[1].host_len == 16 && m.peers[1].host[15] == 1);
    assert_true(slice_is(m.ask, "live/c"));
    assert_memory_equal(m.challenge, challenge, sizeof challenge);
    assert_int_equal(m.stream_count, 2);
    struct rd r = rd_slice(body);
    struct gossip_stream s;
    assert_int_equal(gossip_stream_next(&r, &s), 1);
    assert_true(s.state == GOSSIP_LIVE && s.version == 8 && s.epoch == 100 && s.takeovers == 3);
    assert_true(slice_is(s.text, "publisher") && slice_is(s.name, "live/a"));
    assert_int_equal(gossip_stream_next(&r, &s), 1);
    assert_true(s.state == GOSSIP_ENDED && slice_is(s.text, "unpublished"));
    assert_int_equal(gossip_stream_next(&r, &s), 0);
}

/* Where each field ends it may be cut, and nowhere else; no byte more is read (a copy that is as
 * long as it is said to be). */
static void cut_everywhere(void **state)
{
    uint8_t bytes[GOSSIP_BODY_MAX];
    size_t len = write_all(bytes, sizeof bytes), next = 0;
    for (size_t cut = 0; cut < len; cut++) {
        bool whole = cut == next;
        if (whole)
            next = cut + GOSSIP_FIELD_HEADER + ((size_t)bytes[cut + 1] << 8) + bytes[cut + 2];
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy + 1, bytes, cut);
        struct gossip_message m;
        assert_int_equal(gossip_message_read(slice_of(copy + 1, cut), &m),
                         whole ? 0 : ERR_PROTOCOL);
        free(copy);
    }
    assert_int_equal(next, len);
}

static void refusals(void **state)
{
    static const struct {
        const char *what, *bytes;
        size_t len;
        int want;
    } cases[] = {
        {"nothing", "", 0, 0},
        {"an unknown field", "\xff\x00\x01x", 4, 0},
        {"padding", "\x00\x00\x02\x00\x00", 5, 0},
        {"a node that is none",
         "\x01\x00\x03"
         "a/b",
         6, ERR_NAME},
        {"no node", "\x01\x00\x00", 3, ERR_NAME},
        {"a control character",
         "\x02\x00\x02"
         "a\n",
         5, ERR_PROTOCOL},
        {"beyond ASCII",
         "\x05\x00\x02"
         "a\x80",
         5, ERR_PROTOCOL},
        {"a short load",
         "\x07\x00\x02"
         "aa",
         5, ERR_PROTOCOL},
        {"a long load",
         "\x07\x00\x0c"
         "aaaabbbbcccc",
         15, 0},
        {"an address of five bytes",
         "\x09\x00\x1f"
         "aaaaaaaabbbbbbbbccccccccddeeeee",
         34, ERR_PROTOCOL},
        {"a range backwards",
         "\x0a\x00\x10"
         "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1",
         19, ERR_PROTOCOL},
        {"a state",
         "\x0b\x00\x16"
         "\x03"
         "vvvvvvvveeeeeeeet\x00"
         "a/b",
         25, ERR_PROTOCOL},
        {"a stream",
         "\x0b\x00\x16"
         "\x01"
         "vvvvvvvveeeeeeeet\x00"
         "a/b",
         25, 0},
        {"a stream without name",
         "\x0b\x00\x13"
         "\x01"
         "vvvvvvvveeeeeeeet\x00",
         22, ERR_NAME},
        {"a bad name",
         "\x0b\x00\x16"
         "\x01"
         "vvvvvvvveeeeeeeet\x00"
         "a b",
         25, ERR_NAME},
        {"a long text",
         "\x0b\x00\x16"
         "\x01"
         "vvvvvvvveeeeeeeet\x04"
         "a/b",
         25, ERR_PROTOCOL},
        {"a question without name", "\x0c\x00\x00", 3, ERR_NAME},
        {"a short challenge",
         "\x0d\x00\x03"
         "abc",
         6, ERR_PROTOCOL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct gossip_message m;
        print_message("%s\n", cases[i].what);
        assert_int_equal(gossip_message_read(slice_of(cases[i].bytes, cases[i].len), &m),
                         cases[i].want);
    }
    uint8_t bytes[GOSSIP_BODY_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    const struct gossip_peer p = {.host_len = 4};
    struct gossip_message m;
    for (int i = 0; i <= GOSSIP_PEERS_MAX; i++) {
        assert_int_equal(gossip_message_read(wr_slice(&w), &m), 0);
        gossip_write_peer(&w, &p);
    }
    assert_int_equal(gossip_message_read(wr_slice(&w), &m), ERR_TOO_MANY);
}

/* Nobody is made to send more than was sent to him. */
static void an_answer_is_not_larger(void **state)
{
    char name[NAME_STREAM_MAX + 1], publisher[GOSSIP_PUBLISHER_MAX + 1];
    memset(name, 'a', sizeof name);
    memset(publisher, 'f', sizeof publisher);
    publisher[GOSSIP_PUBLISHER_MAX] = '\0';
    name[NAME_STREAM_MAX - NAME_DERIVED_MAX] = '\0';
    name[NAME_PART_MAX] = '/';
    for (size_t at = 0; at < NAME_PART_MAX; at += 127) {
        struct gossip_stream have = {.text = slice_text(publisher), .name = slice_text(name + at)};
        uint8_t bytes[GOSSIP_BODY_MAX];
        struct wr w = wr_init(bytes, sizeof bytes);
        gossip_write_ask(&w, name + at);
        assert_false(w.overflow);
        assert_true(gossip_stream_size(&have) <= wr_len(&w));
        struct gossip_message m;
        assert_int_equal(gossip_message_read(wr_slice(&w), &m), 0);
        w = wr_init(bytes, sizeof bytes);
        gossip_write_stream(&w, &have);
        assert_int_equal(wr_len(&w), gossip_stream_size(&have));
    }
}

static void sets(void **state)
{
    uint8_t bytes[512];
    struct gossip_set set = {.full = true, .instance = 5, .to = 9, .count = 2}, got;
    struct wr w = wr_init(bytes, sizeof bytes);
    gossip_set_header_write(&w, &set);
    assert_int_equal(wr_len(&w), GOSSIP_SET_HEADER_SIZE);
    for (unsigned i = 0; i < set.count; i++) {
        const struct gossip_stream s = {.version = i + 1, .epoch = 1, .name = slice_text("live/a")};
        gossip_write_stream(&w, &s);
    }
    assert_int_equal(gossip_set_read(wr_slice(&w), 2, &got), 0);
    assert_true(got.full && got.instance == 5 && got.since == 0 && got.to == 9 && got.count == 2);
    assert_int_equal(gossip_set_read(wr_slice(&w), 1, &got), ERR_TOO_MANY);
    for (size_t cut = 0; cut < wr_len(&w); cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy + 1, bytes, cut);
        assert_true(gossip_set_read(slice_of(copy + 1, cut), 2, &got) < 0);
        free(copy);
    }
    static const struct {
        size_t at;
        uint8_t value;
        int want;
    } cases[] = {{2, 'G', ERR_PROTOCOL},  {3, 9, ERR_UNSUPPORTED}, {4, 0, 0},
                 {14, 1, ERR_PROTOCOL},   {32, 1, ERR_PROTOCOL},   {32, 3, ERR_PROTOCOL},
                 {29, 0xff, ERR_PROTOCOL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t kept = bytes[cases[i].at];
        bytes[cases[i].at] = cases[i].value;
        assert_int_equal(gossip_set_read(wr_slice(&w), 2, &got), cases[i].want);
        bytes[cases[i].at] = kept;
    }
}

static void garbage_is_survived(void **state)
{
    uint64_t x = 88172645463325252;
    for (int round = 0; round < 100000; round++) {
        uint8_t bytes[GOSSIP_BODY_MAX];
        size_t len = write_all(bytes, sizeof bytes);
        for (int i = 0; i < 3; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[x % len] = (uint8_t)(x >> 32);
        }
        struct gossip_message m;
        struct gossip_stream s;
        struct rd r = rd_init(bytes, len);
        if (gossip_message_read(slice_of(bytes, len), &m) < 0)
            continue;
        size_t streams = 0;
        while (gossip_stream_next(&r, &s) > 0)
            streams++;
        assert_int_equal(streams, m.stream_count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(all_fields),
        cmocka_unit_test(cut_everywhere),
        cmocka_unit_test(refusals),
        cmocka_unit_test(an_answer_is_not_larger),
        cmocka_unit_test(sets),
        cmocka_unit_test(garbage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
