#ifndef SLUICE_EDGE_PLAY_RTMP_H
#define SLUICE_EDGE_PLAY_RTMP_H

#include "edge/audience.h"
#include "net/rtmp_session.h"

/* RTMP players: what a session that plays hands its events to; its arg is the struct edge.  Players
 * that announced multitrack (capsEx) or ask with ?tracks=all get every track, others track 0. */
extern const struct rtmp_handler play_rtmp_handler;

#endif
