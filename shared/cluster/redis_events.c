/*
 * The subscribed connection.  Subscribe, wait for the confirmation, then read: whatever changes
 * after the read is heard.  Since a connection can be dead without a word, we publish to ourselves
 * and make another when we do not hear it; this never says anything about our health.
 */
#include "cluster/redis_internal.h"

#include "base/obj.h"
#include "core/clock.h"

#include <string.h>

#define PING_MS      5000
#define PING_WAIT_MS 2000
#define PING_VERB    "ping"

static void subscribe(struct redis *r, const char *channel)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"SUBSCRIBE", channel, NULL});
    redis_conn_subscribe(r->sub, &a);
    redis_args_fini(&a);
}

void redis_sub_up(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    r->subscribe_answers = 0;
    r->ping_refused = false;
    r->events_on = r->to_on = false;
    /* Two commands: a node that may not hear requests still hears events. */
    subscribe(r, r->keys.events);
    subscribe(r, r->to_self);
}

void redis_sub_down(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    r->events_on = r->to_on = false;
    timer_stop(&r->ping);
    timer_stop(&r->ping_wait);
}

/* --- hearing ourselves --- */

static void on_pinged(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (!redis_is_error_word(reply, "NOPERM"))
        return;
    log_warn(r->log, "redis.selfcheck.off error=\"%s\"", reply->str);
    r->ping_refused = true;
    timer_stop(&r->ping_wait);
}

void redis_on_ping_time(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (r->ping_refused)
        return;
    timer_set_ms(&r->ping, PING_MS);
    struct buf text;
    buf_init(&text, REDIS_LINE_MAX);
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"PUBLISH", r->to_self, NULL});
    int err = redis_request_print(&text, PING_VERB, "", cluster_self(r->cluster)->node);
    redis_arg_slice(&a, buf_slice(&text));
    r->ping_heard = false;
    if (err == 0 && redis_conn_is_up(r->cmd) && redis_send(r, &a, on_pinged, r) == 0)
        timer_set_ms(&r->ping_wait, PING_WAIT_MS);
    redis_args_fini(&a);
    buf_fini(&text);
}

void redis_on_ping_wait(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (!r->ping_heard && redis_conn_is_up(r->cmd))
        redis_conn_drop(r->sub, "did not hear itself");
}

/* --- what comes in --- */

static void on_confirmed(struct redis *r, struct slice channel)
{
    r->subscribe_answers++;
    if (slice_is(channel, r->keys.events)) {
        r->events_on = r->heard = true;
        redis_resync(r);
    }
    if (slice_is(channel, r->to_self)) {
        r->to_on = true;
        timer_set_us(&r->ping, 0);
    }
}

static void on_event(struct redis *r, struct slice text)
{
    struct redis_event e;
    if (!redis_event_parse(text, &e))
        return;
    if (e.version > 0)
        redis_version_heard(r, e.version);
    switch (e.kind) {
    case REDIS_EVENT_OWN:
    case REDIS_EVENT_END:
        if (strncmp(e.stream, REDIS_PROBE_PREFIX, strlen(REDIS_PROBE_PREFIX)) != 0)
            cluster_backend_news(r->cluster, e.stream, &e.owner, CLUSTER_NEWS_EVENT);
        return;
    case REDIS_EVENT_NODE:
    case REDIS_EVENT_DRAIN:
        redis_node_changed(r, e.owner.node);
        return;
    }
}

static void on_request(struct redis *r, struct slice text)
{
    struct redis_request q;
    if (!redis_request_parse(text, &q))
        return;
    if (strcmp(q.verb, PING_VERB) != 0) {
        cluster_backend_request(r->cluster, q.verb, q.stream);
        return;
    }
    r->ping_heard = true;
    timer_stop(&r->ping_wait);
}

/* The first SUBSCRIBE is the one to events. */
static void on_subscribe_refused(struct redis *r, const redisReply *reply)
{
    if (r->subscribe_answers++ > 0) {
        if (log_limit_pass(&r->refused_limit, clock_us(), r->log))
            log_warn(r->log, "redis.selfcheck.off error=\"%s\"", reply->str);
        return;
    }
    redis_refused(r, "subscribe", reply);
    redis_conn_drop(r->sub, "the subscription was refused");
}

void redis_sub_push(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (redis_is_error(reply)) {
        on_subscribe_refused(r, reply);
        return;
    }
    struct slice kind = redis_text_at(reply, 0), channel = redis_text_at(reply, 1);
    if (slice_is(kind, "subscribe"))
        on_confirmed(r, channel);
    if (!slice_is(kind, "message"))
        return;
    if (slice_is(channel, r->keys.events))
        on_event(r, redis_text_at(reply, 2));
    else if (slice_is(channel, r->to_self))
        on_request(r, redis_text_at(reply, 2));
}
