#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/amf0.h"
#include "proto/codec_info.h"

#include <stdio.h>
#include <stdlib.h>

#define V FLV_VIDEO
#define A FLV_AUDIO

/* Configurations and first bytes of frames as encoders sent them, and what they say. */
static const struct sample {
    const char *what;
    enum flv_kind kind;
    uint32_t codec;
    const char *config, *frame;
    const char *codecs;
    uint32_t timescale;
    struct codec_video video;
    struct codec_audio audio;
    const char *box; /* its content; NULL: the configuration as published */
} samples[] = {
    {.what = "OBS, Baseline",
     .kind = V,
     .codec = FLV_CODEC_AVC,
     .config =
         "0142c01effe1001b6742c01eda0280bfe5c05a808080a0000003002000000791e2c5d401000468ce3c80",
     .codecs = "avc1.42c01e",
     .timescale = 90000,
     .video = {.width = 640,
               .height = 360,
               .sar_width = 1,
               .sar_height = 1,
               .rate_num = 60,
               .rate_den = 2,
               .colour = {.known = true, .primaries = 1, .transfer = 1, .matrix = 1}}},
    {.what = "x264, interlaced, scaling lists, full range, not square",
     .kind = V,
     .codec = FLV_CODEC_AVC,
     .config =
         "0164001effe1001d6764001eacd940b47b608dc141415000000300100000030321f142996001000768fba3"
         "cb3002c0fdf8f800",
     .codecs = "avc1.64001e",
     .timescale = 90000,
     .video = {.width = 720,
               .height = 480,
               .sar_width = 16,
               .sar_height = 11,
               .rate_num = 50,
               .rate_den = 2,
               .colour = {.known = true,
                          .full_range = true,
                          .primaries = 5,
                          .transfer = 5,
                          .matrix = 5}}},
    {.what = "High 4:4:4",
     .kind = V,
     .codec = FLV_CODEC_AVC,
     .config =
         "01f4000dffe1001d67f4000d90d96405067e37016a0c0c0c80000003008000001e478a152401000468ebcc"
         "448440",
     .codecs = "avc1.f4000d",
     .timescale = 90000,
     .video = {.width = 320,
               .height = 180,
               .sar_width = 1,
               .sar_height = 1,
               .rate_num = 60,
               .rate_den = 2,
               .colour = {.known = true, .primaries = 6, .transfer = 6, .matrix = 6}}},
    {.what = "x265, HDR10: the arrays become complete",
     .kind = V,
     .codec = FLV_CODEC_HEVC,
     .config =
         "0102200000009000000000003cf000fcfdfafa00000f03200001001840010c01ffff022000000300900000030"
         "00003003c959409210001002e42010102200000030090000003000003003ca00a080c1f3b6595952930bc05a8"
         "48804820000003002000000303c122000100064401c073c189",
     .codecs = "hvc1.2.4.L60.90",
     .timescale = 90000,
     .video = {.width = 320,
               .height = 180,
               .sar_width = 1,
               .sar_height = 1,
               .rate_num = 30,
               .rate_den = 1,
               .colour = {.known = true, .primaries = 9, .transfer = 16, .matrix = 9}},
     .box = "0102200000009000000000003cf000fcfdfafa00000f03"
            "a00001001840010c01ffff02200000030090000003000003003c959409"
            "a10001002e42010102200000030090000003000003003ca00a080c1f3b6595952930bc05a84880482000"
            "0003"
            "002000000303c1"
            "a2000100064401c073c189"},
    {.what = "x265, default scaling lists, not square, cropped",
     .kind = V,
     .codec = FLV_CODEC_HEVC,
     .config = "0101600000009000000000003cf000fcfdf8f800000f02a10001002f420101016000000300900000"
               "03000003003ca0192079f265959a49395ffe00200032d0100000030010000003019080a200010007"
               "4401c172b46240",
     .codecs = "hvc1.1.6.L60.90",
     .timescale = 90000,
     .video = {.width = 200,
               .height = 114,
               .sar_width = 16,
               .sar_height = 25,
               .rate_num = 25,
               .rate_den = 1}},
    {.what = "SVT-AV1 of OBS",
     .kind = V,
     .codec = FLV_CODEC_AV1,
     .config = "81010d000a0f0200000d2627fb3805f02020202480",
     .codecs = "av01.0.01M.08",
     .timescale = 90000,
     .video = {.width = 640,
               .height = 360,
               .sar_width = 1,
               .sar_height = 1,
               .colour = {.known = true, .primaries = 1, .transfer = 1, .matrix = 1}}},
    {.what = "AV1 whose record has no sequence header",
     .kind = V,
     .codec = FLV_CODEC_AV1,
     .config = "81010d00",
     .frame = "1200 0a0f0200000d2627fb3805f02020202480 3200",
     .codecs = "av01.0.01M.08",
     .timescale = 90000,
     .video = {.width = 640,
               .height = 360,
               .sar_width = 1,
               .sar_height = 1,
               .colour = {.known = true, .primaries = 1, .transfer = 1, .matrix = 1}}},
    {.what = "AV1 without a record",
     .kind = V,
     .codec = FLV_CODEC_AV1,
     .frame = "1200 0a0b000000043cfecc02f80040 3200",
     .codecs = "av01.0.00M.08",
     .timescale = 90000,
     .video = {.width = 320,
               .height = 180,
               .sar_width = 1,
               .sar_height = 1,
               .colour = {.primaries = 2, .transfer = 2, .matrix = 2}},
     .box = "81000c00 0a0b000000043cfecc02f80040"},
    {.what = "VP9",
     .kind = V,
     .codec = FLV_CODEC_VP9,
     .config = "01000000 021f a3 091009 0000",
     .frame = "824983420003f002360c3824",
     .codecs = "vp09.02.31.10.01.09.16.09.01",
     .timescale = 90000,
     .video = {.width = 64,
               .height = 36,
               .sar_width = 1,
               .sar_height = 1,
               .colour = {.known = true,
                          .full_range = true,
                          .primaries = 9,
                          .transfer = 16,
                          .matrix = 9}}},
    {.what = "VP9 without a record",
     .kind = V,
     .codec = FLV_CODEC_VP9,
     .frame = "824983420003f002360c3824",
     .codecs = "vp09.00.10.08",
     .timescale = 90000,
     .video = {.width = 64, .height = 36, .sar_width = 1, .sar_height = 1},
     .box = "01000000 000a 82 020202 0000"},
    {.what = "VP8 without a record",
     .kind = V,
     .codec = FLV_CODEC_VP8,
     .frame = "701a009d012a4000240002470885",
     .codecs = "vp08.00.10.08",
     .timescale = 90000,
     .video = {.width = 64, .height = 36, .sar_width = 1, .sar_height = 1},
     .box = "01000000 000a 82 020202 0000"},
    {.what = "AAC",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "1190",
     .codecs = "mp4a.40.2",
     .timescale = 48000,
     .audio = {48000, 2, 1024},
     .box = "00000000 0380808022 0000 00 0480808014 4015 000000 00000000 00000000 0580808002 1190"
            "0680808001 02"},
    {.what = "AAC, sizes of descriptors take two bytes",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "1190"
               "000000000000000000000000000000000000000000000000000000000000"
               "000000000000000000000000000000000000000000000000000000000000"
               "000000000000000000000000000000000000000000000000000000000000"
               "0000000000000000",
     .codecs = "mp4a.40.2",
     .timescale = 48000,
     .audio = {48000, 2, 1024},
     .box = "00000000 0380808104 0000 00 0480808076 4015 000000 00000000 00000000 0580808064 1190"
            "000000000000000000000000000000000000000000000000000000000000"
            "000000000000000000000000000000000000000000000000000000000000"
            "000000000000000000000000000000000000000000000000000000000000"
            "0000000000000000"
            "0680808001 02"},
    {.what = "AAC that says there is no SBR",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "119056e500",
     .codecs = "mp4a.40.2",
     .timescale = 48000,
     .audio = {48000, 2, 1024},
     .box = "00000000 0380808025 0000 00 0480808017 4015 000000 00000000 00000000 0580808005"
            "119056e500 0680808001 02"},
    {.what = "AAC of 960 samples, rate written out",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "1780 5dc0 0c", /* 00010 1111 000000001011101110000000 0001 100 */
     .codecs = "mp4a.40.2",
     .timescale = 48000,
     .audio = {48000, 1, 960},
     .box = "00000000 0380808025 0000 00 0480808017 4015 000000 00000000 00000000 0580808005"
            "17805dc00c 0680808001 02"},
    {.what = "HE-AAC, explicit",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "2b118800", /* 00101 0110 0010 0011 00010 0 0 0 */
     .codecs = "mp4a.40.5",
     .timescale = 48000,
     .audio = {48000, 2, 2048},
     .box = "00000000 0380808024 0000 00 0480808016 4015 000000 00000000 00000000 0580808004"
            "2b118800 0680808001 02"},
    {.what = "HE-AAC, backward compatible",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "131056e598", /* 00010 0110 0010 000, 2b7 00101 1 0011 */
     .codecs = "mp4a.40.5",
     .timescale = 48000,
     .audio = {48000, 2, 2048},
     .box = "00000000 0380808025 0000 00 0480808017 4015 000000 00000000 00000000 0580808005"
            "131056e598 0680808001 02"},
    {.what = "HE-AAC v2, explicit",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "eb098800", /* 11101 0110 0001 0011 00010 0 0 0 */
     .codecs = "mp4a.40.29",
     .timescale = 48000,
     .audio = {48000, 2, 2048},
     .box = "00000000 0380808024 0000 00 0480808016 4015 000000 00000000 00000000 0580808004"
            "eb098800 0680808001 02"},
    {.what = "HE-AAC v2, backward compatible",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "130856e59d4880", /* 00010 0110 0001 000, 2b7 00101 1 0011, 548 1 */
     .codecs = "mp4a.40.29",
     .timescale = 48000,
     .audio = {48000, 2, 2048},
     .box = "00000000 0380808027 0000 00 0480808019 4015 000000 00000000 00000000 0580808007"
            "130856e59d4880 0680808001 02"},
    {.what = "AAC with its channels in a program config element",
     .kind = A,
     .codec = FLV_CODEC_AAC,
     .config = "118004c80500010880", /* one single front, one pair front, one pair back, LFE */
     .codecs = "mp4a.40.2",
     .timescale = 48000,
     .audio = {48000, 6, 1024},
     .box = "00000000 0380808029 0000 00 048080801b 4015 000000 00000000 00000000 0580808009"
            "118004c80500010880 0680808001 02"},
    {.what = "MP3",
     .kind = A,
     .codec = FLV_CODEC_MP3,
     .frame = "fffb54040000",
     .codecs = "mp4a.40.34",
     .timescale = 48000,
     .audio = {48000, 2, 1152},
     .box = "00000000 038080801b 0000 00 048080800d 6b15 000000 00000000 00000000 0680808001 02"},
    {.what = "MP3, version 2",
     .kind = A,
     .codec = FLV_CODEC_MP3,
     .frame = "fff340c40014",
     .codecs = "mp4a.40.34",
     .timescale = 22050,
     .audio = {22050, 1, 576},
     .box = "00000000 038080801b 0000 00 048080800d 6915 000000 00000000 00000000 0680808001 02"},
    {.what = "Opus",
     .kind = A,
     .codec = FLV_CODEC_OPUS,
     .config = "4f707573486561640102380180bb0000feff00",
     .codecs = "opus",
     .timescale = 48000,
     .audio = {48000, 2, 0},
     .box = "00 02 0138 0000bb80 fffe 00"},
    {.what = "Opus 5.1",
     .kind = A,
     .codec = FLV_CODEC_OPUS,
     .config = "4f707573486561640106380180bb0000000001 0402 000401020305",
     .codecs = "opus",
     .timescale = 48000,
     .audio = {48000, 6, 0},
     .box = "00 06 0138 0000bb80 0000 01 0402 000401020305"},
    {.what = "Opus without a header",
     .kind = A,
     .codec = FLV_CODEC_OPUS,
     .frame = "fcb4065a",
     .codecs = "opus",
     .timescale = 48000,
     .audio = {48000, 2, 0},
     .box = "00 02 0000 0000bb80 0000 00"},
    {.what = "FLAC",
     .kind = A,
     .codec = FLV_CODEC_FLAC,
     .config =
         "664c6143 00000022 1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d9ed9184c1"
         " 84000004 00000000",
     .codecs = "fLaC",
     .timescale = 48000,
     .audio = {48000, 2, 4608},
     .box =
         "00000000 80000022 1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d9ed9184c1"},
    {.what = "FLAC, STREAMINFO alone",
     .kind = A,
     .codec = FLV_CODEC_FLAC,
     .config = "1000120000043e00051d177002f000017700e0cb469356ac5f26bec3e2d9ed9184c1",
     .codecs = "fLaC",
     .timescale = 96000,
     .audio = {96000, 2, 0},
     .box =
         "00000000 80000022 1000120000043e00051d177002f000017700e0cb469356ac5f26bec3e2d9ed9184c1"},
    {.what = "AC-3 5.1",
     .kind = A,
     .codec = FLV_CODEC_AC3,
     .frame = "0b77b50b1e40ebf8403e",
     .codecs = "ac-3",
     .timescale = 48000,
     .audio = {48000, 6, 1536},
     .box = "103de0"},
    {.what = "E-AC-3 stereo",
     .kind = A,
     .codec = FLV_CODEC_EAC3,
     .frame = "0b77017f3487c0002084210838",
     .codecs = "ec-3",
     .timescale = 48000,
     .audio = {48000, 2, 1536},
     .box = "0600 2004 00"},
    {.what = "E-AC-3 7.1: a dependent substream with the rear channels",
     .kind = A,
     .codec = FLV_CODEC_EAC3,
     .frame = "0b7700073f8000000000000000000000 0b774007348010200000000000000000",
     .codecs = "ec-3",
     .timescale = 48000,
     .audio = {48000, 8, 1536},
     .box = "0040 20 0f 02 02"},
};

