#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/rtmp_chunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX (64U << 10)

/* What a reader made of some bytes: the messages as text, and the error that ended it. */
struct outcome {
    char text[4096];
    size_t len;
    size_t messages;
    size_t copied; /* messages whose body was not in the input */
    int err;
    size_t left; /* bytes the reader would not take yet */
};

/* As TYPE/CSID/SID@TIMESTAMP:BODY, the body in hexadecimal, a long one as LENGTH and a sum. */
static void note(struct outcome *o, const struct rtmp_message *m, struct slice input)
{
    char body[32];
    uint32_t sum = 1;
    for (size_t i = 0; i < m->body.len; i++)
        sum = sum * 31 + m->body.p[i];
    if (m->body.len < sizeof body / 2)
        hex_encode(m->body.p, m->body.len, body);
    else
        snprintf(body, sizeof body, "%zu,%x", m->body.len, sum);
    o->messages++;
    if (m->body.p < input.p || m->body.p + m->body.len > input.p + input.len)
        o->copied++;
    o->len += (size_t)snprintf(o->text + o->len, sizeof o->text - o->len, "%u/%u/%u@%u:%s ",
                               m->type, m->csid, m->sid, m->timestamp_ms, body);
    assert_true(o->len < sizeof o->text);
}

/* Reads what it can of s, all of it there. */
static size_t read_some(struct rtmp_chunk_reader *cr, struct slice s, struct outcome *o)
{
    size_t at = 0;
    for (;;) {
        struct rtmp_message m;
        bool complete;
        ssize_t n = rtmp_chunk_read(cr, s.p + at, s.len - at, &m, &complete);
        if (n <= 0) {
            o->err = (int)n;
            assert_false(complete && n == 0);
            return at;
        }
        at += (size_t)n;
        assert_true(at <= s.len);
        if (complete)
            note(o, &m, s);
    }
}

/* As the network brings it: the first `cut` bytes, then all. */
static struct outcome read_cut(struct slice s, size_t cut, uint32_t message_max)
{
    struct outcome o = {.len = 0};
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, message_max);
    uint8_t *first = malloc(cut + 1);
    assert_non_null(first);
    memcpy(first, s.p, cut);
    size_t at = read_some(&cr, slice_of(first, cut), &o);
    free(first);
    if (o.err == 0)
        at += read_some(&cr, slice_of(s.p + at, s.len - at), &o);
    o.left = s.len - at;
    rtmp_chunk_reader_fini(&cr);
    return o;
}

static struct outcome read_all(struct slice s)
{
    return read_cut(s, 0, MESSAGE_MAX);
}

/* The same outcome wherever the bytes are cut in two. */
static void check_cuts(struct slice s)
{
    struct outcome whole = read_all(s);
    for (size_t cut = 1; cut <= s.len; cut++) {
        struct outcome o = read_cut(s, cut, MESSAGE_MAX);
        assert_int_equal(o.err, whole.err);
        assert_string_equal(o.text, whole.text);
    }
}

