#include "rtc/rtc_receiver_internal.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

#define RTX_HEADER_SIZE 2 /* bytes: the sequence number of what is repeated (RFC 4588, 4) */

struct rtc_receiver *rtc_receiver_new(const struct rtc_receiver_options *o, int64_t now_us)
{
    struct rtc_receiver *r = xcalloc(1, sizeof *r);
    must(o->track_count > 0 && o->track_count <= RTC_TRACKS_MAX);
    must(slice_copy(slice_text(o->cname), r->cname, sizeof r->cname));
    r->handler = o->handler;
    r->owner = o->owner;
    r->ssrc = o->ssrc;
    r->remb_bps = o->remb_bps;
    r->reduced_rtcp = o->reduced_rtcp;
    r->rtt_us = r->stats.rtt_us = RTC_RTT_START_US;
    r->report_us = now_us + RTC_REPORT_EVERY_US;
    rtc_arrivals_init(&r->arrivals);
    r->track_count = o->track_count;
    for (unsigned i = 0; i < o->track_count; i++) {
        rtc_track_init(&r->tracks[i], &o->tracks[i], o->key_every_us);
        if (r->transport_cc_ext == 0)
            r->transport_cc_ext = o->tracks[i].transport_cc_ext;
    }
    return r;
}

void rtc_receiver_free(struct rtc_receiver **rp)
{
    struct rtc_receiver *r = *rp;
    *rp = NULL;
    if (r == NULL)
        return;
    for (unsigned i = 0; i < r->track_count; i++)
        rtc_track_fini(&r->tracks[i]);
    free(r);
}

/* --- packets --- */

static void note_arrival(struct rtc_receiver *r, const struct rtp_packet *p, int64_t arrival_us)
{
    struct slice number;
    if (r->transport_cc_ext == 0 || !rtp_find_ext(p, r->transport_cc_ext, &number))
        return;
    struct rd rd = rd_slice(number);
    uint16_t seq = rd_u16(&rd);
    if (!rd.underrun)
        rtc_arrivals_add(&r->arrivals, seq, arrival_us);
}

static void take_packet(struct rtc_receiver *r, struct rtc_source *s, struct rtp_packet *p,
                        int64_t arrival_us)
{
    struct rtc_track *t = &r->tracks[s->track];
    if (s->is_rtx) {
        struct rd rd = rd_slice(p->payload);
        p->h.seq = rd_u16(&rd);
        if (rd.underrun)
            return; /* padding only, sent to measure bandwidth */
        p->payload = rd_rest(&rd);
    }
    rtc_track_take(r, t, &p->h, p->payload, arrival_us);
}

void rtc_receiver_rtp(struct rtc_receiver *r, const uint8_t *packet, size_t len, int64_t arrival_us)
{
    struct rtp_packet p;
    r->stats.packets++;
    r->stats.bytes += len;
    if (rtp_read(packet, len, &p) < 0) {
        r->stats.unknown++;
        return;
    }
    note_arrival(r, &p, arrival_us);
    struct rtc_source *s = rtc_source_of(r, &p, arrival_us);
    if (s == NULL) {
        r->stats.unknown++;
        return;
    }
    rtc_source_count(s, &r->tracks[s->track].o, &p, arrival_us);
    take_packet(r, s, &p, arrival_us);
}

/* --- RTCP --- */

static void take_sender_report(struct rtc_receiver *r, const struct rtcp_packet *p,
                               int64_t arrival_us)
{
    struct rtcp_sender sr;
    if (rtcp_read_sr(p, &sr) < 0)
        return;
    struct rtc_source *s = rtc_source_find(r, sr.ssrc);
    if (s == NULL || s->is_rtx)
        return;
    s->lsr = rtcp_ntp_middle(sr.ntp);
    s->lsr_us = arrival_us;
    struct rtc_track *t = &r->tracks[s->track];
    if (t->source != s || sr.ntp == 0)
        return;
    int64_t us = rtc_clock_report(&t->clock, &r->line, sr.timestamp, rtcp_unix_us_of_ntp(sr.ntp));
    for (unsigned i = 0; us > 0 && i < r->track_count; i++)
        if (&r->tracks[i] != t)
            rtc_clock_advance(&r->tracks[i].clock, us);
}

static void take_bye(struct rtc_receiver *r, const struct rtcp_packet *p)
{
    uint32_t ssrcs[RTCP_COUNT_MAX];
    unsigned count = rtcp_read_bye(p, ssrcs);
    for (unsigned i = 0; i < count; i++) {
        struct rtc_source *s = rtc_source_find(r, ssrcs[i]);
        if (s != NULL)
            s->ended = true;
    }
}

void rtc_receiver_rtcp(struct rtc_receiver *r, const uint8_t *compound, size_t len,
                       int64_t arrival_us)
{
    struct rd rd = rd_init(compound, len);
    struct rtcp_packet p;
    while (rtcp_next(&rd, &p) > 0) {
        if (p.type == RTCP_SR)
            take_sender_report(r, &p, arrival_us);
        else if (p.type == RTCP_BYE)
            take_bye(r, &p);
    }
}

/* --- time --- */

void rtc_receiver_run(struct rtc_receiver *r, int64_t now_us)
{
    for (unsigned i = 0; i < r->track_count; i++)
        rtc_track_run(r, &r->tracks[i], now_us);
    rtc_feedback_run(r, now_us);
}

int64_t rtc_receiver_next_us(struct rtc_receiver *r)
{
    int64_t next_us = rtc_feedback_next_us(r);
    for (unsigned i = 0; i < r->track_count; i++) {
        int64_t us = rtc_track_next_us(r, &r->tracks[i]);
        if (us < next_us)
            next_us = us;
    }
    return next_us;
}

void rtc_receiver_want_key(struct rtc_receiver *r)
{
    for (unsigned i = 0; i < r->track_count; i++)
        if (r->tracks[i].is_video)
            rtc_want_key(&r->tracks[i].want_key);
}

const struct rtc_receiver_stats *rtc_receiver_stats(const struct rtc_receiver *r)
{
    return &r->stats;
}
