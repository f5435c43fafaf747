/*
 * Claims in Redis.  The scripts decide; what is here asks them, and knows what to do when they do
 * not answer: a publisher never waits for Redis longer than one deadline, its claim is registered
 * later by a renewal.
 */
#include "cluster/redis_internal.h"

#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACQUIRE_TRIES_MAX 2 /* a second one when the script found our idea of its clock wrong */

static const char *const policy_words[] = {
    [TAKEOVER_SAME] = "same", [TAKEOVER_REJECT] = "reject", [TAKEOVER_REPLACE] = "replace"};

/* --- acquire --- */

struct acquiring {
    struct redis *redis;
    struct cluster_request *request; /* NULL: the probe */
    const struct cluster_claim *claim;
    int64_t deadline_us; /* by Redis' clock; 0: none */
    int tries;
};

/* Elements of the script's answer. */
enum {
    A_VERDICT,
    A_EPOCH,
    A_WAIT,
    A_NODE,
    A_INSTANCE,
    A_ADDR,
    A_OWNER_EPOCH,
    A_MSN,
    A_DSN,
    A_NEXT_EPOCH,
    A_TAKEOVERS,
    A_COUNT
};

static bool is_displacing(const struct redis *r, const struct cluster_claim *claim)
{
    return claim->owner_gone ||
           (claim->policy == TAKEOVER_REPLACE && r->config->cluster.takeover != TAKEOVER_REPLACE);
}

static void acquire_args(struct redis *r, const struct cluster_claim *claim, int64_t deadline_us,
                         struct redis_args *a)
{
    const struct cluster_self *self = cluster_self(r->cluster);
    redis_script_args(a, 4);
    redis_arg_join(a, r->keys.stream, claim->name);
    redis_arg(a, r->keys.epoch);
    redis_arg(a, r->keys.version);
    redis_arg_join(a, r->keys.next, claim->name);
    redis_arg(a, self->node);
    redis_arg_instance(a, self->instance);
    redis_arg(a, claim->session);
    redis_arg(a, claim->publisher);
    redis_arg(a, self->relay_address);
    redis_arg(a, claim->proto);
    redis_arg_i64(a, r->config->cluster.lease_ms);
    redis_arg(a, policy_words[claim->policy]);
    redis_arg_u64(a, claim->floor < REDIS_EPOCH_MAX ? claim->floor : REDIS_EPOCH_MAX);
    redis_arg_i64(a, deadline_us);
    redis_arg(a, r->keys.events);
    redis_arg(a, claim->name);
    redis_arg(a, is_displacing(r, claim) ? "1" : "0");
    redis_arg_i64(a, REDIS_NEXT_TTL_MS);
}

static void acquire_away(struct acquiring *q)
{
    /* Above whatever the script may still have granted before its deadline. */
    cluster_backend_answer_unregistered(q->request, (uint64_t)q->deadline_us);
    free(q);
}

static bool read_verdict(struct slice word, enum claim_verdict *out)
{
    static const struct {
        const char *word;
        enum claim_verdict verdict;
    } rows[] = {{"OK", CLAIM_GRANTED}, {"BUSY", CLAIM_BUSY}, {"HOLD", CLAIM_HOLD}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!slice_is(word, rows[i].word))
            continue;
        *out = rows[i].verdict;
        return true;
    }
    return false;
}

static int64_t read_number(struct slice text)
{
    uint64_t v;
    return slice_u64(text, INT64_MAX, &v) == 0 ? (int64_t)v : 0;
}

static bool read_claimed(const redisReply *reply, struct cluster_claimed *out, int *takeovers)
{
    *out = (struct cluster_claimed){0};
    if (!redis_is_array(reply, A_COUNT) ||
        !read_verdict(redis_text_at(reply, A_VERDICT), &out->verdict) ||
        !redis_epoch_parse(redis_text_at(reply, A_EPOCH), &out->epoch))
        return false;
    redis_owner_of(redis_text_at(reply, A_NODE), redis_text_at(reply, A_INSTANCE),
                   redis_text_at(reply, A_ADDR), redis_text_at(reply, A_OWNER_EPOCH),
                   slice_of(NULL, 0), &out->owner);
    out->wait_ms = read_number(redis_text_at(reply, A_WAIT));
    out->next_msn = redis_next_parse(redis_text_at(reply, A_MSN));
    out->next_dsn = redis_next_parse(redis_text_at(reply, A_DSN));
    redis_epoch_parse(redis_text_at(reply, A_NEXT_EPOCH), &out->next_epoch);
    *takeovers = (int)read_number(redis_text_at(reply, A_TAKEOVERS));
    return true;
}

/* A script can fail after it has written (a right is missing): the record says whether it did. */
static void on_reread(const redisReply *reply, void *arg)
{
    struct acquiring *q = arg;
    char instance[17];
    snprintf(instance, sizeof instance, "%016" PRIx64, cluster_self(q->redis->cluster)->instance);
    struct cluster_claimed claimed = {
        .verdict = CLAIM_GRANTED, .next_msn = CLUSTER_NEXT_NONE, .next_dsn = CLUSTER_NEXT_NONE};
    bool ours = slice_is(redis_text_at(reply, 0), q->claim->session) &&
                slice_is(redis_text_at(reply, 1), instance) &&
                redis_epoch_parse(redis_text_at(reply, 2), &claimed.epoch);
    if (!ours) {
        acquire_away(q);
        return;
    }
    cluster_backend_answer_claim(q->request, &claimed, 0);
    free(q);
}

