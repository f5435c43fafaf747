#ifndef SLUICE_TESTS_UNIT_RTC_SENDER_SIM_H
#define SLUICE_TESTS_UNIT_RTC_SENDER_SIM_H

#include "proto/rtcp.h"
#include "proto/rtp.h"
#include "rtc/rtc_receiver.h"

#include <stdbool.h>
#include <stdlib.h>

/*
 * A WebRTC sender of pictures (H.264) and sound (Opus) over a network that loses, doubles and
 * reorders, and a receiver whose every unit is checked: whole, as it was sent, in order, pictures
 * without a gap but before a key frame.  Include "test.h" before.
 *
 *   unit of a picture: [NAL header][0x88][id, 4 bytes][bytes that follow from the id]
 */
#define SIM_VIDEO_TYPE  96
#define SIM_RTX_TYPE    97
#define SIM_AUDIO_TYPE  111
#define SIM_VIDEO_SSRC  0x11111111
#define SIM_RTX_SSRC    0x22222222
#define SIM_AUDIO_SSRC  0x33333333
#define SIM_OUR_SSRC    0x44444444
#define SIM_TWCC_EXT    3
#define SIM_MID_EXT     4
#define SIM_HISTORY     4096
#define SIM_FLIGHT_MAX  8192
#define SIM_PACKET_MAX  1500
#define SIM_FRAGMENT    200 /* bytes of payload: small ones make many packets of little memory */
#define SIM_PLIS_MAX    1024
#define SIM_START_US    1000000000LL
#define SIM_NTP_US      1795404426000000LL /* the sender's wall clock at SIM_START_US */
#define SIM_FRAME_US    33333
#define SIM_AUDIO_US    20000
#define SIM_SPS_PPS     "\x78\x00\x07\x67\x42\xc0\x1e\xd9\x01\x41\x00\x04\x68\xce\x38\x80"
#define SIM_SPS_PPS_LEN 16

struct sim_network {
    unsigned loss, twice; /* of 1000 packets */
    int64_t delay_us;     /* one way */
    int64_t jitter_us;    /* up to so much more for each packet */
};

struct sim_packet {
    int64_t at_us;
    uint64_t number; /* of all that were sent */
    size_t len;
    bool rtcp, to_sender;
    uint8_t bytes[SIM_PACKET_MAX];
};

struct sim {
    struct rtc_receiver *r;
    struct sim_network net;
    uint64_t random;
    int64_t now_us;
    unsigned packets_max;              /* of an inter picture */
    bool no_rtx, no_nack, deaf;        /* deaf: the sender does nothing of what it is asked */
    double arrival_drift, audio_drift; /* seconds per second that those clocks are off */

    /* the sender */
    uint16_t seq[3], twcc; /* video, RTX, audio */
    uint32_t timestamp0[2];
    int64_t next_us[2], next_report_us;
    uint32_t video_id, audio_id;
    bool key_wanted;
    struct sim_packet *history[SIM_HISTORY]; /* of video, by number */
    unsigned plis, nacks, firs;
    int64_t pli_us[SIM_PLIS_MAX];

    struct sim_packet *flight[SIM_FLIGHT_MAX];
    size_t flight_count;
    uint64_t flown;

    /* what came out */
    uint32_t last_video, last_audio;
    unsigned videos, audios, keys, skipped;
    int64_t last_dts_us[2];
    int64_t offset_us[2]; /* of the newest unit: its time minus when it was captured */
    int64_t offset_max_us[2], offset_min_us[2];
    unsigned reports, rembs, twccs, twcc_lost;
    struct rtcp_report report; /* of video, the last */
};

static inline uint64_t sim_random(struct sim *s)
{
    s->random = s->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return s->random >> 33;
}

static inline size_t sim_nal_len(uint32_t id, bool key, unsigned packets_max)
{
    size_t packets = key ? 12 : 1 + (id * 2654435761U >> 16) % packets_max;
    return packets * SIM_FRAGMENT - id % 150;
}

static inline uint8_t sim_byte(uint32_t id, size_t i)
{
    return (uint8_t)(0x80 | ((id * 31 + i * 7) & 0x7f));
}

static inline void sim_put(uint32_t v, uint8_t *p)
{
    put_u32(p, v);
}

/* --- the network --- */

