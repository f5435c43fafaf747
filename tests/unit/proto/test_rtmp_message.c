#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/rtmp_message.h"

static const struct {
    uint8_t type;
    const char *body;
    struct rtmp_control control;
} controls[] = {
    {RTMP_SET_CHUNK_SIZE, "00000001", {.value = 1}},
    {RTMP_SET_CHUNK_SIZE, "00ffffff", {.value = RTMP_CHUNK_SIZE_MAX}},
    {RTMP_ABORT, "00000007", {.value = 7}},
    {RTMP_ACK, "02bd33b0", {.value = 45953968}},
    {RTMP_WINDOW_ACK_SIZE, "00000000", {.value = 0}},
    {RTMP_SET_PEER_BANDWIDTH, "002625a0 02", {.value = 2500000, .limit = RTMP_LIMIT_DYNAMIC}},
    {RTMP_USER_CONTROL, "0000 00000001", {.value = 1, .event = RTMP_EVENT_STREAM_BEGIN}},
    {RTMP_USER_CONTROL,
     "0003 00000001 00000bb8",
     {.value = 1, .event = RTMP_EVENT_SET_BUFFER_LENGTH, .buffer_ms = 3000}},
    {RTMP_USER_CONTROL, "0006 00000d0f", {.value = 0xd0f, .event = RTMP_EVENT_PING_REQUEST}},
    {RTMP_USER_CONTROL, "0020 00000001", {.value = 1, .event = RTMP_EVENT_BUFFER_READY}},
};

static void test_control(void **state)
{
    for (size_t i = 0; i < COUNT_OF(controls); i++) {
        uint8_t room[HEX_BYTES_MAX], again[RTMP_CONTROL_BODY_MAX];
        struct slice body = hex_bytes(controls[i].body, room);
        struct rtmp_message m = {.type = controls[i].type, .body = body};
        struct rtmp_control c;
        /* What an event of the newer kind is about may be missing. */
        size_t required = controls[i].control.event == RTMP_EVENT_BUFFER_READY ? 2 : body.len;
        for (m.body.len = 0; m.body.len < required; m.body.len++)
            assert_int_equal(rtmp_control_read(&m, &c), ERR_PROTOCOL);
        m.body = body;
        assert_int_equal(rtmp_control_read(&m, &c), 0);
        assert_int_equal(c.value, controls[i].control.value);
        assert_int_equal(c.limit, controls[i].control.limit);
        assert_int_equal(c.event, controls[i].control.event);
        assert_int_equal(c.buffer_ms, controls[i].control.buffer_ms);
        struct wr w = wr_init(again, sizeof again);
        rtmp_control_write(&w, (enum rtmp_type)m.type, &c);
        assert_false(w.overflow);
        assert_true(slice_eq(wr_slice(&w), body));
    }
}

static const struct {
    uint8_t type;
    const char *body;
    int result;
} odd_controls[] = {
    {RTMP_SET_CHUNK_SIZE, "00000000", ERR_PROTOCOL},
    {RTMP_SET_CHUNK_SIZE, "01000000", ERR_PROTOCOL},
    {RTMP_SET_CHUNK_SIZE, "80000080", ERR_PROTOCOL},
    {RTMP_SET_CHUNK_SIZE, "00001000 ffff", 0}, /* bytes too many */
    {RTMP_USER_CONTROL, "001a", 0},            /* SWF verification has no argument */
    {RTMP_USER_CONTROL, "1234", 0},            /* unknown events pass */
    {RTMP_USER_CONTROL, "0007", ERR_PROTOCOL},
    {RTMP_AUDIO, "00000001", ERR_TYPE},
    {0, "00000001", ERR_TYPE},
};

static void test_odd_controls(void **state)
{
    for (size_t i = 0; i < COUNT_OF(odd_controls); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct rtmp_message m = {.type = odd_controls[i].type,
                                 .body = hex_bytes(odd_controls[i].body, room)};
        struct rtmp_control c;
        assert_int_equal(rtmp_control_read(&m, &c), odd_controls[i].result);
    }
}

static void test_aggregate(void **state)
{
    uint8_t room[HEX_BYTES_MAX];
    struct slice body = hex_bytes("08 000001 fffff0 ff 000000 aa 0000000c"
                                  "09 000000 000005 00 000000    0000000b"
                                  "12 000002 000006 00 000000 bbcc 0000000d",
                                  room);
    const struct {
        uint8_t type;
        uint32_t timestamp_ms;
        size_t len;
    } expected[] = {{RTMP_AUDIO, 1000, 1}, {RTMP_VIDEO, 1021, 0}, {RTMP_DATA, 1022, 2}};
    struct rtmp_message m = {
        .type = RTMP_AGGREGATE, .csid = 5, .sid = 1, .timestamp_ms = 1000, .body = body};
    /* 0: whole; 4: without the last back pointer. */
    for (size_t missing = 0; missing <= 4; missing += 4) {
        struct rtmp_aggregate a;
        struct rtmp_message sub;
        m.body.len = body.len - missing;
        rtmp_aggregate_init(&a, &m);
        for (size_t i = 0; i < COUNT_OF(expected); i++) {
            assert_int_equal(rtmp_aggregate_next(&a, &sub), 1);
            assert_int_equal(sub.type, expected[i].type);
            assert_int_equal(sub.timestamp_ms, expected[i].timestamp_ms);
            assert_int_equal(sub.body.len, expected[i].len);
            assert_int_equal(sub.sid, 1);
            assert_int_equal(sub.csid, 5);
        }
        assert_int_equal(rtmp_aggregate_next(&a, &sub), 0);
    }
}

