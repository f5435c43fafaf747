/*
 *   packet ─decoder─▶ frame ─resampler (follows the times)─▶ fifo ─encoder─▶ packet
 */
#include "origin/derive_codec_internal.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"
#include "proto/flv.h"

#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdlib.h>

#define CHANNELS_MAX     2
#define SOFT_FROM_S      0.003   /* distance from which the resampler follows, and */
#define SOFT_MAX         0.01    /* by how much of the speed at most */
#define SOFT_SPREAD_S    0.5     /* time over which it makes up for a distance */
#define HARD_FROM_S      0.08    /* distance that is filled with silence, or cut */
#define STEP_US          1000000 /* distance that is a step of the clock */
#define FIFO_SAMPLES     8192    /* at first; it grows by what a frame of the decoder brings */
#define CONFIG_MAX       32768   /* bytes of a published configuration */
#define DECODED_RATE_MAX 192000

struct target {
    uint32_t codec;
    const char *encoder;
    enum AVSampleFormat format;
    int64_t bits_per_channel; /* per second */
};

static const struct target targets[] = {
    {FLV_CODEC_OPUS, "libopus", AV_SAMPLE_FMT_FLT, 48000},
    {FLV_CODEC_AAC, "aac", AV_SAMPLE_FMT_FLTP, 80000},
};

static const struct {
    uint32_t codec;
    enum AVCodecID id;
} sources[] = {
    {FLV_CODEC_AAC, AV_CODEC_ID_AAC},   {FLV_CODEC_MP3, AV_CODEC_ID_MP3},
    {FLV_CODEC_OPUS, AV_CODEC_ID_OPUS}, {FLV_CODEC_FLAC, AV_CODEC_ID_FLAC},
    {FLV_CODEC_AC3, AV_CODEC_ID_AC3},   {FLV_CODEC_EAC3, AV_CODEC_ID_EAC3},
};

struct derive_sound {
    struct derive_codec codec;
    const struct target *target;
    AVCodecContext *decoder, *encoder; /* the encoder: once the first frame says its channels */
    SwrContext *swr;
    AVAudioFifo *fifo;
    AVFrame *frame, *block;
    AVPacket *packet;
    AVChannelLayout in_layout; /* of swr */
    int in_rate;
    enum AVSampleFormat in_format;
    bool placed;         /* the two below mean something */
    int64_t base_us;     /* dts that samples are counted from; anew after a step of the clock */
    int64_t next_sample; /* of the fifo's first one */
    int64_t encoded;     /* samples that the encoder was given: its clock never steps */
};

static const struct target *find_target(uint32_t codec)
{
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (targets[i].codec == codec)
            return &targets[i];
    return NULL;
}

static enum AVCodecID decoder_of(uint32_t codec)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (sources[i].codec == codec)
            return sources[i].id;
    return AV_CODEC_ID_NONE;
}

static struct derive_sound *sound_of(struct derive_codec *codec)
{
    return container_of(codec, struct derive_sound, codec);
}

static void sound_free(struct derive_codec *codec)
{
    struct derive_sound *c = sound_of(codec);
    avcodec_free_context(&c->decoder);
    avcodec_free_context(&c->encoder);
    swr_free(&c->swr);
    if (c->fifo != NULL)
        av_audio_fifo_free(c->fifo);
    av_channel_layout_uninit(&c->in_layout);
    av_frame_free(&c->frame);
    av_frame_free(&c->block);
    av_packet_free(&c->packet);
    free(c);
}

/* What is made has the channels that came first, or two. */
static int open_encoder(struct derive_sound *c, int channels)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(c->target->encoder);
    if (channels > CHANNELS_MAX)
        channels = CHANNELS_MAX;
    c->encoder = avcodec_alloc_context3(codec);
    if (c->encoder == NULL)
        return ERR_NOMEM;
    c->encoder->sample_rate = DERIVE_RATE;
    c->encoder->sample_fmt = c->target->format;
    c->encoder->time_base = (AVRational){1, DERIVE_RATE};
    c->encoder->bit_rate = c->target->bits_per_channel * channels;
    c->encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    c->encoder->thread_count = 1;
    av_channel_layout_default(&c->encoder->ch_layout, channels);
    if (avcodec_open2(c->encoder, codec, NULL) < 0)
        return ERR_UNSUPPORTED;
    c->fifo = av_audio_fifo_alloc(c->target->format, channels, FIFO_SAMPLES);
    return c->fifo != NULL ? 0 : ERR_NOMEM;
}

