#include "test.h"

#include "base/err.h"
#include "proto/flv.h"

#include <stdio.h>
#include <stdlib.h>

#define WIRE_MAX   400
#define VECTOR_MAX (20 * 1024)

struct wire {
    uint8_t bytes[WIRE_MAX];
    size_t len;
};

/* Bytes from text: two hexadecimal digits each, spaces between them, 'text' as it is. */
static struct wire wire_of(const char *text)
{
    struct wire w = {.len = 0};
    for (const char *p = text; *p != '\0';) {
        assert_true(w.len < WIRE_MAX);
        if (*p == ' ') {
            p++;
        } else if (*p == '\'') {
            for (p++; *p != '\''; p++)
                w.bytes[w.len++] = (uint8_t)*p;
            p++;
        } else {
            char digits[3] = {p[0], p[1], '\0'};
            char *end;
            w.bytes[w.len++] = (uint8_t)strtoul(digits, &end, 16);
            assert_ptr_equal(end, digits + 2);
            p += 2;
        }
    }
    return w;
}

static struct slice wire_slice(const struct wire *w)
{
    return slice_of(w->bytes, w->len);
}

static void assert_bytes(const char *what, struct slice have, const char *want)
{
    struct wire w = wire_of(want);
    if (!slice_eq(have, wire_slice(&w)))
        fail_msg("%s: other bytes than %s (%zu, not %zu)", what, want, have.len, w.len);
}

#define V FLV_TAG_VIDEO
#define A FLV_TAG_AUDIO

