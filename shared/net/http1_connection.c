/*
 * HTTP/1.1 connections: bytes -> request head, body -> exchange -> handler -> answer -> next
 * request.
 *
 * A request stays unread in the io until it is complete, so its head and body are slices of the
 * io's bytes (a chunked body is decoded beside them); one request at a time is answered.  A
 * connection ends in http1_connection_close() or by io_close_after_flush(), and is freed at the end
 * of a turn, when neither a handler nor this code is on the stack.
 */
#include "net/http1_connection.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/http2_connection.h"
#include "net/listener.h"

#include <stdlib.h>

static void on_io(struct io *io, enum io_event ev, void *owner);
static void on_turn(void *arg);
static void connection_read(struct http1_connection *c);

/* Connections and exchanges. */

void http1_accept(struct http_server *s, struct worker *w, struct io *io)
{
    struct http1_connection *c = xcalloc(1, sizeof *c);
    c->magic = HTTP1_CONNECTION_MAGIC;
    c->server = s;
    c->worker = w;
    c->io = io;
    c->log = (struct log_id){"http", w->index, log_new_id()};
    task_init(&c->turn, on_turn, c);
    buf_init(&c->body, HTTP_BODY_MAX);
    list_append(&s->locals[w->index].http1, &c->node);
    io_set_limits(io, HTTP1_HEAD_MAX + 2 * HTTP_BODY_MAX, HTTP_STREAM_QUEUE_MAX);
    io_deadline(io, s->times.head_ms);
    io_set_handler(io, on_io, c);
}

static struct http1_exchange *exchange_new(struct http1_connection *c,
                                           const struct http1_request *head)
{
    struct http1_exchange *x = xcalloc_line(sizeof *x);
    x->x = (struct http_exchange){.magic = HTTP_EXCHANGE_MAGIC,
                                  .protocol = &http1_protocol,
                                  .server = c->server,
                                  .worker = c->worker,
                                  .peer = io_peer(c->io),
                                  .log = &c->log,
                                  .head_only = slice_is(head->method, "HEAD")};
    x->c = c;
    x->io = c->io;
    x->old = head->fields.minor == 0;
    return x;
}

void http1_exchange_free(struct http1_exchange **xp)
{
    OBJ_POISON(&(*xp)->x);
    free(*xp);
    *xp = NULL;
}

static void connection_free(struct http1_connection *c)
{
    task_cancel(&c->turn);
    io_free(&c->io);
    buf_fini(&c->body);
    http_intake_fini(&c->intake);
    OBJ_POISON(c);
    free(c);
}

void http1_exchange_gone(struct http1_connection *c, enum close_reason why)
{
    if (c->exchange == NULL)
        return;
    http_exchange_tell_gone(&c->exchange->x, why);
    http1_exchange_free(&c->exchange);
}

void http1_connection_close(struct http1_connection *c, enum close_reason why)
{
    if (c->closed)
        return;
    c->closed = true;
    c->state = HTTP_ENDING;
    log_debug(&c->log, "http.closed reason=%s", close_reason_name(why));
    io_close(c->io);
    http_content_release(&c->content);
    list_remove(&c->node);
    http1_exchange_gone(c, why);
    task_defer(c->worker, &c->turn);
}

void http1_end_all(struct http_local *local)
{
    struct http1_connection *c;
    while ((c = LIST_FIRST(&local->http1, struct http1_connection, node)) != NULL) {
        http1_connection_close(c, CLOSE_DRAIN);
        connection_free(c);
    }
}

static void drain(struct http1_connection *c)
{
    c->close_after = true;
    if (c->state == HTTP_READING || (c->exchange != NULL && !c->in_handler))
        http1_connection_close(c, CLOSE_DRAIN);
}

/* Who has not asked yet came a moment ago, and gets an answer. */
static void retire(struct http1_connection *c)
{
    if (c->state == HTTP_READING && c->served && io_data(c->io).len == 0)
        http1_connection_close(c, CLOSE_DRAIN);
}

static void each_of(struct http_local *local, void (*fn)(struct http1_connection *c))
{
    struct list all = LIST_INIT(all);
    struct http1_connection *c;
    list_splice(&all, &local->http1);
    while ((c = LIST_FIRST(&all, struct http1_connection, node)) != NULL) {
        list_remove(&c->node);
        list_append(&local->http1, &c->node);
        fn(c);
    }
}

void http1_retire(struct http_server *s, struct worker *w)
{
    each_of(&s->locals[w->index], retire);
}

void http1_drain(struct http_server *s, struct worker *w)
{
    each_of(&s->locals[w->index], drain);
}

/* Reading a request. */

static int refusal_status(struct slice in, int err)
{
    bool long_line = err == ERR_TOO_LARGE &&
                     memchr(in.p, '\n', in.len < HTTP1_LINE_MAX ? in.len : HTTP1_LINE_MAX) == NULL;
    return long_line ? 414 : http1_refusal_status(err);
}

