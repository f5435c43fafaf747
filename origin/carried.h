#ifndef SLUICE_ORIGIN_CARRIED_H
#define SLUICE_ORIGIN_CARRIED_H

#include "origin/publisher.h"
#include "origin/relay_server.h"

/*
 * Publishers that arrived at another node, which carries them on to this one (origin/carrier.h):
 *
 *   POST /relay/v1/APP/STREAM/publish?proto=PROTO&publisher=IDENTITY
 *
 * The body is relay records: frames (as the other node's publisher sent them, nothing is framed
 * again), keepalives, and an end.  The answer is relay records, too: accepted once the claim is
 * granted, then wishes for key frames, keepalives, and an end whose text is the word of a close
 * reason.  What can be said before the claim is asked for is an HTTP status: 400, 409 (this node
 * owns no streams), 503 (going out of service), 508.  Who may publish was decided where the
 * publisher arrived: nodes trust nodes.
 */
#define CARRIED_DEAD_MS 2000 /* silence on a link with keepalives every 500 ms */

struct carried_server {
    struct ingest *ingest;
    struct relay_server *relay; /* admits the requests */
};

/* Its arg is the server. */
#define CARRIED_ROUTES 1
void carried_routes(struct carried_server *s, struct http_route out[CARRIED_ROUTES]);

#endif