static const struct {
    const char *what;
    uint8_t type;
    const char *body;
    enum flv_form form;
    enum flv_class class;
    enum flv_frame_type frame_type;
    uint8_t packet_type, track;
    uint32_t codec;
    int32_t cts_ms;
    uint32_t nano;
    const char *payload;
} singles[] = {
    {"avc configuration", V, "17 00 000000 01 64", FLV_LEGACY, FLV_CONFIG, FLV_FRAME_KEY, 0, 0,
     FLV_CODEC_AVC, 0, 0, "01 64"},
    {"avc key frame", V, "17 01 000043 00 00", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_KEY, 1, 0,
     FLV_CODEC_AVC, 0x43, 0, "00 00"},
    {"avc negative composition time", V, "27 01 fffffe 09", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_INTER,
     1, 0, FLV_CODEC_AVC, -2, 0, "09"},
    {"avc end", V, "17 02 000000", FLV_LEGACY, FLV_END, FLV_FRAME_KEY, 2, 0, FLV_CODEC_AVC, 0, 0,
     ""},
    {"avc end without composition time", V, "17 02", FLV_LEGACY, FLV_END, FLV_FRAME_KEY, 2, 0,
     FLV_CODEC_AVC, 0, 0, ""},
    {"legacy hevc", V, "1c 01 000001 aa", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_KEY, 1, 0,
     FLV_CODEC_HEVC, 1, 0, "aa"},
    {"sorenson", V, "12 aa bb", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_KEY, 0, 0,
     FLV_CODEC_LEGACY_VIDEO(2), 0, 0, "aa bb"},
    {"vp6, disposable", V, "34 aa", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_DISPOSABLE, 0, 0,
     FLV_CODEC_LEGACY_VIDEO(4), 0, 0, "aa"},
    {"legacy command", V, "57 00", FLV_LEGACY, FLV_COMMAND, FLV_FRAME_COMMAND, 0, 0, 0, 0, 0, "00"},
    {"aac configuration", A, "af 00 12 10", FLV_LEGACY, FLV_CONFIG, FLV_FRAME_NONE, 0, 0,
     FLV_CODEC_AAC, 0, 0, "12 10"},
    {"aac", A, "af 01 21", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_NONE, 1, 0, FLV_CODEC_AAC, 0, 0, "21"},
    {"mp3", A, "2f ff fb", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_NONE, 0, 0, FLV_CODEC_MP3, 0, 0,
     "ff fb"},
    {"mp3 at 8 kHz", A, "ef ff", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_NONE, 0, 0, FLV_CODEC_MP3, 0, 0,
     "ff"},
    {"speex", A, "b2 01", FLV_LEGACY, FLV_FRAMES, FLV_FRAME_NONE, 0, 0, FLV_CODEC_LEGACY_AUDIO(11),
     0, 0, "01"},
    {"silence", A, "", FLV_LEGACY, FLV_END, FLV_FRAME_NONE, 0, 0, 0, 0, 0, ""},

    {"hevc configuration", V, "90 'hvc1' 01 01", FLV_PLAIN, FLV_CONFIG, FLV_FRAME_KEY, 0, 0,
     FLV_CODEC_HEVC, 0, 0, "01 01"},
    {"hevc frames", V, "a1 'hvc1' 000021 aa", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_INTER, 1, 0,
     FLV_CODEC_HEVC, 0x21, 0, "aa"},
    {"vvc frames", V, "91 'vvc1' ffffff aa", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_KEY, 1, 0,
     FLV_CODEC_VVC, -1, 0, "aa"},
    {"hevc frames without composition time", V, "a3 'hvc1' 000021", FLV_PLAIN, FLV_FRAMES,
     FLV_FRAME_INTER, 3, 0, FLV_CODEC_HEVC, 0, 0, "000021"},
    {"av1 has no composition time", V, "91 'av01' 0a0b", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_KEY, 1, 0,
     FLV_CODEC_AV1, 0, 0, "0a0b"},
    {"av1 with an empty configuration", V, "90 'av01'", FLV_PLAIN, FLV_CONFIG, FLV_FRAME_KEY, 0, 0,
     FLV_CODEC_AV1, 0, 0, ""},
    {"av1 descriptor of MPEG-2 TS", V, "95 'av01' 80 04", FLV_PLAIN, FLV_CONFIG, FLV_FRAME_KEY, 5,
     0, FLV_CODEC_AV1, 0, 0, "80 04"},
    {"end", V, "a2 'hvc1'", FLV_PLAIN, FLV_END, FLV_FRAME_INTER, 2, 0, FLV_CODEC_HEVC, 0, 0, ""},
    {"generated key frame", V, "c1 'vp09' 01", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_GENERATED_KEY, 1, 0,
     FLV_CODEC_VP9, 0, 0, "01"},
    {"metadata with frame type command", V, "d4 'hvc1' 02 0009", FLV_PLAIN, FLV_META,
     FLV_FRAME_NONE, 4, 0, FLV_CODEC_HEVC, 0, 0, "02 0009"},
    {"metadata with reserved frame type", V, "f4 'hvc1' 02", FLV_PLAIN, FLV_META, FLV_FRAME_NONE, 4,
     0, FLV_CODEC_HEVC, 0, 0, "02"},
    {"command", V, "d1 01", FLV_PLAIN, FLV_COMMAND, FLV_FRAME_COMMAND, 1, 0, 0, 0, 0, "01"},
    {"command with the type of Multitrack", V, "d6 01", FLV_PLAIN, FLV_COMMAND, FLV_FRAME_COMMAND,
     6, 0, 0, 0, 0, "01"},
    {"an unknown FourCC", V, "91 'abcd' 01", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_KEY, 1, 0,
     FOURCC('a', 'b', 'c', 'd'), 0, 0, "01"},
    {"opus configuration", A, "90 'Opus' 'OpusHead'", FLV_PLAIN, FLV_CONFIG, FLV_FRAME_NONE, 0, 0,
     FLV_CODEC_OPUS, 0, 0, "'OpusHead'"},
    {"eac3 configuration", A, "90 65632d33", FLV_PLAIN, FLV_CONFIG, FLV_FRAME_NONE, 0, 0,
     FLV_CODEC_EAC3, 0, 0, ""},
    {"enhanced aac", A, "91 'mp4a' 21", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_NONE, 1, 0, FLV_CODEC_AAC,
     0, 0, "21"},
    {"channels", A, "94 'Opus' 01 02 00000003", FLV_PLAIN, FLV_META, FLV_FRAME_NONE, 4, 0,
     FLV_CODEC_OPUS, 0, 0, "01 02 00000003"},
    {"audio end", A, "92 'mp4a'", FLV_PLAIN, FLV_END, FLV_FRAME_NONE, 2, 0, FLV_CODEC_AAC, 0, 0,
     ""},

    {"one track, configuration", V, "96 00 'avc1' 01 01 64", FLV_ONE_TRACK, FLV_CONFIG,
     FLV_FRAME_KEY, 0, 1, FLV_CODEC_AVC, 0, 0, "01 64"},
    {"one track, frames", V, "a6 01 'avc1' ff 000021 aa", FLV_ONE_TRACK, FLV_FRAMES,
     FLV_FRAME_INTER, 1, 255, FLV_CODEC_AVC, 0x21, 0, "aa"},
    {"one track, without composition time", V, "a6 03 'avc1' 01 aa", FLV_ONE_TRACK, FLV_FRAMES,
     FLV_FRAME_INTER, 3, 1, FLV_CODEC_AVC, 0, 0, "aa"},
    {"one track, end", V, "a6 02 'hvc1' 00", FLV_ONE_TRACK, FLV_END, FLV_FRAME_INTER, 2, 0,
     FLV_CODEC_HEVC, 0, 0, ""},
    {"one track, metadata with frame type command", V, "d6 04 'hvc1' 01 02", FLV_ONE_TRACK,
     FLV_META, FLV_FRAME_NONE, 4, 1, FLV_CODEC_HEVC, 0, 0, "02"},
    {"one audio track", A, "95 01 'mp4a' 01 21", FLV_ONE_TRACK, FLV_FRAMES, FLV_FRAME_NONE, 1, 1,
     FLV_CODEC_AAC, 0, 0, "21"},
    {"one audio track, channels", A, "95 04 'mp4a' 01 01 02 00000003", FLV_ONE_TRACK, FLV_META,
     FLV_FRAME_NONE, 4, 1, FLV_CODEC_AAC, 0, 0, "01 02 00000003"},

    {"nanoseconds", V, "97 02 051615 01 'avc1' 000043 aa", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_KEY, 1,
     0, FLV_CODEC_AVC, 0x43, 333333, "aa"},
    {"nanoseconds out of range", V, "97 02 0f4240 01 'av01' aa", FLV_PLAIN, FLV_FRAMES,
     FLV_FRAME_KEY, 1, 0, FLV_CODEC_AV1, 0, 0, "aa"},
    {"nanoseconds too short", V, "97 01 ffff 01 'av01' aa", FLV_PLAIN, FLV_FRAMES, FLV_FRAME_KEY, 1,
     0, FLV_CODEC_AV1, 0, 0, "aa"},
    {"an unknown extension, then nanoseconds", A, "97 00 ee 57 02 000007 01 'Opus' aa", FLV_PLAIN,
     FLV_FRAMES, FLV_FRAME_NONE, 1, 0, FLV_CODEC_OPUS, 0, 7, "aa"},
    {"an extension with a long length", V, "97 ff 0003 11223344 51 'av01' aa", FLV_PLAIN,
     FLV_FRAMES, FLV_FRAME_KEY, 1, 0, FLV_CODEC_AV1, 0, 0, "aa"},
    {"nanoseconds, then one track", V, "a7 02 000001 06 01 'av01' 02 aa", FLV_ONE_TRACK, FLV_FRAMES,
     FLV_FRAME_INTER, 1, 2, FLV_CODEC_AV1, 0, 1, "aa"},
    {"nanoseconds, then a command", V, "d7 02 000001 01 00", FLV_PLAIN, FLV_COMMAND,
     FLV_FRAME_COMMAND, 1, 0, 0, 0, 1, "00"},
};

