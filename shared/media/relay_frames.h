#ifndef SLUICE_MEDIA_RELAY_FRAMES_H
#define SLUICE_MEDIA_RELAY_FRAMES_H

#include "media/inforce.h"
#include "proto/relay_record.h"

/* Frames as relay records, and relay records of other nodes as frames of our own. */

/* The record of a frame (its payload points into it). */
struct relay_record relay_record_of(const struct frame *f);

/* The frame of a frame record, held once, everything as published.  0, ERR_PROTOCOL (no such kind,
 * no seq), ERR_TOO_LARGE (also: no memory). */
int relay_frame_new(const struct relay_record *rec, struct frame **out);

/* What a state says is in force: held once, NULL when that is nothing.  0 or as above. */
int relay_inforce_new(const struct relay_state *s, struct inforce **out);

#endif
