/*
 * known nodes -> a probe to each -> answers by the deadline -> the best of them.
 */
#include "edge/ask_nodes.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MAGIC      0x61736b6eU
#define ASK_ANSWER_MAX 1024 /* bytes of a node's answer */

struct asked {
    struct ask *ask;
    struct relay_call *call;
    struct buf answer;
    int status;
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
    for (size_t i = 0; i < a->count; i++) {
        relay_call_cancel(&a->asked[i].call);
        buf_fini(&a->asked[i].answer);
    }
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

static bool number_of(const json_t *v, uint64_t *out)
{
    const char *text = json_string_value(v);
    return text != NULL && slice_u64(slice_text(text), UINT64_MAX, out) == 0;
}

static bool instance_of(const json_t *v, uint64_t *out)
{
    uint8_t bytes[8];
    const char *text = json_string_value(v);
    if (text == NULL || hex_decode(slice_text(text), bytes, sizeof bytes) < 0)
        return false;
    *out = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        *out = *out << 8 | bytes[i];
    return true;
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

static void read_answer(struct asked *n)
{
    struct cluster_owner owner = {.found = true};
    json_t *j = json_parse(buf_slice(&n->answer));
    if (number_of(json_object_get(j, "epoch"), &owner.epoch) &&
        instance_of(json_object_get(j, "instance"), &owner.instance)) {
        must(slice_copy(slice_text(n->node), owner.node, sizeof owner.node) &&
             slice_copy(slice_text(n->address), owner.address, sizeof owner.address));
        consider(n->ask, &owner, json_is_true(json_object_get(j, "owner")));
    }
    json_decref(j);
}

static void on_head(struct relay_call *c, int status, void *owner)
{
    struct asked *n = owner;
    n->status = status;
}

static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct asked *n = owner;
    int err = buf_append(&n->answer, bytes.p, bytes.len);
    return err < 0 ? err : (ssize_t)bytes.len;
}

static void on_end(enum close_reason why, void *owner)
{
    struct asked *n = owner;
    struct ask *a = OBJ_CAST(struct ask, n->ask, ASK_MAGIC);
    n->call = NULL;
    if (why == CLOSE_FINISHED && n->status == 200)
        read_answer(n);
    if (--a->waiting == 0)
        timer_set_ms(&a->deadline, 0);
}

static void ask_one(struct ask *a, const struct cluster_node *node)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    struct asked *n = &a->asked[a->count++];
    char target[RELAY_CALL_TARGET_MAX];
    snprintf(target, sizeof target, "/relay/v1/%s?probe=1", a->name);
    n->ask = a;
    buf_init(&n->answer, ASK_ANSWER_MAX);
    must(slice_copy(slice_text(node->id), n->node, sizeof n->node) &&
         slice_copy(slice_text(node->address), n->address, sizeof n->address));
    const struct relay_call_options o = {
        .address = n->address,
        .peer = n->node,
        .method = "GET",
        .target = target,
        .head_deadline_ms = ASK_NODES_MS,
        .idle_ms = ASK_NODES_MS,
    };
    a->waiting++;
    n->call = relay_call_start(a->worker, a->client, &o, &ops, n);
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
