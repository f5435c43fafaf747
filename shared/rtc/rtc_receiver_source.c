/* Which SSRC is which track's, and what is reported of it. */
#include "rtc/rtc_receiver_internal.h"

#include "base/must.h"

#include <math.h>
#include <stdlib.h>

#define LOST_MAX    0x7fffff /* of 24 bits */
#define DLSR_UNIT   65536    /* per second */
#define US_PER_S    1000000
#define JITTER_GAIN 16

struct rtc_source *rtc_source_find(struct rtc_receiver *r, uint32_t ssrc)
{
    for (unsigned i = 0; i < r->source_count; i++)
        if (r->sources[i].ssrc == ssrc)
            return &r->sources[i];
    return NULL;
}

/* By mid where the packet has one, else by payload type: of one bundle they are the tracks' own. */
static bool is_of(const struct rtc_receiver_track *t, const struct rtp_packet *p, bool *is_rtx)
{
    struct slice mid;
    *is_rtx = t->has_rtx && p->h.payload_type == t->rtx_type;
    if (!*is_rtx && p->h.payload_type != t->payload_type)
        return false;
    if (t->mid_ext != 0 && t->mid[0] != '\0' && rtp_find_ext(p, t->mid_ext, &mid))
        return slice_is(mid, t->mid);
    return true;
}

static struct rtc_source *add(struct rtc_receiver *r, const struct rtp_packet *p)
{
    for (unsigned i = 0; i < r->track_count; i++) {
        bool is_rtx;
        if (!is_of(&r->tracks[i].o, p, &is_rtx))
            continue;
        struct rtc_source *s = &r->sources[r->source_count++];
        *s = (struct rtc_source){.ssrc = p->h.ssrc, .track = i, .is_rtx = is_rtx};
        return s;
    }
    return NULL;
}

static bool may_follow(const struct rtc_source *old, int64_t now_us)
{
    return old == NULL || old->ended || now_us - old->last_us > RTC_SOURCE_SILENT_US;
}

static bool take_place(struct rtc_track *t, struct rtc_source *s, int64_t now_us)
{
    struct rtc_source **place = s->is_rtx ? &t->rtx : &t->source;
    if (*place == s)
        return true;
    if (!may_follow(*place, now_us))
        return false;
    bool follows = *place != NULL;
    *place = s;
    if (follows && !s->is_rtx)
        rtc_track_restart(t);
    return true;
}

struct rtc_source *rtc_source_of(struct rtc_receiver *r, const struct rtp_packet *p,
                                 int64_t arrival_us)
{
    struct rtc_source *s = rtc_source_find(r, p->h.ssrc);
    if (s == NULL && r->source_count < RTC_SOURCES_MAX)
        s = add(r, p);
    if (s == NULL)
        return NULL;
    struct rtc_track *t = &r->tracks[s->track];
    if (p->h.payload_type != (s->is_rtx ? t->o.rtx_type : t->o.payload_type))
        return NULL;
    return take_place(t, s, arrival_us) ? s : NULL;
}

static void update_jitter(struct rtc_source *s, uint32_t clock_hz, uint32_t timestamp,
                          int64_t arrival_us)
{
    int64_t arrival =
        arrival_us / US_PER_S * clock_hz + arrival_us % US_PER_S * (int64_t)clock_hz / US_PER_S;
    int64_t transit = rtp_unwrap32(s->transit, (uint32_t)arrival - timestamp);
    if (s->started)
        s->jitter += (fabs((double)(transit - s->transit)) - s->jitter) / JITTER_GAIN;
    s->transit = transit;
}

void rtc_source_count(struct rtc_source *s, const struct rtc_receiver_track *t,
                      const struct rtp_packet *p, int64_t arrival_us)
{
    update_jitter(s, t->clock_hz, p->h.timestamp, arrival_us);
    if (!s->started) {
        s->started = true;
        s->first_seq = p->h.seq;
        s->highest_seq = p->h.seq;
    }
    int64_t seq = rtp_unwrap16(s->highest_seq, p->h.seq);
    if (seq > s->highest_seq)
        s->highest_seq = seq;
    s->received++;
    s->last_us = arrival_us;
}

static uint8_t fraction_lost(struct rtc_source *s, uint64_t expected)
{
    uint64_t since = expected - s->expected_before, came = s->received - s->received_before;
    s->expected_before = expected;
    s->received_before = s->received;
    if (since <= came)
        return 0;
    uint64_t of_256 = (since - came) * 256 / since;
    return of_256 > UINT8_MAX ? UINT8_MAX : (uint8_t)of_256;
}

void rtc_source_report(struct rtc_source *s, int64_t now_us, struct rtcp_report *out)
{
    must(s->started);
    uint64_t expected = (uint64_t)(s->highest_seq - s->first_seq) + 1;
    int64_t lost = (int64_t)expected - (int64_t)s->received;
    if (lost > LOST_MAX)
        lost = LOST_MAX;
    if (lost < -LOST_MAX)
        lost = -LOST_MAX;
    int64_t since_sr_us = now_us > s->lsr_us ? now_us - s->lsr_us : 0;
    *out = (struct rtcp_report){
        .ssrc = s->ssrc,
        .fraction_lost = fraction_lost(s, expected),
        .lost = (int32_t)lost,
        .highest_seq = (uint32_t)s->highest_seq,
        .jitter = s->jitter < UINT32_MAX ? (uint32_t)s->jitter : UINT32_MAX,
        .lsr = s->lsr,
        .dlsr = s->lsr != 0 ? (uint32_t)(since_sr_us * DLSR_UNIT / US_PER_S) : 0,
    };
}
