/*
 * The cluster in Redis: a directory that everybody writes his own part of.  This file: lifetime,
 * the connection for commands coming and going, and what to do when Redis refuses us.
 */
#include "cluster/redis_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FATAL_TEXT_MAX 512

int64_t redis_now_us(const struct redis *r)
{
    return r->clock_known ? clock_us() + r->clock_offset_us : 0;
}

void redis_set_clock(struct redis *r, int64_t now_us)
{
    r->clock_offset_us = now_us - clock_us();
    r->clock_known = true;
}

int redis_send(struct redis *r, struct redis_args *a, redis_done *done, void *arg)
{
    int err = redis_conn_command(r->cmd, a, done, arg);
    redis_args_fini(a);
    return err;
}

/* --- refusals --- */

/* What is refused now is a setting's fault, not the moment's. */
static bool is_starting(const struct redis *r)
{
    return !(r->accepted && r->heard) && !r->closing &&
           clock_us() - r->start_us < (int64_t)REDIS_START_MS * 1000;
}

static void tell_refusal(struct redis *r, const char *what, const char *text)
{
    if (is_starting(r)) {
        char fatal[FATAL_TEXT_MAX];
        snprintf(fatal, sizeof fatal,
                 "cluster.redis: %s refused: %s (the user and rights a node needs: docs/redis.md, "
                 "ACL SETUSER %s)",
                 what, text, role_ingests(r->config->node.role) ? "origin" : "edge");
        cluster_backend_fatal(r->cluster, fatal);
        return;
    }
    if (log_limit_pass(&r->refused_limit, clock_us(), r->log))
        log_warn(r->log, "redis.refused what=%s error=\"%s\"", what, text);
}

void redis_refused(struct redis *r, const char *what, const redisReply *reply)
{
    enum redis_error_kind kind = redis_error_kind(reply);
    /* An answer that is no error and cannot be understood is a refusal, too. */
    if (kind == REDIS_ERROR_REFUSED || kind == REDIS_ERROR_NONE) {
        tell_refusal(r, what, redis_error_text(reply));
        return;
    }
    if (log_limit_pass(&r->refused_limit, clock_us(), r->log))
        log_warn(r->log, "redis.unready what=%s error=\"%s\"", what, redis_error_text(reply));
}

static void on_untrusted(const char *text, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (is_starting(r)) {
        char fatal[FATAL_TEXT_MAX];
        snprintf(fatal, sizeof fatal, "cluster.redis: TLS: %s (docs/redis.md, TLS)", text);
        cluster_backend_fatal(r->cluster, fatal);
    } else if (log_limit_pass(&r->refused_limit, clock_us(), r->log)) {
        log_warn(r->log, "redis.untrusted error=\"%s\"", text);
    }
}

static void on_greeting_refused(const char *text, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    tell_refusal(r, "connection", text);
}

/* --- the connection for commands --- */

static void on_memory(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    struct slice text = redis_text(reply);
    static const char any[] = "maxmemory_policy:", good[] = "maxmemory_policy:noeviction";
    if (text.len > 0 && memmem(text.p, text.len, any, sizeof any - 1) != NULL &&
        memmem(text.p, text.len, good, sizeof good - 1) == NULL)
        log_warn(r->log, "redis.evicts text=\"maxmemory-policy may evict leases; "
                         "use noeviction\"");
}

static void check_memory(struct redis *r)
{
    if (r->memory_checked)
        return;
    r->memory_checked = true;
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"INFO", "memory", NULL});
    redis_send(r, &a, on_memory, r);
}

static void on_up(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    cluster_backend_set_up(r->cluster, true);
    METRIC_SET(r->worker->metrics.redis_up, 1);
    r->nodes_read_us = 0;
    r->announced = false;
    if (r->sentinel != NULL && redis_conn_is_up(r->sub))
        redis_conn_move(r->sub, redis_conn_address(r->cmd));
    check_memory(r);
    redis_heartbeat(r);
    redis_check_again(r);
    redis_resync(r);
}

static void on_down(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    cluster_backend_set_up(r->cluster, false);
    METRIC_SET(r->worker->metrics.redis_up, 0);
    r->probing = false;
    redis_interest_clear(r);
}