/* Headers by hand, in chunks of 128 bytes. */
static const struct {
    const char *what;
    const char *hex;
    const char *timestamps;
} timelines[] = {
    {"type 0 is absolute, also backwards",
     "04 000064 000001 08 01000000 aa  04 00000a 000001 08 01000000 aa", "100 10"},
    {"types 1 and 2 add a delta",
     "04 000064 000001 08 01000000 aa  44 000005 000001 08 aa  84 000006 aa", "100 105 111"},
    {"type 3 repeats the delta",
     "04 000064 000001 08 01000000 aa  44 000005 000001 08 aa  c4 aa  c4 aa", "100 105 110 115"},
    {"type 3 after type 0: the timestamp is the delta",
     "04 000064 000001 08 01000000 aa  c4 aa  c4 aa", "100 200 300"},
    {"type 3 after type 0 at 0", "04 000000 000001 08 01000000 aa  c4 aa", "0 0"},
    {"wrap at 2^32", "04 ffffff 000001 08 01000000 fffffff0 aa  84 000020 aa", "4294967280 16"},
    {"extended delta", "04 000001 000001 08 01000000 aa  84 ffffff 01000000 aa", "1 16777217"},
    {"extended delta repeated by type 3",
     "04 000001 000001 08 01000000 aa  84 ffffff 01000000 aa  c4 01000000 aa",
     "1 16777217 33554433"},
    {"extended delta left out of type 3",
     "04 000001 000001 08 01000000 aa  84 ffffff 01000000 aa  c4 aa  04 000002 000001 08 01000000 "
     "aa",
     "1 16777217 33554433 2"},
    {"left out of type 3, and the payload begins like it",
     "04 000001 000003 08 01000000 aabbcc  84 ffffff 01020304 aabbcc  c4 0102aa",
     "1 16909061 33818121"},
    {"a short delta after an extended one",
     "04 ffffff 000001 08 01000000 01000000 aa  84 000005 aa  c4 aa", "16777216 16777221 16777226"},
    {"0xffffff itself is extended", "04 ffffff 000001 08 01000000 00ffffff aa", "16777215"},
    {"0xfffffe is not", "04 fffffe 000001 08 01000000 aa", "16777214"},
    {"a stream may begin with type 1 (librtmp)", "42 000007 000006 04 000600000d0f", "7"},
    {"each chunk stream has its own",
     "04 000064 000001 08 01000000 aa  06 0000c8 000001 09 01000000 aa  84 000001 aa  86 000001 aa",
     "100 200 101 201"},
};

static void test_timestamps(void **state)
{
    for (size_t i = 0; i < COUNT_OF(timelines); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct slice s = hex_bytes(timelines[i].hex, room);
        struct outcome o = read_all(s);
        char got[256] = "";
        for (const char *p = strchr(o.text, '@'); p != NULL; p = strchr(p + 1, '@')) {
            size_t len = strlen(got), digits = strspn(p + 1, "0123456789");
            snprintf(got + len, sizeof got - len, "%s%.*s", len > 0 ? " " : "", (int)digits, p + 1);
        }
        if (strcmp(got, timelines[i].timestamps) != 0)
            print_error("%s: %s\n", timelines[i].what, got);
        assert_string_equal(got, timelines[i].timestamps);
        assert_int_equal(o.err, 0);
        assert_int_equal(o.left, 0);
        check_cuts(s);
    }
}

static const struct {
    const char *hex;
    uint32_t csid;
} basic_headers[] = {
    {"02", 2},        {"3f", 63},        {"00 00", 64},     {"00 ff", 319},
    {"01 00 00", 64}, {"01 ff 00", 319}, {"01 00 01", 320}, {"01 ff ff", 65599},
};

static void test_basic_headers(void **state)
{
    for (size_t i = 0; i < COUNT_OF(basic_headers); i++) {
        uint8_t room[HEX_BYTES_MAX];
        char hex[128], text[64];
        snprintf(hex, sizeof hex, "%s 000005 000000 08 04030201", basic_headers[i].hex);
        snprintf(text, sizeof text, "8/%u/16909060@5: ", basic_headers[i].csid);
        struct slice s = hex_bytes(hex, room);
        assert_string_equal(read_all(s).text, text);
        check_cuts(s);
    }
}

/* A whole stream of messages written with the writer, csid 3 to 5 by turns. */
static struct slice write_messages(uint8_t *dst, size_t room, uint32_t timestamp_ms,
                                   uint32_t chunk_size)
{
    static const uint16_t lengths[] = {0, 1, 127, 128, 129, 256, 257, 1000};
    static uint8_t body[1000];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 7);
    struct wr w = wr_init(dst, room);
    if (chunk_size != RTMP_CHUNK_SIZE_DEFAULT)
        rtmp_chunk_write_control(&w, RTMP_SET_CHUNK_SIZE,
                                 &(struct rtmp_control){.value = chunk_size});
    for (uint32_t i = 0; i < COUNT_OF(lengths); i++) {
        struct rtmp_message m = {.type = RTMP_VIDEO,
                                 .csid = 3 + i % 3,
                                 .sid = 1,
                                 .timestamp_ms = timestamp_ms + i,
                                 .body = slice_of(body, lengths[i])};
        size_t before = wr_len(&w);
        rtmp_chunk_write(&w, &m, chunk_size);
        assert_int_equal(wr_len(&w) - before, rtmp_chunk_write_size(&m, chunk_size));
    }
    assert_false(w.overflow);
    return wr_slice(&w);
}