static void reread(struct acquiring *q)
{
    struct redis *r = q->redis;
    struct redis_args a;
    redis_args_init(&a);
    redis_arg(&a, "HMGET");
    redis_arg_join(&a, r->keys.stream, q->claim->name);
    redis_arg_list(&a, (const char *const[]){"session", "instance", "epoch", NULL});
    if (redis_send(r, &a, on_reread, q) < 0)
        acquire_away(q);
}

static void try_acquire(struct acquiring *q);

static void on_acquired(const redisReply *reply, void *arg)
{
    struct acquiring *q = arg;
    struct cluster_claimed claimed;
    int takeovers;
    if (reply == NULL) {
        acquire_away(q);
        return;
    }
    if (slice_is(redis_text_at(reply, A_VERDICT), "LATE")) {
        redis_set_clock(q->redis, read_number(redis_text_at(reply, A_EPOCH)));
        try_acquire(q);
        return;
    }
    if (read_claimed(reply, &claimed, &takeovers)) {
        cluster_backend_answer_claim(q->request, &claimed, takeovers);
        free(q);
        return;
    }
    redis_refused(q->redis, "acquire", reply);
    reread(q);
}

static void try_acquire(struct acquiring *q)
{
    struct redis *r = q->redis;
    if (q->tries++ == ACQUIRE_TRIES_MAX) {
        acquire_away(q);
        return;
    }
    int64_t now_us = redis_now_us(r);
    q->deadline_us = now_us > 0 ? now_us + (int64_t)REDIS_COMMAND_MS * 1000 : 0;
    struct redis_args a;
    acquire_args(r, q->claim, q->deadline_us, &a);
    int err = redis_script_send(r, SCRIPT_ACQUIRE, &a, on_acquired, q);
    redis_args_fini(&a);
    if (err == 0)
        return;
    q->deadline_us = 0; /* nothing is under way */
    acquire_away(q);
}

void redis_acquire(void *state, const struct cluster_claim *claim, struct cluster_request *request)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    struct acquiring *q = xcalloc(1, sizeof *q);
    q->redis = r;
    q->request = request;
    q->claim = claim;
    try_acquire(q);
}

/* --- release --- */

static void next_args(struct redis_args *a, int64_t v)
{
    if (v == CLUSTER_NEXT_NONE)
        redis_arg(a, "");
    else
        redis_arg_i64(a, v);
}

static void release_args(struct redis *r, const char *name, uint64_t epoch, int64_t msn,
                         int64_t dsn, const char *why, struct redis_args *a)
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
    struct releasing *q = xcalloc(1, sizeof *q);
    *q = (struct releasing){r, request};
    struct redis_args a;
    release_args(r, held->claim.name, held->epoch, held->msn, held->dsn, why, &a);
    int err = redis_script_send(r, SCRIPT_RELEASE, &a, on_released, q);
    redis_args_fini(&a);
    if (err < 0)
        on_released(NULL, q);
}

/* --- renew --- */

struct renewing {
    struct redis *redis;
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
    free(q);
}

static void renew(struct redis *r, struct cluster_held *const *batch, size_t count)
{
    struct renewing *q = xcalloc(1, sizeof *q);
    struct redis_args a;
    q->redis = r;
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
    renew(r, &held, 1);
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
    renew(r, batch, count);
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

/* --- the probe --- */

static void probe_name(const struct redis *r, char out[NAME_STREAM_MAX + 1])
{
    snprintf(out, NAME_STREAM_MAX + 1, REDIS_PROBE_PREFIX "%s", cluster_self(r->cluster)->node);
}

static void probe_over(struct redis *r, const redisReply *reply, bool ok)
{
    r->probing = false;
    if (ok)
        r->accepted = true;
    else if (reply != NULL)
        redis_refused(r, "probe", reply);
}

static void on_probe_released(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    probe_over(r, reply, reply != NULL && reply->type == REDIS_REPLY_INTEGER);
}

static void on_probe_acquired(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    struct cluster_claimed claimed;
    int takeovers;
    if (!read_claimed(reply, &claimed, &takeovers)) {
        probe_over(r, reply, false);
        return;
    }
    char name[NAME_STREAM_MAX + 1];
    probe_name(r, name);
    struct redis_args a;
    release_args(r, name, claimed.epoch, CLUSTER_NEXT_NONE, CLUSTER_NEXT_NONE, "probe", &a);
    if (redis_script_send(r, SCRIPT_RELEASE, &a, on_probe_released, r) < 0)
        r->probing = false;
    redis_args_fini(&a);
}

void redis_probe(struct redis *r)
{
    if (r->accepted || r->probing || !role_ingests(r->config->node.role))
        return;
    struct cluster_claim claim = {
        .session = "probe", .proto = "probe", .policy = TAKEOVER_REPLACE, .owner_gone = true};
    probe_name(r, claim.name);
    struct redis_args a;
    acquire_args(r, &claim, 0, &a);
    r->probing = redis_script_send(r, SCRIPT_ACQUIRE, &a, on_probe_acquired, r) == 0;
    redis_args_fini(&a);
}
