#ifndef SLUICE_EDGE_ASK_ZONE_H
#define SLUICE_EDGE_ASK_ZONE_H

#include "edge/ask_nodes.h"
#include "edge/parent.h"
#include "edge/upstream.h"

/*
 * Which node of our zone may pass a stream on to us: at most ASK_NODES_MAX are asked, all at once,
 * those that come first in the stream's order.  On one worker.
 */
#define ASK_ZONE_MS 100 /* for all of them together: they are near */

struct zone_ask;

struct zone_ask_options {
    struct cluster *cluster;
    const struct relay_client *client; /* outlives the question */
    const char *name, *zone;           /* zone: ours */
    const struct cluster_owner *owner;
    enum parent_mood mood;
    int hops_max; /* as of parent_wish; 0: nobody is asked */
};

/* Where the owner is; near as well when it or we have no zone. */
enum zone_place { ZONE_UNKNOWN, ZONE_NEAR, ZONE_FAR };

struct zone_found {
    enum zone_place owner_is;
    bool has_parent;
    struct upstream_peer parent;
};

/* The last call; the question has been freed. */
typedef void zone_ask_done(const struct zone_found *found, void *arg);

/* Nobody is asked, and no parent found, unless the owner is far or cannot be reached (PARENT_ANY).
 * The callback never comes from inside. */
struct zone_ask *zone_ask_start(struct worker *w, const struct zone_ask_options *o,
                                zone_ask_done *done, void *arg);
void zone_ask_cancel(struct zone_ask **ap);

#endif
