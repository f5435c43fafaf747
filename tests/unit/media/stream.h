#ifndef SLUICE_TESTS_UNIT_MEDIA_STREAM_H
#define SLUICE_TESTS_UNIT_MEDIA_STREAM_H

#include "base/must.h"
#include "media/log.h"

#include <string.h>

/* Frames of a made-up stream: H.264 at 25 frames a second, a key frame every second. */
static inline struct frame *make_frame(enum frame_kind kind, uint8_t flags, uint64_t seq,
                                       int64_t dts_ms, size_t size)
{
    struct frame *f = frame_new(kind, size);
    must(f != NULL);
    memset(f->data, (int)(seq & 0x7f), size);
    if (size > 0 && kind == FRAME_VIDEO)
        f->data[0] = (flags & FRAME_KEY) != 0 ? 0x17 : 0x27;
    f->flags = flags;
    f->seq = seq;
    f->wire_ms = dts_ms;
    f->dts_us = dts_ms * 1000;
    f->codec = 0x61766331;
    return f;
}

static inline void append_video(struct log *l, uint64_t *seq, int count)
{
    for (int i = 0; i < count; i++, (*seq)++) {
        bool key = (*seq - 1) % 25 == 0;
        log_append(
            l, make_frame(FRAME_VIDEO, key ? FRAME_KEY : 0, *seq, (int64_t)(*seq - 1) * 40, 1000));
    }
}

#endif
