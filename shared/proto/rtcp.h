#ifndef SLUICE_PROTO_RTCP_H
#define SLUICE_PROTO_RTCP_H

#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * RTCP: reports (RFC 3550, 6), feedback (RFC 4585, 5104), REMB (draft-alvestrand-rmcat-remb) and
 * transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions).
 *
 *   datagram ──rtcp_next──> packets ──rtcp_read_...──> what they say
 *   rtcp_write_... one after the other into one struct wr ──> datagram
 *
 * Reduced size is accepted and written (RFC 5506): any packet may come first.  Unknown types are
 * walked over.  Nothing here allocates; slices point into the caller's bytes.
 */
enum rtcp_type {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_APP = 204,
    RTCP_RTPFB = 205, /* transport layer feedback */
    RTCP_PSFB = 206,  /* payload specific feedback */
    RTCP_XR = 207,
};

/* Formats of feedback. */
enum rtcp_rtpfb { RTCP_NACK = 1, RTCP_TWCC = 15 };
enum rtcp_psfb { RTCP_PLI = 1, RTCP_FIR = 4, RTCP_AFB = 15 /* REMB */ };

#define RTCP_COUNT_MAX 31 /* report blocks, sources of a BYE */

struct rtcp_packet {
    uint8_t type;      /* enum rtcp_type or another number */
    uint8_t count;     /* report blocks, chunks or sources; of feedback: the format */
    struct slice body; /* after the first four bytes, without padding */
};

/* The next packet of a datagram: 1, 0 at its end, or ERR_PROTOCOL. */
int rtcp_next(struct rd *compound, struct rtcp_packet *out);

/* NTP time: seconds since 1900 in the upper half, their 2^-32 parts in the lower. */
uint64_t rtcp_ntp_of_unix_us(int64_t unix_us);
int64_t rtcp_unix_us_of_ntp(uint64_t ntp);
/* What LSR and DLSR count in: 1/65,536 s. */
static inline uint32_t rtcp_ntp_middle(uint64_t ntp)
{
    return (uint32_t)(ntp >> 16);
}

/* ---- reports ---- */

struct rtcp_sender {
    uint32_t ssrc;
    uint64_t ntp;       /* wall clock at rtp_timestamp */
    uint32_t timestamp; /* of RTP, at ntp */
    uint32_t packets, octets;
};

struct rtcp_report {
    uint32_t ssrc;         /* of the stream that is reported on */
    uint8_t fraction_lost; /* of 256, since the last report */
    int32_t lost;          /* in total; 24 bits, signed */
    uint32_t highest_seq;  /* with the number of wraps above it */
    uint32_t jitter;       /* in the stream's timestamp units */
    uint32_t lsr;          /* middle of the NTP time of the last sender report; 0: none came */
    uint32_t dlsr;         /* 1/65,536 s since it came */
};

/* Of a packet of type SR.  0 or ERR_PROTOCOL. */
int rtcp_read_sr(const struct rtcp_packet *p, struct rtcp_sender *out);
/* Report block `index` of an SR or RR; false when there is none. */
bool rtcp_read_report(const struct rtcp_packet *p, unsigned index, struct rtcp_report *out);
/* The CNAME of that source in an SDES packet; false when it is not told. */
bool rtcp_read_cname(const struct rtcp_packet *p, uint32_t ssrc, struct slice *out);
/* Sources that a BYE packet ends: their number. */
unsigned rtcp_read_bye(const struct rtcp_packet *p, uint32_t out[RTCP_COUNT_MAX]);

/* Reports: at most RTCP_COUNT_MAX. */
void rtcp_write_sr(struct wr *w, const struct rtcp_sender *s, const struct rtcp_report *reports,
                   unsigned count);
void rtcp_write_rr(struct wr *w, uint32_t sender, const struct rtcp_report *reports,
                   unsigned count);
#define RTCP_CNAME_MAX 255 /* bytes */
void rtcp_write_cname(struct wr *w, uint32_t ssrc, struct slice cname);
void rtcp_write_bye(struct wr *w, const uint32_t *ssrcs, unsigned count);

