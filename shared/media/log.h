#ifndef SLUICE_MEDIA_LOG_H
#define SLUICE_MEDIA_LOG_H

#include "base/list.h"
#include "base/must.h"
#include "media/inforce.h"
#include "media/run_origin.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The recent past of one stream: frames in one total order, a list of runs (one per ownership
 * epoch). A position is (epoch, seq).  The log knows no protocol, does no I/O and calls nobody; it
 * belongs to one worker.  Frames in it are frozen and may be held on any thread.
 *
 *   run      first                     key      key    next
 *   seq      100  101  102 ...         140      180    194
 *   frames  [ c ][ K ][ f ] ...       [ K ]    [ K ]
 *                  ^                            ^      ^
 *      a slow cursor                 a late joiner    most cursors
 */
#define LOG_RUNS_MAX   4     /* runs of one log; the oldest goes */
#define LOG_FRAMES_MAX 65536 /* frames of one run, whatever the window says */
#define LOG_KEYS_MAX   1024  /* index entries of one run; the oldest go */
#define LOG_TRACKS_MAX 16    /* tracks of one stream */
#define LOG_PARTS_MAX  16384 /* parts of one run in the index of cuts; the oldest go */
#define LOG_AUDIO_KEY_US                                                                           \
    1000000 /* without video: an index entry per second, and the first after a second */

/* Bytes of all logs of a node: `bytes` is what their frames hold, `max` the bound (0: none). */
struct log_account {
    atomic_size_t bytes;
    size_t max;
    /* How tight memory is otherwise, written by another thread: each step halves what all logs may
     * have.  NULL: nobody says. */
    const int *pressure;
};

struct log_limits {
    int64_t window_us;
    size_t window_bytes;
    struct log_account *account; /* NULL: not counted (replicas, which follow their home) */
};

/* A place where a viewer may join: a key frame, with what is in force there. */
struct log_key {
    uint64_t seq;
    int64_t dts_us, wire_ms;
    struct inforce *inforce;
};

/* Which tracks a part has frames of: a bit per track, up to 15. */
struct log_part_has {
    uint16_t video, audio;
    uint16_t keys;   /* a key frame of video, too */
    uint16_t starts; /* which is its first */
};

/*
 * A part, by the cut of its first frame.  Parts stay in the index when their frames have gone, for
 * (2 * window_segments + 2) segments: a playlist is a function of the newest ones, whatever is
 * held.
 */
struct log_part {
    struct cut cut;
    uint64_t seq;          /* its first frame */
    int64_t first_us;      /* dts of that frame */
    uint16_t first_number; /* and its track */
    uint64_t bytes;        /* of payload, up to the next part */
    struct log_part_has has;
    struct inforce *inforce; /* part 0: what is in force at its first frame; else NULL */
};

struct log_track {
    uint8_t kind, id;
    uint32_t codec;
    uint64_t frames; /* media frames seen */
    int64_t newest_dts_us;
};

/* What each frame needs comes first, so that it lies in few lines of the cache. */
struct run {
    struct list node;
    uint64_t epoch;
    uint64_t first, next; /* frames [first, next) are held; next is the seq of the coming one */
    int64_t
        shift_ms; /* added by continuous muxers (RTMP, FLV) to wire_ms; the frames keep theirs */
    bool shift_set;
    bool ended;
    bool video_seen;
    uint32_t ring_mask;
    struct frame **ring;
    struct log_key *keys; /* oldest first */
    uint32_t key_count, key_room;
    struct log_part *parts; /* oldest first, from part_first on */
    uint32_t part_first, part_count, part_room;
    uint32_t track_count;
    int64_t newest_dts_us, newest_wire_ms;
    int64_t trim_us; /* the newest dts after which frames may go because of their age */
    size_t bytes;
    struct inforce *inforce; /* at next */
    struct log_track tracks[LOG_TRACKS_MAX];

    uint64_t last_seq;         /* of the run's last frame, by its owner's word; 0: more may come */
    struct run_origin *origin; /* NULL: a local publisher fills it */
    int64_t opened_us; /* clock_us, when it began to be held here; set by whoever opened it */
    int64_t wall_us;   /* unix time of dts 0 at the origin: program date-time */
    int64_t longest_segment_us;
    struct cut_plan plan; /* how the owner cuts it; all zero: not at all, or not told yet */
};

struct log {
    struct log_limits limits;
    struct list runs; /* oldest first */
    uint32_t run_count;
    size_t bytes;
    uint64_t change; /* raised by every change: what was gathered before it is stale */
};

struct log *log_new(const struct log_limits *limits);
void log_free(struct log **lp);

/*
 * Opens a run behind the others, its next frame being first_seq, with `inforce` (may be NULL;
 * referenced once more) in force there.  The run before it is ended.  must(): epochs only rise.
 */
struct run *log_open_run(struct log *l, uint64_t epoch, uint64_t first_seq,
                         struct inforce *inforce);
struct run *log_newest(const struct log *l); /* NULL when there is none */
struct run *log_oldest(const struct log *l); /* NULL when there is none */
struct run *log_find(const struct log *l, uint64_t epoch);
/* The run that follows r, or NULL. */
struct run *log_after(const struct log *l, const struct run *r);
/* The run before it, or NULL. */
struct run *log_before(const struct log *l, const struct run *r);
void log_end_run(struct log *l, struct run *r);