/* Sentinel's hint; ROLE has the last word. */
static void on_moved(const char *address, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    redis_conn_move(r->cmd, address);
    redis_conn_move(r->sub, address);
}

static const struct redis_sentinel_events sentinel_events = {.on_moved = on_moved};
static const struct redis_conn_events cmd_events = {.on_up = on_up,
                                                    .on_down = on_down,
                                                    .on_refused = on_greeting_refused,
                                                    .on_untrusted = on_untrusted};
static const struct redis_conn_events sub_events = {.on_up = redis_sub_up,
                                                    .on_down = redis_sub_down,
                                                    .on_push = redis_sub_push,
                                                    .on_refused = on_greeting_refused,
                                                    .on_untrusted = on_untrusted};

/* --- lifetime --- */

static int open_tls(struct redis *r, char error[CONFIG_ERROR_MAX])
{
    const struct config *c = r->config;
    const struct tls_client_options o = {
        .ca = c->cluster.redis.tls_ca, .certificate = c->tls.certificate, .key = c->tls.key};
    char why[TLS_ERROR_MAX];
    int err = tls_client_new(&r->tls, &o, why);
    if (err < 0)
        snprintf(error, CONFIG_ERROR_MAX, "cluster.redis: TLS: %s", why);
    return err;
}

static int read_settings(struct redis *r, char error[CONFIG_ERROR_MAX])
{
    const char *why;
    if (redis_url_parse(r->config->cluster.redis.url, &r->url, &why) < 0) {
        snprintf(error, CONFIG_ERROR_MAX, "cluster.redis.url: %s is not valid", why);
        return ERR_TYPE;
    }
    if (redis_keys_init(&r->keys, r->config->cluster.name) < 0) {
        snprintf(error, CONFIG_ERROR_MAX, "cluster.name: cannot be part of a Redis key");
        return ERR_NAME;
    }
    return r->url.tls ? open_tls(r, error) : 0;
}

static void on_close_time(void *arg);

static void init_timers(struct redis *r)
{
    struct worker *w = r->worker;
    timer_init(&r->heartbeat, w, "redis.heartbeat", redis_on_heartbeat_time, r);
    timer_init(&r->renew, w, "redis.renew", redis_on_renew_time, r);
    timer_init(&r->interest, w, "redis.interest", redis_on_interest_time, r);
    timer_init(&r->interest_batch, w, "redis.interest", redis_on_interest_batch, r);
    timer_init(&r->holes_wait, w, "redis.holes", redis_on_holes_time, r);
    timer_init(&r->node_event, w, "redis.nodes", redis_on_node_event_time, r);
    timer_init(&r->ping, w, "redis.ping", redis_on_ping_time, r);
    timer_init(&r->ping_wait, w, "redis.ping", redis_on_ping_wait, r);
    timer_init(&r->close, w, "redis.close", on_close_time, r);
}

static void use_sentinel(struct redis *r)
{
    const struct text_list *sentinels = &r->config->cluster.redis.sentinels;
    if (sentinels->count == 0)
        return;
    r->sentinel = redis_sentinel_new(r->worker, sentinels, r->config->cluster.redis.master,
                                     r->client, r->log, &sentinel_events, r);
    redis_sentinel_set_tls(r->sentinel, r->tls);
    redis_conn_set_finder(r->cmd, redis_sentinel_find, r->sentinel, true);
    redis_conn_set_finder(r->sub, redis_sentinel_find, r->sentinel, true);
}

static int redis_open(struct cluster *c, void **state, char error[CONFIG_ERROR_MAX])
{
    struct redis *r = xcalloc(1, sizeof *r);
    r->magic = REDIS_MAGIC;
    r->cluster = c;
    r->worker = cluster_worker(c);
    r->config = r->worker->config;
    r->log = cluster_backend_log(c);
    int err = read_settings(r, error);
    if (err < 0) {
        free(r);
        return err;
    }
    const char *node = cluster_self(c)->node;
    snprintf(r->client, sizeof r->client, "sluice-%s", node);
    snprintf(r->to_self, sizeof r->to_self, "%s%s", r->keys.to, node);
    r->cmd = redis_conn_new(r->worker, &r->url, "redis", r->client, &cmd_events, r);
    r->sub = redis_conn_new(r->worker, &r->url, "redis.sub", r->client, &sub_events, r);
    redis_conn_set_tls(r->cmd, r->tls);
    redis_conn_set_tls(r->sub, r->tls);
    use_sentinel(r);
    init_timers(r);
    *state = r;
    return redis_mesh_open(r, error);
}