static void a_body_of_one_packet(void **state)
{
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        struct wire w = wire_of(singles[i].body);
        struct flv_packet p[FLV_PACKETS_MAX];
        int n = flv_packets(singles[i].type, wire_slice(&w), p);
        if (n != 1)
            fail_msg("%s: %d", singles[i].what, n);
        if (p->kind != (singles[i].type == V ? FLV_VIDEO : FLV_AUDIO) ||
            p->form != singles[i].form || p->class != singles[i].class ||
            p->frame_type != singles[i].frame_type || p->packet_type != singles[i].packet_type ||
            p->track != singles[i].track || p->codec != singles[i].codec ||
            p->cts_ms != singles[i].cts_ms || p->nano != singles[i].nano)
            fail_msg("%s: form %d class %d frame type %d packet type %d track %d codec %08x cts %d "
                     "nano %u",
                     singles[i].what, (int)p->form, (int)p->class, (int)p->frame_type,
                     p->packet_type, p->track, p->codec, p->cts_ms, p->nano);
        assert_bytes(singles[i].what, p->payload, singles[i].payload);
        assert_true(flv_is_whole(p));
    }
}

static void a_body_that_is_refused(void **state)
{
    static const struct {
        const char *what;
        uint8_t type;
        const char *body;
        int want;
    } cases[] = {
        {"gstreamer's hevc on a default pad", V, "18 00 000000 01", ERR_UNSUPPORTED},
        {"reserved video codec", V, "10 00", ERR_UNSUPPORTED},
        {"reserved legacy frame type", V, "07 01 000000 aa", ERR_UNSUPPORTED},
        {"reserved avc packet type", V, "17 03 000000", ERR_UNSUPPORTED},
        {"reserved audio format", A, "c0 00", ERR_UNSUPPORTED},
        {"reserved aac packet type", A, "af 02 00", ERR_UNSUPPORTED},
        {"avc without a packet type", V, "17", ERR_PROTOCOL},
        {"avc cut in the composition time", V, "17 01 0000", ERR_PROTOCOL},
        {"aac without a packet type", A, "af", ERR_PROTOCOL},
        {"FourCC cut", V, "91 'avc'", ERR_PROTOCOL},
        {"composition time cut", V, "91 'avc1' 0000", ERR_PROTOCOL},
        {"command without its byte", V, "d1", ERR_PROTOCOL},
        {"reserved packet type", V, "98 'avc1'", ERR_UNSUPPORTED},
        {"reserved frame type", V, "f1 'av01' 00", ERR_UNSUPPORTED},
        {"reserved audio packet type 3", A, "93 'mp4a'", ERR_UNSUPPORTED},
        {"reserved audio packet type 6", A, "96 'mp4a'", ERR_UNSUPPORTED},
        {"ModEx cut before its length", V, "97", ERR_UNSUPPORTED},
        {"ModEx longer than the body", V, "97 20 000000 01 'avc1'", ERR_UNSUPPORTED},
        {"ModEx cut in a long length", V, "97 ff 00", ERR_UNSUPPORTED},
        {"ModEx without a next type", V, "97 02 000000", ERR_UNSUPPORTED},
        {"ModEx and no end", V, "97 00 00 07 00 00 07", ERR_UNSUPPORTED},
        {"Multitrack cut", V, "96", ERR_PROTOCOL},
        {"Multitrack of a reserved kind", V, "96 30 'avc1' 00", ERR_UNSUPPORTED},
        {"Multitrack in Multitrack", V, "96 06 'avc1' 00", ERR_PROTOCOL},
        {"audio Multitrack in Multitrack", A, "95 15 'mp4a' 00", ERR_PROTOCOL},
        {"ModEx in Multitrack", V, "96 07 'avc1' 00 00", ERR_UNSUPPORTED},
        {"one track without its id", V, "96 00 'avc1'", ERR_PROTOCOL},
        {"no track at all", V, "96 10 'avc1'", ERR_PROTOCOL},
        {"no track and no codec", V, "96 20", ERR_PROTOCOL},
        {"track size cut", V, "96 10 'avc1' 00 0000", ERR_PROTOCOL},
        {"track larger than the body", V, "96 11 'av01' 00 000002 aa", ERR_PROTOCOL},
        {"second track cut", V, "96 11 'av01' 00 000001 aa 01", ERR_PROTOCOL},
        {"track without its composition time", V, "96 11 'avc1' 00 000002 0000", ERR_PROTOCOL},
        {"second codec cut", V, "96 21 'av01' 00 000001 aa 'av0'", ERR_PROTOCOL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct wire w = wire_of(cases[i].body);
        struct flv_packet p[FLV_PACKETS_MAX];
        int n = flv_packets(cases[i].type, wire_slice(&w), p);
        if (n != cases[i].want)
            fail_msg("%s: %d, not %d", cases[i].what, n, cases[i].want);
    }
    struct flv_packet p[FLV_PACKETS_MAX];
    assert_int_equal(flv_packets(V, slice_of(NULL, 0), p), 0);
}

/* No prefix of a body is read past its end, and no cut header passes for a packet. */
static void a_body_cut_everywhere(void **state)
{
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        struct wire w = wire_of(singles[i].body);
        struct wire want = wire_of(singles[i].payload);
        for (size_t cut = 1; cut < w.len; cut++) {
            uint8_t *exact = malloc(cut);
            assert_non_null(exact);
            memcpy(exact, w.bytes, cut);
            struct flv_packet p[FLV_PACKETS_MAX];
            int n = flv_packets(singles[i].type, slice_of(exact, cut), p);
            bool in_payload = cut >= w.len - want.len;
            if (in_payload && p->class != FLV_COMMAND && n != 1)
                fail_msg("%s cut at %zu: %d", singles[i].what, cut, n);
            if (n == 1 && p->payload.len + (w.len - cut) > want.len && p->class != FLV_END &&
                p->class != FLV_COMMAND)
                fail_msg("%s cut at %zu: payload of %zu bytes", singles[i].what, cut,
                         p->payload.len);
            free(exact);
        }
    }
}

