#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/rtp.h"

#include <stdio.h>

static struct rtp_packet read_ok(const char *text, uint8_t bytes[HEX_BYTES_MAX])
{
    struct rtp_packet p;
    struct slice s = hex_bytes(text, bytes);
    assert_int_equal(rtp_read(s.p, s.len, &p), 0);
    return p;
}

static void reads_a_plain_packet(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rtp_packet p = read_ok("80e0 1234 01020304 cafebabe 0a0b0c", bytes);
    assert_true(p.h.marker);
    assert_int_equal(p.h.payload_type, 96);
    assert_int_equal(p.h.seq, 0x1234);
    assert_int_equal(p.h.timestamp, 0x01020304);
    assert_int_equal(p.h.ssrc, 0xcafebabe);
    assert_int_equal(p.header_len, 12);
    assert_int_equal(p.payload.len, 3);
    assert_int_equal(p.payload.p[2], 0x0c);
}

static void reads_sources_extension_and_padding(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rtp_packet p = read_ok(
        "b2 60 0001 00000002 00000003 00000004 00000005 bede0001 10aa0000 0708 000003", bytes);
    assert_false(p.h.marker);
    assert_int_equal(p.header_len, 28);
    assert_int_equal(p.padding, 3);
    assert_int_equal(p.payload.len, 2);
    struct slice data;
    assert_true(rtp_find_ext(&p, 1, &data));
    assert_int_equal(data.len, 1);
    assert_int_equal(data.p[0], 0xaa);
}

static void a_packet_may_be_padding_only(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rtp_packet p = read_ok("a060 0001 00000002 00000003 00000004", bytes);
    assert_int_equal(p.payload.len, 0);
    assert_int_equal(p.padding, 4);
}

static void refuses_what_is_broken(void **state)
{
    static const char *const cases[] = {
        "",
        "8060 0001 00000002 000000",                     /* cut short */
        "4060 0001 00000002 00000003",                   /* version 1 */
        "8160 0001 00000002 00000003",                   /* a source is missing */
        "9060 0001 00000002 00000003 bede",              /* half an extension */
        "9060 0001 00000002 00000003 bede0002 10aa0000", /* longer than the packet */
        "a060 0001 00000002 00000003",                   /* padding without a byte */
        "a060 0001 00000002 00000003 0000",              /* of no length */
        "a060 0001 00000002 00000003 0003",              /* longer than the payload */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[HEX_BYTES_MAX];
        struct rtp_packet p;
        struct slice s = hex_bytes(cases[i], bytes);
        assert_int_equal(rtp_read(s.p, s.len, &p), ERR_PROTOCOL);
    }
}

static void finds_elements_of_both_forms(void **state)
{
    static const struct {
        const char *ext; /* profile, words, elements */
        uint8_t id;
        int len; /* -1: not found */
    } cases[] = {
        {"bede0002 10aa 2101 02 00 0000", 1, 1},
        {"bede0002 10aa 2101 02 00 0000", 2, 2},
        {"bede0002 10aa 2101 02 00 0000", 3, -1},
        {"bede0002 10aa 2101 02 00 0000", 0, -1},
        {"bede0002 0000 10aa 0000 0000", 1, 1}, /* padding before it */
        {"bede0001 f010 aa00", 1, -1},          /* id 15 stops */
        {"bede0001 33aa bbcc", 3, -1},          /* longer than the extension */
        {"10000002 0100 0203 aabbcc 00", 1, 0}, /* two-byte form; of no length */
        {"10000002 0100 0203 aabbcc 00", 2, 3},
        {"10050001 2001 aa 00", 0x20, 1}, /* with the application's bits */
        {"ffff0001 10aa0000", 1, -1},     /* another profile */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128];
        uint8_t bytes[HEX_BYTES_MAX];
        snprintf(text, sizeof text, "9060 0001 00000002 00000003 %s", cases[i].ext);
        struct rtp_packet p = read_ok(text, bytes);
        struct slice data;
        bool found = rtp_find_ext(&p, cases[i].id, &data);
        assert_int_equal(found ? (int)data.len : -1, cases[i].len);
    }
}

