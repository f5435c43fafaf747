#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "mp4_walk.h"
#include "proto/fmp4.h"

#include <stdlib.h>

#define HEAD_MAX 2048
#define IOV_ROOM 16

/* Bytes from text: two hexadecimal digits each, spaces and line ends between them, 'text' as it
 * is. */
static size_t bytes_of(const char *text, uint8_t *dst, size_t room)
{
    size_t n = 0;
    for (const char *p = text; *p != '\0';) {
        assert_true(n < room);
        if (*p == ' ' || *p == '\n') {
            p++;
        } else if (*p == '\'') {
            for (p++; *p != '\''; p++)
                dst[n++] = (uint8_t)*p;
            p++;
        } else {
            assert_int_equal(hex_decode(slice_of(p, 2), dst + n++, 1), 0);
            p += 2;
        }
    }
    return n;
}

static void assert_bytes(struct slice have, const char *text)
{
    uint8_t want[HEAD_MAX];
    size_t n = bytes_of(text, want, sizeof want);
    for (size_t i = 0; i < n && i < have.len; i++) {
        if (have.p[i] != want[i])
            fail_msg("byte %zu is %02x, not %02x", i, have.p[i], want[i]);
    }
    assert_int_equal(have.len, n);
}

static struct codec_info info_of(enum flv_kind kind, uint32_t codec, const char *config,
                                 uint8_t room[HEX_BYTES_MAX])
{
    struct codec_info info;
    assert_int_equal(
        codec_info_read(&info, kind, codec, hex_bytes(config, room), slice_of(NULL, 0)), 0);
    return info;
}

#define AVCC "0142c01effe1001b6742c01eda0280bfe5c05a808080a0000003002000000791e2c5d401000468ce3c80"

/* clang-format off */
static const char init_bytes[] =
    "00000018 'ftyp' 'iso6' 00000000 'iso6' 'mp41'"
    "00000456 'moov'"
    " 0000006c 'mvhd' 000000000000000000000000000003e80000000000010000010000000000000000000000"
    "      0001000000000000000000000000000000010000000000000000000000000000400000000000000000"
    "      0000000000000000000000000000000000000000000003"
    " 000001f9 'trak'"
    "  0000005c 'tkhd' 0000000300000000000000000000000100000000000000000000000000000000000000"
    "       0000000000000100000000000000000000000000000001000000000000000000000000000040000000"
    "       0280000001680000"
    "  00000195 'mdia'"
    "   00000020 'mdhd' 00000000000000000000000000015f900000000055c40000"
    "   00000026 'hdlr' 000000000000000076696465000000000000000000000000766964656f00"
    "   00000147 'minf'"
    "    00000014 'vmhd' 000000010000000000000000"
    "    00000024 'dinf'"
    "     0000001c 'dref' 0000000000000001"
    "      0000000c 'url ' 00000001"
    "    00000107 'stbl'"
    "     000000bb 'stsd' 0000000000000001"
    "      000000ab 'avc1' 000000000000000100000000000000000000000000000000028001680048000000"
    "           480000000000000001000000000000000000000000000000000000000000000000000000000000"
    "           00000018ffff"
    "       00000032 'avcC' 0142c01effe1001b6742c01eda0280bfe5c05a808080a0000003002000000791e2"
    "            c5d401000468ce3c80"
    "       00000010 'pasp' 0000000100000001"
    "       00000013 'colr' 6e636c7800010001000100"
    "     00000010 'stts' 0000000000000000"
    "     00000010 'stsc' 0000000000000000"
    "     00000014 'stsz' 000000000000000000000000"
    "     00000010 'stco' 0000000000000000"
    " 000001a1 'trak'"
    "  0000005c 'tkhd' 0000000300000000000000000000000200000000000000000000000000000000000000"
    "       0101000000000100000000000000000000000000000001000000000000000000000000000040000000"
    "       0000000000000000"
    "  0000013d 'mdia'"
    "   00000020 'mdhd' 0000000000000000000000000000bb800000000055c40000"
    "   00000026 'hdlr' 0000000000000000736f756e000000000000000000000000617564696f00"
    "   000000ef 'minf'"
    "    00000010 'smhd' 0000000000000000"
    "    00000024 'dinf'"
    "     0000001c 'dref' 0000000000000001"
    "      0000000c 'url ' 00000001"
    "    000000b3 'stbl'"
    "     00000067 'stsd' 0000000000000001"
    "      00000057 'mp4a' 000000000000000100000000000000000002001000000000bb800000"
    "       00000033 'esds' 000000000380808022000000048080801440150000000000000000000000058080"
    "            80021190068080800102"
    "     00000010 'stts' 0000000000000000"
    "     00000010 'stsc' 0000000000000000"
    "     00000014 'stsz' 000000000000000000000000"
    "     00000010 'stco' 0000000000000000"
    " 00000048 'mvex'"
    "  00000020 'trex' 000000000000000100000001000000000000000001010000"
    "  00000020 'trex' 000000000000000200000001000000000000000002000000";
