/*
 * One connection to Redis.
 *
 *   WAITING --retry--> FINDING --> RESOLVING --> CONNECTING --> GREETING --> UP
 *      ^                  |            |              |            |          |
 *      '------------------'------------'--------------'------------'----------'   lost()
 *
 * Finding: only with a finder (Sentinel); else the URL says where.  Greeting: AUTH, CLIENT SETNAME,
 * SELECT, ROLE (with a finder), PING; the answer to PING says that Redis is loaded and lets us in.
 * Commands given before UP wait in `early` and go out after the greeting.
 */
#include "cluster/redis_conn_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_retry(void *arg);
static void on_deadline(void *arg);
static void on_io(struct io *io, enum io_event ev, void *owner);

struct redis_conn *redis_conn_new(struct worker *w, const struct redis_url *url, const char *kind,
                                  const char *client, const struct redis_conn_events *events,
                                  void *arg)
{
    struct redis_conn *c = xcalloc(1, sizeof *c);
    c->magic = REDIS_CONN_MAGIC;
    c->worker = w;
    c->url = url;
    c->client = client;
    bool v6 = strchr(url->host, ':') != NULL;
    snprintf(c->address, sizeof c->address, "%s%s%s:%u", v6 ? "[" : "", url->host, v6 ? "]" : "",
             url->port);
    c->log = (struct log_id){.kind = kind, .worker = w->index, .id = log_new_id()};
    c->events = events;
    c->arg = arg;
    list_init(&c->pending);
    list_init(&c->early);
    buf_init(&c->early_bytes, REDIS_EARLY_MAX);
    timer_init(&c->deadline, w, "redis.deadline", on_deadline, c);
    timer_init(&c->retry, w, "redis.retry", on_retry, c);
    backoff_init(&c->backoff, REDIS_RETRY_STEP_MS, REDIS_RETRY_MAX_MS);
    return c;
}

void redis_conn_set_tls(struct redis_conn *c, struct tls_context *tls)
{
    must(c->state == CONN_STOPPED);
    c->tls = tls;
}

/* What is left of a connection goes; callbacks run last, when no command is taken any more. */
static void tear_down(struct redis_conn *c)
{
    bool was_up = c->state == CONN_UP;
    c->state = CONN_STOPPED;
    c->lost = true;
    io_free(&c->io);
    host_lookup_cancel(&c->lookup);
    if (c->reader != NULL)
        redisReaderFree(c->reader);
    c->reader = NULL;
    c->scan = (struct redis_scan){0};
    c->push = false;
    timer_stop(&c->deadline);
    timer_stop(&c->retry);
    redis_queue_fail(c);
    if (was_up && c->events->on_down != NULL)
        c->events->on_down(c->arg);
}

static void lost(struct redis_conn *c, const char *why)
{
    /* One line for a loss, not one for each try after it. */
    LOG_AT(c->lost || c->quiet ? LOG_DEBUG : LOG_WARN, &c->log,
           "redis.lost address=%s error=\"%s\"", c->address, why);
    if (c->state == CONN_UP && clock_us() - c->up_us > REDIS_STABLE_US)
        backoff_reset(&c->backoff);
    tear_down(c);
    c->state = CONN_WAITING;
    timer_set_ms(&c->retry, backoff_next_ms(&c->backoff));
}

void redis_conn_set_quiet(struct redis_conn *c)
{
    OBJ_CHECK(c, REDIS_CONN_MAGIC);
    c->quiet = true;
}

void redis_conn_set_finder(struct redis_conn *c, redis_find *find, void *arg, bool master)
{
    must(c->state == CONN_STOPPED);
    c->find = find;
    c->find_arg = arg;
    c->master = master;
}

void redis_conn_drop(struct redis_conn *c, const char *why)
{
    OBJ_CHECK(c, REDIS_CONN_MAGIC);
    if (c->state != CONN_STOPPED && c->state != CONN_WAITING)
        lost(c, why);
}