/* Of the sample that the resampler gives next. */
static int64_t end_sample(const struct derive_sound *c)
{
    return c->next_sample + av_audio_fifo_size(c->fifo);
}

static bool is_same_sound(const struct derive_sound *c, const AVFrame *f)
{
    return c->swr != NULL && c->in_rate == f->sample_rate && c->in_format == f->format &&
           av_channel_layout_compare(&c->in_layout, &f->ch_layout) == 0;
}

static int open_resampler(struct derive_sound *c, const AVFrame *f)
{
    swr_free(&c->swr);
    if (f->sample_rate <= 0 || f->sample_rate > DECODED_RATE_MAX ||
        av_channel_layout_copy(&c->in_layout, &f->ch_layout) < 0)
        return ERR_PROTOCOL;
    c->in_rate = f->sample_rate;
    c->in_format = f->format;
    if (swr_alloc_set_opts2(&c->swr, &c->encoder->ch_layout, c->target->format, DERIVE_RATE,
                            &c->in_layout, f->format, f->sample_rate, 0, NULL) < 0)
        return ERR_UNSUPPORTED;
    /* Even from 48 to 48 kHz: begun later, it would lose what it has at that moment. */
    av_opt_set(c->swr, "flags", "+res", 0);
    av_opt_set_double(c->swr, "min_comp", SOFT_FROM_S, 0);
    av_opt_set_double(c->swr, "max_soft_comp", SOFT_MAX, 0);
    av_opt_set_double(c->swr, "comp_duration", SOFT_SPREAD_S, 0);
    av_opt_set_double(c->swr, "min_hard_comp", HARD_FROM_S, 0);
    if (c->placed)
        av_opt_set_int(c->swr, "first_pts", av_rescale(end_sample(c), c->in_rate, DERIVE_RATE), 0);
    return swr_init(c->swr) < 0 ? ERR_UNSUPPORTED : 0;
}

/* A step of the publisher's clock is no silence: what follows begins anew there. */
static void look_for_step(struct derive_sound *c, int64_t pts_us)
{
    if (!c->placed)
        return;
    int64_t off_us = pts_us - c->base_us - av_rescale(end_sample(c), 1000000, DERIVE_RATE);
    if (off_us < STEP_US && off_us > -STEP_US)
        return;
    av_audio_fifo_reset(c->fifo);
    swr_free(&c->swr);
    c->placed = false;
}

static int prepare(struct derive_sound *c, const AVFrame *f)
{
    int err = c->encoder != NULL ? 0 : open_encoder(c, f->ch_layout.nb_channels);
    if (err == 0)
        look_for_step(c, f->pts);
    if (err == 0 && !is_same_sound(c, f))
        err = open_resampler(c, f);
    return err;
}

static int encode(struct derive_sound *c, const AVFrame *block, derive_sink *sink, void *arg)
{
    if (avcodec_send_frame(c->encoder, block) < 0)
        return ERR_PROTOCOL;
    while (avcodec_receive_packet(c->encoder, c->packet) == 0) {
        int64_t sample = c->packet->pts + c->next_sample - c->encoded;
        int64_t dts_us = c->base_us + av_rescale(sample, 1000000, DERIVE_RATE);
        const struct derive_unit unit = {slice_of(c->packet->data, (size_t)c->packet->size), dts_us,
                                         0, true};
        sink(&unit, arg);
        av_packet_unref(c->packet);
    }
    return 0;
}

