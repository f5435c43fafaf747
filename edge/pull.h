#ifndef SLUICE_EDGE_PULL_H
#define SLUICE_EDGE_PULL_H

#include "cluster/cluster.h"
#include "edge/upstream.h"
#include "hub/hub.h"
#include "net/relay_call.h"

/*
 * Fills a home feed from another node: the feed's source while the stream is another node's.
 *
 *   upstream ─link─▶ current ─frames─▶ feed     another upstream ─link─▶ coming ─first frame─▶
 * current
 *
 * The owner is who the directory says; the upstream is whom we ask: the owner itself, or a parent,
 * a node that passes the stream on (tiers).  A parent is left for the owner when its link fails,
 * when it says that the stream is lost and the owner does not, when it does not follow a higher
 * owner within PULL_FOLLOW_MS, or is slow to begin; it never counts as the owner.
 *
 * The links connect again for ever; the pull ends when the stream does, when it was lost for
 * viewer.hold_ms, when nobody has read for stream.idle_pull_ms, or when another source takes the
 * feed. When a higher owner appears, the present link stays until the new one delivers.  Everything
 * happens on the feed's worker.
 */
#define PULL_FOLLOW_MS 800  /* a parent's time to deliver a higher owner's run */
#define PULL_BEGIN_MS  500  /* a parent's time to begin */
#define PULL_HEAL_MS   100  /* a parent's time to find the stream again that it has lost */
#define PULL_TRIAL_MS  2000 /* a new parent's time to deliver, while another does */
#define PULL_LOST_MS   1000 /* between two looks at the owner while a parent says lost */

struct pull;

enum pull_end {
    PULL_STREAM_ENDED, /* the owner said so; the feed has ended */
    PULL_HEARSAY_END,  /* a node between said so; the feed has ended, but it may not have */
    PULL_LOST,         /* the owner was away for too long; the feed has ended */
    PULL_IDLE,         /* nobody reads; the feed is as it was */
    PULL_DISPLACED,    /* another source has the feed */
};
const char *pull_end_name(enum pull_end why);

/* Called on the worker, never from inside pull_open, pull_offer or pull_free. */
struct pull_ops {
    /* The link went away, or the owner is another one: ask who has the stream now. */
    void (*on_down)(struct pull *p, void *arg);
    /* The owner itself told a higher (epoch, instance) than we knew of. */
    void (*on_owner)(struct pull *p, const struct cluster_owner *owner, void *arg);
    /* A run of this owner (without an address) has begun here, whoever passed it on. */
    void (*on_run)(struct pull *p, const struct cluster_owner *owner, void *arg);
    /* The last call, at the end of a turn: to be freed. */
    void (*on_end)(struct pull *p, enum pull_end why, void *arg);
};

/* The feed has no source and is held by the caller for as long as the pull lives.  `parent` is whom
 * to ask, NULL for the owner. */
struct pull *pull_open(struct feed *f, const struct relay_client *client,
                       const struct cluster_owner *owner, const struct upstream_peer *parent,
                       const struct pull_ops *ops, void *arg);
/* Detaches from the feed without a word to it. */
void pull_free(struct pull **pp);

/* Who owns the stream now: a higher owner is followed, the same at another address from the next
 * connection on; a lower one only when it is regressed and no link works. */
void pull_offer(struct pull *p, const struct cluster_owner *owner);
/* Tells on_owner once more who is pulled from: somebody believes in a lower one. */
void pull_tell_owner(struct pull *p);
/* True while a link delivers. */
bool pull_is_linked(const struct pull *p);

/* Moves to a parent, or with NULL to the owner; the present link stays until the new one delivers,
 * and for good when that fails. */
void pull_move(struct pull *p, const struct upstream_peer *parent);
/* True when what is asked is a parent. */
bool pull_has_parent(const struct pull *p);
/* True when the owner is asked and cannot be reached. */
bool pull_is_stuck(const struct pull *p);
const struct cluster_owner *pull_owner(const struct pull *p);

#endif
