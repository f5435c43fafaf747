#ifndef SLUICE_RTC_RTC_RECEIVER_H
#define SLUICE_RTC_RTC_RECEIVER_H

#include "proto/rtp_unpack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The receiving end of one WebRTC sender: packets that were authenticated and opened become whole
 * access units on one line of time, and the sender is told what it has to know.
 *
 *   rtp ─▶ source (SSRC) ─▶ RTX undone ─▶ jitter ─▶ unpacker ─▶ clock ─▶ on_unit
 *                            │ missing      │ given up
 *                            ▼              ▼
 *                          NACK          key frame wanted ─▶ PLI           ─▶ on_rtcp
 *   times of arrival ─▶ transport-wide feedback; every second RR, SDES, REMB
 *
 * Video that lost a packet for good goes on with the next key frame: what comes out can be decoded
 * in its order.  Sound just goes on.  One source is taken for each track, the first that sends it
 * (of simulcast, which is not negotiated, the layer that comes first); another one takes its place
 * when it has been silent for RTC_SOURCE_SILENT_US or said BYE.
 *
 * No I/O, no clock: times (clock_us) come in.  One thread.
 */
#define RTC_TRACKS_MAX       2
#define RTC_SOURCES_MAX      16      /* SSRCs of one sender; packets of others are dropped */
#define RTC_SOURCE_SILENT_US 1000000 /* before another SSRC may be the track's */
#define RTC_REPORT_EVERY_US  1000000 /* RR, SDES, REMB */
#define RTC_REPAIR_US        200000  /* a unit waits for repair: four requests, and the RTT */
#define RTC_REORDER_US       50000   /* how long where no repair can be asked for */
#define RTC_RTT_START_US     100000  /* until it was measured */
#define RTC_RTT_MAX_US       1000000 /* of what is believed */
#define RTC_UNIT_STEP_US     1000    /* decoding times of a track grow by this at least */
#define RTC_MID_MAX          16      /* bytes, as a one-byte header extension holds */
#define RTC_CNAME_MAX        64      /* bytes */

/* One track as negotiated. */
struct rtc_receiver_track {
    uint32_t codec; /* FLV_CODEC_AVC, VP8, VP9, AV1, OPUS */
    uint32_t clock_hz;
    uint8_t payload_type, rtx_type;
    bool has_rtx;
    bool nack, pli, fir;
    struct slice parameter_sets;       /* rtp_unpack_sets(); used in rtc_receiver_new() */
    uint8_t mid_ext, transport_cc_ext; /* ids of header extensions; 0: none */
    char mid[RTC_MID_MAX + 1];         /* "": none */
};

struct rtc_received {
    unsigned track;
    const struct rtp_unit *unit;
    int64_t dts_us, pts_us; /* on the receiver's line */
};

struct rtc_receiver_handler {
    /* A whole unit, valid until return; dts_us of a track only grows. */
    void (*on_unit)(void *owner, const struct rtc_received *u);
    /* To be sent to the peer, valid until return. */
    void (*on_rtcp)(void *owner, const uint8_t *compound, size_t len);
};

struct rtc_receiver_options {
    struct rtc_receiver_track tracks[RTC_TRACKS_MAX];
    unsigned track_count;
    bool reduced_rtcp;    /* RTCP need not be compound (RFC 5506) */
    int64_t key_every_us; /* a key frame is asked for when the last one is older; 0: never */
    uint64_t remb_bps;    /* the most that the sender shall send; 0: not told */
    uint32_t ssrc;        /* of our reports */
    const char *cname;    /* at most RTC_CNAME_MAX bytes; copied */
    const struct rtc_receiver_handler *handler;
    void *owner;
};

/* Counters, from the beginning. */
struct rtc_receiver_stats {
    uint64_t packets, bytes;
    uint64_t unknown;     /* packets of no track, or of an SSRC too many */
    uint64_t useless;     /* duplicates, and packets that came too late */
    uint64_t lost;        /* packets that were found missing */
    uint64_t repaired;    /* of those, that came later */
    uint64_t nacks, plis; /* packets asked for, key frames asked for */
    uint64_t units;       /* handed out */
    uint64_t given_up;    /* times that missing packets were given up */
    uint64_t broken;      /* units that could not be unpacked */
    uint64_t passed_over; /* whole units before the key frame that was waited for */
    int64_t rtt_us;
};

struct rtc_receiver;

struct rtc_receiver *rtc_receiver_new(const struct rtc_receiver_options *o, int64_t now_us);
void rtc_receiver_free(struct rtc_receiver **rp);

/* One packet, one compound; handlers are called from inside. */
void rtc_receiver_rtp(struct rtc_receiver *r, const uint8_t *packet, size_t len,
                      int64_t arrival_us);
void rtc_receiver_rtcp(struct rtc_receiver *r, const uint8_t *compound, size_t len,
                       int64_t arrival_us);
/* What is due; call it at rtc_receiver_next_us() or soon after, and after packets. */
void rtc_receiver_run(struct rtc_receiver *r, int64_t now_us);
int64_t rtc_receiver_next_us(struct rtc_receiver *r);

/* Somebody needs a key frame of the video track.  Asked for when that is due. */
void rtc_receiver_want_key(struct rtc_receiver *r);

const struct rtc_receiver_stats *rtc_receiver_stats(const struct rtc_receiver *r);

#endif
