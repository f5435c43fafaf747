/*
 * What the engine tells is kept until the end of the turn: it may not be called back from inside
 * its own code, and what is told leads to calls of it.
 */
#include "cluster/mesh_internal.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cluster/takeover.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct news {
    struct list node;
    struct cluster_owner owner;
    char name[NAME_STREAM_MAX + 1];
};

/* A node that the log has said is up. */
struct mesh_node {
    uint64_t instance;
    bool seen; /* in the list at hand */
};

/* --- the timer --- */

static void set_metrics(struct mesh *m)
{
    struct metrics *to = &m->worker->metrics;
    struct gossip_stats s;
    gossip_stats(m->gossip, &s);
    METRIC_SET(to->gossip_sent_total, s.sent);
    METRIC_SET(to->gossip_received_total, s.received);
    METRIC_SET(to->gossip_forged_total, s.dropped_forged);
    METRIC_SET(to->gossip_replayed_total, s.dropped_replayed);
    METRIC_SET(to->gossip_foreign_total, s.dropped_foreign);
    METRIC_SET(to->gossip_malformed_total, s.dropped_malformed);
    METRIC_SET(to->gossip_fetches_total, s.fetches);
    METRIC_SET(to->gossip_challenges_total, s.challenges);
    METRIC_SET(to->gossip_nodes, (int64_t)s.nodes_alive);
    METRIC_SET(to->gossip_streams, (int64_t)s.streams_known);
}

static void arm(struct mesh *m, int64_t due_us)
{
    int64_t wait_us = due_us - clock_us();
    timer_set_us(&m->timer, wait_us > 0 ? wait_us : 0);
}

static void on_time(void *arg)
{
    struct mesh *m = OBJ_CAST(struct mesh, arg, MESH_MAGIC);
    int64_t due_us = gossip_run(m->gossip, clock_us());
    set_metrics(m);
    if (!m->left)
        arm(m, due_us);
}

void mesh_rearm(struct mesh *m)
{
    int64_t due_us = gossip_due(m->gossip);
    if (!m->left && (!timer_is_set(&m->timer) || due_us < m->timer.due_us))
        arm(m, due_us);
}

/* --- what the engine asks for --- */

static struct mesh *mesh_of(void *arg)
{
    return OBJ_CAST(struct mesh, arg, MESH_MAGIC);
}

static void op_send(const struct net_address *to, struct slice datagram, void *arg)
{
    mesh_sockets_send(mesh_of(arg), to, datagram);
}

static void op_fetch(const char *node, uint64_t instance, const char *address, uint64_t since,
                     void *arg)
{
    mesh_call_fetch(mesh_of(arg), node, instance, address, since);
}

static void op_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct mesh *m = mesh_of(arg);
    struct news *n = xcalloc(1, sizeof *n);
    n->owner = *owner;
    must(slice_copy(slice_text(name), n->name, sizeof n->name));
    list_append(&m->news, &n->node);
    task_defer(m->worker, &m->tell);
}

static void op_nodes(void *arg)
{
    struct mesh *m = mesh_of(arg);
    m->nodes_news = true;
    task_defer(m->worker, &m->tell);
}

static bool op_is_linked(const char *node, void *arg)
{
    return relay_is_linked(cluster_self(mesh_of(arg)->cluster)->client->links, node);
}

static void op_load(struct cluster_load *load, void *arg)
{
    cluster_backend_fill_load(mesh_of(arg)->cluster, load);
}

static uint64_t op_random(void *arg)
{
    return crypto_random_u64();
}

static const struct gossip_ops gossip_ops = {.send = op_send,
                                             .fetch = op_fetch,
                                             .on_owner = op_owner,
                                             .on_nodes = op_nodes,
                                             .is_linked = op_is_linked,
                                             .fill_load = op_load,
                                             .random = op_random};

/* --- telling --- */

static void tell_owners(struct mesh *m)
{
    for (int i = 0; i < MESH_NEWS_PER_TURN && !list_empty(&m->news); i++) {
        struct news *n = LIST_FIRST(&m->news, struct news, node);
        list_remove(&n->node);
        if (!m->left)
            m->events.on_owner(n->name, &n->owner, m->arg);
        free(n);
    }
    if (!list_empty(&m->news))
        task_defer(m->worker, &m->tell);
}

/* --- confirming --- */

void mesh_heard(struct mesh *m)
{
    if (m->confirm_us != 0 && clock_us() >= m->confirm_us)
        task_defer(m->worker, &m->tell);
}

