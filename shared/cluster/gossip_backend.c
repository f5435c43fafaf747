/*
 * The cluster without a directory: each node decides for itself by what it has heard of the others,
 * and the order of (epoch, instance) settles what two have decided at once.
 */
#include "cluster/mesh.h"

#include "base/mem.h"

#include <stdlib.h>

struct masterless {
    struct cluster *cluster;
    struct mesh *mesh;
};

/* --- what the others say --- */

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct masterless *s = arg;
    /* Nobody has it: its node may be dead, which is no end of the stream. */
    cluster_backend_news(s->cluster, name, owner,
                         owner->found ? CLUSTER_NEWS_EVENT : CLUSTER_NEWS_READ);
}

static void see_nodes(struct masterless *s)
{
    struct cluster_node *nodes = xcalloc(GOSSIP_NODES_MAX, sizeof *nodes);
    size_t count = mesh_nodes(s->mesh, nodes, GOSSIP_NODES_MAX);
    cluster_backend_nodes_seen(s->cluster, nodes, count);
    free(nodes);
}

static void on_nodes(void *arg)
{
    see_nodes(arg);
}

static void on_open(bool open, void *arg)
{
    struct masterless *s = arg;
    cluster_backend_set_up(s->cluster, open);
}

static void on_confirmed(void *arg)
{
    struct masterless *s = arg;
    cluster_backend_revalidated(s->cluster);
}

/* --- life --- */

static int open_as(struct cluster *c, void **state, enum mesh_kind kind,
                   char error[CONFIG_ERROR_MAX])
{
    static const struct mesh_events events = {on_owner, on_nodes, on_open, on_confirmed};
    struct masterless *s = xcalloc(1, sizeof *s);
    s->cluster = c;
    int err = mesh_open(&s->mesh, c, kind, &events, s, error);
    if (err < 0) {
        free(s);
        return err;
    }
    *state = s;
    return 0;
}

static int open_multicast(struct cluster *c, void **state, char error[CONFIG_ERROR_MAX])
{
    return open_as(c, state, MESH_MULTICAST, error);
}

static int open_static(struct cluster *c, void **state, char error[CONFIG_ERROR_MAX])
{
    return open_as(c, state, MESH_STATIC, error);
}

static void masterless_start(void *state)
{
    struct masterless *s = state;
    mesh_start(s->mesh);
}

static void masterless_close(void *state, void (*on_closed)(void *arg), void *arg)
{
    struct masterless *s = state;
    mesh_leave(s->mesh);
    on_closed(arg);
}

static void masterless_stop(void *state)
{
    struct masterless *s = state;
    mesh_leave(s->mesh);
}

static void masterless_free(void **state)
{
    struct masterless *s = *state;
    *state = NULL;
    mesh_free(&s->mesh);
    free(s);
}

/* --- claims --- */

static void masterless_acquire(void *state, const struct cluster_claim *claim,
                               struct cluster_request *r)
{
    struct masterless *s = state;
    const struct cluster_held *held = cluster_backend_held(s->cluster, claim->name);
    struct cluster_claimed answer;
    int takeovers;
    if (held != NULL)
        cluster_backend_judge_held(s->cluster, held, claim, &answer, &takeovers);
    else
        mesh_judge(s->mesh, claim, &answer, &takeovers);
    cluster_backend_answer_claim(r, &answer, takeovers);
}

static void masterless_granted(void *state, const struct cluster_held *held)
{
    struct masterless *s = state;
    mesh_announce(s->mesh, held);
}

static void masterless_changed(void *state, struct cluster_held *held)
{
    struct masterless *s = state;
    mesh_announce(s->mesh, held);
}

static void masterless_fenced(void *state, const char *name, uint64_t epoch)
{
    struct masterless *s = state;
    mesh_withdraw(s->mesh, name, "fenced");
}

static void masterless_release(void *state, const struct cluster_held *held, const char *why,
                               struct cluster_request *r)
{
    struct masterless *s = state;
    mesh_withdraw(s->mesh, held->claim.name, why);
    cluster_backend_answer_release(r);
}

/* --- questions --- */

static void masterless_lookup(void *state, const char *name, struct cluster_request *r)
{
    struct masterless *s = state;
    const struct cluster_held *held = cluster_backend_held(s->cluster, name);
    struct cluster_owner owner;
    if (held != NULL)
        cluster_backend_held_owner(s->cluster, held, &owner);
    else
        mesh_owner(s->mesh, name, &owner, NULL);
    owner.from_directory = true;
    if (!owner.found)
        mesh_ask(s->mesh, name);
    cluster_backend_answer_owner(r, &owner);
}

static void masterless_watch(void *state, const char *name, bool on)
{
}

static void masterless_nodes(void *state, struct cluster_request *r)
{
    see_nodes(state);
    cluster_backend_answer_nodes(r);
}

static void masterless_self_changed(void *state)
{
    struct masterless *s = state;
    mesh_touch(s->mesh);
}

static void masterless_revalidate(void *state)
{
    struct masterless *s = state;
    mesh_confirm(s->mesh);
}

static void masterless_send(void *state, const char *node, const char *verb, const char *name)
{
    struct masterless *s = state;
    mesh_send(s->mesh, node, verb, name);
}

static int masterless_write_set(void *state, uint64_t instance, uint64_t since, struct buf *out)
{
    struct masterless *s = state;
    return mesh_write_set(s->mesh, instance, since, out);
}

#define MASTERLESS_OPS                                                                             \
    .start = masterless_start, .acquire = masterless_acquire, .release = masterless_release,       \
    .claim_changed = masterless_changed, .revalidate = masterless_revalidate,                      \
    .lookup = masterless_lookup, .watch = masterless_watch, .nodes = masterless_nodes,             \
    .self_changed = masterless_self_changed, .send = masterless_send, .close = masterless_close,   \
    .stop = masterless_stop, .free = masterless_free, .granted = masterless_granted,               \
    .fenced = masterless_fenced, .write_set = masterless_write_set

const struct cluster_backend cluster_backend_multicast = {
    .name = "multicast", .open = open_multicast, MASTERLESS_OPS};
const struct cluster_backend cluster_backend_static = {
    .name = "static", .open = open_static, MASTERLESS_OPS};
