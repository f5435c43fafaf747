/*
 * Answers: whole ones, which leave the connection free for the next request, and streams, which end
 * with it.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/json.h"
#include "net/http_internal.h"

#include <stdlib.h>

#define JSON_TYPE "application/json"

static const struct {
    int status;
    const char *code, *message;
} refusals[] = {
    {400, "bad_request", "the request is malformed"},
    {408, "timeout", "the request did not arrive in time"},
    {413, "too_large", "the request's body is too large"},
    {414, "uri_too_long", "the request's target is too long"},
    {431, "head_too_large", "the request's header is too large"},
    {501, "not_implemented", "the method is not known here"},
    {505, "version", "only HTTP/1.0 and HTTP/1.1 are spoken here"},
};

/* What decides about an answer's head besides its own headers. */
struct framing {
    bool close;
    bool old;     /* HTTP/1.0: staying is to be said */
    bool endless; /* no Content-Length; chunked unless the peer is too old for it */
    size_t body_len;
};

/* Writing heads. */

static const char *date_now(struct http_connection *c)
{
    struct http_local *local = http_local(c);
    int64_t now_s = clock_wall_us() / 1000000;
    if (local->date_s != now_s) {
        http1_date(now_s, local->date);
        local->date_s = now_s;
    }
    return local->date;
}

static void write_cors(struct wr *w, const struct http_server *s)
{
    if (s->cors_origin == NULL)
        return;
    http1_write_header(w, "Access-Control-Allow-Origin", slice_text(s->cors_origin));
    if (strcmp(s->cors_origin, "*") != 0)
        http1_write_header(w, "Vary", slice_text("Origin"));
    http1_write_header(
        w, "Access-Control-Expose-Headers",
        slice_text("Content-Length, Content-Range, Date, Age, ETag, Location, Link"));
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void write_head(struct wr *w, struct http_connection *c, int status,
                       const struct http_header *headers, size_t count, const struct framing *f)
{
    http1_write_status(w, status);
    http1_write_header(w, "Date", slice_text(date_now(c)));
    for (size_t i = 0; i < count; i++)
        http1_write_header(w, headers[i].name, headers[i].value);
    write_cors(w, c->server);
    if (!f->endless && status_has_body(status))
        http1_write_number(w, "Content-Length", f->body_len);
    if (f->endless && !f->old)
        http1_write_header(w, "Transfer-Encoding", slice_text("chunked"));
    if (f->close)
        http1_write_header(w, "Connection", slice_text("close"));
    else if (f->old)
        http1_write_header(w, "Connection", slice_text("keep-alive"));
    http1_write_end(w);
}

/* Queues head and body; false when the head cannot be written (too long, or a forged value). */
static bool send_answer(struct http_connection *c, int status, const struct http_header *headers,
                        size_t count, const struct framing *f, struct slice body)
{
    uint8_t room[HTTP_ANSWER_HEAD_MAX];
    struct wr w = wr_init(room, sizeof room);
    write_head(&w, c, status, headers, count, f);
    if (w.overflow)
        return false;
    io_set_limits(c->io, HTTP1_HEAD_MAX + 2 * HTTP_BODY_MAX,
                  io_queued(c->io) + wr_len(&w) + body.len);
    int err = io_write(c->io, room, wr_len(&w));
    if (err == 0 && body.len > 0)
        err = io_write(c->io, body.p, body.len);
    if (err < 0) {
        /* Half an answer must not be followed by another one. */
        log_warn(&c->log, "http.answer_lost error=\"%s\"", err_text(err));
        c->close_after = true;
    }
    return true;
}

static void send_plain_500(struct http_connection *c)
{
    const struct framing f = {.close = true};
    log_error(&c->log, "http.bad_answer");
    c->close_after = true;
    must(send_answer(c, 500, NULL, 0, &f, slice_of(NULL, 0)));
}

/* Whole answers. */

static struct http_exchange *open_exchange(struct http_exchange *x)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    must(x->gone || x->c->state == HTTP_HANDLING);
    return x->gone ? NULL : x;
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct slice body)
{
    if (open_exchange(x) == NULL)
        return;
    struct http_connection *c = x->c;
    const struct framing f = {.close = c->close_after, .old = x->old, .body_len = body.len};
    bool has_body = !x->head_only && status_has_body(status);
    if (!send_answer(c, status, headers, count, &f, has_body ? body : slice_of(NULL, 0)))
        send_plain_500(c);
    log_debug(&c->log, "http.answer status=%d bytes=%zu", status, body.len);
    METRIC_INC(c->worker->metrics.http_requests_total);
    http_exchange_answered(x, body.len);
}

