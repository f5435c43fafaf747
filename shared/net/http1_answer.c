/*
 * Answers: whole ones, which leave the connection free for the next request, and streams, which end
 * with it.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "net/http1_connection.h"

/* What decides about an answer's head besides its own headers. */
struct framing {
    bool close;
    bool old;     /* HTTP/1.0: staying is to be said */
    bool endless; /* no Content-Length; chunked unless the peer is too old for it */
    size_t body_len;
};

/* Writing heads. */

static void write_head(struct wr *w, struct http1_connection *c, int status,
                       const struct http_header *headers, size_t count, const struct framing *f)
{
    struct http_fields fields;
    bool has_length = !f->endless && http_status_has_body(status);
    http_fields_of(&fields, c->server, c->worker, headers, count,
                   has_length ? (int64_t)f->body_len : -1);
    http1_write_status(w, status);
    for (size_t i = 0; i < fields.count; i++)
        http1_write_header(w, fields.list[i].name, fields.list[i].value);
    if (f->endless && !f->old)
        http1_write_header(w, "Transfer-Encoding", slice_text("chunked"));
    if (f->close)
        http1_write_header(w, "Connection", slice_text("close"));
    else if (f->old)
        http1_write_header(w, "Connection", slice_text("keep-alive"));
    http1_write_end(w);
}

/* Queues head and body; false when the head cannot be written (too long, or a forged value). */
static bool send_answer(struct http1_connection *c, int status, const struct http_header *headers,
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

static void send_plain_500(struct http1_connection *c)
{
    const struct framing f = {.close = true};
    log_error(&c->log, "http.bad_answer");
    c->close_after = true;
    must(send_answer(c, 500, NULL, 0, &f, slice_of(NULL, 0)));
}

/* Whole answers. */

static struct http1_exchange *of(struct http_exchange *x)
{
    return container_of(x, struct http1_exchange, x);
}

static void respond(struct http_exchange *base, int status, const struct http_header *headers,
                    size_t count, struct slice body)
{
    struct http1_exchange *x = of(base);
    struct http1_connection *c = x->c;
    if (status >= 400 && ++c->refused >= HTTP1_REFUSED_MAX)
        c->close_after = true;
    const struct framing f = {.close = c->close_after, .old = x->old, .body_len = body.len};
    bool has_body = !base->head_only && http_status_has_body(status);
    must(c->state == HTTP_HANDLING);
    if (!send_answer(c, status, headers, count, &f, has_body ? body : slice_of(NULL, 0)))
        send_plain_500(c);
    http1_exchange_answered(x, body.len);
}

/* Sends the head and what the socket takes of the body, which is released in any case. */
static void send_content(struct http1_exchange *x, int status, struct slice head,
                         const struct http_content *content)
{
    struct http1_connection *c = x->c;
    struct http_content body = *content;
    if (head.len == 0 || x->x.head_only || !http_status_has_body(status))
        http_content_release(&body);
    if (head.len == 0)
        send_plain_500(c);
    else if (http1_content_begin(c, head, &body) < 0)
        c->close_after = true;
    http1_exchange_answered(x, content->len);
}

/* Made by an earlier answer, or now; empty when it does not fit. */
static struct slice prepared_head(struct http_prepared *p, struct http1_connection *c,
                                  const struct framing *f)
{
    int64_t now_s = clock_wall_us() / 1000000;
    if (p->server == c->server && p->date_s == now_s && p->body_len == f->body_len)
        return slice_of(p->head, p->head_len);
    struct wr w = wr_init(p->head, sizeof p->head);
    write_head(&w, c, p->status, p->headers, p->count, f);
    p->server = c->server;
    p->date_s = now_s;
    p->body_len = f->body_len;
    p->head_len = w.overflow ? 0 : wr_len(&w);
    return slice_of(p->head, p->head_len);
}

static void respond_content(struct http_exchange *base, int status,
                            const struct http_header *headers, size_t count,
                            const struct http_content *content, struct http_prepared *prepared)
{
    struct http1_exchange *x = of(base);
    struct http1_connection *c = x->c;
    const struct framing f = {.close = c->close_after, .old = x->old, .body_len = content->len};
    LEFT_AS_IT_IS uint8_t room[HTTP_ANSWER_HEAD_MAX];
    struct slice head = slice_of(NULL, 0);
    must(c->state == HTTP_HANDLING);
    if (prepared != NULL && !f.close && !f.old)
        head = prepared_head(prepared, c, &f);
    if (head.len == 0) {
        struct wr w = wr_init(room, sizeof room);
        write_head(&w, c, status, headers, count, &f);
        head = slice_of(room, w.overflow ? 0 : wr_len(&w));
    }
    send_content(x, status, head, content);
}

void http1_refuse(struct http1_connection *c, int status)
{
    char room[HTTP_REFUSAL_MAX];
    struct slice body = http_refusal(status, room);
    const struct framing f = {.close = true, .body_len = body.len};
    METRIC_INC(c->worker->metrics.http_bad_requests_total);
    must(send_answer(c, status, &http_refusal_type, 1, &f, body));
    c->state = HTTP_ENDING;
    io_close_after_flush(c->io, http_answer_ms(c->server, body.len));
}

/* Streams. */

static void stream(struct http_exchange *base, int status, const struct http_header *headers,
                   size_t count)
{
    struct http1_exchange *x = of(base);
    struct http1_connection *c = x->c;
    const struct framing f = {.close = true, .old = x->old, .endless = true};
    must(c->state == HTTP_HANDLING);
    c->close_after = true;
    if (!send_answer(c, status, headers, count, &f, slice_of(NULL, 0)))
        send_plain_500(c);
    io_set_limits(c->io, HTTP1_HEAD_MAX + 2 * HTTP_BODY_MAX, HTTP_STREAM_QUEUE_MAX);
    c->state = HTTP_STREAMING;
    io_deadline(c->io, 0);
    if (!c->body_open)
        io_resume(c->io); /* later requests may have paused it, and its end is to be seen */
    if (base->head_only)
        task_defer(c->worker, &c->turn);
}

static ssize_t stream_writev(struct http_exchange *base, const struct iovec *iov, int count)
{
    struct http1_exchange *x = of(base);
    return x->old ? io_writev(x->io, iov, count)
                  : http_chunker_writev(&x->chunker, x->io, iov, count);
}

static int stream_write(struct http_exchange *base, struct slice bytes)
{
    struct http1_exchange *x = of(base);
    return x->old ? io_write(x->io, bytes.p, bytes.len)
                  : http_chunker_write(&x->chunker, x->io, bytes);
}

static void stream_end(struct http_exchange *base)
{
    struct http1_exchange *x = of(base);
    struct http1_connection *c = x->c;
    if (!base->head_only && !x->old)
        http_chunker_end(&x->chunker, c->io);
    c->state = HTTP_ENDING;
    http1_exchange_free(&c->exchange);
    io_close_after_flush(c->io, HTTP_STREAM_LINGER_MS);
}

static void pause_body(struct http_exchange *base, bool paused)
{
    if (paused)
        io_pause(of(base)->c->io);
    else
        io_resume(of(base)->c->io);
}

static struct io *io_below(struct http_exchange *base)
{
    return of(base)->c->io;
}

const struct http_protocol http1_protocol = {.respond = respond,
                                             .respond_content = respond_content,
                                             .stream = stream,
                                             .writev = stream_writev,
                                             .write = stream_write,
                                             .end = stream_end,
                                             .pause = pause_body,
                                             .io = io_below};
