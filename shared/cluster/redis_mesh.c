/*
 * Static peers beside Redis.  Redis is the truth; what the peers say is a hint like an event, and
 * the answer while Redis is away.  Without static peers there is no mesh, and nothing here does
 * anything.
 */
#include "cluster/redis_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"

#include <stdlib.h>

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (owner->found && !r->closing)
        cluster_backend_news(r->cluster, name, owner, CLUSTER_NEWS_EVENT);
}

static void see_nodes(struct redis *r)
{
    struct cluster_node *nodes = xcalloc(GOSSIP_NODES_MAX, sizeof *nodes);
    size_t count = mesh_nodes(r->mesh, nodes, GOSSIP_NODES_MAX);
    cluster_backend_nodes_seen(r->cluster, nodes, count);
    free(nodes);
}

static void on_nodes(void *arg)
{
    redis_mesh_see_nodes(OBJ_CAST(struct redis, arg, REDIS_MAGIC));
}

static void on_open(bool open, void *arg)
{
}

int redis_mesh_open(struct redis *r, char error[CONFIG_ERROR_MAX])
{
    static const struct mesh_events events = {
        .on_owner = on_owner, .on_nodes = on_nodes, .on_open = on_open};
    if (r->config->cluster.static_peers.peers.count == 0)
        return 0;
    return mesh_open(&r->mesh, r->cluster, MESH_STATIC, &events, r, error);
}

void redis_mesh_see_nodes(struct redis *r)
{
    if (r->mesh != NULL && !redis_conn_is_up(r->cmd))
        see_nodes(r);
}

void redis_mesh_changed(struct redis *r, const struct cluster_held *held)
{
    if (r->mesh != NULL)
        mesh_announce(r->mesh, held);
}

void redis_mesh_withdraw(struct redis *r, const char *name, const char *why)
{
    if (r->mesh != NULL)
        mesh_withdraw(r->mesh, name, why);
}

void redis_granted(void *state, const struct cluster_held *held)
{
    redis_mesh_changed(OBJ_CAST(struct redis, state, REDIS_MAGIC), held);
}

void redis_fenced(void *state, const char *name, uint64_t epoch)
{
    redis_mesh_withdraw(OBJ_CAST(struct redis, state, REDIS_MAGIC), name, "fenced");
}

int redis_write_set(void *state, uint64_t instance, uint64_t since, struct buf *out)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    return r->mesh != NULL ? mesh_write_set(r->mesh, instance, since, out) : ERR_NOT_FOUND;
}

/* --- while Redis is away --- */

void redis_mesh_answer_claim(struct redis *r, const struct cluster_claim *claim, uint64_t floor,
                             struct cluster_request *request)
{
    struct cluster_claimed answer = {.verdict = CLAIM_GRANTED};
    int takeovers = 0;
    if (r->mesh != NULL && cluster_backend_held(r->cluster, claim->name) == NULL)
        mesh_judge(r->mesh, claim, &answer, &takeovers);
    if (answer.verdict != CLAIM_GRANTED) {
        cluster_backend_answer_claim(request, &answer, takeovers);
        return;
    }
    bool higher = answer.owner.found && answer.owner.epoch > floor;
    cluster_backend_answer_unregistered(request, higher ? answer.owner.epoch : floor);
}

void redis_mesh_answer_owner(struct redis *r, const char *name, struct cluster_request *request)
{
    struct cluster_owner owner = {0};
    if (r->mesh != NULL)
        mesh_owner(r->mesh, name, &owner, NULL);
    if (r->mesh != NULL && !owner.found)
        mesh_ask(r->mesh, name);
    owner.from_directory = true;
    cluster_backend_answer_owner(request, owner.found ? &owner : NULL);
}

bool redis_mesh_send(struct redis *r, const char *node, const char *verb, const char *name)
{
    if (r->mesh == NULL || redis_conn_is_up(r->cmd))
        return false;
    mesh_send(r->mesh, node, verb, name);
    return true;
}
