#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/codec_info.h"
#include "proto/rtp_unpack.h"

#define PAYLOADS_MAX 16

/* Payloads as hexadecimal text, separated by "|". */
struct payloads {
    uint8_t bytes[PAYLOADS_MAX][HEX_BYTES_MAX];
    struct slice slices[PAYLOADS_MAX];
    size_t count;
};

static void read_payloads(struct payloads *p, const char *text)
{
    p->count = 0;
    for (struct slice rest = slice_text(text); p->count < PAYLOADS_MAX; p->count++) {
        bool more;
        char one[2 * HEX_BYTES_MAX];
        assert_true(slice_copy(slice_cut(rest, '|', &rest, &more), one, sizeof one));
        p->slices[p->count] = hex_bytes(one, p->bytes[p->count]);
        if (!more) {
            p->count++;
            return;
        }
    }
    fail();
}

static int unpack(struct rtp_unpacker *u, const char *text, struct rtp_unit *out)
{
    struct payloads p;
    read_payloads(&p, text);
    return rtp_unpack(u, p.slices, p.count, out);
}

static void assert_hex(struct slice is, const char *text)
{
    uint8_t want[HEX_BYTES_MAX];
    struct slice s = hex_bytes(text, want);
    assert_int_equal(is.len, s.len);
    assert_memory_equal(is.p, s.p, s.len);
}

/* A 320x240 baseline SPS and its PPS as OpenH264 writes them, in short. */
#define SPS      "67 42c01e d9014141fa100000030010000003"
#define SPS_LEN  "0012"
#define PPS      "68 ce3880"
#define PPS_LEN  "0004"
#define IDR      "65 888421"
#define IDR_LEN  "0004"
#define STAP_ALL "78" SPS_LEN SPS PPS_LEN PPS IDR_LEN IDR
#define RECORD   "01 42c01e ff e1 " SPS_LEN SPS " 01 " PPS_LEN PPS

/* --- H.264 --- */

static void h264_forms_give_the_same_unit(void **state)
{
    static const char *const forms[] = {
        SPS "|" PPS "|" IDR,
        STAP_ALL,
        "78" SPS_LEN SPS PPS_LEN PPS "|" IDR,
        "78" SPS_LEN SPS PPS_LEN PPS "| 7c 85 88 | 7c 05 84 | 7c 45 21",
        "09f0 |" SPS "|" PPS "||" IDR "| 0cffff80",
        "7c 87 42c01ed9014141fa10 | 7c 47 0000030010000003|" PPS "|" IDR,
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, forms[i], &unit), 0);
        assert_true(unit.key && unit.config_changed);
        assert_hex(slice_of(unit.bytes, unit.len), "00000004" IDR);
        assert_hex(unit.config, RECORD);
        rtp_unpacker_free(&u);
    }
}

static void h264_slices_and_sei_stay(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
    struct rtp_unit unit;
    assert_int_equal(unpack(u, STAP_ALL, &unit), 0);
    assert_int_equal(unpack(u, "06 0102 | 41 9a01 | 41 4b02", &unit), 0);
    assert_false(unit.key || unit.config_changed);
    assert_hex(unit.config, RECORD);
    assert_hex(slice_of(unit.bytes, unit.len), "00000003 060102 00000003 419a01 00000003 414b02");
    rtp_unpacker_free(&u);
}

static void h264_sets_may_come_before_the_picture(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
    struct rtp_unit unit;
    assert_int_equal(unpack(u, SPS "|" PPS, &unit), 0);
    assert_int_equal(unit.len, 0);
    assert_int_equal(unpack(u, IDR, &unit), 0);
    assert_true(unit.key && unit.config_changed);
    assert_int_equal(unpack(u, STAP_ALL, &unit), 0);
    assert_false(unit.config_changed);
    /* Another level of the same id. */
    assert_int_equal(unpack(u, "67 42c01f d901414100 |" IDR, &unit), 0);
    assert_true(unit.config_changed);
    assert_hex(unit.config, "01 42c01f ff e1 0009 6742c01fd901414100 01" PPS_LEN PPS);
    rtp_unpacker_free(&u);
}

static void h264_high_profile_has_its_format_in_the_record(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
    struct rtp_unit unit;
    /* ue: id 0, chroma 1, depths 0 and 0: 1 010 1 1 .. */
    assert_int_equal(unpack(u, "67 64001f ac8000 | 68 ee3c80 |" IDR, &unit), 0);
    assert_hex(unit.config, "01 64001f ff e1 0007 6764001fac8000 01 0004 68ee3c80 fd f8 f8 00");
    rtp_unpacker_free(&u);
}

