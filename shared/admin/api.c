/*
 * The api's routes, who may use them, and requests that are answered later.
 */
#include "admin/api_internal.h"

#include "base/mem.h"
#include "base/obj.h"
#include "core/crypto.h"

#include <stdlib.h>

/* --- lifetime --- */

struct api *api_new(const struct api_options *o)
{
    struct api *a = xcalloc(1, sizeof *a);
    a->magic = API_MAGIC;
    a->o = *o;
    a->log = (struct log_id){.kind = "api"};
    return a;
}

void api_free(struct api **ap)
{
    struct api *a = *ap;
    *ap = NULL;
    if (a == NULL)
        return;
    OBJ_CHECK(a, API_MAGIC);
    OBJ_POISON(a);
    free(a);
}

void api_set_cluster(struct api *a, struct cluster *c)
{
    a->o.cluster = c;
}

/* --- requests --- */

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct api_request *r = OBJ_CAST(struct api_request, owner, API_REQUEST_MAGIC);
    r->x = NULL;
}

struct api_request *api_request_new(struct api *a, struct http_exchange *x)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    struct api_request *r = xcalloc(1, sizeof *r);
    r->magic = API_REQUEST_MAGIC;
    r->api = a;
    r->worker = http_exchange_worker(x);
    r->x = x;
    http_exchange_watch(x, &ops, r);
    return r;
}

struct api_request *api_request_named(struct api *a, struct http_exchange *x,
                                      const struct http_request *req)
{
    char name[NAME_STREAM_MAX + 1];
    if (name_stream(req->captures[0], req->captures[1], name) < 0) {
        http_respond_error(x, 400, "bad_name", "not the name of a stream");
        return NULL;
    }
    struct api_request *r = api_request_new(a, x);
    must(slice_copy(slice_text(name), r->name, sizeof r->name));
    return r;
}

struct http_exchange *api_request_end(struct api_request *r)
{
    OBJ_CHECK(r, API_REQUEST_MAGIC);
    struct http_exchange *x = r->x;
    if (x != NULL)
        http_exchange_watch(x, NULL, NULL);
    OBJ_POISON(r);
    free(r);
    return x;
}

/* --- the token --- */

static bool is_health(struct slice path)
{
    return slice_is(path, "/healthz") || slice_is(path, "/readyz");
}

static bool token_ok(const struct http_request *req, const char *token)
{
    struct slice given, text = http_request_header(req, "Authorization");
    struct slice scheme = slice_cut(text, ' ', &given, NULL);
    return slice_is_nocase(scheme, "Bearer") && crypto_equal(slice_trim(given), slice_text(token));
}

bool api_admin_authorize(struct http_exchange *x, const struct http_request *req, void *api)
{
    const struct api *a = OBJ_CAST(struct api, api, API_MAGIC);
    const char *token = a->o.config->admin.token;
    if (token == NULL || token[0] == '\0' || is_health(req->path) || token_ok(req, token))
        return true;
    const struct http_header header = {"WWW-Authenticate", slice_text("Bearer realm=\"sluice\"")};
    http_respond_error_with(x, 401, "unauthorized", "a bearer token is required", &header, 1);
    return false;
}

/* --- routes --- */

#define READ_ROUTES                                                                                \
    {.method = "GET", .pattern = "/api/v1/node", .handle = api_get_node},                          \
        {.method = "GET", .pattern = "/api/v1/nodes", .handle = api_get_nodes},                    \
        {.method = "GET", .pattern = "/api/v1/streams", .handle = api_get_streams},                \
        {.method = "GET", .pattern = "/api/v1/streams/*/*", .handle = api_get_stream},             \
        {.method = "GET", .pattern = "/healthz", .handle = api_get_healthz},                       \
    {                                                                                              \
        .method = "GET", .pattern = "/readyz", .handle = api_get_readyz                            \
    }

static const struct http_route public_routes[] = {READ_ROUTES};

static const struct http_route admin_routes[] = {
    READ_ROUTES,
    {.method = "DELETE", .pattern = "/api/v1/streams/*/*", .handle = api_delete_stream},
    {.method = "POST", .pattern = "/api/v1/drain", .handle = api_post_drain},
    {.method = "DELETE", .pattern = "/api/v1/drain", .handle = api_delete_drain},
    {.method = "GET", .pattern = "/metrics", .handle = api_get_metrics},
};

static const struct http_route cluster_routes[] = {
    {.method = "GET", .pattern = API_CLUSTER_STREAMS, .handle = api_get_cluster_streams},
};

const struct http_route *api_public_routes(size_t *count)
{
    *count = sizeof public_routes / sizeof public_routes[0];
    return public_routes;
}

const struct http_route *api_admin_routes(size_t *count)
{
    *count = sizeof admin_routes / sizeof admin_routes[0];
    return admin_routes;
}

const struct http_route *api_cluster_routes(size_t *count)
{
    *count = sizeof cluster_routes / sizeof cluster_routes[0];
    return cluster_routes;
}
