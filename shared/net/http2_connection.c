/*
 * Connections: bytes in, turns of owners and frames, deadlines, the end.
 */
#include "net/http2_connection.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdlib.h>

static void on_io(struct io *io, enum io_event ev, void *owner);
static void on_turn(void *arg);

int http2_is_preface(struct slice bytes)
{
    size_t n = bytes.len < HTTP2_PREFACE_LEN ? bytes.len : HTTP2_PREFACE_LEN;
    _Static_assert(NGHTTP2_CLIENT_MAGIC_LEN == HTTP2_PREFACE_LEN, "RFC 9113, 3.4");
    if (n > 0 && memcmp(bytes.p, NGHTTP2_CLIENT_MAGIC, n) != 0)
        return ERR_PROTOCOL;
    return n == HTTP2_PREFACE_LEN ? 1 : 0;
}

/* Life. */

void http2_accept(struct http_server *s, struct worker *w, struct io *io)
{
    struct http2_connection *c = xcalloc(1, sizeof *c);
    c->magic = HTTP2_CONNECTION_MAGIC;
    c->server = s;
    c->worker = w;
    c->io = io;
    c->log = (struct log_id){"http2", w->index, log_new_id()};
    list_init(&c->streams);
    list_init(&c->ready);
    list_init(&c->waiting);
    task_init(&c->turn, on_turn, c);
    c->session = http2_session_new(c);
    c->noise_us = clock_us();
    c->idle_by_us = c->noise_us + s->times.head_ms * 1000;
    list_append(&s->locals[w->index].http2, &c->node);
    io_set_limits(io, IO_IN_MAX_DEFAULT, HTTP2_OUT_MAX);
    io_set_dead_peer(io, HTTP2_DEAD_PEER_MS);
    io_set_unsent_max(io, HTTP2_UNSENT_MAX);
    io_deadline(io, 0);
    http2_wake_by(c, c->idle_by_us);
    io_set_handler(io, on_io, c);
    task_defer(w, &c->turn); /* the server speaks first, too */
    METRIC_INC(w->metrics.http2_connections_total);
}

static void connection_free(struct http2_connection *c)
{
    struct http2_stream *s;
    task_cancel(&c->turn);
    nghttp2_session_del(c->session);
    while ((s = LIST_FIRST(&c->streams, struct http2_stream, node)) != NULL)
        http2_stream_free(s);
    io_free(&c->io);
    OBJ_POISON(c);
    free(c);
}

/* Owners may do anything while they hear of it, but no stream is freed here. */
static void all_gone(struct http2_connection *c, enum close_reason why)
{
    struct http2_stream *s;
    LIST_EACH (s, &c->streams, node) {
        http2_stream_gone(s, why);
    }
}

void http2_connection_close(struct http2_connection *c, enum close_reason why)
{
    if (c->closed)
        return;
    c->closed = true;
    log_debug(&c->log, "http2.closed reason=%s", close_reason_name(why));
    io_close(c->io);
    list_remove(&c->node);
    all_gone(c, why);
    task_defer(c->worker, &c->turn);
}

/* What is made goes out, then it closes. */
static void end(struct http2_connection *c, enum close_reason why)
{
    http2_pump(c);
    c->ending = true;
    log_debug(&c->log, "http2.end reason=%s", close_reason_name(why));
    all_gone(c, why);
    if (!c->closed)
        io_close_after_flush(c->io, HTTP_STREAM_LINGER_MS);
}

