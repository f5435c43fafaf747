/* What a viewer is told about time (RFC 3550, 6.4.1), and what it tells. */
#include "proto/rtcp.h"
#include "rtc/rtc_sender_internal.h"

#define REPORT_US        1000000
#define REPORT_SOON_US   200000   /* between the first two: with one alone, clocks are not known */
#define REPORT_ROOM      256      /* bytes of a sender report with its CNAME, and of a BYE */
#define NACKS_MAX        512      /* sequence numbers of one message that are looked at */
#define RTT_MAX_US       10000000 /* longer ones are not believed */
#define WINDOW_US        2000000
#define WINDOW_PACKETS   50
#define BAD_WINDOWS_MAX  2  /* in a row, until video is left out */
#define LOSS_BAD         15 /* percent */
#define LOSS_SOME        10
#define REMB_NARROW      75     /* percent of the stream's rate */
#define QUEUE_US         400000 /* of round trip more than the shortest: a queue grows */
#define VIDEO_OFF_US     10000000
#define VIDEO_OFF_MAX_US 60000000
#define VIDEO_GOOD_US    30000000 /* with video for so long, the next pause is short again */

static uint32_t ntp_units(int64_t us)
{
    return (uint32_t)(us * 65536 / 1000000);
}

/* Who only receives learns the round trip by this alone, and asks again for what it lacks the
 * sooner. */
static void write_times(struct rtc_sender *s, struct wr *w, uint32_t ssrc, int64_t now_us)
{
    struct rtcp_dlrr items[RTC_TRACKS];
    unsigned n = 0;
    for (unsigned i = 0; i < RTC_TRACKS; i++) {
        struct sender_listener *l = &s->listeners[i];
        if (l->at_us != 0)
            items[n++] = (struct rtcp_dlrr){l->ssrc, l->told, ntp_units(now_us - l->at_us)};
        l->at_us = 0;
    }
    if (n > 0)
        rtcp_write_dlrr(w, ssrc, items, n);
}

static void write_report(struct rtc_sender *s, enum rtc_track t, int64_t now_us)
{
    struct sender_track *track = &s->tracks[t];
    uint8_t bytes[REPORT_ROOM];
    struct wr w = wr_init(bytes, sizeof bytes);
    const struct rtcp_sender report = {
        .ssrc = track->ssrc,
        .ntp = rtcp_ntp_of_unix_us(now_us + s->clock_us),
        .timestamp = rtc_units_timestamp(s->options.stream, t, now_us - s->line_us),
        .packets = track->packets,
        .octets = track->octets,
    };
    rtcp_write_sr(&w, &report, NULL, 0);
    rtcp_write_cname(&w, track->ssrc, slice_text(s->cname));
    write_times(s, &w, track->ssrc, now_us);
    s->options.ops->send_rtcp(s->options.owner, bytes, wr_len(&w));
}

void sender_report(struct rtc_sender *s, int64_t now_us)
{
    for (unsigned t = 0; t < RTC_TRACKS; t++) {
        struct sender_track *track = &s->tracks[t];
        if (!track->numbers.begun || now_us < track->report_us)
            continue;
        track->report_us = now_us + (track->report_us == 0 ? REPORT_SOON_US : REPORT_US);
        write_report(s, t, now_us);
    }
}

void rtc_sender_bye(struct rtc_sender *s)
{
    uint8_t bytes[REPORT_ROOM];
    struct wr w = wr_init(bytes, sizeof bytes);
    uint32_t ssrcs[RTC_TRACKS];
    unsigned n = 0;
    for (unsigned t = 0; t < RTC_TRACKS; t++)
        if (s->tracks[t].numbers.begun)
            ssrcs[n++] = s->tracks[t].ssrc;
    if (n == 0)
        return;
    rtcp_write_rr(&w, ssrcs[0], NULL, 0);
    rtcp_write_cname(&w, ssrcs[0], slice_text(s->cname));
    rtcp_write_bye(&w, ssrcs, n);
    s->options.ops->send_rtcp(s->options.owner, bytes, wr_len(&w));
}

