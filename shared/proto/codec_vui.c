#include "base/err.h"
#include "proto/codec_internal.h"

/* What H.264 and H.265 say alike about the picture. */

#define SAR_EXTENDED    255  /* aspect_ratio_idc: written out */
#define RATE_FRAMES_MAX 1000 /* per second; more is a clock without meaning */

/* aspect_ratio_idc (ISO/IEC 14496-10, table E-1). */
static const uint8_t ratios[][2] = {
    {1, 1},   {1, 1},   {12, 11}, {10, 11}, {16, 11},  {40, 33}, {24, 11}, {20, 11}, {32, 11},
    {80, 33}, {18, 11}, {15, 11}, {64, 33}, {160, 99}, {4, 3},   {3, 2},   {2, 1},
};

int codec_set_size(struct codec_video *v, const struct codec_window *w)
{
    if (w->crop_width >= w->width || w->crop_height >= w->height)
        return ERR_PROTOCOL;
    v->width = w->width - (uint32_t)w->crop_width;
    v->height = w->height - (uint32_t)w->crop_height;
    return v->width <= CODEC_SIDE_MAX && v->height <= CODEC_SIDE_MAX ? 0 : ERR_UNSUPPORTED;
}

void codec_set_rate(struct codec_video *v, uint32_t scale, uint64_t ticks)
{
    if (scale == 0 || ticks == 0 || ticks > UINT32_MAX || scale / ticks > RATE_FRAMES_MAX ||
        scale < ticks)
        return;
    v->rate_num = scale;
    v->rate_den = (uint32_t)ticks;
}

static void read_aspect(struct bits *b, struct codec_video *v)
{
    uint32_t idc = bits_u(b, 8), width = 1, height = 1;
    if (idc == SAR_EXTENDED) {
        width = bits_u(b, 16);
        height = bits_u(b, 16);
    } else if (idc < sizeof ratios / sizeof ratios[0]) {
        width = ratios[idc][0];
        height = ratios[idc][1];
    }
    if (b->underrun || width == 0 || height == 0)
        return;
    v->sar_width = width;
    v->sar_height = height;
}

static void read_colour(struct bits *b, struct codec_colour *c)
{
    bits_skip(b, 3); /* video_format */
    struct codec_colour read = {.known = true, .full_range = bits_flag(b)};
    if (!bits_flag(b))
        return;
    read.primaries = (uint8_t)bits_u(b, 8);
    read.transfer = (uint8_t)bits_u(b, 8);
    read.matrix = (uint8_t)bits_u(b, 8);
    if (!b->underrun)
        *c = read;
}

void codec_read_vui(struct bits *b, struct codec_video *v)
{
    if (bits_flag(b))
        read_aspect(b, v);
    if (bits_flag(b))
        bits_flag(b); /* overscan */
    if (bits_flag(b))
        read_colour(b, &v->colour);
    if (bits_flag(b)) {
        bits_ue(b); /* chroma_sample_loc_type_top_field */
        bits_ue(b);
    }
}
