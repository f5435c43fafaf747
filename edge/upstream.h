#ifndef SLUICE_EDGE_UPSTREAM_H
#define SLUICE_EDGE_UPSTREAM_H

#include "cluster/cluster.h"
#include "core/timer.h"
#include "media/log.h"
#include "media/relay_frames.h"
#include "net/relay_call.h"
#include "proto/relay_record.h"

/*
 * One relay link to one node for one stream: connects, follows, and connects again without end
 * until it is closed (at once, then after 100, 200 … 2,000 ms with jitter; sooner while the owner
 * is known to live).  A connection that is not there soon gets company: a path that was cut and
 * heals is found by the next one, not by the first one's next packet.  It checks what comes (order
 * of seqs, path, sizes) and knows nothing of feeds.  On one worker.
 */
#define UPSTREAM_STEP_MS    100  /* first wait between tries */
#define UPSTREAM_MAX_MS     2000 /* longest one */
#define UPSTREAM_REFUSED_MS 500  /* at least this after an answer that says no */
#define UPSTREAM_HEAD_MS    2000 /* host look-up, connection and head of the answer */
#define UPSTREAM_DEAD_MS    2000 /* silence on a link with keepalives every 500 ms */
#define UPSTREAM_HURRY_MS   400  /* longest wait while the owner is known to live */
#define UPSTREAM_ALIVE_MS   4000 /* how long one word that it lives counts */
#define UPSTREAM_TRY_MS     400  /* after which a connection that is not there gets company */
#define UPSTREAM_TRIES_MAX  5    /* connections of one link that are being made */

struct upstream;

/* Called on the worker, never from inside upstream_open; in each the upstream may be closed. */
struct upstream_ops {
    /* u->run has been filled, or changed (same epoch: lost, origin).  Negative: the link is dropped
     * and tried again. */
    int (*on_state)(struct upstream *u, void *arg);
    /* Frames of u->run, without holes since u->fresh was set.  Takes the reference by clearing *f.
     * Negative as above. */
    int (*on_frame)(struct upstream *u, struct frame **f, void *arg);
    /* The sender says that this is the end; nothing is tried again unless upstream_retry(). */
    void (*on_over)(struct upstream *u, enum relay_end_reason reason, struct slice text, void *arg);
    /* The link is gone and will be tried again. */
    void (*on_down)(struct upstream *u, enum close_reason why, void *arg);
    /* Where to go on; false: at the newest key frame. */
    bool (*place)(const struct upstream *u, uint64_t *epoch, uint64_t *seq, void *arg);
};

/* Whom a link asks: the owner, or a node that passes the stream on. */
struct upstream_peer {
    char node[NAME_NODE_MAX + 1];
    char address[CLUSTER_ADDRESS_MAX];
};
struct upstream_peer upstream_peer_of(const struct cluster_owner *owner);

/* What the sender said of its newest run. */
struct upstream_run {
    uint64_t epoch; /* 0: nothing yet */
    int64_t wall_us;
    bool lost;
    uint64_t last_seq;       /* of its last frame; 0: more may come */
    struct inforce *inforce; /* at the first frame that follows */
    struct run_origin *origin;
    struct cut_plan plan;
};

struct upstream {
    uint32_t magic;
    struct worker *worker;
    const struct relay_client *client;
    const struct upstream_ops *ops;
    void *arg;
    struct log_id log;
    char name[NAME_STREAM_MAX + 1];
    struct cluster_owner owner; /* whose run is wanted */
    struct upstream_peer peer;  /* whom we ask */
    bool via;                   /* which is not the owner */
    struct upstream_run run;
    bool up;     /* a state has come on the present connection */
    bool failed; /* the last try did not come to a state */
    bool fresh;  /* the next frame is the first of this connection, or of a run */

    /* upstream.c only */
    struct upstream_try {
        struct upstream *upstream;
        struct relay_call *call; /* NULL: not in use */
    } tries[UPSTREAM_TRIES_MAX];
    struct upstream_try *link; /* the one whose answer is read */
    struct backoff backoff;
    struct timer again, more;
    int64_t alive_us; /* clock_us of the last word that the owner lives */
    struct task reap;
    uint64_t next_seq;
    struct relay_cut_ahead cut;
    struct frame_pool pool;
    int status;
    bool closed, tried, anew;
};

struct upstream *upstream_open(struct worker *w, const struct relay_client *client,
                               const char *name, const struct cluster_owner *owner,
                               const struct upstream_peer *peer, const struct upstream_ops *ops,
                               void *arg);
/* No more callbacks; freed at the end of the turn. */
void upstream_close(struct upstream **up);
/* The directory says that the owner lives: waits are short for UPSTREAM_ALIVE_MS. */
void upstream_alive(struct upstream *u);
/* After on_over: tries again like after a loss. */
void upstream_retry(struct upstream *u);

#endif
