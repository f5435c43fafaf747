#include "test.h"

#include "proto/m3u8.h"

#define EPOCH   1795404426681057ULL
#define WALL_US 1795404426681057LL /* 2026-11-23T03:27:06.681057Z */

static const struct m3u8_part parts[] = {
    {200000, true, false}, {200000, false, false}, {233333, false, false},
    {200000, true, false}, {200000, false, true},
};

static char have[M3U8_BYTES_MAX];

static const char *media_text(const struct m3u8_media *m, bool delta)
{
    struct buf b;
    buf_init(&b, sizeof have - 1);
    assert_int_equal(m3u8_write_media(m, delta, &b), 0);
    assert_true(slice_copy(buf_slice(&b), have, sizeof have));
    buf_fini(&b);
    return have;
}

/* n complete segments of two seconds with five parts each; then those of `open`. */
static struct m3u8_media media_of(struct m3u8_segment *segments, size_t n)
{
    for (size_t i = 0; i < n; i++)
        segments[i] = (struct m3u8_segment){.epoch = EPOCH,
                                            .wall_us = WALL_US + (int64_t)i * 2000000,
                                            .duration_us = 2000000,
                                            .init_hash = 0xabc,
                                            .complete = true,
                                            .independent = true,
                                            .parts = parts,
                                            .part_count = 2};
    return (struct m3u8_media){.target_s = 4,
                               .part_target_us = 236000,
                               .first_msn = 10,
                               .segments = segments,
                               .segment_count = n};
}

static void low_latency(void **state)
{
    struct m3u8_segment s[3];
    struct m3u8_media m = media_of(s, 2);
    s[2] = (struct m3u8_segment){.epoch = EPOCH,
                                 .wall_us = WALL_US + 4000000,
                                 .init_hash = 0xabc,
                                 .independent = true,
                                 .parts = parts,
                                 .part_count = 3};
    m.segment_count = 3;
    const struct hls_object hint = {HLS_PART, {HLS_MAIN, 0}, EPOCH, 12, 3, 0};
    const struct m3u8_report reports[] = {{{HLS_AUDIO, 1}, 12, 2, true},
                                          {{HLS_VIDEO, 1}, 11, 0, false}};
    m.hint = &hint;
    m.reports = reports;
    m.report_count = 2;
    assert_string_equal(
        media_text(&m, false),
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-TARGETDURATION:4\n"
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.708\n"
        "#EXT-X-PART-INF:PART-TARGET=0.236\n"
        "#EXT-X-MEDIA-SEQUENCE:10\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-MAP:URI=\"main-0000000000000abc.mp4\"\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T03:27:06.681Z\n"
        "#EXT-X-PART:DURATION=0.200,URI=\"main-1795404426681057-10.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.200,URI=\"main-1795404426681057-10.1.m4s\"\n"
        "#EXTINF:2.000,\n"
        "main-1795404426681057-10.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T03:27:08.681Z\n"
        "#EXT-X-PART:DURATION=0.200,URI=\"main-1795404426681057-11.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.200,URI=\"main-1795404426681057-11.1.m4s\"\n"
        "#EXTINF:2.000,\n"
        "main-1795404426681057-11.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T03:27:10.681Z\n"
        "#EXT-X-PART:DURATION=0.200,URI=\"main-1795404426681057-12.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.200,URI=\"main-1795404426681057-12.1.m4s\"\n"
        "#EXT-X-PART:DURATION=0.233333,URI=\"main-1795404426681057-12.2.m4s\"\n"
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"main-1795404426681057-12.3.m4s\"\n"
        "#EXT-X-RENDITION-REPORT:URI=\"a1.m3u8\",LAST-MSN=12,LAST-PART=2\n"
        "#EXT-X-RENDITION-REPORT:URI=\"v1.m3u8\",LAST-MSN=11\n");
}

/* A new run: the line breaks, the second has another configuration and begins between key frames,
 * and a piece of it is missing. */
