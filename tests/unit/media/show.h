#ifndef SLUICE_TESTS_UNIT_MEDIA_SHOW_H
#define SLUICE_TESTS_UNIT_MEDIA_SHOW_H

#include "hex_bytes.h"
#include "media/segmenter.h"
#include "media/stream.h"
#include "proto/amf0.h"
#include "proto/flv.h"

/* A made-up publisher whose frames go through a segmenter into a log. */

#define SHOW_AVC                                                                                   \
    "17000000000164000cffe1001a6764000cacd941419f9f011000000300100000030320f142996001000668ebe3cb" \
    "22c0fdf8f800"
#define SHOW_AVC_LARGER                                                                            \
    "17000000000164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000668ebe3cb" \
    "22c0fdf8f800"
#define SHOW_AAC      "af001210"
#define SHOW_AAC_MONO "af001208"

#define SHOW_EPOCH   1700000000000000
#define SHOW_WALL_US 1700000000000000
#define SHOW_MSN     100
#define SHOW_DSN     7

struct show {
    struct segmenter segmenter;
    struct log *log;
    struct run *run;
    int64_t shift_ms; /* added to every dts */
};

static inline void show_open(struct show *s, uint32_t segment_ms, uint32_t part_ms)
{
    const struct log_limits limits = {.window_us = 3600 * 1000000LL, .window_bytes = 256 << 20};
    *s = (struct show){0};
    segmenter_init(&s->segmenter, &(struct segmenter_options){.segment_ms = segment_ms,
                                                              .part_ms = part_ms,
                                                              .wall_us = SHOW_WALL_US,
                                                              .msn = SHOW_MSN,
                                                              .dsn = SHOW_DSN});
    s->log = log_new(&limits);
    s->run = log_open_run(s->log, SHOW_EPOCH, 1, NULL);
    s->run->plan.segment_ms = segment_ms;
    s->run->plan.part_ms = part_ms;
    s->run->plan.window_segments = 6;
    s->run->plan.base_msn = SHOW_MSN;
}

static inline void show_close(struct show *s)
{
    segmenter_fini(&s->segmenter);
    log_free(&s->log);
    assert_int_equal(frames_alive(), 0);
}

static inline void show_frame(struct show *s, struct frame *f)
{
    f->seq = s->run->next;
    f->dts_us += s->shift_ms * 1000;
    segmenter_take(&s->segmenter, f);
    log_append(s->log, f);
}

static inline struct frame *show_bytes(enum frame_kind kind, uint8_t flags, int64_t dts_ms,
                                       struct slice bytes)
{
    struct frame *f = make_frame(kind, flags, 0, dts_ms, bytes.len);
    if (bytes.len > 0)
        memcpy(f->data, bytes.p, bytes.len);
    return f;
}

static inline void show_config(struct show *s, enum frame_kind kind, uint8_t track, int64_t dts_ms,
                               const char *hex)
{
    uint8_t room[HEX_BYTES_MAX];
    struct frame *f = show_bytes(kind, FRAME_CONFIG, dts_ms, hex_bytes(hex, room));
    f->codec = kind == FRAME_VIDEO ? FLV_CODEC_AVC : FLV_CODEC_AAC;
    f->track = track;
    show_frame(s, f);
}

static inline void show_video(struct show *s, int64_t dts_ms, bool key, uint8_t flags)
{
    struct frame *f =
        make_frame(FRAME_VIDEO, (uint8_t)((key ? FRAME_KEY : 0) | flags), 0, dts_ms, 1000);
    show_frame(s, f);
}

static inline void show_audio(struct show *s, uint8_t track, int64_t dts_ms)
{
    struct frame *f = make_frame(FRAME_AUDIO, 0, 0, dts_ms, 200);
    f->data[0] = 0xaf;
    f->data[1] = 1;
    f->codec = FLV_CODEC_AAC;
    f->track = track;
    show_frame(s, f);
}

struct show_metadata {
    bool video, audio;
    double video_kbps, audio_kbps, frame_rate;
};

static inline void show_onmetadata(struct show *s, const struct show_metadata *m)
{
    uint8_t room[512];
    struct wr w = wr_init(room, sizeof room);
    amf0_write_text(&w, "onMetaData");
    amf0_write_ecma_array(&w, 0);
    if (m->video)
        amf0_property_number(&w, "videocodecid", 7);
    if (m->audio)
        amf0_property_number(&w, "audiocodecid", 10);
    amf0_property_number(&w, "videodatarate", m->video_kbps);
    amf0_property_number(&w, "audiodatarate", m->audio_kbps);
    amf0_property_number(&w, "framerate", m->frame_rate);
    amf0_write_end(&w);
    show_frame(s, show_bytes(FRAME_DATA, FRAME_META, 0, wr_slice(&w)));
}

#endif