/* ---- what comes ---- */

static bool track_of_ssrc(const struct rtc_sender *s, uint32_t ssrc, enum rtc_track *out)
{
    for (unsigned t = 0; t < RTC_TRACKS; t++)
        if (s->tracks[t].ssrc == ssrc && s->tracks[t].how.codec != 0) {
            *out = t;
            return true;
        }
    return false;
}

static void note_rtt(struct rtc_sender *s, const struct rtcp_report *r, int64_t now_us)
{
    if (r->lsr == 0)
        return;
    uint32_t now = rtcp_ntp_middle(rtcp_ntp_of_unix_us(now_us + s->clock_us));
    int64_t rtt_us = (int64_t)(now - r->lsr - r->dlsr) * 1000000 / 65536;
    if (rtt_us <= 0 || rtt_us >= RTT_MAX_US)
        return;
    s->stats.rtt_us = rtt_us;
    if (s->rtt_least_us == 0 || rtt_us < s->rtt_least_us)
        s->rtt_least_us = rtt_us;
}

/* Too much is lost: sound alone, and video again after a while, longer each time it fails. */
static void leave_video_out(struct rtc_sender *s, int64_t now_us)
{
    bool was_good = now_us - s->video_on_us > VIDEO_GOOD_US;
    s->back_off_us = s->back_off_us == 0 || was_good ? VIDEO_OFF_US : 2 * s->back_off_us;
    if (s->back_off_us > VIDEO_OFF_MAX_US)
        s->back_off_us = VIDEO_OFF_MAX_US;
    s->window.begin_us = 0;
    s->stats.audio_only = true;
    s->video_off_until_us = now_us + s->back_off_us;
    s->waits_key = true;
    s->wanted_us = s->video_off_until_us - REPORT_US; /* nobody needs a key frame before */
    METRIC_INC(s->options.metrics->rtc_audio_only_total);
}

/* What a viewer estimates is believed with a second sign only: a browser that lacks CPU time
 * estimates too little. */
static bool is_too_much(const struct rtc_sender *s, int64_t sent, int64_t lost)
{
    uint64_t rate_bps = rtc_units_bytes_per_s(s->options.stream) * 8;
    bool narrow = s->stats.remb_bps > 0 && s->stats.remb_bps < rate_bps * REMB_NARROW / 100;
    bool queued = s->stats.rtt_us - s->rtt_least_us > QUEUE_US;
    int64_t percent = 100 * lost / sent;
    return percent > LOSS_BAD || (narrow && (queued || percent > LOSS_SOME));
}

/* Reports come as often as the viewer likes: a time is judged, not a report. */
static void judge_loss(struct rtc_sender *s, const struct rtcp_report *r, int64_t now_us)
{
    struct sender_window *w = &s->window;
    int64_t sent = (int64_t)r->highest_seq - w->highest_seq;
    bool begins = w->begin_us == 0 || sent < 0;
    if (!begins && (now_us - w->begin_us < WINDOW_US || sent < WINDOW_PACKETS))
        return;
    bool bad = !begins && is_too_much(s, sent, r->lost - w->lost);
    *w = (struct sender_window){now_us, r->highest_seq, r->lost, bad ? w->bad + 1 : 0};
    if (w->bad >= BAD_WINDOWS_MAX && !s->stats.audio_only && s->tracks[RTC_AUDIO].numbers.begun)
        leave_video_out(s, now_us);
}

