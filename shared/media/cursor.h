#ifndef SLUICE_MEDIA_CURSOR_H
#define SLUICE_MEDIA_CURSOR_H

#include "media/log.h"
#include "media/wire.h"

/*
 * A viewer's position in a log.  It only moves forward; it jumps only to a key frame after its
 * position, and only between frames: a half-sent frame is held by reference until its last byte.
 */
struct cursor {
    uint64_t epoch, seq;    /* next frame to send; epoch 0: not joined yet */
    int64_t grace_until_us; /* until then it may take what came in one burst */
    uint32_t offset;        /* bytes of the wire form of the frame at (epoch, seq) that are out */
    bool at_head;           /* it had everything when it was last looked at */
    /* So far what is looked at in each flush. */
    uint32_t skips;        /* jumps in the last SKIPS_WINDOW_US */
    struct frame *held;    /* the frame at (epoch, seq), when part of it is out */
    int64_t held_shift_ms; /* shift of the run it belongs to */
    int64_t skips_since_us;
    int64_t join_age_us; /* how old the key frame was when it joined: that much is no one's fault */
    struct inforce *told; /* what the viewer was given */
};

struct viewer_limits {
    int64_t behind_us;
};
#define CURSOR_SKIPS_MAX       3 /* jumps in CURSOR_SKIPS_WINDOW_US before the viewer is given up */
#define CURSOR_SKIPS_WINDOW_US 10000000

void cursor_fini(struct cursor *c);

/* Places c at the newest joinable frame; false when there is none. */
bool cursor_join(struct cursor *c, const struct log *l);

enum cursor_verdict {
    CURSOR_KEEP,     /* near enough, in mid-frame, or nowhere to jump to */
    CURSOR_SKIPPED,  /* jumped to a newer key frame: tell what is in force there, if it changed */
    CURSOR_TOO_SLOW, /* jumped too often */
    CURSOR_EVICTED,  /* its place has left the log and there is no key frame to go on at: wait */
};
/*
 * The one judge of slow viewers, asked before each write.  What comes in one burst (a publisher or
 * a link that stood still, a step of the publisher's clock) is not the viewer's fault: one that had
 * everything before has limits->behind_us to take it.  *skipped (may be NULL) counts the frames
 * jumped over.
 */
enum cursor_verdict cursor_judge(struct cursor *c, const struct log *l,
                                 const struct viewer_limits *limits, int64_t now_us,
                                 uint64_t *skipped);

/*
 * At the end of a run that another follows: steps to that run's oldest joinable frame and returns
 * true.
 */
bool cursor_next_run(struct cursor *c, const struct log *l);

/* True when it has had all that r holds. */
static inline bool cursor_is_at_head(const struct cursor *c, const struct run *r)
{
    return c->epoch == r->epoch && c->seq == r->next;
}

/* True when frames wait to be sent. */
bool cursor_has_more(const struct cursor *c, const struct log *l);

/* It took nothing for a while because it wished so: the next judgement knows no burst. */
void cursor_rested(struct cursor *c);

/* n more bytes of the span's wire form (from the cursor's place, after its offset) are out. */
void cursor_advance(struct cursor *c, const struct wire_span *span, const struct run *r, size_t n);

/* The same for the held frame, whose form this is. */
void cursor_advance_held(struct cursor *c, const struct wire_form *form, size_t n);

/*
 * True when `now` differs from what the viewer was told: it must be sent (wire_preamble).  The
 * cursor remembers it.
 */
bool cursor_tell(struct cursor *c, struct inforce *now);
/* What is in force at the cursor's place, when it stands at a key frame; else NULL. */
const struct log_key *cursor_key(const struct cursor *c, const struct log *l);

#endif
