#ifndef SLUICE_MEDIA_FRAME_H
#define SLUICE_MEDIA_FRAME_H

#include "base/slice.h"
#include "media/cut.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One coded access unit, one codec configuration or one metadata message of one track: a single
 * allocation, filled by whoever makes it, frozen when it is appended to a log, counted.  After that
 * nobody writes it, so any thread may hold it.
 *
 * The payload is the (Enhanced) FLV tag body as published: what RTMP and FLV send is a header in
 * front of these bytes.
 */

enum frame_kind { FRAME_VIDEO, FRAME_AUDIO, FRAME_DATA };

enum frame_flag {
    FRAME_KEY = 1,    /* a video key frame: decoding may start here */
    FRAME_CONFIG = 2, /* a codec configuration (sequence header) */
    FRAME_META = 4,   /* onMetaData, video Metadata (colorInfo) or audio MultichannelConfig */
    FRAME_END = 8,    /* end of the track's sequence */
    FRAME_DISCONTINUITY = 16, /* first frame after a step of the publisher's clock */
};

#define FRAME_BYTES_MAX (4 * 1024 * 1024 + 1024) /* payload of one frame */

struct frame {
    atomic_uint refs;
    uint8_t kind;   /* enum frame_kind */
    uint8_t track;  /* Enhanced RTMP track id; video and audio are separate name spaces */
    uint8_t flags;  /* enum frame_flag */
    uint32_t codec; /* FourCC; 0 for data */
    uint32_t size;
    int32_t cts_us;  /* presentation minus decoding time */
    uint64_t seq;    /* place in its run, from 1; set by the home log */
    int64_t wire_ms; /* published time, unwrapped: what RTMP and FLV write again, modulo 2^32 */
    int64_t dts_us;  /* on the run's own line, 0 at its first frame */
    struct cut *cut; /* of a frame that begins a unit, else NULL; goes with the frame */
    uint8_t data[];
};

/* A frame with room for size bytes, held once; NULL when there is no memory or size is over
 * FRAME_BYTES_MAX. */
struct frame *frame_new(enum frame_kind kind, size_t size);
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame **fp);

/* Before the frame is frozen: it begins a unit (copied). */
void frame_set_cut(struct frame *f, const struct cut *cut);

static inline struct slice frame_payload(const struct frame *f)
{
    return slice_of(f->data, f->size);
}

/* The frame carries media, not configuration or metadata. */
static inline bool frame_is_media(const struct frame *f)
{
    return f->kind != FRAME_DATA && (f->flags & (FRAME_CONFIG | FRAME_META | FRAME_END)) == 0;
}

/* kind and track as one number, as relay records carry it: kind << 8 | track. */
static inline uint16_t frame_track_number(const struct frame *f)
{
    return (uint16_t)(f->kind << 8 | f->track);
}

/* Frames alive in the process, and the bytes of their payloads: leaks show here. */
int64_t frames_alive(void);
int64_t frames_alive_bytes(void);

#endif
