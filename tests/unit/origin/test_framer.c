#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "hex_bytes.h"
#include "origin/framer.h"
#include "proto/amf0.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V FLV_TAG_VIDEO
#define A FLV_TAG_AUDIO
#define D FLV_TAG_SCRIPT

/* Hexadecimal text in which 'abcd' stands for its characters. */
static struct slice bytes_of(const char *text, uint8_t dst[HEX_BYTES_MAX])
{
    char hex[2 * HEX_BYTES_MAX];
    size_t n = 0;
    bool quoted = false;
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            quoted = !quoted;
        else
            n += (size_t)snprintf(hex + n, sizeof hex - n, quoted ? "%02x" : "%c",
                                  (unsigned char)*text);
        assert_true(n < sizeof hex);
    }
    hex[n] = '\0';
    return hex_bytes(hex, dst);
}

static int take(struct framer *fr, uint8_t type, uint32_t ms, const char *text,
                struct frame *out[FLV_PACKETS_MAX])
{
    uint8_t body[HEX_BYTES_MAX];
    return framer_take(fr, type, ms, bytes_of(text, body), out);
}

static void drop(struct frame **frames, int count)
{
    for (int i = 0; i < count; i++)
        frame_unref(&frames[i]);
}

/* Messages that are one frame, with the message's bytes. */
static void whole_messages(void **state)
{
    static const struct {
        const char *name;
        uint8_t type;
        const char *body;
        uint8_t kind, track, flags;
        uint32_t codec;
        int32_t cts_us;
    } rows[] = {
        {"avc configuration", V, "17 00 000000 01 64", FRAME_VIDEO, 0, FRAME_CONFIG, FLV_CODEC_AVC,
         0},
        {"avc key frame", V, "17 01 000043 65", FRAME_VIDEO, 0, FRAME_KEY, FLV_CODEC_AVC, 67000},
        {"avc", V, "27 01 fffffe 41", FRAME_VIDEO, 0, 0, FLV_CODEC_AVC, -2000},
        {"avc end", V, "17 02 000000", FRAME_VIDEO, 0, FRAME_END, FLV_CODEC_AVC, 0},
        {"sorenson has no configuration", V, "12 aa", FRAME_VIDEO, 0, FRAME_KEY,
         FLV_CODEC_LEGACY_VIDEO(2), 0},
        {"vp6, disposable", V, "34 aa", FRAME_VIDEO, 0, 0, FLV_CODEC_LEGACY_VIDEO(4), 0},
        {"generated key frame", V, "c1 'vp09' 01", FRAME_VIDEO, 0, 0, FLV_CODEC_VP9, 0},
        {"seek command", V, "57 00", FRAME_VIDEO, 0, 0, 0, 0},
        {"aac configuration", A, "af 00 12 10", FRAME_AUDIO, 0, FRAME_CONFIG, FLV_CODEC_AAC, 0},
        {"aac", A, "af 01 21", FRAME_AUDIO, 0, 0, FLV_CODEC_AAC, 0},
        {"silence", A, "", FRAME_AUDIO, 0, FRAME_END, 0, 0},
        {"hevc configuration", V, "90 'hvc1' 01", FRAME_VIDEO, 0, FRAME_CONFIG, FLV_CODEC_HEVC, 0},
        {"hevc key frame", V, "93 'hvc1' 26", FRAME_VIDEO, 0, FRAME_KEY, FLV_CODEC_HEVC, 0},
        {"colorInfo", V, "d4 'hvc1' 02 0009", FRAME_VIDEO, 0, FRAME_META, FLV_CODEC_HEVC, 0},
        {"an empty configuration", V, "90 'av01'", FRAME_VIDEO, 0, FRAME_CONFIG, FLV_CODEC_AV1, 0},
        {"opus", A, "91 'Opus' 01", FRAME_AUDIO, 0, 0, FLV_CODEC_OPUS, 0},
        {"channels", A, "94 'Opus' 01 02 00000003", FRAME_AUDIO, 0, FRAME_META, FLV_CODEC_OPUS, 0},
        {"one track, configuration", V, "96 00 'avc1' 01 01 64", FRAME_VIDEO, 1, FRAME_CONFIG,
         FLV_CODEC_AVC, 0},
        {"one track, key frame", V, "96 01 'avc1' ff 000021 aa", FRAME_VIDEO, 255, FRAME_KEY,
         FLV_CODEC_AVC, 33000},
        {"one audio track", A, "95 01 'mp4a' 02 21", FRAME_AUDIO, 2, 0, FLV_CODEC_AAC, 0},
        {"one track, end", V, "a6 02 'hvc1' 00", FRAME_VIDEO, 0, FRAME_END, FLV_CODEC_HEVC, 0},
        {"nanoseconds", V, "97 02 051615 01 'avc1' 000043 aa", FRAME_VIDEO, 0, FRAME_KEY,
         FLV_CODEC_AVC, 67000 + 333},
        {"the longest composition time", V, "27 01 7fffff 41", FRAME_VIDEO, 0, 0, FLV_CODEC_AVC,
         FRAMER_CTS_MAX_MS * 1000},
        {"and the shortest", V, "27 01 800000 41", FRAME_VIDEO, 0, 0, FLV_CODEC_AVC,
         -FRAMER_CTS_MAX_MS * 1000},
        {"onMetaData", D, "02 000a 'onMetaData' 08 00000000 000009", FRAME_DATA, 0, FRAME_META, 0,
         0},
        {"onMetaData without an end", D, "02 000a 'onMetaData' 08 00000001", FRAME_DATA, 0,
         FRAME_META, 0, 0},
        {"other data", D, "02 000a 'onTextData' 05", FRAME_DATA, 0, 0, 0, 0},
        {"nothing but a name", D, "02 0003 'abc'", FRAME_DATA, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct framer fr = {0};
        struct frame *out[FLV_PACKETS_MAX];
        uint8_t body[HEX_BYTES_MAX];
        struct slice bytes = bytes_of(rows[i].body, body);
        if (framer_take(&fr, rows[i].type, 5000, bytes, out) != 1)
            fail_msg("%s: not one frame", rows[i].name);
        const struct frame *f = out[0];
        if (f->kind != rows[i].kind || f->track != rows[i].track || f->flags != rows[i].flags ||
            f->codec != rows[i].codec || f->cts_us != rows[i].cts_us)
            fail_msg("%s: kind %d track %d flags %d codec %x cts %d", rows[i].name, f->kind,
                     f->track, f->flags, f->codec, f->cts_us);
        if (!slice_eq(frame_payload(f), bytes))
            fail_msg("%s: other bytes", rows[i].name);
        assert_int_equal(f->wire_ms, 5000);
        assert_int_equal(f->dts_us, 0);
        drop(out, 1);
        framer_fini(&fr);
    }
}

static void many_tracks(void **state)
{
    static const struct {
        const char *name;
        uint8_t type;
        const char *body;
        struct {
            uint8_t track, flags;
            const char *body;
        } frames[3];
    } rows[] = {
        {"frames",
         V,
         "96 11 'avc1' 00 000004 000021aa 07 000005 ffffffbbcc",
         {{0, FRAME_KEY, "91 'avc1' 000021aa"}, {7, FRAME_KEY, "96 01 'avc1' 07 ffffffbbcc"}}},
        {"configurations",
         V,
         "96 10 'avc1' 01 000001 aa 00 000001 bb",
         {{1, FRAME_CONFIG, "96 00 'avc1' 01 aa"}, {0, FRAME_CONFIG, "90 'avc1' bb"}}},
        {"many codecs",
         V,
         "a6 23 'avc1' 00 000001 aa 'hvc1' 01 000001 bb 'vp09' 02 000000",
         {{0, 0, "a3 'avc1' aa"}, {1, 0, "a6 03 'hvc1' 01 bb"}, {2, 0, "a6 03 'vp09' 02"}}},
        {"audio",
         A,
         "95 11 'mp4a' 00 000001 aa 01 000001 bb",
         {{0, 0, "91 'mp4a' aa"}, {1, 0, "95 01 'mp4a' 01 bb"}}},
        {"a single one", A, "95 11 'mp4a' 03 000001 aa", {{3, 0, "95 01 'mp4a' 03 aa"}}},
        {"nanoseconds for each",
         V,
         "97 02 000fff 06 11 'av01' 00 000001 aa 01 000001 bb",
         {{0, FRAME_KEY, "97 02 000fff 01 'av01' aa"},
          {1, FRAME_KEY, "97 02 000fff 06 01 'av01' 01 bb"}}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct framer fr = {0};
        struct frame *out[FLV_PACKETS_MAX];
        int count = take(&fr, rows[i].type, 77, rows[i].body, out), k = 0;
        for (; k < 3 && rows[i].frames[k].body != NULL; k++) {
            uint8_t body[HEX_BYTES_MAX];
            struct slice want = bytes_of(rows[i].frames[k].body, body);
            if (k >= count || out[k]->track != rows[i].frames[k].track ||
                out[k]->flags != rows[i].frames[k].flags || !slice_eq(frame_payload(out[k]), want))
                fail_msg("%s: frame %d of %d", rows[i].name, k, count);
            assert_int_equal(out[k]->wire_ms, 77);
            assert_int_equal(out[k]->dts_us, 0);
        }
        assert_int_equal(count, k);
        drop(out, count);
        framer_fini(&fr);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *name;
        uint8_t type;
        const char *body;
        int result;
    } rows[] = {
        {"an empty video message", V, "", 0},
        {"gstreamer's hevc on a default pad", V, "18 00 000000 01", ERR_UNSUPPORTED},
        {"cut short", V, "17 01 0000", ERR_PROTOCOL},
        {"Multitrack in Multitrack", V, "96 06 'avc1' 00", ERR_PROTOCOL},
        {"another type", 20, "02 0003 'abc'", ERR_UNSUPPORTED},
        {"empty data", D, "", ERR_UNSUPPORTED},
        {"data without a name", D, "05", ERR_UNSUPPORTED},
        {"a name cut short", D, "02 000a 'onMeta'", ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct framer fr = {0};
        struct frame *out[FLV_PACKETS_MAX];
        int result = take(&fr, rows[i].type, 0, rows[i].body, out);
        if (result != rows[i].result)
            fail_msg("%s: %d", rows[i].name, result);
        assert_false(fr.timeline.started);
        framer_fini(&fr);
    }
}

/* Bounds are checked before anything is allocated. */
static void too_large(void **state)
{
    static uint8_t body[FRAME_BYTES_MAX + 1];
    struct framer fr = {0};
    struct frame *out[FLV_PACKETS_MAX];

    memcpy(body, "\x17\x01\0\0\0", 5);
    assert_int_equal(framer_take(&fr, V, 0, slice_of(body, FRAME_BYTES_MAX + 1), out),
                     ERR_TOO_LARGE);
    assert_int_equal(framer_take(&fr, V, 0, slice_of(body, FRAME_BYTES_MAX), out), 1);
    drop(out, 1);

    body[1] = 0;
    assert_int_equal(framer_take(&fr, V, 0, slice_of(body, FRAMER_PREAMBLE_MAX + 1), out),
                     ERR_TOO_LARGE);
    assert_int_equal(framer_take(&fr, V, 0, slice_of(body, FRAMER_PREAMBLE_MAX), out), 1);
    drop(out, 1);

    struct wr w = wr_init(body, sizeof body);
    amf0_write_text(&w, "onMetaData");
    assert_int_equal(framer_take(&fr, D, 0, slice_of(body, FRAMER_PREAMBLE_MAX + 1), out),
                     ERR_TOO_LARGE);
    assert_int_equal(framer_take(&fr, D, 0, slice_of(body, FRAMER_PREAMBLE_MAX), out), 1);
    drop(out, 1);
    assert_int_equal(frames_alive(), 0);
    framer_fini(&fr);
}

/* Headers that all tracks share are written once for each: a long one must not multiply. */
static void growth(void **state)
{
    static uint8_t body[70000];
    struct framer fr = {0};
    struct frame *out[FLV_PACKETS_MAX];
    struct wr w = wr_init(body, sizeof body);
    wr_u8(&w, 0x97);
    wr_u8(&w, 0xff);
    wr_u16(&w, 60000 - 1);
    memset(wr_room(&w, 60000), 0, 60000);
    wr_u8(&w, 0x56); /* an extension nobody knows, then Multitrack */
    wr_u8(&w, 0x11);
    wr_text(&w, "av01");
    for (unsigned i = 0; i < 16; i++) {
        wr_u8(&w, i);
        wr_u24(&w, 0);
        int count = framer_take(&fr, V, 0, wr_slice(&w), out);
        assert_int_equal(count, i < 2 ? (int)i + 1 : ERR_TOO_LARGE);
        if (count > 0)
            drop(out, count);
    }
    framer_fini(&fr);
}

static void tracks_are_bounded(void **state)
{
    struct framer fr = {0};
    struct frame *out[FLV_PACKETS_MAX];
    for (unsigned i = 0; i < LOG_TRACKS_MAX + 3; i++) {
        char body[64];
        snprintf(body, sizeof body, "95 01 'mp4a' %02x aa", i);
        int count = take(&fr, A, 0, body, out);
        assert_int_equal(count, i < LOG_TRACKS_MAX);
        drop(out, count);
    }
    assert_int_equal(fr.passed_over, 3);
    assert_int_equal(take(&fr, V, 0, "27 01 000000 41", out), 0);
    int count = take(&fr, A, 0, "95 11 'mp4a' 0f 000001 aa 10 000001 bb", out);
    assert_int_equal(count, 1);
    assert_int_equal(out[0]->track, 15);
    drop(out, count);
    assert_int_equal(fr.passed_over, 5);
    assert_int_equal(take(&fr, D, 0, "02 0003 'abc'", out), 1);
    drop(out, 1);
    framer_fini(&fr);
}

static void times(void **state)
{
    static const struct {
        uint32_t ms;
        int64_t wire_ms, dts_us;
        uint8_t flags;
    } rows[] = {
        {4294967290U, 4294967290LL, 0, 0},
        {14, 4294967310LL, 20000, 0}, /* wrapped */
        {34, 4294967330LL, 40000, 0},
        {90000034, 4384967330LL, 80000, FRAME_DISCONTINUITY},
    };
    struct framer fr = {0};
    struct frame *out[FLV_PACKETS_MAX];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int count = take(&fr, A, rows[i].ms, "95 11 'mp4a' 00 000001 aa 01 000001 bb", out);
        assert_int_equal(count, 2);
        for (int k = 0; k < count; k++) {
            assert_int_equal(out[k]->wire_ms, rows[i].wire_ms);
            assert_int_equal(out[k]->dts_us, rows[i].dts_us);
        }
        assert_int_equal(out[0]->flags, rows[i].flags);
        assert_int_equal(out[1]->flags, 0);
        drop(out, count);
    }
    framer_fini(&fr);
}

#define VECTOR_MAX (512 * 1024)

/* All media of a recorded file comes out again, track by track. */
static void recorded_vectors(void **state)
{
    static const struct {
        const char *path;
        size_t frames, tracks;
    } rows[] = {
        {"vectors/vec-manytracks.flv", 6, 2},
        {"vectors/vec-manytracks-seq1.flv", 6, 2},
        {"vectors/vec-manytracksmanycodecs-seq1.flv", 4, 2},
        {"vectors/vec-modex-nano.flv", 5, 1},
    };
    uint8_t *bytes = xmalloc(VECTOR_MAX);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        FILE *file = fopen(rows[i].path, "rb");
        assert_non_null(file);
        size_t len = fread(bytes, 1, VECTOR_MAX, file), frames = 0;
        fclose(file);
        struct framer fr = {0};
        for (size_t at = FLV_FILE_HEADER_SIZE; at < len;) {
            struct flv_tag tag;
            ssize_t n = flv_tag_read(bytes + at, len - at, FLV_BODY_MAX, &tag);
            assert_true(n > 0);
            at += (size_t)n;
            struct frame *out[FLV_PACKETS_MAX];
            struct flv_packet before[FLV_PACKETS_MAX], after[FLV_PACKETS_MAX];
            int count = framer_take(&fr, tag.type, tag.timestamp_ms, tag.body, out);
            assert_int_equal(count, flv_packets(tag.type, tag.body, before));
            for (int k = 0; k < count; k++) {
                assert_int_equal(flv_packets(tag.type, frame_payload(out[k]), after), 1);
                assert_true(slice_eq(after->payload, before[k].payload));
                assert_int_equal(after->track, before[k].track);
                assert_int_equal(out[k]->track, before[k].track);
                assert_int_equal(out[k]->wire_ms, tag.timestamp_ms);
            }
            frames += (size_t)count;
            drop(out, count);
        }
        if (frames != rows[i].frames || fr.track_count != rows[i].tracks)
            fail_msg("%s: %zu frames, %u tracks", rows[i].path, frames, fr.track_count);
        framer_fini(&fr);
    }
    free(bytes);
}

static int no_frames_left(void **state)
{
    assert_int_equal(frames_alive(), 0);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, no_frames_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whole_messages), TEST(many_tracks),        TEST(refused), TEST(too_large),
        TEST(growth),         TEST(tracks_are_bounded), TEST(times),   TEST(recorded_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
