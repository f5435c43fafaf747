/*
 * request -> answer's body -> records -> states and frames to the owner; anything wrong -> the
 * connection is dropped and, after a wait, the request is made again from the place we are at.
 */
#include "edge/upstream.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "media/relay_frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define UPSTREAM_MAGIC 0x75707374U

/* --- losing and trying again --- */

static void forget_run(struct upstream *u)
{
    inforce_unref(&u->run.inforce);
    run_origin_unref(&u->run.origin);
    u->run = (struct upstream_run){0};
}

static void drop_call(struct upstream *u)
{
    for (size_t i = 0; i < UPSTREAM_TRIES_MAX; i++)
        relay_call_cancel(&u->tries[i].call);
    timer_stop(&u->more);
    u->link = NULL;
    if (u->up)
        relay_linked(u->client->links, u->peer.node, false);
    u->up = false;
    u->next_seq = 0;
}

void upstream_alive(struct upstream *u)
{
    u->alive_us = clock_us();
}

static int64_t wait_ms(struct upstream *u, enum close_reason why)
{
    int64_t ms = backoff_next_ms(&u->backoff);
    if (why == CLOSE_LOOP)
        return UPSTREAM_MAX_MS;
    bool alive = u->alive_us != 0 && clock_us() - u->alive_us < UPSTREAM_ALIVE_MS * 1000;
    if (alive && ms > UPSTREAM_HURRY_MS)
        ms = UPSTREAM_HURRY_MS;
    bool refused = u->status >= 400;
    return refused && ms < UPSTREAM_REFUSED_MS ? UPSTREAM_REFUSED_MS : ms;
}

static void fail(struct upstream *u, enum close_reason why)
{
    bool was_up = u->up;
    u->failed = true;
    drop_call(u);
    int64_t ms = wait_ms(u, why);
    log_info(&u->log, "upstream.down stream=%s node=%s reason=%s status=%d again_ms=%" PRId64,
             u->name, u->peer.node, close_reason_name(why), was_up ? 0 : u->status, ms);
    timer_set_ms(&u->again, ms);
    u->ops->on_down(u, why, u->arg);
}

void upstream_retry(struct upstream *u)
{
    if (!timer_is_set(&u->again))
        timer_set_ms(&u->again, wait_ms(u, CLOSE_FINISHED));
}

/* --- records --- */

/* The path names the nodes from the owner to the sender: with us in it, we would feed ourselves;
 * with as many as there may be hops, ours is one too many. */
static bool is_loop(const struct upstream *u, struct slice path)
{
    int nodes = 0;
    for (; path.len > 0; nodes++)
        if (slice_is(slice_cut(path, ',', &path, NULL), u->client->self->node))
            return true;
    return nodes > RELAY_HOPS_MAX;
}

static void take_numbers(struct upstream *u, const struct relay_state *s)
{
    struct run_origin *origin = run_origin_new(s->instance, s->path);
    u->run.plan = relay_plan_of(s);
    u->run.lost = s->lost;
    u->run.last_seq = s->last_seq;
    u->run.wall_us = s->has_date_base ? s->date_base_us : 0;
    if (run_origin_equal(origin, u->run.origin)) {
        run_origin_unref(&origin);
        return;
    }
    run_origin_unref(&u->run.origin);
    u->run.origin = origin;
}

static int take_state(struct upstream *u, const struct relay_state *s)
{
    bool same = u->up && s->epoch == u->run.epoch && s->instance == u->run.origin->instance;
    if (u->up && s->epoch < u->run.epoch)
        return ERR_RANGE;
    if (!same) {
        struct inforce *inforce;
        int err = relay_inforce_new(s, &inforce);
        if (err < 0)
            return err;
        forget_run(u);
        u->run.epoch = s->epoch;
        u->run.inforce = inforce;
        u->next_seq = 0;
        u->fresh = true;
    }
    take_numbers(u, s);
    if (!u->up)
        relay_linked(u->client->links, u->peer.node, true);
    u->up = true;
    u->failed = false;
    return u->ops->on_state(u, u->arg);
}

static int on_state(struct upstream *u, struct slice payload)
{
    struct relay_state *s = xcalloc(1, sizeof *s);
    int err = relay_state_decode(payload, s);
    if (err == 0 && is_loop(u, s->path)) {
        free(s);
        log_warn(&u->log, "upstream.loop stream=%s node=%s", u->name, u->peer.node);
        fail(u, CLOSE_LOOP);
        return 0;
    }
    if (err == 0)
        err = take_state(u, s);
    free(s);
    return err;
}

