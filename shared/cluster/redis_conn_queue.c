/* The commands of a connection, in order, and their replies. */
#include "cluster/redis_conn_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cluster/redis_error.h"
#include "core/clock.h"

#include <stdlib.h>

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

void redis_queue_send(struct redis_conn *c, const struct redis_args *a, redis_done *done, void *arg)
{
    if (transmit(c, a) == 0)
        remember(c, &c->pending, done, arg);
}

void redis_queue_flush(struct redis_conn *c)
{
    list_splice(&c->pending, &c->early);
    struct slice bytes = buf_slice(&c->early_bytes);
    if (bytes.len > 0)
        (void)io_write(c->io, bytes.p, bytes.len);
    buf_consume(&c->early_bytes, bytes.len);
    set_deadline(c);
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

void redis_queue_fail(struct redis_conn *c)
{
    buf_consume(&c->early_bytes, buf_len(&c->early_bytes));
    fail_list(c, &c->pending);
    fail_list(c, &c->early);
}

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

void redis_queue_read(struct redis_conn *c)
{
    while (read_reply(c))
        ;
    if (c->io != NULL && (c->state == CONN_UP || c->state == CONN_GREETING))
        set_deadline(c);
}
