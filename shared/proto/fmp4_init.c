#include "base/must.h"
#include "proto/fmp4.h"
#include "proto/mp4_box.h"

/* The initialization segment: ftyp and moov (ISO/IEC 14496-12, 4.3 and 8). */

#define INIT_FIXED_SIZE  256  /* bytes outside of tracks, at most */
#define TRACK_FIXED_SIZE 704  /* bytes of a track without its configuration box, at most */
#define MOVIE_TICKS      1000 /* timescale of the movie header, which times nothing */
#define FIXED_ONE        0x10000
#define TRACK_IN_USE     3 /* tkhd: enabled, in the movie */
#define FULL_VOLUME      0x0100
#define LANGUAGE_UND     0x55c4 /* three letters of five bits */
#define NO_COLOUR_TABLE  0xffff
#define DEPTH_COLOUR     24
#define SAMPLE_BITS      16
#define ENTRY_RATE_MAX   65535 /* what a sample entry can hold */

static const uint8_t matrix[36] = {
    0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 1,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0,
};

size_t fmp4_init_size(const struct fmp4_track *tracks, int count)
{
    size_t size = INIT_FIXED_SIZE;
    for (int i = 0; i < count; i++)
        size += TRACK_FIXED_SIZE + codec_info_box_size(tracks[i].info);
    return size;
}

/* A CMAF header has one track (23000-19, 7.3.1); with more it is plain ISO media. */
static void write_ftyp(const struct fmp4_track *tracks, int count, struct wr *w)
{
    size_t box = mp4_box_open(w, FOURCC('f', 't', 'y', 'p'));
    wr_u32(w, FOURCC('i', 's', 'o', '6'));
    wr_u32(w, 0);
    wr_u32(w, FOURCC('i', 's', 'o', '6'));
    wr_u32(w, FOURCC('m', 'p', '4', '1'));
    if (count == 1)
        wr_u32(w, FOURCC('c', 'm', 'f', 'c'));
    for (int i = 0; i < count; i++) {
        if (tracks[i].info->codec == FLV_CODEC_AV1) {
            wr_u32(w, FOURCC('a', 'v', '0', '1'));
            break;
        }
    }
    mp4_box_close(w, box);
}

static void write_mvhd(uint32_t next_id, struct wr *w)
{
    size_t box = mp4_full_box_open(w, FOURCC('m', 'v', 'h', 'd'), 0, 0);
    wr_zeros(w, 8); /* times of creation and modification */
    wr_u32(w, MOVIE_TICKS);
    wr_u32(w, 0); /* duration: told by the fragments */
    wr_u32(w, FIXED_ONE);
    wr_u16(w, FULL_VOLUME);
    wr_zeros(w, 10);
    wr_bytes(w, matrix, sizeof matrix);
    wr_zeros(w, 24);
    wr_u32(w, next_id);
    mp4_box_close(w, box);
}

/* Width as shown: with the pixels' aspect, rounded. */
static uint32_t shown_width(const struct codec_video *v)
{
    uint64_t width = ((uint64_t)v->width * v->sar_width + v->sar_height / 2) / v->sar_height;
    return (uint32_t)(width <= CODEC_SIDE_MAX ? width : CODEC_SIDE_MAX);
}

static void write_tkhd(const struct fmp4_track *t, struct wr *w)
{
    bool is_video = t->info->kind == FLV_VIDEO;
    size_t box = mp4_full_box_open(w, FOURCC('t', 'k', 'h', 'd'), 0, TRACK_IN_USE);
    wr_zeros(w, 8);
    wr_u32(w, t->id);
    wr_zeros(w, 4 + 4 + 8 + 2);  /* reserved, duration, reserved, layer */
    wr_u16(w, is_video ? 0 : 1); /* alternate group */
    wr_u16(w, is_video ? 0 : FULL_VOLUME);
    wr_zeros(w, 2);
    wr_bytes(w, matrix, sizeof matrix);
    wr_u32(w, is_video ? shown_width(&t->info->video) << 16 : 0);
    wr_u32(w, is_video ? t->info->video.height << 16 : 0);
    mp4_box_close(w, box);
}

