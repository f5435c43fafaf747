#include "test.h"

#include "hex_bytes.h"
#include "origin/whip_tags.h"
#include "proto/amf0.h"
#include "proto/codec_info.h"

#include <stdio.h>

/* A unit with its headroom. */
struct unit {
    uint8_t room[RTP_UNIT_HEADROOM + HEX_BYTES_MAX];
    uint8_t config[HEX_BYTES_MAX];
    struct rtp_unit u;
};

static void make(struct unit *m, const char *config, const char *bytes, bool key, bool changed)
{
    struct slice s = hex_bytes(bytes, m->room + RTP_UNIT_HEADROOM);
    m->u = (struct rtp_unit){.key = key,
                             .config_changed = changed,
                             .config = hex_bytes(config, m->config),
                             .bytes = m->room + RTP_UNIT_HEADROOM,
                             .len = s.len};
}

static void assert_body(const struct whip_tag *t, uint8_t type, uint32_t ms, const char *hex)
{
    uint8_t want[HEX_BYTES_MAX];
    struct slice s = hex_bytes(hex, want);
    assert_int_equal(t->type, type);
    assert_int_equal(t->timestamp_ms, ms);
    assert_int_equal(t->body.len, s.len);
    assert_memory_equal(t->body.p, s.p, s.len);
}

static double number_of(const struct whip_tag *t, const char *key)
{
    struct amf0_value values[32];
    size_t count;
    assert_int_equal(t->type, FLV_TAG_SCRIPT);
    assert_int_equal(amf0_parse_all(t->body, false, values, 32, &count), 0);
    assert_true(slice_is(values[0].text, "onMetaData"));
    return amf0_number(amf0_get(&values[1], key), -1);
}

#define SCRATCH (WHIP_METADATA_MAX + CODEC_CONFIG_MAX + RTP_UNIT_HEADROOM)
static uint8_t scratch_bytes[SCRATCH];

static int tags_of(struct whip_tags *t, unsigned track, struct unit *m, int64_t dts_us,
                   int64_t pts_us, struct whip_tag out[WHIP_TAGS_MAX])
{
    struct wr scratch = wr_init(scratch_bytes, sizeof scratch_bytes);
    return whip_tags_of(
        t,
        &(struct rtc_received){.track = track, .unit = &m->u, .dts_us = dts_us, .pts_us = pts_us},
        &scratch, out);
}

/* Of x264, baseline, 320x240. */
#define AVCC "0142c00bffe100176742c00bdc141fb011000003000100000300140f142b8001000568ce0f2c80"

static void h264_and_opus(void **state)
{
    struct whip_tags t = {.codecs = {FLV_CODEC_AVC, FLV_CODEC_OPUS}};
    struct whip_tag tags[WHIP_TAGS_MAX];
    struct unit m;
    make(&m, AVCC, "00000004 65888421", true, true);
    assert_int_equal(tags_of(&t, 0, &m, 5000000, 5000000, tags), 3);
    assert_true(number_of(&tags[0], "videocodecid") == 7);
    assert_true(number_of(&tags[0], "audiocodecid") == FLV_CODEC_OPUS);
    assert_true(number_of(&tags[0], "width") == 320 && number_of(&tags[0], "height") == 240);
    assert_body(&tags[1], FLV_TAG_VIDEO, 1000, "1700000000" AVCC);
    assert_body(&tags[2], FLV_TAG_VIDEO, 1000, "1701000000 00000004 65888421");

    make(&m, "4f7075734865616401020000 80bb0000000000", "78aabb", true, true);
    assert_int_equal(tags_of(&t, 1, &m, 4990400, 4990400, tags), 2);
    assert_body(&tags[0], FLV_TAG_AUDIO, 990,
                "90 4f707573 4f7075734865616401020000 80bb0000000000");
    assert_body(&tags[1], FLV_TAG_AUDIO, 990, "91 4f707573 78aabb");

    make(&m, AVCC, "00000003 419a01", false, false);
    assert_int_equal(tags_of(&t, 0, &m, 5033333, 5000333, tags), 1);
    assert_body(&tags[0], FLV_TAG_VIDEO, 1033, "2701ffffdf 00000003 419a01");
}

static void enhanced_video(void **state)
{
    static const struct {
        uint32_t codec;
        const char *config, *frame, *header;
        double width;
    } cases[] = {
        {FLV_CODEC_VP8, "01000000001482020202 0000", "1002009d012a4001f000", "76703038", 320},
        {FLV_CODEC_VP9, "01000000001482020202 0000", "824983420013f00ef000", "76703039", 320},
        {FLV_CODEC_AV1, "81000c00 0a0b000000043cffbcdaf90040",
         "0a0b000000043cffbcdaf90040 3204 1400a0b0", "61763031", 320},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct whip_tags t = {.codecs = {cases[i].codec}};
        struct whip_tag tags[WHIP_TAGS_MAX];
        struct unit m;
        char config[HEX_BYTES_MAX], frame[HEX_BYTES_MAX];
        make(&m, cases[i].config, cases[i].frame, true, true);
        assert_int_equal(tags_of(&t, 0, &m, 0, 0, tags), 3);
        assert_true(number_of(&tags[0], "videocodecid") == cases[i].codec);
        assert_true(number_of(&tags[0], "width") == cases[i].width);
        assert_true(number_of(&tags[0], "audiocodecid") == -1);
        snprintf(config, sizeof config, "90%s%s", cases[i].header, cases[i].config);
        assert_body(&tags[1], FLV_TAG_VIDEO, 1000, config);
        snprintf(frame, sizeof frame, "91%s%s", cases[i].header, cases[i].frame);
        assert_body(&tags[2], FLV_TAG_VIDEO, 1000, frame);
        make(&m, cases[i].config, cases[i].frame, false, false);
        assert_int_equal(tags_of(&t, 0, &m, 40000, 40000, tags), 1);
        frame[0] = 'a';
        assert_body(&tags[0], FLV_TAG_VIDEO, 1040, frame);
    }
}

static void what_was_skipped_is_told_later(void **state)
{
    struct whip_tags t = {.codecs = {FLV_CODEC_AVC, FLV_CODEC_OPUS}};
    struct whip_tag tags[WHIP_TAGS_MAX];
    struct unit m;
    make(&m, AVCC, "00000004 65888421", true, true);
    whip_tags_skip(&t, &(struct rtc_received){.track = 0, .unit = &m.u});
    make(&m, AVCC, "00000004 65888421", true, false);
    assert_int_equal(tags_of(&t, 0, &m, 0, 0, tags), 3);
    make(&m, AVCC, "00000004 65888421", true, false);
    assert_int_equal(tags_of(&t, 0, &m, 40000, 40000, tags), 1);
    /* Long before the first: time does not go below its beginning. */
    make(&m, "4f70", "78aabb", true, false);
    assert_int_equal(tags_of(&t, 1, &m, -3000000, -3000000, tags), 1);
    assert_int_equal(tags[0].timestamp_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h264_and_opus),
        cmocka_unit_test(enhanced_video),
        cmocka_unit_test(what_was_skipped_is_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
