#ifndef SLUICE_RTC_RTC_SENDER_H
#define SLUICE_RTC_RTC_SENDER_H

#include "rtc/rtc_peer.h"
#include "rtc/rtc_units.h"

/*
 * One viewer of an rtc_units: which of its units it was sent, under what numbers; what it lost and
 * gets again; what it is told about time and tells about its reception.
 *
 *   rtc_units units ──rtc_sender_send──▶ ops->send_rtp, ops->send_rtcp
 *   RTCP of the viewer ──rtc_sender_rtcp──▶ packets again, ops->want_key
 *
 * Sequence numbers are the viewer's own: they begin below 32768, and packets that it is not given
 * (video until the next key frame) leave no gap, so that nobody asks for them.  A viewer that asks
 * for a key frame and was sent the newest one begins there again, with new numbers and timestamps
 * that go on; this soon after its start, otherwise when no newer one has come meanwhile.  No I/O
 * and no clock here: times are arguments, by clock_us().
 */
struct rtc_sender;

/* How a viewer gets a track, as its answer says. */
struct rtc_sender_track {
    uint32_t codec; /* FLV_CODEC_; 0: not at all */
    uint8_t type, rtx_type;
    bool has_rtx;
    uint8_t playout_ext; /* id of the header extension playout-delay; 0: not sent */
};

struct rtc_sender_ops {
    /* As rtc_peer_send_rtp() and rtc_peer_send_rtcp(). */
    size_t (*send_rtp)(void *owner, const struct rtc_out *packets, size_t count);
    bool (*send_rtcp)(void *owner, const uint8_t *compound, size_t len);
    /* As rtc_peer_queued(). */
    size_t (*queued)(void *owner);
    /* It cannot go on without a key frame; may be called often. */
    void (*want_key)(void *owner);
};

#define RTC_CNAME_MAX 32 /* terminator included */

struct rtc_sender_options {
    const struct rtc_units *stream; /* outlives the sender */
    struct rtc_sender_track tracks[RTC_TRACKS];
    const char *cname;
    const struct rtc_sender_ops *ops;
    void *owner;
    struct metrics *metrics;
    int64_t unix_us;                        /* now, for sender reports */
    int64_t playout_min_ms, playout_max_ms; /* what playout-delay says */
};

struct rtc_sender *rtc_sender_new(const struct rtc_sender_options *o, int64_t now_us);
void rtc_sender_free(struct rtc_sender **sp);

/* The peer is connected: it begins at the newest key frame, or waits for the next. */
void rtc_sender_start(struct rtc_sender *s, int64_t now_us);
/* Sends what is due: when there are new units, and at the time that it returns (INT64_MAX: it has
 * everything). */
int64_t rtc_sender_send(struct rtc_sender *s, int64_t now_us);
/* What the viewer says. */
void rtc_sender_rtcp(struct rtc_sender *s, const uint8_t *compound, size_t len, int64_t now_us);
/* Says that nothing more comes. */
void rtc_sender_bye(struct rtc_sender *s);

struct rtc_sender_stats {
    uint64_t packets, bytes; /* of media, first sending; bytes of payload */
    uint64_t nacked, resent; /* packets */
    uint64_t key_requests;   /* PLI and FIR */
    uint64_t skips;          /* times that video was left out up to a key frame */
    int64_t rtt_us;          /* 0: not known */
    uint64_t remb_bps;       /* 0: not told */
    uint8_t fraction_lost;   /* of 256, as last reported for video (else audio) */
    bool audio_only;         /* video is left out because too much of it is lost */
    int64_t first_us;        /* when the first packet went out; 0: none did */
};
const struct rtc_sender_stats *rtc_sender_stats(const struct rtc_sender *s);

#endif
