/*
 * This node in Redis, and requests to others.  Plain commands, since a node that only serves
 * viewers may run no scripts.
 */
#include "cluster/redis_internal.h"

#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_JITTER_PERCENT 10
#define EVENT_TEXT_MAX           1024

/* --- heartbeat --- */

static void on_time(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    uint64_t seconds, us;
    if (slice_u64(redis_text_at(reply, 0), INT64_MAX / 1000000 - 1, &seconds) == 0 &&
        slice_u64(redis_text_at(reply, 1), 999999, &us) == 0 && seconds > 0)
        redis_set_clock(r, (int64_t)(seconds * 1000000 + us));
}

static void on_version(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    uint64_t version;
    if (slice_u64(redis_text(reply), INT64_MAX, &version) == 0)
        redis_version_read(r, version);
}

static void on_written(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (redis_is_error(reply))
        redis_refused(r, "heartbeat", reply);
}

/* The last write of a heartbeat: what an edge is tried with instead of the probe. */
static void on_listed(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (redis_is_error(reply))
        redis_refused(r, "heartbeat", reply);
    else if (reply != NULL && !role_ingests(r->config->node.role))
        r->accepted = true;
}

static void node_args(struct redis *r, const struct cluster_node *n, struct redis_args *a)
{
    redis_args_init(a);
    redis_arg(a, "HSET");
    redis_arg_join(a, r->keys.node, n->id);
    redis_arg(a, "instance");
    redis_arg_instance(a, n->instance);
    redis_arg_list(a, (const char *const[]){"addr", n->address, "http", n->http, "role", n->role,
                                            "zone", n->zone, "version", n->version, "state",
                                            n->state, "pv_min", NULL});
    redis_arg_i64(a, CLUSTER_PROTOCOL_MIN);
    redis_arg(a, "pv_max");
    redis_arg_i64(a, CLUSTER_PROTOCOL_MAX);
    redis_arg(a, "streams");
    redis_arg_i64(a, n->streams);
    redis_arg(a, "viewers");
    redis_arg_i64(a, n->viewers);
    redis_arg(a, "load");
    redis_arg_i64(a, n->load_percent);
    redis_arg(a, "since");
    redis_arg_i64(a, cluster_self(r->cluster)->since_us);
}

int64_t redis_score_ms(const struct redis *r)
{
    int64_t now_us = redis_now_us(r);
    return (now_us > 0 ? now_us : clock_wall_us()) / 1000;
}

static void write_node(struct redis *r)
{
    struct cluster_node n;
    struct redis_args a;
    cluster_backend_self_node(r->cluster, &n);
    node_args(r, &n, &a);
    redis_send(r, &a, on_written, r);

    redis_args_init(&a);
    redis_arg(&a, "PEXPIRE");
    redis_arg_join(&a, r->keys.node, n.id);
    redis_arg_i64(&a, r->config->cluster.lease_ms);
    redis_send(r, &a, on_written, r);

    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"ZADD", r->keys.nodes, NULL});
    redis_arg_i64(&a, redis_score_ms(r));
    redis_arg(&a, n.id);
    redis_send(r, &a, on_listed, r);

    bool draining = strcmp(n.state, "drain") == 0;
    if (draining != r->draining)
        redis_announce(r, "drain", NULL);
    r->draining = draining;
}

void redis_self_changed(void *state)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    if (redis_conn_is_up(r->cmd))
        write_node(r);
}

static void read_version(struct redis *r)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"GET", r->keys.version, NULL});
    r->version_asked = r->version;
    redis_send(r, &a, on_version, r);
}

void redis_heartbeat(struct redis *r)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg(&a, "TIME");
    redis_send(r, &a, on_time, r);
    write_node(r);
    read_version(r);
    redis_renew_all(r);
    redis_probe(r);
    if (!r->announced)
        redis_announce(r, "node", NULL);
    r->announced = true;
    redis_refresh_nodes(r);
}

static int64_t heartbeat_gap_us(const struct redis *r)
{
    int64_t base_us = r->config->cluster.heartbeat_ms * 1000;
    int64_t jitter_us = base_us * HEARTBEAT_JITTER_PERCENT / 100;
    int64_t random = (int64_t)(crypto_random_u64() >> 1);
    return base_us - jitter_us + random % (2 * jitter_us + 1);
}

void redis_on_heartbeat_time(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (redis_conn_is_up(r->cmd))
        redis_heartbeat(r);
    timer_set_us(&r->heartbeat, heartbeat_gap_us(r));
}

/* --- announcing --- */

struct announcing {
    struct redis *redis;
    const char *t;
    redis_done *then;
};

static void publish(struct redis *r, const char *channel, const struct buf *text, redis_done *done)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"PUBLISH", channel, NULL});
    redis_arg_slice(&a, buf_slice(text));
    if (redis_send(r, &a, done, r) < 0 && done != NULL)
        done(NULL, r);
}

static void on_counted(const redisReply *reply, void *arg)
{
    struct announcing *q = arg;
    struct redis *r = q->redis;
    struct buf text;
    buf_init(&text, EVENT_TEXT_MAX);
    bool counted = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    if (counted &&
        redis_event_print(&text, (uint64_t)reply->integer, q->t, cluster_self(r->cluster)) == 0)
        publish(r, r->keys.events, &text, q->then);
    else if (q->then != NULL)
        q->then(NULL, r);
    buf_fini(&text);
    free(q);
}

void redis_announce(struct redis *r, const char *t, redis_done *then)
{
    struct announcing *q = xcalloc(1, sizeof *q);
    *q = (struct announcing){r, t, then};
    if (!role_ingests(r->config->node.role)) {
        /* An edge may not publish; the others see it in the list. */
        on_counted(NULL, q);
        return;
    }
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"INCR", r->keys.version, NULL});
    if (redis_send(r, &a, on_counted, q) < 0)
        on_counted(NULL, q);
}

void redis_leave(struct redis *r, redis_done *then)
{
    const char *node = cluster_self(r->cluster)->node;
    struct redis_args a;
    redis_args_init(&a);
    redis_arg(&a, "DEL");
    redis_arg_join(&a, r->keys.node, node);
    redis_send(r, &a, NULL, NULL);
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"ZREM", r->keys.nodes, node, NULL});
    redis_send(r, &a, NULL, NULL);
    redis_announce(r, "node", then);
}

static void on_requested(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (redis_is_error(reply))
        redis_refused(r, "request", reply);
}

void redis_send_request(void *state, const char *node, const char *verb, const char *name)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    if (redis_mesh_send(r, node, verb, name))
        return;
    char channel[REDIS_KEY_PREFIX_MAX + NAME_NODE_MAX];
    struct buf text;
    buf_init(&text, EVENT_TEXT_MAX);
    snprintf(channel, sizeof channel, "%s%s", r->keys.to, node);
    if (redis_request_print(&text, verb, name, cluster_self(r->cluster)->node) == 0)
        publish(r, channel, &text, on_requested);
    buf_fini(&text);
}
