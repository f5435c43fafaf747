#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "origin/derive_codec.h"
#include "proto/codec_info.h"
#include "proto/flv.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <stdlib.h>
#include <string.h>

/*
 * A publisher of H.264 with B-frames: each picture is as bright as its number says, so that what is
 * made of it can be checked picture by picture.
 */
#define WIDTH    160
#define HEIGHT   96
#define FRAME_US 40000
#define PICTURES 150
#define KEY_EACH 50

struct camera {
    AVCodecContext *encoder;
    AVFrame *frame;
    AVPacket *packet;
    uint8_t config[1024];
    size_t config_len;
};

static uint8_t brightness(int picture)
{
    return (uint8_t)(40 + picture % 40 * 4);
}

/* Codes in AVCC form, as FLV has it. */
static void camera_open(struct camera *c, enum AVPixelFormat format)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    *c = (struct camera){0};
    c->encoder = avcodec_alloc_context3(codec);
    c->encoder->width = WIDTH;
    c->encoder->height = HEIGHT;
    c->encoder->pix_fmt = format;
    c->encoder->time_base = (AVRational){1, 25};
    c->encoder->framerate = (AVRational){25, 1};
    c->encoder->gop_size = KEY_EACH;
    c->encoder->max_b_frames = 2;
    c->encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_opt_set(c->encoder->priv_data, "preset", "veryfast", 0);
    av_opt_set(c->encoder->priv_data, "x264-params",
               "annexb=0:b-adapt=0:scenecut=0:b-pyramid=none:keyint=50:min-keyint=50", 0);
    assert_int_equal(avcodec_open2(c->encoder, codec, NULL), 0);
    c->frame = av_frame_alloc();
    c->packet = av_packet_alloc();
    /* Sizes stand where start codes would: [size][SPS][size][PPS]. */
    const uint8_t *x = c->encoder->extradata;
    size_t sps = (size_t)x[2] << 8 | x[3], pps = (size_t)x[sps + 6] << 8 | x[sps + 7];
    uint8_t *w = c->config;
    *w++ = 1;
    memcpy(w, x + 5, 3);
    w += 3;
    *w++ = 0xff;
    *w++ = 0xe1;
    *w++ = (uint8_t)(sps >> 8);
    *w++ = (uint8_t)sps;
    memcpy(w, x + 4, sps);
    w += sps;
    *w++ = 1;
    *w++ = (uint8_t)(pps >> 8);
    *w++ = (uint8_t)pps;
    memcpy(w, x + sps + 8, pps);
    w += pps;
    c->config_len = (size_t)(w - c->config);
}

static void camera_close(struct camera *c)
{
    avcodec_free_context(&c->encoder);
    av_frame_free(&c->frame);
    av_packet_free(&c->packet);
}

static void camera_take(struct camera *c, int picture)
{
    AVFrame *f = c->frame;
    av_frame_unref(f);
    f->width = WIDTH;
    f->height = HEIGHT;
    f->format = c->encoder->pix_fmt;
    f->pts = picture;
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    for (int plane = 0; plane < 3; plane++)
        memset(f->data[plane], plane == 0 ? brightness(picture) : 128,
               (size_t)f->linesize[plane] *
                   (plane == 0 || f->format == AV_PIX_FMT_YUV444P ? HEIGHT : HEIGHT / 2));
    assert_int_equal(avcodec_send_frame(c->encoder, f), 0);
}

struct screen {
    struct derive_codec *codec;
    AVCodecContext *decoder;
    AVFrame *frame;
    int shown, keys;
    int64_t newest_us;
};

static void open_decoder(struct screen *s)
{
    struct slice config = derive_codec_config(s->codec);
    struct codec_info info;
    assert_int_equal(codec_info_read(&info, FLV_VIDEO, FLV_CODEC_AVC, config, slice_of(NULL, 0)),
                     0);
    assert_int_equal(info.video.width, WIDTH);
    assert_int_equal(info.video.height, HEIGHT);
    assert_memory_equal(info.codecs, "avc1.42", 7);
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
    s->decoder = avcodec_alloc_context3(codec);
    s->decoder->extradata = av_mallocz(config.len + AV_INPUT_BUFFER_PADDING_SIZE);
    memcpy(s->decoder->extradata, config.p, config.len);
    s->decoder->extradata_size = (int)config.len;
    /* A frame in, a frame out: there is nothing to reorder. */
    s->decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
    assert_int_equal(avcodec_open2(s->decoder, codec, NULL), 0);
    s->frame = av_frame_alloc();
    s->newest_us = -1;
}

static void on_unit(const struct derive_unit *unit, void *arg)
{
    struct screen *s = arg;
    if (s->decoder == NULL)
        open_decoder(s);
    assert_int_equal(unit->cts_us, 0);
    assert_true(unit->dts_us > s->newest_us);
    s->newest_us = unit->dts_us;
    s->keys += unit->key;
    AVPacket *p = av_packet_alloc();
    assert_int_equal(av_new_packet(p, (int)unit->bytes.len), 0);
    memcpy(p->data, unit->bytes.p, unit->bytes.len);
    assert_int_equal(avcodec_send_packet(s->decoder, p), 0);
    av_packet_free(&p);
    assert_int_equal(avcodec_receive_frame(s->decoder, s->frame), 0);
    int picture = (int)(unit->dts_us / FRAME_US);
    int off = s->frame->data[0][WIDTH / 2] - brightness(picture);
    if (off > 6 || off < -6)
        fail_msg("picture %d is as bright as %d, not %d", picture, s->frame->data[0][WIDTH / 2],
                 brightness(picture));
    assert_int_equal(picture % KEY_EACH == 0, unit->key);
    s->shown++;
    av_frame_unref(s->frame);
}