/* Appends to the newest run and takes over the caller's reference; must(): f->seq is run->next.
 * Frames out of the window are dropped. */
void log_append(struct log *l, struct frame *f);

/*
 * Puts older frames in front of a run: seqs contiguous up to run->first, `inforce` in force at the
 * first of them.  Takes over the references (also on error).  0, ERR_RANGE (not contiguous),
 * ERR_TOO_LARGE (over the window's bytes).
 */
int log_prepend(struct log *l, struct run *r, struct inforce *inforce, struct frame **frames,
                size_t count);

/* A run that is over, from its frames[0] up to its last frame, as its owner had it. */
struct log_older {
    uint64_t epoch;
    int64_t wall_us;
    struct cut_plan plan;
    struct run_origin *origin;
    struct inforce *inforce; /* at frames[0] */
    struct frame **frames;
    size_t count; /* at least 1 */
};
/*
 * Puts it among the runs before the newest, in place of what is held of it.  Takes over the frames'
 * references (also on error); origin and inforce are referenced once more.  It goes like any ended
 * run, maybe at once.  0, ERR_RANGE (there is no newer run, or all of it is held; frames are not
 * contiguous), ERR_TOO_LARGE (over the window's bytes), ERR_TOO_MANY (runs).
 */
int log_adopt(struct log *l, const struct log_older *older);

/*
 * A replica lost its place: drops all frames of the newest run, which goes on at next_seq (not
 * before run->next) with `inforce` (may be NULL; referenced once more) in force.  Cursors in it
 * find their place gone.
 */
void log_restart(struct log *l, uint64_t next_seq, struct inforce *inforce);

/* Drops all runs. */
void log_clear(struct log *l);

/* How a run is cut: renumbers what is indexed, and what is held of the run before is all of it when
 * the plan says so. */
void log_set_plan(struct log *l, struct run *r, const struct cut_plan *plan);
/* The owner says that this frame (0: none is known) is the run's last one. */
void log_set_last(struct log *l, struct run *r, uint64_t last_seq);

/* Segments whose frames are kept: each as long as the longest playlist and a window more. */
static inline uint64_t log_kept_segments(const struct cut_plan *plan)
{
    return 2 * (uint64_t)plan->window_segments + 2;
}

/* All frames up to the run's last one have come. */
static inline bool run_is_whole(const struct run *r)
{
    return r->last_seq != 0 && r->next == r->last_seq + 1;
}

static inline struct frame *run_frame(const struct run *r, uint64_t seq)
{
    must(seq >= r->first && seq < r->next);
    return r->ring[seq & r->ring_mask];
}

/* The newest place to join, or NULL. */
const struct log_key *run_newest_key(const struct run *r);
/* The oldest held key at or after seq, or NULL. */
const struct log_key *run_key_from(const struct run *r, uint64_t seq);
/* Media time from frame seq to the newest, microseconds; 0 when seq is not held. */
int64_t run_behind_us(const struct run *r, uint64_t seq);

/* The run that r goes on from without a jump, when this log has all of it up to its last frame;
 * else NULL: nothing of it may be listed. */
const struct run *log_previous(const struct log *l, const struct run *r);

/*
 * The index of cuts (log_parts.c).  Parts are where run_first_part() and run_next_part() say until
 * the log changes.
 */
const struct log_part *run_first_part(const struct run *r); /* or NULL, as below */
const struct log_part *run_newest_part(const struct run *r);
const struct log_part *run_next_part(const struct run *r, const struct log_part *p);
const struct log_part *run_part(const struct run *r, uint64_t msn, uint32_t part);
/* The first part that begins at seq or later. */
const struct log_part *run_part_from_seq(const struct run *r, uint64_t seq);
/* What is in force where p begins, by its segment's first frame: a configuration does not change
 * within a segment.  NULL when that is not in the index. */
const struct inforce *run_part_inforce(const struct run *r, const struct log_part *p);
/* The first part of the segment after p's. */
const struct log_part *run_next_segment(const struct run *r, const struct log_part *p);

/* The frames of a part or a segment, and what it lasts. */
struct log_extent {
    uint64_t from, to; /* seqs [from, to) */
    int64_t duration_us;
    uint64_t bytes; /* of payload */
    bool complete;  /* nothing more comes, by the owner's word; else duration_us and `to` are what
                       there is by now */
    bool held;      /* all of its frames are here */
};
struct log_extent run_part_extent(const struct run *r, const struct log_part *p);
/* must(): p is a part 0. */
struct log_extent run_segment_extent(const struct run *r, const struct log_part *p);

/* The oldest msn that a playlist lists whose newest segment (complete or not) is head_msn. */
uint64_t run_oldest_listed_msn(const struct run *r, uint64_t head_msn);

/* Drops what comes before (epoch, seq): older runs, and older frames of that run.  So a replica
 * holds no more than its home. */
void log_forget(struct log *l, uint64_t epoch, uint64_t seq);

#endif
