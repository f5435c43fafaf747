#ifndef SLUICE_EDGE_PLAY_WHEP_H
#define SLUICE_EDGE_PLAY_WHEP_H

#include "edge/audience.h"
#include "rtc/rtc_port.h"
#include "rtc/rtc_resource.h"

/*
 * WebRTC players (WHEP): one reader per stream and worker, which makes its frames into RTP packets
 * once (rtc_units), and a peer with a sender for each player.
 *
 *   feed ──▶ whep_stream ──rtc_units──▶ each whep_viewer: rtc_sender ──▶ rtc_peer
 *   feed of the derived sound (Opus), when the stream's own is another ──┘
 *
 * A player lives on the worker that took its offer.
 */
struct whep;

struct whep *whep_new(struct workers *g, struct hub *hub, struct edge *e, struct rtc_ports *ports);
/* After the workers have stopped, before the resources, the edge and the ports. */
void whep_free(struct whep **wp);
/* Who makes the sessions of the WHEP endpoint. */
struct rtc_maker whep_maker(struct whep *w);

#endif
