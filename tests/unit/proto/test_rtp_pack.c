#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/rtp_pack.h"
#include "proto/rtp_unpack.h"

#include <stdlib.h>

#define UNIT_MAX (256 * 1024)

static struct slice payload_bytes(const struct rtp_payload *p, uint8_t *dst)
{
    size_t at = 0;
    for (size_t i = 0; i < p->piece_count; i++) {
        memcpy(dst + at, p->pieces[i].p, p->pieces[i].len);
        at += p->pieces[i].len;
    }
    assert_int_equal(at, p->len);
    return slice_of(dst, at);
}

static void assert_payload(const struct rtp_packed *packed, size_t i, const char *text)
{
    uint8_t want[HEX_BYTES_MAX], have[RTP_AUDIO_MAX];
    assert_true(i < packed->count);
    struct slice w = hex_bytes(text, want), h = payload_bytes(&packed->payloads[i], have);
    assert_int_equal(h.len, w.len);
    assert_memory_equal(h.p, w.p, w.len);
}

static struct rtp_packed pack_hex(struct rtp_packer *p, const char *text, bool key)
{
    static uint8_t bytes[HEX_BYTES_MAX];
    struct rtp_packed packed;
    assert_int_equal(rtp_pack(p, hex_bytes(text, bytes), key, &packed), 0);
    return packed;
}

static struct rtp_packer *packer(uint32_t codec, const char *config)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rtp_packer *p = rtp_packer_new(codec);
    assert_non_null(p);
    if (config != NULL)
        assert_int_equal(rtp_packer_configure(p, hex_bytes(config, bytes)), 0);
    return p;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void fill(uint8_t *dst, size_t len, uint32_t *seed)
{
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)next_random(seed);
}

/* All but the last payload of what was cut have one size, and none is larger than allowed. */
static void assert_sizes(const struct rtp_packed *packed, bool equal)
{
    for (size_t i = 0; i < packed->count; i++) {
        assert_in_range(packed->payloads[i].len, 1, RTP_PAYLOAD_MAX);
        if (equal && i + 1 < packed->count)
            assert_int_equal(packed->payloads[i].len, packed->payloads[0].len);
    }
}

static void assert_unpacks(struct rtp_unpacker *u, const struct rtp_packed *packed,
                           struct slice want)
{
    static uint8_t bytes[400][RTP_AUDIO_MAX];
    struct slice payloads[400];
    struct rtp_unit unit;
    assert_true(packed->count <= COUNT_OF(payloads));
    for (size_t i = 0; i < packed->count; i++)
        payloads[i] = payload_bytes(&packed->payloads[i], bytes[i]);
    assert_int_equal(rtp_unpack(u, payloads, packed->count, &unit), 0);
    assert_int_equal(unit.len, want.len);
    assert_memory_equal(unit.bytes, want.p, want.len);
}

/* --- H.264 --- */

#define SPS    "67 42c01e d9014141fa100000030010000003"
#define PPS    "68 ce3880"
#define RECORD "01 42c01e ff e1 0012" SPS " 01 0004" PPS
#define STAP   "78 0012" SPS "0004" PPS

static void avc_key_frames_bring_their_sets(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
    struct rtp_packed packed = pack_hex(p, "00000004 65888421", true);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, STAP "0004 65888421");
    /* Not twice, and not with other frames. */
    packed = pack_hex(p, "00000012" SPS "00000004" PPS "00000004 65888421", true);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, STAP "0004 65888421");
    packed = pack_hex(p, "00000004 41888421", false);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "41888421");
    rtp_packer_free(&p);
}

static void avc_sets_go_before_a_frame_that_is_cut(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
    static uint8_t frame[4 + 3000] = {0, 0, 3000 >> 8, 3000 & 0xff, 0x65, 0x88};
    struct rtp_packed packed;
    assert_int_equal(rtp_pack(p, slice_of(frame, sizeof frame), true, &packed), 0);
    assert_int_equal(packed.count, 4);
    assert_payload(&packed, 0, STAP);
    for (size_t i = 1; i < 4; i++) {
        uint8_t bytes[RTP_AUDIO_MAX];
        struct slice s = payload_bytes(&packed.payloads[i], bytes);
        assert_int_equal(s.len, i < 3 ? 1002 : 2999 - 2000 + 2);
        assert_int_equal(s.p[0], 0x7c);
        assert_int_equal(s.p[1], i == 1 ? 0x85 : i == 2 ? 0x05 : 0x45);
    }
    /* The frame's bytes are not copied. */
    assert_ptr_equal(packed.payloads[2].pieces[1].p, frame + 5 + 1000);
    rtp_packer_free(&p);
}

