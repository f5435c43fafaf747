/*
 * One node without a cluster: this process is the directory.  What two publishers of the same name
 * may do is decided as everywhere.
 */
#include "cluster/cluster_backend.h"
#include "cluster/takeover.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

struct none {
    struct cluster *cluster;
};

static int none_open(struct cluster *c, void **state, char error[CONFIG_ERROR_MAX])
{
    struct none *n = xcalloc(1, sizeof *n);
    n->cluster = c;
    *state = n;
    return 0;
}

static void none_start(void *state)
{
    struct none *n = state;
    cluster_backend_set_up(n->cluster, true);
}

static void owner_of(struct none *n, const struct cluster_held *held, struct cluster_owner *out)
{
    const struct cluster_self *self = cluster_self(n->cluster);
    *out = (struct cluster_owner){.from_directory = true};
    if (held == NULL)
        return;
    out->found = true;
    out->lost = held->lost;
    out->epoch = held->epoch;
    out->instance = self->instance;
    slice_copy(slice_text(self->node), out->node, sizeof out->node);
    slice_copy(slice_text(self->relay_address), out->address, sizeof out->address);
}

static uint64_t next_epoch(uint64_t floor)
{
    uint64_t now = (uint64_t)clock_wall_us();
    return now > floor ? now : floor + 1;
}

static void none_acquire(void *state, const struct cluster_claim *claim, struct cluster_request *r)
{
    struct none *n = state;
    const struct cluster_held *held = cluster_backend_held(n->cluster, claim->name);
    struct cluster_claimed answer = {
        .verdict = CLAIM_GRANTED, .next_msn = CLUSTER_NEXT_NONE, .next_dsn = CLUSTER_NEXT_NONE};
    int takeovers = 0;
    owner_of(n, held, &answer.owner);
    if (held != NULL && strcmp(held->claim.session, claim->session) == 0) {
        answer.epoch = held->epoch;
        cluster_backend_answer_claim(r, &answer, held->takeovers);
        return;
    }
    if (held != NULL) {
        struct takeover_record record = {.lost = held->lost,
                                         .publisher = held->claim.publisher,
                                         .takeovers = held->takeovers,
                                         .since_us = (int64_t)held->epoch};
        answer.verdict =
            takeover_judge(&record, claim, clock_wall_us(), &takeovers, &answer.wait_ms);
        answer.next_msn = held->msn;
        answer.next_dsn = held->dsn;
        answer.next_epoch = held->epoch;
    }
    if (answer.verdict == CLAIM_GRANTED)
        answer.epoch = next_epoch(claim->floor);
    cluster_backend_answer_claim(r, &answer, takeovers);
}

static void none_release(void *state, const struct cluster_held *held, const char *why,
                         struct cluster_request *r)
{
    cluster_backend_answer_release(r);
}

static void none_claim_changed(void *state, struct cluster_held *held)
{
}

static void none_lookup(void *state, const char *name, struct cluster_request *r)
{
    struct none *n = state;
    struct cluster_owner owner;
    owner_of(n, cluster_backend_held(n->cluster, name), &owner);
    cluster_backend_answer_owner(r, &owner);
}

static void none_watch(void *state, const char *name, bool on)
{
}

static void none_nodes(void *state, struct cluster_request *r)
{
    struct none *n = state;
    struct cluster_node self;
    cluster_backend_self_node(n->cluster, &self);
    cluster_backend_nodes_seen(n->cluster, &self, 1);
    cluster_backend_answer_nodes(r);
}

static void none_close(void *state, void (*on_closed)(void *arg), void *arg)
{
    on_closed(arg);
}

static void none_free(void **state)
{
    free(*state);
    *state = NULL;
}

const struct cluster_backend cluster_backend_none = {
    .name = "none",
    .open = none_open,
    .start = none_start,
    .acquire = none_acquire,
    .release = none_release,
    .claim_changed = none_claim_changed,
    .lookup = none_lookup,
    .watch = none_watch,
    .nodes = none_nodes,
    .close = none_close,
    .free = none_free,
};
