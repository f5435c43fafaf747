#ifndef SLUICE_MEDIA_SEGMENTER_H
#define SLUICE_MEDIA_SEGMENTER_H

#include "media/frame.h"

/*
 * Cuts a run into segments and parts, at its owner: sees each frame before it is appended, in the
 * order of seqs, and gives those that begin a unit their cut.  No I/O and no clock; nothing is held
 * back.  All times are dts on the run's line.
 *
 * The clock.  One track is compared with the limits: video 0, else audio 0.  When another track is
 * SEGMENTER_SILENT_US ahead of it, or has come to what TARGETDURATION allows, that one takes over;
 * the first one is asked again when the next segment opens.
 *
 * Segments end before the clock's first key frame (sound: any frame) at or after 95 % of
 * segment_ms, else before its first frame at or after twice segment_ms.
 *
 * Parts.  PART-TARGET is made so that parts of the clock's steps fit (m3u8_part_target_us), by what
 * the steps of the run's first part are, and stays.  A part ends before the clock's first frame at
 * or after 85 % of it.  A clock that pauses or is irregular may have none there: then another track
 * that has come to PART-TARGET ends the part, and the next one begins at exactly that time,
 * whatever the dts of its first frame.  How far that track runs ahead of the clock is allowed for.
 *
 * One frame earlier.  Where no other track goes on, a unit whose end would pass its target ends a
 * frame before.  That has to be known when the earlier frame comes, and the later one is not there:
 * it is expected one step later, the longest of the last SEGMENTER_STEPS distances (steps over the
 * part target are left out: one pause says nothing of the next frame).  So a unit is longer than
 * its target only where a frame comes later than all of those before it did.
 *
 * The tracks.  Segments begin once every track that onMetaData announces (without one: a video and
 * an audio track) is configured, at latest with SEGMENTER_OPEN_US of media; at a key frame when
 * there is video.  A track or a configuration that comes later opens a segment with another init,
 * and a new dsn, at its first frame (of new video: its first key frame); so does a step of the
 * publisher's clock, with the same init.
 */
#define SEGMENTER_SILENT_US 1000000
#define SEGMENTER_OPEN_US   1000000
#define SEGMENTER_STEPS     4

struct segmenter_options {
    uint32_t segment_ms, part_ms;
    int64_t wall_us;   /* unix time of dts 0 */
    uint64_t msn, dsn; /* of the first segment */
};

struct segmenter_track {
    uint16_t number;   /* frame_track_number() */
    bool ready;        /* it can be put into an init segment */
    bool listed;       /* in the open segment */
    bool changed;      /* another configuration than the open segment's */
    bool started;      /* newest_us means something */
    int64_t newest_us; /* dts of its newest media frame */
    bool lead_known;
    int64_t lead_us; /* that far it was ahead of the clock when the clock's last frames came */
    uint64_t first_bytes, first_frames; /* in the first segment */
    struct frame *config;               /* held; NULL: none has come */
};

/* What onMetaData says of the run. */
struct segmenter_metadata {
    bool seen;
    uint32_t track_count;
    uint16_t tracks[CUT_TRACKS_MAX]; /* that are announced */
    uint64_t bps;                    /* of all of them; 0: not told */
    uint32_t frame_rate_milli;       /* 0: not told */
};

/* What the owner declares of the run, once: from metadata, else when the first segment has ended.
 */
struct segmenter_declared {
    bool known;
    uint64_t peak_bps, average_bps;
    uint32_t frame_rate_milli; /* frames per 1000 s; 0: no video */
    uint32_t rate_count;       /* 0: the first segment has not ended */
    struct cut_rate rates[CUT_TRACKS_MAX];
};

struct segmenter {
    struct segmenter_options o;
    uint32_t track_count;
    bool began; /* a frame has come */
    bool open;  /* a segment is */
    int64_t began_us;

    struct cut now;          /* of the open unit; the tracks are the segment's */
    int64_t segment_us;      /* where the open segment begins */
    bool step_pending;       /* the publisher's clock has stepped */
    int64_t part_target_us;  /* 0: not decided yet; that of the run before, when it goes on */
    int64_t clock_newest_us; /* dts of the clock's last frame, and its distance to the one before */
    int64_t clock_distance_us;
    int64_t clock_began_us; /* dts of its first frame, from which clock_steps lead to the last */
    uint32_t clock_steps;
    int64_t steps_us[SEGMENTER_STEPS]; /* the last distances that are not over the part target */
    uint32_t step_at;

    struct segmenter_track tracks[CUT_TRACKS_MAX];
    struct segmenter_metadata metadata;
    struct segmenter_declared declared;
};

void segmenter_init(struct segmenter *s, const struct segmenter_options *o);
void segmenter_fini(struct segmenter *s);

/* Looks at the run's next frame, and sets f->cut when it begins a unit. */
void segmenter_take(struct segmenter *s, struct frame *f);

/* segmenter_metadata.c: what a FRAME_META frame of data announces; out is left as it is when that
 * is no onMetaData. */
void segmenter_read_metadata(const struct frame *f, struct segmenter_metadata *out);

/* The number that a segment after the open one has, in this run or one that goes on from it. */
uint64_t segmenter_next_msn(const struct segmenter *s);
uint64_t segmenter_next_dsn(const struct segmenter *s);

#endif