static void h264_what_is_not_whole_is_refused(void **state)
{
    static const struct {
        const char *payloads;
        int err;
    } cases[] = {
        {IDR, ERR_NOT_FOUND},                                /* no parameter sets */
        {SPS "|" IDR, ERR_NOT_FOUND},                        /* no PPS */
        {SPS "|" PPS "| 41 4b02", ERR_PROTOCOL},             /* not the first slice */
        {SPS "|" PPS "| 7c 85 88 | 7c 05 84", ERR_PROTOCOL}, /* no end */
        {SPS "|" PPS "| 7c 05 88 | 7c 45 84", ERR_PROTOCOL}, /* no start */
        {SPS "|" PPS "| 7c 85 88 |" IDR, ERR_PROTOCOL},
        {SPS "|" PPS "| 7c 85 88 | 7c 85 88 | 7c 45 84", ERR_PROTOCOL},
        {SPS "|" PPS "| 7c c5 88", ERR_PROTOCOL}, /* start and end */
        {SPS "|" PPS "| 7c", ERR_PROTOCOL},
        {"78", ERR_PROTOCOL},
        {"78 00", ERR_PROTOCOL},
        {"78 0003 6742", ERR_PROTOCOL},
        {"78 0000", ERR_PROTOCOL},
        {"e5 8884", ERR_PROTOCOL}, /* forbidden bit */
        {"67", ERR_PROTOCOL},
        {"42 8800", ERR_UNSUPPORTED}, /* data partitioning */
        {"79 0000 0001 65", ERR_UNSUPPORTED},
        {"7d 8000 00", ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, cases[i].payloads, &unit), cases[i].err);
        rtp_unpacker_free(&u);
    }
}

/* A picture parameter set of an id from 15 to 126, as wide numbers have it. */
static int put_pps(struct rtp_unpacker *u, unsigned id, struct rtp_unit *unit)
{
    unsigned zeros = id + 1 < 32 ? 4 : id + 1 < 64 ? 5 : 6;
    unsigned code = (id + 1) << (16 - 2 * zeros - 1);
    uint8_t pps[] = {0x68, (uint8_t)(code >> 8), (uint8_t)code, 0x80};
    struct slice s = slice_of(pps, sizeof pps);
    return rtp_unpack(u, &s, 1, unit);
}

/* An encoder with a new id for each picture: the newest sets are in the configuration, as many as
 * are kept, and the one that is sent again and again with them. */
static void h264_parameter_sets_are_bounded(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
    struct rtp_unit unit;
    uint8_t big[600] = {0x67, 0x42, 0xc0, 0x1e, 0x80};
    struct slice s = slice_of(big, sizeof big);
    for (unsigned id = 15; id < 127; id++) {
        assert_int_equal(put_pps(u, id, &unit), 0);
        assert_int_equal(unpack(u, STAP_ALL, &unit), 0);
        assert_true(unit.key && unit.config_changed && unit.len == 8);
    }
    static const uint8_t newest[] = {0, 4, 0x68, 127 >> 5, (uint8_t)(127 << 3), 0x80};
    static const uint8_t first[] = {0, 4, 0x68, 0xce, 0x38, 0x80};
    assert_int_equal(unit.config.p[5], 0xe1);
    assert_non_null(memmem(unit.config.p, unit.config.len, newest, sizeof newest));
    assert_non_null(memmem(unit.config.p, unit.config.len, first, sizeof first));
    assert_int_equal(unit.config.len, 6 + 20 + 1 + 32 * 6);
    assert_int_equal(rtp_unpack(u, &s, 1, &unit), ERR_TOO_LARGE);
    rtp_unpacker_free(&u);
}