static void avc_leaves_out_what_decoders_do_not_need(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
    struct rtp_packed packed = pack_hex(p,
                                        "00000002 0910"                   /* delimiter */
                                        "00000003 060580"                 /* SEI */
                                        "00000000 00000001 41"            /* empty ones */
                                        "00000003 419a01 00000003 0cff80" /* filler */
                                        "00000001 0b",
                                        false);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "419a01");
    packed = pack_hex(p, "00000002 0910", false);
    assert_int_equal(packed.count, 0);
    rtp_packer_free(&p);
}

static void avc_small_units_share_a_payload(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
    struct rtp_packed packed = pack_hex(p, "00000003 019a01 00000002 619a 00000002 419a", false);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "78 0003 019a01 0002 619a 0002 419a");
    rtp_packer_free(&p);
}

static void avc_b_slices_are_told(void **state)
{
    static const struct {
        const char *frame;
        bool is_b;
    } cases[] = {
        {"00000003 419a01", false},                 /* first_mb 0, slice_type 5: P */
        {"00000003 019e01", true},                  /* slice_type 6: B */
        {"00000003 01a801", true},                  /* slice_type 1: B */
        {"00000003 41e001", false},                 /* slice_type 0: P */
        {"00000003 41b001", false},                 /* slice_type 2: I */
        {"00000003 419a01 00000003 015301", false}, /* first_mb 1, then P */
        {"00000003 659e01", false},                 /* an IDR picture has none */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
        if (pack_hex(p, cases[i].frame, false).bidirectional != cases[i].is_b)
            fail_msg("%s", cases[i].frame);
        rtp_packer_free(&p);
    }
}

static void avc_refuses_what_is_broken(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rtp_packed packed;
    struct rtp_packer *p = packer(FLV_CODEC_AVC, NULL);
    assert_int_equal(rtp_pack(p, hex_bytes("00000001 41", bytes), false, &packed), ERR_NOT_FOUND);
    assert_int_equal(rtp_packer_configure(p, hex_bytes("01 42c01e ff e1 0012 67", bytes)),
                     ERR_PROTOCOL);
    assert_int_equal(rtp_packer_configure(p, hex_bytes("02 42c01e ff e0 00", bytes)), ERR_PROTOCOL);
    assert_int_equal(rtp_packer_configure(p, hex_bytes(RECORD, bytes)), 0);
    assert_int_equal(rtp_pack(p, hex_bytes("00000003 4188", bytes), false, &packed), ERR_PROTOCOL);
    assert_int_equal(rtp_pack(p, hex_bytes("00000002 4188 00", bytes), true, &packed),
                     ERR_PROTOCOL);
    rtp_packer_free(&p);
    assert_null(rtp_packer_new(FLV_CODEC_AAC));
}

static void avc_too_many_units_are_refused(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
    struct rtp_packed packed;
    uint8_t *frame = calloc(RTP_PACK_UNITS_MAX + 1, 6);
    for (size_t i = 0; i <= RTP_PACK_UNITS_MAX; i++) {
        frame[i * 6 + 3] = 2;
        frame[i * 6 + 4] = 0x41;
    }
    assert_int_equal(rtp_pack(p, slice_of(frame, RTP_PACK_UNITS_MAX * 6), false, &packed), 0);
    assert_int_equal(rtp_pack(p, slice_of(frame, (RTP_PACK_UNITS_MAX + 1) * 6), false, &packed),
                     ERR_TOO_MANY);
    free(frame);
    rtp_packer_free(&p);
}

static void avc_comes_back(void **state)
{
    static uint8_t frame[UNIT_MAX];
    uint32_t seed = 1;
    struct rtp_packer *p = packer(FLV_CODEC_AVC, RECORD);
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AVC);
    for (int round = 0; round < 400; round++) {
        bool key = round % 10 == 0;
        size_t len = 0;
        unsigned nals = 1 + next_random(&seed) % 5;
        for (unsigned i = 0; i < nals; i++) {
            size_t n = 3 + next_random(&seed) % (round % 2 ? 300 : 6000);
            put_u32(frame + len, (uint32_t)n);
            fill(frame + len + 4, n, &seed);
            frame[len + 4] = key ? 0x65 : 0x41;
            frame[len + 5] = i == 0 ? 0x88 : 0x48; /* first_mb 0 begins a picture */
            len += 4 + n;
        }
        struct rtp_packed packed;
        assert_int_equal(rtp_pack(p, slice_of(frame, len), key, &packed), 0);
        assert_sizes(&packed, nals == 1 && !key);
        assert_unpacks(u, &packed, slice_of(frame, len));
    }
    rtp_packer_free(&p);
    rtp_unpacker_free(&u);
}