static void breaks_and_gaps(void **state)
{
    struct m3u8_segment s[2];
    struct m3u8_media m = media_of(s, 2);
    m.rendition = (struct hls_rendition){HLS_AUDIO, 1};
    s[0].dsn = 3;
    s[1].dsn = 4;
    s[1].epoch = 5;
    s[1].independent = false;
    s[1].gap = true;
    s[1].parts = parts + 3;
    assert_string_equal(media_text(&m, false),
                        "#EXTM3U\n"
                        "#EXT-X-VERSION:8\n"
                        "#EXT-X-TARGETDURATION:4\n"
                        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.708\n"
                        "#EXT-X-PART-INF:PART-TARGET=0.236\n"
                        "#EXT-X-MEDIA-SEQUENCE:10\n"
                        "#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
                        "#EXT-X-MAP:URI=\"a1-0000000000000abc.mp4\"\n"
                        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T03:27:06.681Z\n"
                        "#EXT-X-PART:DURATION=0.200,URI=\"a1-1795404426681057-10.0.m4s\""
                        ",INDEPENDENT=YES\n"
                        "#EXT-X-PART:DURATION=0.200,URI=\"a1-1795404426681057-10.1.m4s\"\n"
                        "#EXTINF:2.000,\n"
                        "a1-1795404426681057-10.m4s\n"
                        "#EXT-X-DISCONTINUITY\n"
                        "#EXT-X-MAP:URI=\"a1-0000000000000abc.mp4\"\n"
                        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T03:27:08.681Z\n"
                        "#EXT-X-PART:DURATION=0.200,URI=\"a1-5-11.0.m4s\",INDEPENDENT=YES\n"
                        "#EXT-X-PART:DURATION=0.200,URI=\"a1-5-11.1.m4s\",GAP=YES\n"
                        "#EXT-X-GAP\n"
                        "#EXTINF:2.000,\n"
                        "a1-5-11.m4s\n");
    /* Without a configuration there is nothing to name. */
    s[1].init_hash = 0;
    const char *text = media_text(&m, false);
    assert_ptr_equal(strstr(strstr(text, "EXT-X-MAP") + 1, "EXT-X-MAP"), NULL);
}

