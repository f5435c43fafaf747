#ifndef SLUICE_ORIGIN_RELAY_SERVER_H
#define SLUICE_ORIGIN_RELAY_SERVER_H

#include "hub/hub.h"
#include "net/http_server.h"
#include "net/relay_links.h"
#include "net/relay_sign.h"

/*
 * Serves logs to other nodes on the cluster port (design: relay).
 *
 *   GET  /relay/v1/APP/STREAM                       the live flow from the newest key frame,
 * endless GET  /relay/v1/APP/STREAM?from=EPOCH.SEQ        the same from a place, when it is held
 *   GET  /relay/v1/APP/STREAM?epoch=E&from=A&to=B   frames of the past, then an end record
 *   GET  /relay/v1/APP/STREAM?before=E              the run that the one of epoch E may go on from,
 * with all that is held of it, once it is over: for E's owner
 *   GET  /relay/v1/APP/STREAM?probe=1               {"epoch","instance","owner","state",
 * "fed","path"}: state is live or lost, fed that frames come; or {"state":"wanted"}: readers wait
 *
 *   POST /relay/v1/APP/STREAM/want {"key":true}     a key frame is wanted
 *   GET  /relay/v1/ping                             {"node","instance"}
 *
 * A replica is served like a log of our own.  Every request is verified; what it may see afterwards
 * is everything, since only nodes of the cluster have the secret.
 */
#define RELAY_WAIT_MS                                                                              \
    1000 /* how long a live request waits for the first frames of a claimed stream */
#define RELAY_KEEPALIVE_MS 500 /* silence after which a keepalive is sent */

struct relay_server;

struct relay_options {
    struct hub *hub;
    const struct relay_identity *identity; /* outlives the server, as does the guard */
    struct relay_guard *guard;
    struct relay_links *links; /* may be NULL */
    /* An answer to a request with `before` begins: another owner gets what it goes on from.  On the
     * connection's worker; may be NULL. */
    void (*on_handed_over)(const char *name, struct worker *w, void *arg);
    void *arg;
    int64_t (*wall_ms)(
        void); /* unix milliseconds by which signatures are judged; NULL: the clock */
};

struct relay_server *relay_server_new(const struct relay_options *o);
/* After the workers have stopped and the HTTP server is gone. */
void relay_server_free(struct relay_server **sp);

/*
 * Verifies a request of another node: true, or false when it has been answered (401 with the time
 * by which we judge when its clock is off, 401 without a signature, 403).  For every request to the
 * cluster port; the handlers below do it themselves.
 */
bool relay_server_admit(struct relay_server *s, struct http_exchange *x,
                        const struct http_request *req, struct relay_sender *sender);

/*
 * The process will end.  The runs that began here stay to be had until another node's have taken
 * their place or relay_server_drain() is called; what is pulled is had elsewhere: its flows end
 * with DRAIN, and new ones are refused.  On w, for the flows of w.
 */
void relay_server_leave(struct relay_server *s, struct worker *w);
/* Ends all flows of w with DRAIN; on w. */
void relay_server_drain(struct relay_server *s, struct worker *w);

/* The routes above, to be put with others into an HTTP server's table. */
#define RELAY_ROUTES 3
void relay_server_routes(struct relay_server *s, struct http_route out[RELAY_ROUTES]);

#endif
