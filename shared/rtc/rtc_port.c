/*
 * What comes in, by its first byte (RFC 7983), and what goes out that is no media.
 */
#include "rtc/rtc_internal.h"

#include "base/err.h"
#include "core/clock.h"

#include <string.h>

enum kind { KIND_STUN, KIND_DTLS, KIND_MEDIA, KIND_NONE };

static enum kind kind_of(uint8_t first)
{
    static const struct {
        uint8_t from, to;
        enum kind kind;
    } kinds[] = {{0, 3, KIND_STUN}, {20, 63, KIND_DTLS}, {128, 191, KIND_MEDIA}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (first >= kinds[i].from && first <= kinds[i].to)
            return kinds[i].kind;
    return KIND_NONE;
}

static bool receive_stun(struct rtc_port *port, const struct ice_path *from, struct slice message)
{
    struct ice_received got;
    if (ice_receive(port->ice, from, message, clock_us(), &got) < 0) {
        METRIC_INC(port->worker->metrics.rtc_checks_dropped_total);
        return false;
    }
    METRIC_INC(port->worker->metrics.rtc_checks_total);
    if (got.reply.len > 0)
        rtc_port_send(port, from, slice_of(got.reply.bytes, got.reply.len));
    rtc_peer_checked(OBJ_CAST(struct rtc_peer, got.owner, RTC_PEER_MAGIC), from, got.moved);
    return true;
}

bool rtc_port_receive(struct rtc_port *port, const struct ice_path *from, struct rtc_peer *peer,
                      uint8_t *bytes, size_t len, int64_t arrival_us)
{
    enum kind kind = len > 0 ? kind_of(bytes[0]) : KIND_NONE;
    if (kind == KIND_STUN)
        return receive_stun(port, from, slice_of(bytes, len)) || peer != NULL;
    if (from->stream == NULL)
        peer = ice_find(port->ice, &from->way.remote);
    if (kind == KIND_NONE || peer == NULL) {
        METRIC_INC(port->worker->metrics.rtc_strays_total);
        return peer != NULL;
    }
    if (kind == KIND_DTLS)
        rtc_handshake_queue(peer, from, slice_of(bytes, len));
    else if (!rtc_handshake_queue_media(peer, from, slice_of(bytes, len), arrival_us))
        rtc_peer_receive(peer, from, bytes, len, arrival_us);
    return true;
}

void rtc_port_send(struct rtc_port *port, const struct ice_path *to, struct slice datagram)
{
    must(datagram.len <= RTC_FRAME_MAX);
    if (to->stream != NULL) {
        memcpy(port->frame_out + 2, datagram.p, datagram.len);
        if (!rtc_stream_send_frame(to->stream, datagram.len))
            METRIC_INC(port->worker->metrics.rtc_send_dropped_total);
        return;
    }
    uint8_t *room = udp_batch_room(port->udp, datagram.len);
    if (room == NULL)
        return;
    memcpy(room, datagram.p, datagram.len);
    udp_batch_put(port->udp, &to->way, false, datagram.len);
}

void rtc_port_bury(struct rtc_port *port)
{
    task_defer(port->worker, &port->bury_task);
}