/* Bytes of a request are there, the rest is not: from the first of them the clock runs. */
static void wait_for_more(struct http1_connection *c)
{
    if (c->partial)
        return;
    c->partial = true;
    if (c->served)
        io_deadline(c->io, c->server->times.head_ms);
}

/* The most likely reason of such bytes is a setting, here or there. */
static void tell_tls(struct http1_connection *c, struct slice in)
{
    char text[NET_ADDRESS_TEXT_MAX];
    if (in.p[0] != 22 || !log_limit_pass(&c->worker->peer_limit, clock_us(), &c->log))
        return;
    net_address_text(io_peer(c->io), text);
    log_warn(&c->log, "http.tls name=%s peer=%s error=\"the peer speaks TLS, this port does not\"",
             c->server->name, text);
}

static bool read_head(struct http1_connection *c, struct http1_request *head)
{
    struct slice in = io_data(c->io);
    ssize_t n = http1_request_read(in.p, in.len, head);
    if (n == 0) {
        wait_for_more(c);
        return false;
    }
    if (n < 0) {
        tell_tls(c, in);
        http1_refuse(c, refusal_status(in, (int)n));
        return false;
    }
    if (head->fields.body == HTTP1_BODY_LENGTH && head->fields.content_length > HTTP_BODY_MAX) {
        http1_refuse(c, 413);
        return false;
    }
    c->head_len = c->raw_len = (size_t)n;
    c->body_kind = head->fields.body;
    c->body_len = (size_t)head->fields.content_length;
    c->chunks = (struct http1_chunks){0};
    return true;
}

/* The first bytes of a connection are those of HTTP/2, or may be. */
static bool is_http2(struct http1_connection *c)
{
    int known = c->server->http2 && !c->served ? http2_is_preface(io_data(c->io)) : ERR_PROTOCOL;
    if (known < 0)
        return false;
    if (known == 0) {
        wait_for_more(c);
        return true;
    }
    struct io *io = c->io;
    c->io = NULL;
    c->closed = true;
    c->state = HTTP_ENDING;
    list_remove(&c->node);
    task_defer(c->worker, &c->turn);
    http2_accept(c->server, c->worker, io);
    return true;
}

static void send_continue(struct http1_connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    /* When it cannot be queued the peer sends its body after a while, as it may. */
    (void)io_write(c->io, text, sizeof text - 1);
}

/* Handling it. */

static void call_handler(struct http1_connection *c, const struct http1_request *head,
                         const struct http_route *route, struct http_request *req)
{
    listener_established(c->io);
    io_deadline(c->io, 0);
    c->close_after = c->close_after || req->body_follows || !head->fields.keep_alive ||
                     c->server->locals[c->worker->index].retired;
    c->exchange = exchange_new(c, head);
    c->state = HTTP_HANDLING;
    c->in_handler = true;
    http_route_request(&c->exchange->x, route, req);
    c->in_handler = false;
}

static void handle(struct http1_connection *c, const struct http1_request *head)
{
    char path[HTTP1_LINE_MAX];
    struct http_request req;
    struct slice in = io_data(c->io);
    int status = http_request_of(head, io_peer(c->io), path, &req);
    if (status != 0) {
        http1_refuse(c, status);
        return;
    }
    req.body = c->body_kind == HTTP1_BODY_CHUNKED
                   ? buf_slice(&c->body)
                   : slice_of(in.p + c->head_len, c->raw_len - c->head_len);
    call_handler(c, head, http_route_find(c->server, &req), &req);
}

static void request_done(struct http1_connection *c)
{
    io_consume(c->io, c->raw_len);
    buf_consume(&c->body, buf_len(&c->body));
    c->head_len = c->raw_len = 0;
    c->partial = false;
    c->served = true;
}

/* A request whose body its handler takes as it comes; false when it is none. */
static bool handle_early(struct http1_connection *c, const struct http1_request *head)
{
    char path[HTTP1_LINE_MAX];
    struct http_request req;
    if (c->body_kind != HTTP1_BODY_CHUNKED || !c->server->has_early ||
        http_request_of(head, io_peer(c->io), path, &req) != 0)
        return false;
    const struct http_route *route = http_route_find(c->server, &req);
    if (route == NULL || route->body_unread_max == 0)
        return false;
    req.body_follows = c->body_open = true;
    http_intake_init(&c->intake, route->body_unread_max);
    if (head->fields.expect_continue)
        send_continue(c);
    call_handler(c, head, route, &req);
    request_done(c);
    return true;
}

/* Takes the next request when all of it is there. */
static void read_request(struct http1_connection *c)
{
    struct http1_request head;
    bool fresh = c->head_len == 0;
    if (is_http2(c))
        return;
    if (fresh && (!read_head(c, &head) || handle_early(c, &head)))
        return;
    if (!http1_body_collect(c)) {
        if (c->state != HTTP_READING)
            return;
        if (fresh && head.fields.expect_continue && c->raw_len == io_data(c->io).len)
            send_continue(c);
        wait_for_more(c);
        return;
    }
    if (!fresh) /* the bytes have moved since */
        must(http1_request_read(io_data(c->io).p, io_data(c->io).len, &head) ==
             (ssize_t)c->head_len);
    handle(c, &head);
    request_done(c);
}