static void on_reports(struct rtc_sender *s, const struct rtcp_packet *p, int64_t now_us)
{
    struct rtcp_report r;
    for (unsigned i = 0; rtcp_read_report(p, i, &r); i++) {
        enum rtc_track t;
        if (!track_of_ssrc(s, r.ssrc, &t))
            continue;
        note_rtt(s, &r, now_us);
        METRIC_INC(s->options.metrics->rtc_reports_total);
        METRIC_ADD(s->options.metrics->rtc_reported_loss_total, r.fraction_lost);
        if (t == RTC_VIDEO || s->tracks[RTC_VIDEO].how.codec == 0)
            s->stats.fraction_lost = r.fraction_lost;
        if (t == RTC_VIDEO)
            judge_loss(s, &r, now_us);
    }
}

/* A third one takes the place of the one that spoke first. */
static struct sender_listener *listener_of(struct rtc_sender *s, uint32_t ssrc)
{
    struct sender_listener *oldest = &s->listeners[0];
    for (unsigned i = 0; i < RTC_TRACKS; i++) {
        struct sender_listener *l = &s->listeners[i];
        if (l->ssrc == ssrc)
            return l;
        if (l->at_us < oldest->at_us)
            oldest = l;
    }
    return oldest;
}

static void on_receiver_time(struct rtc_sender *s, const struct rtcp_packet *p, int64_t now_us)
{
    struct rtcp_receiver_time t;
    if (rtcp_read_receiver_time(p, &t))
        *listener_of(s, t.ssrc) = (struct sender_listener){t.ssrc, rtcp_ntp_middle(t.ntp), now_us};
}

static void on_nack(struct rtc_sender *s, const struct rtcp_feedback *f, int64_t now_us)
{
    uint16_t seqs[NACKS_MAX];
    enum rtc_track t;
    if (!track_of_ssrc(s, f->media, &t))
        return;
    size_t n = rtcp_read_nack(f, seqs, NACKS_MAX);
    s->stats.nacked += n;
    METRIC_ADD(s->options.metrics->rtc_nacked_total, n);
    if (t == RTC_VIDEO && s->stats.audio_only)
        return; /* nothing more of it is needed, and there is no room */
    sender_resend(s, t, seqs, n, now_us);
}

static void on_key_request(struct rtc_sender *s, int64_t now_us)
{
    s->stats.key_requests++;
    METRIC_INC(s->options.metrics->rtc_key_requests_total);
    if (s->stats.audio_only)
        return;
    sender_want_key(s, now_us);
    sender_over_ask(s, now_us);
}

static void on_payload_feedback(struct rtc_sender *s, const struct rtcp_packet *p,
                                const struct rtcp_feedback *f, int64_t now_us)
{
    struct sender_track *video = &s->tracks[RTC_VIDEO];
    uint8_t seq;
    uint64_t bps;
    if (p->count == RTCP_PLI && f->media == video->ssrc)
        on_key_request(s, now_us);
    else if (p->count == RTCP_FIR && rtcp_read_fir(f, video->ssrc, &seq)) {
        /* Repeated until it is answered (RFC 5104, 4.3.1.2). */
        if (!video->fir_seen || seq != video->fir_seq)
            on_key_request(s, now_us);
        video->fir_seen = true;
        video->fir_seq = seq;
    } else if (p->count == RTCP_AFB && rtcp_read_remb(f, &bps))
        s->stats.remb_bps = bps;
}

void rtc_sender_rtcp(struct rtc_sender *s, const uint8_t *compound, size_t len, int64_t now_us)
{
    struct rd r = rd_init(compound, len);
    struct rtcp_packet p;
    while (rtcp_next(&r, &p) > 0) {
        struct rtcp_feedback f;
        if (p.type == RTCP_RR || p.type == RTCP_SR)
            on_reports(s, &p, now_us);
        else if (p.type == RTCP_XR)
            on_receiver_time(s, &p, now_us);
        else if (p.type == RTCP_RTPFB && p.count == RTCP_NACK && rtcp_read_feedback(&p, &f) == 0)
            on_nack(s, &f, now_us);
        else if (p.type == RTCP_PSFB && rtcp_read_feedback(&p, &f) == 0)
            on_payload_feedback(s, &p, &f, now_us);
    }
}
