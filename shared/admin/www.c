/*
 * Files out of the program: never copied, told apart by their hash.
 */
#include "admin/www.h"

#include "admin/www_internal.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/name.h"
#include "base/obj.h"
#include "core/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define WWW_MAGIC    0x77777700U
#define ETAG_BYTES   8 /* of the hash */
#define ETAG_SIZE    (2 * ETAG_BYTES + 3)
#define LOCATION_MAX 2048 /* bytes */

/* Nothing but our own files runs; hls.js makes its worker from a blob. */
#define POLICY                                                                                     \
    "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; img-src 'self' data:; "  \
    "object-src 'none'; base-uri 'none'; form-action 'self'"

/* Of one of www_files. */
struct www_entry {
    char etag[ETAG_SIZE];
    struct iovec plain, packed;
};

struct www {
    uint32_t magic;
    struct www_entry *entries;
};

static struct iovec bytes_between(const uint8_t *begin, const uint8_t *end)
{
    return (struct iovec){(void *)(uintptr_t)begin, (size_t)(end - begin)}; /* only read */
}

struct www *www_new(void)
{
    struct www *w = xcalloc(1, sizeof *w);
    w->magic = WWW_MAGIC;
    w->entries = xcalloc(www_file_count + 1, sizeof *w->entries);
    for (size_t i = 0; i < www_file_count; i++) {
        const struct www_file *f = &www_files[i];
        struct www_entry *e = &w->entries[i];
        uint8_t hash[SHA256_SIZE];
        char text[2 * ETAG_BYTES + 1];
        e->plain = bytes_between(f->begin, f->end);
        e->packed = bytes_between(f->packed, f->packed_end);
        crypto_sha256(slice_of(e->plain.iov_base, e->plain.iov_len), hash);
        hex_encode(hash, ETAG_BYTES, text);
        snprintf(e->etag, ETAG_SIZE, "\"%s\"", text);
    }
    return w;
}

void www_free(struct www **wp)
{
    struct www *w = *wp;
    *wp = NULL;
    if (w == NULL)
        return;
    OBJ_CHECK(w, WWW_MAGIC);
    OBJ_POISON(w);
    free(w->entries);
    free(w);
}

static void refuse(struct http_exchange *x)
{
    http_respond_error(x, 404, "not_found", "there is nothing here");
}

/* One of If-None-Match's tags, weak or not (RFC 9110, 13.1.2), is the file's. */
static bool has_it(const struct http_request *req, const char *etag)
{
    struct slice rest = http_request_header(req, "If-None-Match");
    while (rest.len > 0) {
        struct slice tag = slice_trim(slice_cut(rest, ',', &rest, NULL));
        if (slice_starts(tag, "W/"))
            tag = slice_of(tag.p + 2, tag.len - 2);
        if (slice_is(tag, etag) || slice_is(tag, "*"))
            return true;
    }
    return false;
}

static void send_file(const struct www *w, struct http_exchange *x, const struct http_request *req,
                      size_t i)
{
    const struct www_entry *e = &w->entries[i];
    bool gzip = e->packed.iov_len < e->plain.iov_len && http_request_takes(req, "gzip");
    const struct http_header headers[] = {
        {"Content-Type", slice_text(www_files[i].type)},
        {"Cache-Control", slice_text("no-cache")},
        {"ETag", slice_text(e->etag)},
        {"Vary", slice_text("Accept-Encoding")},
        {"Content-Security-Policy", slice_text(POLICY)},
        {"X-Content-Type-Options", slice_text("nosniff")},
        {"Referrer-Policy", slice_text("no-referrer")},
        {"Content-Encoding", slice_text("gzip")}, /* the last, for that */
    };
    size_t count = sizeof headers / sizeof headers[0] - (gzip ? 0 : 1);
    const struct iovec *bytes = gzip ? &e->packed : &e->plain;
    if (has_it(req, e->etag)) {
        http_respond(x, 304, headers, count, slice_of(NULL, 0));
        return;
    }
    const struct http_content content = {.iov = bytes, .count = 1, .len = bytes->iov_len};
    http_respond_content(x, 200, headers, count, &content);
}

static void send_named(const struct www *w, struct http_exchange *x, const struct http_request *req,
                       struct slice name)
{
    for (size_t i = 0; i < www_file_count; i++) {
        if (!slice_is(name, www_files[i].name))
            continue;
        send_file(w, x, req, i);
        return;
    }
    refuse(x);
}

static void get_console(struct http_exchange *x, const struct http_request *req, void *arg)
{
    send_named(OBJ_CAST(struct www, arg, WWW_MAGIC), x, req, slice_text("console.html"));
}

static void get_file(struct http_exchange *x, const struct http_request *req, void *arg)
{
    send_named(OBJ_CAST(struct www, arg, WWW_MAGIC), x, req, req->captures[0]);
}

/* A page of a stream, whether there is one or not: pages wait for it. */
static void get_page(struct http_exchange *x, const struct http_request *req, void *arg,
                     const char *page)
{
    char name[NAME_STREAM_MAX + 1];
    if (name_stream(req->captures[0], req->captures[1], name) < 0)
        refuse(x);
    else
        send_named(OBJ_CAST(struct www, arg, WWW_MAGIC), x, req, slice_text(page));
}

static void get_player(struct http_exchange *x, const struct http_request *req, void *arg)
{
    get_page(x, req, arg, "player.html");
}

static void get_publisher(struct http_exchange *x, const struct http_request *req, void *arg)
{
    get_page(x, req, arg, "publish.html");
}

/* What a page names is relative to it, so it needs its slash. */
static void redirect(struct http_exchange *x, const struct http_request *req, void *arg)
{
    char name[NAME_STREAM_MAX + 1], to[LOCATION_MAX];
    int n = snprintf(to, sizeof to, "%.*s/%s%.*s", SLICE_ARG(req->captures[1]),
                     req->query.len > 0 ? "?" : "", SLICE_ARG(req->query));
    if (name_stream(req->captures[0], req->captures[1], name) < 0 || n < 0 ||
        (size_t)n >= sizeof to) {
        refuse(x);
        return;
    }
    const struct http_header header = {"Location", slice_text(to)};
    http_respond(x, 308, &header, 1, slice_of(NULL, 0));
}

void www_routes(struct www *w, struct http_route out[WWW_ROUTES])
{
    static const struct http_route routes[WWW_ROUTES] = {
        {.method = "GET", .pattern = "/", .handle = get_console},
        {.method = "GET", .pattern = "/console", .handle = get_console},
        {.method = "GET", .pattern = "/*/*/", .handle = get_player},
        {.method = "GET", .pattern = "/*/*/publish", .handle = get_publisher},
        {.method = "GET", .pattern = "/*/*", .handle = redirect},
        {.method = "GET", .pattern = "/*", .handle = get_file},
    };
    for (size_t i = 0; i < WWW_ROUTES; i++) {
        out[i] = routes[i];
        out[i].arg = w;
    }
}