/* ---- extended reports (RFC 3611) ---- */

/* A receiver's own time in an XR packet (4.4): it wants to know the round trip. */
struct rtcp_receiver_time {
    uint32_t ssrc; /* the receiver's */
    uint64_t ntp;
};
bool rtcp_read_receiver_time(const struct rtcp_packet *p, struct rtcp_receiver_time *out);

/* What it is answered (4.5). */
struct rtcp_dlrr {
    uint32_t ssrc;  /* the receiver's */
    uint32_t lrr;   /* middle of the NTP time that it told last */
    uint32_t delay; /* 1/65,536 s since that came */
};
/* Item `index` in an XR packet; false when there is none. */
bool rtcp_read_dlrr(const struct rtcp_packet *p, unsigned index, struct rtcp_dlrr *out);
void rtcp_write_dlrr(struct wr *w, uint32_t sender, const struct rtcp_dlrr *items, unsigned count);

/* ---- feedback ---- */

struct rtcp_feedback {
    uint32_t sender, media; /* SSRCs */
    struct slice fci;       /* what the format defines */
};

/* Of a packet of type RTPFB or PSFB (of at least its two SSRCs).  0 or ERR_PROTOCOL. */
int rtcp_read_feedback(const struct rtcp_packet *p, struct rtcp_feedback *out);

/* Sequence numbers that a NACK asks for, at most `room`: how many were put into seqs. */
size_t rtcp_read_nack(const struct rtcp_feedback *f, uint16_t *seqs, size_t room);
/* Asks for seqs (in order of sending, so that neighbours share an entry). */
void rtcp_write_nack(struct wr *w, uint32_t sender, uint32_t media, const uint16_t *seqs,
                     size_t count);

void rtcp_write_pli(struct wr *w, uint32_t sender, uint32_t media);

/* A full intra request for `ssrc` in f; *seq is the request's number.  False when there is none. */
bool rtcp_read_fir(const struct rtcp_feedback *f, uint32_t ssrc, uint8_t *seq);
void rtcp_write_fir(struct wr *w, uint32_t sender, uint32_t media, uint8_t seq);

/* The bit rate of a REMB message; false when f is another one. */
bool rtcp_read_remb(const struct rtcp_feedback *f, uint64_t *bitrate_bps);
#define RTCP_REMB_SSRCS_MAX 255
void rtcp_write_remb(struct wr *w, uint32_t sender, uint64_t bitrate_bps, const uint32_t *ssrcs,
                     unsigned count);

/* ---- transport-wide congestion control (rtcp_twcc.c) ---- */

#define RTCP_TWCC_LOST        INT64_MIN /* an arrival time: it did not come */
#define RTCP_TWCC_TICK_US     250       /* unit of arrival times on the wire */
#define RTCP_TWCC_PACKETS_MAX 1024      /* of one message; what we write and read */

struct rtcp_twcc {
    uint16_t base_seq;                         /* transport-wide number of the first packet */
    uint16_t count;                            /* packets in it */
    uint8_t number;                            /* of this feedback message */
    int64_t arrival_us[RTCP_TWCC_PACKETS_MAX]; /* on the receiver's clock modulo 2^24 * 64 ms, or
                                                  RTCP_TWCC_LOST */
};

/* 0, ERR_PROTOCOL, or ERR_TOO_MANY (packets). */
int rtcp_read_twcc(const struct rtcp_feedback *f, struct rtcp_twcc *out);
/*
 * Writes feedback on t's packets, times rounded down to ticks.  Returns how many of them it holds:
 * all, or those up to a time that is too far from the one before (8 s), which begins the next
 * message; 0 when it did not fit or no packet came.  `t->count` at most RTCP_TWCC_PACKETS_MAX.
 */
unsigned rtcp_write_twcc(struct wr *w, uint32_t sender, uint32_t media, const struct rtcp_twcc *t);

#endif