static struct slice bytes_of(const char *text, uint8_t dst[HEX_BYTES_MAX])
{
    return text != NULL ? hex_bytes(text, dst) : slice_of(NULL, 0);
}

static void assert_video(const char *what, const struct codec_video *a, const struct codec_video *b)
{
    bool same = a->width == b->width && a->height == b->height && a->sar_width == b->sar_width &&
                a->sar_height == b->sar_height && a->rate_num == b->rate_num &&
                a->rate_den == b->rate_den;
    if (!same)
        fail_msg("%s: %ux%u, %u:%u, %u/%u", what, a->width, a->height, a->sar_width, a->sar_height,
                 a->rate_num, a->rate_den);
    same = a->colour.known == b->colour.known && a->colour.full_range == b->colour.full_range &&
           a->colour.primaries == b->colour.primaries && a->colour.transfer == b->colour.transfer &&
           a->colour.matrix == b->colour.matrix;
    if (!same)
        fail_msg("%s: colour %d %d %u/%u/%u", what, a->colour.known, a->colour.full_range,
                 a->colour.primaries, a->colour.transfer, a->colour.matrix);
}

static void assert_audio(const char *what, const struct codec_audio *a, const struct codec_audio *b)
{
    if (a->sample_rate != b->sample_rate || a->channels != b->channels ||
        a->frame_samples != b->frame_samples)
        fail_msg("%s: %u, %u channels, %u samples", what, a->sample_rate, a->channels,
                 a->frame_samples);
}

