#ifndef SLUICE_ADMIN_API_H
#define SLUICE_ADMIN_API_H

#include "cluster/cluster.h"
#include "core/config.h"
#include "hub/hub.h"
#include "net/http_server.h"
#include "net/relay_call.h"

/*
 * What a person or a program asks a node: /api/v1, /healthz, /readyz, /metrics (contract:
 * Addresses, JSON). The node gives it what it may look at and the few things it may do; the api
 * owns none of it.
 */
struct api;

/* Addresses in use, "HOST:PORT"; empty: not listening. */
struct api_listen {
    char rtmp[NET_ADDRESS_TEXT_MAX], http[NET_ADDRESS_TEXT_MAX], cluster[NET_ADDRESS_TEXT_MAX],
        admin[NET_ADDRESS_TEXT_MAX], rtmps[NET_ADDRESS_TEXT_MAX], https[NET_ADDRESS_TEXT_MAX];
    struct text_list webrtc; /* one for each worker */
};

struct api_options {
    struct workers *workers;
    const struct config *config;
    struct hub *hub;
    struct cluster *cluster; /* may come later: api_set_cluster */
    const struct relay_identity *identity;
    struct relay_guard *guard;
    const struct relay_client *client; /* for requests to other nodes */
    void *node;                        /* given to the functions below, which any worker may call */
    const struct api_listen *(*listen)(void *node);
    bool (*is_draining)(void *node);
    /* Begins or ends going out of service; done(ok) on caller, once: ok is false when the process
     * is ending and nothing can stop that. */
    void (*drain)(void *node, struct worker *caller, bool on, void (*done)(bool ok, void *arg),
                  void *arg);
    int64_t (*viewers)(void *node);
    /* Ends the local publisher of the name, as a kick; done(found) on caller, once. */
    void (*kick)(void *node, struct worker *caller, const char *name,
                 void (*done)(bool found, void *arg), void *arg);
};

/* `o` is copied; what it points to outlives the api.  Before the workers start. */
struct api *api_new(const struct api_options *o);
/* After the workers have stopped and the http_servers that use it are gone. */
void api_free(struct api **ap);
/* The cluster, where it is opened after the api is made; before the workers start. */
void api_set_cluster(struct api *a, struct cluster *c);

/*
 * The route tables, for three http_servers; each route's handler gets the struct api as arg.  The
 * caller appends its own routes (players, relay) to a table of its own and copies these in.
 *   public: GET /api/v1/…, /healthz, /readyz
 *   admin:  the same, DELETE /api/v1/streams/APP/STREAM, POST and DELETE /api/v1/drain, /metrics; a
 * bearer token when admin.token is set cluster: GET /cluster/v1/streams: this node's streams for
 * ?scope=cluster of another (signed)
 */
const struct http_route *api_public_routes(size_t *count);
const struct http_route *api_admin_routes(size_t *count);
const struct http_route *api_cluster_routes(size_t *count);
/* on_request of the admin server: checks the token (health is open); 401 with WWW-Authenticate. */
bool api_admin_authorize(struct http_exchange *x, const struct http_request *req, void *api);

#endif