static void ignore_input(struct http1_connection *c)
{
    size_t len = io_data(c->io).len;
    io_consume(c->io, len);
    c->ignored += len;
    if (c->ignored > HTTP1_IGNORED_MAX)
        http1_connection_close(c, CLOSE_BAD_INPUT);
}

static void connection_read(struct http1_connection *c)
{
    if (c->state == HTTP_READING && io_data(c->io).len > 0)
        read_request(c);
    if (c->exchange != NULL && c->body_open)
        http1_body_read(c);
    else if (c->state == HTTP_STREAMING)
        ignore_input(c);
    else if (c->state != HTTP_READING && !c->closed && io_data(c->io).len > HTTP1_PIPELINE_MAX)
        io_pause(c->io);
}

/* After the answer. */

void http1_exchange_answered(struct http1_exchange *x, size_t answer_len)
{
    struct http1_connection *c = x->c;
    c->answer_ms = http_exchange_answer_ms(&x->x, answer_len);
    http1_exchange_free(&c->exchange);
    if (c->close_after && c->content.len == 0) {
        c->state = HTTP_ENDING;
        io_close_after_flush(c->io, c->answer_ms);
        return;
    }
    c->state = HTTP_ANSWERING;
    task_defer(c->worker, &c->turn); /* behind the io's own, which sends */
}

static void next_request(struct http1_connection *c)
{
    if (c->close_after) {
        c->state = HTTP_ENDING;
        io_close_after_flush(c->io, http_answer_ms(c->server, 0));
        return;
    }
    c->state = HTTP_READING;
    io_deadline(c->io, c->server->times.idle_ms);
    connection_read(c);
    if (c->state == HTTP_READING)
        io_resume(c->io);
}

/* Requests that came together are answered together, one write for all, for a while. */
static void next_requests(struct http1_connection *c)
{
    int64_t until_us = clock_us() + HTTP1_BATCH_US;
    do
        next_request(c);
    while (c->state == HTTP_ANSWERING && c->content.len == 0 && !c->closed &&
           io_queued(c->io) < HTTP1_BATCH_BYTES && clock_us() < until_us);
}

static void on_turn(void *arg)
{
    struct http1_connection *c = OBJ_CAST(struct http1_connection, arg, HTTP1_CONNECTION_MAGIC);
    if (c->closed) {
        connection_free(c);
    } else if (c->state == HTTP_STREAMING) { /* HEAD: the head was all */
        http1_exchange_gone(c, CLOSE_FINISHED);
        c->state = HTTP_ENDING;
        io_close_after_flush(c->io, HTTP_STREAM_LINGER_MS);
    } else if (c->state == HTTP_ANSWERING) {
        if (!http1_content_send(c) || io_queued(c->io) > 0)
            io_deadline(c->io, c->answer_ms);
        else
            next_requests(c);
    }
}

/* Events. */

static void drained(struct http1_connection *c)
{
    if (c->state == HTTP_ANSWERING) {
        if (http1_content_send(c))
            next_request(c);
        return;
    }
    struct http_exchange *x = c->state == HTTP_STREAMING ? &c->exchange->x : NULL;
    if (x != NULL && x->ops != NULL && x->ops->on_writable != NULL)
        x->ops->on_writable(x, x->owner);
}

static void peer_closed(struct http1_connection *c)
{
    if (c->state == HTTP_ANSWERING && c->content.len > 0) { /* it may still be reading */
        c->close_after = true;
        return;
    }
    if (c->state == HTTP_ANSWERING) {
        c->state = HTTP_ENDING;
        io_close_after_flush(c->io, c->answer_ms);
        return;
    }
    http1_connection_close(c, CLOSE_PEER_CLOSED);
}

static void timed_out(struct http1_connection *c)
{
    if (c->state == HTTP_READING && c->partial) {
        http_request_late(c->worker, io_peer(c->io));
        http1_refuse(c, 408);
    } else
        http1_connection_close(c, c->state == HTTP_READING ? CLOSE_TIMEOUT : CLOSE_STALLED);
}

static void failed(struct http1_connection *c)
{
    if (c->state == HTTP_READING && io_error(c->io) == ERR_TOO_LARGE)
        http1_refuse(c, 413);
    else
        http1_connection_close(c, io_close_reason(io_error(c->io)));
}

static void on_io(struct io *io, enum io_event ev, void *owner)
{
    struct http1_connection *c = OBJ_CAST(struct http1_connection, owner, HTTP1_CONNECTION_MAGIC);
    switch (ev) {
    case IO_DATA:
        connection_read(c);
        break;
    case IO_DRAINED:
        drained(c);
        break;
    case IO_CLOSED:
        peer_closed(c);
        break;
    case IO_TIMEOUT:
        timed_out(c);
        break;
    case IO_FAILED:
        failed(c);
        break;
    case IO_CONNECTED:
        break;
    }
}
