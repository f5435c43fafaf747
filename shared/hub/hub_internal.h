#ifndef SLUICE_HUB_HUB_INTERNAL_H
#define SLUICE_HUB_HUB_INTERNAL_H

#include "base/map.h"
#include "hub/hub.h"

#include <pthread.h>

#define FEED_MAGIC 0x66656564

/* One name on the node; refs counts pins and feeds.  Under the hub's mutex but for name and home.
 */
struct stream {
    struct worker *home;
    uint32_t refs;
    char name[NAME_STREAM_MAX + 1];
};

struct hub {
    struct workers *group;
    struct hub_hooks hooks;
    struct log_account account;
    pthread_mutex_t mutex;
    struct map *streams;
    struct map *apps; /* struct hub_app, of those that somebody publishes in */
    int64_t seats;
    struct map **feeds; /* by worker index; each touched by its worker only */
};

/* A replica of a home feed, in the home's list `bridges`. */
struct bridge {
    struct list node;
    struct feed *replica; /* lives until it has been told OP_DETACHED */
    struct worker *worker;
};

struct stream *stream_ref(struct hub *h, const char *name, struct worker *near);
void stream_unref(struct hub *h, struct stream **sp);

/* The worker's feed of the name, made when needed. */
struct feed *feed_get(struct hub *h, struct worker *w, const char *name);
/* Frees the feed when nothing keeps it, or sets the timer after which to look again. */
void feed_consider_idle(struct feed *f);
/* Home: tells the source or the node's hooks when the first reader came or the last one left. */
void feed_update_wanted(struct feed *f);
void feed_notify(struct feed *f);
/* Home: what was appended in this turn goes to the replicas. */
void feed_send_batch(struct feed *f);
/* No thread runs any more: frees the feed without asking its home or its replicas. */
void feed_abandon(struct feed **fp);

/* replica.c: what travels between a home and its replicas. */
void replica_attach(struct feed *replica);
void replica_detach(struct feed *replica);
void replica_want_key(struct feed *replica);
void replica_want_past(struct feed *replica);
void bridges_send_run(struct feed *home);
void bridges_send_frames(struct feed *home, struct frame **frames, size_t count);
void bridges_send_past(struct feed *home, struct inforce *inforce, struct frame **frames,
                       size_t count);
void bridges_send_older(struct feed *home, const struct run *run);
void bridges_send_state(struct feed *home);
void bridges_drop(struct feed *home);
void bridges_send_restart(struct feed *home);
void bridges_send_reset(struct feed *home);

void feed_set_state(struct feed *f, enum feed_state state, enum close_reason why);

#endif
