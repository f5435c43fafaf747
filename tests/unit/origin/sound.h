#ifndef SLUICE_TESTS_UNIT_ORIGIN_SOUND_H
#define SLUICE_TESTS_UNIT_ORIGIN_SOUND_H

#include "base/slice.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <math.h>

/*
 * A publisher whose sound is silence but for a beep at the start of each second, coded by FFmpeg,
 * with times rounded to milliseconds as RTMP has them.
 */
#define IN_RATE    44100
#define BEEP_HZ    1000.0
#define BEEP_S     0.05
#define BEEP_LEVEL 0.5F

struct publisher {
    AVCodecContext *encoder;
    AVFrame *frame;
    AVPacket *packet;
    int rate;        /* samples per second; IN_RATE */
    int64_t sample;  /* of the next frame, by its own clock */
    double clock;    /* its clock's speed */
    int64_t jump_us; /* added to all times */
};

static inline void publisher_open_at(struct publisher *p, enum AVCodecID id, double clock, int rate,
                                     int channels)
{
    const AVCodec *codec = avcodec_find_encoder(id);
    *p = (struct publisher){.clock = clock, .rate = rate};
    p->encoder = avcodec_alloc_context3(codec);
    p->encoder->sample_rate = rate;
    p->encoder->sample_fmt = AV_SAMPLE_FMT_FLTP;
    p->encoder->bit_rate = 128000;
    p->encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_channel_layout_default(&p->encoder->ch_layout, channels);
    assert_int_equal(avcodec_open2(p->encoder, codec, NULL), 0);
    p->frame = av_frame_alloc();
    p->packet = av_packet_alloc();
}

static inline void publisher_open(struct publisher *p, enum AVCodecID id, double clock)
{
    publisher_open_at(p, id, clock, IN_RATE, 2);
}

static inline void publisher_close(struct publisher *p)
{
    avcodec_free_context(&p->encoder);
    av_frame_free(&p->frame);
    av_packet_free(&p->packet);
}

static inline struct slice publisher_config(const struct publisher *p)
{
    return slice_of(p->encoder->extradata, (size_t)p->encoder->extradata_size);
}

/* The beeps are at whole seconds of true time. */
static inline float level_at(const struct publisher *p, int64_t sample)
{
    double at_s = (double)sample / p->rate / p->clock;
    double in_s = at_s - floor(at_s);
    return in_s < BEEP_S ? BEEP_LEVEL * (float)sin(2 * M_PI * BEEP_HZ * in_s) : 0;
}

/* The next frame of sound, coded: true when a packet is in p->packet, and its time. */
static inline bool publisher_next(struct publisher *p, int64_t *dts_us)
{
    AVFrame *f = p->frame;
    av_frame_unref(f);
    f->nb_samples = p->encoder->frame_size;
    f->format = AV_SAMPLE_FMT_FLTP;
    f->sample_rate = p->rate;
    f->pts = p->sample;
    assert_int_equal(av_channel_layout_copy(&f->ch_layout, &p->encoder->ch_layout), 0);
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    for (int c = 0; c < f->ch_layout.nb_channels; c++)
        for (int i = 0; i < f->nb_samples; i++)
            ((float *)f->data[c])[i] = level_at(p, p->sample + i);
    p->sample += f->nb_samples;
    av_packet_unref(p->packet);
    assert_int_equal(avcodec_send_frame(p->encoder, f), 0);
    if (avcodec_receive_packet(p->encoder, p->packet) < 0)
        return false;
    double at_s = (double)p->packet->pts / p->rate / p->clock;
    *dts_us = llrint(at_s * 1000) * 1000 + p->jump_us;
    return true;
}

#endif