/* --- H.265 --- */

#define VPS5 "4001 0c01ff"
#define SPS5 "4201 0101600000"
#define PPS5 "4401 c172b0"
#define HVCC                                                                                       \
    "01 01 60000000 900000000000 5d f000 fc fd f8 f8 0000 0f 03 a0 0001 0005" VPS5                 \
    "a1 0001 0007" SPS5 "a2 0001 0005" PPS5

static void hevc_key_frames_bring_their_sets(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_HEVC, HVCC);
    struct rtp_packed packed = pack_hex(p, "00000004 2601af11", true);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "6001 0005" VPS5 "0007" SPS5 "0005" PPS5 "0004 2601af11");
    packed = pack_hex(p, "00000003 460150 00000004 4e010500 00000004 0201d011", false);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "0201d011");
    rtp_packer_free(&p);
}

static void hevc_large_units_are_cut(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_HEVC, HVCC);
    static uint8_t frame[4 + 2402] = {0, 0, 2402 >> 8, 2402 & 0xff, 0x02, 0x01, 0xd0};
    struct rtp_packed packed;
    assert_int_equal(rtp_pack(p, slice_of(frame, sizeof frame), false, &packed), 0);
    assert_int_equal(packed.count, 3);
    assert_sizes(&packed, true);
    for (size_t i = 0; i < 3; i++) {
        uint8_t bytes[RTP_AUDIO_MAX];
        struct slice s = payload_bytes(&packed.payloads[i], bytes);
        assert_int_equal(s.len, 803);
        assert_int_equal(s.p[0], 49 << 1);
        assert_int_equal(s.p[1], 1);
        assert_int_equal(s.p[2], i == 0 ? 0x81 : i == 1 ? 0x01 : 0x41);
    }
    rtp_packer_free(&p);
}

/* --- the others --- */

static void vp8_begins_once_and_counts_pictures(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_VP8, NULL);
    static uint8_t frame[2000] = {1};
    struct rtp_packed packed;
    for (unsigned i = 0; i < 0x8002; i++) {
        uint8_t bytes[RTP_AUDIO_MAX];
        assert_int_equal(rtp_pack(p, slice_of(frame, sizeof frame), false, &packed), 0);
        assert_int_equal(packed.count, 2);
        struct slice s = payload_bytes(&packed.payloads[0], bytes);
        const uint8_t want[] = {0x90, 0x80, (uint8_t)(0x80 | (i >> 8 & 0x7f)), (uint8_t)i};
        assert_memory_equal(s.p, want, 4);
        s = payload_bytes(&packed.payloads[1], bytes);
        assert_int_equal(s.p[0], 0x80);
    }
    rtp_packer_free(&p);
}

static void vp9_says_where_pictures_begin_and_end(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_VP9, NULL);
    struct rtp_packed packed = pack_hex(p, "8249", true);
    assert_payload(&packed, 0, "8c 8000 8249");
    packed = pack_hex(p, "8600", false);
    assert_payload(&packed, 0, "cc 8001 8600");
    rtp_packer_free(&p);
}

static void opus_is_one_payload(void **state)
{
    static const uint8_t large[RTP_AUDIO_MAX + 1];
    struct rtp_packer *p = packer(FLV_CODEC_OPUS, NULL);
    struct rtp_packed packed = pack_hex(p, "fcfffe", false);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "fcfffe");
    assert_int_equal(rtp_pack(p, slice_of(large, RTP_AUDIO_MAX), false, &packed), 0);
    assert_int_equal(packed.count, 1);
    assert_int_equal(rtp_pack(p, slice_of(large, sizeof large), false, &packed), ERR_TOO_LARGE);
    assert_int_equal(rtp_pack(p, slice_of(large, 0), false, &packed), 0);
    assert_int_equal(packed.count, 0);
    rtp_packer_free(&p);
}

static void av1_obus_lose_their_sizes(void **state)
{
    struct rtp_packer *p = packer(FLV_CODEC_AV1, "81 040c00 0a03 000000");
    /* Delimiter, frame: alone in its payload. */
    struct rtp_packed packed = pack_hex(p, "1200 3204 30010203", false);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "10 30 30010203");
    /* A key frame with its sequence header, then one that gets it. */
    packed = pack_hex(p, "0a03 000000 3204 10010203", true);
    assert_int_equal(packed.count, 1);
    assert_payload(&packed, 0, "08 8400 08000000 8500 30 10010203");
    packed = pack_hex(p, "3204 10010203", true);
    assert_payload(&packed, 0, "08 8400 08000000 8500 30 10010203");
    packed = pack_hex(p, "1200", false);
    assert_int_equal(packed.count, 0);
    rtp_packer_free(&p);
}

