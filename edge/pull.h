#ifndef SLUICE_EDGE_PULL_H
#define SLUICE_EDGE_PULL_H

#include "cluster/cluster.h"
#include "hub/hub.h"
#include "net/relay_call.h"

/*
 * Fills a home feed from another node: the feed's source while the stream is another node's.
 *
 *   owner ─link─▶ current ─frames─▶ feed          a higher owner ─link─▶ coming ─first frame─▶
 * current
 *
 * The links connect again for ever; the pull ends when the stream does, when it was lost for
 * viewer.hold_ms, when nobody has read for stream.idle_pull_ms, or when another source takes the
 * feed. When a higher owner appears, the present link stays until the new one delivers.  Everything
 * happens on the feed's worker.
 */
struct pull;

enum pull_end {
    PULL_STREAM_ENDED, /* the owner said so; the feed has ended */
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

/* The feed has no source and is held by the caller for as long as the pull lives. */
struct pull *pull_open(struct feed *f, const struct relay_client *client,
                       const struct cluster_owner *owner, const struct pull_ops *ops, void *arg);
/* Detaches from the feed without a word to it. */
void pull_free(struct pull **pp);

/* Who owns the stream now: a higher owner is followed, the same at another address from the next
 * connection on; a lower one only when it is `regressed` and no link works. */
void pull_offer(struct pull *p, const struct cluster_owner *owner);
/* Tells on_owner once more who is pulled from: somebody believes in a lower one. */
void pull_tell_owner(struct pull *p);
/* True while a link delivers. */
bool pull_is_linked(const struct pull *p);

#endif
