/*
 * Answers of handlers to nghttp2: heads at once, bodies when frames are made of them.
 */
#include "base/err.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/http2_connection.h"

#include <stdio.h>

static struct http2_stream *of(struct http_exchange *x)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    return container_of(x, struct http2_stream, x);
}

static bool is_lost(const struct http2_stream *s)
{
    return s->closed || s->c->closed || s->c->ending;
}

static void run_later(struct http2_connection *c)
{
    if (!c->running && !c->closed)
        task_defer(c->worker, &c->turn);
}

/* Heads. */

static void add_pair(nghttp2_nv *nv, const char *name, struct slice value)
{
    *nv = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                       .namelen = strlen(name),
                       .value = (uint8_t *)(uintptr_t)value.p,
                       .valuelen = value.len};
}

/* Control characters, which could forge a header, or too much of it. */
static bool is_writable(const struct http_fields *f)
{
    size_t total = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct slice value = f->list[i].value;
        for (size_t k = 0; k < value.len; k++) {
            if ((value.p[k] < ' ' && value.p[k] != '\t') || value.p[k] == 0x7f)
                return false;
        }
        total += strlen(f->list[i].name) + value.len + HTTP2_FIELD_OVERHEAD;
    }
    return total <= HTTP_ANSWER_HEAD_MAX;
}

static int submit(struct http2_stream *s, int status, const struct http_fields *f, bool has_body)
{
    const nghttp2_data_provider provider = {.read_callback = http2_source_read};
    nghttp2_nv nv[HTTP_ANSWER_FIELDS + 1];
    char text[16];
    snprintf(text, sizeof text, "%03d", status);
    add_pair(&nv[0], ":status", slice_text(text));
    for (size_t i = 0; i < f->count; i++)
        add_pair(&nv[1 + i], f->list[i].name, f->list[i].value);
    int err = nghttp2_submit_response(s->c->session, s->id, nv, 1 + f->count,
                                      has_body ? &provider : NULL);
    return err == 0 ? 0 : ERR_PROTOCOL;
}

/* Whole answers. */

static void take_by(struct http2_stream *s, int64_t ms)
{
    s->deadline_us = clock_us() + ms * 1000;
    http2_wake_by(s->c, s->deadline_us);
}

static void reset(struct http2_stream *s)
{
    nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
}

static void lose(struct http2_stream *s, int err)
{
    log_warn(&s->c->log, "http.answer_lost error=\"%s\"", err_text(err));
    reset(s);
}

/* The head of a whole answer; false when no body is to follow. */
static bool begin(struct http2_stream *s, int status, const struct http_header *headers,
                  size_t count, size_t body_len)
{
    struct http2_connection *c = s->c;
    struct http_fields f;
    bool says_length = http_status_has_body(status);
    bool has_body = says_length && !s->x.head_only && body_len > 0;
    if (is_lost(s))
        return false;
    http_fields_of(&f, c->server, c->worker, headers, count, says_length ? (int64_t)body_len : -1);
    if (!is_writable(&f)) {
        log_error(&c->log, "http.bad_answer");
        status = 500;
        has_body = false;
        http_fields_of(&f, c->server, c->worker, NULL, 0, 0);
    }
    s->ended = true;
    take_by(s, http_exchange_answer_ms(&s->x, has_body ? body_len : 0));
    run_later(c);
    int err = submit(s, status, &f, has_body);
    if (err < 0)
        lose(s, err);
    return has_body && err == 0;
}

static void count_bytes(struct http2_stream *s, size_t n)
{
    s->answer_bytes = n;
    s->c->answer_bytes += n;
}

static void answer(struct http2_stream *s, int status, const struct http_header *headers,
                   size_t count, struct slice body)
{
    if (!begin(s, status, headers, count, body.len))
        return;
    s->out.max = body.len;
    int err = buf_append(&s->out, body.p, body.len);
    if (err < 0)
        lose(s, err);
    count_bytes(s, body.len);
}

static void respond(struct http_exchange *x, int status, const struct http_header *headers,
                    size_t count, struct slice body)
{
    struct http2_stream *s = of(x);
    must(s->phase == HTTP2_HANDLING);
    s->phase = HTTP2_ANSWERED;
    answer(s, status, headers, count, body);
    OBJ_POISON(x);
}