static void test_written_is_read(void **state)
{
    static const uint32_t starts[] = {0, 0xfffff8, 0xfffffff8};
    static const uint32_t sizes[] = {RTMP_CHUNK_SIZE_DEFAULT, 1, 500, RTMP_CHUNK_SIZE_OUT};
    char expected[COUNT_OF(starts)][4096];
    for (size_t i = 0; i < COUNT_OF(starts); i++)
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            uint8_t dst[16384];
            struct slice s = write_messages(dst, sizeof dst, starts[i], sizes[j]);
            struct outcome o = read_all(s);
            assert_int_equal(o.err, 0);
            assert_int_equal(o.left, 0);
            if (j == 0)
                strcpy(expected[i], o.text);
            /* Every chunk size gives the same messages, after the one that announced it. */
            const char *media = j == 0 ? o.text : strchr(o.text, ' ') + 1;
            assert_string_equal(media, expected[i]);
            check_cuts(s);
        }
}

static void test_whole_messages_are_not_copied(void **state)
{
    uint8_t dst[16384];
    struct slice s = write_messages(dst, sizeof dst, 0, RTMP_CHUNK_SIZE_OUT);
    struct outcome o = read_all(s);
    assert_int_equal(o.messages, 9);
    assert_int_equal(o.copied, 0);
    s = write_messages(dst, sizeof dst, 0, RTMP_CHUNK_SIZE_DEFAULT);
    o = read_all(s);
    assert_int_equal(o.messages, 8);
    assert_int_equal(o.copied, 4);
}

static void test_header_and_continuation(void **state)
{
    struct rtmp_message m = {.type = RTMP_VIDEO,
                             .csid = 6,
                             .sid = 0x01020304,
                             .timestamp_ms = 0xfffffe,
                             .body = slice_of(NULL, 0x010203)};
    uint8_t out[RTMP_CHUNK_HEADER_MAX], room[HEX_BYTES_MAX];
    size_t n = rtmp_chunk_header(out, &m);
    assert_true(slice_eq(slice_of(out, n), hex_bytes("06 fffffe 010203 09 04030201", room)));
    n = rtmp_chunk_continuation(out, 6, m.timestamp_ms);
    assert_true(slice_eq(slice_of(out, n), hex_bytes("c6", room)));
    m.timestamp_ms++;
    n = rtmp_chunk_header(out, &m);
    assert_true(
        slice_eq(slice_of(out, n), hex_bytes("06 ffffff 010203 09 04030201 00ffffff", room)));
    n = rtmp_chunk_continuation(out, 6, m.timestamp_ms);
    assert_true(slice_eq(slice_of(out, n), hex_bytes("c6 00ffffff", room)));
}

#define CHUNKS_OF_1 "02 000000 000004 01 00000000 00000001 "
#define VIDEO_OF_3  "04 00000a 000003 09 01000000 aa "

