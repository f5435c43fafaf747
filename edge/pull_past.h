#ifndef SLUICE_EDGE_PULL_PAST_H
#define SLUICE_EDGE_PULL_PAST_H

#include "cluster/cluster.h"
#include "media/inforce.h"
#include "media/log.h"
#include "net/relay_call.h"

/*
 * What an upstream holds of a run before our first frame: one request with a finite answer,
 * collected as a block that a log accepts at its head.  On one worker.
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

/* The last call; past has been freed.  The references go over to the callee by clearing `count`
 * (the frames'); what it leaves is released. */
typedef void past_done(struct past_block *block, void *arg);

struct past_options {
    const struct relay_client *client;
    const char *node, *address; /* whom to ask */
    const char *name;
    uint64_t epoch, to; /* frames up to and with this one, as old as the upstream has them */
    size_t bytes_max;   /* of all frames */
};
#define PAST_HEAD_MS 2000 /* look-up, connection and head */
#define PAST_IDLE_MS 2000

/* The callback never comes from inside the start. */
struct past *past_start(struct worker *w, const struct past_options *o, past_done *done, void *arg);
void past_cancel(struct past **pp);

#endif
