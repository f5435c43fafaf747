/* What the sender is told: missing packets, wanted key frames, times of arrival, reports. */
#include "rtc/rtc_receiver_internal.h"

#define NACKS_MAX 200 /* packets that one message asks for */
#define SMALL_MAX 256 /* bytes of anything that is not a NACK or transport-wide feedback */

/* A compound that is being made. */
struct compound {
    struct rtc_receiver *r;
    struct wr w;
    size_t head_len; /* what comes first in any case */
    uint8_t bytes[RTC_RTCP_MAX];
};

static void begin(struct compound *c, struct rtc_receiver *r)
{
    c->r = r;
    c->w = wr_init(c->bytes, sizeof c->bytes);
    if (!r->reduced_rtcp) {
        rtcp_write_rr(&c->w, r->ssrc, NULL, 0);
        rtcp_write_cname(&c->w, r->ssrc, slice_text(r->cname));
    }
    c->head_len = wr_len(&c->w);
}

static void finish(struct compound *c)
{
    if (wr_len(&c->w) > c->head_len)
        c->r->handler->on_rtcp(c->r->owner, c->bytes, wr_len(&c->w));
}

/* Room for so many bytes more. */
static void need(struct compound *c, size_t bytes)
{
    if (wr_len(&c->w) + bytes <= sizeof c->bytes)
        return;
    finish(c);
    begin(c, c->r);
}

static size_t ask_for_some(struct compound *c, struct rtc_track *t, int64_t now_us)
{
    uint16_t seqs[NACKS_MAX];
    size_t count = rtc_nack_due(t->nack, now_us, c->r->rtt_us, seqs, NACKS_MAX);
    if (count == 0 || !t->o.nack || t->source == NULL)
        return count;
    need(c, SMALL_MAX + 4 * count);
    rtcp_write_nack(&c->w, c->r->ssrc, t->source->ssrc, seqs, count);
    c->r->stats.nacks += count;
    return count;
}

static void ask_for_packets(struct compound *c, struct rtc_track *t, int64_t now_us)
{
    while (ask_for_some(c, t, now_us) == NACKS_MAX)
        ;
}

static void ask_for_key(struct compound *c, struct rtc_track *t, int64_t now_us)
{
    if (t->source == NULL || !rtc_want_key_due(&t->want_key, now_us))
        return;
    need(c, SMALL_MAX);
    c->r->stats.plis++;
    if (t->o.pli || !t->o.fir)
        rtcp_write_pli(&c->w, c->r->ssrc, t->source->ssrc);
    else
        rtcp_write_fir(&c->w, c->r->ssrc, t->source->ssrc, t->fir_number++);
}

static uint32_t any_source(const struct rtc_receiver *r)
{
    for (unsigned i = 0; i < r->track_count; i++)
        if (r->tracks[i].is_video && r->tracks[i].source != NULL)
            return r->tracks[i].source->ssrc;
    return r->source_count > 0 ? r->sources[0].ssrc : 0;
}

static void tell_arrivals(struct compound *c, int64_t now_us)
{
    struct rtc_receiver *r = c->r;
    if (rtc_arrivals_next_us(&r->arrivals) > now_us)
        return;
    do
        need(c, sizeof c->bytes / 2);
    while (rtc_arrivals_write(&r->arrivals, &c->w, r->ssrc, any_source(r)));
}

static bool is_reported(const struct rtc_receiver *r, const struct rtc_source *s)
{
    const struct rtc_track *t = &r->tracks[s->track];
    return s->started && (s == t->source || s == t->rtx);
}

static void write_remb(struct compound *c)
{
    uint32_t ssrcs[RTC_TRACKS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < c->r->track_count; i++)
        if (c->r->tracks[i].is_video && c->r->tracks[i].source != NULL)
            ssrcs[count++] = c->r->tracks[i].source->ssrc;
    if (count > 0 && c->r->remb_bps > 0)
        rtcp_write_remb(&c->w, c->r->ssrc, c->r->remb_bps, ssrcs, count);
}

static void report(struct compound *c, int64_t now_us)
{
    struct rtc_receiver *r = c->r;
    struct rtcp_report reports[RTC_SOURCES_MAX];
    unsigned count = 0;
    if (now_us < r->report_us)
        return;
    r->report_us = now_us + RTC_REPORT_EVERY_US;
    for (unsigned i = 0; i < r->source_count; i++)
        if (is_reported(r, &r->sources[i]))
            rtc_source_report(&r->sources[i], now_us, &reports[count++]);
    if (count == 0)
        return;
    finish(c);
    c->w = wr_init(c->bytes, sizeof c->bytes);
    c->head_len = 0;
    rtcp_write_rr(&c->w, r->ssrc, reports, count);
    rtcp_write_cname(&c->w, r->ssrc, slice_text(r->cname));
    write_remb(c);
}

void rtc_feedback_run(struct rtc_receiver *r, int64_t now_us)
{
    struct compound c;
    begin(&c, r);
    report(&c, now_us);
    for (unsigned i = 0; i < r->track_count; i++) {
        ask_for_packets(&c, &r->tracks[i], now_us);
        ask_for_key(&c, &r->tracks[i], now_us);
    }
    tell_arrivals(&c, now_us);
    finish(&c);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t rtc_feedback_next_us(const struct rtc_receiver *r)
{
    int64_t next_us = earlier(r->report_us, rtc_arrivals_next_us(&r->arrivals));
    for (unsigned i = 0; i < r->track_count; i++) {
        const struct rtc_track *t = &r->tracks[i];
        next_us = earlier(next_us, rtc_nack_next_us(t->nack));
        if (t->source != NULL)
            next_us = earlier(next_us, rtc_want_key_next_us(&t->want_key));
    }
    return next_us;
}
