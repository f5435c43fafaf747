/*
 * known nodes -> a probe to each -> answers by the deadline -> the best of them.
 */
#include "edge/ask_nodes.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/crypto.h"
#include "core/timer.h"
#include "relay/probe.h"

#include <stdlib.h>
#include <string.h>

#define ASK_MAGIC 0x61736b6eU

struct asked {
    struct ask *ask;
    struct probe *probe;
    char node[NAME_NODE_MAX + 1], address[CLUSTER_ADDRESS_MAX];
};

struct ask {
    uint32_t magic;
    struct worker *worker;
    const struct relay_client *client;
    ask_done *done; /* NULL: cancelled before the nodes were known */
    void *arg;
    bool listed;
    struct timer deadline;
    struct cluster_owner best;
    bool best_owns; /* it is filled by a publisher there */
    size_t count, waiting;
    struct asked asked[ASK_NODES_MAX];
    char name[NAME_STREAM_MAX + 1];
};

static void ask_free(struct ask *a)
{
    for (size_t i = 0; i < a->count; i++)
        probe_cancel(&a->asked[i].probe);
    timer_fini(&a->deadline);
    OBJ_POISON(a);
    free(a);
}

static void finish(void *arg)
{
    struct ask *a = OBJ_CAST(struct ask, arg, ASK_MAGIC);
    struct cluster_owner best = a->best;
    ask_done *done = a->done;
    void *owner = a->arg;
    ask_free(a);
    done(&best, owner);
}

/* A node that only passes the stream on is as good as its owner, but later in the row. */
static void consider(struct ask *a, const struct cluster_owner *owner, bool owns)
{
    bool equal = !cluster_owner_higher(owner, &a->best) && !cluster_owner_higher(&a->best, owner);
    if (a->best.found && (equal ? a->best_owns || !owns : !cluster_owner_higher(owner, &a->best)))
        return;
    a->best = *owner;
    a->best_owns = owns;
}

static void on_answer(const struct probe_answer *told, void *arg)
{
    struct asked *n = arg;
    struct ask *a = OBJ_CAST(struct ask, n->ask, ASK_MAGIC);
    struct cluster_owner owner = {.found = true, .epoch = told->epoch, .instance = told->instance};
    n->probe = NULL;
    if (told->owns || told->fed) {
        must(slice_copy(slice_text(n->node), owner.node, sizeof owner.node) &&
             slice_copy(slice_text(n->address), owner.address, sizeof owner.address));
        consider(a, &owner, told->owns);
    }
    if (--a->waiting == 0)
        timer_set_ms(&a->deadline, 0);
}

static void ask_one(struct ask *a, const struct cluster_node *node)
{
    struct asked *n = &a->asked[a->count++];
    n->ask = a;
    must(slice_copy(slice_text(node->id), n->node, sizeof n->node) &&
         slice_copy(slice_text(node->address), n->address, sizeof n->address));
    a->waiting++;
    const struct probe_options o = {.client = a->client,
                                    .node = node->id,
                                    .address = node->address,
                                    .name = a->name,
                                    .deadline_ms = ASK_NODES_MS};
    n->probe = probe_start(a->worker, &o, on_answer, n);
}

static bool may_have_it(const struct ask *a, const struct cluster_node *node)
{
    return strcmp(node->id, a->client->self->node) != 0 && strcmp(node->role, "edge") != 0;
}

/* From a random one on, so that in a large cluster not always the same are asked. */
static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct ask *a = OBJ_CAST(struct ask, arg, ASK_MAGIC);
    a->listed = true;
    if (a->done == NULL) {
        ask_free(a);
        return;
    }
    size_t first = count > 0 ? (size_t)(crypto_random_u64() % count) : 0;
    for (size_t i = 0; i < count && a->count < ASK_NODES_MAX; i++) {
        const struct cluster_node *node = &nodes[(first + i) % count];
        if (may_have_it(a, node))
            ask_one(a, node);
    }
    timer_set_ms(&a->deadline, a->count > 0 ? ASK_NODES_MS : 0);
}

struct ask *ask_nodes(struct worker *w, struct cluster *cluster, const struct relay_client *client,
                      const char *name, ask_done *done, void *arg)
{
    struct ask *a = xcalloc(1, sizeof *a);
    a->magic = ASK_MAGIC;
    a->worker = w;
    a->client = client;
    a->done = done;
    a->arg = arg;
    must(slice_copy(slice_text(name), a->name, sizeof a->name));
    timer_init(&a->deadline, w, "edge.ask", finish, a);
    cluster_known_nodes(cluster, w, on_nodes, a);
    return a;
}

void ask_cancel(struct ask **ap)
{
    struct ask *a = *ap;
    *ap = NULL;
    if (a == NULL)
        return;
    OBJ_CHECK(a, ASK_MAGIC);
    a->done = NULL;
    if (a->listed)
        ask_free(a);
}
