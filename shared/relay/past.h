#ifndef SLUICE_RELAY_PAST_H
#define SLUICE_RELAY_PAST_H

#include "media/inforce.h"
#include "media/log.h"
#include "net/relay_call.h"

/*
 * What another node holds of a run up to a frame: one request with a finite answer, collected as a
 * block that a log accepts at its head, or as a run before its newest.  On one worker.
 */
struct past;

struct past_block {
    uint64_t epoch;
    struct inforce *inforce; /* at the first frame */
    /* Of the run, as the sender has it. */
    struct run_origin *origin;
    struct cut_plan plan;
    int64_t wall_us;
    struct frame **frames; /* contiguous up to the seq asked for */
    size_t count;          /* 0: nothing is held there, or it did not come */
};
/* As what a log adopts, which takes the frames over. */
struct log_older past_block_older(const struct past_block *b);
/* The block moves to *out; `from` is left with nothing to release. */
void past_block_take(struct past_block *out, struct past_block *from);
void past_block_fini(struct past_block *b);

/* The last call; past has been freed.  The frames' references go over to the callee by clearing
 * `count`, everything by past_block_take(); what it leaves is released. */
typedef void past_done(struct past_block *block, void *arg);

struct past_options {
    const struct relay_client *client;
    const char *node, *address; /* whom to ask */
    const char *name;
    uint64_t from;      /* no older frame than this one */
    uint64_t epoch, to; /* frames up to and with this one, as old as they are held there; … */
    uint64_t before;    /* … or, instead, all of the run that this epoch's may go on from, once it
                           is over (not 0) */
    size_t bytes_max;   /* of all frames; with more it ends at once */
};
#define PAST_HEAD_MS 2000 /* look-up, connection and head */
#define PAST_IDLE_MS 2000

/* The callback never comes from inside the start. */
struct past *past_start(struct worker *w, const struct past_options *o, past_done *done, void *arg);
void past_cancel(struct past **pp);

#endif
