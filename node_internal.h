#ifndef SLUICE_NODE_INTERNAL_H
#define SLUICE_NODE_INTERNAL_H

#include "admin/api.h"
#include "admin/www.h"
#include "base/obj.h"
#include "core/memory_guard.h"
#include "core/privileges.h"
#include "edge/audience.h"
#include "edge/hls.h"
#include "edge/play_whep.h"
#include "edge/resolve.h"
#include "edge/view.h"
#include "net/listener.h"
#include "net/relay_call.h"
#include "net/rtmp_session.h"
#include "net/tls.h"
#include "origin/carried.h"
#include "origin/derive.h"
#include "origin/publisher.h"
#include "origin/relay_server.h"
#include "origin/whip.h"
#include "origin/yield.h"
#include "rtc/rtc_resource.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the node_*.c share. */

#define NODE_MAGIC 0x6e6f6465

struct node {
    uint32_t magic;
    const struct config *config;
    const char *path;
    char *const *sets;
    size_t set_count;
    struct log_id log;

    struct run_as run_as;
    struct workers workers;
    struct watchdog *watchdog;   /* NULL: no thread to be had */
    struct memory_guard *memory; /* the same */
    struct hub *hub;
    struct cluster *cluster;
    struct relay_identity identity;
    struct relay_client client;
    struct relay_guard *guard;
    struct relay_offsets *offsets;
    struct relay_links *links;
    struct tls_context *cluster_tls;         /* of all links between nodes; NULL: they are plain */
    struct tls_context *rtmp_tls, *http_tls; /* of the public ports; NULL: no such port */
    struct ingest *ingest;
    struct edge *edge;
    struct hls *hls;
    struct relay_server *relay;
    struct yield yield;
    struct carried_server carried;
    struct derive *derive;
    struct views *views;
    struct resolver *resolve; /* NULL: this node does not pull */
    struct rtc_resources *rtc;
    struct rtc_ports *rtc_ports;
    struct www *www;
    struct whep *whep; /* NULL: this node takes no players */
    struct whip *whip; /* NULL: this node takes no publishers */
    struct api *api;

    struct rtmp_server *rtmp;
    struct http_server *public_http, *admin_http, *cluster_http;
    struct http_route *public_routes, *admin_routes, *cluster_routes;
    struct listener_set *rtmp_port, *http_port, *admin_port, *cluster_port, *rtmps_port,
        *https_port;
    struct api_listen listen;

    struct config *reloaded; /* what SIGHUP has put in the place of `config` on the workers */
    atomic_bool draining;
    bool ending;              /* nothing takes the draining back; worker 0's */
    int64_t frame_bytes_peak; /* since memory was returned last; the main thread's */
    int memory_looks;         /* since then; the main thread's */
    bool stop_now;            /* a second signal has come */
    atomic_bool fatal;        /* the directory refused us or our settings: EXIT_CONFIG */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int waiting; /* answers that node_await() waits for; under the mutex */
};

static inline struct node *node_of(void *arg)
{
    return OBJ_CAST(struct node, arg, NODE_MAGIC);
}

/* The contexts of the ports that speak TLS to clients; a negative error is logged. */
int node_open_tls(struct node *n);
/* Takes what is in the certificate's files now, for the ports and for Redis, or keeps what there
 * was. */
void node_reload_tls(struct node *n, const struct config *next);
/* The host that others dial: node.advertise, or the local address of the route to where the cluster
 * is found (Redis, the group, the first static peer that has one), or any address of ours; false,
 * and loopback, when there is none yet. */
bool node_advertise(const struct config *c, char *out, size_t room);
/* Opens the ports: what they lead to has to know their numbers.  Nobody is accepted before the
 * workers start.  0 or a negative enum err; logged. */
int node_open_ports(struct node *n);
/* An edge carries publishers on to an origin, when there may be one. */
static inline bool node_takes_publishers(const struct config *c)
{
    return role_ingests(c->node.role) || c->cluster.backend != CLUSTER_NONE;
}
/* The endpoints of WHIP and WHEP, and who makes their sessions. */
void node_build_rtc(struct node *n);
/* WebRTC's own ports; as node_open_ports. */
int node_open_rtc_ports(struct node *n);
/* After whoever has peers. */
void node_free_rtc_ports(struct node *n);
/* Leaves root and closes the sandbox: all ports are open, no thread runs yet.  0, or negative when
 * the node must not go on; logged. */
int node_confine(struct node *n);
/* The HTTP servers with their routes, from the parts. */
void node_build_http(struct node *n);
/* Runs a step on every worker and waits until all have, at most until the deadline (clock_us). */
void node_on_workers(struct node *n, void (*run)(struct node *n, struct worker *w),
                     int64_t deadline_us);
/* Begins going out of service, or comes back; from any thread, one after the other.  done(ok) on
 * caller: ok is false when the process is ending. */
void node_set_drain(struct node *n, struct worker *caller, bool on,
                    void (*done)(bool ok, void *arg), void *arg);
/* Tells everybody to go and waits until they have, at most node.drain_s, or until a second signal.
 */
void node_drain(struct node *n);

/* node_memory.c: gives memory back when many frames have been freed.  The main thread calls it
 * every NODE_MEMORY_LOOK_S while nothing happens. */
#define NODE_MEMORY_LOOK_S 5
void node_memory_return(struct node *n);

#endif
