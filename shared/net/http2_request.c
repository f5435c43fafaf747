/*
 * Requests: a head becomes one of HTTP/1.1 and is judged by its reader, so that what is refused
 * there is refused here; then the handler is called, when the body is there or, where the route
 * wants that, before.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/http2_connection.h"
#include "net/http_intake.h"
#include "net/listener.h"

#include <stdlib.h>

/* Bytes of `head` beside the headers: the request line's and Host's own. */
#define HEAD_EXTRA 64

struct http2_stream *http2_stream_new(struct http2_connection *c, int32_t id)
{
    struct http2_stream *s = xcalloc(1, sizeof *s);
    s->x = (struct http_exchange){.magic = HTTP_EXCHANGE_MAGIC,
                                  .protocol = &http2_protocol,
                                  .server = c->server,
                                  .worker = c->worker,
                                  .peer = io_peer(c->io),
                                  .log = &c->log};
    s->c = c;
    s->id = id;
    for (int i = 0; i < HTTP2_PSEUDO_COUNT; i++)
        buf_init(&s->pseudo[i], HTTP1_LINE_MAX);
    buf_init(&s->head, HTTP1_HEAD_MAX + HEAD_EXTRA);
    buf_init(&s->body, HTTP_BODY_MAX);
    buf_init(&s->out, HTTP_STREAM_QUEUE_MAX);
    list_init(&s->ready_node);
    list_append(&c->streams, &s->node);
    s->deadline_us = clock_us() + c->server->times.head_ms * 1000;
    http2_wake_by(c, s->deadline_us);
    return s;
}

static void drop_request(struct http2_stream *s)
{
    for (int i = 0; i < HTTP2_PSEUDO_COUNT; i++)
        buf_fini(&s->pseudo[i]);
    buf_fini(&s->head);
}

static void drop_content(struct http2_stream *s)
{
    s->offer = NULL;
    s->offer_left = 0;
    http_content_release(&s->content);
}

void http2_stream_free(struct http2_stream *s)
{
    struct http2_connection *c = s->c;
    list_remove(&s->node);
    list_remove(&s->ready_node);
    c->answer_bytes -= s->answer_bytes;
    if (list_empty(&c->streams))
        c->idle_by_us = clock_us() + c->server->times.idle_ms * 1000;
    if (c->answer_bytes < HTTP2_ANSWERS_MAX)
        list_splice(&c->ready, &c->waiting);
    drop_request(s);
    drop_content(s);
    buf_fini(&s->body);
    buf_fini(&s->out);
    OBJ_POISON(&s->x);
    free(s);
}

void http2_stream_gone(struct http2_stream *s, enum close_reason why)
{
    drop_content(s);
    if (!http2_stream_open(s))
        return;
    s->phase = HTTP2_ANSWERED;
    http_exchange_tell_gone(&s->x, why);
    OBJ_POISON(&s->x);
}

/* Heads. */

static bool is_visible(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    }
    return s.len > 0;
}

/* Nothing that would end the line it is written on. */
static bool is_one_line(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
            return false;
    }
    return true;
}

static void refuse_head(struct http2_stream *s, int status)
{
    if (s->refusal == 0)
        s->refusal = status;
}

static void take_pseudo(struct http2_stream *s, struct slice name, struct slice value)
{
    static const char *const names[] = {
        [HTTP2_METHOD] = ":method", [HTTP2_PATH] = ":path", [HTTP2_AUTHORITY] = ":authority"};
    for (int i = 0; i < HTTP2_PSEUDO_COUNT; i++) {
        if (!slice_is(name, names[i]))
            continue;
        if (!is_visible(value) || buf_len(&s->pseudo[i]) > 0)
            refuse_head(s, 400);
        else if (buf_append(&s->pseudo[i], value.p, value.len) < 0)
            refuse_head(s, i == HTTP2_PATH ? 414 : 400);
    }
}

/* The request line and Host, now that what they are made of is there. */
static void begin_head(struct http2_stream *s)
{
    struct slice method = buf_slice(&s->pseudo[HTTP2_METHOD]);
    struct slice path = buf_slice(&s->pseudo[HTTP2_PATH]);
    struct slice authority = buf_slice(&s->pseudo[HTTP2_AUTHORITY]);
    if (s->begun)
        return;
    s->begun = true;
    if (method.p == NULL || path.p == NULL || (path.p[0] != '/' && !slice_is(path, "*"))) {
        refuse_head(s, 400);
        return;
    }
    s->x.head_only = slice_is(method, "HEAD");
    int err = buf_printf(&s->head, "%.*s %.*s HTTP/1.1\r\n", SLICE_ARG(method), SLICE_ARG(path));
    if (err == 0 && authority.len > 0)
        err = buf_printf(&s->head, "Host: %.*s\r\n", SLICE_ARG(authority));
    if (err < 0)
        refuse_head(s, 431);
}

static void add_line(struct http2_stream *s, struct slice name, struct slice value)
{
    struct buf *b = &s->head;
    bool is_host = slice_is(name, "host") && s->pseudo[HTTP2_AUTHORITY].data != NULL;
    if (is_host && slice_eq(value, buf_slice(&s->pseudo[HTTP2_AUTHORITY])))
        return; /* the same said twice */
    if (!is_one_line(name) || !is_one_line(value))
        refuse_head(s, 400);
    else if (buf_append(b, name.p, name.len) < 0 || buf_append(b, ": ", 2) < 0 ||
             buf_append(b, value.p, value.len) < 0 || buf_append(b, "\r\n", 2) < 0)
        refuse_head(s, 431);
}

