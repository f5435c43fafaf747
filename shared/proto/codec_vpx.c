#include "base/err.h"
#include "proto/codec_internal.h"

/*
 * VP8 and VP9: VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding, in its FullBox
 * form) and the header of a key frame, since only that has the picture's size (VP9 bitstream
 * specification, 6.2; RFC 6386, 9.1).
 */

#define VPCC_SIZE          12 /* bytes without initialization data, of which there is none */
#define VPCC_VERSION       1
#define VP9_MARKER         2
#define VP9_SYNC           0x498342
#define VP9_SPACE_RGB      7
#define VP8_TAG_SIZE       3 /* bytes before a key frame's start code */
#define VP8_START_CODE     0x9d012a
#define VP8_SIDE_MASK      0x3fff /* the upper bits ask for scaling */
#define CHROMA_420         1      /* colocated, what is meant when nothing is said */
#define CHROMA_422         2
#define CHROMA_444         3
#define COLOUR_BT709       1
#define COLOUR_UNSPECIFIED 2

struct vpx {
    uint8_t profile, level, depth, chroma;
    struct codec_colour colour;
    uint32_t width, height;
};

/* Levels by the pixels of a picture (VP9 levels, luma picture size); the rate is not known. */
static const struct {
    uint32_t pixels;
    uint8_t level;
} levels[] = {
    {36864, 10},  {73728, 11},   {122880, 20},  {245760, 21},   {552960, 30},
    {983040, 31}, {2228224, 40}, {8912896, 50}, {35651584, 60}, {UINT32_MAX, 62},
};

static uint8_t level_of(uint32_t width, uint32_t height)
{
    uint64_t pixels = (uint64_t)width * height;
    size_t i = 0, last = sizeof levels / sizeof levels[0] - 1;
    while (i < last && pixels > levels[i].pixels)
        i++;
    return levels[i].level;
}

static void read_vp9_colour(struct bits *b, struct vpx *v)
{
    v->depth = 8;
    if (v->profile >= 2)
        v->depth = bits_flag(b) ? 12 : 10;
    v->chroma = v->profile == 1 || v->profile == 3 ? CHROMA_444 : CHROMA_420;
    if (bits_u(b, 3) == VP9_SPACE_RGB) {
        v->colour.full_range = true;
        if (v->chroma == CHROMA_444)
            bits_flag(b);
        return;
    }
    v->colour.full_range = bits_flag(b);
    if (v->chroma != CHROMA_444)
        return;
    bool x = bits_flag(b), y = bits_flag(b);
    bits_flag(b);
    if (x)
        v->chroma = y ? CHROMA_420 : CHROMA_422;
}

static int read_vp9_frame(struct slice frame, struct vpx *v)
{
    struct bits b = bits_of(frame);
    if (bits_u(&b, 2) != VP9_MARKER)
        return ERR_NOT_FOUND;
    uint32_t low = bits_u(&b, 1), high = bits_u(&b, 1);
    v->profile = (uint8_t)(high << 1 | low);
    if (v->profile == 3)
        bits_flag(&b);
    bool shown_again = bits_flag(&b), is_inter = bits_flag(&b);
    bits_skip(&b, 2); /* show_frame, error_resilient_mode */
    if (shown_again || is_inter || bits_u(&b, 24) != VP9_SYNC)
        return ERR_NOT_FOUND;
    read_vp9_colour(&b, v);
    v->width = bits_u(&b, 16) + 1;
    v->height = bits_u(&b, 16) + 1;
    return b.underrun ? ERR_NOT_FOUND : 0;
}

static int read_vp8_frame(struct slice frame, struct vpx *v)
{
    struct rd r = rd_slice(frame);
    const uint8_t *tag = rd_take(&r, VP8_TAG_SIZE);
    uint32_t code = rd_u24(&r);
    const uint8_t *sides = rd_take(&r, 4);
    if (sides == NULL || (tag[0] & 1) != 0 || code != VP8_START_CODE)
        return ERR_NOT_FOUND;
    v->width = (sides[0] | (uint32_t)sides[1] << 8) & VP8_SIDE_MASK;
    v->height = (sides[2] | (uint32_t)sides[3] << 8) & VP8_SIDE_MASK;
    v->depth = 8;
    v->chroma = CHROMA_420;
    return v->width > 0 && v->height > 0 ? 0 : ERR_NOT_FOUND;
}

static int read_record(struct slice config, struct vpx *v)
{
    struct rd r = rd_slice(config);
    uint8_t version = rd_u8(&r);
    rd_u24(&r);
    v->profile = rd_u8(&r);
    v->level = rd_u8(&r);
    uint8_t bits = rd_u8(&r);
    v->depth = bits >> 4;
    v->chroma = bits >> 1 & 7;
    struct codec_colour c = {.full_range = (bits & 1) != 0};
    c.primaries = rd_u8(&r);
    c.transfer = rd_u8(&r);
    c.matrix = rd_u8(&r);
    c.known = c.primaries != COLOUR_UNSPECIFIED || c.transfer != COLOUR_UNSPECIFIED ||
              c.matrix != COLOUR_UNSPECIFIED;
    v->colour = c;
    rd_take(&r, rd_u16(&r));
    return r.underrun || version != VPCC_VERSION ? ERR_PROTOCOL : 0;
}

static void make_record(struct codec_info *out, struct vpx *v)
{
    v->level = level_of(v->width, v->height);
    struct wr w = codec_make(out);
    wr_u32(&w, VPCC_VERSION << 24);
    wr_u8(&w, v->profile);
    wr_u8(&w, v->level);
    wr_u8(&w, (unsigned)v->depth << 4 | (unsigned)v->chroma << 1 | v->colour.full_range);
    wr_u24(&w, 0x020202); /* colour: unspecified */
    wr_u16(&w, 0);
    codec_made(out, &w);
}

/* The binding's codecs parameter; the optional fields when they are not what leaving them out
 * means. */
static void write_string(struct codec_info *out, const struct vpx *v)
{
    const struct codec_colour *c = &v->colour;
    codec_string(out, "%s.%02u.%02u.%02u", out->codec == FLV_CODEC_VP9 ? "vp09" : "vp08",
                 v->profile, v->level, v->depth);
    bool usual = !c->known || (c->primaries == COLOUR_BT709 && c->transfer == COLOUR_BT709 &&
                               c->matrix == COLOUR_BT709);
    if (usual && v->chroma <= CHROMA_420 && !c->full_range)
        return;
    codec_string(out, ".%02u.%02u.%02u.%02u.%02d", v->chroma,
                 c->known ? c->primaries : COLOUR_BT709, c->known ? c->transfer : COLOUR_BT709,
                 c->known ? c->matrix : COLOUR_BT709, c->full_range);
}

static int read_vpx(struct codec_info *out, struct slice config, struct slice frame,
                    int (*read_frame)(struct slice frame, struct vpx *v))
{
    struct vpx v = {0};
    int err = read_frame(frame, &v);
    if (err == 0)
        err = codec_set_size(&out->video,
                             &(struct codec_window){.width = v.width, .height = v.height});
    if (err < 0)
        return err;
    if (config.len > 0)
        err = read_record(config, &v);
    else
        make_record(out, &v);
    if (err < 0)
        return err;
    out->published = config;
    out->video.colour = v.colour;
    write_string(out, &v);
    return 0;
}

int codec_read_vp9(struct codec_info *out, struct slice config, struct slice frame)
{
    return read_vpx(out, config, frame, read_vp9_frame);
}

int codec_read_vp8(struct codec_info *out, struct slice config, struct slice frame)
{
    return read_vpx(out, config, frame, read_vp8_frame);
}
