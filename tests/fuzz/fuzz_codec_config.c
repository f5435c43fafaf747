#include "base/must.h"
#include "proto/codec_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    enum flv_kind kind;
    uint32_t codec;
} codecs[] = {
    {FLV_VIDEO, FLV_CODEC_AVC}, {FLV_VIDEO, FLV_CODEC_HEVC}, {FLV_VIDEO, FLV_CODEC_AV1},
    {FLV_VIDEO, FLV_CODEC_VP9}, {FLV_VIDEO, FLV_CODEC_VP8},  {FLV_AUDIO, FLV_CODEC_AAC},
    {FLV_AUDIO, FLV_CODEC_MP3}, {FLV_AUDIO, FLV_CODEC_OPUS}, {FLV_AUDIO, FLV_CODEC_FLAC},
    {FLV_AUDIO, FLV_CODEC_AC3}, {FLV_AUDIO, FLV_CODEC_EAC3},
};

static void check(const struct codec_info *info, struct slice frame)
{
    must(info->codecs[0] != '\0' && info->timescale > 0);
    if (info->kind == FLV_VIDEO)
        must(info->video.width <= CODEC_SIDE_MAX && info->video.height <= CODEC_SIDE_MAX &&
             info->video.width > 0 && info->video.height > 0 && info->video.sar_height > 0);
    else
        must(info->audio.channels <= CODEC_CHANNELS_MAX);
    static uint8_t box[CODEC_CONFIG_MAX + CODEC_MADE_MAX];
    struct wr w = wr_init(box, sizeof box);
    codec_info_box(info, &w);
    must(!w.overflow && wr_len(&w) == codec_info_box_size(info));
    if (info->kind == FLV_AUDIO)
        (void)codec_frame_samples(info, frame);
}

/* The first byte chooses the codec, the second how long the configuration is; the rest is the
 * frame. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t which = data[0] % (sizeof codecs / sizeof codecs[0]);
    struct rd r = rd_init(data + 2, size - 2);
    struct slice config = rd_slice_of(&r, data[1] < rd_left(&r) ? data[1] : rd_left(&r));
    struct slice frame = rd_rest(&r);
    struct codec_info info;
    if (codec_info_read(&info, codecs[which].kind, codecs[which].codec, config, frame) == 0)
        check(&info, frame);
    struct slice sample = codec_sample(codecs[which].codec, frame);
    must(sample.len <= frame.len);
    info = (struct codec_info){.kind = FLV_VIDEO};
    (void)codec_info_colour(&info, config);
    return 0;
}