static void assert_box(const struct sample *s, const struct codec_info *info, struct slice config)
{
    uint8_t room[HEX_BYTES_MAX], box[HEX_BYTES_MAX];
    struct slice want = s->box != NULL ? hex_bytes(s->box, room) : config;
    struct wr w = wr_init(box, sizeof box);
    codec_info_box(info, &w);
    assert_false(w.overflow);
    assert_int_equal(wr_len(&w), codec_info_box_size(info));
    struct slice have = slice_of(box + 8, wr_len(&w) - 8);
    if (!slice_eq(have, want)) {
        char text[2 * HEX_BYTES_MAX + 1];
        hex_encode(have.p, have.len, text);
        fail_msg("%s: box %s", s->what, text);
    }
    struct rd r = rd_slice(wr_slice(&w));
    assert_int_equal(rd_u32(&r), wr_len(&w));
    assert_int_equal(rd_u32(&r), info->box);
}

static void test_samples(void **state)
{
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const struct sample *s = &samples[i];
        uint8_t room[2][HEX_BYTES_MAX];
        struct slice config = bytes_of(s->config, room[0]), frame = bytes_of(s->frame, room[1]);
        struct codec_info info;
        int err = codec_info_read(&info, s->kind, s->codec, config, frame);
        if (err != 0)
            fail_msg("%s: %s", s->what, err_text(err));
        assert_string_equal(info.codecs, s->codecs);
        assert_int_equal(info.timescale, s->timescale);
        if (s->kind == V)
            assert_video(s->what, &info.video, &s->video);
        else
            assert_audio(s->what, &info.audio, &s->audio);
        assert_box(s, &info, config);
    }
}

