/*
 * Taking claims in Redis.  The script decides; what is here asks it, and knows what to do when it
 * does not answer: a publisher never waits for Redis longer than one deadline, its claim is
 * registered later by a renewal.
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
    redis_mesh_answer_claim(q->redis, q->claim, (uint64_t)q->deadline_us, q->request);
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
    redis_release_args(r, name, claimed.epoch, CLUSTER_NEXT_NONE, CLUSTER_NEXT_NONE, "probe", &a);
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
