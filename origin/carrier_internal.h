#ifndef SLUICE_ORIGIN_CARRIER_INTERNAL_H
#define SLUICE_ORIGIN_CARRIER_INTERNAL_H

#include "origin/carrier.h"
#include "origin/carry_choose.h"
#include "origin/relay_writer.h"

/* Between carrier.c (the publisher, and which origin it goes to) and carrier_link.c (the post to
 * that one). */
#define CARRIER_MAGIC 0x63617272U

struct carrier {
    uint32_t magic;
    struct carriers *table;
    struct worker *worker;
    struct list node;
    struct hub_seat seat;
    struct log_id log_id;
    struct contender *contender; /* NULL once it has left */
    char name[NAME_STREAM_MAX + 1], proto[8], identity[CLUSTER_PUBLISHER_MAX];
    struct log *log;

    struct relay_call *call;
    char origin[NAME_NODE_MAX + 1]; /* of the call */
    int status;                     /* of its answer; 0: none yet */
    bool up;                        /* the origin has accepted, and is sent frames */
    struct relay_writer out;
    struct inforce *preface; /* goes before the next frame */
    uint64_t due_bytes;      /* from where the writer began up to the newest frame */
    struct task more;

    struct timer timer; /* with an answer under way: keepalive; between calls: the next try */
    struct backoff backoff;
    struct carry_failures failures;
    int64_t up_us;      /* clock_us of the last acceptance */
    int64_t give_up_us; /* clock_us; while not up */
    bool accepted;      /* by any origin, ever */
    bool full;          /* as the publisher was told */
    bool listing;       /* the cluster's answer is to come */

    bool told_off; /* refused or ended: nothing is taken any more */
    bool leaving, end_sent, body_ended;
    enum close_reason leave_why;
    bool over; /* freed as soon as nobody calls back */
    struct task reap;
};

/* carrier.c */

/* The link is gone, or of no use: another origin is tried, for as long as that makes sense. */
void carrier_lose(struct carrier *k, enum close_reason why);
/* The publisher is told that this is its end. */
void carrier_give_up(struct carrier *k, enum close_reason why);
void carrier_tell(struct carrier *k, const struct contender_news *news);
/* Frames wait for the link; told when that changes. */
void carrier_set_full(struct carrier *k, bool full);

/* carrier_link.c */

void carrier_post(struct carrier *k, const struct cluster_node *node);
void carrier_drop_call(struct carrier *k);
/* Sends what the link takes.  Only with a call that was answered with 200. */
void carrier_flush(struct carrier *k);
/* A keepalive when it is due; sets the timer for the next.  As above. */
void carrier_keep_alive(struct carrier *k);
void carrier_link_init(struct carrier *k);
/* Frees what link_init and the calls have made. */
void carrier_link_fini(struct carrier *k);

#endif
