#ifndef SLUICE_MEDIA_TIMELINE_H
#define SLUICE_MEDIA_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A publisher's 32-bit millisecond timestamps become `wire_ms` (unwrapped to 64 bits, the same
 * again modulo 2^32) and `dts_us` on the run's own line, which starts at 0 with the run's first
 * frame.  A step of the publisher's clock (back by more than TIMELINE_BACK_MS, forward by more than
 * TIMELINE_FORWARD_MS) moves the line, so that dts_us goes on one TIMELINE_STEP_US after the newest
 * frame; all tracks move together, and a frame that still belongs to the line before is placed
 * there.
 */
#define TIMELINE_BACK_MS    1000
#define TIMELINE_FORWARD_MS 10000
#define TIMELINE_STEP_US    40000

struct timeline {
    bool started, has_previous;
    int64_t last_wire_ms;     /* newest published time on the present line */
    int64_t shift_us;         /* dts_us = wire_ms * 1000 + shift_us */
    int64_t previous_wire_ms; /* the same two of the line before the last step */
    int64_t previous_shift_us;
    int64_t newest_dts_us;
};

struct timestamp {
    int64_t wire_ms, dts_us;
    bool discontinuity; /* the first frame after a step */
};

struct timestamp timeline_place(struct timeline *t, uint32_t published_ms);

#endif
