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
    /* First what is looked at when it goes: by then it is in no cache. */
    atomic_uint refs;
    uint32_t size;
    int64_t dts_us;            /* on the run's own line, 0 at its first frame */
    struct cut *cut;           /* of a frame that begins a unit, else NULL; goes with the frame */
    struct frame *of;          /* whose payload it is (held); NULL: its own */
    struct frame_block *block; /* of a pool, which it lies in; NULL: it is its own allocation */

    uint8_t kind;    /* enum frame_kind */
    uint8_t track;   /* Enhanced RTMP track id; video and audio are separate name spaces */
    uint8_t flags;   /* enum frame_flag */
    uint32_t codec;  /* FourCC; 0 for data */
    int32_t cts_us;  /* presentation minus decoding time */
    uint64_t seq;    /* place in its run, from 1; set by the home log */
    int64_t wire_ms; /* published time, unwrapped: what RTMP and FLV write again, modulo 2^32 */
    uint8_t *data;
    uint8_t bytes[];
};

/* A frame with room for size bytes, held once; NULL when there is no memory or size is over
 * FRAME_BYTES_MAX. */
struct frame *frame_new(enum frame_kind kind, size_t size);

/*
 * Where the frames of one stream come from.  They come and go in order, so they lie side by side in
 * blocks that are freed with their last frame: what a stream leaves behind is whole pages, and what
 * lives long does not lie between frames.  A pool belongs to one thread, its frames to any; all
 * zero is an empty one.
 */
struct frame_pool {
    struct frame_block *block; /* that is being filled; NULL: none */
    uint8_t *next;             /* where its next frame lies … */
    uint32_t left;             /* … and the bytes from there on */
    uint32_t handed;           /* frames that were put into it */
    struct frame_held *held;   /* how much its frames hold, which says how large a block may be */
};
/* As frame_new(), for a frame that is not kept when those around it have gone; pool NULL: the same
 * as frame_new(). */
struct frame *frame_pool_new(struct frame_pool *pool, enum frame_kind kind, size_t size);
/* Its frames live on. */
void frame_pool_fini(struct frame_pool *pool);

/* The same frame for another log: all but its place and its cut, the payload shared. */
struct frame *frame_alias(struct frame *f);
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