static int encode_blocks(struct derive_sound *c, derive_sink *sink, void *arg)
{
    int size = c->encoder->frame_size, err = 0;
    while (err == 0 && av_audio_fifo_size(c->fifo) >= size) {
        AVFrame *b = c->block;
        av_frame_unref(b);
        b->nb_samples = size;
        b->format = c->target->format;
        b->sample_rate = DERIVE_RATE;
        b->pts = c->encoded;
        if (av_channel_layout_copy(&b->ch_layout, &c->encoder->ch_layout) < 0 ||
            av_frame_get_buffer(b, 0) < 0)
            return ERR_NOMEM;
        must(av_audio_fifo_read(c->fifo, (void **)b->data, size) == size);
        c->next_sample += size;
        c->encoded += size;
        err = encode(c, b, sink, arg);
    }
    return err;
}

/* A frame whose time the resampler has looked at: what comes out of it, into the fifo. */
static int resample(struct derive_sound *c, const AVFrame *f)
{
    int64_t scale = (int64_t)c->in_rate * DERIVE_RATE;
    if (!c->placed)
        c->base_us = f->pts;
    int64_t at = swr_next_pts(c->swr, av_rescale(f->pts - c->base_us, scale, 1000000));
    int room = swr_get_out_samples(c->swr, f->nb_samples);
    if (room < 0)
        return ERR_PROTOCOL;
    if (!c->placed)
        c->next_sample = at / c->in_rate;
    c->placed = true;
    uint8_t *planes[AV_NUM_DATA_POINTERS] = {NULL};
    int channels = c->encoder->ch_layout.nb_channels, err = 0;
    if (av_samples_alloc(planes, NULL, channels, room > 0 ? room : 1, c->target->format, 0) < 0)
        return ERR_NOMEM;
    int n = swr_convert(c->swr, planes, room, (const uint8_t **)(uintptr_t)f->extended_data,
                        f->nb_samples);
    if (n < 0 || (n > 0 && av_audio_fifo_write(c->fifo, (void **)planes, n) < n))
        err = ERR_PROTOCOL;
    av_freep((void *)&planes[0]);
    return err;
}

static int take_frame(struct derive_sound *c, derive_sink *sink, void *arg)
{
    int err = prepare(c, c->frame);
    if (err == 0)
        err = resample(c, c->frame);
    if (err == 0)
        err = encode_blocks(c, sink, arg);
    av_frame_unref(c->frame);
    return err;
}

static int sound_push(struct derive_codec *codec, const struct derive_unit *unit, derive_sink *sink,
                      void *arg)
{
    struct derive_sound *c = sound_of(codec);
    int err = derive_decoder_send(c->decoder, c->packet, unit) ? 0 : ERR_PROTOCOL;
    while (err == 0 && avcodec_receive_frame(c->decoder, c->frame) == 0) {
        if (c->frame->pts == AV_NOPTS_VALUE)
            c->frame->pts = unit->dts_us;
        err = take_frame(c, sink, arg);
    }
    return err;
}

static struct slice sound_config(const struct derive_codec *codec)
{
    const struct derive_sound *c = (const void *)codec;
    if (c->encoder == NULL)
        return slice_of(NULL, 0);
    return slice_of(c->encoder->extradata, (size_t)c->encoder->extradata_size);
}

int derive_sound_open(struct derive_codec **out, uint32_t from, struct slice config, uint32_t to)
{
    static const struct derive_codec_ops ops = {sound_push, sound_config, sound_free};
    const struct target *target = find_target(to);
    if (target == NULL || avcodec_find_encoder_by_name(target->encoder) == NULL)
        return ERR_UNSUPPORTED;
    struct derive_sound *c = xcalloc(1, sizeof *c);
    c->codec.ops = &ops;
    c->target = target;
    c->frame = av_frame_alloc();
    c->block = av_frame_alloc();
    c->packet = av_packet_alloc();
    must(c->frame != NULL && c->block != NULL && c->packet != NULL);
    int err = derive_decoder_open(&c->decoder, decoder_of(from), config);
    if (err < 0)
        sound_free(&c->codec);
    else
        *out = &c->codec;
    return err;
}