static void tell_confirmed(struct mesh *m)
{
    if (m->left || m->confirm_us == 0 || clock_us() < m->confirm_us || !list_empty(&m->news))
        return;
    m->confirm_us = 0;
    m->events.on_confirmed(m->arg);
}

void mesh_confirm(struct mesh *m)
{
    struct gossip_stats s;
    gossip_stats(m->gossip, &s);
    if (s.nodes_alive == 0 || m->left) {
        m->events.on_confirmed(m->arg);
        return;
    }
    int asks = 0;
    struct cluster_held *held;
    LIST_EACH (held, cluster_backend_held_list(m->cluster), node)
        if (asks++ < MESH_CONFIRM_ASKS)
            mesh_ask(m, held->claim.name);
    m->confirm_us = clock_us() + MESH_CONFIRM_MS * 1000;
}

/* --- nodes --- */

static void log_if_new(struct mesh *m, const struct cluster_node *n)
{
    struct mesh_node *known = map_get(m->nodes, n->id);
    if (known == NULL) {
        known = xcalloc(1, sizeof *known);
        map_put(m->nodes, n->id, known);
    }
    known->seen = true;
    if (known->instance == n->instance)
        return;
    known->instance = n->instance;
    log_info(m->log, "node.up id=%s addr=%s role=%s instance=%016" PRIx64, n->id, n->address,
             n->role, n->instance);
}

static void log_if_gone(const char *id, void *value, void *arg)
{
    struct mesh *m = arg;
    struct mesh_node *known = value;
    bool seen = known->seen;
    known->seen = false;
    if (seen)
        return;
    log_info(m->log, "node.down id=%s", id);
    free(map_take(m->nodes, id));
}

static void log_nodes(struct mesh *m)
{
    struct cluster_node *nodes = xcalloc(GOSSIP_NODES_MAX, sizeof *nodes);
    size_t count = mesh_nodes(m, nodes, GOSSIP_NODES_MAX);
    for (size_t i = 0; i < count; i++)
        log_if_new(m, &nodes[i]);
    map_each(m->nodes, log_if_gone, m);
    free(nodes);
}

static void on_tell(void *arg)
{
    struct mesh *m = mesh_of(arg);
    if (m->nodes_news && !m->left) {
        m->nodes_news = false;
        log_nodes(m);
        m->events.on_nodes(m->arg);
    }
    set_metrics(m);
    tell_owners(m);
    tell_confirmed(m);
}

/* --- life --- */

static struct gossip *engine_new(struct mesh *m)
{
    static const char *const roles[] = {
        [ROLE_NODE] = "node", [ROLE_ORIGIN] = "origin", [ROLE_EDGE] = "edge"};
    const struct config *c = m->config;
    const struct gossip_options o = {.self = cluster_self(m->cluster),
                                     .role = roles[c->node.role],
                                     .zone = c->node.zone != NULL ? c->node.zone : "",
                                     .cluster = c->cluster.name,
                                     .secret = slice_text(c->cluster.secret),
                                     .unicast = m->kind == MESH_STATIC,
                                     .log = *m->log};
    return gossip_new(&o, &gossip_ops, m);
}

int mesh_open(struct mesh **out, struct cluster *c, enum mesh_kind kind,
              const struct mesh_events *events, void *arg, char error[CONFIG_ERROR_MAX])
{
    must(cluster_self(c)->client != NULL);
    struct mesh *m = xcalloc(1, sizeof *m);
    m->magic = MESH_MAGIC;
    m->cluster = c;
    m->worker = cluster_worker(c);
    m->config = m->worker->config;
    m->log = cluster_backend_log(c);
    m->kind = kind;
    m->events = *events;
    m->arg = arg;
    m->nodes = map_new();
    list_init(&m->news);
    list_init(&m->calls);
    task_init(&m->tell, on_tell, m);
    timer_init(&m->timer, m->worker, "gossip", on_time, m);
    m->gossip = engine_new(m);
    mesh_seeds_init(m);
    int err = mesh_sockets_init(m, error);
    if (err < 0)
        mesh_free(&m);
    *out = m;
    return err;
}

void mesh_start(struct mesh *m)
{
    mesh_sockets_start(m);
    mesh_seeds_start(m);
    on_time(m);
}

void mesh_leave(struct mesh *m)
{
    if (m->left)
        return;
    gossip_leave(m->gossip, clock_us());
    m->left = true;
    timer_stop(&m->timer);
    mesh_calls_stop(m);
    mesh_seeds_fini(m);
    mesh_sockets_stop(m);
}

static void free_node(const char *id, void *value, void *arg)
{
    free(value);
}