static void writes_what_it_reads(void **state)
{
    static const uint8_t data[RTP_EXT_DATA_MAX + 1] = {1, 2, 3};
    static const struct {
        struct rtp_ext exts[2];
        size_t count, len; /* of the header */
    } cases[] = {
        {.count = 0, .len = 12},
        {{{1, {data, 3}}}, 1, 20},
        {{{14, {data, 16}}, {3, {data, 1}}}, 2, 36},
        {{{15, {data, 1}}}, 1, 20},                 /* the two-byte form */
        {{{1, {data, 0}}, {2, {data, 17}}}, 2, 40}, /* and for lengths */
        {{{255, {data, RTP_EXT_DATA_MAX}}}, 1, 276},
    };
    const struct rtp_header h = {true, 111, 0xfffe, 0x80000001, 7};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[300];
        struct wr w = wr_init(bytes, sizeof bytes);
        assert_int_equal(rtp_write_header(&w, &h, cases[i].exts, cases[i].count), 0);
        assert_false(w.overflow);
        assert_int_equal(wr_len(&w), cases[i].len);
        struct rtp_packet p;
        assert_int_equal(rtp_read(bytes, wr_len(&w), &p), 0);
        assert_memory_equal(&p.h, &h, sizeof h);
        assert_int_equal(p.header_len, cases[i].len);
        for (size_t e = 0; e < cases[i].count; e++) {
            struct slice got;
            assert_true(rtp_find_ext(&p, cases[i].exts[e].id, &got));
            assert_true(slice_eq(got, cases[i].exts[e].data));
        }
    }
}

static void writes_no_impossible_element(void **state)
{
    static const uint8_t data[RTP_EXT_DATA_MAX + 1];
    const struct rtp_ext none = {0, {data, 1}}, large = {1, {data, sizeof data}};
    const struct rtp_header h = {0};
    uint8_t bytes[400];
    struct wr w = wr_init(bytes, sizeof bytes);
    assert_int_equal(rtp_write_header(&w, &h, &none, 1), ERR_RANGE);
    assert_int_equal(rtp_write_header(&w, &h, &large, 1), ERR_RANGE);
    assert_int_equal(wr_len(&w), 0);
}

static void numbers_go_on_over_their_wrap(void **state)
{
    assert_int_equal(rtp_unwrap16(65535, 0), 65536);
    assert_int_equal(rtp_unwrap16(65536, 65535), 65535);
    assert_int_equal(rtp_unwrap16(0, 65535), -1);
    assert_int_equal(rtp_unwrap16(70000, 4464), 70000);
    assert_int_equal(rtp_unwrap32(0x1fffffff0, 5), 0x200000005);
    assert_int_equal(rtp_unwrap32(0x200000005, 0xfffffff0), 0x1fffffff0);
}

static void tells_rtcp_from_rtp(void **state)
{
    const uint8_t sr[] = {0x80, 200}, opus[] = {0x80, 111}, marked[] = {0x80, 0x80 | 111};
    assert_true(rtp_is_rtcp(sr, 2));
    assert_false(rtp_is_rtcp(sr, 1));
    assert_false(rtp_is_rtcp(opus, 2));
    assert_false(rtp_is_rtcp(marked, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_plain_packet),
        cmocka_unit_test(reads_sources_extension_and_padding),
        cmocka_unit_test(a_packet_may_be_padding_only),
        cmocka_unit_test(refuses_what_is_broken),
        cmocka_unit_test(finds_elements_of_both_forms),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(writes_no_impossible_element),
        cmocka_unit_test(numbers_go_on_over_their_wrap),
        cmocka_unit_test(tells_rtcp_from_rtp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