static void redis_start(void *state)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    r->start_us = clock_us();
    redis_conn_start(r->cmd);
    redis_conn_start(r->sub);
    if (r->sentinel != NULL)
        redis_sentinel_start(r->sentinel);
    redis_on_heartbeat_time(r);
    redis_on_interest_time(r);
    if (r->mesh != NULL)
        mesh_start(r->mesh);
}

static void stop_timers(struct redis *r)
{
    struct timer *all[] = {&r->heartbeat,      &r->renew,      &r->interest,
                           &r->interest_batch, &r->holes_wait, &r->node_event,
                           &r->ping,           &r->ping_wait,  &r->close};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        timer_stop(all[i]);
}

static void closed(struct redis *r)
{
    if (r->on_closed == NULL)
        return;
    void (*on_closed)(void *arg) = r->on_closed;
    r->on_closed = NULL;
    stop_timers(r);
    redis_conn_stop(r->cmd);
    on_closed(r->on_closed_arg);
}

static void on_close_time(void *arg)
{
    closed(OBJ_CAST(struct redis, arg, REDIS_MAGIC));
}

/* Outside of the connection's own code, which is still on the stack. */
static void on_quit(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (r->on_closed != NULL)
        timer_set_us(&r->close, 0);
}

static void on_left(const redisReply *reply, void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    struct redis_args a;
    redis_args_init(&a);
    redis_arg(&a, "QUIT");
    redis_conn_set_quiet(r->cmd);
    if (r->on_closed != NULL && redis_send(r, &a, on_quit, r) < 0)
        on_quit(NULL, r);
    redis_args_fini(&a);
}

static void redis_close(void *state, void (*on_closed)(void *arg), void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    r->closing = true;
    r->on_closed = on_closed;
    r->on_closed_arg = arg;
    stop_timers(r);
    if (r->mesh != NULL)
        mesh_leave(r->mesh);
    redis_interest_clear(r);
    redis_conn_stop(r->sub);
    if (r->sentinel != NULL)
        redis_sentinel_stop(r->sentinel);
    timer_set_ms(&r->close, REDIS_CLOSE_MS);
    if (redis_conn_is_up(r->cmd))
        redis_leave(r, on_left);
    else
        on_quit(NULL, r);
}

static void redis_stop(void *state)
{
    struct redis *r = OBJ_CAST(struct redis, state, REDIS_MAGIC);
    r->closing = true;
    closed(r);
    redis_conn_stop(r->sub);
    redis_conn_stop(r->cmd);
}

static void redis_free(void **state)
{
    struct redis *r = OBJ_CAST(struct redis, *state, REDIS_MAGIC);
    *state = NULL;
    mesh_free(&r->mesh);
    redis_stop(r); /* what is called back still looks at both connections */
    redis_conn_free(&r->cmd);
    redis_conn_free(&r->sub);
    redis_sentinel_free(&r->sentinel);
    tls_free(&r->tls);
    redis_interest_clear(r);
    redis_node_list_free(&r->nodes);
    stop_timers(r);
    OBJ_POISON(r);
    free(r);
}

static struct tls_context *redis_tls(void *state)
{
    return ((const struct redis *)state)->tls;
}

const struct cluster_backend cluster_backend_redis = {
    .name = "redis",
    .open = redis_open,
    .start = redis_start,
    .acquire = redis_acquire,
    .release = redis_release,
    .claim_changed = redis_claim_changed,
    .revalidate = redis_revalidate,
    .lookup = redis_lookup,
    .watch = redis_watch,
    .nodes = redis_nodes,
    .self_changed = redis_self_changed,
    .send = redis_send_request,
    .close = redis_close,
    .stop = redis_stop,
    .free = redis_free,
    .granted = redis_granted,
    .fenced = redis_fenced,
    .write_set = redis_write_set,
    .tls = redis_tls,
};