static inline struct sim_packet *sim_new(const uint8_t *bytes, size_t len)
{
    struct sim_packet *p = malloc(sizeof *p);
    assert_non_null(p);
    assert_true(len <= sizeof p->bytes);
    *p = (struct sim_packet){.len = len};
    memcpy(p->bytes, bytes, len);
    return p;
}

static inline void sim_fly_once(struct sim *s, const uint8_t *bytes, size_t len, bool rtcp,
                                bool to_sender)
{
    if (sim_random(s) % 1000 < s->net.loss)
        return;
    assert_true(s->flight_count < SIM_FLIGHT_MAX);
    struct sim_packet *p = sim_new(bytes, len);
    p->rtcp = rtcp;
    p->to_sender = to_sender;
    p->number = s->flown++;
    p->at_us = s->now_us + s->net.delay_us;
    if (s->net.jitter_us > 0)
        p->at_us += (int64_t)(sim_random(s) % (uint64_t)s->net.jitter_us);
    s->flight[s->flight_count++] = p;
}

static inline void sim_fly(struct sim *s, const uint8_t *bytes, size_t len, bool rtcp,
                           bool to_sender)
{
    sim_fly_once(s, bytes, len, rtcp, to_sender);
    if (sim_random(s) % 1000 < s->net.twice)
        sim_fly_once(s, bytes, len, rtcp, to_sender);
}

/* --- the sender --- */

static inline void sim_send_rtp(struct sim *s, const struct rtp_header *h, struct slice payload)
{
    uint8_t bytes[SIM_PACKET_MAX], twcc[2] = {(uint8_t)(s->twcc >> 8), (uint8_t)s->twcc};
    s->twcc++;
    struct rtp_ext ext = {SIM_TWCC_EXT, slice_of(twcc, 2)};
    struct wr w = wr_init(bytes, sizeof bytes);
    assert_int_equal(rtp_write_header(&w, h, &ext, 1), 0);
    wr_put(&w, payload);
    assert_false(w.overflow);
    sim_fly(s, bytes, wr_len(&w), false, false);
}

static inline void sim_send_video_packet(struct sim *s, struct slice payload, uint32_t timestamp,
                                         bool marker)
{
    struct rtp_header h = {marker, SIM_VIDEO_TYPE, s->seq[0]++, timestamp, SIM_VIDEO_SSRC};
    struct sim_packet **kept = &s->history[h.seq % SIM_HISTORY];
    free(*kept);
    *kept = sim_new(payload.p, payload.len);
    (*kept)->at_us = timestamp;
    (*kept)->rtcp = marker; /* the two things that a retransmission needs besides */
    (*kept)->to_sender = false;
    sim_send_rtp(s, &h, payload);
}

static inline uint32_t sim_timestamp(const struct sim *s, int track, int64_t us)
{
    int64_t rate = track == 0 ? 90000 : 48000;
    double drift = track == 1 ? 1 + s->audio_drift : 1;
    return s->timestamp0[track] + (uint32_t)(int64_t)((double)us * (double)rate * drift / 1e6);
}

static inline void sim_send_picture(struct sim *s)
{
    uint8_t nal[64 * SIM_FRAGMENT], fragment[SIM_FRAGMENT + 2];
    uint32_t id = s->video_id++, timestamp = sim_timestamp(s, 0, s->now_us - SIM_START_US);
    bool key = s->key_wanted;
    s->key_wanted = false;
    size_t len = sim_nal_len(id, key, s->packets_max);
    nal[0] = key ? 0x65 : 0x41;
    nal[1] = 0x88;
    sim_put(id, nal + 2);
    for (size_t i = 6; i < len; i++)
        nal[i] = sim_byte(id, i);
    if (key)
        sim_send_video_packet(s, slice_of(SIM_SPS_PPS, SIM_SPS_PPS_LEN), timestamp, false);
    if (len <= SIM_FRAGMENT) {
        sim_send_video_packet(s, slice_of(nal, len), timestamp, true);
        return;
    }
    for (size_t at = 1; at < len;) {
        size_t n = len - at < SIM_FRAGMENT ? len - at : SIM_FRAGMENT;
        fragment[0] = (uint8_t)((nal[0] & 0xe0) | 28);
        fragment[1] =
            (uint8_t)((nal[0] & 0x1f) | (at == 1 ? 0x80 : 0) | (at + n == len ? 0x40 : 0));
        memcpy(fragment + 2, nal + at, n);
        at += n;
        sim_send_video_packet(s, slice_of(fragment, n + 2), timestamp, at == len);
    }
}

