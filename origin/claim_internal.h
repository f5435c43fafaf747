#ifndef SLUICE_ORIGIN_CLAIM_INTERNAL_H
#define SLUICE_ORIGIN_CLAIM_INTERNAL_H

#include "media/segmenter.h"
#include "origin/claim.h"
#include "relay/past.h"
#include "relay/probe.h"

/* Between claim.c (the stream and its owner), claim_contest.c (who gets the name) and claims.c (the
 * table). */

#define CLAIM_MAGIC 0x636c6169

/* Asking for what the owner before us had. */
struct claim_search {
    struct cluster_owner owner; /* before us; found: another node */
    struct past *past;
    /* When the owner before does not hand its run over: what other nodes have of it, and the
     * highest numbers that they have seen. */
    struct claim_other {
        struct claim *claim;
        struct probe *probe;
        char node[NAME_NODE_MAX + 1], address[CLUSTER_ADDRESS_MAX];
    } others[CLAIM_OTHERS_MAX];
    const struct claim_other *best;   /* has most of it … */
    uint64_t best_seq;                /* … up to this frame */
    const struct claim_other *holder; /* is asked for it instead of the owner; or NULL */
    bool others_listed;
    size_t others_left; /* answers */
    struct timer by;
    struct past_block blocks[LOG_RUNS_MAX - 1]; /* each the run that the one before goes on from */
    size_t count;
};

/* What the owner before us had: asked for with the grant, used when our run is there. */
struct claim_previous {
    bool found; /* it was another node */
    bool asking;
    uint64_t epoch;              /* of its last run, when all of that is here */
    uint64_t msn, dsn;           /* the highest that other nodes have seen */
    struct claim_search *search; /* while asking, and until what came is used; or NULL */
};

struct claim {
    uint32_t magic;
    enum claim_state state;
    struct claims *table;
    struct feed *feed;
    struct contender *owner;    /* OPEN and LIVE */
    int64_t last_media_us;      /* clock_us of its last media, at first of the grant */
    uint32_t tracks;            /* as the cluster was told */
    bool media_seen;            /* from the owner */
    bool declared;              /* what the run is like has been told */
    struct segmenter segmenter; /* of the run that is open: LIVE and LOST */

    struct log_id log;
    const char *name;          /* the feed's */
    struct feed_source source; /* attached unless NONE */
    struct hub_seat seat;
    uint64_t epoch;      /* unless NONE */
    uint64_t last_epoch; /* of the run before ours in the feed's log, when ours was opened */
    struct claim_next {
        int64_t msn, dsn; /* CLUSTER_NEXT_NONE: not known */
        uint64_t epoch;   /* of the run that they go on from */
    } next;               /* as the cluster said with the last grant */
    struct claim_previous previous;
    struct timer watch; /* OPEN, LIVE: the owner is silent; LOST: it does not come back */

    struct list waiting;
    uint32_t waiting_count;
    bool is_asking;           /* the cluster or the owner's node has been asked … */
    struct contender *asking; /* … for this one, or NULL: it has left since */
    bool asked_gone;          /* … with the word that nobody has to be displaced */
    struct timer retry;
    struct timer hand_over;  /* of a drained run to its next owner: set while it is waited for */
    uint32_t pending;        /* answers that are to come from the cluster */
    struct claim_kept *kept; /* while it is not known whether the name is still ours; or NULL */
};

/* claim_kept.c: what publishers of a table that is `checking` send and say. */

/* Takes over the frames; false, with all that was kept appended, when it is too much. */
bool claim_keep_frames(struct claim *cl, struct frame **frames, size_t count);
/* The owner has left (and was parted from the claim). */
void claim_keep_leave(struct claim *cl, bool clean);
/* The name is ours: what was kept happens now. */
void claim_replay_kept(struct claim *cl);
/* It is not, or not by the one who sent this. */
void claim_drop_kept(struct claim *cl);
/* The gap watch of a table. */
void claims_after_gap(void *claims);

/* claim_cut.c: where the numbers of a new run begin, and what is told of them. */

/* The newest run with segments before ours: one that ended before its first left no trace. */
const struct run *claim_cut_last(const struct claim *cl);
/* Before the claim's new run is opened. */
void claim_cut_begin(struct claim *cl, int64_t wall_us);
/* Afterwards, and once the owner before has answered: where its numbers begin.  Nothing when that
 * is known, or there is no run. */
void claim_cut_decide(struct claim *cl);
/* Before a frame is appended. */
void claim_cut_take(struct claim *cl, struct frame *f);
/* Afterwards. */
void claim_cut_tell(struct claim *cl, const struct frame *f);

/* claim_previous.c */
/* The other end: what is drained here may be asked for. */
void claim_hand_over(struct claim *cl);
void claim_handed_over(struct claim *cl);
void claim_previous_init(struct claim *cl);
void claim_previous_fini(struct claim *cl);
/* The name is ours: asks for what the owner before has, if there is anything to ask for.
 * is_forgotten: the cluster keeps no numbers. */
void claim_previous_ask(struct claim *cl, const struct cluster_owner *owner, bool is_forgotten);
/* An answer has come; it may have been the last. */
void claim_previous_answered(struct claim *cl);
/* claim_others.c: asks the other nodes how far they have the stream; no longer. */
void claim_others_ask(struct claim *cl);
void claim_others_drop(struct claim_search *s);
/* No longer: what has not come by now is given up. */
void claim_previous_give_up(struct claim *cl);
/* Puts what has come among the feed's runs before the newest. */
void claim_previous_adopt(struct claim *cl);

/* Appends to the claim's run, which is opened when needed; takes over the references. */
void claim_append(struct claim *cl, struct frame **frames, size_t count);
/* The owner has left. */
void claim_left(struct claim *cl, bool clean);

/* Where a claim is looked at again after any change: lets the waiting ones ask, and frees it when
 * nothing is left.  Always the last use of the claim. */
void claim_settle(struct claim *cl);
/* The name is ours: c (NULL: it has left) takes it with this epoch. */
void claim_take(struct claim *cl, struct contender *c, uint64_t epoch);
/* The owner has sent no media for CLAIM_SILENT_MS. */
bool claim_is_silent(const struct claim *cl, int64_t now_us);
void claim_release_epoch(struct claim *cl, uint64_t epoch, const char *why);
/* Takes c out of its claim; what it leaves behind is the caller's business. */
void claim_part(struct contender *c);

/* How a claim ends. */
struct claim_end {
    enum close_reason why; /* told to the publisher, if there still is one */
    const char *word;      /* told to the cluster; NULL: it knows */
    bool over;             /* readers are told that the stream has ended; else they are held */
};
void claim_end(struct claim *cl, const struct claim_end *end);

/* claim_contest.c */
void contest_enter(struct claim *cl, struct contender *c);
void contest_refuse(struct contender *c, enum close_reason why);
/* Refuses those whose time is over and asks the cluster for the first that may ask. */
void contest_go_on(struct claim *cl);

struct claim *claim_new(struct claims *t, const char *name);
void claim_free(struct claim **clp);

/* claims.c: after a claim was freed. */
void claims_tell_drained(struct claims *t);

#endif
