#ifndef SLUICE_EDGE_PULL_INTERNAL_H
#define SLUICE_EDGE_PULL_INTERNAL_H

#include "edge/pull.h"
#include "relay/past.h"

/* pull.c: links, runs and ends; pull_tier.c: whom to ask; pull_wish.c: what readers ask for besides
 * the live flow. */
#define PULL_MAGIC 0x70756c6cU

/* Why there is a coming link. */
enum pull_coming {
    COMING_OWNER, /* the owner is a higher one */
    COMING_DOUBT, /* the parent does not give what the owner may have */
    COMING_TRIAL, /* it would be better; nothing is wrong with the present one */
};

struct pull {
    uint32_t magic;
    struct feed_source source;
    struct hub_seat seat;
    struct feed *feed;
    struct worker *worker;
    const struct relay_client *client;
    const struct pull_ops *ops;
    void *arg;
    struct log_id log;
    struct cluster_owner owner;        /* the highest told */
    struct upstream *current, *coming; /* coming: until its first frame */
    enum pull_coming coming_is;
    struct past *past;
    struct relay_call *want;
    int64_t want_us;  /* clock_us of the last wish that was sent */
    bool wants_past;  /* and has not asked yet */
    bool past_wanted; /* by a reader, once */
    /* What was asked for last: what did not come is not asked for again, until the link is another
     * one or the run is. */
    struct pull_asked {
        uint64_t run, first; /* frames of the newest run before `first` … */
        uint64_t older;      /* … and the run of this epoch */
    } asked;
    struct timer idle, hold;
    struct timer doubt; /* when it rings and the parent is still behind, the owner is asked */
    struct task end;
    bool ended;
    enum pull_end why;
};

/* Below, at or above 0 as the link's run is lower than, the same as or higher than the feed's. */
int pull_compare(const struct upstream *u, const struct run *run);

/* A link to the parent, or to the owner when that is NULL. */
struct upstream *pull_link(struct pull *p, const struct upstream_peer *parent);
/* The link takes the place of one that does not deliver, or is coming. */
void pull_connect(struct pull *p, const struct upstream_peer *parent, enum pull_coming why);
void pull_on_doubt(void *arg);
/* The link's run is lower than the owner's. */
bool pull_is_behind(const struct pull *p, const struct upstream *u);
/* After a state of the current link: a parent is believed, or doubted. */
void pull_judge(struct pull *p);
/* After a state of the coming link; true when that has been closed. */
bool pull_judge_coming(struct pull *p);
/* The coming link has failed; true when it was not needed and has been closed. */
bool pull_give_up_trial(struct pull *p);

/* Of the feed_source. */
void pull_want_key(struct feed_source *s);
void pull_want_past(struct feed_source *s);
/* Asks for the past when a reader wants it and the link's run is there. */
void pull_ask_past(struct pull *p);
/* Something else may be missing: there is another run, plan or link. */
void pull_look_at_past(struct pull *p);

#endif
