#ifndef SLUICE_EDGE_HLS_H
#define SLUICE_EDGE_HLS_H

#include "cluster/cluster.h"
#include "edge/audience.h"
#include "net/http_server.h"

/*
 * HLS players: playlists, and the segments and parts that they name, made from the log of the feed
 * when they are asked for.  Nobody is known: no cookie, no session; any worker of any node answers
 * any request with the same bytes.
 *
 *   request ──▶ hls_stream (one per name and worker) ──ready──▶ answer
 *                   │ not yet: held                      ▲
 *                   └────────────── feed: next part ─────┘ all at once, of one buffer
 */
struct hls; /* what the streams of a node share */

struct hls *hls_new(struct workers *g, struct hub *hub, struct edge *e);
/* How other nodes are asked for what is missing here; they outlive it.  Before the workers start,
 * when there are other nodes. */
void hls_set_upstream(struct hls *h, struct cluster *c, const struct relay_client *client);
/* After the workers have stopped. */
void hls_free(struct hls **hp);

/* GET /APP/STREAM.m3u8, /APP/STREAM/index.m3u8 and what it leads to; the arg is the struct hls. */
#define HLS_ROUTES 4
void hls_routes(struct hls *h, struct http_route out[HLS_ROUTES]);

#endif
