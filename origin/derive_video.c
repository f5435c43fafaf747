/*
 *   access unit ─decoder─▶ picture, in the order of showing ─libx264─▶ access unit
 */
#include "origin/derive_codec_internal.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"
#include "proto/avc_sets.h"
#include "proto/codec_info.h"
#include "proto/flv.h"

#include <libavutil/opt.h>
#include <stdlib.h>
#include <string.h>

#define TICKS          90000 /* of the encoder, per second */
#define THREADS        2     /* of the encoder, which share each picture */
#define KEY_DISTANCE   1000  /* pictures; the source's key frames come before */
#define RATE_MEANT     30    /* pictures a second, where nothing is known */
#define UNIT_BYTES_MAX (4 * 1024 * 1024)

struct derive_video {
    struct derive_codec codec;
    AVCodecContext *decoder, *encoder;
    AVFrame *frame;
    AVPacket *packet;
    int64_t newest_us; /* of what was given to the encoder */
    uint8_t *unit;     /* of what it gave, with sizes instead of start codes */
    size_t unit_room;
    uint8_t config[AVC_RECORD_MAX];
    size_t config_len;
};

static struct derive_video *video_of(struct derive_codec *codec)
{
    return container_of(codec, struct derive_video, codec);
}

static void video_free(struct derive_codec *codec)
{
    struct derive_video *c = video_of(codec);
    avcodec_free_context(&c->decoder);
    avcodec_free_context(&c->encoder);
    av_frame_free(&c->frame);
    av_packet_free(&c->packet);
    free(c->unit);
    free(c);
}

/* --- NAL units between start codes (H.264, annex B) --- */

/* The next NAL unit from *at on; empty at the end. */
static struct slice next_nal(struct slice all, size_t *at)
{
    size_t begin = *at, end;
    while (begin + 3 <= all.len &&
           !(all.p[begin] == 0 && all.p[begin + 1] == 0 && all.p[begin + 2] == 1))
        begin++;
    if (begin + 3 > all.len)
        return slice_of(NULL, 0);
    begin += 3;
    for (end = begin; end < all.len; end++)
        if (end + 3 <= all.len && all.p[end] == 0 && all.p[end + 1] == 0 && all.p[end + 2] <= 1)
            break;
    *at = end;
    return slice_of(all.p + begin, end - begin);
}

static int read_config(struct derive_video *c)
{
    struct slice nal, all = slice_of(c->encoder->extradata, (size_t)c->encoder->extradata_size);
    struct avc_sets *sets = xcalloc(1, sizeof *sets);
    struct wr w = wr_init(c->config, sizeof c->config);
    int err = 0;
    for (size_t at = 0; err == 0 && (nal = next_nal(all, &at)).len > 0;)
        if (AVC_NAL_TYPE(nal.p[0]) == AVC_NAL_SPS || AVC_NAL_TYPE(nal.p[0]) == AVC_NAL_PPS)
            err = avc_sets_put(sets, nal);
    if (err == 0)
        err = avc_sets_record(sets, &w);
    c->config_len = err == 0 ? wr_len(&w) : 0;
    free(sets);
    return err;
}

/* The packet with sizes instead of start codes, and without parameter sets. */
static struct slice resize_nals(struct derive_video *c)
{
    struct slice nal, all = slice_of(c->packet->data, (size_t)c->packet->size);
    size_t room = all.len * 2 + 4; /* a start code may be shorter than a size */
    if (room > c->unit_room) {
        c->unit = xrealloc(c->unit, room);
        c->unit_room = room;
    }
    struct wr w = wr_init(c->unit, c->unit_room);
    for (size_t at = 0; (nal = next_nal(all, &at)).len > 0;) {
        unsigned type = AVC_NAL_TYPE(nal.p[0]);
        if (type != AVC_NAL_SLICE && type != AVC_NAL_IDR)
            continue;
        wr_u32(&w, (uint32_t)nal.len);
        wr_bytes(&w, nal.p, nal.len);
    }
    must(!w.overflow);
    return wr_slice(&w);
}

/* --- pictures --- */

static bool is_usable(const AVFrame *f)
{
    return f->format == AV_PIX_FMT_YUV420P || f->format == AV_PIX_FMT_YUVJ420P;
}

