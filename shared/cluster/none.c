/*
 * One node without a cluster: this process is the directory.  What two publishers of the same name
 * may do is decided as everywhere.
 */
#include "cluster/cluster_backend.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

struct none {
    struct cluster *cluster;
    uint64_t last_epoch; /* that was granted: they rise, whatever the clock does */
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

static void none_acquire(void *state, const struct cluster_claim *claim, struct cluster_request *r)
{
    struct none *n = state;
    const struct cluster_held *held = cluster_backend_held(n->cluster, claim->name);
    uint64_t floor = claim->floor > n->last_epoch ? claim->floor : n->last_epoch;
    struct cluster_claimed answer = {.verdict = CLAIM_GRANTED,
                                     .epoch = cluster_backend_next_epoch(n->cluster, floor),
                                     .owner.from_directory = true,
                                     .next_msn = CLUSTER_NEXT_NONE,
                                     .next_dsn = CLUSTER_NEXT_NONE};
    int takeovers = 0;
    if (held != NULL)
        cluster_backend_judge_held(n->cluster, held, claim, &answer, &takeovers);
    if (answer.epoch > n->last_epoch)
        n->last_epoch = answer.epoch;
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

static void none_revalidate(void *state)
{
    struct none *n = state;
    cluster_backend_revalidated(n->cluster);
}

static void none_lookup(void *state, const char *name, struct cluster_request *r)
{
    struct none *n = state;
    struct cluster_owner owner;
    cluster_backend_held_owner(n->cluster, cluster_backend_held(n->cluster, name), &owner);
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
    .is_alone = true,
    .open = none_open,
    .start = none_start,
    .acquire = none_acquire,
    .release = none_release,
    .claim_changed = none_claim_changed,
    .revalidate = none_revalidate,
    .lookup = none_lookup,
    .watch = none_watch,
    .nodes = none_nodes,
    .close = none_close,
    .free = none_free,
};
