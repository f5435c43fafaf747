#ifndef SLUICE_RTC_RTC_RECEIVER_INTERNAL_H
#define SLUICE_RTC_RTC_RECEIVER_INTERNAL_H

#include "base/bytes.h"
#include "proto/rtcp.h"
#include "proto/rtp.h"
#include "rtc/rtc_arrivals.h"
#include "rtc/rtc_clock.h"
#include "rtc/rtc_jitter.h"
#include "rtc/rtc_nack.h"
#include "rtc/rtc_receiver.h"
#include "rtc/rtc_want_key.h"

#define RTC_RTCP_MAX 1200 /* bytes of a compound that we send */

/* One SSRC of the sender, and what reports tell of it (RFC 3550, 6.4.1 and A.3). */
struct rtc_source {
    uint32_t ssrc;
    unsigned track;
    bool is_rtx;
    bool started, ended;
    int64_t first_seq, highest_seq; /* without their wrap */
    uint64_t received, received_before, expected_before;
    int64_t transit; /* of the newest packet, in timestamp units */
    double jitter;   /* in timestamp units */
    uint32_t lsr;    /* middle of the last sender report's NTP time; 0: none came */
    int64_t lsr_us;  /* when it came */
    int64_t last_us; /* when the newest packet came */
};

struct rtc_track {
    struct rtc_receiver_track o;
    bool is_video;
    struct rtc_source *source, *rtx; /* of the packets that are taken; NULL: none yet */
    int64_t near_seq;                /* that numbers are unwrapped by */
    bool started;
    struct rtc_jitter jitter;
    struct rtc_nack *nack;
    struct rtp_unpacker *unpacker;
    struct rtc_clock clock;
    struct rtc_want_key want_key;
    bool needs_key; /* units that are not one are passed over */
    uint8_t fir_number;
    bool has_dts;
    int64_t dts_us; /* of the last unit */
};

struct rtc_receiver {
    const struct rtc_receiver_handler *handler;
    void *owner;
    struct rtc_track tracks[RTC_TRACKS_MAX];
    unsigned track_count;
    struct rtc_source sources[RTC_SOURCES_MAX];
    unsigned source_count;
    struct rtc_line line;
    struct rtc_arrivals arrivals;
    struct rtc_receiver_stats stats;
    int64_t rtt_us;
    int64_t report_us; /* when the next report is due */
    uint64_t remb_bps;
    uint32_t ssrc;
    uint8_t transport_cc_ext; /* 0: none */
    bool reduced_rtcp;
    char cname[RTC_CNAME_MAX + 1];
    struct slice payloads[RTC_JITTER_PACKETS_MAX]; /* of the unit at hand */
};

/* --- rtc_receiver_source.c --- */

/* The source that the packet is of, when it is to be taken: NULL otherwise. */
struct rtc_source *rtc_source_of(struct rtc_receiver *r, const struct rtp_packet *p,
                                 int64_t arrival_us);
/* Counts a packet. */
void rtc_source_count(struct rtc_source *s, const struct rtc_receiver_track *t,
                      const struct rtp_packet *p, int64_t arrival_us);
struct rtc_source *rtc_source_find(struct rtc_receiver *r, uint32_t ssrc);
/* The report block of the time since the last one. */
void rtc_source_report(struct rtc_source *s, int64_t now_us, struct rtcp_report *out);

/* --- rtc_receiver_track.c --- */

void rtc_track_init(struct rtc_track *t, const struct rtc_receiver_track *o, int64_t key_every_us);
void rtc_track_fini(struct rtc_track *t);
/* Another source: its numbers and timestamps have nothing to do with those before. */
void rtc_track_restart(struct rtc_track *t);
/* A packet of media, maybe repeated. */
void rtc_track_take(struct rtc_receiver *r, struct rtc_track *t, const struct rtp_header *h,
                    struct slice payload, int64_t arrival_us);
/* Gives up what was waited for too long. */
void rtc_track_run(struct rtc_receiver *r, struct rtc_track *t, int64_t now_us);
int64_t rtc_track_next_us(const struct rtc_receiver *r, struct rtc_track *t);

/* --- rtc_receiver_feedback.c --- */

void rtc_feedback_run(struct rtc_receiver *r, int64_t now_us);
int64_t rtc_feedback_next_us(const struct rtc_receiver *r);

#endif