static const struct {
    const char *what;
    const char *hex;
    int err;
    const char *text;
} sequences[] = {
    {"interleaved", CHUNKS_OF_1 VIDEO_OF_3 "05 000014 000002 08 01000000 11 c4 bb c5 22 c4 cc", 0,
     "1/2/0@0:00000001 8/5/1@20:1122 9/4/1@10:aabbcc "},
    {"a larger chunk size in the middle of a message",
     CHUNKS_OF_1 VIDEO_OF_3 "02 000000 000004 01 00000000 00 c2 00 c2 00 c2 80 c4 bbcc", 0,
     "1/2/0@0:00000001 1/2/0@0:00000080 9/4/1@10:aabbcc "},
    {"headers that repeat length and type continue",
     CHUNKS_OF_1 VIDEO_OF_3 "44 000005 000003 09 bb 84 000005 cc c4 aa c4 bb c4 cc", 0,
     "1/2/0@0:00000001 9/4/1@10:aabbcc 9/4/1@20:aabbcc "},
    {"Abort",
     CHUNKS_OF_1 VIDEO_OF_3 "02 000000 000004 02 00000000 00 c2 00 c2 00 c2 04 c4 aa c4 bb c4 cc",
     0, "1/2/0@0:00000001 2/2/0@0:00000004 9/4/1@20:aabbcc "},
    {"Abort of what is not there", "02 000000 000004 02 00000000 00000009", 0, "2/2/0@0:00000009 "},
    {"unknown message types", "04 000000 000001 ff 00000000 aa", 0, "255/4/0@0:aa "},
    {"empty messages", "04 000000 000000 08 01000000 c4 c4", 0, "8/4/1@0: 8/4/1@0: 8/4/1@0: "},
    {"type 3 on a new chunk stream", "c4 aa", ERR_PROTOCOL, ""},
    {"type 2 on a new chunk stream", "84 000001 aa", ERR_PROTOCOL, ""},
    {"larger than message_max", "04 000000 010001 08 01000000", ERR_TOO_LARGE, ""},
    {"the largest there is", "04 000000 ffffff 08 01000000", ERR_TOO_LARGE, ""},
    {"larger by a type 1 header", "04 000000 000001 08 01000000 aa 44 000000 010001 08",
     ERR_TOO_LARGE, "8/4/1@0:aa "},
    {"longer in the middle, type 0", CHUNKS_OF_1 VIDEO_OF_3 "04 00000a 000004 09 01000000 bb",
     ERR_PROTOCOL, "1/2/0@0:00000001 "},
    {"longer in the middle, type 1", CHUNKS_OF_1 VIDEO_OF_3 "44 000000 00ffff 09 bb", ERR_PROTOCOL,
     "1/2/0@0:00000001 "},
    {"shorter in the middle", CHUNKS_OF_1 VIDEO_OF_3 "44 000000 000001 09 bb", ERR_PROTOCOL,
     "1/2/0@0:00000001 "},
    {"another type in the middle", CHUNKS_OF_1 VIDEO_OF_3 "44 000000 000003 08 bb", ERR_PROTOCOL,
     "1/2/0@0:00000001 "},
    {"SetChunkSize 0", "02 000000 000004 01 00000000 00000000", ERR_PROTOCOL, NULL},
    {"SetChunkSize too large", "02 000000 000004 01 00000000 01000000", ERR_PROTOCOL, NULL},
    {"SetChunkSize with the top bit", "02 000000 000004 01 00000000 80000080", ERR_PROTOCOL, NULL},
    {"SetChunkSize cut short", "02 000000 000003 01 00000000 000080", ERR_PROTOCOL, NULL},
    {"Abort cut short", "02 000000 000000 02 00000000", ERR_PROTOCOL, NULL},
};

static void test_sequences(void **state)
{
    for (size_t i = 0; i < COUNT_OF(sequences); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct slice s = hex_bytes(sequences[i].hex, room);
        struct outcome o = read_all(s);
        if (sequences[i].text != NULL && strcmp(o.text, sequences[i].text) != 0)
            print_error("%s: %s\n", sequences[i].what, o.text);
        if (sequences[i].text != NULL)
            assert_string_equal(o.text, sequences[i].text);
        assert_int_equal(o.err, sequences[i].err);
        assert_true(o.err < 0 || o.left == 0);
        check_cuts(s);
    }
}

static void test_incomplete_header_changes_nothing(void **state)
{
    uint8_t room[HEX_BYTES_MAX];
    struct slice s = hex_bytes("04 ffffff 000001 08 01000000 01000000 aa", room);
    struct rtmp_chunk_reader cr, before;
    rtmp_chunk_reader_init(&cr, MESSAGE_MAX);
    before = cr;
    for (size_t len = 0; len < 16; len++) {
        struct rtmp_message m;
        bool complete;
        assert_int_equal(rtmp_chunk_read(&cr, s.p, len, &m, &complete), 0);
        assert_memory_equal(&cr, &before, sizeof cr);
    }
    rtmp_chunk_reader_fini(&cr);
}

