/*
 * hls_request ──▶ what is there: a playlist, a segment, a part, an init segment
 *             ──▶ what is not there yet: held (hls_stream.c), or refused
 */
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "edge/hls_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PLAYLIST_TYPE   "application/vnd.apple.mpegurl"
#define CACHE_FOR_EVER  "public, max-age=31536000, immutable"
#define INDEX_MAX_AGE_S 2
#define PLAIN_MAX_AGE_S 1
#define HELD_TARGETS    6 /* target durations that the answer of a held request may be kept */

/* Answers without content. */

void hls_refuse(struct http_exchange *x, int status, const char *code, const char *text)
{
    const struct http_header retry[] = {{"Retry-After", slice_text("2")}};
    bool later = status == 404 || status == 503;
    http_respond_error_with(x, status, code, text, retry, later ? 1 : 0);
}

void hls_refuse_unknown(struct http_exchange *x)
{
    hls_refuse(x, 404, "not_found", "there is no such playlist, segment or part");
}

/* The answer's head and range. */

static void add_header(struct hls_reply *r, const char *name, const char *value)
{
    struct http_prepared *p = &r->prepared;
    must(p->count < HLS_REPLY_HEADERS_MAX);
    r->headers[p->count++] = (struct http_header){name, slice_text(value)};
}

/* With etag and cache set. */
static void reply_make(struct hls_reply *r, const char *type, bool gzip)
{
    r->prepared.status = 200;
    r->prepared.headers = r->headers;
    add_header(r, "Content-Type", type);
    add_header(r, "Cache-Control", r->cache);
    add_header(r, "ETag", r->etag);
    if (r->ranged)
        add_header(r, "Accept-Ranges", "bytes");
    else
        add_header(r, "Vary", "Accept-Encoding");
    if (gzip)
        add_header(r, "Content-Encoding", "gzip");
}

static bool is_match(const char *list, const char *etag)
{
    return strcmp(list, "*") == 0 || strstr(list, etag) != NULL;
}

/* The part of the bytes that was asked for: 200, 206 or 416. */
static int cut_range(const struct hls_request *req, size_t len, struct http_content *c)
{
    c->skip = 0;
    c->len = len;
    if (req->range == HLS_RANGE_NONE)
        return 200;
    uint64_t first = req->range_first, end = req->range_last;
    if (req->range == HLS_RANGE_LAST) {
        first = end < len ? len - end : 0;
        if (end == 0)
            return 416;
        end = len - 1;
    }
    if (first >= len)
        return 416;
    c->skip = (size_t)first;
    c->len = (size_t)((end < len - 1 ? end : len - 1) - first) + 1;
    return 206;
}

/* An answer that not everyone gets: 206, 304, 416. */
static void send_other(const struct hls_request *req, const struct hls_reply *r, int status,
                       struct http_content *c, size_t len)
{
    struct http_header headers[HLS_REPLY_HEADERS_MAX + 1];
    char range[80];
    size_t count = r->prepared.count;
    memcpy(headers, r->headers, count * sizeof headers[0]);
    if (status == 206)
        snprintf(range, sizeof range, "bytes %zu-%zu/%zu", c->skip, c->skip + c->len - 1, len);
    else
        snprintf(range, sizeof range, "bytes */%zu", len);
    if (status != 304)
        headers[count++] = (struct http_header){"Content-Range", slice_text(range)};
    if (status == 416)
        c->len = 0;
    http_respond_content(req->exchange, status, headers, count, c);
}

static void send_content(const struct hls_request *req, struct hls_reply *r, struct http_content *c,
                         size_t len)
{
    int status = r->ranged ? cut_range(req, len, c) : 200;
    if (req->match[0] != '\0' && is_match(req->match, r->etag))
        status = 304;
    if (status == 200)
        http_respond_prepared(req->exchange, &r->prepared, c);
    else
        send_other(req, r, status, c, len);
}

/* Playlists. */

/* When its player will ask again. */
static int64_t cover_us(const struct hls_stream *s, const struct hls_request *req)
{
    if (req->object.kind == HLS_MULTIVARIANT || req->object.rendition.kind == HLS_AUDIO)
        return 0;
    return req->directives.has_part ? (int64_t)s->view.plan.part_ms * 1000 : s->view.segment_us;
}

/* By its bytes: the multivariant one changes more seldom than the head does, and an edge that does
 * not have all of the past yet may list less at the same head. */
static void set_etag(struct hls_reply *r, const struct hls_text *t)
{
    uint8_t sum[SHA256_SIZE];
    crypto_sha256(slice_of(t->data, t->len), sum);
    struct rd rd = rd_init(sum, sizeof sum);
    snprintf(r->etag, sizeof r->etag, "\"%016" PRIx64 "\"", rd_u64(&rd));
}

