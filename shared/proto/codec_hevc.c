#include "base/err.h"
#include "proto/codec_internal.h"

/* H.265: HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) and the sequence parameter set
 * in it (23008-2, 7.3.2.2). */

#define HVCC_AFTER_LEVEL      8 /* bytes from min_spatial_segmentation to avgFrameRate */
#define HVCC_CONSTRAINT_BYTES 6
#define HEVC_NAL_SPS          33
#define HEVC_CHROMA_444       3
#define HEVC_PROFILE_BITS     88 /* of profile_tier_level, without the level */
#define HEVC_SUB_LAYERS_MAX   7
#define HEVC_SHORT_SETS_MAX   64 /* num_short_term_ref_pic_sets */
#define HEVC_SHORT_PICS_MAX   16 /* pictures of a set, before or after the current one */
#define HEVC_LONG_PICS_MAX    32 /* num_long_term_ref_pics_sps */
#define HEVC_POC_BITS_MAX     16

struct hvcc {
    uint8_t profile, level; /* profile space, tier and profile as one byte */
    uint32_t compatible;
    struct slice constraints;
    struct slice sps; /* empty when there is none */
};

static int read_hvcc(struct slice config, struct hvcc *h)
{
    struct rd r = rd_slice(config);
    uint8_t version = rd_u8(&r);
    h->profile = rd_u8(&r);
    h->compatible = rd_u32(&r);
    h->constraints = rd_slice_of(&r, HVCC_CONSTRAINT_BYTES);
    h->level = rd_u8(&r);
    rd_take(&r, HVCC_AFTER_LEVEL);
    rd_u8(&r); /* temporal layers, length of NAL unit sizes */
    int arrays = rd_u8(&r);
    for (int i = 0; i < arrays && !r.underrun; i++) {
        uint8_t type = rd_u8(&r) & 0x3f;
        int count = rd_u16(&r);
        for (int n = 0; n < count && !r.underrun; n++) {
            struct slice nal = rd_slice_of(&r, rd_u16(&r));
            if (type == HEVC_NAL_SPS && h->sps.len == 0)
                h->sps = nal;
        }
    }
    return r.underrun || version > 1 || h->sps.len == 0 ? ERR_PROTOCOL : 0;
}

static void skip_profile(struct bits *b, uint32_t sub_layers)
{
    bool has_profile[HEVC_SUB_LAYERS_MAX] = {0}, has_level[HEVC_SUB_LAYERS_MAX] = {0};
    bits_skip(b, HEVC_PROFILE_BITS + 8);
    for (uint32_t i = 0; i < sub_layers; i++) {
        has_profile[i] = bits_flag(b);
        has_level[i] = bits_flag(b);
    }
    if (sub_layers > 0)
        bits_skip(b, 2 * (8 - sub_layers));
    for (uint32_t i = 0; i < sub_layers; i++)
        bits_skip(b, (has_profile[i] ? HEVC_PROFILE_BITS : 0) + (has_level[i] ? 8U : 0U));
}

static void read_window(struct bits *b, uint32_t chroma, struct codec_window *w)
{
    w->width = bits_ue(b);
    w->height = bits_ue(b);
    if (!bits_flag(b))
        return;
    uint64_t x = bits_ue(b), y;
    x += bits_ue(b);
    y = bits_ue(b);
    y += bits_ue(b);
    w->crop_width = x * (chroma == 1 || chroma == 2 ? 2 : 1);
    w->crop_height = y * (chroma == 1 ? 2 : 1);
}

static void skip_scaling_lists(struct bits *b)
{
    for (int size = 0; size < 4; size++) {
        for (int matrix = 0; matrix < 6 && !b->underrun; matrix += size == 3 ? 3 : 1) {
            if (!bits_flag(b)) {
                bits_ue(b); /* as another list */
                continue;
            }
            int count = size == 0 ? 16 : 64;
            if (size > 1)
                bits_se(b);
            for (int i = 0; i < count && !b->underrun; i++)
                bits_se(b);
        }
    }
}

/* A set that is written out; returns how many pictures it has. */
static uint32_t skip_explicit_set(struct bits *b)
{
    uint32_t before = bits_ue(b), after = bits_ue(b);
    if (before > HEVC_SHORT_PICS_MAX || after > HEVC_SHORT_PICS_MAX) {
        b->underrun = true;
        return 0;
    }
    for (uint32_t i = 0; i < before + after && !b->underrun; i++) {
        bits_ue(b);
        bits_flag(b);
    }
    return before + after;
}

/* A set that is told as a change of the one before it, which has `pics` pictures. */
static uint32_t skip_predicted_set(struct bits *b, uint32_t pics)
{
    bits_flag(b);
    bits_ue(b);
    uint32_t kept = 0;
    for (uint32_t i = 0; i <= pics; i++) {
        bool used = bits_flag(b);
        if (used || bits_flag(b))
            kept++;
    }
    return kept;
}

