#ifndef SLUICE_CLUSTER_CLUSTER_INTERNAL_H
#define SLUICE_CLUSTER_CLUSTER_INTERNAL_H

#include "cluster/cluster_backend.h"
#include "cluster/cluster_known.h"
#include "core/timer.h"

#include <stdatomic.h>

/* The cluster's own state: between cluster.c (requests and workers), cluster_held.c (claims) and
 * cluster_news.c (who is higher).  Backends do not include this. */

#define CLUSTER_MAGIC 0x636c7573u

struct cluster {
    uint32_t magic;
    struct worker *worker;
    struct log_id log;
    struct cluster_self self;
    struct cluster_events events;
    void *arg;
    const struct cluster_backend *backend;
    void *state;
    atomic_bool up;
    bool closing, fatal_told;

    struct known_table known;
    struct timer known_look;
    struct map *watched; /* name -> struct watch */
    struct map *held;    /* name -> struct cluster_held */
    struct list held_list;
    struct list revalidations; /* requests that wait for the directory's word … */
    struct timer revalidate;   /* … no longer than this */

    struct cluster_node *nodes; /* the last live nodes known */
    size_t node_count;
    int64_t nodes_us; /* when they were told */

    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* Takes the claim into the table of held ones, in the place of one of the same name. */
void cluster_hold(struct cluster *c, const struct cluster_claim *claim, uint64_t epoch,
                  int takeovers, bool registered);
/* Takes it out of the table; the caller frees it. */
void cluster_unhold(struct cluster *c, struct cluster_held *held);
void cluster_held_init(struct cluster *c);
void cluster_held_fini(struct cluster *c);
/* c->worker is set. */
void cluster_revalidate_init(struct cluster *c);
/* Ourselves as owner with this epoch. */
void cluster_self_owner(const struct cluster *c, uint64_t epoch, bool lost,
                        struct cluster_owner *out);

/*
 * One request on its way: posted to the cluster's worker, where `run` looks after it, and back to
 * `caller`, where `finish` calls back and it is freed.
 */
#define CLUSTER_WORD_MAX 32 /* a verb, a reason */
struct cluster_request {
    struct message message;
    struct list waiting; /* for what others wait for, too */
    struct cluster *cluster;
    struct worker *caller; /* NULL: nobody waits */
    void (*run)(struct cluster_request *r);
    void (*finish)(struct cluster_request *r);
    union {
        cluster_claim_done *claim;
        cluster_lookup_done *lookup;
        cluster_nodes_done *nodes;
        void (*plain)(void *arg);
    } done;
    void *arg;

    struct cluster_claim claim; /* its name is that of every request about a stream */
    uint64_t epoch;
    int64_t msn, dsn;
    int tracks;
    bool on;
    char word[CLUSTER_WORD_MAX];
    char node[NAME_NODE_MAX + 1];

    struct cluster_claimed claimed;
    struct cluster_owner owner;
    struct cluster_node *nodes;
    size_t node_count;
};

struct cluster_request *cluster_request_new(struct cluster *c, const char *name,
                                            void (*run)(struct cluster_request *r));
void cluster_request_send(struct cluster_request *r);
/* Posts it back, or frees it when nobody waits. */
void cluster_request_answer(struct cluster_request *r);
void cluster_request_free(struct cluster_request **rp);

/* Somebody without an address is the owner: nobody is told, but what is lower is stale. */
void cluster_raise(struct cluster *c, const char *name, const struct cluster_owner *owner);
/* What remains of the directory's answer when what we remember is higher. */
void cluster_settle(struct cluster *c, const char *name, struct cluster_owner *owner);

#endif
