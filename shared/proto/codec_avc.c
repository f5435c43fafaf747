#include "base/err.h"
#include "proto/codec_internal.h"

/* H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) and the sequence parameter set
 * in it (14496-10, 7.3.2.1.1). */

#define AVCC_VERSION         1
#define AVCC_SPS_MASK        0x1f
#define AVC_NAL_SPS          7
#define AVC_CHROMA_444       3
#define AVC_POC_CYCLE_MAX    255                   /* num_ref_frames_in_pic_order_cnt_cycle */
#define AVC_MACROBLOCKS_MAX  (CODEC_SIDE_MAX / 16) /* of one side */
#define AVC_PROFILE_HIGH_4_4 244

static bool has_chroma_format(uint8_t profile)
{
    static const uint8_t profiles[] = {
        100, 110, 122, AVC_PROFILE_HIGH_4_4, 44, 83, 86, 118, 128, 138, 139, 134, 135};
    for (size_t i = 0; i < sizeof profiles; i++) {
        if (profiles[i] == profile)
            return true;
    }
    return false;
}

static void skip_scaling_list(struct bits *b, int size)
{
    uint32_t last = 8, next = 8;
    for (int i = 0; i < size && !b->underrun; i++) {
        if (next != 0)
            next = (last + (uint32_t)bits_se(b)) & 0xff;
        if (next != 0)
            last = next;
    }
}

/* chroma_format_idc to the scaling matrices; returns chroma_format_idc. */
static uint32_t read_chroma(struct bits *b, bool *separate)
{
    uint32_t format = bits_ue(b);
    if (format == AVC_CHROMA_444)
        *separate = bits_flag(b);
    bits_ue(b); /* bit_depth_luma_minus8 */
    bits_ue(b); /* bit_depth_chroma_minus8 */
    bits_flag(b);
    if (!bits_flag(b))
        return format;
    for (int i = 0; i < (format != AVC_CHROMA_444 ? 8 : 12); i++) {
        if (bits_flag(b))
            skip_scaling_list(b, i < 6 ? 16 : 64);
    }
    return format;
}

static void skip_picture_order(struct bits *b)
{
    uint32_t type = bits_ue(b);
    if (type == 0)
        bits_ue(b);
    if (type != 1)
        return;
    bits_flag(b);
    bits_se(b);
    bits_se(b);
    uint32_t n = bits_ue(b);
    if (n > AVC_POC_CYCLE_MAX)
        b->underrun = true;
    for (uint32_t i = 0; i < n && !b->underrun; i++)
        bits_se(b);
}

static void read_vui(struct bits *b, struct codec_video *v)
{
    codec_read_vui(b, v);
    if (!bits_flag(b))
        return;
    uint32_t ticks = bits_u(b, 32), scale = bits_u(b, 32);
    if (!b->underrun)
        codec_set_rate(v, scale, 2ULL * ticks); /* two fields to a frame */
}

/* pic_width_in_mbs_minus1 to frame cropping. */
static void read_window(struct bits *b, uint32_t chroma, struct codec_window *w)
{
    uint32_t mbs_wide = bits_ue(b), units_high = bits_ue(b);
    bool frames_only = bits_flag(b);
    if (!frames_only)
        bits_flag(b);
    bits_flag(b); /* direct_8x8_inference_flag */
    if (mbs_wide >= AVC_MACROBLOCKS_MAX || units_high >= AVC_MACROBLOCKS_MAX) {
        b->underrun = true;
        return;
    }
    uint32_t lines = frames_only ? 1 : 2;
    w->width = (mbs_wide + 1) * 16;
    w->height = (units_high + 1) * 16 * lines;
    if (!bits_flag(b))
        return;
    uint64_t x = bits_ue(b), y;
    x += bits_ue(b);
    y = bits_ue(b);
    y += bits_ue(b);
    w->crop_width = x * (chroma == 1 || chroma == 2 ? 2 : 1);
    w->crop_height = y * (chroma == 1 ? 2 : 1) * lines;
}

static int read_sps(struct codec_info *out, struct slice nal)
{
    struct bits b = bits_of_nal(nal);
    if ((bits_u(&b, 8) & 0x1f) != AVC_NAL_SPS)
        return ERR_PROTOCOL;
    uint8_t profile = (uint8_t)bits_u(&b, 8);
    bits_skip(&b, 16); /* constraint flags, level */
    bits_ue(&b);
    uint32_t chroma = 1;
    bool separate = false;
    if (has_chroma_format(profile))
        chroma = read_chroma(&b, &separate);
    bits_ue(&b); /* log2_max_frame_num_minus4 */
    skip_picture_order(&b);
    bits_ue(&b); /* max_num_ref_frames */
    bits_flag(&b);
    struct codec_window window = {0};
    read_window(&b, separate ? 0 : chroma, &window);
    bool has_vui = bits_flag(&b);
    if (b.underrun)
        return ERR_PROTOCOL;
    if (has_vui)
        read_vui(&b, &out->video);
    return codec_set_size(&out->video, &window);
}

int codec_read_avc(struct codec_info *out, struct slice config, struct slice frame)
{
    if (config.len == 0)
        return ERR_NOT_FOUND;
    struct rd r = rd_slice(config);
    uint8_t version = rd_u8(&r), profile = rd_u8(&r), compatible = rd_u8(&r), level = rd_u8(&r);
    rd_u8(&r); /* length of NAL unit sizes */
    uint8_t count = rd_u8(&r) & AVCC_SPS_MASK;
    struct slice sps = rd_slice_of(&r, rd_u16(&r));
    if (r.underrun || version != AVCC_VERSION || count == 0)
        return ERR_PROTOCOL;
    codec_string(out, "avc1.%02x%02x%02x", profile, compatible, level);
    out->published = config;
    return read_sps(out, sps);
}