static void set_chunk_size(struct rtmp_chunk_reader *cr, uint32_t size)
{
    uint8_t bytes[RTMP_CONTROL_SIZE_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    struct rtmp_message m;
    bool complete;
    rtmp_chunk_write_control(&w, RTMP_SET_CHUNK_SIZE, &(struct rtmp_control){.value = size});
    assert_int_equal(rtmp_chunk_read(cr, bytes, wr_len(&w), &m, &complete), wr_len(&w));
    assert_true(complete);
}

/* The beginning of a message of `len` bytes on this chunk stream: its header and so much payload.
 */
static int begin(struct rtmp_chunk_reader *cr, uint32_t csid, size_t len, size_t payload)
{
    static uint8_t bytes[RTMP_CHUNK_HEADER_MAX + MESSAGE_MAX];
    struct rtmp_message in = {.type = RTMP_VIDEO, .csid = csid, .body = slice_of(NULL, len)}, out;
    bool complete;
    size_t head = rtmp_chunk_header(bytes, &in);
    ssize_t n = rtmp_chunk_read(cr, bytes, head + payload, &out, &complete);
    if (n < 0)
        return (int)n;
    assert_int_equal(n, head + payload);
    assert_int_equal(complete, payload == len);
    return 0;
}

static void test_seventeen_unfinished_messages(void **state)
{
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, MESSAGE_MAX);
    set_chunk_size(&cr, 1);
    for (uint32_t i = 0; i < RTMP_CHUNK_STREAMS_MAX - 1; i++)
        assert_int_equal(begin(&cr, 3 + i, MESSAGE_MAX, 1), 0);
    /* The control chunk stream is idle and makes room once. */
    assert_int_equal(begin(&cr, 40, MESSAGE_MAX, 1), 0);
    assert_int_equal(begin(&cr, 41, MESSAGE_MAX, 1), ERR_TOO_MANY);
    /* What was announced costs nothing. */
    assert_int_equal(cr.held, RTMP_CHUNK_STREAMS_MAX);
    rtmp_chunk_reader_fini(&cr);
}

static void test_idle_chunk_stream_makes_room(void **state)
{
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, MESSAGE_MAX);
    for (uint32_t i = 0; i < RTMP_CHUNK_STREAMS_MAX; i++)
        assert_int_equal(begin(&cr, 3 + i, 1, 1), 0);
    assert_int_equal(begin(&cr, 3, 1, 1), 0);
    assert_int_equal(begin(&cr, 40, 1, 1), 0);
    assert_int_equal(cr.count, RTMP_CHUNK_STREAMS_MAX);
    /* 4 was idle for longest and is forgotten; 3 and 5 are not. */
    static const struct {
        uint8_t type_3;
        ssize_t result;
    } next[] = {{0xc3, 2}, {0xc5, 2}, {0xc4, ERR_PROTOCOL}};
    for (size_t i = 0; i < COUNT_OF(next); i++) {
        struct rtmp_message m;
        bool complete;
        uint8_t chunk[] = {next[i].type_3, 0xaa};
        assert_int_equal(rtmp_chunk_read(&cr, chunk, sizeof chunk, &m, &complete), next[i].result);
    }
    rtmp_chunk_reader_fini(&cr);
}

static void test_memory_follows_bytes(void **state)
{
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, 4U << 20);
    uint8_t chunk[1 + RTMP_CHUNK_SIZE_DEFAULT] = {0xc4};
    size_t received = 100;
    assert_int_equal(begin(&cr, 4, 10000, received), 0);
    assert_int_equal(cr.held, received);
    struct rtmp_message m;
    bool complete = false;
    /* The first chunk's rest, then whole ones. */
    assert_int_equal(rtmp_chunk_read(&cr, chunk + 1, 28, &m, &complete), 28);
    for (received = 128; received < 10000; received += 128) {
        ssize_t n = rtmp_chunk_read(&cr, chunk, sizeof chunk, &m, &complete);
        assert_true(n > 1);
        assert_true(cr.held <= 2 * (received + 128));
    }
    assert_true(complete);
    assert_int_equal(m.body.len, 10000);
    /* A large buffer lives until the next call only. */
    assert_int_equal(rtmp_chunk_read(&cr, chunk, 0, &m, &complete), 0);
    assert_int_equal(cr.held, 0);
    rtmp_chunk_reader_fini(&cr);
}