static int on_frame(struct upstream *u, const struct relay_record *rec)
{
    struct frame *f;
    if (!u->up || (u->next_seq != 0 && rec->seq != u->next_seq))
        return ERR_PROTOCOL;
    int err = relay_frame_new(&u->pool, rec, &f);
    if (err < 0)
        return err;
    u->next_seq = rec->seq + 1;
    relay_cut_give(&u->cut, f);
    err = u->ops->on_frame(u, &f, u->arg);
    frame_unref(&f);
    if (err == 0 && !u->closed) {
        u->fresh = false;
        backoff_reset(&u->backoff);
        METRIC_INC(u->worker->metrics.frames_pulled_total);
    }
    return err;
}

static int on_end(struct upstream *u, struct slice payload)
{
    struct relay_end end;
    int err = relay_end_decode(payload, &end);
    if (err < 0)
        return err;
    log_info(&u->log, "upstream.end stream=%s node=%s reason=%d text=%.*s", u->name, u->peer.node,
             end.reason, SLICE_ARG(end.text));
    bool known = end.reason >= RELAY_END_STREAM && end.reason <= RELAY_END_KICKED;
    drop_call(u);
    u->ops->on_over(u, known ? (enum relay_end_reason)end.reason : RELAY_END_STREAM, end.text,
                    u->arg);
    return 0;
}

static int on_record(struct upstream *u, const struct relay_record *rec)
{
    switch (rec->type) {
    case RELAY_STATE:
        return on_state(u, rec->payload);
    case RELAY_FRAME:
        return on_frame(u, rec);
    case RELAY_CUT:
        return relay_cut_take(&u->cut, rec);
    case RELAY_END:
        return on_end(u, rec->payload);
    case RELAY_GAP:
        u->anew = true;
        fail(u, CLOSE_GAP);
        return 0;
    case RELAY_KEEPALIVE:
    case RELAY_ACCEPTED:
    case RELAY_WANT_KEY:
    case RELAY_UNKNOWN:
        break;
    }
    return 0;
}

/* --- the call --- */

static enum close_reason refusal(int status)
{
    static const struct {
        int status;
        enum close_reason why;
    } table[] = {{401, CLOSE_AUTH}, {403, CLOSE_AUTH}, {404, CLOSE_NOT_FOUND}, {508, CLOSE_LOOP}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].why;
    return CLOSE_REFUSED;
}

/* The first that is answered is the link. */
static void on_head(struct relay_call *c, int status, void *owner)
{
    struct upstream_try *t = owner;
    struct upstream *u = OBJ_CAST(struct upstream, t->upstream, UPSTREAM_MAGIC);
    for (size_t i = 0; i < UPSTREAM_TRIES_MAX; i++)
        if (&u->tries[i] != t)
            relay_call_cancel(&u->tries[i].call);
    timer_stop(&u->more);
    u->link = t;
    u->status = status;
    u->anew = false;
    if (status == 508)
        log_warn(&u->log, "upstream.loop stream=%s node=%s", u->name, u->peer.node);
    if (status != 200)
        fail(u, refusal(status));
}

/* A record may end the link, or close it: then the rest is nobody's. */
static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct upstream_try *t = owner;
    struct upstream *u = OBJ_CAST(struct upstream, t->upstream, UPSTREAM_MAGIC);
    size_t used = 0;
    while (!u->closed && t->call == c) {
        struct relay_record rec;
        ssize_t n = relay_record_read(bytes.p + used, bytes.len - used, &rec);
        if (n == 0)
            return (ssize_t)used;
        int err = n < 0 ? (int)n : on_record(u, &rec);
        if (err < 0 && !u->closed && t->call == c) {
            log_warn(&u->log, "upstream.refused stream=%s node=%s error=\"%s\"", u->name,
                     u->peer.node, err_text(err));
            fail(u, CLOSE_BAD_INPUT);
        }
        used += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)bytes.len;
}

/* What one of several connections meets, the others would meet, too. */
static void on_call_end(enum close_reason why, void *owner)
{
    struct upstream_try *t = owner;
    struct upstream *u = OBJ_CAST(struct upstream, t->upstream, UPSTREAM_MAGIC);
    t->call = NULL;
    fail(u, why);
}

