#ifndef SLUICE_EDGE_PULL_INTERNAL_H
#define SLUICE_EDGE_PULL_INTERNAL_H

#include "edge/pull.h"
#include "edge/pull_past.h"
#include "edge/upstream.h"

/* pull.c: links, runs and ends; pull_wish.c: what readers ask for besides the live flow. */
#define PULL_MAGIC 0x70756c6cU

struct pull {
    uint32_t magic;
    struct feed_source source;
    struct feed *feed;
    struct worker *worker;
    const struct relay_client *client;
    const struct pull_ops *ops;
    void *arg;
    struct log_id log;
    struct upstream *current, *coming; /* coming: of a higher owner, until its first frame */
    struct past *past;
    struct relay_call *want;
    int64_t want_us; /* clock_us of the last wish that was sent */
    bool wants_past;
    struct timer idle, hold;
    struct task end;
    bool ended;
    enum pull_end why;
};

/* Of the feed_source. */
void pull_want_key(struct feed_source *s);
void pull_want_past(struct feed_source *s);
/* Asks for the past when a reader wants it and the link's run is there. */
void pull_ask_past(struct pull *p);

#endif