/* Every part of a configuration or frame, in memory of its own so that a read past it is seen. */
static void test_cut_everywhere(void **state)
{
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const struct sample *s = &samples[i];
        uint8_t room[2][HEX_BYTES_MAX];
        struct slice config = bytes_of(s->config, room[0]), frame = bytes_of(s->frame, room[1]);
        struct slice *cut = config.len > 0 ? &config : &frame;
        while (cut->len > 0) {
            cut->len--;
            uint8_t *copy = malloc(cut->len + 1);
            assert_non_null(copy);
            memcpy(copy + 1, cut == &config ? room[0] : room[1], cut->len);
            cut->p = copy + 1;
            struct codec_info info;
            int err = codec_info_read(&info, s->kind, s->codec, config, frame);
            assert_true(err <= 0);
            if (config.len + frame.len == 0)
                assert_int_equal(err, ERR_NOT_FOUND);
            free(copy);
        }
    }
}

static const struct {
    const char *what;
    enum flv_kind kind;
    uint32_t codec;
    const char *config, *frame;
    int err;
} refused[] = {
    {"VP6", V, FLV_CODEC_LEGACY_VIDEO(4), "00", "00", ERR_UNSUPPORTED},
    {"VVC", V, FLV_CODEC_VVC, "00", "00", ERR_UNSUPPORTED},
    {"Speex", A, FLV_CODEC_LEGACY_AUDIO(11), "00", "00", ERR_UNSUPPORTED},
    {"sound as a picture", V, FLV_CODEC_AAC, "1190", NULL, ERR_UNSUPPORTED},
    {"AVC: nothing", V, FLV_CODEC_AVC, NULL, "00000001 09", ERR_NOT_FOUND},
    {"AVC: another version", V, FLV_CODEC_AVC, "0242c01effe1000467420000010001 68", NULL,
     ERR_PROTOCOL},
    {"AVC: no parameter set", V, FLV_CODEC_AVC, "0142c01effe0 00", NULL, ERR_PROTOCOL},
    {"AVC: a picture parameter set instead", V, FLV_CODEC_AVC,
     "0142c01effe1001b6842c01eda0280bfe5c05a808080a0000003002000000791e2c5d401000468ce3c80", NULL,
     ERR_PROTOCOL},
    {"HEVC: no arrays", V, FLV_CODEC_HEVC, "0102200000009000000000003cf000fcfdfafa00000f00", NULL,
     ERR_PROTOCOL},
    {"AV1: wrong marker", V, FLV_CODEC_AV1, "01010d000a0f0200000d2627fb3805f02020202480", NULL,
     ERR_PROTOCOL},
    {"AV1: no sequence header yet", V, FLV_CODEC_AV1, "81010d00", "12003200", ERR_NOT_FOUND},
    {"VP9: an inter frame", V, FLV_CODEC_VP9, NULL, "8600409292", ERR_NOT_FOUND},
    {"VP8: an inter frame", V, FLV_CODEC_VP8, NULL, "7103001410ac001e8d40", ERR_NOT_FOUND},
    {"AAC: nothing", A, FLV_CODEC_AAC, NULL, "2110", ERR_NOT_FOUND},
    {"AAC: no such rate", A, FLV_CODEC_AAC, "1690", NULL, ERR_PROTOCOL},
    {"AAC: reserved channels", A, FLV_CODEC_AAC, "11f8", NULL, ERR_PROTOCOL},
    {"AAC: USAC", A, FLV_CODEC_AAC, "f94a2000", NULL, ERR_UNSUPPORTED},
    {"MP3: layer 2", A, FLV_CODEC_MP3, NULL, "fffd54c4", ERR_NOT_FOUND},
    {"Opus: another magic", A, FLV_CODEC_OPUS, "4f707573546167730102380180bb0000000000", NULL,
     ERR_PROTOCOL},
    {"Opus: three channels of family 0", A, FLV_CODEC_OPUS,
     "4f707573486561640103380180bb0000000000", NULL, ERR_PROTOCOL},
    {"FLAC: no STREAMINFO", A, FLV_CODEC_FLAC, "664c614384000004 00000000", NULL, ERR_PROTOCOL},
    {"AC-3: E-AC-3", A, FLV_CODEC_AC3, NULL, "0b77017f3487c0002084210838", ERR_NOT_FOUND},
    {"E-AC-3: nothing yet", A, FLV_CODEC_EAC3, NULL, NULL, ERR_NOT_FOUND},
};

