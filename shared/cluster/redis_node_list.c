/*
 * The other nodes.  The sorted set says who is alive, in one command; a node's own record is read
 * when it is new, when an event says that it changed, and else now and then: with N nodes each
 * reads about NODES_BATCH records in NODES_REFRESH_US, however large N is.
 */
#include "cluster/redis_internal.h"

#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <stdlib.h>
#include <string.h>

#define NODES_REFRESH_US (10LL * 1000000) /* how old the remembered list gets */
#define NODES_EVENT_US   250000           /* between two lists that events ask for */
#define NODES_BATCH      32

struct listing {
    struct redis *redis;
    struct cluster_request *request; /* NULL: only to remember */
    int64_t now_ms;
    size_t waiting; /* answers outstanding */
    bool failed;
    struct redis_node_list list;
};

struct one_node {
    struct listing *listing;
    int64_t age_ms;
    char id[NAME_NODE_MAX + 1];
};

void redis_node_list_free(struct redis_node_list *l)
{
    free(l->nodes);
    free(l->read_us);
    map_free(&l->places);
    *l = (struct redis_node_list){0};
}

/* Where the id's entry is, or NULL: entries are numbered from one. */
static size_t place_of(const struct redis_node_list *l, const char *id)
{
    return l->places != NULL ? (size_t)(uintptr_t)map_get(l->places, id) : 0;
}

static void list_add(struct redis_node_list *l, const struct cluster_node *n, int64_t read_us)
{
    if (l->count == l->room || place_of(l, n->id) != 0)
        return;
    l->nodes[l->count] = *n;
    l->read_us[l->count] = read_us;
    l->count++;
    map_put(l->places, n->id, (void *)(uintptr_t)l->count);
}

static void listing_over(struct listing *q)
{
    struct redis *r = q->redis;
    if (!q->failed) {
        cluster_backend_nodes_seen(r->cluster, q->list.nodes, q->list.count);
        r->nodes_read_us = clock_us();
        redis_node_list_free(&r->nodes);
        r->nodes = q->list;
        q->list = (struct redis_node_list){0};
    }
    if (q->request != NULL)
        cluster_backend_answer_nodes(q->request);
    redis_node_list_free(&q->list);
    free(q);
}

static void on_node(const redisReply *reply, void *arg)
{
    struct one_node *one = arg;
    struct listing *q = one->listing;
    struct cluster_node n;
    if (reply == NULL || redis_is_error(reply)) {
        q->failed = true;
    } else if (redis_node_parse(reply, slice_text(one->id), &n)) {
        n.age_ms = one->age_ms;
        list_add(&q->list, &n, clock_us());
    }
    free(one);
    if (--q->waiting == 0)
        listing_over(q);
}

/* A record may be as old as it takes to read all of them at NODES_BATCH in NODES_REFRESH_US.  The
 * first time is drawn, so that they are not all read together ever after. */
static bool is_fresh(const struct redis_node_list *l, size_t place)
{
    int64_t keep_us = NODES_REFRESH_US * (int64_t)(l->count / NODES_BATCH);
    int64_t early_us = keep_us > 0 ? (int64_t)(crypto_random_u64() % (uint64_t)keep_us) / 4 : 0;
    int64_t read_us = l->read_us[place - 1];
    return read_us != 0 && clock_us() - read_us < keep_us - early_us;
}

static void ask_node(struct listing *q, const char *id, int64_t age_ms)
{
    struct one_node *one = xcalloc(1, sizeof *one);
    one->listing = q;
    one->age_ms = age_ms;
    slice_copy(slice_text(id), one->id, sizeof one->id);
    struct redis_args a;
    redis_args_init(&a);
    redis_arg(&a, "HGETALL");
    redis_arg_join(&a, q->redis->keys.node, one->id);
    if (redis_send(q->redis, &a, on_node, one) == 0) {
        q->waiting++;
        return;
    }
    q->failed = true;
    free(one);
}

static void list_node(struct listing *q, const redisReply *id_reply, const redisReply *score)
{
    const struct redis_node_list *known = &q->redis->nodes;
    char id[NAME_NODE_MAX + 1];
    uint64_t ms;
    if (!name_node_ok(redis_text(id_reply)) || slice_u64(redis_text(score), INT64_MAX, &ms) < 0)
        return;
    slice_copy(redis_text(id_reply), id, sizeof id);
    int64_t age_ms = q->now_ms > (int64_t)ms ? q->now_ms - (int64_t)ms : 0;
    size_t place = place_of(known, id);
    if (place == 0 || q->request != NULL || !is_fresh(known, place)) {
        ask_node(q, id, age_ms);
        return;
    }
    struct cluster_node n = known->nodes[place - 1];
    n.age_ms = age_ms;
    list_add(&q->list, &n, known->read_us[place - 1]);
}

static void on_ids(const redisReply *reply, void *arg)
{
    struct listing *q = arg;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        if (redis_is_error(reply))
            redis_refused(q->redis, "nodes", reply);
        q->failed = true;
        listing_over(q);
        return;
    }
    size_t pairs = reply->elements / 2;
    q->list.room = pairs < CLUSTER_NODES_MAX ? pairs + 1 : CLUSTER_NODES_MAX;
    q->list.nodes = xcalloc(q->list.room, sizeof *q->list.nodes);
    q->list.read_us = xcalloc(q->list.room, sizeof *q->list.read_us);
    q->list.places = map_new();
    /* Held at one until all are asked for. */
    q->waiting = 1;
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        list_node(q, reply->element[i], reply->element[i + 1]);
    if (--q->waiting == 0)
        listing_over(q);
}

static void read_nodes(struct redis *r, struct cluster_request *request)
{
    struct listing *q = xcalloc(1, sizeof *q);
    q->redis = r;
    q->request = request;
    q->now_ms = redis_score_ms(r);
    int64_t oldest_ms = q->now_ms - r->config->cluster.lease_ms;
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"ZREMRANGEBYSCORE", r->keys.nodes, "-inf", NULL});
    redis_arg_i64(&a, oldest_ms);
    redis_send(r, &a, NULL, NULL);
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"ZRANGE", r->keys.nodes, NULL});
    redis_arg_i64(&a, oldest_ms);
    redis_arg_list(&a, (const char *const[]){"+inf", "BYSCORE", "LIMIT", "0", NULL});
    redis_arg_i64(&a, CLUSTER_NODES_MAX);
    redis_arg(&a, "WITHSCORES");
    if (redis_send(r, &a, on_ids, q) < 0) {
        q->failed = true;
        listing_over(q);
    }
}

void redis_nodes(void *state, struct cluster_request *request)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    redis_mesh_see_nodes(r);
    read_nodes(r, request);
}

void redis_refresh_nodes(struct redis *r)
{
    if (r->nodes_read_us == 0 || clock_us() - r->nodes_read_us > NODES_REFRESH_US)
        read_nodes(r, NULL);
}

void redis_on_node_event_time(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (!redis_conn_is_up(r->cmd))
        return;
    r->node_event_us = clock_us();
    read_nodes(r, NULL);
}

void redis_node_changed(struct redis *r, const char *id)
{
    size_t place = place_of(&r->nodes, id);
    if (place != 0)
        r->nodes.read_us[place - 1] = 0;
    int64_t wait_us = r->node_event_us + NODES_EVENT_US - clock_us();
    if (!timer_is_set(&r->node_event))
        timer_set_us(&r->node_event, wait_us > 0 ? wait_us : 0);
}
