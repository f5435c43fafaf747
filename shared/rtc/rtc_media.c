/*
 * What a peer is for: packets are opened as they come, and sealed straight into the port's arena.
 */
#include "rtc/rtc_internal.h"

#include "core/clock.h"

#define RTCP_FIRST 192 /* of the second byte (RFC 5761 4) */
#define RTCP_LAST  223

#define UNDER_WAY_US 1000000 /* what a remote that left had sent before comes within this time */

/* --- in --- */

static bool is_rtcp(const uint8_t *packet, size_t len)
{
    return len > 1 && packet[1] >= RTCP_FIRST && packet[1] <= RTCP_LAST;
}

void rtc_peer_receive(struct rtc_peer *p, const struct ice_path *from, uint8_t *packet, size_t len,
                      int64_t arrival_us)
{
    bool rtcp = is_rtcp(packet, len);
    if (p->opener == NULL)
        return; /* it was faster than the handshake's end */
    ssize_t left =
        rtcp ? rtc_opener_rtcp(p->opener, packet, len) : rtc_opener_rtp(p->opener, packet, len);
    if (left < 0) {
        METRIC_INC(p->port->worker->metrics.rtc_auth_failed_total);
        return;
    }
    int64_t now_us = clock_us();
    ice_session_touch(p->ice, from, now_us);
    if (p->media_us == 0)
        p->media_us = now_us;
    if (p->suspected_us != 0 && now_us - p->suspected_us > UNDER_WAY_US)
        p->suspected_us = 0;
    if (rtcp)
        p->handler->rtcp(p->owner, packet, (size_t)left, arrival_us);
    else
        p->handler->rtp(p->owner, packet, (size_t)left, arrival_us);
}

/* --- out --- */

static size_t length_of(const struct rtc_out *o)
{
    size_t len = o->header.len;
    for (size_t i = 0; i < o->piece_count; i++)
        len += o->pieces[i].len;
    return len;
}

/* Where a sealed packet is to be written; NULL: there is no room. */
static uint8_t *room_for(struct rtc_port *port, const struct ice_path *to, size_t len)
{
    must(len <= RTC_HEADER_MAX + RTC_PAYLOAD_MAX);
    return to->stream != NULL ? port->frame_out + 2
                              : udp_batch_room(port->udp, len + RTC_SRTP_TRAILER_MAX);
}

/* What was sealed there; an error of the sealer is a lost packet. */
static bool put(struct rtc_port *port, const struct ice_path *to, ssize_t sealed)
{
    if (sealed > 0 && to->stream == NULL) {
        udp_batch_put(port->udp, &to->way, !to->unsegmented, (size_t)sealed);
        return true;
    }
    if (sealed > 0 && rtc_stream_send_frame(to->stream, (size_t)sealed))
        return true;
    METRIC_INC(port->worker->metrics.rtc_send_dropped_total);
    return false;
}

static bool send_packet(struct rtc_peer *p, const struct ice_path *to, const struct rtc_out *o)
{
    size_t len = length_of(o);
    uint8_t *room = room_for(p->port, to, len);
    if (room == NULL)
        return false;
    ssize_t sealed = rtc_sealer_rtp(p->sealer, o->header, o->pieces, o->piece_count, room,
                                    len + RTC_SRTP_TRAILER_MAX);
    return put(p->port, to, sealed);
}

size_t rtc_peer_send_rtp(struct rtc_peer *p, const struct rtc_out *packets, size_t count)
{
    const struct ice_path *to = p->sealer != NULL ? ice_session_path(p->ice) : NULL;
    size_t sent = 0;
    while (to != NULL && sent < count && send_packet(p, to, &packets[sent]))
        sent++;
    return sent;
}

size_t rtc_peer_queued(const struct rtc_peer *p)
{
    const struct ice_path *to = ice_session_path(p->ice);
    return to != NULL && to->stream != NULL ? rtc_stream_queued(to->stream) : 0;
}

bool rtc_peer_send_rtcp(struct rtc_peer *p, const uint8_t *compound, size_t len)
{
    const struct ice_path *to = p->sealer != NULL ? ice_session_path(p->ice) : NULL;
    uint8_t *room = to != NULL ? room_for(p->port, to, len) : NULL;
    if (room == NULL)
        return false;
    ssize_t sealed =
        rtc_sealer_rtcp(p->sealer, slice_of(compound, len), room, len + RTC_SRTP_TRAILER_MAX);
    return put(p->port, to, sealed);
}

_Static_assert(RTC_HEADER_MAX + RTC_PAYLOAD_MAX <= RTC_FRAME_MAX, "a packet fits a frame");