static void test_refused(void **state)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        uint8_t room[2][HEX_BYTES_MAX];
        struct codec_info info;
        int err = codec_info_read(&info, refused[i].kind, refused[i].codec,
                                  bytes_of(refused[i].config, room[0]),
                                  bytes_of(refused[i].frame, room[1]));
        if (err != refused[i].err)
            fail_msg("%s: %d, not %d", refused[i].what, err, refused[i].err);
    }
    static uint8_t large[CODEC_CONFIG_MAX + 1];
    struct codec_info info;
    assert_int_equal(
        codec_info_read(&info, V, FLV_CODEC_AVC, slice_of(large, sizeof large), slice_of(NULL, 0)),
        ERR_TOO_LARGE);
}

static const struct {
    uint32_t codec;
    const char *config, *frame, *payload;
    uint32_t samples;
} lengths[] = {
    {FLV_CODEC_AAC, "1190", NULL, "2110", 1024},
    {FLV_CODEC_MP3, NULL, "fffb54c4", "fffb54c4", 1152},
    {FLV_CODEC_MP3, NULL, "fffb54c4", "00000000", 0},
    {FLV_CODEC_AC3, NULL, "0b77b50b1e40ebf8403e", "0b77", 1536},
    {FLV_CODEC_EAC3, NULL, "0b77017f3487c00020842108", "0b7700013487c000 0b7700013487c000", 1536},
    {FLV_CODEC_EAC3, NULL, "0b77017f3487c00020842108",
     "0b7700073f8000000000000000000000 0b7700073f8000000000000000000000", 3072},
    {FLV_CODEC_OPUS, NULL, "fc", "fc", 960},    /* CELT, 20 ms, one */
    {FLV_CODEC_OPUS, NULL, "fc", "e0", 120},    /* CELT, 2.5 ms */
    {FLV_CODEC_OPUS, NULL, "fc", "1a", 5760},   /* SILK, 60 ms, two */
    {FLV_CODEC_OPUS, NULL, "fc", "0b03", 2880}, /* SILK, 20 ms, three */
    {FLV_CODEC_OPUS, NULL, "fc", "6803", 960},  /* hybrid, 20 ms */
    {FLV_CODEC_OPUS, NULL, "fc", "1b03", 0},    /* 180 ms */
    {FLV_CODEC_OPUS, NULL, "fc", "fb", 0},
    {FLV_CODEC_FLAC, "1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d9ed9184c1", NULL,
     "fff85a08008100", 4608},
    {FLV_CODEC_FLAC, "1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d9ed9184c1", NULL,
     "fff87a08c2a0 0dff 00", 3584},
    {FLV_CODEC_FLAC, "1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d9ed9184c1", NULL,
     "fff86a0800 bf 00", 192},
    {FLV_CODEC_FLAC, "1200120000043e00051d0bb802f000017700e0cb469356ac5f26bec3e2d9ed9184c1", NULL,
     "0000", 0},
};