static void target_of(struct upstream *u, char out[RELAY_CALL_TARGET_MAX])
{
    uint64_t epoch, seq;
    bool resumes = !u->anew && u->ops->place(u, &epoch, &seq, u->arg);
    int n = snprintf(out, RELAY_CALL_TARGET_MAX, "/relay/v1/%s", u->name);
    if (resumes)
        n += snprintf(out + n, RELAY_CALL_TARGET_MAX - (size_t)n, "?from=%" PRIu64 ".%" PRIu64,
                      epoch, seq);
    must(n < RELAY_CALL_TARGET_MAX);
}

static struct upstream_try *free_try(struct upstream *u)
{
    for (size_t i = 0; i < UPSTREAM_TRIES_MAX; i++)
        if (u->tries[i].call == NULL)
            return &u->tries[i];
    return NULL;
}

static void start_try(struct upstream *u)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_call_end};
    struct upstream_try *t = free_try(u);
    if (t == NULL)
        return;
    char target[RELAY_CALL_TARGET_MAX];
    target_of(u, target);
    const struct relay_call_options o = {
        .address = u->peer.address,
        .peer = u->peer.node,
        .method = "GET",
        .target = target,
        .head_deadline_ms = UPSTREAM_HEAD_MS,
        .idle_ms = UPSTREAM_DEAD_MS,
        .unread_max = RELAY_RECORD_MAX,
    };
    log_debug(&u->log, "upstream.connect node=%s addr=%s target=%s", u->peer.node, u->peer.address,
              target);
    t->call = relay_call_start(u->worker, u->client, &o, &ops, t);
    timer_set_ms(&u->more, UPSTREAM_TRY_MS);
}

static void on_more(void *arg)
{
    struct upstream *u = OBJ_CAST(struct upstream, arg, UPSTREAM_MAGIC);
    for (size_t i = 0; i < UPSTREAM_TRIES_MAX; i++)
        if (u->tries[i].call != NULL && relay_call_is_connected(u->tries[i].call))
            return;
    start_try(u);
}

static void connect_now(void *arg)
{
    struct upstream *u = OBJ_CAST(struct upstream, arg, UPSTREAM_MAGIC);
    u->status = 0;
    if (u->tried)
        METRIC_INC(u->worker->metrics.pull_reconnects_total);
    else
        METRIC_INC(u->worker->metrics.pulls_total);
    u->tried = true;
    start_try(u);
}

struct upstream_peer upstream_peer_of(const struct cluster_owner *owner)
{
    struct upstream_peer p = {0};
    must(slice_copy(slice_text(owner->node), p.node, sizeof p.node) &&
         slice_copy(slice_text(owner->address), p.address, sizeof p.address));
    return p;
}

static void upstream_free(void *arg)
{
    struct upstream *u = OBJ_CAST(struct upstream, arg, UPSTREAM_MAGIC);
    timer_fini(&u->again);
    timer_fini(&u->more);
    frame_pool_fini(&u->pool);
    forget_run(u);
    OBJ_POISON(u);
    free(u);
}

struct upstream *upstream_open(struct worker *w, const struct relay_client *client,
                               const char *name, const struct cluster_owner *owner,
                               const struct upstream_peer *peer, const struct upstream_ops *ops,
                               void *arg)
{
    struct upstream *u = xcalloc(1, sizeof *u);
    u->magic = UPSTREAM_MAGIC;
    u->worker = w;
    u->client = client;
    u->ops = ops;
    u->arg = arg;
    u->log = (struct log_id){"upstream", w->index, log_new_id()};
    u->owner = *owner;
    u->peer = *peer;
    u->via = strcmp(peer->node, owner->node) != 0;
    for (size_t i = 0; i < UPSTREAM_TRIES_MAX; i++)
        u->tries[i].upstream = u;
    must(slice_copy(slice_text(name), u->name, sizeof u->name));
    backoff_init(&u->backoff, UPSTREAM_STEP_MS, UPSTREAM_MAX_MS);
    timer_init(&u->again, w, "upstream.connect", connect_now, u);
    timer_init(&u->more, w, "upstream.more", on_more, u);
    task_init(&u->reap, upstream_free, u);
    timer_set_ms(&u->again, backoff_next_ms(&u->backoff));
    return u;
}

void upstream_close(struct upstream **up)
{
    struct upstream *u = *up;
    *up = NULL;
    if (u == NULL)
        return;
    OBJ_CHECK(u, UPSTREAM_MAGIC);
    u->closed = true;
    drop_call(u);
    timer_stop(&u->again);
    task_defer(u->worker, &u->reap);
}
