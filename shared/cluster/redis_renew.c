/*
 * Keeping and giving up claims in Redis: renewals in batches that are spread over time, and what
 * their answers mean.
 */
#include "cluster/redis_internal.h"

#include "base/mem.h"
#include "base/obj.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- release --- */

static void next_args(struct redis_args *a, int64_t v)
{
    if (v == CLUSTER_NEXT_NONE)
        redis_arg(a, "");
    else
        redis_arg_i64(a, v);
}

void redis_release_args(struct redis *r, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                        const char *why, struct redis_args *a)
{
    const struct cluster_self *self = cluster_self(r->cluster);
    redis_script_args(a, 3);
    redis_arg_join(a, r->keys.stream, name);
    redis_arg(a, r->keys.version);
    redis_arg_join(a, r->keys.next, name);
    redis_arg_instance(a, self->instance);
    redis_arg_u64(a, epoch);
    redis_arg(a, r->keys.events);
    redis_arg(a, name);
    redis_arg(a, why);
    redis_arg(a, self->node);
    redis_arg(a, self->relay_address);
    next_args(a, msn);
    next_args(a, dsn);
    redis_arg_i64(a, REDIS_NEXT_TTL_MS);
}

struct releasing {
    struct redis *redis;
    struct cluster_request *request;
};

static void on_released(const redisReply *reply, void *arg)
{
    struct releasing *q = arg;
    if (redis_is_error(reply))
        redis_refused(q->redis, "release", reply);
    cluster_backend_answer_release(q->request);
    free(q);
}

void redis_release(void *state, const struct cluster_held *held, const char *why,
                   struct cluster_request *request)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    redis_mesh_withdraw(r, held->claim.name, why);
    struct releasing *q = xcalloc(1, sizeof *q);
    *q = (struct releasing){r, request};
    struct redis_args a;
    redis_release_args(r, held->claim.name, held->epoch, held->msn, held->dsn, why, &a);
    int err = redis_script_send(r, SCRIPT_RELEASE, &a, on_released, q);
    redis_args_fini(&a);
    if (err < 0)
        on_released(NULL, q);
}

/* --- renew --- */

struct renewing {
    struct redis *redis;
    uint64_t round; /* of the look at all claims that this is part of; 0: of none */
    size_t count;
    struct {
        char name[NAME_STREAM_MAX + 1];
        uint64_t epoch;
    } claims[REDIS_RENEW_BATCH];
};

static void renew_header(struct redis *r, size_t count, struct redis_args *a)
{
    redis_script_args(a, 1 + 2 * (int)count);
    redis_arg(a, r->keys.version);
}

static void renew_self(struct redis *r, struct redis_args *a)
{
    const struct cluster_self *self = cluster_self(r->cluster);
    redis_arg(a, self->node);
    redis_arg_instance(a, self->instance);
    redis_arg(a, self->relay_address);
    redis_arg_i64(a, r->config->cluster.lease_ms);
    redis_arg(a, r->keys.events);
    redis_arg_i64(a, REDIS_NEXT_TTL_MS);
}

static void renew_one(const struct cluster_held *held, struct redis_args *a)
{
    redis_arg(a, held->claim.name);
    redis_arg_u64(a, held->epoch);
    redis_arg(a, held->claim.session);
    redis_arg(a, held->claim.publisher);
    redis_arg(a, held->claim.proto);
    redis_arg(a, held->lost ? "lost" : "live");
    next_args(a, held->msn);
    next_args(a, held->dsn);
    redis_arg_i64(a, held->tracks);
    redis_arg_i64(a, held->takeovers);
}

_Static_assert(3 + 1 + 2 * REDIS_RENEW_BATCH + 6 + 10 * REDIS_RENEW_BATCH <= REDIS_ARGS_MAX,
               "the words of one renewal");

static void renewed(struct redis *r, struct cluster_held *held, const redisReply *result,
                    int *restored)
{
    struct slice word = redis_text_at(result, 0);
    struct cluster_owner owner;
    if (slice_is(word, "FENCED")) {
        if (redis_owner_of(redis_text_at(result, 3), redis_text_at(result, 2),
                           redis_text_at(result, 4), redis_text_at(result, 1), slice_of(NULL, 0),
                           &owner))
            cluster_backend_fenced(r->cluster, held, &owner);
        return;
    }
    if (slice_is(word, "RESTORED") && held->registered) {
        METRIC_INC(r->worker->metrics.claims_restored_total);
        (*restored)++;
    }
    if (slice_is(word, "RESTORED") && !held->registered)
        log_info(r->log, "claim.registered stream=%s epoch=%" PRIu64, held->claim.name,
                 held->epoch);
    held->registered = true;
}

