#include "proto/codec_info.h"

#include "base/err.h"
#include "base/must.h"
#include "proto/codec_internal.h"
#include "proto/mp4_box.h"

#include <stdarg.h>
#include <stdio.h>

/* The codecs that go into MP4, and their configuration boxes. */

#define HVCC_FIXED_SIZE 23   /* bytes before the arrays of parameter sets */
#define HVCC_COMPLETE   0x80 /* array_completeness */
#define HEVC_NAL_VPS    32
#define HEVC_NAL_PPS    34
#define AUDIO_RATE_MAX  768000 /* samples per second */

static const struct codec {
    uint32_t codec, entry, box;
    enum flv_kind kind;
    codec_reader *read;
    codec_counter *count; /* NULL: every frame is as long as the configuration says */
} codecs[] = {
    {FLV_CODEC_AVC, FOURCC('a', 'v', 'c', '1'), FOURCC('a', 'v', 'c', 'C'), FLV_VIDEO,
     codec_read_avc, NULL},
    {FLV_CODEC_HEVC, FOURCC('h', 'v', 'c', '1'), FOURCC('h', 'v', 'c', 'C'), FLV_VIDEO,
     codec_read_hevc, NULL},
    {FLV_CODEC_AV1, FOURCC('a', 'v', '0', '1'), FOURCC('a', 'v', '1', 'C'), FLV_VIDEO,
     codec_read_av1, NULL},
    {FLV_CODEC_VP9, FOURCC('v', 'p', '0', '9'), FOURCC('v', 'p', 'c', 'C'), FLV_VIDEO,
     codec_read_vp9, NULL},
    {FLV_CODEC_VP8, FOURCC('v', 'p', '0', '8'), FOURCC('v', 'p', 'c', 'C'), FLV_VIDEO,
     codec_read_vp8, NULL},
    {FLV_CODEC_AAC, FOURCC('m', 'p', '4', 'a'), FOURCC('e', 's', 'd', 's'), FLV_AUDIO,
     codec_read_aac, NULL},
    {FLV_CODEC_MP3, FOURCC('m', 'p', '4', 'a'), FOURCC('e', 's', 'd', 's'), FLV_AUDIO,
     codec_read_mp3, codec_count_mp3},
    {FLV_CODEC_OPUS, FOURCC('O', 'p', 'u', 's'), FOURCC('d', 'O', 'p', 's'), FLV_AUDIO,
     codec_read_opus, codec_count_opus},
    {FLV_CODEC_FLAC, FOURCC('f', 'L', 'a', 'C'), FOURCC('d', 'f', 'L', 'a'), FLV_AUDIO,
     codec_read_flac, codec_count_flac},
    {FLV_CODEC_AC3, FOURCC('a', 'c', '-', '3'), FOURCC('d', 'a', 'c', '3'), FLV_AUDIO,
     codec_read_ac3, NULL},
    {FLV_CODEC_EAC3, FOURCC('e', 'c', '-', '3'), FOURCC('d', 'e', 'c', '3'), FLV_AUDIO,
     codec_read_eac3, codec_count_eac3},
};

static const struct codec *find(enum flv_kind kind, uint32_t codec)
{
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (codecs[i].codec == codec && codecs[i].kind == kind)
            return &codecs[i];
    }
    return NULL;
}

struct wr codec_make(struct codec_info *out)
{
    memset(out->made, 0, sizeof out->made);
    return wr_init(out->made, sizeof out->made);
}

void codec_made(struct codec_info *out, const struct wr *w)
{
    must(!w->overflow);
    out->made_len = (uint16_t)wr_len(w);
}

void codec_string(struct codec_info *info, const char *format, ...)
{
    size_t have = strlen(info->codecs), room = sizeof info->codecs - have;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(info->codecs + have, room, format, args);
    va_end(args);
    must(n >= 0 && (size_t)n < room);
}

static int check_audio(const struct codec_audio *a)
{
    bool good = a->sample_rate > 0 && a->sample_rate <= AUDIO_RATE_MAX && a->channels > 0 &&
                a->channels <= CODEC_CHANNELS_MAX;
    return good ? 0 : ERR_PROTOCOL;
}

int codec_info_read(struct codec_info *out, enum flv_kind kind, uint32_t codec, struct slice config,
                    struct slice frame)
{
    const struct codec *c = find(kind, codec);
    *out = (struct codec_info){.kind = kind, .codec = codec};
    if (c == NULL)
        return ERR_UNSUPPORTED;
    if (config.len > CODEC_CONFIG_MAX)
        return ERR_TOO_LARGE;
    out->entry = c->entry;
    out->box = c->box;
    out->video.sar_width = out->video.sar_height = 1;
    int err = c->read(out, config, frame);
    if (err == 0 && kind == FLV_AUDIO)
        err = check_audio(&out->audio);
    out->timescale = kind == FLV_VIDEO ? CODEC_VIDEO_TICKS : out->audio.sample_rate;
    return err;
}

static struct slice content(const struct codec_info *info)
{
    return info->made_len > 0 ? slice_of(info->made, info->made_len) : info->published;
}

size_t codec_info_box_size(const struct codec_info *info)
{
    return MP4_BOX_HEADER_SIZE + content(info).len;
}

/* The sample entry hvc1 says that the parameter sets are all here (ISO/IEC 14496-15, 8.4.1.1), and
 * publishers leave the bit unset. */
static void complete_arrays(uint8_t *hvcc, size_t len)
{
    struct rd r = rd_init(hvcc, len);
    rd_take(&r, HVCC_FIXED_SIZE - 1);
    int arrays = rd_u8(&r);
    for (int i = 0; i < arrays; i++) {
        uint8_t *array = hvcc + (len - rd_left(&r));
        uint8_t type = rd_u8(&r) & 0x3f;
        int count = rd_u16(&r);
        if (r.underrun)
            return;
        if (type >= HEVC_NAL_VPS && type <= HEVC_NAL_PPS)
            *array |= HVCC_COMPLETE;
        for (int n = 0; n < count; n++)
            rd_take(&r, rd_u16(&r));
    }
}

void codec_info_box(const struct codec_info *info, struct wr *w)
{
    struct slice bytes = content(info);
    size_t at = mp4_box_open(w, info->box);
    uint8_t *p = wr_room(w, bytes.len);
    if (p != NULL && bytes.len > 0) {
        memcpy(p, bytes.p, bytes.len);
        if (info->codec == FLV_CODEC_HEVC)
            complete_arrays(p, bytes.len);
    }
    mp4_box_close(w, at);
}

uint32_t codec_frame_samples(const struct codec_info *info, struct slice payload)
{
    const struct codec *c = find(info->kind, info->codec);
    must(c != NULL && c->kind == FLV_AUDIO);
    return c->count != NULL ? c->count(info, payload) : info->audio.frame_samples;
}
