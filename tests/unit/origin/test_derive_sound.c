#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "origin/derive_codec.h"
#include "proto/flv.h"

#include "origin/sound.h"

#include <stdlib.h>
#include <string.h>

/* What is made of a publisher's sound is decoded again, and its beeps are looked for. */
#define LOUD      0.1F
#define QUIET_S   0.5
#define OFF_MAX_S 0.004
#define FAST      1.003 /* of a publisher whose sound clock runs fast */
#define BEEPS_MAX 256
#define LONG_S    180
#define FRAME_S   0.02

/* What was made, decoded again. */
struct listener {
    struct derive_codec *codec;
    AVCodecContext *decoder;
    AVFrame *frame;
    enum AVCodecID id;
    int64_t packets, first_us, last_us, step_min_us, step_max_us;
    int64_t quiet; /* samples since the last loud one */
    double beeps_s[BEEPS_MAX];
    size_t beep_count;
};

static void listen_to(struct listener *l, const AVFrame *f, double at_s)
{
    const float *samples = (const float *)(const void *)f->data[0];
    assert_int_equal(f->format, AV_SAMPLE_FMT_FLTP);
    for (int i = 0; i < f->nb_samples; i++) {
        bool loud = fabsf(samples[i]) > LOUD;
        if (loud && l->quiet > (int64_t)(QUIET_S * DERIVE_RATE) && l->beep_count < BEEPS_MAX)
            l->beeps_s[l->beep_count++] = at_s + (double)i / DERIVE_RATE;
        l->quiet = loud ? 0 : l->quiet + 1;
    }
}

static void open_decoder(struct listener *l)
{
    struct slice config = derive_codec_config(l->codec);
    const AVCodec *codec = avcodec_find_decoder(l->id);
    l->decoder = avcodec_alloc_context3(codec);
    l->decoder->extradata = av_mallocz(config.len + AV_INPUT_BUFFER_PADDING_SIZE);
    memcpy(l->decoder->extradata, config.p, config.len);
    l->decoder->extradata_size = (int)config.len;
    /* As players of a live stream do: nothing is cut from its beginning. */
    l->decoder->flags2 |= AV_CODEC_FLAG2_SKIP_MANUAL;
    assert_int_equal(avcodec_open2(l->decoder, codec, NULL), 0);
    l->frame = av_frame_alloc();
}

static void on_unit(const struct derive_unit *unit, void *arg)
{
    struct slice bytes = unit->bytes;
    int64_t dts_us = unit->dts_us;
    struct listener *l = arg;
    if (l->decoder == NULL)
        open_decoder(l);
    if (l->packets > 0 && dts_us - l->last_us < l->step_min_us)
        l->step_min_us = dts_us - l->last_us;
    if (l->packets > 0 && dts_us - l->last_us > l->step_max_us)
        l->step_max_us = dts_us - l->last_us;
    if (l->packets++ == 0)
        l->first_us = dts_us;
    l->last_us = dts_us;
    AVPacket *p = av_packet_alloc();
    assert_int_equal(av_new_packet(p, (int)bytes.len), 0);
    memcpy(p->data, bytes.p, bytes.len);
    assert_int_equal(avcodec_send_packet(l->decoder, p), 0);
    av_packet_free(&p);
    while (avcodec_receive_frame(l->decoder, l->frame) == 0) {
        listen_to(l, l->frame, (double)dts_us / 1e6);
        av_frame_unref(l->frame);
    }
}

static void listener_open(struct listener *l, enum AVCodecID id, uint32_t from, uint32_t to,
                          struct slice config)
{
    *l = (struct listener){.id = id, .step_min_us = INT64_MAX, .quiet = DERIVE_RATE};
    assert_int_equal(derive_codec_open(&l->codec, from, config, to), 0);
}

static void listener_close(struct listener *l)
{
    derive_codec_free(&l->codec);
    avcodec_free_context(&l->decoder);
    av_frame_free(&l->frame);
}

static int push(struct derive_codec *c, struct slice bytes, int64_t dts_us, derive_sink *sink,
                void *arg)
{
    return derive_codec_push(c, &(struct derive_unit){bytes, dts_us, 0, true}, sink, arg);
}

