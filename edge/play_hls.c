/*
 * request ──name, directives, headers──▶ hls_request ──▶ hls_answer()
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "edge/hls_internal.h"
#include "edge/player.h"
#include "proto/http1.h"

#include <stdio.h>

#define LOCATION_MAX 2048

/* One range; several, and what is none, count as no range. */
static void read_range(struct slice value, struct hls_request *out)
{
    struct slice last_text, rest;
    bool has_dash;
    uint64_t first, last = UINT64_MAX;
    if (!slice_starts(value, "bytes="))
        return;
    rest = slice_of(value.p + 6, value.len - 6);
    struct slice first_text = slice_cut(rest, '-', &last_text, &has_dash);
    if (!has_dash || (last_text.len > 0 && slice_u64(last_text, UINT64_MAX, &last) < 0))
        return;
    if (first_text.len == 0 && last_text.len > 0) {
        out->range = HLS_RANGE_LAST;
        out->range_last = last;
        return;
    }
    if (slice_u64(first_text, UINT64_MAX, &first) < 0 || last < first)
        return;
    out->range = HLS_RANGE_FROM;
    out->range_first = first;
    out->range_last = last;
}

static void read_headers(const struct http_request *req, struct hls_request *out)
{
    read_range(http_request_header(req, "Range"), out);
    out->gzip = http_request_takes(req, "gzip");
    struct slice match = http_request_header(req, "If-None-Match");
    if (match.p == NULL || !slice_copy(match, out->match, sizeof out->match))
        out->match[0] = '\0';
}

static struct slice last_part(struct slice path)
{
    const uint8_t *slash = memrchr(path.p, '/', path.len);
    must(slash != NULL);
    return slice_of(slash + 1, (size_t)(path.p + path.len - slash - 1));
}

/* Who begins asks for the multivariant playlist, and who plays does not. */
static bool admit(struct http_exchange *x, const struct hls *h, enum hls_object_kind kind)
{
    struct worker *w = http_exchange_worker(x);
    int err = kind == HLS_MULTIVARIANT ? edge_admits(h->edge, w) : 0;
    if (err == 0)
        return true;
    METRIC_INC(w->metrics.play_refused_total);
    hls_refuse(x, 503, "unavailable", player_refusal_text(err));
    return false;
}

static void play(struct http_exchange *x, const struct http_request *req, void *arg)
{
    char name[NAME_STREAM_MAX + 1];
    struct hls_request r = {.exchange = x};
    if (name_stream(req->captures[0], req->captures[1], name) < 0) {
        hls_refuse(x, 400, "bad_name", "not a valid stream name");
        return;
    }
    if (hls_name_read(last_part(req->path), &r.object) < 0) {
        hls_refuse_unknown(x);
        return;
    }
    if (r.object.kind == HLS_PLAYLIST && hls_directives_read(req->query, &r.directives) < 0) {
        hls_refuse(x, 400, "bad_directive", "the delivery directives are malformed");
        return;
    }
    if (!admit(x, arg, r.object.kind))
        return;
    read_headers(req, &r);
    list_init(&r.node);
    r.stream = hls_stream_get(arg, http_exchange_worker(x), name);
    r.since_us = clock_us();
    r.by_us = r.since_us + hls_patience_us(r.stream);
    hls_answer(r.stream, &r);
}

/* To the same place for all, with what the query says. */
static void redirect(struct http_exchange *x, const struct http_request *req, void *arg)
{
    char name[NAME_STREAM_MAX + 1], to[LOCATION_MAX];
    if (name_stream(req->captures[0], req->captures[1], name) < 0) {
        hls_refuse(x, 400, "bad_name", "not a valid stream name");
        return;
    }
    int n = snprintf(to, sizeof to, "/%s/index.m3u8%s%.*s", name, req->query.len > 0 ? "?" : "",
                     SLICE_ARG(req->query));
    if (n < 0 || (size_t)n >= sizeof to) {
        hls_refuse(x, 414, "uri_too_long", "the request's target is too long");
        return;
    }
    const struct http_header headers[] = {{"Location", slice_text(to)},
                                          {"Cache-Control", slice_text("no-cache")}};
    http_respond(x, 302, headers, 2, slice_of(NULL, 0));
}

void hls_routes(struct hls *h, struct http_route out[HLS_ROUTES])
{
    static const struct http_route routes[HLS_ROUTES] = {
        {.method = "GET", .pattern = "/*/*.m3u8", .handle = redirect},
        {.method = "GET", .pattern = "/*/*/*.m3u8", .handle = play},
        {.method = "GET", .pattern = "/*/*/*.m4s", .handle = play},
        {.method = "GET", .pattern = "/*/*/*.mp4", .handle = play},
    };
    for (size_t i = 0; i < HLS_ROUTES; i++) {
        out[i] = routes[i];
        out[i].arg = h;
    }
}
