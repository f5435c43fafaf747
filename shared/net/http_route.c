#include "base/must.h"
#include "net/http_internal.h"
#include "proto/url.h"

#include <string.h>

#define ALLOW_ROOM 128 /* bytes of an Allow header */

static const char *const method_names[] = {
    [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
    [HTTP_OPTIONS] = "OPTIONS",
};
#define METHOD_COUNT (sizeof method_names / sizeof method_names[0])

const char *http_method_name(enum http_method m)
{
    return method_names[m];
}

bool http_method_parse(struct slice text, enum http_method *out)
{
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (slice_is(text, method_names[i])) {
            *out = (enum http_method)i;
            return true;
        }
    }
    return false;
}

struct slice http_request_header(const struct http_request *req, const char *name)
{
    return http1_header_value(req->headers, name);
}

bool http_request_query(const struct http_request *req, const char *name, char *out, size_t room)
{
    return url_query_get(req->query, name, out, room) >= 0;
}

bool http_request_takes(const struct http_request *req, const char *coding)
{
    struct slice list = http_request_header(req, "Accept-Encoding");
    while (list.len > 0) {
        struct slice quality;
        struct slice item = slice_cut(list, ',', &list, NULL);
        struct slice name = slice_trim(slice_cut(item, ';', &quality, NULL));
        quality = slice_trim(quality);
        if (slice_is_nocase(name, coding))
            return !slice_is(quality, "q=0") && !slice_starts(quality, "q=0.0");
    }
    return false;
}

static bool route_serves(const struct http_route *r, enum http_method m)
{
    if (strcmp(r->method, "*") == 0 || strcmp(r->method, method_names[m]) == 0)
        return true;
    return m == HTTP_HEAD && strcmp(r->method, "GET") == 0;
}

static int match(const struct http_route *r, const struct http_request *req, struct slice *captures)
{
    return url_match(r->pattern, req->path, captures, HTTP_CAPTURES_MAX);
}

/* The methods a path has, "GET, HEAD, …"; empty when there is no such path. */
static void allowed(const struct http_server *s, const struct http_request *req, char *out)
{
    struct slice captures[HTTP_CAPTURES_MAX];
    struct wr w = wr_init(out, ALLOW_ROOM - 1);
    for (size_t m = 0; m < METHOD_COUNT; m++) {
        bool has = false;
        for (size_t i = 0; i < s->route_count && !has; i++)
            has = route_serves(&s->routes[i], (enum http_method)m) &&
                  match(&s->routes[i], req, captures) >= 0;
        if (!has && (m != HTTP_OPTIONS || s->cors_origin == NULL || wr_len(&w) == 0))
            continue;
        wr_text(&w, wr_len(&w) > 0 ? ", " : "");
        wr_text(&w, method_names[m]);
    }
    must(!w.overflow);
    out[wr_len(&w)] = '\0';
}

static void answer_preflight(struct http_exchange *x, const char *methods)
{
    const struct http_header headers[] = {
        {"Access-Control-Allow-Methods", slice_text(methods)},
        {"Access-Control-Allow-Headers",
         slice_text("Range, If-None-Match, If-Match, Authorization, Content-Type")},
        {"Access-Control-Max-Age", slice_text("86400")},
        {"Allow", slice_text(methods)},
    };
    http_respond(x, 204, headers, sizeof headers / sizeof headers[0], slice_of(NULL, 0));
}

static void answer_no_route(struct http_exchange *x, const struct http_request *req)
{
    const struct http_server *s = x->server;
    char allow[ALLOW_ROOM];
    allowed(s, req, allow);
    if (allow[0] == '\0') {
        http_respond_error(x, 404, "not_found", "there is nothing here");
        return;
    }
    if (req->method == HTTP_OPTIONS && s->cors_origin != NULL) {
        answer_preflight(x, allow);
        return;
    }
    const struct http_header header = {"Allow", slice_text(allow)};
    http_respond_error_with(x, 405, "method_not_allowed", "not with this method", &header, 1);
}

const struct http_route *http_route_find(const struct http_server *s, struct http_request *req)
{
    for (size_t i = 0; i < s->route_count; i++) {
        const struct http_route *r = &s->routes[i];
        int n = route_serves(r, req->method) ? match(r, req, req->captures) : -1;
        if (n < 0)
            continue;
        req->capture_count = (size_t)n;
        return r;
    }
    return NULL;
}

void http_route_request(struct http_exchange *x, const struct http_route *r,
                        struct http_request *req)
{
    const struct http_server *s = x->server;
    if (r == NULL)
        answer_no_route(x, req);
    else if (s->on_request == NULL || s->on_request(x, req, s->arg))
        r->handle(x, req, r->arg != NULL ? r->arg : s->arg);
}
