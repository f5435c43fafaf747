#ifndef SLUICE_ORIGIN_RELAY_INTERNAL_H
#define SLUICE_ORIGIN_RELAY_INTERNAL_H

#include "media/relay_frames.h"
#include "origin/relay_server.h"
#include "proto/relay_record.h"

/*
 * relay_server.c reads and admits requests; relay_flow.c sends a log, relay_place.c finds where it
 * begins, relay_describe.c writes what goes between frames, relay_answer.c looks into the home feed
 * for the short answers.
 */
struct relay_server {
    struct relay_options o;
    struct relay_local {
        struct list flows;
        bool leaving;
    } locals[WORKERS_MAX]; /* by worker, touched by it only */
};

/* A GET of a log, read and admitted. */
struct relay_request {
    char name[NAME_STREAM_MAX + 1];
    char peer[NAME_NODE_MAX + 1];
    /* Live: the place to go on from, epoch 0 for none.  Finite: frames from..to of the epoch, or of
     * the run that the one of epoch `before` may go on from, once it is known to be over. */
    uint64_t epoch, from, to, before;
    bool finite;
};

/* Admits a request that names a stream and fills in its name and sender; false when it has been
 * answered. */
bool relay_open_request(struct relay_server *s, struct http_exchange *x,
                        const struct http_request *req, struct relay_request *q);

/* Answers with the flow; takes the exchange over. */
void relay_flow_open(struct relay_server *s, struct http_exchange *x,
                     const struct relay_request *q);

/* Answers a probe of the name: of its newest run, or of the newest one before that epoch (not 0).
 */
void relay_answer_probe(struct relay_server *s, struct http_exchange *x, const char *name,
                        uint64_t before);
/* Passes a wish for a key frame to the home of the name; false when there is none. */
bool relay_answer_want_key(struct relay_server *s, const char *name);

/* What of a run's state was told last; a difference is told again. */
struct relay_told {
    uint64_t epoch;
    const struct run_origin *origin; /* compared only */
    uint32_t track_count, codecs;
    bool lost;
    uint64_t last_seq;
    struct cut_plan plan;
};
void relay_told_of(const struct feed *f, const struct run *run, struct relay_told *out);
bool relay_told_equal(const struct relay_told *a, const struct relay_told *b);

/* Appends the state record of a run with `inforce` (may be NULL) as what is in force; 0 or an enum
 * err (nothing appended). */
int relay_describe(const struct relay_server *s, const struct feed *f, const struct run *run,
                   const struct inforce *inforce, struct buf *out);
/* Our instance, or that of the node which owns the run. */
uint64_t relay_run_instance(const struct relay_server *s, const struct run *run);

/* The nodes from the run's owner to this one, comma separated; room may hold it. */
struct slice relay_path_of(const struct relay_server *s, const struct run *run,
                           char room[RELAY_PATH_MAX + 1]);

/* Appends a record without fields to what waits. */
void relay_add(struct buf *out, enum relay_type type, struct slice payload);
void relay_add_end(struct buf *out, enum close_reason why);
/* first_seq: the oldest frame that is still held. */
void relay_add_gap(struct buf *out, uint64_t first_seq);

/* Where a flow begins, and what is in force there. */
struct relay_place {
    const struct run *run;
    uint64_t seq;
    const struct inforce *inforce; /* may be NULL */
};
/* Fills in which frames a request with `before` is for: 1, 0 when its run may still grow, or
 * ERR_NOT_FOUND. */
int relay_place_before(struct relay_request *q, const struct log *l);
/* Of a finite request; false when the frames are not held. */
bool relay_place_past(const struct relay_request *q, const struct log *l, struct relay_place *at);
/* Of a live one, in a log that has a run; false when the run asked for has not begun. */
bool relay_place_live(const struct relay_request *q, const struct log *l, struct relay_place *at);
/* Of a run that follows another: all of it, as far as it makes sense. */
struct relay_place relay_place_of_run(const struct run *run);
/* Of the newest part of a run that makes sense. */
struct relay_place relay_place_newest(const struct run *run);
const struct inforce *relay_newest_inforce(const struct run *run);

#endif
