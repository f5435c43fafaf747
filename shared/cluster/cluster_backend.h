#ifndef SLUICE_CLUSTER_CLUSTER_BACKEND_H
#define SLUICE_CLUSTER_CLUSTER_BACKEND_H

#include "base/buf.h"
#include "base/list.h"
#include "cluster/cluster.h"

/*
 * What a backend implements, and what cluster.c does for all of them: the hopping between workers,
 * the claims held, the epochs seen, the interest set and the last owners and nodes known.
 * Everything here runs on the cluster's worker.  A backend answers each request exactly once
 * through cluster_backend_answer_*, which may happen inside the call.  `none` is the smallest
 * member.
 */
struct cluster_held;
struct cluster_request; /* an acquire, lookup, nodes or release that waits for its answer */

struct cluster_backend {
    const char *name;
    bool is_alone; /* no other node will ever tell anything: what has ended is not remembered */
    int (*open)(struct cluster *c, void **state, char error[CONFIG_ERROR_MAX]);
    /* Starts its timers and connections; called on the worker's thread once loops run. */
    void (*start)(void *state);
    /* claim->floor is at least the highest epoch seen. */
    void (*acquire)(void *state, const struct cluster_claim *claim, struct cluster_request *r);
    /* `held` is no longer in the table of held claims, and gone when this returns. */
    void (*release)(void *state, const struct cluster_held *held, const char *why,
                    struct cluster_request *r);
    /* A held claim was set lost or found again; numbering goes with the next renewal. */
    void (*claim_changed)(void *state, struct cluster_held *held);
    /* Asks whether the held claims are still ours, tells of those that are not, and then calls
     * cluster_backend_revalidated(). */
    void (*revalidate)(void *state);
    void (*lookup)(void *state, const char *name, struct cluster_request *r);
    void (*watch)(void *state, const char *name, bool on);
    void (*nodes)(void *state, struct cluster_request *r);
    /* The row of this node has changed (cluster_backend_self_node); NULL: the next heartbeat says
     * it. */
    void (*self_changed)(void *state);
    /* NULL when the backend has no way to. */
    void (*send)(void *state, const char *node, const char *verb, const char *name);
    /* on_closed within a second; afterwards no request is waiting. */
    void (*close)(void *state, void (*on_closed)(void *arg), void *arg);
    /* No loop runs any more: a close that is under way ends now.  NULL when it never takes time. */
    void (*stop)(void *state);
    void (*free)(void **state);
    /* A claim was granted and is in the table of held ones now; one of ours was fenced and is no
     * longer.  Each may be NULL. */
    void (*granted)(void *state, const struct cluster_held *held);
    void (*fenced)(void *state, const char *name, uint64_t epoch);
    /* Appends our streams for a node that asks for them (gossip_set_write); 0 or negative.  NULL:
     * there is nothing to ask for. */
    int (*write_set)(void *state, uint64_t instance, uint64_t since, struct buf *out);
    /* cluster_tls(); NULL: there is none. */
    struct tls_context *(*tls)(void *state);
};

extern const struct cluster_backend cluster_backend_none;
extern const struct cluster_backend cluster_backend_redis;
extern const struct cluster_backend cluster_backend_multicast;
extern const struct cluster_backend cluster_backend_static;

/* A claim of ours, from its grant until it is released or fenced. */
struct cluster_held {
    struct list node; /* in the list of held claims */
    struct cluster_claim claim;
    uint64_t epoch;
    int64_t msn, dsn; /* CLUSTER_NEXT_NONE: not known */
    int tracks, takeovers;
    bool lost;
    bool registered; /* the directory has (or had) it */
};
struct cluster_held *cluster_backend_held(struct cluster *c, const char *name);
/* What a claim of a name that we hold ourselves is to be answered. */
void cluster_backend_judge_held(const struct cluster *c, const struct cluster_held *held,
                                const struct cluster_claim *claim, struct cluster_claimed *answer,
                                int *takeovers);
/* All of them, linked by `node`; a backend may reorder the list. */
struct list *cluster_backend_held_list(struct cluster *c);
/* Ourselves as the owner of what we hold; held NULL: nobody. */
void cluster_backend_held_owner(const struct cluster *c, const struct cluster_held *held,
                                struct cluster_owner *out);
size_t cluster_backend_held_count(const struct cluster *c);

/* `takeovers` goes into the held claim. */
void cluster_backend_answer_claim(struct cluster_request *r, const struct cluster_claimed *claimed,
                                  int takeovers);
/* UNREGISTERED with the next epoch that is higher than all seen and than `floor`. */
void cluster_backend_answer_unregistered(struct cluster_request *r, uint64_t floor);
void cluster_backend_answer_release(struct cluster_request *r);
/* What the directory says, or NULL when it is away: the last owner known. */
void cluster_backend_answer_owner(struct cluster_request *r, const struct cluster_owner *owner);
/* The live nodes as the directory has them now. */
void cluster_backend_nodes_seen(struct cluster *c, const struct cluster_node *nodes, size_t count);
/* Answers with the nodes last seen. */
void cluster_backend_answer_nodes(struct cluster_request *r);

/* News of a stream.  EVENT: somebody said so; READ: the directory's record (or its absence). */
enum cluster_news { CLUSTER_NEWS_EVENT, CLUSTER_NEWS_READ };
void cluster_backend_news(struct cluster *c, const char *name, const struct cluster_owner *owner,
                          enum cluster_news kind);
/* The directory refused a renewal: `owner` has our stream. */
void cluster_backend_fenced(struct cluster *c, struct cluster_held *held,
                            const struct cluster_owner *owner);
/* The directory knows all our claims as ours, or has told of the others. */
void cluster_backend_revalidated(struct cluster *c);
void cluster_backend_request(struct cluster *c, const char *verb, const char *name);
void cluster_backend_fatal(struct cluster *c, const char *text);
void cluster_backend_set_up(struct cluster *c, bool up);
void cluster_backend_fill_load(struct cluster *c, struct cluster_load *load);
/* The row of this node in a list of nodes. */
void cluster_backend_self_node(struct cluster *c, struct cluster_node *out);

bool cluster_backend_is_watched(const struct cluster *c, const char *name);
void cluster_backend_each_watched(struct cluster *c, void (*fn)(const char *name, void *arg),
                                  void *arg);
/* True when the stream has an owner that was neither lost nor missing nor lower when last read. */
bool cluster_backend_is_settled(struct cluster *c, const char *name);
/* Of a grant that no directory counts: above `floor`, and now by the clock if that is higher. Nodes
 * that are apart and whose clocks are behind do not all choose the same. */
#define EPOCH_SPREAD 1024
uint64_t cluster_backend_next_epoch(const struct cluster *c, uint64_t floor);
/* The highest epoch seen for the stream, or 0. */
uint64_t cluster_backend_epoch_seen(struct cluster *c, const char *name);
const struct log_id *cluster_backend_log(const struct cluster *c);

#endif
