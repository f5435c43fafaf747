#ifndef SLUICE_ORIGIN_CLAIM_H
#define SLUICE_ORIGIN_CLAIM_H

#include "origin/publisher.h"

#include "base/map.h"
#include "core/timer.h"

/*
 * Who fills the streams of one home worker: one claim per name, from the first publisher that asks
 * until the cluster has been told that nobody fills it any more.
 *
 *                 granted            first media or data         transport lost, silent
 *   NONE ────────────────▶ OPEN ───────────────▶ LIVE ───────────────▶ LOST
 *    ▲                      │                     │  ▲──── granted ──────┤ (by way of OPEN)
 *    └──────────────────────┴─── clean end, kick, drain, fence, stream.lost_ms over
 *
 * A run is opened with the first frame, not with the grant, so that a stream is LIVE when there is
 * something to see and dts 0 has a wall-clock time; a stream whose publisher comes back stays LOST
 * until then.
 *
 * Publishers that may not have the name at once wait for it together, at most CLAIM_HOLD_MS each.
 * The one that has it feeds on until the cluster has granted it to the newcomer.
 *
 * A worker that stood still may have lost its names meanwhile.  It asks the cluster before anything
 * else: until the answer is there (CLUSTER_REVALIDATE_MS at most) what publishers send is kept and
 * nobody is given a name.
 *
 * Everything runs on the home worker.
 */
#define CLAIM_KEPT_BYTES_MAX                                                                       \
    (32 * 1024 * 1024)             /* of one publisher; with more the answer is not waited for */
#define CLAIM_HOLD_MS        2000  /* how long a publisher waits for a name that is taken */
#define CLAIM_RETRY_MS       250   /* between two looks at whether it is still taken */
#define CLAIM_FIRST_MEDIA_MS 10000 /* from the grant to the first media */
#define CLAIM_SILENT_MS      1000  /* who sent no media for this long may be displaced by anybody */
#define CLAIM_PREVIOUS_MS    500 /* after which the numbers jump, when the owner before is silent */
#define CLAIM_OTHERS_MAX                                                                           \
    16                       /* nodes that are asked for the last numbers, when nobody keeps them  \
                              */
#define CLAIM_WAITING_MAX 16 /* publishers waiting for one name; more are refused at once */

enum claim_state {
    CLAIM_NONE, /* not ours: nobody's, or another node's */
    CLAIM_OPEN, /* ours, and nothing was sent yet */
    CLAIM_LIVE, /* ours, and its run is open */
    CLAIM_LOST, /* ours; the publisher's transport is gone and it may come back */
};
const char *claim_state_name(enum claim_state s);

enum contender_event {
    CONTENDER_ACCEPTED,
    CONTENDER_REFUSED, /* the last news of a contender … */
    CONTENDER_ENDED,   /* … is one of these two, unless it leaves before */
    CONTENDER_WANT_KEY,
    CONTENDER_FULL, /* frames wait for a slow link: send no more … */
    CONTENDER_ROOM, /* … until now */
};
struct contender_news {
    enum contender_event event;
    enum close_reason why; /* REFUSED, ENDED */
    const char *text;      /* REFUSED: a literal */
    uint64_t epoch;        /* ACCEPTED */
};

/* A publisher as the home worker of its stream sees it: embedded in what makes it. */
struct contender {
    /* claim*.c only */
    struct claim *claim;
    struct list wait;                /* in its claim's list of those who wait */
    int64_t hold_until_us, retry_us; /* clock_us */
    /* carrier.c only */
    struct carrier *carrier;
    /* carrier.c or claim*.c only */
    struct list node; /* in the table's list of all */

    /* Set before claims_enter(). */
    /* May be called from inside any function of this header; calls back none of them. */
    void (*tell)(struct contender *c, const struct contender_news *news);
    char name[NAME_STREAM_MAX + 1];
    char identity[CLUSTER_PUBLISHER_MAX];
    char proto[8];
};

/* All claims of one home worker. */
struct claims {
    struct worker *worker;
    struct hub *hub;
    struct cluster *cluster;
    ingest_asker *ask; /* may be NULL */
    void *ask_arg;
    const struct relay_client *client; /* NULL: no other node is asked */
    struct map *by_name;               /* struct claim */
    struct list contenders;            /* from claims_enter() to contender_leave() */
    struct list drains;                /* struct claims_drained, waiting */
    struct timer grace;                /* of a drain: publishers that are still there are ended */
    struct worker_gap_watch gap;
    bool draining;
    bool checking; /* we stood still: the cluster is asked whether the claims are still ours */
};
void claims_init(struct claims *t, struct worker *w, struct hub *hub, struct cluster *cluster);
/* After the workers have stopped; must(): no contenders and no drains. */
void claims_fini(struct claims *t);

/* What a publisher is told when it is refused. */
const char *contender_refusal_text(enum close_reason why);
/* Asks for c->name; c->tell() follows, at once or later. */
void claims_enter(struct claims *t, struct contender *c);
/* Appends frames of the publisher that has the name; those of any other are dropped.  Takes over
 * the references. */
void contender_frames(struct contender *c, struct frame **frames, size_t count);
/* clean: it said goodbye.  c is not used afterwards. */
void contender_leave(struct contender *c, bool clean);
/* The same after the workers have stopped: nobody is told. */
void contender_forget(struct contender *c);

/* Ends the publisher of the name (or what it left behind) as if it had said goodbye; false when
 * there is none. */
bool claims_kick(struct claims *t, const char *name, enum close_reason why);
/* The cluster has given the name to a higher owner: as above, but readers are held for the new one,
 * and nothing is released. */
void claims_fenced(struct claims *t, const char *name, uint64_t epoch);
/* True when no live publisher of the name is here (any more), or none that will stay. */
bool claims_yields(struct claims *t, const char *name);

/* Another owner has the run that was drained here. */
void claims_handed_over(struct claims *t, const char *name);

/* Refuses new publishers from now on, and ends the present ones that are still there after
 * grace_ms; readers are held, for the publisher may go to another node, to which every name is
 * yielded.  What they published stays to be had until the next owner has it, stream.lost_ms at
 * most.  Harmless when it has been called before. */
void claims_drain(struct claims *t, int64_t grace_ms);
void claims_undrain(struct claims *t);

/* on_empty once no claim is left, maybe from inside the call. */
struct claims_drained {
    struct list node;
    void (*on_empty)(struct claims_drained *d);
};
void claims_await_empty(struct claims *t, struct claims_drained *d);

#endif