static const struct {
    const char *body;
    int result;
} odd_aggregates[] = {
    {"", 0},
    {"08", ERR_PROTOCOL},
    {"08 000002 000000 00 000000 aa", ERR_PROTOCOL},       /* cut in its body */
    {"08 ffffff 000000 00 000000 aa", ERR_PROTOCOL},       /* longer than the aggregate */
    {"08 000001 000000 00 000000 aa 00", ERR_PROTOCOL},    /* cut in its back pointer */
    {"16 000000 000000 00 000000 00000000", ERR_PROTOCOL}, /* an aggregate inside */
    {"14 000000 000000 00 000000 00000000", ERR_PROTOCOL}, /* a command inside */
    {"01 000004 000000 00 000000 00000001", ERR_PROTOCOL}, /* SetChunkSize inside */
};

static void test_odd_aggregates(void **state)
{
    for (size_t i = 0; i < COUNT_OF(odd_aggregates); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct rtmp_message sub,
            m = {.type = RTMP_AGGREGATE, .body = hex_bytes(odd_aggregates[i].body, room)};
        struct rtmp_aggregate a;
        rtmp_aggregate_init(&a, &m);
        assert_int_equal(rtmp_aggregate_next(&a, &sub), odd_aggregates[i].result);
    }
}

static void test_aggregate_of_too_many(void **state)
{
    static uint8_t body[(RTMP_AGGREGATE_MAX + 1) * 15];
    for (size_t i = 0; i < sizeof body; i += 15)
        body[i] = RTMP_AUDIO;
    struct rtmp_message sub, m = {.type = RTMP_AGGREGATE, .body = slice_of(body, sizeof body)};
    struct rtmp_aggregate a;
    rtmp_aggregate_init(&a, &m);
    for (int i = 0; i < RTMP_AGGREGATE_MAX; i++)
        assert_int_equal(rtmp_aggregate_next(&a, &sub), 1);
    assert_int_equal(rtmp_aggregate_next(&a, &sub), ERR_TOO_MANY);
}

#define PUBLISH "02 0007 7075626c697368"
#define FIVE    "00 4014000000000000"
#define S1      "02 0002 7331"
#define LIVE    "02 0004 6c697665"

static const struct {
    uint8_t type;
    const char *body;
    int result;
    double transaction;
    size_t args;
} commands[] = {
    {RTMP_COMMAND, PUBLISH FIVE "05" S1 LIVE, 0, 5, 3},
    {RTMP_COMMAND_AMF3, "00" PUBLISH FIVE "05" S1 LIVE, 0, 5, 3},
    {RTMP_COMMAND_AMF3, PUBLISH FIVE "05" S1 LIVE, 0, 5, 3},
    {RTMP_COMMAND_AMF3, "00" PUBLISH "11 04 05 11 01 11 06 05 7331 11 06 09 6c697665", 0, 5, 3},
    {RTMP_COMMAND, PUBLISH FIVE "03 0001 61 05 000009" S1 LIVE, 0, 5, 3},
    {RTMP_COMMAND, PUBLISH FIVE, 0, 5, 0},
    {RTMP_COMMAND, PUBLISH, 0, 0, 0},
    {RTMP_COMMAND, "", ERR_PROTOCOL, 0, 0},
    {RTMP_COMMAND, "05", ERR_PROTOCOL, 0, 0},
    {RTMP_COMMAND, PUBLISH S1, ERR_PROTOCOL, 0, 0},
    {RTMP_COMMAND, "00" PUBLISH FIVE, ERR_PROTOCOL, 0, 0},
    {RTMP_COMMAND, PUBLISH FIVE "03 0001 61 05", ERR_PROTOCOL, 0, 0},
    {RTMP_COMMAND, PUBLISH FIVE "11 0a 0b 01", ERR_UNSUPPORTED, 0, 0},
    {RTMP_DATA, PUBLISH FIVE, ERR_TYPE, 0, 0},
};

static void test_commands(void **state)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct rtmp_message m = {.type = commands[i].type,
                                 .body = hex_bytes(commands[i].body, room)};
        struct amf0_value values[AMF0_VALUES_MAX];
        struct rtmp_command c;
        assert_int_equal(rtmp_command_read(&m, values, COUNT_OF(values), &c), commands[i].result);
        assert_true(c.transaction == commands[i].transaction);
        if (commands[i].result == 0)
            assert_true(slice_is(c.name, "publish"));
        if (commands[i].args > 0) {
            assert_true(slice_is(amf0_text(rtmp_command_arg(&c, 1)), "s1"));
            assert_true(slice_is(amf0_text(rtmp_command_arg(&c, 2)), "live"));
        }
        assert_null(rtmp_command_arg(&c, commands[i].args));
        assert_null(rtmp_command_arg(&c, SIZE_MAX));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_odd_controls),
        cmocka_unit_test(test_aggregate),
        cmocka_unit_test(test_odd_aggregates),
        cmocka_unit_test(test_aggregate_of_too_many),
        cmocka_unit_test(test_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