static inline void sim_send_sound(struct sim *s)
{
    uint8_t packet[20] = {0x78};
    sim_put(s->audio_id++, packet + 1);
    struct rtp_header h = {false, SIM_AUDIO_TYPE, s->seq[2]++,
                           sim_timestamp(s, 1, s->now_us - SIM_START_US), SIM_AUDIO_SSRC};
    sim_send_rtp(s, &h, slice_of(packet, sizeof packet));
}

static inline void sim_send_reports(struct sim *s)
{
    for (int track = 0; track < 2; track++) {
        uint8_t bytes[200];
        struct wr w = wr_init(bytes, sizeof bytes);
        struct rtcp_sender sr = {
            .ssrc = track == 0 ? SIM_VIDEO_SSRC : SIM_AUDIO_SSRC,
            .ntp = rtcp_ntp_of_unix_us(SIM_NTP_US + s->now_us - SIM_START_US),
            .timestamp = sim_timestamp(s, track, s->now_us - SIM_START_US),
        };
        rtcp_write_sr(&w, &sr, NULL, 0);
        rtcp_write_cname(&w, sr.ssrc, slice_text("sim"));
        sim_fly(s, bytes, wr_len(&w), true, false);
    }
}

static inline void sim_resend(struct sim *s, uint16_t seq)
{
    const struct sim_packet *kept = s->history[seq % SIM_HISTORY];
    if (kept == NULL)
        return;
    uint8_t payload[SIM_PACKET_MAX] = {(uint8_t)(seq >> 8), (uint8_t)seq};
    struct rtp_header h = {kept->rtcp, SIM_RTX_TYPE, s->seq[1]++, (uint32_t)kept->at_us,
                           SIM_RTX_SSRC};
    size_t skip = 2;
    if (s->no_rtx) {
        h.payload_type = SIM_VIDEO_TYPE;
        h.ssrc = SIM_VIDEO_SSRC;
        h.seq = seq;
        skip = 0;
    }
    memcpy(payload + skip, kept->bytes, kept->len);
    sim_send_rtp(s, &h, slice_of(payload, kept->len + skip));
}

static inline void sim_take_feedback(struct sim *s, const struct rtcp_packet *p)
{
    struct rtcp_feedback f;
    uint16_t seqs[512];
    assert_int_equal(rtcp_read_feedback(p, &f), 0);
    assert_int_equal(f.sender, SIM_OUR_SSRC);
    if (p->type == RTCP_PSFB && p->count == RTCP_PLI && !s->deaf) {
        assert_int_equal(f.media, SIM_VIDEO_SSRC);
        s->key_wanted = true;
    }
    size_t n = p->type == RTCP_RTPFB && p->count == RTCP_NACK ? rtcp_read_nack(&f, seqs, 512) : 0;
    for (size_t i = 0; i < n && !s->deaf && f.media == SIM_VIDEO_SSRC; i++)
        sim_resend(s, seqs[i]);
}

static inline void sim_take_rtcp(struct sim *s, const struct sim_packet *p)
{
    struct rd rd = rd_init(p->bytes, p->len);
    struct rtcp_packet one;
    int n;
    while ((n = rtcp_next(&rd, &one)) > 0)
        if (one.type == RTCP_RTPFB || one.type == RTCP_PSFB)
            sim_take_feedback(s, &one);
    assert_int_equal(n, 0);
}

/* --- the receiver --- */

static inline void sim_note_feedback(struct sim *s, const struct rtcp_packet *p)
{
    static struct rtcp_twcc t;
    struct rtcp_feedback f;
    uint64_t bps;
    uint16_t seqs[512];
    assert_int_equal(rtcp_read_feedback(p, &f), 0);
    if (p->type == RTCP_RTPFB && p->count == RTCP_TWCC) {
        s->twccs++;
        assert_int_equal(rtcp_read_twcc(&f, &t), 0);
        for (unsigned i = 0; i < t.count; i++)
            s->twcc_lost += t.arrival_us[i] == RTCP_TWCC_LOST;
    } else if (p->type == RTCP_RTPFB && p->count == RTCP_NACK) {
        s->nacks += (unsigned)rtcp_read_nack(&f, seqs, 512);
    } else if (p->count == RTCP_PLI) {
        s->pli_us[s->plis++ % SIM_PLIS_MAX] = s->now_us;
    } else if (p->count == RTCP_FIR) {
        s->firs++;
    } else if (rtcp_read_remb(&f, &bps)) {
        s->rembs++;
    }
}