static void write_mdhd(const struct codec_info *info, struct wr *w)
{
    size_t box = mp4_full_box_open(w, FOURCC('m', 'd', 'h', 'd'), 0, 0);
    wr_zeros(w, 8);
    wr_u32(w, info->timescale);
    wr_u32(w, 0);
    wr_u16(w, LANGUAGE_UND);
    wr_zeros(w, 2);
    mp4_box_close(w, box);
}

static void write_hdlr(const struct codec_info *info, struct wr *w)
{
    bool is_video = info->kind == FLV_VIDEO;
    size_t box = mp4_full_box_open(w, FOURCC('h', 'd', 'l', 'r'), 0, 0);
    wr_zeros(w, 4);
    wr_u32(w, is_video ? FOURCC('v', 'i', 'd', 'e') : FOURCC('s', 'o', 'u', 'n'));
    wr_zeros(w, 12);
    wr_text(w, is_video ? "video" : "audio");
    wr_u8(w, 0);
    mp4_box_close(w, box);
}

static void write_pasp(const struct codec_video *v, struct wr *w)
{
    size_t box = mp4_box_open(w, FOURCC('p', 'a', 's', 'p'));
    wr_u32(w, v->sar_width);
    wr_u32(w, v->sar_height);
    mp4_box_close(w, box);
}

static void write_colr(const struct codec_colour *c, struct wr *w)
{
    size_t box = mp4_box_open(w, FOURCC('c', 'o', 'l', 'r'));
    wr_u32(w, FOURCC('n', 'c', 'l', 'x'));
    wr_u16(w, c->primaries);
    wr_u16(w, c->transfer);
    wr_u16(w, c->matrix);
    wr_u8(w, c->full_range ? 0x80 : 0);
    mp4_box_close(w, box);
}

static void write_hdr(const struct codec_hdr *h, struct wr *w)
{
    if (h->has_mdcv) {
        size_t box = mp4_box_open(w, FOURCC('m', 'd', 'c', 'v'));
        for (int i = 0; i < 6; i++)
            wr_u16(w, h->primaries[i]);
        wr_u16(w, h->white[0]);
        wr_u16(w, h->white[1]);
        wr_u32(w, h->luminance_max);
        wr_u32(w, h->luminance_min);
        mp4_box_close(w, box);
    }
    if (h->has_clli) {
        size_t box = mp4_box_open(w, FOURCC('c', 'l', 'l', 'i'));
        wr_u16(w, h->cll_max);
        wr_u16(w, h->fall_max);
        mp4_box_close(w, box);
    }
}

static void write_video_entry(const struct codec_info *info, struct wr *w)
{
    const struct codec_video *v = &info->video;
    wr_zeros(w, 6);
    wr_u16(w, 1); /* data reference */
    wr_zeros(w, 16);
    wr_u16(w, v->width);
    wr_u16(w, v->height);
    wr_u32(w, 72 * FIXED_ONE); /* dots per inch */
    wr_u32(w, 72 * FIXED_ONE);
    wr_zeros(w, 4);
    wr_u16(w, 1); /* frames per sample */
    wr_zeros(w, 32);
    wr_u16(w, DEPTH_COLOUR);
    wr_u16(w, NO_COLOUR_TABLE);
    codec_info_box(info, w);
    write_pasp(v, w);
    if (v->colour.known)
        write_colr(&v->colour, w);
    write_hdr(&v->hdr, w);
}

static void write_audio_entry(const struct codec_info *info, struct wr *w)
{
    const struct codec_audio *a = &info->audio;
    uint32_t rate = a->sample_rate;
    while (rate > ENTRY_RATE_MAX)
        rate /= 2;
    wr_zeros(w, 6);
    wr_u16(w, 1);
    wr_zeros(w, 8);
    wr_u16(w, a->channels);
    wr_u16(w, SAMPLE_BITS);
    wr_zeros(w, 4);
    wr_u32(w, rate << 16);
    codec_info_box(info, w);
}