/* RFC 6184, 8.1: parameter sets that are in the offer and nowhere else. */
static void h264_parameter_sets_of_the_offer(void **state)
{
    static const struct {
        const char *sprop;
        int err;
    } cases[] = {
        {"Z0LAHtkBQUH6EAAAAwAQAAAD,aM44gA==", 0},
        {"Z0LAHtkBQUH6EAAAAwAQAAAD , aM44gA==,,=,", 0},
        {"Z0LAHtkBQUH6EAAAAwAQAAAD", ERR_NOT_FOUND},
        {"", ERR_NOT_FOUND},
        {"?,AAAA,Z0LAHtkBQUH6EAAAAwAQAAAD,ZYiEIQ==,aM44gA==", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
        struct rtp_unit unit;
        rtp_unpack_sets(u, slice_text(cases[i].sprop));
        assert_int_equal(unpack(u, IDR, &unit), cases[i].err);
        if (cases[i].err == 0) {
            assert_true(unit.key && unit.config_changed);
            assert_hex(unit.config, RECORD);
        }
        rtp_unpacker_free(&u);
    }
    struct rtp_unpacker *vp8 = rtp_unpacker_new(FLV_CODEC_VP8);
    rtp_unpack_sets(vp8, slice_text(cases[0].sprop));
    rtp_unpacker_free(&vp8);
}

static void h264_a_picture_in_fragments_of_any_size(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
    struct rtp_unit unit;
    assert_int_equal(unpack(u, STAP_ALL, &unit), 0);
    uint8_t nal[200], fragments[200][202];
    struct slice payloads[200];
    for (size_t i = 0; i < sizeof nal; i++)
        nal[i] = (uint8_t)(i * 7 + 0x80);
    nal[0] = 0x41;
    nal[1] = 0x9a;
    for (size_t size = 1; size < sizeof nal - 1; size++) {
        size_t n = 0;
        for (size_t at = 1; at < sizeof nal; n++) {
            size_t len = sizeof nal - at < size ? sizeof nal - at : size;
            fragments[n][0] = 0x5c;
            fragments[n][1] = (uint8_t)((at == 1 ? 0x80 : 0) | (at + len == sizeof nal ? 0x40 : 0) |
                                        (nal[0] & 0x1f));
            memcpy(fragments[n] + 2, nal + at, len);
            payloads[n] = slice_of(fragments[n], len + 2);
            at += len;
        }
        assert_int_equal(rtp_unpack(u, payloads, n, &unit), 0);
        assert_int_equal(unit.len, sizeof nal + 4);
        assert_memory_equal(unit.bytes + 4, nal, sizeof nal);
    }
    rtp_unpacker_free(&u);
}

/* --- VP8 --- */

#define VP8_KEY   "10 02 00 9d012a 4001 f000 aabb"
#define VP8_INTER "11 02 00 cc"

static void vp8_frames(void **state)
{
    static const struct {
        const char *payloads, *frame;
        bool key;
    } cases[] = {
        {"10" VP8_KEY, VP8_KEY, true},
        {"90 80 11" VP8_KEY, VP8_KEY, true},
        {"90 80 9123" VP8_KEY, VP8_KEY, true},
        {"90 f0 9123 07 45" VP8_KEY, VP8_KEY, true},
        {"b0 20 45" VP8_INTER, VP8_INTER, false},
        {"10 10 02 | 00 009d012a 40 || 00 01f000aabb", VP8_KEY, true},
        /* Partitions that begin in packets of their own. */
        {"10 10 02 00 9d012a 4001 f000 | 11 aa | 12 bb", VP8_KEY, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_VP8);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, cases[i].payloads, &unit), 0);
        assert_hex(slice_of(unit.bytes, unit.len), cases[i].frame);
        assert_int_equal(unit.key, cases[i].key);
        if (cases[i].key)
            assert_hex(unit.config, "01000000 00 14 82 020202 0000");
        rtp_unpacker_free(&u);
    }
}

static void vp8_what_is_not_whole_is_refused(void **state)
{
    static const char *const cases[] = {
        "00 aabb", "11 aabb",  "10 11 02 00 | 10 cc",          "10", "90 80", "90 80 81",
        "90",      "90 c0 01", "10 10 02 00 9d012b 4001 f000", /* a key frame without its start code
                                                                */
        "10 10",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_VP8);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, cases[i], &unit), ERR_PROTOCOL);
        rtp_unpacker_free(&u);
    }
}

/* --- VP9 --- */

