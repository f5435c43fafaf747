#ifndef SLUICE_MEDIA_CUT_H
#define SLUICE_MEDIA_CUT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A cut is a property of the frame that begins a unit: a part, or with part 0 a segment and its
 * first part.  The owner of a run decides it before the frame is frozen (media/segmenter.h), it
 * travels with the frame, and nobody computes it again.
 *
 *   frames   m c K f a f a f a f a f a K f a ...       (seq order)
 *   cuts         |       |     |       |
 *              7.0      7.1   7.2     8.0              msn.part
 *
 * The numbers of a cut count from the run's first segment; the plan says what that one is called.
 * So frames need not wait for an owner that has to ask others first.
 *
 * A unit is the frames of all tracks from its first one up to the next unit's first one, whatever
 * their dts; it lasts from its start_us to the next one's.
 */
#define CUT_TRACKS_MAX 16 /* tracks of a segment: what a log may have */

#define CUT_NUMBER_MAX (1ULL << 53) /* of msn and dsn: what a number of ECMAScript holds */
#define CUT_NUMBER_BEGIN                                                                           \
    (1ULL << 52) /* the highest that a run is begun after: there is room behind */

struct cut {
    uint64_t msn;     /* media sequence number; with a frame: less cut_plan.first_msn */
    uint64_t dsn;     /* discontinuity sequence number: a segment with another one than the segment
                         before it begins with a DISCONTINUITY; with a frame: less first_dsn */
    uint32_t part;    /* of the segment, from 0 */
    uint32_t init;    /* number of the init segment in force, from 1 in each run */
    int64_t start_us; /* on the run's line; never less than the one before */
    int64_t wall_us;  /* program date-time: unix time of start_us by the owner's clock */
    uint16_t clock;   /* frame_track_number() of the track that the limits are compared with */
    bool independent; /* the frame can be decoded without what came before */
    uint8_t track_count;             /* part 0: the tracks of the segment; else 0 */
    uint16_t tracks[CUT_TRACKS_MAX]; /* frame_track_number(), rising; the rest of the frames in the
                                        segment is not for it */
};

/* What a track was like in a run's first segment. */
struct cut_rate {
    uint16_t track; /* frame_track_number() */
    uint16_t none;
    uint32_t bps;
    uint32_t frame_rate_milli; /* frames per 1000 s; 0: sound */
};

/* How a run is cut, and what its owner declares of it: the same everywhere.  By value; without
 * padding, so that cut_plan_equal() may compare bytes. */
struct cut_plan {
    uint32_t segment_ms, part_ms, window_segments; /* segment_ms 0: the run is not cut, or its
                                                      numbers are not known yet: nothing of it may
                                                      be listed */
    uint32_t frame_rate_milli;                     /* frames per 1000 s; 0: not known */
    uint64_t peak_bps, average_bps;                /* 0: not known yet */
    uint64_t first_msn, first_dsn;                 /* of the run's first segment */
    uint32_t part_target_us;                       /* PART-TARGET; 0: not decided yet */
    uint32_t rate_count;                           /* 0: not known yet */
    struct cut_rate rates[CUT_TRACKS_MAX];
    uint64_t base_msn; /* the oldest msn that playlists of this run may list */
    uint64_t previous_epoch, previous_last_seq; /* the run that this one goes on from without a
                                                   jump, and its last frame; 0: none */
};
bool cut_plan_equal(const struct cut_plan *a, const struct cut_plan *b);

/* Where numbering begins when it cannot go on exactly: beyond what any owner may have used since,
 * as segments last at least a second.  last_msn: the highest known, or 0. */
uint64_t cut_jump(uint64_t epoch_us, uint64_t last_msn);

/* The same of discontinuities, which are rare: it counts spans of CUT_DSN_SPAN_S since 2026. Small,
 * because players keep arrays of which it is the index: hls.js walks through all of one at each
 * playlist. */
#define CUT_DSN_SPAN_S 600
uint64_t cut_jump_dsn(uint64_t epoch_us, uint64_t last_dsn);

#endif
