#ifndef SLUICE_ORIGIN_WHIP_H
#define SLUICE_ORIGIN_WHIP_H

#include "origin/publisher.h"
#include "rtc/rtc_port.h"
#include "rtc/rtc_resource.h"

/*
 * Publishers over WebRTC (WHIP): a resource that a POST has made, the claim on the name, then a
 * peer and what comes from it.
 *
 *   rtc_resource ─▶ publisher_open ──accepted──▶ rtc_peer ─▶ answer
 *   rtc_peer ──packets──▶ rtc_receiver ──units──▶ whip_tags ──▶ publisher_push
 *       ▲──── RTCP ────────────┘
 *
 * A session is on the worker of its resource.  It ends by DELETE (the stream is over), by the
 * claim's word (kick, drain, another publisher), or with its peer: then the stream is lost, and may
 * be taken up again as after any lost transport.
 */
struct whip; /* of a node */

/* Before the workers start; what it is given outlives it. */
struct whip *whip_new(struct workers *g, struct ingest *i, struct rtc_ports *ports);
/* After the workers have stopped and the HTTP servers are gone: ends the sessions that are left. */
void whip_free(struct whip **wp);
/* The maker of WHIP sessions. */
struct rtc_maker whip_maker(struct whip *w);

#endif