static void ended(void **state)
{
    struct m3u8_segment s[1];
    struct m3u8_media m = media_of(s, 1);
    const struct hls_object hint = {HLS_PART, {HLS_MAIN, 0}, EPOCH, 11, 0, 0};
    const struct m3u8_report report = {{HLS_AUDIO, 1}, 12, 2, true};
    m.hint = &hint;
    m.reports = &report;
    m.report_count = 1;
    m.ended = m.can_skip = true;
    assert_string_equal(media_text(&m, true),
                        "#EXTM3U\n"
                        "#EXT-X-VERSION:6\n"
                        "#EXT-X-TARGETDURATION:4\n"
                        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.708"
                        ",CAN-SKIP-UNTIL=24.000\n"
                        "#EXT-X-PART-INF:PART-TARGET=0.236\n"
                        "#EXT-X-MEDIA-SEQUENCE:10\n"
                        "#EXT-X-INDEPENDENT-SEGMENTS\n"
                        "#EXT-X-MAP:URI=\"main-0000000000000abc.mp4\"\n"
                        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T03:27:06.681Z\n"
                        "#EXTINF:2.000,\n"
                        "main-1795404426681057-10.m4s\n"
                        "#EXT-X-ENDLIST\n");
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

/* The segment that is written and two more list their parts, as far as they begin in the last three
 * targets. */
static void parts_near_the_end(void **state)
{
    struct m3u8_segment s[31];
    struct m3u8_media m = media_of(s, 30);
    assert_int_equal(count(media_text(&m, false), "#EXT-X-PART:"), 2 * 2);
    assert_non_null(strstr(have, "-38.0.m4s"));
    assert_null(strstr(have, "-37.0.m4s"));
    s[30] =
        (struct m3u8_segment){.epoch = EPOCH, .init_hash = 0xabc, .parts = parts, .part_count = 1};
    m.segment_count = 31;
    assert_int_equal(count(media_text(&m, false), "#EXT-X-PART:"), 2 * 2 + 1);
    m.target_s = 1; /* one segment of two seconds is within three targets, two are not */
    assert_int_equal(count(media_text(&m, false), "#EXT-X-PART:"), 1 * 2 + 1);
    m.part_target_us = 0;
    m.segment_count = 30;
    assert_int_equal(count(media_text(&m, false), "#EXT-X-PART"), 0);
    assert_null(strstr(have, "SERVER-CONTROL"));
}

/* The boundary is 24 s from the end of the last complete segment: what ends before it goes. */
static void delta_updates(void **state)
{
    struct m3u8_segment s[31];
    struct m3u8_media m = media_of(s, 30);
    s[30] =
        (struct m3u8_segment){.epoch = EPOCH, .init_hash = 0xabc, .parts = parts, .part_count = 1};
    m.segment_count = 31;
    assert_int_equal(count(media_text(&m, true), "EXT-X-SKIP"), 0);
    m.can_skip = true;
    media_text(&m, true);
    assert_non_null(strstr(have, "#EXT-X-VERSION:9\n"));
    assert_non_null(strstr(have, "#EXT-X-MEDIA-SEQUENCE:10\n"));
    assert_non_null(strstr(have, "#EXT-X-SKIP:SKIPPED-SEGMENTS=17\n"));
    assert_int_equal(count(have, "#EXTINF"), 13);
    assert_int_equal(count(have, "#EXT-X-MAP"), 1);
    assert_non_null(strstr(have, "main-1795404426681057-27.m4s"));
    assert_null(strstr(have, "main-1795404426681057-26.m4s"));
    m.segment_count = 13; /* nothing is far enough from the end */
    assert_int_equal(count(media_text(&m, true), "EXT-X-SKIP"), 0);
    assert_non_null(strstr(have, "#EXT-X-VERSION:6\n"));
}

static void constants(void **state)
{
    assert_int_equal(m3u8_target_s(2000), 4);
    assert_int_equal(m3u8_target_s(1001), 3);
    assert_int_equal(m3u8_part_target_us(200, 0), 230000);
    assert_int_equal(m3u8_part_target_us(85, 0), 98000);
    assert_int_equal(m3u8_part_least_us(230000), 195500);
    assert_int_equal(m3u8_part_least_us(100001), 85001);
    static const struct {
        int64_t step_us, target_us;
    } steps[] = {{20000, 230000}, {33367, 230000}, {40000, 230000},  {41708, 230000},
                 {66667, 230000}, {80000, 250000}, {83333, 260000},  {100000, 230000},
                 {21333, 230000}, {48800, 260000}, {333333, 350000}, {1000000, 1030000}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        assert_int_equal(m3u8_part_target_us(200, steps[i].step_us), steps[i].target_us);
    /* Whatever the steps are, whole ones make parts that are long enough. */
    for (int64_t step_us = 1000; step_us < 2000000; step_us += 137) {
        int64_t target_us = m3u8_part_target_us(200, step_us);
        int64_t least_us = m3u8_part_least_us(target_us);
        int64_t lasts_us = (least_us + step_us - 1) / step_us * step_us;
        assert_true(lasts_us >= 195500 && lasts_us <= target_us);
    }
    assert_false(m3u8_can_skip(2000, 12));
    assert_true(m3u8_can_skip(2000, 13));
}

/* Odd times: before 1970, beyond what a date can hold, a negative duration. */
static void peers_times(void **state)
{
    struct m3u8_segment s[2];
    struct m3u8_media m = media_of(s, 2);
    s[0].wall_us = INT64_MIN;
    s[1].wall_us = INT64_MAX;
    s[1].duration_us = -5;
    media_text(&m, false);
    assert_non_null(strstr(have, "1970-01-01T00:00:00.000Z"));
    assert_non_null(strstr(have, "9999-12-31T23:59:59.999Z"));
    assert_non_null(strstr(have, "#EXTINF:0.000,"));
}

static void multivariant(void **state)
{
    const struct m3u8_variant variants[] = {
        {{HLS_MAIN, 0}, 2400000, 2000000, "avc1.64001f,mp4a.40.2", 1280, 720, 29970, "main"},
        {{HLS_VIDEO, 1}, 900000, 0, "avc1.64001f,mp4a.40.2", 0, 0, 0, "alone"},
    };
    const struct m3u8_audio audios[] = {
        {{HLS_AUDIO, 0}, "main", "audio 0", 2, true, true},
        {{HLS_AUDIO, 1}, "main", "audio 1", 0, false, false},
    };
    const struct m3u8_multivariant m = {variants, 2, audios, 2};
    struct buf b;
    buf_init(&b, sizeof have - 1);
    assert_int_equal(m3u8_write_multivariant(&m, &b), 0);
    assert_true(slice_copy(buf_slice(&b), have, sizeof have));
    buf_fini(&b);
    assert_string_equal(
        have,
        "#EXTM3U\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"main\",NAME=\"audio 0\",DEFAULT=YES,AUTOSELECT=YES"
        ",CHANNELS=\"2\"\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"main\",NAME=\"audio 1\",DEFAULT=NO,AUTOSELECT=YES"
        ",URI=\"a1.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2400000,AVERAGE-BANDWIDTH=2000000"
        ",CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"main\"\n"
        "main.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"alone\"\n"
        "v1.m3u8\n");
}

/* Every place where there is no room: an error, never a piece of a line more than fits. */
static void no_room(void **state)
{
    struct m3u8_segment s[3];
    struct m3u8_media m = media_of(s, 3);
    size_t len = strlen(media_text(&m, false));
    for (size_t max = 0; max < len; max++) {
        struct buf b;
        buf_init(&b, max);
        assert_true(m3u8_write_media(&m, false, &b) < 0);
        assert_true(buf_len(&b) <= max);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_latency),   cmocka_unit_test(breaks_and_gaps),
        cmocka_unit_test(ended),         cmocka_unit_test(parts_near_the_end),
        cmocka_unit_test(delta_updates), cmocka_unit_test(constants),
        cmocka_unit_test(peers_times),   cmocka_unit_test(multivariant),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
