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
#include "cluster/redis_conn.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cluster/redis_error.h"
#include "core/clock.h"
#include "core/timer.h"
#include "net/io.h"
#include "net/resolve_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_CONN_MAGIC   0x72636f6eu
#define REDIS_EARLY_MAX    (1024 * 1024) /* bytes of commands that wait for the connection */
#define REDIS_STABLE_US    2000000 /* up for this long: the next loss is tried again at once */
#define REDIS_DEAD_PEER_MS 10000   /* TCP_USER_TIMEOUT */
#define REDIS_IN_MAX       (REDIS_REPLY_MAX + 65536)

enum conn_state {
    CONN_STOPPED,
    CONN_WAITING,
    CONN_FINDING,
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_GREETING,
    CONN_UP
};

struct pending {
    struct list node;
    redis_done *done;
    void *arg;
    int64_t deadline_us;
};

struct redis_conn {
    uint32_t magic;
    struct worker *worker;
    const struct redis_url *url;
    const char *client;
    struct tls_context *tls;                                  /* NULL: plain */
    char address[sizeof(((struct redis_url *)0)->host) + 16]; /* "HOST:PORT" */
    struct log_id log;
    const struct redis_conn_events *events;
    void *arg;
    redis_find *find;
    void *find_arg;
    bool master; /* ROLE is asked for */

    enum conn_state state;
    bool missed; /* since the last redis_conn_found it was not up */
    bool lost;   /* a connection or a try was lost and none is up: commands are not taken */
    bool opened; /* there was a connection before */
    bool quiet;
    bool push;
    int64_t up_us;
    struct io *io;
    struct host_lookup *lookup;
    struct redis_scan scan;
    redisReader *reader;

    struct list pending; /* sent, oldest first */
    struct list early;   /* not sent */
    struct buf early_bytes;
    size_t pending_count; /* both */
    struct timer deadline, retry;
    struct backoff backoff;
};

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

static void fail_list(struct redis_conn *c, struct list *from)
{
    struct list failed = LIST_INIT(failed);
    list_splice(&failed, from);
    struct pending *p, *tmp;
    LIST_EACH_SAFE (p, tmp, &failed, node) {
        list_remove(&p->node);
        c->pending_count--;
        if (p->done != NULL)
            p->done(NULL, p->arg);
        free(p);
    }
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
    buf_consume(&c->early_bytes, buf_len(&c->early_bytes));
    timer_stop(&c->deadline);
    timer_stop(&c->retry);
    fail_list(c, &c->pending);
    fail_list(c, &c->early);
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

/* --- commands --- */

static const struct pending *oldest(const struct redis_conn *c)
{
    const struct list *l = list_empty(&c->pending) ? &c->early : &c->pending;
    return LIST_FIRST(l, struct pending, node);
}

static void set_deadline(struct redis_conn *c)
{
    const struct pending *p = oldest(c);
    if (p == NULL) {
        if (c->state == CONN_UP)
            timer_stop(&c->deadline);
        return;
    }
    int64_t left_us = p->deadline_us - clock_us();
    timer_set_us(&c->deadline, left_us > 0 ? left_us : 0);
}

static void on_deadline(void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    const char *connecting = c->tls != NULL ? "no TLS connection in time" : "not connected in time";
    lost(c, c->state == CONN_UP ? "no answer in time" : connecting);
}

static void remember(struct redis_conn *c, struct list *to, redis_done *done, void *arg)
{
    struct pending *p = xcalloc(1, sizeof *p);
    p->done = done;
    p->arg = arg;
    p->deadline_us = clock_us() + (int64_t)REDIS_COMMAND_MS * 1000;
    bool first = oldest(c) == NULL;
    list_append(to, &p->node);
    c->pending_count++;
    /* While it connects the deadline of that stands. */
    if (first && c->state == CONN_UP)
        set_deadline(c);
}

/* Formats and sends now. */
static int transmit(struct redis_conn *c, const struct redis_args *a)
{
    char *wire;
    size_t len = redis_args_format(a, &wire);
    int err = io_write(c->io, wire, len);
    redisFreeCommand(wire);
    METRIC_INC(c->worker->metrics.redis_commands_total);
    return err;
}

static int keep_early(struct redis_conn *c, const struct redis_args *a)
{
    char *wire;
    size_t len = redis_args_format(a, &wire);
    int err = buf_append(&c->early_bytes, wire, len);
    redisFreeCommand(wire);
    METRIC_INC(c->worker->metrics.redis_commands_total);
    return err;
}

int redis_conn_command(struct redis_conn *c, const struct redis_args *a, redis_done *done,
                       void *arg)
{
    OBJ_CHECK(c, REDIS_CONN_MAGIC);
    if (c->lost || c->state == CONN_STOPPED)
        return ERR_CLOSED;
    must(!c->push);
    if (c->pending_count >= REDIS_PENDING_MAX)
        return ERR_TOO_MANY;
    bool up = c->state == CONN_UP;
    int err = up ? transmit(c, a) : keep_early(c, a);
    if (err < 0)
        return err == ERR_TOO_LARGE ? ERR_TOO_MANY : ERR_CLOSED;
    remember(c, up ? &c->pending : &c->early, done, arg);
    return 0;
}

void redis_conn_subscribe(struct redis_conn *c, const struct redis_args *a)
{
    must(c->state == CONN_UP && c->pending_count == 0);
    c->push = true;
    /* A failure is reported by the io as well. */
    (void)transmit(c, a);
}

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->state == CONN_UP;
}

/* --- greeting --- */