static inline void sim_on_rtcp(void *owner, const uint8_t *compound, size_t len)
{
    struct sim *s = owner;
    struct rd rd = rd_init(compound, len);
    struct rtcp_packet p;
    struct rtcp_report report;
    assert_true(len > 0 && len <= 1200);
    int n;
    while ((n = rtcp_next(&rd, &p)) > 0) {
        if (p.type == RTCP_RTPFB || p.type == RTCP_PSFB)
            sim_note_feedback(s, &p);
        for (unsigned i = 0; p.type == RTCP_RR && rtcp_read_report(&p, i, &report); i++) {
            s->reports++;
            if (report.ssrc == SIM_VIDEO_SSRC)
                s->report = report;
        }
    }
    assert_int_equal(n, 0);
    sim_fly(s, compound, len, true, true);
}

static inline void sim_check_video(struct sim *s, const struct rtp_unit *u)
{
    assert_true(u->len > 10 && u->config.len > 0);
    struct rd r = rd_init(u->bytes, u->len);
    struct slice nal = rd_slice_of(&r, rd_u32(&r));
    assert_false(r.underrun);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(nal.p[0], u->key ? 0x65 : 0x41);
    r = rd_init(nal.p + 2, 4);
    uint32_t id = rd_u32(&r);
    assert_int_equal(nal.len, sim_nal_len(id, u->key, s->packets_max));
    for (size_t i = 6; i < nal.len; i++)
        assert_int_equal(nal.p[i], sim_byte(id, i));
    assert_true(s->videos == 0 ? u->key : id > s->last_video);
    if (s->videos > 0 && id != s->last_video + 1) {
        assert_true(u->key);
        s->skipped += id - s->last_video - 1;
    }
    s->last_video = id;
    s->videos++;
    s->keys += u->key;
}

static inline void sim_check_audio(struct sim *s, const struct rtp_unit *u)
{
    assert_int_equal(u->len, 20);
    struct rd r = rd_init(u->bytes + 1, 4);
    uint32_t id = rd_u32(&r);
    assert_true(s->audios == 0 || id > s->last_audio);
    s->last_audio = id;
    s->audios++;
}

static inline void sim_on_unit(void *owner, const struct rtc_received *u)
{
    struct sim *s = owner;
    unsigned t = u->track;
    if (t == 0)
        sim_check_video(s, u->unit);
    else
        sim_check_audio(s, u->unit);
    unsigned count = t == 0 ? s->videos : s->audios;
    assert_true(count == 1 || u->dts_us > s->last_dts_us[t]);
    s->last_dts_us[t] = u->dts_us;
    int64_t captured_us = SIM_START_US + (t == 0 ? (int64_t)s->last_video * SIM_FRAME_US
                                                 : (int64_t)s->last_audio * SIM_AUDIO_US);
    s->offset_us[t] = u->pts_us - captured_us;
    if (count == 1 || s->offset_us[t] > s->offset_max_us[t])
        s->offset_max_us[t] = s->offset_us[t];
    if (count == 1 || s->offset_us[t] < s->offset_min_us[t])
        s->offset_min_us[t] = s->offset_us[t];
}

static const struct rtc_receiver_handler sim_handler = {sim_on_unit, sim_on_rtcp};

static inline struct sim *sim_new_sender(uint64_t seed, const struct sim_network *net)
{
    struct sim *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->random = seed * 7919 + 1;
    s->net = *net;
    s->now_us = SIM_START_US;
    s->packets_max = 8;
    s->key_wanted = true;
    for (int i = 0; i < 3; i++)
        s->seq[i] = (uint16_t)(65536 - sim_random(s) % 2000);
    s->timestamp0[0] = (uint32_t) - (int32_t)(sim_random(s) % 900000);
    s->timestamp0[1] = (uint32_t)sim_random(s);
    s->twcc = 65500;
    s->next_us[0] = s->next_us[1] = s->now_us;
    s->next_report_us = s->now_us + 100000;
    return s;
}

