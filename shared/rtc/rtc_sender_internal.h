#ifndef SLUICE_RTC_RTC_SENDER_INTERNAL_H
#define SLUICE_RTC_RTC_SENDER_INTERNAL_H

#include "base/mem.h"
#include "proto/rtp.h"
#include "rtc/rtc_sender.h"

/*
 * Of the files rtc_sender*.c only.
 *
 *   rtc_sender.c          cursors, pace, numbers
 *   rtc_sender_past.c     pictures of before the viewer came
 *   rtc_sender_over.c     the key frame once more
 *   rtc_sender_resend.c   NACK
 *   rtc_sender_reports.c  sender reports, receiver reports, key frame requests, REMB
 */
#define SENDER_RESENT 128 /* packets whose last resending is remembered, per track */
#define SENDER_BATCH  40  /* packets in one call of send_rtp: a GSO message */
#define SENDER_EXT    8   /* bytes: an extension block that has playout-delay alone */

/* The viewer's number of a packet is the stream's plus an offset, which changes where packets were
 * left out. */
struct sender_numbers {
    bool begun;
    int64_t offset; /* of packets from `from` on */
    int64_t from;
    int64_t old_offset; /* of packets [old_from, old_to) */
    int64_t old_from, old_to;
    int64_t hole; /* first packet that is being left out; -1: none */
    int64_t next; /* packet after the newest that was sent */
};

struct sender_track {
    struct rtc_sender_track how;
    uint32_t ssrc, rtx_ssrc;
    struct sender_numbers numbers;
    uint16_t rtx_seq;
    uint32_t packets, octets; /* modulo 2^32, for sender reports */
    int64_t report_us;        /* when the next sender report is due */
    struct {
        int64_t packet, at_us;
    } resent[SENDER_RESENT];
    uint8_t ext[SENDER_EXT]; /* of packets of key frames, if how.playout_ext */
    uint8_t fir_seq;
    bool fir_seen;
};

/*
 * A viewer begins with pictures of the past, which come faster than they were made, while sound
 * begins with what is new.  A player would take their timestamps for the truth, and a picture that
 * comes soon after the ones before it for one that comes early: it would be wrong about its delay
 * for seconds, and not play sound and pictures together.  So the past is played faster: pictures
 * [from, from + span) have the times [to, from + span), at which they are sent.
 */
struct sender_past {
    int64_t from_us, to_us, span_us; /* media time; span 0: no past */
    int64_t begin_us;                /* clock: the first one goes out */
    int64_t pace;                    /* times faster */
    int64_t sent_us;                 /* the latest time that a picture was given */
};

/* A viewer that asks for a key frame and was sent the newest one: it begins there again when that
 * is still the newest at due_us (0: nothing is due). */
struct sender_over {
    int64_t due_us, last_us; /* clock; last: when it did so, 0: never */
    uint64_t key;            /* unit */
};

/* What a viewer has reported of video since begin_us (0: no report came), and how many such times
 * in a row were bad. */
struct sender_window {
    int64_t begin_us;
    int64_t highest_seq, lost;
    unsigned bad;
};

/* A receiver of the viewer's that wants to know the round trip. */
struct sender_listener {
    uint32_t ssrc;
    uint32_t told; /* middle of its NTP time */
    int64_t at_us; /* when that came; 0: there is none */
};

struct rtc_sender {
    struct rtc_sender_options options;
    char cname[RTC_CNAME_MAX];
    struct sender_track tracks[RTC_TRACKS];
    struct rtc_sender_stats stats;
    bool started, waits_key;
    uint64_t unit;       /* next one of video to send */
    uint32_t packet;     /* of it */
    uint64_t sound_unit; /* next one of sound */
    struct sender_past past;
    struct sender_over over;

    int64_t tick_us; /* when the present tick began */
    uint32_t tick_sent;
    int64_t resend_tokens; /* bytes that may be sent again */
    int64_t wanted_us;     /* when a key frame was asked for last */

    int64_t start_us; /* clock */
    int64_t line_us;  /* clock minus media time */
    int64_t clock_us; /* unix time minus clock */

    struct sender_listener listeners[RTC_TRACKS];

    int64_t rtt_least_us; /* 0: not known */
    struct sender_window window;
    int64_t video_off_until_us, back_off_us, video_on_us;
};

#define SENDER_HEADER_MAX (RTP_HEADER_SIZE + SENDER_EXT)

/* Writes a header of RTP_HEADER_SIZE bytes. */
void sender_header(uint8_t *dst, unsigned type, bool marker, int64_t index, uint32_t timestamp,
                   uint32_t ssrc);
/* Adds the extension and the padding bit that this packet has, whenever it is sent: the header's
 * length. */
size_t sender_extend(uint8_t *header, const struct sender_track *track, const struct rtc_unit *u,
                     const struct rtc_packet *p);
/* The stream's packet behind one of the viewer's sequence numbers; false when it was not sent, or
 * too long ago. */
bool sender_packet_of(const struct sender_numbers *n, uint16_t seq, int64_t *packet);
int64_t sender_index_of(const struct sender_numbers *n, int64_t packet);

/* Video begins with the unit s->unit, a key frame: what of it and of what follows is the past. */
void sender_past_begin(struct rtc_sender *s, uint64_t bytes_per_s, int64_t now_us);
/* The clock's time at which the unit should be sent; INT64_MIN: at once. */
int64_t sender_past_due_us(const struct sender_past *p, const struct rtc_unit *u);
/* A unit is about to be sent for the first time. */
void sender_past_note(struct sender_past *p, const struct rtc_unit *u);
/* The unit's timestamp for this viewer, the same at any time until its past begins anew. */
uint32_t sender_past_timestamp(const struct sender_past *p, const struct rtc_unit *u);

/* The viewer asks for a key frame. */
void sender_over_ask(struct rtc_sender *s, int64_t now_us);
/* True when the viewer is to begin at the newest key frame again, now: its numbers are ready. */
bool sender_over_begins(struct rtc_sender *s, int64_t now_us);

void sender_resend(struct rtc_sender *s, enum rtc_track t, const uint16_t *seqs, size_t count,
                   int64_t now_us);
/* Media of `bytes` went out: more may be sent again. */
void sender_earn(struct rtc_sender *s, size_t bytes);

/* Sender reports that are due. */
void sender_report(struct rtc_sender *s, int64_t now_us);

void sender_want_key(struct rtc_sender *s, int64_t now_us);
/* No video up to the next key frame. */
void sender_skip_video(struct rtc_sender *s, int64_t now_us);

#endif