static void refused(struct redis_conn *c, const redisReply *reply)
{
    /* Reported first: the text is part of the reply. */
    if (c->events->on_refused != NULL)
        c->events->on_refused(reply->str, c->arg);
}

/* True when the step went well, or says the same as the PING behind it will. */
static bool step_passed(struct redis_conn *c, const redisReply *reply, const char *why)
{
    if (redis_error_kind(reply) != REDIS_ERROR_REFUSED)
        return true;
    refused(c, reply);
    redis_conn_drop(c, why);
    return false;
}

static void on_auth(const redisReply *reply, void *arg)
{
    step_passed(OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC), reply, "AUTH was refused");
}

static void on_select(const redisReply *reply, void *arg)
{
    step_passed(OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC), reply, "SELECT was refused");
}

static void on_role(const redisReply *reply, void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    if (reply == NULL || !step_passed(c, reply, "ROLE was refused") || redis_is_error(reply))
        return;
    if (!slice_is(redis_text_at(reply, 0), "master"))
        redis_conn_drop(c, "not the master");
}

static void come_up(struct redis_conn *c)
{
    c->state = CONN_UP;
    c->lost = false;
    c->missed = false;
    c->up_us = clock_us();
    LOG_AT(c->quiet ? LOG_DEBUG : LOG_INFO, &c->log, "redis.up address=%s", c->address);
    list_splice(&c->pending, &c->early);
    struct slice bytes = buf_slice(&c->early_bytes);
    if (bytes.len > 0)
        (void)io_write(c->io, bytes.p, bytes.len);
    buf_consume(&c->early_bytes, bytes.len);
    set_deadline(c);
    if (c->events->on_up != NULL)
        c->events->on_up(c->arg);
}

static void on_ping(const redisReply *reply, void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    if (reply == NULL || c->state != CONN_GREETING)
        return;
    enum redis_error_kind kind = redis_error_kind(reply);
    /* With errors of the moment it is up: what can be done is done, the rest later. */
    if (kind == REDIS_ERROR_NONE || kind == REDIS_ERROR_LATER) {
        come_up(c);
        return;
    }
    if (kind == REDIS_ERROR_REFUSED)
        refused(c, reply);
    redis_conn_drop(c, reply->str);
}

static void greet(struct redis_conn *c, redis_done *done, const char *const *words)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, words);
    if (transmit(c, &a) == 0)
        remember(c, &c->pending, done, c);
    redis_args_fini(&a);
}

static void start_greeting(struct redis_conn *c)
{
    const struct redis_url *u = c->url;
    if (c->opened && !c->quiet)
        METRIC_INC(c->worker->metrics.redis_reconnects_total);
    c->opened = true;
    c->state = CONN_GREETING;
    c->reader = redisReaderCreate();
    must(c->reader != NULL);
    io_set_dead_peer(c->io, REDIS_DEAD_PEER_MS);
    if (u->password[0] != '\0' && u->user[0] != '\0')
        greet(c, on_auth, (const char *const[]){"AUTH", u->user, u->password, NULL});
    else if (u->password[0] != '\0')
        greet(c, on_auth, (const char *const[]){"AUTH", u->password, NULL});
    greet(c, NULL, (const char *const[]){"CLIENT", "SETNAME", c->client, NULL});
    char db[8];
    snprintf(db, sizeof db, "%d", u->db);
    if (u->db != 0)
        greet(c, on_select, (const char *const[]){"SELECT", db, NULL});
    if (c->master)
        greet(c, on_role, (const char *const[]){"ROLE", NULL});
    greet(c, on_ping, (const char *const[]){"PING", NULL});
}

/* --- replies --- */

static void deliver(struct redis_conn *c, const redisReply *reply)
{
    bool fatal = c->state == CONN_UP && redis_error_ends_connection(reply);
    if (redis_is_error(reply) && redis_error_kind(reply) != REDIS_ERROR_RELOAD)
        METRIC_INC(c->worker->metrics.redis_errors_total);
    if (redis_is_error(reply) && c->state == CONN_GREETING)
        log_debug(&c->log, "redis.greeting error=\"%s\"", reply->str);
    struct pending *p = LIST_FIRST(&c->pending, struct pending, node);
    if (p == NULL && c->push) {
        c->events->on_push(reply, c->arg);
    } else if (p == NULL) {
        redis_conn_drop(c, "a reply that nobody asked for");
        return;
    } else {
        list_remove(&p->node);
        c->pending_count--;
        if (p->done != NULL)
            p->done(reply, p->arg);
        free(p);
    }
    if (fatal)
        redis_conn_drop(c, reply->str);
}

/* One reply out of the unread bytes; false when there is no whole one (or no connection) any more.
 */
static bool read_reply(struct redis_conn *c)
{
    struct io *io = c->io;
    struct slice in = io_data(io);
    ssize_t n = redis_scan(&c->scan, in.p, in.len);
    if (n == 0)
        return false;
    if (n < 0) {
        redis_conn_drop(c, err_text((int)n));
        return false;
    }
    redisReply *reply = redis_reply_parse(c->reader, slice_of(in.p, (size_t)n));
    if (reply == NULL) {
        redis_conn_drop(c, "a reply that cannot be read");
        return false;
    }
    io_consume(io, (size_t)n);
    deliver(c, reply);
    freeReplyObject(reply);
    return c->io == io;
}

static void on_bytes(struct redis_conn *c)
{
    while (read_reply(c))
        ;
    if (c->io != NULL && (c->state == CONN_UP || c->state == CONN_GREETING))
        set_deadline(c);
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
        start_greeting(c);
        return;
    case IO_DATA:
        on_bytes(c);
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