/* clang-format on */

static void test_init(void **state)
{
    uint8_t room[2][HEX_BYTES_MAX], out[HEAD_MAX];
    struct codec_info video = info_of(FLV_VIDEO, FLV_CODEC_AVC, AVCC, room[0]),
                      audio = info_of(FLV_AUDIO, FLV_CODEC_AAC, "1190", room[1]);
    const struct fmp4_track tracks[] = {
        {fmp4_track_id(FLV_VIDEO, 0), &video},
        {fmp4_track_id(FLV_AUDIO, 0), &audio},
    };
    struct wr w = wr_init(out, sizeof out);
    fmp4_init(tracks, 2, &w);
    assert_false(w.overflow);
    assert_true(wr_len(&w) <= fmp4_init_size(tracks, 2));
    assert_bytes(wr_slice(&w), init_bytes);
    assert_int_equal(mp4_walk_boxes(wr_slice(&w)), 36);
}

/* One track: a CMAF header; AV1, colour, HDR and rates that the entry cannot hold. */
static void test_init_of_one_track(void **state)
{
    uint8_t room[HEX_BYTES_MAX], out[HEAD_MAX];
    struct codec_info info =
        info_of(FLV_VIDEO, FLV_CODEC_AV1, "81010d000a0f0200000d2627fb3805f02020202480", room);
    info.video.sar_width = 4;
    info.video.sar_height = 3;
    info.video.hdr = (struct codec_hdr){.has_mdcv = true, .has_clli = true, .cll_max = 1000};
    struct fmp4_track track = {fmp4_track_id(FLV_VIDEO, 3), &info};
    struct wr w = wr_init(out, sizeof out);
    fmp4_init(&track, 1, &w);
    assert_false(w.overflow);
    assert_true(wr_len(&w) <= fmp4_init_size(&track, 1));
    mp4_walk_boxes(wr_slice(&w));
    uint8_t start[HEX_BYTES_MAX];
    size_t n = bytes_of("00000020 'ftyp' 'iso6' 00000000 'iso6' 'mp41' 'cmfc' 'av01'", start,
                        sizeof start);
    assert_memory_equal(out, start, n);
    static const char *const inside[] = {
        "'tkhd' 00000003 0000000000000000 00000007",
        "03550000 01680000", /* 853 x 360 */
        "'pasp' 00000004 00000003",
        "'colr' 'nclx' 0001 0001 0001 00",
        "00000020 'mdcv'",
        "0000000c 'clli' 03e8 0000",
    };
    for (size_t i = 0; i < COUNT_OF(inside); i++) {
        n = bytes_of(inside[i], start, sizeof start);
        if (memmem(out, wr_len(&w), start, n) == NULL)
            fail_msg("no %s", inside[i]);
    }

    info = info_of(FLV_AUDIO, FLV_CODEC_FLAC,
                   "1000120000043e00051d177002f000017700e0cb469356ac5f26bec3e2d9ed9184c1", room);
    track.id = fmp4_track_id(FLV_AUDIO, 255);
    w = wr_init(out, sizeof out);
    fmp4_init(&track, 1, &w);
    mp4_walk_boxes(wr_slice(&w));
    n = bytes_of("'fLaC' 000000000000 0001 0000000000000000 0002 0010 00000000 bb800000 0000",
                 start, sizeof start);
    assert_non_null(memmem(out, wr_len(&w), start, n - 2)); /* half of 96,000 */
}

static struct fmp4_sample sample_of(const char *text, uint32_t duration, int32_t cts, bool sync)
{
    return (struct fmp4_sample){slice_text(text), duration, cts, sync};
}

