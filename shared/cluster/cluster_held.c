/*
 * The claims this node holds: filled when a claim is granted, read by the backend for renewals,
 * emptied by release and by fencing.  On the cluster's worker.
 */
#include "cluster/cluster_internal.h"

#include "base/mem.h"
#include "base/obj.h"
#include "cluster/takeover.h"
#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

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
    if (c->backend->granted != NULL)
        c->backend->granted(c->state, held);
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

void cluster_backend_held_owner(const struct cluster *c, const struct cluster_held *held,
                                struct cluster_owner *out)
{
    *out = (struct cluster_owner){.from_directory = true};
    if (held != NULL)
        cluster_self_owner(c, held->epoch, held->lost, out);
}

uint64_t cluster_backend_next_epoch(const struct cluster *c, uint64_t floor)
{
    uint64_t now = (uint64_t)clock_wall_us();
    uint64_t next = floor + 1 + c->self.instance % EPOCH_SPREAD;
    return now > next ? now : next;
}

void cluster_backend_judge_held(const struct cluster *c, const struct cluster_held *held,
                                const struct cluster_claim *claim, struct cluster_claimed *answer,
                                int *takeovers)
{
    *answer = (struct cluster_claimed){.verdict = CLAIM_GRANTED,
                                       .epoch = held->epoch,
                                       .next_msn = held->msn,
                                       .next_dsn = held->dsn,
                                       .next_epoch = held->epoch};
    *takeovers = held->takeovers;
    cluster_backend_held_owner(c, held, &answer->owner);
    if (strcmp(held->claim.session, claim->session) == 0)
        return;
    const struct takeover_record record = {.lost = held->lost,
                                           .publisher = held->claim.publisher,
                                           .takeovers = held->takeovers,
                                           .since_us = (int64_t)held->epoch};
    answer->verdict = takeover_judge(&record, claim, clock_wall_us(), takeovers, &answer->wait_ms);
    uint64_t floor = held->epoch > claim->floor ? held->epoch : claim->floor;
    answer->epoch = answer->verdict == CLAIM_GRANTED ? cluster_backend_next_epoch(c, floor) : 0;
}