static void hear(struct listener *l, const AVPacket *p, int64_t dts_us)
{
    assert_int_equal(push(l->codec, slice_of(p->data, (size_t)p->size), dts_us, on_unit, l), 0);
}

/* Every beep is at a whole second, which is the one after the beep before. */
static void check_beeps(const struct listener *l, size_t least)
{
    if (l->beep_count < least)
        fail_msg("%zu beeps", l->beep_count);
    for (size_t i = 0; i < l->beep_count; i++) {
        double off_s = l->beeps_s[i] - round(l->beeps_s[i]);
        if (fabs(off_s) > OFF_MAX_S)
            fail_msg("beep %zu at %.4f s", i, l->beeps_s[i]);
        if (i > 0 && round(l->beeps_s[i]) != round(l->beeps_s[i - 1]) + 1)
            fail_msg("beep %zu at %.4f s, the one before at %.4f s", i, l->beeps_s[i],
                     l->beeps_s[i - 1]);
    }
}

static void play(struct publisher *p, struct listener *l, double until_s)
{
    int64_t dts_us;
    while ((double)p->sample / p->rate / p->clock < until_s)
        if (publisher_next(p, &dts_us))
            hear(l, p->packet, dts_us);
}

static void aac_becomes_opus(void **state)
{
    static const double clocks[] = {1.0, FAST, 1 / FAST};
    for (size_t i = 0; i < COUNT_OF(clocks); i++) {
        struct publisher p;
        struct listener l;
        publisher_open(&p, AV_CODEC_ID_AAC, clocks[i]);
        listener_open(&l, AV_CODEC_ID_OPUS, FLV_CODEC_AAC, FLV_CODEC_OPUS, publisher_config(&p));
        play(&p, &l, 60);
        check_beeps(&l, 58);
        /* Samples are counted, whatever the publisher's clock does. */
        assert_int_equal(l.step_min_us, 20000);
        assert_int_equal(l.step_max_us, 20000);
        assert_memory_equal(derive_codec_config(l.codec).p, "OpusHead", 8);
        listener_close(&l);
        publisher_close(&p);
    }
}

/* By how much beeps are off, on average, of `count` beeps from one on. */
static double mean_off_s(const struct listener *l, size_t first, size_t count)
{
    double sum_s = 0;
    for (size_t i = first; i < first + count; i++)
        sum_s += l->beeps_s[i] - round(l->beeps_s[i]);
    return sum_s / (double)count;
}

/* In an hour the end would be off by less than a frame. */
static void long_sound_does_not_drift(void **state)
{
    static const struct {
        int rate;
        double clock;
    } cases[] = {{44100, FAST}, {48000, 1 / FAST}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct publisher p;
        struct listener l;
        publisher_open_at(&p, AV_CODEC_ID_AAC, cases[i].clock, cases[i].rate, 1);
        listener_open(&l, AV_CODEC_ID_OPUS, FLV_CODEC_AAC, FLV_CODEC_OPUS, publisher_config(&p));
        play(&p, &l, LONG_S);
        check_beeps(&l, LONG_S - 2);
        double drift_s = mean_off_s(&l, l.beep_count - 60, 60) - mean_off_s(&l, 60, 60);
        if (fabs(drift_s) * 3600 / LONG_S > FRAME_S)
            fail_msg("%.6f s in %d s at %d Hz", drift_s, LONG_S, cases[i].rate);
        assert_int_equal(l.step_min_us, 20000);
        assert_int_equal(l.step_max_us, 20000);
        listener_close(&l);
        publisher_close(&p);
    }
}

/* What is lost on the way is silence: what comes after it is where it was. */
static void gaps_are_silence(void **state)
{
    struct publisher p;
    struct listener l;
    int64_t dts_us, lost = 0;
    publisher_open(&p, AV_CODEC_ID_AAC, 1);
    listener_open(&l, AV_CODEC_ID_OPUS, FLV_CODEC_AAC, FLV_CODEC_OPUS, publisher_config(&p));
    while (p.sample < 20 * IN_RATE) {
        if (!publisher_next(&p, &dts_us))
            continue;
        if (dts_us % 1000000 > 400000 && dts_us % 1000000 < 600000)
            lost++;
        else
            hear(&l, p.packet, dts_us);
    }
    assert_true(lost > 100);
    check_beeps(&l, 18);
    assert_int_equal(l.step_max_us, 20000);
    listener_close(&l);
    publisher_close(&p);
}