static void checked(struct redis *r, uint64_t round);

static void on_renewed(const redisReply *reply, void *arg)
{
    struct renewing *q = arg;
    struct redis *r = q->redis;
    int restored = 0;
    if (redis_is_error(reply))
        redis_refused(r, "renew", reply);
    for (size_t i = 0; redis_is_array(reply, q->count) && i < q->count; i++) {
        struct cluster_held *held = cluster_backend_held(r->cluster, q->claims[i].name);
        if (held != NULL && held->epoch == q->claims[i].epoch)
            renewed(r, held, redis_element(reply, i), &restored);
    }
    if (restored > 0)
        log_warn(r->log, "claim.restored count=%d", restored);
    uint64_t round = q->round;
    free(q);
    if (round != 0 && reply != NULL)
        checked(r, round);
}

static void renew(struct redis *r, struct cluster_held *const *batch, size_t count, uint64_t round)
{
    struct renewing *q = xcalloc(1, sizeof *q);
    struct redis_args a;
    q->redis = r;
    q->round = round;
    q->count = count;
    renew_header(r, count, &a);
    for (size_t i = 0; i < count; i++) {
        slice_copy(slice_text(batch[i]->claim.name), q->claims[i].name, sizeof q->claims[i].name);
        q->claims[i].epoch = batch[i]->epoch;
        redis_arg_join(&a, r->keys.stream, batch[i]->claim.name);
        redis_arg_join(&a, r->keys.next, batch[i]->claim.name);
    }
    renew_self(r, &a);
    for (size_t i = 0; i < count; i++)
        renew_one(batch[i], &a);
    int err = redis_script_send(r, SCRIPT_RENEW, &a, on_renewed, q);
    redis_args_fini(&a);
    if (err < 0)
        free(q);
}

void redis_claim_changed(void *state, struct cluster_held *held)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    redis_mesh_changed(r, held);
    renew(r, &held, 1, 0);
}

void redis_on_renew_time(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    struct list *all = cluster_backend_held_list(r->cluster);
    struct cluster_held *batch[REDIS_RENEW_BATCH];
    size_t count = 0;
    while (count < REDIS_RENEW_BATCH && r->renew_left > 0 && !list_empty(all)) {
        struct cluster_held *held = LIST_FIRST(all, struct cluster_held, node);
        /* Behind all others: the round goes on with the next. */
        list_remove(&held->node);
        list_append(all, &held->node);
        batch[count++] = held;
        r->renew_left--;
    }
    if (count == 0 || !redis_conn_is_up(r->cmd))
        return;
    renew(r, batch, count, 0);
    if (r->renew_left > 0)
        timer_set_us(&r->renew, r->renew_gap_us);
}

void redis_renew_all(struct redis *r)
{
    r->renew_left = cluster_backend_held_count(r->cluster);
    size_t batches = (r->renew_left + REDIS_RENEW_BATCH - 1) / REDIS_RENEW_BATCH;
    if (batches == 0)
        return;
    int64_t spread_ms = r->config->cluster.heartbeat_ms / 2;
    if (spread_ms > REDIS_RENEW_SPREAD_MS)
        spread_ms = REDIS_RENEW_SPREAD_MS;
    r->renew_gap_us = spread_ms * 1000 / (int64_t)batches;
    timer_stop(&r->renew);
    redis_on_renew_time(r);
}

/* --- all at once, for one who has to know --- */

static void check(struct redis *r)
{
    const struct list *all = cluster_backend_held_list(r->cluster);
    struct cluster_held *batch[REDIS_RENEW_BATCH], *held;
    size_t count = 0;
    r->check_round++;
    r->checks_left = 0;
    LIST_EACH (held, all, node) {
        batch[count++] = held;
        if (count < REDIS_RENEW_BATCH && held->node.next != all)
            continue;
        r->checks_left++;
        renew(r, batch, count, r->check_round);
        count = 0;
    }
}

static void checked(struct redis *r, uint64_t round)
{
    if (round != r->check_round || --r->checks_left > 0)
        return;
    r->checking = false;
    cluster_backend_revalidated(r->cluster);
}

void redis_check_again(struct redis *r)
{
    if (r->checking)
        check(r);
}

void redis_revalidate(void *state)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    r->checking = true;
    if (redis_conn_is_up(r->cmd))
        check(r);
}