static void many_tracks_become_one_body_each(void **state)
{
    static const struct {
        const char *what;
        uint8_t type;
        const char *body;
        size_t count;
        const char *bodies[3];
    } cases[] = {
        {"ManyTracks",
         V,
         "96 11 'avc1' 00 000004 000043 aa 01 000005 fffffe bb cc",
         2,
         {"91 'avc1' 000043 aa", "96 01 'avc1' 01 fffffe bb cc"}},
        {"ManyTracksManyCodecs",
         V,
         "a6 21 'avc1' 00 000004 000043 aa 'av01' 02 000000 'hvc1' 01 000004 000001 bb",
         3,
         {"a1 'avc1' 000043 aa", "a6 01 'av01' 02", "a6 01 'hvc1' 01 000001 bb"}},
        {"audio",
         A,
         "95 11 'mp4a' 01 000001 aa 00 000002 bbcc",
         2,
         {"95 01 'mp4a' 01 aa", "91 'mp4a' bbcc"}},
        {"configurations",
         A,
         "95 20 'mp4a' 00 000002 1210 'Opus' 01 000000",
         2,
         {"90 'mp4a' 1210", "95 00 'Opus' 01"}},
        {"ModEx stays",
         V,
         "97 02 000007 06 11 'av01' 00 000001 aa 01 000001 bb",
         2,
         {"97 02 000007 01 'av01' aa", "97 02 000007 06 01 'av01' 01 bb"}},
        {"a single track in ManyTracks", V, "96 13 'avc1' 05 000001 aa", 1, {"96 03 'avc1' 05 aa"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct wire w = wire_of(cases[i].body);
        struct flv_packet p[FLV_PACKETS_MAX], again[FLV_PACKETS_MAX];
        int n = flv_packets(cases[i].type, wire_slice(&w), p);
        if (n != (int)cases[i].count)
            fail_msg("%s: %d", cases[i].what, n);
        for (int k = 0; k < n; k++) {
            assert_false(flv_is_whole(&p[k]));
            uint8_t out[WIRE_MAX];
            struct wr split = wr_init(out, flv_split_size(&p[k]));
            flv_split(&p[k], &split);
            assert_false(split.overflow);
            assert_int_equal(wr_len(&split), flv_split_size(&p[k]));
            assert_bytes(cases[i].what, wr_slice(&split), cases[i].bodies[k]);

            assert_int_equal(flv_packets(cases[i].type, wr_slice(&split), again), 1);
            assert_true(flv_is_whole(again));
            assert_int_equal(again->track, p[k].track);
            assert_int_equal(again->codec, p[k].codec);
            assert_int_equal(again->cts_ms, p[k].cts_ms);
            assert_int_equal(again->nano, p[k].nano);
            assert_int_equal(again->class, p[k].class);
            assert_true(slice_eq(again->payload, p[k].payload));
        }
    }
}

static void sixteen_tracks_and_not_more(void **state)
{
    for (size_t tracks = 15; tracks <= 17; tracks++) {
        uint8_t bytes[WIRE_MAX];
        struct wr w = wr_init(bytes, sizeof bytes);
        wr_u16(&w, 0x9611);
        wr_text(&w, "av01");
        for (size_t i = 0; i < tracks; i++) {
            wr_u8(&w, (unsigned)i);
            wr_u24(&w, 1);
            wr_u8(&w, 0xaa);
        }
        struct flv_packet p[FLV_PACKETS_MAX];
        assert_int_equal(flv_packets(V, wr_slice(&w), p),
                         tracks <= FLV_PACKETS_MAX ? (int)tracks : ERR_TOO_MANY);
    }
}

static void a_plain_player_gets_track_0(void **state)
{
    static const struct {
        const char *what;
        uint8_t type;
        const char *body;
        int want;
        size_t skip;
        const char *header;
    } cases[] = {
        {"legacy", V, "17 01 000000 aa", 0, 0, ""},
        {"silence", A, "", 0, 0, ""},
        {"no video", V, "", 0, 0, ""},
        {"plain", V, "91 'hvc1' 000000 aa", 0, 0, ""},
        {"one track, configuration", V, "96 00 'hvc1' 00 01", 0, 7, "90 'hvc1'"},
        {"one track, frames", V, "a6 01 'hvc1' 00 000021 aa", 0, 7, "a1 'hvc1'"},
        {"one audio track", A, "95 01 'mp4a' 00 aa", 0, 7, "91 'mp4a'"},
        {"one track, end", V, "a6 02 'hvc1' 00", 0, 7, "a2 'hvc1'"},
        {"nanoseconds", V, "97 02 000001 01 'avc1' 000043 aa", 0, 10, "91 'avc1'"},
        {"nanoseconds and one track", V, "a7 02 000001 06 03 'avc1' 00 aa", 0, 12, "a3 'avc1'"},
        {"nanoseconds and a command", V, "d7 02 000001 01 00", 0, 6, "d1"},
        {"track 1", V, "96 00 'avc1' 01 01", ERR_UNSUPPORTED, 0, ""},
        {"many tracks", V, "96 10 'avc1' 00 000001 01", ERR_UNSUPPORTED, 0, ""},
        {"cut", V, "96 00 'avc1'", ERR_PROTOCOL, 0, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct wire w = wire_of(cases[i].body);
        struct flv_rewrite rw;
        int err = flv_downgrade(cases[i].type, wire_slice(&w), &rw);
        if (err != cases[i].want || rw.skip != cases[i].skip)
            fail_msg("%s: %d, skip %zu", cases[i].what, err, rw.skip);
        assert_bytes(cases[i].what, slice_of(rw.header, rw.header_len), cases[i].header);
    }
}

static void file_and_tag_headers(void **state)
{
    uint8_t file[FLV_FILE_HEADER_SIZE], head[FLV_TAG_HEADER_SIZE], tail[FLV_TAG_TRAILER_SIZE];
    flv_file_header(file, true, true);
    assert_bytes("file", slice_of(file, sizeof file), "'FLV' 01 05 00000009 00000000");
    flv_file_header(file, false, true);
    bool audio = true, video = false;
    assert_int_equal(flv_file_header_read(file, sizeof file, &audio, &video), sizeof file);
    assert_false(audio);
    assert_true(video);
    assert_int_equal(flv_file_header_read(file, sizeof file - 1, &audio, &video), 0);
    file[0] = 'f';
    assert_int_equal(flv_file_header_read(file, sizeof file, &audio, &video), ERR_PROTOCOL);

    flv_tag_header(head, V, 0x012345, 0x89abcdef);
    assert_bytes("tag", slice_of(head, sizeof head), "09 012345 abcdef 89 000000");
    flv_tag_trailer(tail, 0x012345);
    assert_bytes("trailer", slice_of(tail, sizeof tail), "00012350");
}

static void a_tag_cut_everywhere(void **state)
{
    struct wire w = wire_of("08 000003 ffffff 7f 000000 af 01 21 0000000e");
    struct flv_tag tag;
    for (size_t cut = 0; cut < w.len; cut++)
        assert_int_equal(flv_tag_read(w.bytes, cut, 100, &tag), 0);
    assert_int_equal(flv_tag_read(w.bytes, w.len, 3, &tag), w.len);
    assert_int_equal(tag.type, FLV_TAG_AUDIO);
    assert_int_equal(tag.timestamp_ms, 0x7fffffff);
    assert_int_equal(tag.back_pointer, 14);
    assert_bytes("body", tag.body, "af 01 21");
    assert_int_equal(flv_tag_read(w.bytes, w.len, 2, &tag), ERR_TOO_LARGE);
    assert_int_equal(flv_tag_read(w.bytes, FLV_TAG_HEADER_SIZE, 2, &tag), ERR_TOO_LARGE);
    w.bytes[0] = 0x28;
    assert_int_equal(flv_tag_read(w.bytes, w.len, 3, &tag), ERR_UNSUPPORTED);
}

static size_t read_vector(const char *name, uint8_t *bytes)
{
    char path[64];
    snprintf(path, sizeof path, "vectors/vec-%s.flv", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s is not there: tests run in tests/", path);
    size_t len = fread(bytes, 1, VECTOR_MAX, f);
    fclose(f);
    return len;
}

/* Every tag of the recorded vectors, and every body that is made out of them, can be read. */
static void recorded_vectors(void **state)
{
    static const struct {
        const char *name;
        size_t tags, packets, whole;
    } cases[] = {
        {"manytracks", 3, 6, 0},
        {"manytracks-seq1", 4, 6, 2},
        {"manytracksmanycodecs-seq1", 3, 4, 2},
        {"modex-nano", 5, 5, 5},
    };
    uint8_t *bytes = malloc(VECTOR_MAX);
    uint8_t *body = malloc(VECTOR_MAX);
    assert_non_null(bytes);
    assert_non_null(body);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t len = read_vector(cases[i].name, bytes), tags = 0, packets = 0, whole = 0;
        bool audio, video;
        ssize_t at = flv_file_header_read(bytes, len, &audio, &video);
        assert_int_equal(at, FLV_FILE_HEADER_SIZE);
        while ((size_t)at < len) {
            struct flv_tag tag;
            ssize_t n = flv_tag_read(bytes + at, len - (size_t)at, FLV_BODY_MAX, &tag);
            assert_true(n > 0);
            assert_int_equal(tag.back_pointer, tag.body.len + FLV_TAG_HEADER_SIZE);
            at += n;
            tags++;
            struct flv_packet p[FLV_PACKETS_MAX], again[FLV_PACKETS_MAX];
            int count = flv_packets(tag.type, tag.body, p);
            assert_true(count > 0);
            for (int k = 0; k < count; k++) {
                packets++;
                if (flv_is_whole(&p[k])) {
                    whole++;
                    continue;
                }
                struct wr w = wr_init(body, VECTOR_MAX);
                flv_split(&p[k], &w);
                assert_int_equal(flv_packets(tag.type, wr_slice(&w), again), 1);
                assert_true(slice_eq(again->payload, p[k].payload));
            }
        }
        if (tags != cases[i].tags || packets != cases[i].packets || whole != cases[i].whole)
            fail_msg("%s: %zu tags, %zu packets, %zu whole", cases[i].name, tags, packets, whole);
    }
    free(bytes);
    free(body);
}

static void codec_names(void **state)
{
    static const struct {
        uint32_t codec;
        const char *name;
    } cases[] = {
        {FLV_CODEC_AVC, "h264"},
        {FLV_CODEC_HEVC, "hevc"},
        {FLV_CODEC_AV1, "av1"},
        {FLV_CODEC_VP9, "vp9"},
        {FLV_CODEC_VP8, "vp8"},
        {FLV_CODEC_VVC, "vvc"},
        {FLV_CODEC_AAC, "aac"},
        {FLV_CODEC_OPUS, "opus"},
        {FLV_CODEC_MP3, "mp3"},
        {FLV_CODEC_FLAC, "flac"},
        {FLV_CODEC_AC3, "ac3"},
        {FLV_CODEC_EAC3, "eac3"},
        {FLV_CODEC_LEGACY_AUDIO(11), "speex"},
        {0, "unknown"},
        {0x31637668, "unknown"}, /* "1cvh": byte-swapped, as GStreamer writes it */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(flv_codec_name(cases[i].codec), cases[i].name);
    assert_true(flv_codec_has_cts(FLV_CODEC_VVC));
    assert_false(flv_codec_has_cts(FLV_CODEC_AV1));
    assert_false(flv_codec_has_cts(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_one_packet),
        cmocka_unit_test(a_body_that_is_refused),
        cmocka_unit_test(a_body_cut_everywhere),
        cmocka_unit_test(many_tracks_become_one_body_each),
        cmocka_unit_test(sixteen_tracks_and_not_more),
        cmocka_unit_test(a_plain_player_gets_track_0),
        cmocka_unit_test(file_and_tag_headers),
        cmocka_unit_test(a_tag_cut_everywhere),
        cmocka_unit_test(recorded_vectors),
        cmocka_unit_test(codec_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