static inline int64_t sim_arrival(const struct sim *s, int64_t us)
{
    return us + (int64_t)((double)(us - SIM_START_US) * s->arrival_drift);
}

static inline void sim_open(struct sim *s)
{
    struct rtc_receiver_options o = {
        .tracks = {{.codec = FLV_CODEC_AVC,
                    .clock_hz = 90000,
                    .payload_type = SIM_VIDEO_TYPE,
                    .rtx_type = SIM_RTX_TYPE,
                    .has_rtx = !s->no_rtx,
                    .nack = !s->no_nack,
                    .pli = true,
                    .transport_cc_ext = SIM_TWCC_EXT,
                    .mid_ext = SIM_MID_EXT,
                    .mid = "v"},
                   {.codec = FLV_CODEC_OPUS,
                    .clock_hz = 48000,
                    .payload_type = SIM_AUDIO_TYPE,
                    .transport_cc_ext = SIM_TWCC_EXT,
                    .mid_ext = SIM_MID_EXT,
                    .mid = "a"}},
        .track_count = 2,
        .remb_bps = 8000000,
        .ssrc = SIM_OUR_SSRC,
        .reduced_rtcp = true,
        .cname = "sluice",
        .handler = &sim_handler,
        .owner = s,
    };
    s->r = rtc_receiver_new(&o, sim_arrival(s, s->now_us));
}

static inline void sim_deliver(struct sim *s, size_t i)
{
    struct sim_packet *p = s->flight[i];
    s->flight[i] = s->flight[--s->flight_count];
    int64_t us = sim_arrival(s, s->now_us);
    if (p->to_sender)
        sim_take_rtcp(s, p);
    else if (p->rtcp)
        rtc_receiver_rtcp(s->r, p->bytes, p->len, us);
    else
        rtc_receiver_rtp(s->r, p->bytes, p->len, us);
    free(p);
}

/* The first packet to come, or flight_count. */
static inline size_t sim_first(const struct sim *s)
{
    size_t first = s->flight_count;
    for (size_t i = 0; i < s->flight_count; i++) {
        const struct sim_packet *p = s->flight[i], *q = s->flight[first];
        if (first == s->flight_count || p->at_us < q->at_us ||
            (p->at_us == q->at_us && p->number < q->number))
            first = i;
    }
    return first;
}

static inline int64_t sim_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Lets so much time pass. */
static inline void sim_run(struct sim *s, int64_t for_us)
{
    int64_t end_us = s->now_us + for_us;
    while (s->now_us < end_us) {
        size_t first = sim_first(s);
        int64_t next_us = sim_least(sim_least(s->next_us[0], s->next_us[1]), s->next_report_us);
        int64_t flight_us = first < s->flight_count ? s->flight[first]->at_us : INT64_MAX;
        /* The receiver's timer, on the sender's clock, no finer than a millisecond. */
        int64_t timer_us = rtc_receiver_next_us(s->r);
        if (timer_us != INT64_MAX && timer_us != INT64_MIN)
            timer_us -= sim_arrival(s, s->now_us) - s->now_us;
        timer_us = timer_us < s->now_us + 1000 ? s->now_us + 1000 : timer_us;
        s->now_us = sim_least(sim_least(next_us, flight_us), sim_least(timer_us, end_us));
        if (s->now_us == flight_us)
            sim_deliver(s, first);
        if (s->now_us == s->next_us[0]) {
            sim_send_picture(s);
            s->next_us[0] += SIM_FRAME_US;
        }
        if (s->now_us == s->next_us[1]) {
            sim_send_sound(s);
            s->next_us[1] += SIM_AUDIO_US;
        }
        if (s->now_us == s->next_report_us) {
            sim_send_reports(s);
            s->next_report_us += 1000000;
        }
        if (rtc_receiver_next_us(s->r) <= sim_arrival(s, s->now_us))
            rtc_receiver_run(s->r, sim_arrival(s, s->now_us));
    }
}

static inline void sim_close(struct sim *s)
{
    rtc_receiver_free(&s->r);
    for (size_t i = 0; i < s->flight_count; i++)
        free(s->flight[i]);
    for (size_t i = 0; i < SIM_HISTORY; i++)
        free(s->history[i]);
    free(s);
}

#endif
