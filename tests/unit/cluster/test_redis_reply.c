#include "test.h"

#include "base/err.h"
#include "cluster/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ssize_t scan_all(const char *wire, size_t len)
{
    struct redis_scan s = {0};
    return redis_scan(&s, (const uint8_t *)wire, len);
}

static void finds_the_end_of_each_kind(void **state)
{
    static const char *const wires[] = {
        "+OK\r\n",
        "+\r\n",
        "-ERR no\r\n",
        ":0\r\n",
        ":-42\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "$4\r\na\r\nb\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*3\r\n$1\r\na\r\n$-1\r\n:7\r\n",
        "*2\r\n*2\r\n$6\r\nFENCED\r\n$2\r\n17\r\n*1\r\n$2\r\nOK\r\n",
        "*2\r\n*0\r\n*1\r\n*1\r\n+x\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(wires); i++) {
        size_t len = strlen(wires[i]);
        print_message("%zu\n", i);
        assert_int_equal(scan_all(wires[i], len), len);
        redisReader *reader = redisReaderCreate();
        redisReply *reply = redis_reply_parse(reader, slice_of(wires[i], len));
        assert_non_null(reply);
        assert_int_equal(reader->pos, reader->len);
        freeReplyObject(reply);
        redisReaderFree(reader);
    }
}

/* Whatever the bytes come in, the end is found at the same place, and never before. */
static void cut_everywhere(void **state)
{
    static const char wire[] =
        "*4\r\n$2\r\nOK\r\n:12\r\n*2\r\n$5\r\na\r\n\nb\r\n+fine\r\n-ERR x\r\n+next\r\n";
    const size_t end = sizeof wire - 1 - strlen("+next\r\n");
    for (size_t cut = 0; cut < end; cut++) {
        struct redis_scan s = {0};
        assert_int_equal(redis_scan(&s, (const uint8_t *)wire, cut), 0);
        assert_int_equal(redis_scan(&s, (const uint8_t *)wire, sizeof wire - 1), end);
        assert_int_equal(s.at, 0);
    }
    struct redis_scan s = {0};
    for (size_t len = 0; len < end; len++)
        assert_int_equal(redis_scan(&s, (const uint8_t *)wire, len), 0);
    assert_int_equal(redis_scan(&s, (const uint8_t *)wire, end), end);
}

static void refuses(void **state)
{
    static const struct {
        const char *wire;
        int want;
    } cases[] = {
        {"hello\r\n", ERR_PROTOCOL},
        {"%1\r\n", ERR_PROTOCOL},
        {"+a\n", ERR_PROTOCOL},
        {":\r\n", ERR_PROTOCOL},
        {":1x\r\n", ERR_PROTOCOL},
        {":01\r\n", ERR_PROTOCOL},
        {":-0\r\n", ERR_PROTOCOL},
        {"$00\r\n\r\n", ERR_PROTOCOL},
        {":1234567890123456789\r\n", ERR_PROTOCOL},
        {":12345678901234567890123", ERR_PROTOCOL},
        {"$-2\r\n", ERR_PROTOCOL},
        {"$1\r\nabc", ERR_PROTOCOL},
        {"$1048577\r\n", ERR_TOO_LARGE},
        {"$999999999999\r\n", ERR_TOO_LARGE},
        {"*-2\r\n", ERR_PROTOCOL},
        {"*4097\r\n", ERR_TOO_MANY},
        {"*999999999\r\n", ERR_TOO_MANY},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", ERR_TOO_DEEP},
        {"$1\r\na\r\n", 7},
        {"$1", 0},
        {"*2\r\n:1\r\n", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        print_message("%s\n", cases[i].wire);
        assert_int_equal(scan_all(cases[i].wire, strlen(cases[i].wire)), cases[i].want);
    }
}

static void bounds_lines_and_replies(void **state)
{
    size_t room = REDIS_REPLY_MAX + REDIS_BULK_MAX;
    char *wire = calloc(1, room);
    assert_non_null(wire);
    memset(wire, 'x', room);
    wire[0] = '+';
    assert_int_equal(scan_all(wire, REDIS_LINE_MAX), 0);
    assert_int_equal(scan_all(wire, REDIS_LINE_MAX + 10), ERR_TOO_LARGE);
    /* Two strings that are allowed each and not together. */
    int n = snprintf(wire, room, "*2\r\n$%d\r\n", REDIS_BULK_MAX);
    size_t at = (size_t)n + REDIS_BULK_MAX;
    memcpy(wire + at, "\r\n", 2);
    at += 2;
    n = snprintf(wire + at, room - at, "$%d\r\n", 300000);
    at += (size_t)n + 300000;
    memcpy(wire + at, "\r\n", 2);
    assert_int_equal(scan_all(wire, at + 2), ERR_TOO_LARGE);
    free(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_end_of_each_kind),
        cmocka_unit_test(cut_everywhere),
        cmocka_unit_test(refuses),
        cmocka_unit_test(bounds_lines_and_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