static void vp9_frames(void **state)
{
    static const struct {
        const char *payloads, *frame;
        bool key;
    } cases[] = {
        {"0c 8249834200 13f0 0ef0 00", "824983420013f00ef000", true},
        {"8c 11 8249834200 13f0 0ef0 00", "824983420013f00ef000", true},
        {"8c 9122 8249834200 13f0 0ef0 00", "824983420013f00ef000", true},
        {"8a 9122 18 014000f0 01 04 01 8249834200 | 84 9122 13f0 0ef0 00", "824983420013f00ef000",
         true},
        {"88 9122 82498342 | 80 9122 0013f0 | 84 9122 0ef000", "824983420013f00ef000", true},
        {"4c 861122", "861122", false},
        {"dc 01 03 04 861122", "861122", false},
        {"ac 01 00 07 861122", "861122", false},
        {"bc 01 00 861122", "861122", false},
        /* Two layers: a superframe with its index. */
        {"a8 01 00 00 8611 | a4 01 00 00 22 | ac 01 02 00 86334455", "861122 86334455 c1 03 04 c1",
         false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_VP9);
        struct rtp_unit unit;
        int err = unpack(u, cases[i].payloads, &unit);
        assert_int_equal(err, 0);
        assert_hex(slice_of(unit.bytes, unit.len), cases[i].frame);
        assert_int_equal(unit.key, cases[i].key);
        if (cases[i].key)
            assert_hex(unit.config, "01000000 00 14 82 020202 0000");
        rtp_unpacker_free(&u);
    }
}

static void vp9_what_is_not_whole_is_refused(void **state)
{
    static const char *const cases[] = {
        "04 8611",
        "08 8611",
        "0c",
        "8c",
        "8c 91",
        "0c 8611 | 04 22",
        "08 8611 | 0c 22",
        "5c 03 03 03 03 8611",
        "0a 18",
        "0e 08 02 04 01 86",
        "2c 00",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_VP9);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, cases[i], &unit), ERR_PROTOCOL);
        rtp_unpacker_free(&u);
    }
}

/* --- AV1 --- */

/* The sequence header of a 320x240 stream of libaom, without its size. */
#define AV1_SEQUENCE "08 000000043cffbcdaf90040"

static void av1_key_frames(void **state)
{
    static const char *const forms[] = {
        "28 0c" AV1_SEQUENCE "30 1400a0b0",         "18" AV1_SEQUENCE "| 10 30 1400a0b0",
        "38 02 1200 0c" AV1_SEQUENCE "30 1400a0b0", "08 0c" AV1_SEQUENCE "05 30 1400a0b0",
        "68 0c" AV1_SEQUENCE "30 14 | 90 00a0b0",
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AV1);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, forms[i], &unit), 0);
        assert_true(unit.key && unit.config_changed);
        assert_hex(slice_of(unit.bytes, unit.len), "0a0b000000043cffbcdaf90040 3204 1400a0b0");
        assert_hex(unit.config, "81 00 0c 00 0a0b000000043cffbcdaf90040");
        assert_int_equal(unpack(u, "10 30 2000", &unit), 0);
        assert_false(unit.key || unit.config_changed);
        rtp_unpacker_free(&u);
    }
}

static void av1_units(void **state)
{
    static const struct {
        const char *payloads, *unit;
    } cases[] = {
        {"10 30 30aabb", "32 03 30aabb"},
        {"00 05 3030aabbcc", "32 04 30aabbcc"},
        {"10 32 03 30aabb", "32 03 30aabb"},          /* it had a size */
        {"10 34 08 30aabb", "36 08 03 30aabb"},       /* extension */
        {"20 02 1200 30 30aa", "32 02 30aa"},         /* a delimiter is left out */
        {"20 05 30 30aabbcc 7800", "32 04 30aabbcc"}, /* so is padding */
        {"50 30 30 | 90 aabb", "32 03 30aabb"},
        {"50 30 | d0 30 | 90 aabb", "32 03 30aabb"},
        {"60 02 1200 3030 | a0 02 aabb 20ccdd", "32 03 30aabb 22 02 ccdd"},
        {"40 05 3030aabbcc 02 20dd | 80 01 ee", "32 04 30aabbcc 22 02 ddee"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AV1);
        struct rtp_unit unit;
        int err = unpack(u, cases[i].payloads, &unit);
        assert_int_equal(err, 0);
        assert_hex(slice_of(unit.bytes, unit.len), cases[i].unit);
        assert_false(unit.key);
        rtp_unpacker_free(&u);
    }
}

static void av1_long_obus_move_behind_their_size(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AV1);
    struct rtp_unit unit;
    uint8_t payload[2002] = {0x10, 0x30, 0x30};
    struct slice s = slice_of(payload, sizeof payload);
    for (size_t i = 3; i < sizeof payload; i++)
        payload[i] = (uint8_t)i;
    assert_int_equal(rtp_unpack(u, &s, 1, &unit), 0);
    assert_int_equal(unit.len, 2003);
    assert_hex(slice_of(unit.bytes, 5), "32 d00f 30 03");
    assert_memory_equal(unit.bytes + 3, payload + 2, 2000);
    rtp_unpacker_free(&u);
}