static void write_stsd(const struct codec_info *info, struct wr *w)
{
    size_t box = mp4_full_box_open(w, FOURCC('s', 't', 's', 'd'), 0, 0);
    wr_u32(w, 1);
    size_t entry = mp4_box_open(w, info->entry);
    if (info->kind == FLV_VIDEO)
        write_video_entry(info, w);
    else
        write_audio_entry(info, w);
    mp4_box_close(w, entry);
    mp4_box_close(w, box);
}

/* A table without entries: the samples are in the fragments. */
static void write_empty(uint32_t type, size_t counts_size, struct wr *w)
{
    size_t box = mp4_full_box_open(w, type, 0, 0);
    wr_zeros(w, counts_size);
    mp4_box_close(w, box);
}

static void write_stbl(const struct codec_info *info, struct wr *w)
{
    size_t box = mp4_box_open(w, FOURCC('s', 't', 'b', 'l'));
    write_stsd(info, w);
    write_empty(FOURCC('s', 't', 't', 's'), 4, w);
    write_empty(FOURCC('s', 't', 's', 'c'), 4, w);
    write_empty(FOURCC('s', 't', 's', 'z'), 8, w);
    write_empty(FOURCC('s', 't', 'c', 'o'), 4, w);
    mp4_box_close(w, box);
}

/* The media is in the same file. */
static void write_dinf(struct wr *w)
{
    size_t dinf = mp4_box_open(w, FOURCC('d', 'i', 'n', 'f'));
    size_t dref = mp4_full_box_open(w, FOURCC('d', 'r', 'e', 'f'), 0, 0);
    wr_u32(w, 1);
    size_t url = mp4_full_box_open(w, FOURCC('u', 'r', 'l', ' '), 0, 1);
    mp4_box_close(w, url);
    mp4_box_close(w, dref);
    mp4_box_close(w, dinf);
}

static void write_minf(const struct codec_info *info, struct wr *w)
{
    size_t minf = mp4_box_open(w, FOURCC('m', 'i', 'n', 'f'));
    bool is_video = info->kind == FLV_VIDEO;
    size_t header = is_video ? mp4_full_box_open(w, FOURCC('v', 'm', 'h', 'd'), 0, 1)
                             : mp4_full_box_open(w, FOURCC('s', 'm', 'h', 'd'), 0, 0);
    wr_zeros(w, is_video ? 8 : 4);
    mp4_box_close(w, header);
    write_dinf(w);
    write_stbl(info, w);
    mp4_box_close(w, minf);
}

static void write_trak(const struct fmp4_track *t, struct wr *w)
{
    size_t trak = mp4_box_open(w, FOURCC('t', 'r', 'a', 'k'));
    write_tkhd(t, w);
    size_t mdia = mp4_box_open(w, FOURCC('m', 'd', 'i', 'a'));
    write_mdhd(t->info, w);
    write_hdlr(t->info, w);
    write_minf(t->info, w);
    mp4_box_close(w, mdia);
    mp4_box_close(w, trak);
}

static void write_trex(const struct fmp4_track *t, struct wr *w)
{
    size_t box = mp4_full_box_open(w, FOURCC('t', 'r', 'e', 'x'), 0, 0);
    wr_u32(w, t->id);
    wr_u32(w, 1); /* sample description */
    wr_zeros(w, 8);
    wr_u32(w, t->info->kind == FLV_VIDEO ? FMP4_SAMPLE_INTER : FMP4_SAMPLE_SYNC);
    mp4_box_close(w, box);
}

void fmp4_init(const struct fmp4_track *tracks, int count, struct wr *w)
{
    must(count > 0 && count <= FMP4_TRACKS_MAX);
    uint32_t next_id = 0;
    for (int i = 0; i < count; i++)
        next_id = tracks[i].id >= next_id ? tracks[i].id + 1 : next_id;
    write_ftyp(tracks, count, w);
    size_t moov = mp4_box_open(w, FOURCC('m', 'o', 'o', 'v'));
    write_mvhd(next_id, w);
    for (int i = 0; i < count; i++)
        write_trak(&tracks[i], w);
    size_t mvex = mp4_box_open(w, FOURCC('m', 'v', 'e', 'x'));
    for (int i = 0; i < count; i++)
        write_trex(&tracks[i], w);
    mp4_box_close(w, mvex);
    mp4_box_close(w, moov);
}
