#ifndef SLUICE_MEDIA_SEGMENTER_INTERNAL_H
#define SLUICE_MEDIA_SEGMENTER_INTERNAL_H

#include "media/segmenter.h"

/* segmenter_parts.c: where parts end, and what PART-TARGET is. */

/* Another clock, whose newest frame has that dts. */
void segmenter_parts_clock(struct segmenter *s, int64_t newest_us);
/* The clock's next frame. */
void segmenter_parts_step(struct segmenter *s, int64_t dts_us);
/* The open part ends before this frame of a listed track: *start_us is where the next one begins.
 */
bool segmenter_part_ends(struct segmenter *s, struct segmenter_track *t, const struct frame *f,
                         int64_t *start_us);
/* Where a track is on the clock's line with a frame of that dts. */
int64_t segmenter_place_us(const struct segmenter_track *t, int64_t dts_us);
/* Where a unit begins that begins with the clock's frame of that dts: no later than what the open
 * part may last, when another track would have ended it a moment later. */
int64_t segmenter_unit_start_us(const struct segmenter *s, int64_t dts_us);
/* PART-TARGET is decided now at the latest. */
void segmenter_settle(struct segmenter *s);

#endif