/* Writes a part whole. */
static struct slice write_part(const struct fmp4_part *part, uint8_t out[HEAD_MAX])
{
    struct iovec iov[IOV_ROOM];
    size_t head_size, payload_size, len = 0;
    uint8_t head[HEAD_MAX];
    assert_int_equal(fmp4_part_size(part, &head_size, &payload_size), 0);
    struct wr w = wr_init(head, head_size);
    fmp4_part_head(part, &w);
    assert_false(w.overflow);
    assert_int_equal(wr_len(&w), head_size);
    int n = fmp4_part_iov(part, wr_slice(&w), iov, IOV_ROOM);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        assert_true(len + iov[i].iov_len <= HEAD_MAX);
        memcpy(out + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    assert_int_equal(len, head_size + payload_size);
    return slice_of(out, len);
}

static void test_part(void **state)
{
    struct fmp4_sample video[] = {
        sample_of("key", 3000, 6000, true),
        sample_of("later", 3000, 9000, false),
        sample_of("b", 3600, -600, false),
    };
    struct fmp4_sample audio[] = {
        sample_of("aa", 1024, 0, true),
        sample_of("bbb", 1024, 0, true),
    };
    struct fmp4_run runs[] = {
        {.track_id = 1, .decode_time = UINT64_C(0x123456789a), .samples = video, .count = 3},
        {.track_id = 3, .decode_time = 5, .samples = NULL, .count = 0},
        {.track_id = 2, .audio = true, .decode_time = 96000, .samples = audio, .count = 2},
    };
    struct fmp4_part part = {.sequence = fmp4_sequence(0x1000005, 7), .runs = runs, .count = 3};
    uint8_t out[2][HEAD_MAX];
    struct slice bytes = write_part(&part, out[0]);
    assert_bytes(bytes, "000000d8 'moof'"
                        " 00000010 'mfhd' 00000000 00001407"
                        " 00000070 'traf'"
                        "  00000010 'tfhd' 00020000 00000001"
                        "  00000014 'tfdt' 01000000 000000123456789a"
                        "  00000044 'trun' 01000f01 00000003 000000e0"
                        "   00000bb8 00000003 02000000 00001770"
                        "   00000bb8 00000005 01010000 00002328"
                        "   00000e10 00000001 01010000 fffffda8"
                        " 00000050 'traf'"
                        "  00000010 'tfhd' 00020000 00000002"
                        "  00000014 'tfdt' 01000000 0000000000017700"
                        "  00000024 'trun' 01000301 00000002 000000e9"
                        "   00000400 00000002"
                        "   00000400 00000003"
                        "00000016 'mdat' 'keylaterbaabbb'");
    struct mp4_walk_sample found[5] = {0};
    uint32_t sequence;
    assert_int_equal(mp4_walk_part(bytes, &sequence, found, 5), 5);
    assert_true(slice_is(found[4].data, "bbb") && found[4].decode_time == 97024);
    assert_true(slice_eq(write_part(&part, out[1]), bytes));
}

static void test_part_without_reordering(void **state)
{
    struct fmp4_sample video[] = {sample_of("key", 3000, 0, true), sample_of("", 3000, 0, false)};
    struct fmp4_run run = {.track_id = 1, .samples = video, .count = 2};
    struct fmp4_part part = {.sequence = 1, .runs = &run, .count = 1};
    uint8_t out[HEAD_MAX];
    struct slice bytes = write_part(&part, out);
    struct mp4_walk_sample found[2] = {0};
    uint32_t sequence;
    assert_int_equal(mp4_walk_part(bytes, &sequence, found, 2), 2);
    assert_true(found[0].flags == FMP4_SAMPLE_SYNC && found[1].flags == FMP4_SAMPLE_INTER);
    assert_true(found[1].data.len == 0);
}

static void test_limits(void **state)
{
    static struct fmp4_sample many[FMP4_SAMPLES_MAX + 1];
    static const uint8_t byte;
    struct fmp4_run runs[FMP4_TRACKS_MAX + 1] = {{.samples = many, .count = FMP4_SAMPLES_MAX}};
    struct fmp4_part part = {.runs = runs, .count = 1};
    size_t head, payload;
    assert_int_equal(fmp4_part_size(&part, &head, &payload), 0);
    assert_int_equal(payload, 0);
    runs[0].count++;
    assert_int_equal(fmp4_part_size(&part, &head, &payload), ERR_TOO_MANY);
    runs[0].count = 2;
    many[0].payload = slice_of(&byte, FMP4_PART_BYTES_MAX); /* only counted */
    assert_int_equal(fmp4_part_size(&part, &head, &payload), 0);
    assert_int_equal(payload, FMP4_PART_BYTES_MAX);
    many[1].payload = slice_of(&byte, 1);
    assert_int_equal(fmp4_part_size(&part, &head, &payload), ERR_TOO_LARGE);
    struct iovec iov[3];
    assert_int_equal(fmp4_part_iov(&part, slice_of(&byte, 1), iov, 3), 3);
    assert_int_equal(fmp4_part_iov(&part, slice_of(&byte, 1), iov, 2), ERR_TOO_MANY);
    assert_int_equal(fmp4_part_iov(&part, slice_of(&byte, 1), iov, 0), ERR_TOO_MANY);
    part.count = FMP4_TRACKS_MAX + 1;
    assert_int_equal(fmp4_part_size(&part, &head, &payload), ERR_TOO_MANY);
}

static void test_numbers(void **state)
{
    assert_int_equal(fmp4_track_id(FLV_VIDEO, 0), 1);
    assert_int_equal(fmp4_track_id(FLV_AUDIO, 0), 2);
    assert_int_equal(fmp4_track_id(FLV_VIDEO, 255), 511);
    assert_int_equal(fmp4_track_id(FLV_AUDIO, 255), 512);
    assert_int_equal(fmp4_sequence(1, 2), 1026);
    assert_int_equal(fmp4_sequence(0x3fffff, 1023), 0xffffffff);
    assert_int_equal(fmp4_sequence(0x400000, 1024), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),   cmocka_unit_test(test_init_of_one_track),
        cmocka_unit_test(test_part),   cmocka_unit_test(test_part_without_reordering),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
