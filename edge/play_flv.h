#ifndef SLUICE_EDGE_PLAY_FLV_H
#define SLUICE_EDGE_PLAY_FLV_H

#include "edge/audience.h"
#include "net/http_server.h"

/* GET /APP/STREAM.flv: the stream as (Enhanced) FLV, as published; `edge` is given.  Track 0 only,
 * unless ?tracks=all.  Captures: APP, STREAM. */
void play_flv(struct http_exchange *x, const struct http_request *req, struct edge *e);

#endif