static void test_frame_samples(void **state)
{
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        uint8_t room[3][HEX_BYTES_MAX];
        struct codec_info info;
        assert_int_equal(codec_info_read(&info, A, lengths[i].codec,
                                         bytes_of(lengths[i].config, room[0]),
                                         bytes_of(lengths[i].frame, room[1])),
                         0);
        uint32_t n = codec_frame_samples(&info, bytes_of(lengths[i].payload, room[2]));
        if (n != lengths[i].samples)
            fail_msg("%s: %u samples, not %u", lengths[i].payload, n, lengths[i].samples);
    }
}

static void test_sample_bytes(void **state)
{
    static const struct {
        uint32_t codec;
        const char *payload, *sample;
    } rows[] = {
        {FLV_CODEC_AV1, "1200 3201aa", "3201aa"},     {FLV_CODEC_AV1, "1200 1200 3201aa", "3201aa"},
        {FLV_CODEC_AV1, "3201aa 1200", "3201aa1200"}, {FLV_CODEC_AV1, "32ff", "32ff"},
        {FLV_CODEC_VP9, "1200 3201aa", "12003201aa"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t room[2][HEX_BYTES_MAX];
        assert_true(slice_eq(codec_sample(rows[i].codec, bytes_of(rows[i].payload, room[0])),
                             bytes_of(rows[i].sample, room[1])));
    }
}

static size_t write_colour_info(uint8_t *dst, size_t room)
{
    struct wr w = wr_init(dst, room);
    amf0_write_text(&w, "colorInfo");
    amf0_write_object(&w);
    amf0_write_key(&w, slice_text("colorConfig"));
    amf0_write_object(&w);
    amf0_property_number(&w, "bitDepth", 10);
    amf0_property_number(&w, "colorPrimaries", 9);
    amf0_property_number(&w, "transferCharacteristics", 16);
    amf0_property_number(&w, "matrixCoefficients", 9);
    amf0_write_end(&w);
    amf0_write_key(&w, slice_text("hdrCll"));
    amf0_write_object(&w);
    amf0_property_number(&w, "maxFall", 400);
    amf0_property_number(&w, "maxCLL", 1000);
    amf0_write_end(&w);
    amf0_write_key(&w, slice_text("hdrMdcv"));
    amf0_write_object(&w);
    amf0_property_number(&w, "redX", 0.68);
    amf0_property_number(&w, "redY", 0.32);
    amf0_property_number(&w, "greenX", 0.265);
    amf0_property_number(&w, "greenY", 0.69);
    amf0_property_number(&w, "blueX", 0.15);
    amf0_property_number(&w, "blueY", 0.06);
    amf0_property_number(&w, "whitePointX", 0.3127);
    amf0_property_number(&w, "whitePointY", 0.329);
    amf0_property_number(&w, "maxLuminance", 1000);
    amf0_property_number(&w, "minLuminance", 0.005);
    amf0_write_end(&w);
    amf0_write_end(&w);
    assert_false(w.overflow);
    return wr_len(&w);
}

static void test_colour_info(void **state)
{
    uint8_t message[HEX_BYTES_MAX];
    size_t len = write_colour_info(message, sizeof message);
    struct codec_info info = {.kind = V};
    assert_int_equal(codec_info_colour(&info, slice_of(message, len)), 0);
    const struct codec_colour *c = &info.video.colour;
    assert_true(c->known && c->primaries == 9 && c->transfer == 16 && c->matrix == 9);
    const struct codec_hdr *h = &info.video.hdr;
    static const uint16_t primaries[6] = {13250, 34500, 7500, 3000, 34000, 16000};
    assert_true(h->has_mdcv && h->has_clli);
    assert_memory_equal(h->primaries, primaries, sizeof primaries);
    assert_true(h->white[0] == 15635 && h->white[1] == 16450);
    assert_true(h->luminance_max == 10000000 && h->luminance_min == 50);
    assert_true(h->cll_max == 1000 && h->fall_max == 400);

    /* What ffmpeg sends when it knows nothing changes nothing. */
    uint8_t room[HEX_BYTES_MAX];
    struct slice empty = hex_bytes("020009636f6c6f72496e666f03000b636f6c6f72436f6e6669670300"
                                   "0009000009",
                                   room);
    struct codec_info before = info;
    assert_int_equal(codec_info_colour(&info, empty), 0);
    assert_memory_equal(&info, &before, sizeof info);
    assert_int_equal(codec_info_colour(&info, slice_of(message, 5)), ERR_PROTOCOL);
    assert_int_equal(codec_info_colour(&info, slice_of("\x05", 1)), ERR_PROTOCOL);
    assert_memory_equal(&info, &before, sizeof info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),      cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_frame_samples),
        cmocka_unit_test(test_sample_bytes), cmocka_unit_test(test_colour_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