static void av1_refuses_what_is_broken(void **state)
{
    static const char *const cases[] = {
        "3205 30010203", "32", "b200", "32ffffffffffffffffff", "3280808080808080808000", "36"};
    struct rtp_packer *p = packer(FLV_CODEC_AV1, NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[HEX_BYTES_MAX];
        struct rtp_packed packed;
        assert_int_equal(rtp_pack(p, hex_bytes(cases[i], bytes), false, &packed), ERR_PROTOCOL);
    }
    rtp_packer_free(&p);
}

static size_t put_obu(uint8_t *dst, unsigned type, size_t body, uint32_t *seed)
{
    size_t at = 0;
    dst[at++] = (uint8_t)(type << 3 | 2);
    size_t n = body;
    for (; n >= 0x80; n >>= 7)
        dst[at++] = (uint8_t)(0x80 | n);
    dst[at++] = (uint8_t)n;
    fill(dst + at, body, seed);
    dst[at] = 0x30; /* an inter frame */
    return at + body;
}

static void av1_comes_back(void **state)
{
    static uint8_t frame[UNIT_MAX];
    uint32_t seed = 2;
    struct rtp_packer *p = packer(FLV_CODEC_AV1, NULL);
    struct rtp_unpacker *u = rtp_unpacker_new(FLV_CODEC_AV1);
    for (unsigned round = 0; round < 2000; round++) {
        size_t len = 0;
        unsigned obus = 1 + next_random(&seed) % 5;
        for (unsigned i = 0; i < obus; i++)
            len += put_obu(frame + len, i == 0 ? 3 : 4,
                           1 + next_random(&seed) % (i % 2 == round % 2 ? 100 : 5000), &seed);
        struct rtp_packed packed;
        assert_int_equal(rtp_pack(p, slice_of(frame, len), false, &packed), 0);
        assert_sizes(&packed, obus == 1);
        assert_unpacks(u, &packed, slice_of(frame, len));
    }
    rtp_packer_free(&p);
    rtp_unpacker_free(&u);
}

static void plain_frames_come_back(void **state)
{
    static const struct {
        uint32_t codec;
        uint8_t first; /* of an inter frame */
        size_t max;
    } cases[] = {
        {FLV_CODEC_VP8, 0x31, 9000}, {FLV_CODEC_VP9, 0x86, 9000}, {FLV_CODEC_OPUS, 0xfc, 1200}};
    static uint8_t frame[UNIT_MAX];
    uint32_t seed = 3;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct rtp_packer *p = packer(cases[c].codec, NULL);
        struct rtp_unpacker *u = rtp_unpacker_new(cases[c].codec);
        for (int round = 0; round < 300; round++) {
            size_t len = 2 + next_random(&seed) % cases[c].max;
            fill(frame, len, &seed);
            frame[0] = cases[c].first;
            struct rtp_packed packed;
            assert_int_equal(rtp_pack(p, slice_of(frame, len), false, &packed), 0);
            if (cases[c].codec != FLV_CODEC_OPUS)
                assert_sizes(&packed, true);
            assert_unpacks(u, &packed, slice_of(frame, len));
        }
        rtp_packer_free(&p);
        rtp_unpacker_free(&u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avc_key_frames_bring_their_sets),
        cmocka_unit_test(avc_sets_go_before_a_frame_that_is_cut),
        cmocka_unit_test(avc_leaves_out_what_decoders_do_not_need),
        cmocka_unit_test(avc_small_units_share_a_payload),
        cmocka_unit_test(avc_b_slices_are_told),
        cmocka_unit_test(avc_refuses_what_is_broken),
        cmocka_unit_test(avc_too_many_units_are_refused),
        cmocka_unit_test(avc_comes_back),
        cmocka_unit_test(hevc_key_frames_bring_their_sets),
        cmocka_unit_test(hevc_large_units_are_cut),
        cmocka_unit_test(vp8_begins_once_and_counts_pictures),
        cmocka_unit_test(vp9_says_where_pictures_begin_and_end),
        cmocka_unit_test(opus_is_one_payload),
        cmocka_unit_test(av1_obus_lose_their_sizes),
        cmocka_unit_test(av1_refuses_what_is_broken),
        cmocka_unit_test(av1_comes_back),
        cmocka_unit_test(plain_frames_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