void http2_request_header(struct http2_stream *s, struct slice name, struct slice value)
{
    s->head_bytes += name.len + value.len + HTTP2_FIELD_OVERHEAD;
    if (s->head_bytes > HTTP1_HEAD_MAX)
        refuse_head(s, slice_is(name, ":path") ? 414 : 431);
    if (s->refusal != 0)
        return;
    if (name.len > 0 && name.p[0] == ':') {
        take_pseudo(s, name, value);
        return;
    }
    begin_head(s);
    if (s->refusal == 0)
        add_line(s, name, value);
}

void http2_request_head_ended(struct http2_stream *s)
{
    if (s->refusal == 0)
        begin_head(s);
    if (s->refusal == 0 && buf_append(&s->head, "\r\n", 2) < 0)
        refuse_head(s, 431);
    s->phase = HTTP2_BODY;
}

/* Bodies. */

void http2_request_body(struct http2_stream *s, struct slice bytes)
{
    if (s->refusal != 0 || s->phase == HTTP2_ANSWERED)
        return;
    s->window_bytes += bytes.len;
    if (buf_append(&s->body, bytes.p, bytes.len) == 0) {
        if (s->body_open)
            http2_stream_ready(s);
        return;
    }
    refuse_head(s, 413);
    http2_stream_ready(s);
}

/* An http_take. */
static ssize_t take(struct slice bytes, void *arg)
{
    struct http2_stream *s = arg;
    if (s->x.ops == NULL || s->x.ops->on_body == NULL)
        return (ssize_t)bytes.len;
    ssize_t n = s->x.ops->on_body(&s->x, bytes, s->x.owner);
    return http2_stream_open(s) ? n : ERR_CLOSED;
}

static void refuse_body(struct http2_stream *s)
{
    bool streaming = s->phase == HTTP2_STREAMING;
    http2_stream_gone(s, CLOSE_BAD_INPUT);
    if (streaming)
        nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    else
        http2_refuse(s, 400);
}

static void body_ended(struct http2_stream *s)
{
    s->body_open = false;
    if (buf_len(&s->body) > 0)
        refuse_body(s);
    else if (s->x.ops != NULL && s->x.ops->on_body_end != NULL)
        s->x.ops->on_body_end(&s->x, s->x.owner);
}

static void hand_on(struct http2_stream *s)
{
    if (s->paused)
        return;
    struct slice bytes = buf_slice(&s->body);
    ssize_t n = bytes.len > 0 ? http_offer(bytes, s->unread_max, take, s) : 0;
    if (!http2_stream_open(s) || s->c->closed)
        return;
    if (n < 0) {
        refuse_body(s);
        return;
    }
    buf_consume(&s->body, (size_t)n);
    if (!s->closed && s->window_bytes > 0)
        nghttp2_session_consume_stream(s->c->session, s->id, s->window_bytes);
    s->window_bytes = 0;
    if (s->all_come && !s->paused)
        body_ended(s);
}

/* Handling. */

static void call_handler(struct http2_stream *s, const struct http_route *route,
                         struct http_request *req)
{
    listener_established(s->c->io);
    if (s->c->server->locals[s->c->worker->index].retired)
        http2_say_goaway(s->c);
    s->deadline_us = 0;
    s->phase = HTTP2_HANDLING;
    s->in_handler = true;
    http_route_request(&s->x, route, req);
    s->in_handler = false;
}

static void handle_early(struct http2_stream *s, const struct http_route *route,
                         struct http_request *req)
{
    req->body_follows = s->body_open = true;
    s->unread_max = route->body_unread_max;
    s->body.max = s->unread_max + HTTP2_STREAM_WINDOW;
    call_handler(s, route, req);
}

/* 0, or the status that refuses the request. */
static int handle(struct http2_stream *s)
{
    LEFT_AS_IT_IS char path[HTTP1_LINE_MAX];
    struct http1_request head;
    struct http_request req;
    struct slice text = buf_slice(&s->head);
    ssize_t n = http1_request_read(text.p, text.len, &head);
    if (n != (ssize_t)text.len)
        return n < 0 ? http1_refusal_status((int)n) : 400;
    int status = http_request_of(&head, s->x.peer, path, &req);
    if (status != 0)
        return status;
    const struct http_route *route = http_route_find(s->c->server, &req);
    bool no_length = http1_header_value(&head.fields, "content-length").p == NULL;
    if (route != NULL && route->body_unread_max > 0 && no_length && !s->all_come) {
        handle_early(s, route, &req);
    } else if (s->all_come) {
        req.body = buf_slice(&s->body);
        call_handler(s, route, &req);
    } else if (head.fields.content_length > HTTP_BODY_MAX) {
        return 413;
    }
    return 0;
}

static void request_step(struct http2_stream *s)
{
    struct http2_connection *c = s->c;
    if (s->refusal == 0 && s->all_come && c->answer_bytes >= HTTP2_ANSWERS_MAX) {
        s->deadline_us = 0;
        list_append(&c->waiting, &s->ready_node);
        return;
    }
    if (s->refusal == 0)
        s->refusal = handle(s);
    if (s->refusal != 0)
        http2_refuse(s, s->refusal);
    if (s->phase == HTTP2_BODY)
        return;
    drop_request(s);
    if (!s->body_open)
        buf_fini(&s->body);
}

void http2_request_step(struct http2_stream *s)
{
    if (s->phase == HTTP2_BODY)
        request_step(s);
    if (http2_stream_open(s) && s->body_open)
        hand_on(s);
}