static void test_unfinished_bytes_are_bounded(void **state)
{
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, MESSAGE_MAX);
    set_chunk_size(&cr, MESSAGE_MAX - 1);
    /* 2 messages and 16 buffers of 4 KiB: three fit. */
    for (uint32_t csid = 3; csid < 6; csid++)
        assert_int_equal(begin(&cr, csid, MESSAGE_MAX, MESSAGE_MAX - 1), 0);
    assert_int_equal(begin(&cr, 6, MESSAGE_MAX, MESSAGE_MAX - 1), ERR_TOO_LARGE);
    assert_true(cr.held <= 2 * MESSAGE_MAX + RTMP_CHUNK_STREAMS_MAX * RTMP_CHUNK_BODY_KEPT);
    rtmp_chunk_reader_fini(&cr);
}

static void test_message_max_can_change(void **state)
{
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, 100);
    assert_int_equal(begin(&cr, 4, 100, 100), 0);
    cr.message_max = 101;
    assert_int_equal(begin(&cr, 4, 101, 101), 0);
    assert_int_equal(begin(&cr, 4, 102, 0), ERR_TOO_LARGE);
    rtmp_chunk_reader_fini(&cr);
}

/* ffmpeg 5.1 publishing with timestamps from 17,000,000 on (our own recording, its first 14,090
 * bytes): chunk size 4096 after connect, extended deltas, type 3 chunks that repeat them. */
#define CAPTURE           "vectors/ffmpeg51-exttimestamp.head.c2s.bin"
#define CAPTURE_HANDSHAKE (1 + 2 * 1536)

static void test_capture(void **state)
{
    static const struct {
        uint8_t type;
        uint32_t timestamp_ms;
        size_t len;
    } expected[] = {
        {RTMP_COMMAND, 0, 140},       {RTMP_SET_CHUNK_SIZE, 0, 4},  {RTMP_COMMAND, 0, 41},
        {RTMP_COMMAND, 0, 37},        {RTMP_COMMAND, 0, 25},        {RTMP_COMMAND, 0, 42},
        {RTMP_DATA, 0, 309},          {RTMP_VIDEO, 0, 50},          {RTMP_AUDIO, 0, 7},
        {RTMP_VIDEO, 17000000, 6889}, {RTMP_VIDEO, 17000034, 3109}, {RTMP_AUDIO, 17000046, 230},
    };
    static uint8_t bytes[16384];
    FILE *f = fopen(CAPTURE, "rb");
    assert_non_null(f);
    size_t len = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_int_equal(len, 14090);
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, MESSAGE_MAX);
    size_t at = CAPTURE_HANDSHAKE, count = 0;
    while (at < len) {
        struct rtmp_message m;
        bool complete;
        ssize_t n = rtmp_chunk_read(&cr, bytes + at, len - at, &m, &complete);
        assert_true(n > 0);
        at += (size_t)n;
        if (!complete)
            continue;
        assert_true(count < COUNT_OF(expected));
        assert_int_equal(m.type, expected[count].type);
        assert_int_equal(m.timestamp_ms, expected[count].timestamp_ms);
        assert_int_equal(m.body.len, expected[count].len);
        count++;
    }
    assert_int_equal(count, COUNT_OF(expected));
    rtmp_chunk_reader_fini(&cr);
    check_cuts(slice_of(bytes + CAPTURE_HANDSHAKE, len - CAPTURE_HANDSHAKE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_basic_headers),
        cmocka_unit_test(test_written_is_read),
        cmocka_unit_test(test_whole_messages_are_not_copied),
        cmocka_unit_test(test_header_and_continuation),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_incomplete_header_changes_nothing),
        cmocka_unit_test(test_seventeen_unfinished_messages),
        cmocka_unit_test(test_idle_chunk_stream_makes_room),
        cmocka_unit_test(test_memory_follows_bytes),
        cmocka_unit_test(test_unfinished_bytes_are_bounded),
        cmocka_unit_test(test_message_max_can_change),
        cmocka_unit_test(test_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