void mesh_free(struct mesh **mp)
{
    struct mesh *m = *mp;
    *mp = NULL;
    if (m == NULL)
        return;
    OBJ_CHECK(m, MESH_MAGIC);
    m->left = true;
    mesh_calls_stop(m);
    mesh_seeds_fini(m);
    mesh_sockets_stop(m);
    timer_fini(&m->timer);
    while (!list_empty(&m->news))
        tell_owners(m);
    task_cancel(&m->tell);
    gossip_free(&m->gossip);
    map_each(m->nodes, free_node, NULL);
    map_free(&m->nodes);
    OBJ_POISON(m);
    free(m);
}

/* --- the engine's functions --- */

void mesh_announce(struct mesh *m, const struct cluster_held *held)
{
    const struct gossip_claim claim = {.name = held->claim.name,
                                       .epoch = held->epoch,
                                       .lost = held->lost,
                                       .publisher = held->claim.publisher,
                                       .takeovers = held->takeovers};
    if (m->left)
        return;
    if (gossip_announce(m->gossip, &claim, clock_us()) < 0)
        log_warn(m->log, "gossip.full stream=%s", claim.name);
    mesh_rearm(m);
}

void mesh_withdraw(struct mesh *m, const char *name, const char *why)
{
    if (m->left)
        return;
    gossip_withdraw(m->gossip, name, why, clock_us());
    mesh_rearm(m);
}

void mesh_ask(struct mesh *m, const char *name)
{
    if (m->left)
        return;
    gossip_ask(m->gossip, name, clock_us());
    mesh_rearm(m);
}

void mesh_touch(struct mesh *m)
{
    if (m->left)
        return;
    gossip_touch(m->gossip, clock_us());
    mesh_rearm(m);
}

void mesh_owner(const struct mesh *m, const char *name, struct cluster_owner *owner,
                struct gossip_record *record)
{
    gossip_owner(m->gossip, name, clock_us(), owner, record);
}

size_t mesh_nodes(const struct mesh *m, struct cluster_node *out, size_t room)
{
    return gossip_nodes(m->gossip, clock_us(), out, room);
}

int mesh_write_set(const struct mesh *m, uint64_t instance, uint64_t since, struct buf *out)
{
    return gossip_set_write(m->gossip, instance, since, out);
}

/* --- claims --- */

static void judge_other(const struct mesh *m, const struct cluster_claim *claim,
                        const struct gossip_record *r, struct cluster_claimed *answer,
                        int *takeovers)
{
    const struct takeover_record record = {.lost = answer->owner.lost,
                                           .stale = r->silent_us >
                                                    m->config->cluster.lease_ms * 1000 / 2,
                                           .publisher = r->publisher,
                                           .takeovers = r->takeovers,
                                           .since_us = (int64_t)answer->owner.epoch};
    struct cluster_claim judged = *claim;
    judged.owner_gone = claim->owner_gone || (claim->policy == TAKEOVER_REPLACE &&
                                              m->config->cluster.takeover != TAKEOVER_REPLACE);
    answer->verdict =
        takeover_judge(&record, &judged, clock_wall_us(), takeovers, &answer->wait_ms);
}

void mesh_judge(const struct mesh *m, const struct cluster_claim *claim,
                struct cluster_claimed *answer, int *takeovers)
{
    struct gossip_record record;
    *answer = (struct cluster_claimed){
        .verdict = CLAIM_GRANTED, .next_msn = CLUSTER_NEXT_NONE, .next_dsn = CLUSTER_NEXT_NONE};
    *takeovers = 0;
    mesh_owner(m, claim->name, &answer->owner, &record);
    if (answer->owner.found)
        judge_other(m, claim, &record, answer, takeovers);
    if (answer->verdict == CLAIM_GRANTED)
        answer->epoch = cluster_backend_next_epoch(
            m->cluster, answer->owner.epoch > claim->floor ? answer->owner.epoch : claim->floor);
}

/* --- messages --- */

void mesh_send(struct mesh *m, const char *node, const char *verb, const char *name)
{
    struct cluster_node *nodes = xcalloc(GOSSIP_NODES_MAX, sizeof *nodes);
    size_t i = 0, count = m->left ? 0 : mesh_nodes(m, nodes, GOSSIP_NODES_MAX);
    while (i < count && strcmp(nodes[i].id, node) != 0)
        i++;
    if (i < count)
        mesh_call_request(m, &nodes[i], verb, name);
    else
        log_warn(m->log, "request.lost node=%s reason=unknown", node);
    free(nodes);
}