/* A step of the publisher's clock is no silence of an hour. */
static void steps_are_followed(void **state)
{
    struct publisher p;
    struct listener l;
    publisher_open(&p, AV_CODEC_ID_AAC, 1);
    listener_open(&l, AV_CODEC_ID_OPUS, FLV_CODEC_AAC, FLV_CODEC_OPUS, publisher_config(&p));
    play(&p, &l, 4);
    int64_t packets = l.packets;
    p.jump_us = 3600 * 1000000LL;
    play(&p, &l, 8);
    assert_in_range(l.packets - packets, 190, 205);
    assert_true(l.last_us > 3600 * 1000000LL);
    listener_close(&l);
    publisher_close(&p);
}

/* Made of Opus that was made of AAC. */
struct chain {
    struct derive_codec *aac;
    struct listener *l;
};

static void on_opus(const struct derive_unit *unit, void *arg)
{
    struct chain *c = arg;
    assert_int_equal(derive_codec_push(c->aac, unit, on_unit, c->l), 0);
}

static void opus_becomes_aac(void **state)
{
    struct publisher p;
    struct listener l = {.id = AV_CODEC_ID_AAC, .step_min_us = INT64_MAX, .quiet = DERIVE_RATE};
    struct derive_codec *opus;
    int64_t dts_us;
    publisher_open(&p, AV_CODEC_ID_AAC, 1);
    assert_int_equal(derive_codec_open(&opus, FLV_CODEC_AAC, publisher_config(&p), FLV_CODEC_OPUS),
                     0);
    static const uint8_t head[] = {'O', 'p', 'u',  's',  'H', 'e', 'a', 'd', 1, 2,
                                   0,   0,   0x80, 0xbb, 0,   0,   0,   0,   0};
    assert_int_equal(
        derive_codec_open(&l.codec, FLV_CODEC_OPUS, slice_of(head, sizeof head), FLV_CODEC_AAC), 0);
    struct chain c = {l.codec, &l};
    while (p.sample < 20 * IN_RATE)
        if (publisher_next(&p, &dts_us))
            assert_int_equal(
                push(opus, slice_of(p.packet->data, (size_t)p.packet->size), dts_us, on_opus, &c),
                0);
    check_beeps(&l, 18);
    derive_codec_free(&opus);
    listener_close(&l);
    publisher_close(&p);
}

static void what_is_broken_is_left_out(void **state)
{
    struct derive_codec *c;
    uint8_t noise[300];
    static const uint8_t config[] = {0x12, 0x10};
    assert_int_equal(derive_codec_open(&c, FLV_CODEC_AVC, slice_of(NULL, 0), FLV_CODEC_OPUS),
                     ERR_UNSUPPORTED);
    assert_int_equal(derive_codec_open(&c, FLV_CODEC_AAC, slice_of(config, 2), FLV_CODEC_MP3),
                     ERR_UNSUPPORTED);
    assert_int_equal(derive_codec_open(&c, FLV_CODEC_AAC, slice_of(config, 2), FLV_CODEC_OPUS), 0);
    struct listener l = {.codec = c, .id = AV_CODEC_ID_OPUS};
    uint32_t seed = 1;
    for (int i = 0; i < 2000; i++) {
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
        (void)push(c, slice_of(noise, sizeof noise), i * 23000, on_unit, &l);
    }
    assert_int_equal(push(c, slice_of(NULL, 0), 0, on_unit, &l), ERR_PROTOCOL);
    listener_close(&l);
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aac_becomes_opus),           cmocka_unit_test(gaps_are_silence),
        cmocka_unit_test(steps_are_followed),         cmocka_unit_test(opus_becomes_aac),
        cmocka_unit_test(what_is_broken_is_left_out), cmocka_unit_test(long_sound_does_not_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
