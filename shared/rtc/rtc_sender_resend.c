/* Packets that a viewer has lost are sent again: by RTX (RFC 4588), or as they were. */
#include "rtc/rtc_sender_internal.h"

#define RTX_HEADER        2      /* bytes: the original sequence number */
#define RTT_UNKNOWN_US    100000 /* taken for the round trip before a report told it */
#define RTT_MIN_US        10000
#define RESEND_SHARE      4     /* one byte may be sent again for so many of media */
#define RESEND_TOKENS_MAX 65536 /* bytes */
#define PIECES_MAX        80    /* of one packet: one in two may be of 64 bytes and more */

void sender_earn(struct rtc_sender *s, size_t bytes)
{
    s->resend_tokens += (int64_t)bytes / RESEND_SHARE;
    if (s->resend_tokens > RESEND_TOKENS_MAX)
        s->resend_tokens = RESEND_TOKENS_MAX;
}

/* Not twice within a round trip: the answer to the first may be under way. */
static bool was_just_sent(struct rtc_sender *s, struct sender_track *track, int64_t packet,
                          int64_t now_us)
{
    int64_t rtt_us = s->stats.rtt_us == 0           ? RTT_UNKNOWN_US
                     : s->stats.rtt_us < RTT_MIN_US ? RTT_MIN_US
                                                    : s->stats.rtt_us;
    size_t i = (size_t)packet % SENDER_RESENT;
    if (track->resent[i].packet == packet && now_us - track->resent[i].at_us < rtt_us)
        return true;
    track->resent[i].packet = packet;
    track->resent[i].at_us = now_us;
    return false;
}

static bool send_again(struct rtc_sender *s, enum rtc_track t, const struct rtc_unit *u,
                       int64_t packet)
{
    struct sender_track *track = &s->tracks[t];
    const struct rtc_packet *p = &u->packets[packet - u->first];
    bool rtx = track->how.has_rtx, marker = packet + 1 == u->first + u->count;
    int64_t index = sender_index_of(&track->numbers, packet);
    uint32_t timestamp = sender_past_timestamp(&s->past, u);
    uint8_t header[SENDER_HEADER_MAX], original[RTX_HEADER];
    struct slice pieces[PIECES_MAX + 1] = {slice_of(original, sizeof original)};
    struct rtc_out out = {.pieces = p->pieces, .piece_count = p->piece_count};
    if (p->piece_count > PIECES_MAX)
        return false;
    if (rtx) {
        original[0] = (uint8_t)(index >> 8);
        original[1] = (uint8_t)index;
        memcpy(pieces + 1, p->pieces, p->piece_count * sizeof pieces[0]);
        out.pieces = pieces;
        out.piece_count++;
        sender_header(header, track->how.rtx_type, marker, track->rtx_seq++, timestamp,
                      track->rtx_ssrc);
    } else
        sender_header(header, track->how.type, marker, index, timestamp, track->ssrc);
    out.header = slice_of(header, sender_extend(header, track, u, p));
    return s->options.ops->send_rtp(s->options.owner, &out, 1) == 1;
}

void sender_resend(struct rtc_sender *s, enum rtc_track t, const uint16_t *seqs, size_t count,
                   int64_t now_us)
{
    struct sender_track *track = &s->tracks[t];
    for (size_t i = 0; i < count; i++) {
        int64_t packet;
        if (!sender_packet_of(&track->numbers, seqs[i], &packet))
            continue;
        const struct rtc_unit *u = rtc_units_find(s->options.stream, t, packet);
        if (u == NULL || was_just_sent(s, track, packet, now_us))
            continue;
        int64_t bytes = u->packets[packet - u->first].len;
        if (s->resend_tokens < bytes) {
            METRIC_INC(s->options.metrics->rtc_resend_refused_total);
            return;
        }
        if (!send_again(s, t, u, packet))
            return;
        s->resend_tokens -= bytes;
        s->stats.resent++;
        METRIC_INC(s->options.metrics->rtc_resent_total);
    }
}
