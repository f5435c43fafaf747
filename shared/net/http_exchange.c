/*
 * Exchanges as their handlers see them, whatever the protocol below.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/json.h"
#include "net/http_internal.h"
#include "proto/url.h"

#include <inttypes.h>
#include <stdio.h>

#define JSON_TYPE    "application/json"
#define ERROR_FORMAT "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}"

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

/* Requests. */

int http_request_of(const struct http1_request *head, const struct net_address *peer,
                    char path[HTTP1_LINE_MAX], struct http_request *req)
{
    *req = (struct http_request){
        .target = head->target,
        .query = head->query,
        .peer = peer,
        .headers = &head->fields,
    };
    if (!http_method_parse(head->method, &req->method))
        return 501;
    ssize_t n = url_path_decode(head->path, path, HTTP1_LINE_MAX);
    if (n < 0 && !slice_is(head->path, "*"))
        return 400;
    req->path = n < 0 ? head->path : slice_of(path, (size_t)n);
    return 0;
}

/* Answers. */

static const char *date_now(struct http_local *local)
{
    int64_t now_s = clock_wall_us() / 1000000;
    if (local->date_s != now_s) {
        http1_date(now_s, local->date);
        local->date_s = now_s;
    }
    return local->date;
}

bool http_status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void add(struct http_fields *f, const char *name, struct slice value)
{
    must(f->count < HTTP_ANSWER_FIELDS);
    f->list[f->count++] = (struct http_header){name, value};
}

static void add_cors(struct http_fields *f, const struct http_server *s)
{
    if (s->cors_origin == NULL)
        return;
    add(f, "Access-Control-Allow-Origin", slice_text(s->cors_origin));
    if (strcmp(s->cors_origin, "*") != 0)
        add(f, "Vary", slice_text("Origin"));
    add(f, "Access-Control-Expose-Headers",
        slice_text("Content-Length, Content-Range, Date, Age, ETag, Location, Link, "
                   "Accept-Patch, Retry-After"));
}

void http_fields_of(struct http_fields *f, struct http_server *s, struct worker *w,
                    const struct http_header *headers, size_t count, int64_t body_len)
{
    f->count = 0;
    add(f, "Date", slice_text(date_now(&s->locals[w->index])));
    for (size_t i = 0; i < count; i++)
        add(f, headers[i].name, headers[i].value);
    add_cors(f, s);
    if (body_len < 0)
        return;
    snprintf(f->length, sizeof f->length, "%" PRId64, body_len);
    add(f, "Content-Length", slice_text(f->length));
}

const struct http_header http_refusal_type = {"Content-Type",
                                              {(const uint8_t *)JSON_TYPE, sizeof JSON_TYPE - 1}};

struct slice http_refusal(int status, char room[HTTP_REFUSAL_MAX])
{
    size_t i = 0;
    while (refusals[i].status != status)
        must(++i < sizeof refusals / sizeof refusals[0]);
    int len = snprintf(room, HTTP_REFUSAL_MAX, ERROR_FORMAT, refusals[i].code, refusals[i].message);
    must(len > 0 && len < HTTP_REFUSAL_MAX);
    return slice_of(room, (size_t)len);
}

/* Whole answers. */

static bool is_open(struct http_exchange *x)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    must(x->gone || !x->streaming);
    return !x->gone;
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct slice body)
{
    if (!is_open(x))
        return;
    log_debug(x->log, "http.answer status=%d bytes=%zu", status, body.len);
    METRIC_INC(x->worker->metrics.http_requests_total);
    x->protocol->respond(x, status, headers, count, body);
}

void http_content_release(struct http_content *content)
{
    struct http_content gone = *content;
    *content = (struct http_content){0};
    if (gone.release != NULL)
        gone.release(gone.owner);
}

static void respond_content(struct http_exchange *x, int status, const struct http_header *headers,
                            size_t count, const struct http_content *content,
                            struct http_prepared *prepared)
{
    if (!is_open(x)) {
        struct http_content unsent = *content;
        http_content_release(&unsent);
        return;
    }
    log_debug(x->log, "http.answer status=%d bytes=%zu", status, content->len);
    METRIC_INC(x->worker->metrics.http_requests_total);
    x->protocol->respond_content(x, status, headers, count, content, prepared);
}

void http_respond_content(struct http_exchange *x, int status, const struct http_header *headers,
                          size_t count, const struct http_content *content)
{
    respond_content(x, status, headers, count, content, NULL);
}

void http_respond_prepared(struct http_exchange *x, struct http_prepared *p,
                           const struct http_content *content)
{
    respond_content(x, p->status, p->headers, p->count, content, p);
}