static void screen_close(struct screen *s)
{
    derive_codec_free(&s->codec);
    avcodec_free_context(&s->decoder);
    av_frame_free(&s->frame);
}

/* How many had to be reordered, of those that were coded. */
static int film(struct camera *c, struct screen *s)
{
    int reordered = 0;
    for (int picture = 0; picture < PICTURES; picture++) {
        camera_take(c, picture);
        while (avcodec_receive_packet(c->encoder, c->packet) == 0) {
            const struct derive_unit unit = {slice_of(c->packet->data, (size_t)c->packet->size),
                                             c->packet->dts * FRAME_US,
                                             (int32_t)(c->packet->pts - c->packet->dts) * FRAME_US,
                                             (c->packet->flags & AV_PKT_FLAG_KEY) != 0};
            reordered += c->packet->pts != c->packet->dts;
            assert_int_equal(derive_codec_push(s->codec, &unit, on_unit, s), 0);
            av_packet_unref(c->packet);
        }
    }
    return reordered;
}

static void b_frames_are_put_in_order(void **state)
{
    struct camera c;
    struct screen s = {0};
    camera_open(&c, AV_PIX_FMT_YUV420P);
    assert_int_equal(
        derive_codec_open(&s.codec, FLV_CODEC_AVC, slice_of(c.config, c.config_len), FLV_CODEC_AVC),
        0);
    assert_int_equal(derive_codec_config(s.codec).len, 0);
    assert_true(film(&c, &s) > 30);
    /* All but what the two encoders and the decoder still hold. */
    assert_in_range(s.shown, PICTURES - 60, PICTURES);
    assert_int_equal(s.newest_us, (s.shown - 1) * FRAME_US);
    assert_int_equal(s.keys, (s.shown + KEY_EACH - 1) / KEY_EACH);
    screen_close(&s);
    camera_close(&c);
}

static void what_cannot_be_made(void **state)
{
    struct camera c;
    struct screen s = {0};
    assert_int_equal(derive_codec_open(&s.codec, FLV_CODEC_HEVC, slice_of(NULL, 0), FLV_CODEC_AVC),
                     ERR_UNSUPPORTED);
    camera_open(&c, AV_PIX_FMT_YUV444P);
    assert_int_equal(
        derive_codec_open(&s.codec, FLV_CODEC_AVC, slice_of(c.config, c.config_len), FLV_CODEC_AVC),
        0);
    int err = 0;
    for (int picture = 0; err == 0 && picture < PICTURES; picture++) {
        camera_take(&c, picture);
        while (err == 0 && avcodec_receive_packet(c.encoder, c.packet) == 0) {
            const struct derive_unit unit = {slice_of(c.packet->data, (size_t)c.packet->size),
                                             c.packet->dts * FRAME_US, 0, false};
            err = derive_codec_push(s.codec, &unit, on_unit, &s);
            av_packet_unref(c.packet);
        }
    }
    assert_int_equal(err, ERR_UNSUPPORTED);
    screen_close(&s);
    camera_close(&c);
}

/* 4096 x 2304, and 16 lines more. */
static void pictures_are_bounded(void **state)
{
    static const struct {
        uint8_t last;
        int err;
    } cases[] = {{0x64, 0}, {0xe4, ERR_UNSUPPORTED}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct derive_codec *codec = NULL;
        uint8_t config[] = {1,    66, 0,    62,   0xff, 0xe1, 0,   10,   0x67,
                            0x42, 0,  0x3e, 0xda, 0,    0x40, 0,   0x48, cases[i].last,
                            1,    0,  4,    0x68, 0xce, 0x38, 0x80};
        int err = derive_codec_open(&codec, FLV_CODEC_AVC, slice_of(config, sizeof config),
                                    FLV_CODEC_AVC);
        assert_int_equal(err, cases[i].err);
        derive_codec_free(&codec);
    }
}

static void broken_pictures_are_left_out(void **state)
{
    struct camera c;
    struct derive_codec *codec;
    uint8_t noise[400];
    uint32_t seed = 7;
    camera_open(&c, AV_PIX_FMT_YUV420P);
    assert_int_equal(
        derive_codec_open(&codec, FLV_CODEC_AVC, slice_of(c.config, c.config_len), FLV_CODEC_AVC),
        0);
    for (int i = 0; i < 500; i++) {
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
        noise[0] = noise[1] = noise[2] = 0;
        noise[3] = (uint8_t)(sizeof noise - 4 > 255 ? 255 : sizeof noise - 4);
        noise[4] = i % 2 == 0 ? 0x65 : 0x41;
        const struct derive_unit unit = {slice_of(noise, sizeof noise), i * FRAME_US, 0, true};
        struct screen s = {.codec = codec};
        int err = derive_codec_push(codec, &unit, on_unit, &s);
        assert_true(err == 0 || err == ERR_PROTOCOL || err == ERR_UNSUPPORTED);
        avcodec_free_context(&s.decoder);
        av_frame_free(&s.frame);
    }
    derive_codec_free(&codec);
    camera_close(&c);
}

int main(void)
{
    derive_codec_quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b_frames_are_put_in_order),
        cmocka_unit_test(what_cannot_be_made),
        cmocka_unit_test(pictures_are_bounded),
        cmocka_unit_test(broken_pictures_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
