/*
 * known nodes -> those of our zone, in the stream's order -> a probe to each -> answers by the
 * deadline -> parent_choose().
 */
#include "edge/ask_zone.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/timer.h"

#include <stdlib.h>
#include <string.h>

#define ZONE_ASK_MAGIC 0x7a6f6e65U

struct zone_asked {
    struct zone_ask *ask;
    struct probe *probe;
    struct upstream_peer peer;
    struct probe_answer answer;
};

struct zone_ask {
    uint32_t magic;
    struct worker *worker;
    struct zone_ask_options o;
    zone_ask_done *done; /* NULL: cancelled before the nodes were known */
    void *arg;
    struct timer deadline;
    bool listed;
    struct zone_found found;
    size_t count, waiting;
    struct zone_asked asked[ASK_NODES_MAX];
    struct cluster_owner owner;
    char name[NAME_STREAM_MAX + 1];
    char zone[sizeof((struct cluster_node *)NULL)->zone];
};

static void zone_ask_free(struct zone_ask *a)
{
    for (size_t i = 0; i < a->count; i++)
        probe_cancel(&a->asked[i].probe);
    timer_fini(&a->deadline);
    OBJ_POISON(a);
    free(a);
}

static void choose(struct zone_ask *a)
{
    struct parent_candidate list[ASK_NODES_MAX];
    const struct parent_wish wish = {.mood = a->o.mood,
                                     .self = a->o.client->self->node,
                                     .name = a->name,
                                     .epoch = a->owner.epoch,
                                     .hops_max = a->o.hops_max};
    for (size_t i = 0; i < a->count; i++)
        list[i] = (struct parent_candidate){a->asked[i].peer.node, &a->asked[i].answer};
    int best = parent_choose(&wish, list, a->count);
    a->found.has_parent = best >= 0;
    if (best >= 0)
        a->found.parent = a->asked[best].peer;
}

static void finish(void *arg)
{
    struct zone_ask *a = OBJ_CAST(struct zone_ask, arg, ZONE_ASK_MAGIC);
    zone_ask_done *done = a->done;
    void *owner = a->arg;
    choose(a);
    struct zone_found found = a->found;
    zone_ask_free(a);
    done(&found, owner);
}

static void on_answer(const struct probe_answer *answer, void *arg)
{
    struct zone_asked *n = arg;
    n->probe = NULL;
    n->answer = *answer;
    if (--n->ask->waiting == 0)
        timer_set_ms(&n->ask->deadline, 0);
}

/* --- whom to ask --- */

static bool may_pass_on(const struct zone_ask *a, const struct cluster_node *node)
{
    return strcmp(node->zone, a->zone) == 0 && strcmp(node->id, a->o.client->self->node) != 0 &&
           strcmp(node->id, a->owner.node) != 0 && strcmp(node->role, "origin") != 0 &&
           strcmp(node->state, "drain") != 0;
}

static enum zone_place place_of_owner(const struct zone_ask *a, const struct cluster_node *nodes,
                                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *zone = nodes[i].zone;
        if (strcmp(nodes[i].id, a->owner.node) != 0)
            continue;
        bool far = a->zone[0] != '\0' && zone[0] != '\0' && strcmp(zone, a->zone) != 0;
        return far ? ZONE_FAR : ZONE_NEAR;
    }
    return ZONE_UNKNOWN;
}

/* Puts the node into the list of the first ones; the last may fall out. */
static void list_one(const struct zone_ask *a, const struct cluster_node *node,
                     const struct cluster_node *first[ASK_NODES_MAX], size_t *count)
{
    size_t at = *count;
    while (at > 0 && parent_before(a->name, node->id, first[at - 1]->id))
        at--;
    if (at == ASK_NODES_MAX)
        return;
    size_t kept = *count < ASK_NODES_MAX ? *count : ASK_NODES_MAX - 1;
    memmove(&first[at + 1], &first[at], (kept - at) * sizeof(first[0]));
    first[at] = node;
    *count = kept + 1;
}

static void ask_one(struct zone_ask *a, const struct cluster_node *node)
{
    struct zone_asked *n = &a->asked[a->count++];
    n->ask = a;
    must(slice_copy(slice_text(node->id), n->peer.node, sizeof n->peer.node) &&
         slice_copy(slice_text(node->address), n->peer.address, sizeof n->peer.address));
    a->waiting++;
    const struct probe_options o = {.client = a->o.client,
                                    .node = node->id,
                                    .address = node->address,
                                    .name = a->name,
                                    .deadline_ms = ASK_ZONE_MS};
    n->probe = probe_start(a->worker, &o, on_answer, n);
}

static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct zone_ask *a = OBJ_CAST(struct zone_ask, arg, ZONE_ASK_MAGIC);
    const struct cluster_node *first[ASK_NODES_MAX];
    size_t listed = 0;
    a->listed = true;
    if (a->done == NULL) {
        zone_ask_free(a);
        return;
    }
    a->found.owner_is = place_of_owner(a, nodes, count);
    bool asks = a->o.hops_max > 0 && (a->found.owner_is == ZONE_FAR || a->o.mood == PARENT_ANY);
    for (size_t i = 0; i < count && asks; i++)
        if (may_pass_on(a, &nodes[i]))
            list_one(a, &nodes[i], first, &listed);
    for (size_t i = 0; i < listed; i++)
        ask_one(a, first[i]);
    timer_set_ms(&a->deadline, a->count > 0 ? ASK_ZONE_MS : 0);
}

struct zone_ask *zone_ask_start(struct worker *w, const struct zone_ask_options *o,
                                zone_ask_done *done, void *arg)
{
    struct zone_ask *a = xcalloc(1, sizeof *a);
    a->magic = ZONE_ASK_MAGIC;
    a->worker = w;
    a->o = *o;
    a->owner = *o->owner;
    a->done = done;
    a->arg = arg;
    must(slice_copy(slice_text(o->name), a->name, sizeof a->name) &&
         slice_copy(slice_text(o->zone), a->zone, sizeof a->zone));
    timer_init(&a->deadline, w, "edge.zone", finish, a);
    cluster_known_nodes(o->cluster, w, on_nodes, a);
    return a;
}

void zone_ask_cancel(struct zone_ask **ap)
{
    struct zone_ask *a = *ap;
    *ap = NULL;
    if (a == NULL)
        return;
    OBJ_CHECK(a, ZONE_ASK_MAGIC);
    a->done = NULL;
    if (a->listed)
        zone_ask_free(a);
}
