/*
 * The claims this node holds: filled when a claim is granted, read by the backend for renewals,
 * emptied by release and by fencing.  On the cluster's worker.
 */
#include "cluster/cluster_internal.h"

#include "base/mem.h"
#include "base/obj.h"

#include <stdlib.h>

void cluster_held_init(struct cluster *c)
{
    c->held = map_new();
    list_init(&c->held_list);
}

void cluster_held_fini(struct cluster *c)
{
    struct cluster_held *held, *tmp;
    LIST_EACH_SAFE (held, tmp, &c->held_list, node) {
        cluster_unhold(c, held);
        free(held);
    }
    map_free(&c->held);
}

struct cluster_held *cluster_backend_held(struct cluster *c, const char *name)
{
    return map_get(c->held, name);
}

struct list *cluster_backend_held_list(struct cluster *c)
{
    return &c->held_list;
}

size_t cluster_backend_held_count(const struct cluster *c)
{
    return map_count(c->held);
}

void cluster_unhold(struct cluster *c, struct cluster_held *held)
{
    must(map_take(c->held, held->claim.name) == held);
    list_remove(&held->node);
}

void cluster_hold(struct cluster *c, const struct cluster_claim *claim, uint64_t epoch,
                  int takeovers, bool registered)
{
    struct cluster_held *held = map_get(c->held, claim->name);
    if (held != NULL) {
        cluster_unhold(c, held);
        free(held);
    }
    held = xcalloc(1, sizeof *held);
    held->claim = *claim;
    held->epoch = epoch;
    held->msn = CLUSTER_NEXT_NONE;
    held->dsn = CLUSTER_NEXT_NONE;
    held->takeovers = takeovers;
    held->registered = registered;
    list_append(&c->held_list, &held->node);
    map_put(c->held, held->claim.name, held);
}

void cluster_self_owner(const struct cluster *c, uint64_t epoch, bool lost,
                        struct cluster_owner *out)
{
    *out = (struct cluster_owner){.found = true,
                                  .lost = lost,
                                  .from_directory = true,
                                  .epoch = epoch,
                                  .instance = c->self.instance};
    slice_copy(slice_text(c->self.node), out->node, sizeof out->node);
    slice_copy(slice_text(c->self.relay_address), out->address, sizeof out->address);
}
