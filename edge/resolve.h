#ifndef SLUICE_EDGE_RESOLVE_H
#define SLUICE_EDGE_RESOLVE_H

#include "cluster/cluster.h"
#include "hub/hub.h"
#include "net/relay_call.h"

/*
 * From a name to a pull: a feed that is wanted and has no source is watched in the cluster and
 * looked up; when another node owns it, it is pulled from there, once for the whole node.  While
 * the directory is away the nodes are asked themselves.  Without an owner the feed waits for the
 * cluster's events; one that has lost its source here, for viewer.hold_ms at most.
 *
 * With cluster.tiers an edge of our zone that has the stream is asked instead of an owner in
 * another zone, or of one that cannot be reached.
 */
#define RESOLVE_NEGATIVE_MS                                                                        \
    500 /* a name that was not found is not looked up again for this long                          \
         */
#define RESOLVE_NEGATIVE_MAX 4096 /* such names of one worker; the oldest goes */
#define RESOLVE_AGAIN_MS     1000 /* between look-ups while a source is missing */
#define RESOLVE_TIER_MS      3000 /* between looks for a better upstream (cluster.tiers), and */
#define RESOLVE_SPREAD_MS    2000 /* up to as much later */

struct resolver;
struct views;

struct resolver_options {
    struct workers *workers;
    struct hub *hub;
    struct cluster *cluster;
    const struct relay_client *client; /* outlives the resolver */
    /* A derived track of a stream that this node owns is wanted (origin/derive.h); on its feed's
     * worker.  May be NULL. */
    void (*on_own_derived)(struct feed *f, void *arg);
    void *arg;
    struct views *views; /* makes what is a view; outlives the resolver; may be NULL */
};

struct resolver *resolver_new(const struct resolver_options *o);
/* For hub_set_hooks. */
void resolver_hooks(struct resolver *r, struct hub_hooks *out);
/* From the cluster's events, on the cluster's worker. */
void resolver_on_owner(struct resolver *r, const char *name, const struct cluster_owner *owner);
/* Ends the pulls of a worker, on that worker; nothing is looked up there any more. */
void resolver_stop(struct resolver *r, struct worker *w);
/* After the workers have stopped; resolver_stop is made up for where it was not called. */
void resolver_free(struct resolver **rp);

#endif
