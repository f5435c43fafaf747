#ifndef SLUICE_EDGE_AUDIENCE_INTERNAL_H
#define SLUICE_EDGE_AUDIENCE_INTERNAL_H

#include "base/map.h"
#include "edge/audience.h"

#include <stdatomic.h>

/*
 * edge.c has what players of a node share, audience.c decides for all players of a stream when to
 * write, viewer.c serves one of them.
 */
#define AUDIENCE_MAGIC   0x61756469
#define AUDIENCE_KEY_MAX (NAME_STREAM_MAX + 4)

/* The part of the edge that one worker has for itself. */
struct edge_worker {
    struct map *audiences; /* by kind and name */
    struct wire_cache cache;
    struct log_limit open_limit, close_limit;
    struct list viewers; /* all of this worker, the oldest first */
    int64_t viewer_count;

    bool draining;
    struct timer drain;
    int64_t drain_us, drain_by_us; /* how long it takes; when (clock_us) nobody is left */
    int64_t drain_count;           /* viewers when it began */
};

struct edge {
    struct workers *group;
    struct hub *hub;
    struct edge_worker *local;
    atomic_int_least64_t viewers;
};

struct audience {
    uint32_t magic;
    struct edge *edge;
    struct worker *worker;
    struct wire_cache *cache;
    enum wire_kind kind;
    struct feed_reader reader;
    struct list newcomers; /* wait for their first frame; joined first, first */
    struct list viewers;
    uint32_t count;
    struct timer merge, sweep;
    struct task greet, close;
    int64_t told_bitrate_bps;
    char key[AUDIENCE_KEY_MAX + 1];
};

/* The audience of the name and form on this worker, made when needed. */
struct audience *audience_get(struct edge *e, struct worker *w, const char *name,
                              enum wire_kind kind);
/* A newcomer is in its list: looks at it at the end of this turn, and when its time is up. */
void audience_greet(struct audience *a);

/* Sends what the socket takes.  The player may have left when it returns. */
void viewer_pump(struct viewer *v);
/* Takes the player out and tells it why. */
void viewer_end(struct viewer *v, enum close_reason why);
/* The stream is over: the player gets what is left of it, then it ends. */
void viewer_finish(struct viewer *v, enum close_reason why);

#endif