static int open_encoder(struct derive_video *c, const AVFrame *f)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    avcodec_free_context(&c->encoder);
    if (codec == NULL || !is_usable(f))
        return ERR_UNSUPPORTED;
    AVCodecContext *e = c->encoder = avcodec_alloc_context3(codec);
    if (e == NULL)
        return ERR_NOMEM;
    e->width = f->width;
    e->height = f->height;
    e->pix_fmt = f->format;
    e->sample_aspect_ratio = f->sample_aspect_ratio;
    e->color_primaries = f->color_primaries;
    e->color_trc = f->color_trc;
    e->colorspace = f->colorspace;
    e->color_range = f->color_range;
    e->time_base = (AVRational){1, TICKS};
    e->framerate = (AVRational){RATE_MEANT, 1};
    e->gop_size = KEY_DISTANCE;
    e->max_b_frames = 0;
    e->thread_count = THREADS;
    e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_opt_set(e->priv_data, "preset", "superfast", 0);
    av_opt_set(e->priv_data, "tune", "zerolatency", 0);
    av_opt_set(e->priv_data, "profile", "baseline", 0);
    av_opt_set(e->priv_data, "crf", "23", 0);
    av_opt_set(e->priv_data, "forced-idr", "1", 0);
    av_opt_set(e->priv_data, "x264-params", "scenecut=0", 0);
    if (avcodec_open2(e, codec, NULL) < 0)
        return ERR_UNSUPPORTED;
    return read_config(c);
}

static int encode(struct derive_video *c, derive_sink *sink, void *arg)
{
    if (avcodec_send_frame(c->encoder, c->frame) < 0)
        return ERR_PROTOCOL;
    while (avcodec_receive_packet(c->encoder, c->packet) == 0) {
        const struct derive_unit unit = {.bytes = resize_nals(c),
                                         .dts_us = av_rescale(c->packet->pts, 1000000, TICKS),
                                         .key = (c->packet->flags & AV_PKT_FLAG_KEY) != 0};
        if (unit.bytes.len > 0 && unit.bytes.len <= UNIT_BYTES_MAX)
            sink(&unit, arg);
        av_packet_unref(c->packet);
    }
    return 0;
}

static int take_picture(struct derive_video *c, derive_sink *sink, void *arg)
{
    AVFrame *f = c->frame;
    bool key = f->key_frame != 0;
    int err = 0;
    if (c->encoder == NULL || f->width != c->encoder->width || f->height != c->encoder->height ||
        f->format != c->encoder->pix_fmt || (key && f->pts <= c->newest_us))
        err = open_encoder(c, f);
    else if (f->pts <= c->newest_us)
        return 0; /* shown before what was made already */
    if (err < 0)
        return err;
    c->newest_us = f->pts;
    f->pts = av_rescale(f->pts, TICKS, 1000000);
    f->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    return encode(c, sink, arg);
}

static int video_push(struct derive_codec *codec, const struct derive_unit *unit, derive_sink *sink,
                      void *arg)
{
    struct derive_video *c = video_of(codec);
    int err = derive_decoder_send(c->decoder, c->packet, unit) ? 0 : ERR_PROTOCOL;
    while (err == 0 && avcodec_receive_frame(c->decoder, c->frame) == 0) {
        if (c->frame->pts == AV_NOPTS_VALUE)
            c->frame->pts = unit->dts_us;
        err = take_picture(c, sink, arg);
        av_frame_unref(c->frame);
    }
    return err;
}

static struct slice video_config(const struct derive_codec *codec)
{
    const struct derive_video *c = (const void *)codec;
    return slice_of(c->config, c->config_len);
}

/* What the decoder would refuse picture by picture is told at once. */
static bool is_too_large(struct slice config)
{
    LEFT_AS_IT_IS struct codec_info info;
    return codec_info_read(&info, FLV_VIDEO, FLV_CODEC_AVC, config, slice_of(NULL, 0)) == 0 &&
           (uint64_t)info.video.width * info.video.height > DERIVE_PIXELS_MAX;
}

int derive_video_open(struct derive_codec **out, uint32_t from, struct slice config)
{
    static const struct derive_codec_ops ops = {video_push, video_config, video_free};
    if (from != FLV_CODEC_AVC || is_too_large(config))
        return ERR_UNSUPPORTED;
    struct derive_video *c = xcalloc(1, sizeof *c);
    c->codec.ops = &ops;
    c->newest_us = INT64_MIN;
    c->frame = av_frame_alloc();
    c->packet = av_packet_alloc();
    must(c->frame != NULL && c->packet != NULL);
    int err = derive_decoder_open(&c->decoder, AV_CODEC_ID_H264, config);
    if (err < 0)
        video_free(&c->codec);
    else
        *out = &c->codec;
    return err;
}