static void make_playlist_reply(const struct hls_stream *s, const struct hls_request *req,
                                const struct hls_text *t, struct hls_reply *r)
{
    const struct hls_view *v = &s->view;
    int age_s = req->object.kind == HLS_MULTIVARIANT ? INDEX_MAX_AGE_S
                : req->directives.has_msn            ? (int)v->target_s * HELD_TARGETS
                                                     : PLAIN_MAX_AGE_S;
    snprintf(r->cache, sizeof r->cache, "public, max-age=%d", age_s);
    set_etag(r, t);
    reply_make(r, PLAYLIST_TYPE, req->gzip);
}

static void answer_playlist(struct hls_stream *s, struct hls_request *req)
{
    struct hls_text *t = hls_text_get(s, &req->object, req->directives.skip, req->gzip);
    if (t == NULL && req->object.kind == HLS_PLAYLIST && !hls_view_has(s, req->object.rendition)) {
        hls_refuse_unknown(req->exchange);
        return;
    }
    if (t == NULL) {
        hls_refuse(req->exchange, 404, "unsupported", "this stream does not go into HLS");
        return;
    }
    struct hls_reply *r = req->directives.has_msn ? &t->held : &t->plain;
    if (r->prepared.status == 0)
        make_playlist_reply(s, req, t, r);
    t->refs++;
    struct http_content c = {&t->iov, 1, 0, t->len, hls_text_unref, t};
    hls_stream_count(s, cover_us(s, req));
    send_content(req, r, &c, t->len);
}

/* What a held request waits for. */
static void hold_playlist(struct hls_stream *s, struct hls_request *req)
{
    const struct hls_directives *d = &req->directives;
    const struct hls_head *h = &s->view.head;
    if (!d->has_part)
        hls_stream_hold(s, req, d->msn + 1, 0);
    else if (d->msn < h->msn) /* behind the last part of its segment */
        hls_stream_hold(s, req, h->msn, 1);
    else
        hls_stream_hold(s, req, d->msn, d->part + 1);
}

/* Another node owns the run: it may be ahead of us. */
static bool may_lag(const struct hls_stream *s)
{
    const struct run *r = log_newest(s->reader.feed->log);
    return r != NULL && r->origin != NULL;
}

static void answer_too_far(struct hls_stream *s, struct hls_request *req)
{
    switch (may_lag(s) ? hls_ask_owner(s, req) : HLS_TOO_FAR) {
    case HLS_TOO_FAR:
        hls_refuse(req->exchange, 400, "too_far", "the segment or part is too far ahead");
        break;
    case HLS_WAIT:
        hls_stream_wait(s, req);
        break;
    case HLS_READY:
        break;
    }
}

static void answer_or_hold_playlist(struct hls_stream *s, struct hls_request *req)
{
    enum hls_verdict verdict =
        s->view.ended ? HLS_READY : hls_directives_judge(&req->directives, &s->view.head);
    switch (verdict) {
    case HLS_READY:
        answer_playlist(s, req);
        break;
    case HLS_WAIT:
        hold_playlist(s, req);
        break;
    case HLS_TOO_FAR:
        answer_too_far(s, req);
        break;
    }
}

/* Objects. */

static void release_unit(void *owner)
{
    struct hls_unit *u = owner;
    hls_unit_unref(&u);
}

static const char *media_type(struct hls_stream *s, struct hls_rendition r, uint64_t epoch,
                              uint64_t msn)
{
    const struct hls_tracks *t = hls_tracks_get(s, epoch, msn);
    bool video = r.kind == HLS_VIDEO ||
                 (r.kind == HLS_MAIN && (t == NULL || hls_tracks_find(t, FRAME_VIDEO, 0) != NULL));
    return video ? "video/mp4" : "audio/mp4";
}

static void make_unit_reply(struct hls_stream *s, struct hls_cached_unit *u)
{
    const struct hls_object *o = &u->object;
    struct hls_reply *r = &u->reply;
    char part[16] = "";
    if (o->kind == HLS_PART)
        snprintf(part, sizeof part, "-%" PRIu32, o->part);
    snprintf(r->etag, sizeof r->etag, "\"%" PRIu64 "-%" PRIu64 "%s\"", o->epoch, o->msn, part);
    snprintf(r->cache, sizeof r->cache, "%s", CACHE_FOR_EVER);
    r->ranged = true;
    reply_make(r, media_type(s, o->rendition, o->epoch, o->msn), false);
}