void http2_refuse(struct http2_stream *s, int status)
{
    char room[HTTP_REFUSAL_MAX];
    METRIC_INC(s->c->worker->metrics.http_bad_requests_total);
    s->phase = HTTP2_ANSWERED;
    answer(s, status, &http_refusal_type, 1, http_refusal(status, room));
}

/* Points into the content, whose bytes are others' memory. */
static void offer_content(struct http2_stream *s)
{
    s->offer = s->content.iov;
    s->offer_at = s->content.skip;
    s->offer_left = s->content.len;
    while (s->offer_at >= s->offer->iov_len) {
        s->offer_at -= s->offer->iov_len;
        s->offer++;
    }
    count_bytes(s, (size_t)s->content.count * sizeof *s->offer);
}

static void respond_content(struct http_exchange *x, int status, const struct http_header *headers,
                            size_t count, const struct http_content *content,
                            struct http_prepared *prepared)
{
    struct http2_stream *s = of(x);
    must(s->phase == HTTP2_HANDLING);
    s->phase = HTTP2_ANSWERED;
    s->content = *content;
    if (begin(s, status, headers, count, content->len))
        offer_content(s);
    else
        http_content_release(&s->content);
    OBJ_POISON(x);
}

/* Streams. */

static void stream(struct http_exchange *x, int status, const struct http_header *headers,
                   size_t count)
{
    struct http2_stream *s = of(x);
    struct http2_connection *c = s->c;
    struct http_fields f;
    must(s->phase == HTTP2_HANDLING);
    s->phase = HTTP2_STREAMING;
    if (is_lost(s))
        return;
    http_fields_of(&f, c->server, c->worker, headers, count, -1);
    if (!is_writable(&f) || submit(s, status, &f, !x->head_only) < 0)
        reset(s);
    if (x->head_only)
        http2_stream_ready(s); /* the head was all: its owner is told */
    run_later(c);
}

static ssize_t stream_writev(struct http_exchange *x, const struct iovec *iov, int count)
{
    struct http2_stream *s = of(x);
    size_t total = 0;
    if (is_lost(s) || s->c->error != 0)
        return ERR_CLOSED;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    s->offer = iov;
    s->offer_at = 0;
    s->offer_left = total;
    s->wants_writable = s->writable = false;
    nghttp2_session_resume_data(s->c->session, s->id);
    http2_pump(s->c);
    size_t taken = total - s->offer_left;
    s->offer = NULL;
    s->offer_left = 0;
    s->wants_writable = taken < total;
    if (s->c->error != 0)
        run_later(s->c);
    return (ssize_t)taken;
}

static int stream_write(struct http_exchange *x, struct slice bytes)
{
    struct http2_stream *s = of(x);
    if (is_lost(s))
        return ERR_CLOSED;
    buf_consume(&s->out, s->out_at);
    s->out_at = 0;
    int err = buf_append(&s->out, bytes.p, bytes.len);
    if (err < 0)
        return err;
    nghttp2_session_resume_data(s->c->session, s->id);
    run_later(s->c);
    return 0;
}

static void stream_end(struct http_exchange *x)
{
    struct http2_stream *s = of(x);
    s->phase = HTTP2_ANSWERED;
    s->ended = true;
    s->wants_writable = s->writable = false;
    OBJ_POISON(x);
    if (is_lost(s))
        return;
    nghttp2_session_resume_data(s->c->session, s->id);
    take_by(s, HTTP_STREAM_LINGER_MS);
    run_later(s->c);
}

static void pause_body(struct http_exchange *x, bool paused)
{
    struct http2_stream *s = of(x);
    s->paused = paused;
    if (!paused && !is_lost(s))
        http2_stream_ready(s);
}

static struct io *io_below(struct http_exchange *x)
{
    return NULL;
}

const struct http_protocol http2_protocol = {.respond = respond,
                                             .respond_content = respond_content,
                                             .stream = stream,
                                             .writev = stream_writev,
                                             .write = stream_write,
                                             .end = stream_end,
                                             .pause = pause_body,
                                             .io = io_below};
