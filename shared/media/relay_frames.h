#ifndef SLUICE_MEDIA_RELAY_FRAMES_H
#define SLUICE_MEDIA_RELAY_FRAMES_H

#include "media/cut.h"
#include "media/inforce.h"
#include "proto/relay_record.h"

/* Frames as relay records, and relay records of other nodes as frames of our own. */

/* The record of a frame (its payload points into it). */
struct relay_record relay_record_of(const struct frame *f);

/* What goes before a frame's payload: the record of its cut, if it has one, and the header of its
 * own.  The bytes that were, or would be, written. */
#define RELAY_FRAME_HEAD_MAX (2 * RELAY_RECORD_HEADER_SIZE + RELAY_CUT_SIZE_MAX)
size_t relay_frame_head(const struct frame *f, uint8_t out[RELAY_FRAME_HEAD_MAX]);
size_t relay_frame_head_size(const struct frame *f);

/* A cut that has come, and waits for its frame.  All zero: none. */
struct relay_cut_ahead {
    uint64_t seq;
    struct cut cut;
};
/* A cut record: 0, or as relay_cut_decode(). */
int relay_cut_take(struct relay_cut_ahead *ahead, const struct relay_record *rec);
/* The frame that follows gets it, if it is the one. */
void relay_cut_give(struct relay_cut_ahead *ahead, struct frame *f);

/* How the sender of a state cuts the run, and the other way. */
struct cut_plan relay_plan_of(const struct relay_state *s);
void relay_plan_put(struct relay_state *s, const struct cut_plan *plan);

/* The frame of a frame record, out of the pool (NULL: none), held once, everything as published. 0,
 * ERR_PROTOCOL (no such kind, no seq), ERR_TOO_LARGE (also: no memory). */
int relay_frame_new(struct frame_pool *pool, const struct relay_record *rec, struct frame **out);

/* What a state says is in force: held once, NULL when that is nothing.  0 or as above. */
int relay_inforce_new(const struct relay_state *s, struct inforce **out);

#endif