static void answer_unit(struct hls_stream *s, struct hls_request *req,
                        struct hls_cached_unit *cached)
{
    struct hls_unit *u = cached->unit;
    struct http_content c = {u->iov, u->iov_count, 0, u->len, release_unit, hls_unit_ref(u)};
    if (cached->reply.prepared.status == 0)
        make_unit_reply(s, cached);
    http_exchange_take_ms(req->exchange, (int64_t)s->view.target_s * HLS_TAKE_TARGETS * 1000);
    send_content(req, &cached->reply, &c, u->len);
}

/* Not there yet: the coming one, or one that another node, which is a little ahead, has listed. */
static bool may_come(const struct hls_stream *s, const struct hls_object *o)
{
    const struct hls_view *v = &s->view;
    if (v->ended || o->epoch < v->epoch || o->msn < v->head.msn || o->msn > v->head.msn + 1)
        return false;
    if (o->kind == HLS_SEGMENT)
        return true;
    uint32_t parts = o->msn == v->head.msn ? v->head.parts : 0;
    return o->part >= parts && o->part - parts < v->head.ahead_max;
}

static void answer_or_hold_unit(struct hls_stream *s, struct hls_request *req)
{
    const struct hls_object *o = &req->object;
    struct hls_cached_unit *u = hls_unit_get(s, o);
    if (u != NULL) {
        answer_unit(s, req, u);
        return;
    }
    if (hls_fetch(s, req))
        return;
    if (o->epoch > s->view.epoch && may_lag(s) && !s->view.ended)
        hls_stream_wait(s, req);
    else if (!may_come(s, o))
        hls_refuse_unknown(req->exchange);
    else if (o->kind == HLS_SEGMENT)
        hls_stream_hold(s, req, o->msn + 1, 0);
    else
        hls_stream_hold(s, req, o->msn, o->part + 1);
}

/* Inits are small and few: a copy each. */
struct init_copy {
    struct iovec iov;
    uint8_t bytes[];
};

static void answer_init(struct hls_stream *s, struct hls_request *req)
{
    const struct hls_init *i = hls_init_find(s, &req->object);
    if (i == NULL) {
        hls_refuse_unknown(req->exchange);
        return;
    }
    struct init_copy *copy = xmalloc(sizeof *copy + i->len);
    memcpy(copy->bytes, i->bytes, i->len);
    copy->iov = (struct iovec){copy->bytes, i->len};
    struct hls_reply r = {.ranged = true, .cache = CACHE_FOR_EVER};
    struct http_content c = {&copy->iov, 1, 0, i->len, free, copy};
    snprintf(r.etag, sizeof r.etag, "\"%016" PRIx64 "\"", i->hash);
    reply_make(&r, i->video ? "video/mp4" : "audio/mp4", false);
    send_content(req, &r, &c, i->len);
}

void hls_answer(struct hls_stream *s, struct hls_request *req)
{
    if (s->gone) {
        hls_refuse(req->exchange, 404, "ended", "the stream has ended");
        return;
    }
    if (!s->view.ready) {
        hls_stream_wait(s, req);
        return;
    }
    switch (req->object.kind) {
    case HLS_MULTIVARIANT:
        answer_playlist(s, req);
        break;
    case HLS_PLAYLIST:
        answer_or_hold_playlist(s, req);
        break;
    case HLS_SEGMENT:
    case HLS_PART:
        answer_or_hold_unit(s, req);
        break;
    case HLS_INIT:
        answer_init(s, req);
        break;
    }
}

int64_t hls_patience_us(const struct hls_stream *s)
{
    const struct config *c = s->worker->config;
    enum feed_state state = s->reader.feed->state;
    if (!s->view.ready && (state == FEED_EMPTY || state == FEED_ENDED))
        return c->stream.wait_ms * 1000;
    int64_t target_s = s->view.target_s > 0 ? s->view.target_s : m3u8_target_s(c->hls.segment_ms);
    return target_s * HLS_HOLD_TARGETS * 1000000;
}

void hls_answer_late(struct hls_stream *s, struct hls_request *req)
{
    enum feed_state state = s->reader.feed->state;
    int64_t by_us = req->since_us + hls_patience_us(s);
    if (by_us > clock_us()) { /* the stream has come meanwhile */
        req->by_us = by_us;
        hls_answer(s, req);
        return;
    }
    if (!s->view.ready && (state == FEED_EMPTY || state == FEED_ENDED)) {
        METRIC_INC(s->worker->metrics.play_not_found_total);
        hls_refuse(req->exchange, 404, "not_found", "there is no such stream");
        return;
    }
    hls_refuse(req->exchange, 503, "unavailable", "it did not come in time");
}
