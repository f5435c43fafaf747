#ifndef SLUICE_EDGE_AUDIENCE_INTERNAL_H
#define SLUICE_EDGE_AUDIENCE_INTERNAL_H

#include "base/map.h"
#include "edge/audience.h"

#include <stdatomic.h>

/*
 * edge.c has what players of a node share, audience.c decides for all players of a stream when to
 * write, serve.c who of them is next, viewer.c serves one.
 */
#define AUDIENCE_MAGIC   0x61756469
#define AUDIENCE_KEY_MAX (NAME_STREAM_MAX + 4)

/* The part of the edge that one worker has for itself. */
struct edge_worker {
    struct map *audiences; /* by kind and name */
    struct wire_cache cache;
    struct log_limit open_limit, close_limit;
    struct list due; /* audiences with somebody to serve */
    struct task serve;
    struct list seats; /* taken, the oldest first */
    int64_t seat_count;

    bool draining;
    struct timer drain;
    int64_t drain_us, drain_by_us; /* how long it takes; when (clock_us) nobody is left */
    int64_t drain_count;           /* seats taken when it began */
};

struct edge {
    struct workers *group;
    struct hub *hub;
    struct edge_worker *local;
    atomic_int_least64_t viewers;
};

struct audience {
    uint32_t magic;
    struct list due; /* of its worker's */
    struct edge *edge;
    struct worker *worker;
    struct wire_cache *cache;
    enum wire_kind kind;
    struct feed_reader reader;
    struct list newcomers;        /* wait for their first frame; joined first, first */
    struct list viewers;          /* have all there is, or their socket takes nothing */
    struct list owed;             /* those of `viewers` that the present flush has not come to */
    struct list late;             /* would take more at once than they get in one turn */
    int64_t flush_us, flushed_us; /* what the present flush, and the one before it, took */
    uint32_t count;
    struct timer merge, sweep;
    struct task close;
    int64_t told_bitrate_bps;
    char key[AUDIENCE_KEY_MAX + 1];
};

/* The audience of the name and form on this worker, made when needed. */
struct audience *audience_get(struct edge *e, struct worker *w, const char *name,
                              enum wire_kind kind);
/* A newcomer is in its list: looks at it at the end of this turn, and when its time is up. */
void audience_greet(struct audience *a);
/* Gives all who play what there is: now, as far as this turn's share goes. */
void audience_flush(struct audience *a);
/* Somebody is left to be served: goes on in the next turns. */
void audience_due(struct audience *a);
/* The task of a struct edge_worker that does so. */
void audience_serve(void *edge_worker);

/* Sends what the socket takes, and no more than a turn's share: with more to send the player is
 * late from then on.  It may have left when it returns. */
void viewer_pump(struct viewer *v);
/* Takes the player out and tells it why. */
void viewer_end(struct viewer *v, enum close_reason why);
/* The stream is over: the player gets what is left of it, then it ends. */
void viewer_finish(struct viewer *v, enum close_reason why);

#endif
