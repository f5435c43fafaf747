/* The ports of a node and what is behind each. */
#include "node_internal.h"

#include "admin/api.h"
#include "base/mem.h"
#include "edge/play_flv.h"
#include "net/listener.h"

/* ---- routes ---- */

static void get_flv(struct http_exchange *x, const struct http_request *req, void *edge)
{
    play_flv(x, req, edge);
}

static void get_flv_refused(struct http_exchange *x, const struct http_request *req, void *arg)
{
    http_respond_error(x, 403, "refused", "this node takes publishers only: ask an edge");
}

static struct http_route *routes_add(struct http_route *to, size_t *count,
                                     const struct http_route *from, size_t add, void *arg)
{
    to = xrealloc(to, (*count + add) * sizeof *to);
    for (size_t i = 0; i < add; i++) {
        to[*count] = from[i];
        to[(*count)++].arg = arg;
    }
    return to;
}

void node_build_http(struct node *n)
{
    const struct http_route flv = {.method = "GET",
                                   .pattern = "/*/*.flv",
                                   .handle = role_serves(n->config->node.role) ? get_flv
                                                                               : get_flv_refused};
    struct http_route hls[HLS_ROUTES], rtc[RTC_ROUTES], www[WWW_ROUTES];
    size_t count = 0, add;
    const struct http_route *api = api_public_routes(&add);
    n->public_routes = routes_add(NULL, &count, api, add, n->api);
    n->public_routes = routes_add(n->public_routes, &count, &flv, 1, n->edge);
    hls_routes(n->hls, hls);
    if (role_serves(n->config->node.role))
        n->public_routes = routes_add(n->public_routes, &count, hls, HLS_ROUTES, n->hls);
    rtc_resources_routes(n->rtc, rtc);
    n->public_routes = routes_add(n->public_routes, &count, rtc, RTC_ROUTES, n->rtc);
    www_routes(n->www, www);
    n->public_routes = routes_add(n->public_routes, &count, www, WWW_ROUTES, n->www);
    n->public_http =
        http_server_new(&(struct http_server_options){.name = "http",
                                                      .routes = n->public_routes,
                                                      .route_count = count,
                                                      .cors_origin = n->config->http.cors_origin,
                                                      .request_ms = n->config->limits.request_ms,
                                                      .http2 = true});

    count = 0;
    api = api_admin_routes(&add);
    n->admin_routes = routes_add(NULL, &count, api, add, n->api);
    n->admin_http =
        http_server_new(&(struct http_server_options){.name = "admin",
                                                      .routes = n->admin_routes,
                                                      .route_count = count,
                                                      .arg = n->api,
                                                      .on_request = api_admin_authorize});

    struct http_route relay[RELAY_ROUTES], yield[YIELD_ROUTES], carried[CARRIED_ROUTES];
    struct http_route cluster[CLUSTER_ROUTES], rtc_cluster[RTC_CLUSTER_ROUTES];
    relay_server_routes(n->relay, relay);
    yield_routes(&n->yield, yield);
    carried_routes(&n->carried, carried);
    cluster_serve_routes(n->cluster, cluster);
    rtc_resources_cluster_routes(n->rtc, rtc_cluster);
    count = 0;
    api = api_cluster_routes(&add);
    n->cluster_routes = routes_add(NULL, &count, api, add, n->api);
    n->cluster_routes = routes_add(n->cluster_routes, &count, relay, RELAY_ROUTES, n->relay);
    n->cluster_routes = routes_add(n->cluster_routes, &count, yield, YIELD_ROUTES, &n->yield);
    n->cluster_routes = routes_add(n->cluster_routes, &count, carried, CARRIED_ROUTES, &n->carried);
    n->cluster_routes = routes_add(n->cluster_routes, &count, cluster, CLUSTER_ROUTES, n->cluster);
    n->cluster_routes =
        routes_add(n->cluster_routes, &count, rtc_cluster, RTC_CLUSTER_ROUTES, n->rtc);
    n->cluster_http = http_server_new(&(struct http_server_options){
        .name = "cluster", .routes = n->cluster_routes, .route_count = count});
}

/* ---- ports ---- */

static void accept_rtmp(struct worker *w, struct io *io, void *arg)
{
    rtmp_server_accept(w, io, node_of(arg)->rtmp);
}

static void accept_http(struct worker *w, struct io *io, void *arg)
{
    http_server_accept(w, io, node_of(arg)->public_http);
}

static void accept_admin(struct worker *w, struct io *io, void *arg)
{
    http_server_accept(w, io, node_of(arg)->admin_http);
}

static void accept_cluster(struct worker *w, struct io *io, void *arg)
{
    http_server_accept(w, io, node_of(arg)->cluster_http);
}

int node_open_ports(struct node *n)
{
    const struct config *c = n->config;
    const struct {
        struct listener_set **set;
        char *text;
        struct listener_options options;
    } ports[] = {
        {&n->rtmp_port,
         n->listen.rtmp,
         {"rtmp", c->rtmp.listen, c->rtmp.proxy_protocol, false, NULL, accept_rtmp, n}},
        {&n->http_port,
         n->listen.http,
         {"http", c->http.listen, c->http.proxy_protocol, false, NULL, accept_http, n}},
        {&n->admin_port,
         n->listen.admin,
         {"admin", c->admin.listen, false, true, NULL, accept_admin, n}},
        {&n->cluster_port,
         n->listen.cluster,
         {"cluster", c->cluster.listen, false, true, n->cluster_tls, accept_cluster, n}},
        {&n->rtmps_port,
         n->listen.rtmps,
         {"rtmps", c->rtmp.tls_listen, c->rtmp.proxy_protocol, false, n->rtmp_tls, accept_rtmp, n}},
        {&n->https_port,
         n->listen.https,
         {"https", c->http.tls_listen, c->http.proxy_protocol, false, n->http_tls, accept_http, n}},
    };
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        bool no_cluster = ports[i].set == &n->cluster_port && c->cluster.backend == CLUSTER_NONE;
        if (no_cluster || ports[i].options.address[0] == '\0')
            continue;
        int err = listeners_open(ports[i].set, &n->workers, &ports[i].options);
        if (err < 0)
            return err;
        listeners_address_text(*ports[i].set, ports[i].text);
    }
    return 0;
}