static void respond_json_with(struct http_exchange *x, int status, json_t *body,
                              const struct http_header *headers, size_t count)
{
    struct http_header all[4] = {{"Content-Type", slice_text(JSON_TYPE)},
                                 {"Cache-Control", slice_text("no-store")}};
    struct buf text;
    must(count <= 2);
    for (size_t i = 0; i < count; i++)
        all[2 + i] = headers[i];
    buf_init(&text, HTTP_JSON_MAX);
    if (json_print(body, &text) == 0)
        http_respond(x, status, all, 2 + count, buf_slice(&text));
    else
        http_respond(x, 500, NULL, 0, slice_of(NULL, 0));
    buf_fini(&text);
    json_decref(body);
}

void http_respond_json(struct http_exchange *x, int status, json_t *body)
{
    respond_json_with(x, status, body, NULL, 0);
}

void http_respond_error_with(struct http_exchange *x, int status, const char *code,
                             const char *message, const struct http_header *headers, size_t count)
{
    json_t *body = json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", message);
    must(body != NULL);
    respond_json_with(x, status, body, headers, count);
}

void http_respond_error(struct http_exchange *x, int status, const char *code, const char *message)
{
    http_respond_error_with(x, status, code, message, NULL, 0);
}

void http_refuse(struct http_connection *c, int status)
{
    size_t i = 0;
    while (refusals[i].status != status)
        must(++i < sizeof refusals / sizeof refusals[0]);
    char body[256];
    int len = snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}",
                       refusals[i].code, refusals[i].message);
    must(len > 0 && (size_t)len < sizeof body);
    const struct http_header type = {"Content-Type", slice_text(JSON_TYPE)};
    const struct framing f = {.close = true, .body_len = (size_t)len};
    METRIC_INC(c->worker->metrics.http_bad_requests_total);
    must(send_answer(c, status, &type, 1, &f, slice_of(body, (size_t)len)));
    c->state = HTTP_ENDING;
    io_close_after_flush(c->io, http_answer_ms(c, (size_t)len));
}

/* Streams. */

void http_stream(struct http_exchange *x, int status, const struct http_header *headers,
                 size_t count)
{
    if (open_exchange(x) == NULL)
        return;
    struct http_connection *c = x->c;
    const struct framing f = {.close = true, .old = x->old, .endless = true};
    c->close_after = true;
    if (!send_answer(c, status, headers, count, &f, slice_of(NULL, 0)))
        send_plain_500(c);
    io_set_limits(c->io, HTTP1_HEAD_MAX + 2 * HTTP_BODY_MAX, HTTP_STREAM_QUEUE_MAX);
    METRIC_INC(c->worker->metrics.http_requests_total);
    c->state = HTTP_STREAMING;
    io_deadline(c->io, 0);
    if (!c->body_open)
        io_resume(c->io); /* later requests may have paused it, and its end is to be seen */
    if (x->head_only)
        task_defer(c->worker, &c->turn);
}

ssize_t http_stream_writev(struct http_exchange *x, const struct iovec *iov, int count)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    must(x->gone || x->c->state == HTTP_STREAMING);
    if (x->gone)
        return ERR_CLOSED;
    if (x->head_only)
        return 0;
    return x->old ? io_writev(x->c->io, iov, count)
                  : http_chunker_writev(&x->chunker, x->c->io, iov, count);
}

int http_stream_write(struct http_exchange *x, struct slice bytes)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    must(x->gone || x->c->state == HTTP_STREAMING);
    if (x->gone)
        return ERR_CLOSED;
    if (x->head_only)
        return 0;
    return x->old ? io_write(x->c->io, bytes.p, bytes.len)
                  : http_chunker_write(&x->chunker, x->c->io, bytes);
}

void http_stream_end(struct http_exchange *x, enum close_reason why)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    if (x->gone)
        return;
    struct http_connection *c = x->c;
    must(c->state == HTTP_STREAMING);
    log_debug(&c->log, "http.stream_end reason=%s", close_reason_name(why));
    if (!x->head_only && !x->old)
        http_chunker_end(&x->chunker, c->io);
    c->state = HTTP_ENDING;
    http_exchange_free(&c->exchange);
    io_close_after_flush(c->io, HTTP_STREAM_LINGER_MS);
}

/* The exchange for its handler. */

void http_exchange_watch(struct http_exchange *x, const struct http_exchange_ops *ops, void *owner)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    x->ops = ops;
    x->owner = owner;
}

struct worker *http_exchange_worker(const struct http_exchange *x)
{
    return x->c->worker;
}

const struct net_address *http_exchange_peer(const struct http_exchange *x)
{
    return io_peer(x->c->io);
}

struct io *http_exchange_io(struct http_exchange *x)
{
    return x->c->io;
}