void redis_conn_move(struct redis_conn *c, const char *address)
{
    OBJ_CHECK(c, REDIS_CONN_MAGIC);
    bool there = c->state >= CONN_RESOLVING && strcmp(c->address, address) == 0;
    if (c->state == CONN_STOPPED || there)
        return;
    redis_conn_drop(c, "the master is elsewhere");
    backoff_reset(&c->backoff);
    timer_set_us(&c->retry, 0);
}

const char *redis_conn_address(const struct redis_conn *c)
{
    return c->address;
}

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->state == CONN_UP;
}

static void on_deadline(void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    const char *connecting = c->tls != NULL ? "no TLS connection in time" : "not connected in time";
    lost(c, c->state == CONN_UP ? "no answer in time" : connecting);
}

/* --- connecting --- */

static void failed(struct redis_conn *c)
{
    char why[TLS_ERROR_MAX];
    snprintf(why, sizeof why, "%s", io_error_text(c->io));
    if (io_error(c->io) == ERR_TLS && c->state != CONN_UP && c->events->on_untrusted != NULL)
        c->events->on_untrusted(why, c->arg);
    redis_conn_drop(c, why);
}

static void on_io(struct io *io, enum io_event ev, void *owner)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, owner, REDIS_CONN_MAGIC);
    must(io == c->io);
    switch (ev) {
    case IO_CONNECTED:
        redis_conn_greet(c);
        return;
    case IO_DATA:
        redis_queue_read(c);
        return;
    case IO_DRAINED:
        return;
    case IO_CLOSED:
        lost(c, "closed by Redis");
        return;
    case IO_TIMEOUT:
    case IO_FAILED:
        failed(c);
        return;
    }
}

/* Redis has to show that it is the host we looked for. */
static void start_tls(struct redis_conn *c)
{
    char host[sizeof c->address];
    struct slice port, name = slice_text(c->address);
    if (c->address[0] == '[')
        name = slice_cut(slice_text(c->address + 1), ']', &port, NULL);
    else
        name = slice_cut(name, ':', &port, NULL);
    must(slice_copy(name, host, sizeof host));
    io_start_tls(c->io, c->tls, host);
}

static void on_resolved(const struct net_address *to, void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    c->lookup = NULL;
    if (to == NULL) {
        lost(c, "the host name was not found");
        return;
    }
    c->state = CONN_CONNECTING;
    c->io = io_connect(c->worker, to, on_io, c);
    if (c->io == NULL) {
        lost(c, "no socket");
        return;
    }
    if (c->tls != NULL)
        start_tls(c);
    io_set_limits(c->io, REDIS_IN_MAX, REDIS_OUT_MAX);
}

static void resolve(struct redis_conn *c)
{
    c->state = CONN_RESOLVING;
    c->lookup = host_lookup_start(c->worker, c->address, on_resolved, c);
}

void redis_conn_found(struct redis_conn *c, const char *address)
{
    OBJ_CHECK(c, REDIS_CONN_MAGIC);
    if (c->state != CONN_FINDING)
        return;
    snprintf(c->address, sizeof c->address, "%s", address);
    c->missed = true;
    resolve(c);
}

static void connect_now(struct redis_conn *c)
{
    timer_set_ms(&c->deadline, REDIS_COMMAND_MS);
    if (c->find == NULL) {
        resolve(c);
        return;
    }
    c->state = CONN_FINDING;
    c->find(c, c->missed, c->find_arg);
}

static void on_retry(void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    connect_now(c);
}

void redis_conn_start(struct redis_conn *c)
{
    must(c->state == CONN_STOPPED);
    c->lost = false;
    connect_now(c);
}

void redis_conn_stop(struct redis_conn *c)
{
    OBJ_CHECK(c, REDIS_CONN_MAGIC);
    tear_down(c);
}

void redis_conn_free(struct redis_conn **cp)
{
    struct redis_conn *c = *cp;
    *cp = NULL;
    if (c == NULL)
        return;
    redis_conn_stop(c);
    timer_fini(&c->deadline);
    timer_fini(&c->retry);
    buf_fini(&c->early_bytes);
    OBJ_POISON(c);
    free(c);
}