static void skip_short_sets(struct bits *b)
{
    uint32_t count = bits_ue(b), pics = 0;
    if (count > HEVC_SHORT_SETS_MAX)
        b->underrun = true;
    for (uint32_t i = 0; i < count && !b->underrun; i++) {
        bool predicted = i > 0 && bits_flag(b);
        pics = predicted ? skip_predicted_set(b, pics) : skip_explicit_set(b);
        if (pics > 2 * HEVC_SHORT_PICS_MAX)
            b->underrun = true;
    }
}

static void skip_long_pics(struct bits *b, uint32_t poc_bits)
{
    if (!bits_flag(b))
        return;
    uint32_t count = bits_ue(b);
    if (count > HEVC_LONG_PICS_MAX)
        b->underrun = true;
    for (uint32_t i = 0; i < count && !b->underrun; i++)
        bits_skip(b, poc_bits + 1);
}

/* What lies between the picture's size and the usability information. */
static void skip_to_vui(struct bits *b, uint32_t sub_layers)
{
    bits_ue(b); /* bit_depth_luma_minus8 */
    bits_ue(b);
    uint32_t poc_bits = bits_ue(b) + 4;
    if (poc_bits > HEVC_POC_BITS_MAX)
        b->underrun = true;
    for (uint32_t i = bits_flag(b) ? 0 : sub_layers; i <= sub_layers && !b->underrun; i++) {
        bits_ue(b);
        bits_ue(b);
        bits_ue(b);
    }
    for (int i = 0; i < 6; i++)
        bits_ue(b); /* block sizes and depths */
    bool scaled = bits_flag(b);
    if (scaled && bits_flag(b))
        skip_scaling_lists(b);
    bits_skip(b, 2); /* amp, sample adaptive offset */
    if (bits_flag(b)) {
        bits_skip(b, 8); /* pcm bit depths */
        bits_ue(b);
        bits_ue(b);
        bits_flag(b);
    }
    skip_short_sets(b);
    skip_long_pics(b, b->underrun ? 0 : poc_bits);
    bits_skip(b, 2); /* temporal mvp, strong intra smoothing */
}

static void read_vui(struct bits *b, struct codec_video *v)
{
    codec_read_vui(b, v);
    bits_skip(b, 3); /* neutral chroma, fields, frame and field info */
    if (bits_flag(b)) {
        for (int i = 0; i < 4; i++)
            bits_ue(b); /* default display window */
    }
    if (!bits_flag(b))
        return;
    uint32_t ticks = bits_u(b, 32), scale = bits_u(b, 32);
    if (!b->underrun)
        codec_set_rate(v, scale, ticks);
}

static int read_sps(struct codec_info *out, struct slice nal)
{
    struct bits b = bits_of_nal(nal);
    bits_skip(&b, 16 + 4); /* NAL unit header, video parameter set */
    uint32_t sub_layers = bits_u(&b, 3);
    if (sub_layers >= HEVC_SUB_LAYERS_MAX)
        return ERR_PROTOCOL;
    bits_flag(&b);
    skip_profile(&b, sub_layers);
    bits_ue(&b);
    uint32_t chroma = bits_ue(&b);
    if (chroma == HEVC_CHROMA_444 && bits_flag(&b))
        chroma = 0;
    struct codec_window window = {0};
    read_window(&b, chroma, &window);
    if (b.underrun)
        return ERR_PROTOCOL;
    skip_to_vui(&b, sub_layers);
    if (bits_flag(&b))
        read_vui(&b, &out->video);
    return codec_set_size(&out->video, &window);
}

static uint32_t reverse(uint32_t v)
{
    uint32_t out = 0;
    for (int i = 0; i < 32; i++)
        out = out << 1 | (v >> i & 1);
    return out;
}

/* ISO/IEC 14496-15, annex E.3. */
static void write_string(struct codec_info *out, const struct hvcc *h)
{
    static const char *const spaces[] = {"", "A", "B", "C"};
    codec_string(out, "hvc1.%s%u.%X.%c%u", spaces[h->profile >> 6], h->profile & 0x1fU,
                 reverse(h->compatible), (h->profile & 0x20) != 0 ? 'H' : 'L', h->level);
    size_t used = HVCC_CONSTRAINT_BYTES;
    while (used > 0 && h->constraints.p[used - 1] == 0)
        used--;
    for (size_t i = 0; i < used; i++)
        codec_string(out, ".%X", h->constraints.p[i]);
}

int codec_read_hevc(struct codec_info *out, struct slice config, struct slice frame)
{
    if (config.len == 0)
        return ERR_NOT_FOUND;
    struct hvcc h = {0};
    int err = read_hvcc(config, &h);
    if (err < 0)
        return err;
    write_string(out, &h);
    out->published = config;
    return read_sps(out, h.sps);
}
