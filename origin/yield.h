#ifndef SLUICE_ORIGIN_YIELD_H
#define SLUICE_ORIGIN_YIELD_H

#include "net/relay_call.h"
#include "origin/publisher.h"
#include "origin/relay_server.h"

/*
 * May a newcomer have the stream?  Between the node where a publisher arrived and the node that
 * owns its stream:
 *
 *   POST /relay/v1/APP/STREAM/yield   {"yields": true|false}
 *
 * An owner without a live publisher yields; so does one where nobody listens any more.  One that
 * does not answer in YIELD_DEADLINE_MS is left to the directory, which gives the stream away once
 * half the lease has passed without a renewal.
 */
#define YIELD_DEADLINE_MS 300

struct yield {
    struct ingest *ingest;
    struct relay_server *relay; /* admits the requests of others */
    const struct relay_client *client;
};

/* An ingest_asker; arg is a struct yield. */
void yield_ask(struct worker *w, const char *name, const struct cluster_owner *owner,
               void (*done)(bool gone, void *arg), void *done_arg, void *yield);

/* The other side; its arg is a struct yield. */
#define YIELD_ROUTES 1
void yield_routes(struct yield *y, struct http_route out[YIELD_ROUTES]);

#endif