static void respond_json_text(struct http_exchange *x, int status, struct slice text,
                              const struct http_header *headers, size_t count)
{
    struct http_header all[4] = {{"Content-Type", slice_text(JSON_TYPE)},
                                 {"Cache-Control", slice_text("no-store")}};
    must(count <= 2);
    for (size_t i = 0; i < count; i++)
        all[2 + i] = headers[i];
    http_respond(x, status, all, 2 + count, text);
}

static void respond_json_with(struct http_exchange *x, int status, json_t *body,
                              const struct http_header *headers, size_t count)
{
    struct buf text;
    buf_init(&text, HTTP_JSON_MAX);
    if (json_print(body, &text) == 0)
        respond_json_text(x, status, buf_slice(&text), headers, count);
    else
        http_respond(x, 500, NULL, 0, slice_of(NULL, 0));
    buf_fini(&text);
    json_decref(body);
}

void http_respond_json(struct http_exchange *x, int status, json_t *body)
{
    respond_json_with(x, status, body, NULL, 0);
}

/* In JSON as it stands. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    return true;
}

void http_respond_error_with(struct http_exchange *x, int status, const char *code,
                             const char *message, const struct http_header *headers, size_t count)
{
    char room[HTTP_REFUSAL_MAX];
    int len = is_plain(code) && is_plain(message)
                  ? snprintf(room, sizeof room, ERROR_FORMAT, code, message)
                  : -1;
    if (len > 0 && len < HTTP_REFUSAL_MAX) { /* errors are what floods are answered with */
        respond_json_text(x, status, slice_of(room, (size_t)len), headers, count);
        return;
    }
    json_t *body = json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", message);
    must(body != NULL);
    respond_json_with(x, status, body, headers, count);
}

void http_respond_error(struct http_exchange *x, int status, const char *code, const char *message)
{
    http_respond_error_with(x, status, code, message, NULL, 0);
}

/* Streams. */

void http_stream(struct http_exchange *x, int status, const struct http_header *headers,
                 size_t count)
{
    if (!is_open(x))
        return;
    METRIC_INC(x->worker->metrics.http_requests_total);
    x->streaming = true;
    x->protocol->stream(x, status, headers, count);
}

/* 1, or what a call on a stream that takes no bytes answers. */
static int takes_bytes(const struct http_exchange *x)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    must(x->gone || x->streaming);
    if (x->gone)
        return ERR_CLOSED;
    return x->head_only ? 0 : 1;
}

void http_stream_lines(const struct http_exchange *x, const void *lines[HTTP_STREAM_LINES])
{
    const char *p = (const char *)x;
    for (size_t i = 0; i < HTTP_STREAM_LINES; i++)
        lines[i] = p + i * CACHE_LINE;
}

ssize_t http_stream_writev(struct http_exchange *x, const struct iovec *iov, int count)
{
    int takes = takes_bytes(x);
    return takes == 1 ? x->protocol->writev(x, iov, count) : takes;
}

int http_stream_write(struct http_exchange *x, struct slice bytes)
{
    int takes = takes_bytes(x);
    return takes == 1 ? x->protocol->write(x, bytes) : takes;
}

void http_stream_end(struct http_exchange *x, enum close_reason why)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    if (x->gone)
        return;
    must(x->streaming);
    log_debug(x->log, "http.stream_end reason=%s", close_reason_name(why));
    x->protocol->end(x);
}

/* The exchange for its handler. */

void http_exchange_watch(struct http_exchange *x, const struct http_exchange_ops *ops, void *owner)
{
    OBJ_CHECK(x, HTTP_EXCHANGE_MAGIC);
    x->ops = ops;
    x->owner = owner;
}

void http_exchange_tell_gone(struct http_exchange *x, enum close_reason why)
{
    x->gone = true;
    if (x->ops != NULL && x->ops->on_gone != NULL)
        x->ops->on_gone(x, why, x->owner);
}

void http_exchange_pause(struct http_exchange *x, bool paused)
{
    if (!x->gone)
        x->protocol->pause(x, paused);
}

void http_exchange_take_ms(struct http_exchange *x, int64_t ms)
{
    x->take_ms = ms;
}

int64_t http_exchange_answer_ms(const struct http_exchange *x, size_t len)
{
    int64_t ms = http_answer_ms(x->server, len);
    return x->take_ms > 0 && x->take_ms < ms ? x->take_ms : ms;
}

struct worker *http_exchange_worker(const struct http_exchange *x)
{
    return x->worker;
}

const struct net_address *http_exchange_peer(const struct http_exchange *x)
{
    return x->peer;
}

struct io *http_exchange_io(struct http_exchange *x)
{
    return x->protocol->io(x);
}