static void av1_what_is_not_whole_is_refused(void **state)
{
    static const char *const cases[] = {
        "10",
        "90 aabb",
        "50 3030",
        "50 3030 | 10 30aa",
        "00 05 3030",
        "20 01 30",
        "30 02 3030",
        "00 80",
        "00 ffffffffffffffffff",
        "10 b030", /* forbidden bit */
        "10 32 04 30aabb",
        "10 32",
        "10 34",
        "00 00",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AV1);
        struct rtp_unit unit;
        assert_int_equal(unpack(u, cases[i], &unit), ERR_PROTOCOL);
        rtp_unpacker_free(&u);
    }
}

/* --- Opus --- */

static void opus_packets(void **state)
{
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_OPUS);
    struct rtp_unit unit;
    assert_int_equal(unpack(u, "78 aabb", &unit), 0);
    assert_true(unit.key && unit.config_changed);
    assert_hex(unit.config, "4f70757348656164 01 02 0000 80bb0000 0000 00");
    assert_hex(slice_of(unit.bytes, unit.len), "78aabb");
    assert_int_equal(unpack(u, "| fc cc", &unit), 0);
    assert_false(unit.config_changed);
    assert_int_equal(unpack(u, "", &unit), 0);
    assert_int_equal(unit.len, 0);
    assert_int_equal(unpack(u, "78 aa | 78 bb", &unit), ERR_PROTOCOL);
    assert_int_equal(unpack(u, "1b 3f", &unit), ERR_PROTOCOL); /* 63 frames of 60 ms */
    rtp_unpacker_free(&u);
}

static void what_begins_a_unit(void **state)
{
    static const struct {
        uint32_t codec;
        const char *payload;
        bool begins;
    } cases[] = {
        {FLV_CODEC_AVC, SPS, true},       {FLV_CODEC_AVC, "09f0", true},
        {FLV_CODEC_AVC, STAP_ALL, true},  {FLV_CODEC_AVC, IDR, false},
        {FLV_CODEC_AVC, "7c8588", false}, {FLV_CODEC_AVC, "78", false},
        {FLV_CODEC_VP8, "10aa", true},    {FLV_CODEC_VP8, "11aa", false},
        {FLV_CODEC_VP8, "00aa", false},   {FLV_CODEC_VP9, "08aa", true},
        {FLV_CODEC_VP9, "00aa", false},   {FLV_CODEC_VP9, "a8 01 02 00 aa", false},
        {FLV_CODEC_AV1, "18aa", true},    {FLV_CODEC_AV1, "10aa", false},
        {FLV_CODEC_AV1, "98aa", false},   {FLV_CODEC_OPUS, "78", true},
        {FLV_CODEC_OPUS, "", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_unpacker *u = rtp_unpacker_new(cases[i].codec);
        uint8_t bytes[HEX_BYTES_MAX];
        assert_int_equal(rtp_unpack_begins(u, hex_bytes(cases[i].payload, bytes)), cases[i].begins);
        rtp_unpacker_free(&u);
    }
}

static void codecs_that_rtp_does_not_bring(void **state)
{
    assert_null(rtp_unpacker_new(FLV_CODEC_AAC));
    assert_null(rtp_unpacker_new(FLV_CODEC_HEVC));
    struct rtp_unpacker *none = NULL;
    rtp_unpacker_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h264_forms_give_the_same_unit),
        cmocka_unit_test(h264_slices_and_sei_stay),
        cmocka_unit_test(h264_sets_may_come_before_the_picture),
        cmocka_unit_test(h264_high_profile_has_its_format_in_the_record),
        cmocka_unit_test(h264_what_is_not_whole_is_refused),
        cmocka_unit_test(h264_parameter_sets_are_bounded),
        cmocka_unit_test(h264_parameter_sets_of_the_offer),
        cmocka_unit_test(h264_a_picture_in_fragments_of_any_size),
        cmocka_unit_test(vp8_frames),
        cmocka_unit_test(vp8_what_is_not_whole_is_refused),
        cmocka_unit_test(vp9_frames),
        cmocka_unit_test(vp9_what_is_not_whole_is_refused),
        cmocka_unit_test(av1_key_frames),
        cmocka_unit_test(av1_units),
        cmocka_unit_test(av1_long_obus_move_behind_their_size),
        cmocka_unit_test(av1_what_is_not_whole_is_refused),
        cmocka_unit_test(opus_packets),
        cmocka_unit_test(what_begins_a_unit),
        cmocka_unit_test(codecs_that_rtp_does_not_bring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