/* The peer learns why. */
static void refuse(struct http2_connection *c)
{
    bool noisy = c->error == ERR_TOO_MANY;
    bool lost = !noisy && c->error != ERR_PROTOCOL;
    if (lost) {
        http2_connection_close(c, io_close_reason(c->error));
        return;
    }
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_text(io_peer(c->io), text);
    if (log_limit_pass(&c->worker->peer_limit, clock_us(), &c->log))
        log_warn(&c->log, "http2.refused name=%s peer=%s error=\"%s\"", c->server->name, text,
                 noisy ? "a flood of frames that carry nothing" : err_text(c->error));
    METRIC_INC(c->worker->metrics.http2_refused_total);
    c->error = 0;
    nghttp2_session_terminate_session(c->session,
                                      noisy ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    end(c, CLOSE_BAD_INPUT);
}

/* Turns. */

void http2_stream_ready(struct http2_stream *s)
{
    if (list_empty(&s->ready_node))
        list_append(&s->c->ready, &s->ready_node);
    if (!s->c->running && !s->c->closed)
        task_defer(s->c->worker, &s->c->turn);
}

/* What a stream's owner is to hear. */
static void step(struct http2_stream *s)
{
    list_remove(&s->ready_node);
    if (s->closed) {
        http2_stream_gone(s, CLOSE_PEER_CLOSED);
        http2_stream_free(s);
        return;
    }
    http2_request_step(s);
    if (s->phase == HTTP2_STREAMING && s->x.head_only)
        http2_stream_gone(s, CLOSE_FINISHED);
    if (s->phase != HTTP2_STREAMING || !s->writable)
        return;
    s->writable = false;
    if (s->x.ops != NULL && s->x.ops->on_writable != NULL)
        s->x.ops->on_writable(&s->x, s->x.owner);
}

static bool is_alive(const struct http2_connection *c)
{
    return !c->closed && !c->ending && c->error == 0;
}

static void run_some(struct http2_connection *c)
{
    struct list now = LIST_INIT(now);
    struct http2_stream *s;
    list_splice(&now, &c->ready);
    while (is_alive(c) && (s = LIST_FIRST(&now, struct http2_stream, ready_node)) != NULL)
        step(s);
    list_splice(&c->ready, &now);
    if (is_alive(c))
        http2_pump(c);
}

void http2_run(struct http2_connection *c)
{
    enum { ROUNDS = 4 }; /* before other connections have their turn */
    if (c->running || c->closed || c->ending)
        return;
    c->running = true;
    int round = 0;
    do {
        run_some(c);
    } while (is_alive(c) && !list_empty(&c->ready) && ++round < ROUNDS);
    c->running = false;
    if (c->closed || c->ending)
        return;
    if (c->error != 0)
        refuse(c);
    else if (!list_empty(&c->ready))
        task_defer(c->worker, &c->turn);
    else if (nghttp2_session_want_read(c->session) == 0 &&
             nghttp2_session_want_write(c->session) == 0)
        end(c, c->draining ? CLOSE_DRAIN : CLOSE_BAD_INPUT);
    else if (list_empty(&c->streams))
        http2_wake_by(c, c->idle_by_us);
}

static void on_turn(void *arg)
{
    struct http2_connection *c = OBJ_CAST(struct http2_connection, arg, HTTP2_CONNECTION_MAGIC);
    if (c->closed)
        connection_free(c);
    else
        http2_run(c);
}

/* Deadlines: the io's timer is set to the first of them, and the others are looked at then. */

void http2_wake_by(struct http2_connection *c, int64_t at_us)
{
    int64_t left_ms = (at_us - clock_us() + 999) / 1000;
    if (c->ending || (c->wake_us != 0 && c->wake_us <= at_us))
        return;
    c->wake_us = at_us;
    io_deadline(c->io, left_ms > 0 ? left_ms : 1);
}

static void expire(struct http2_stream *s)
{
    s->deadline_us = 0;
    if (s->phase == HTTP2_HEAD || s->phase == HTTP2_BODY) {
        http_request_late(s->c->worker, io_peer(s->c->io));
        http2_refuse(s, 408);
        return;
    }
    nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
}

static void look_at_streams(struct http2_connection *c, int64_t now_us)
{
    struct http2_stream *s;
    LIST_EACH (s, &c->streams, node) {
        if (s->deadline_us != 0 && s->deadline_us <= now_us)
            expire(s);
        else if (s->deadline_us != 0)
            http2_wake_by(c, s->deadline_us);
    }
}

static void timed_out(struct http2_connection *c)
{
    int64_t now_us = clock_us();
    int64_t stuck_us = io_last_write_us(c->io) + c->server->times.answer_ms * 1000;
    c->wake_us = 0;
    if (c->blocked && stuck_us <= now_us) {
        http2_connection_close(c, CLOSE_STALLED);
        return;
    }
    if (c->blocked)
        http2_wake_by(c, stuck_us);
    look_at_streams(c, now_us);
    if (list_empty(&c->streams) && c->idle_by_us <= now_us) {
        nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
        end(c, CLOSE_TIMEOUT);
        return;
    }
    http2_run(c);
}

/* Events. */

static void read_some(struct http2_connection *c)
{
    struct slice in;
    while (is_alive(c) && (in = io_data(c->io)).len > 0) {
        size_t len = in.len < HTTP2_READ_STEP ? in.len : HTTP2_READ_STEP;
        ssize_t n = nghttp2_session_mem_recv(c->session, in.p, len);
        if (n < 0 && c->error == 0)
            c->error = n == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_PROTOCOL;
        io_consume(c->io, len);
        http2_run(c);
    }
}

static void on_io(struct io *io, enum io_event ev, void *owner)
{
    struct http2_connection *c = OBJ_CAST(struct http2_connection, owner, HTTP2_CONNECTION_MAGIC);
    switch (ev) {
    case IO_DATA:
        read_some(c);
        break;
    case IO_DRAINED:
        c->blocked = false;
        http2_run(c);
        break;
    case IO_CLOSED:
        http2_connection_close(c, CLOSE_PEER_CLOSED);
        break;
    case IO_TIMEOUT:
        timed_out(c);
        break;
    case IO_FAILED:
        http2_connection_close(c, io_close_reason(io_error(io)));
        break;
    case IO_CONNECTED:
        break;
    }
}

/* The end of the server. */

void http2_say_goaway(struct http2_connection *c)
{
    if (c->draining)
        return;
    c->draining = true;
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    task_defer(c->worker, &c->turn);
}

static void retire(struct http2_connection *c)
{
    if (!c->ending)
        http2_say_goaway(c);
}

static void drain(struct http2_connection *c)
{
    struct http2_stream *s;
    if (c->ending)
        return;
    LIST_EACH (s, &c->streams, node) {
        if (!http2_stream_open(s) || s->in_handler)
            continue;
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        http2_stream_gone(s, CLOSE_DRAIN);
    }
    http2_say_goaway(c);
    task_defer(c->worker, &c->turn);
}

static void each_of(struct http_local *local, void (*fn)(struct http2_connection *c))
{
    struct list all = LIST_INIT(all);
    struct http2_connection *c;
    list_splice(&all, &local->http2);
    while ((c = LIST_FIRST(&all, struct http2_connection, node)) != NULL) {
        list_remove(&c->node);
        list_append(&local->http2, &c->node);
        fn(c);
    }
}

void http2_retire(struct http_server *s, struct worker *w)
{
    each_of(&s->locals[w->index], retire);
}

void http2_drain(struct http_server *s, struct worker *w)
{
    each_of(&s->locals[w->index], drain);
}

void http2_end_all(struct http_local *local)
{
    struct http2_connection *c;
    while ((c = LIST_FIRST(&local->http2, struct http2_connection, node)) != NULL) {
        http2_connection_close(c, CLOSE_DRAIN);
        connection_free(c);
    }
}
