/* Pictures of before a viewer came. */
#include "proto/rtp.h"
#include "rtc/rtc_sender_internal.h"

#define PACE_MAX 10 /* times: more pictures in a second would be too many for a decoder */
#define PACE_MIN 2
#define APART_US 1000 /* no two pictures have one timestamp */

/* A quarter of what may be sent is left for what frames have more of than others. */
static int64_t pace_of(uint64_t rate, uint64_t bytes_per_s)
{
    uint64_t pace = rate > 0 ? bytes_per_s * 3 / 4 / rate : PACE_MAX;
    return pace < PACE_MIN ? PACE_MIN : pace > PACE_MAX ? PACE_MAX : (int64_t)pace;
}

void sender_past_begin(struct rtc_sender *s, uint64_t bytes_per_s, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    struct sender_past *p = &s->past;
    p->from_us = rtc_units_unit(stream, s->unit)->media_us;
    p->to_us = rtc_units_track_us(stream, RTC_VIDEO);
    if (s->tracks[RTC_VIDEO].packets > 0 && p->to_us <= p->sent_us)
        p->to_us = p->sent_us + APART_US;
    p->begin_us = now_us;
    p->pace = pace_of(rtc_units_bytes_per_s(stream), bytes_per_s);
    p->span_us = (p->to_us - p->from_us) * p->pace / (p->pace - 1);
}

static bool is_past(const struct sender_past *p, const struct rtc_unit *u)
{
    return u->track == RTC_VIDEO && u->media_us >= p->from_us &&
           u->media_us - p->from_us < p->span_us;
}

int64_t sender_past_due_us(const struct sender_past *p, const struct rtc_unit *u)
{
    return is_past(p, u) ? p->begin_us + (u->media_us - p->from_us) / p->pace : INT64_MIN;
}

/* How much later than it was made. */
static int64_t later_us(const struct sender_past *p, const struct rtc_unit *u)
{
    return is_past(p, u) ? p->to_us + (u->media_us - p->from_us) / p->pace - u->media_us : 0;
}

void sender_past_note(struct sender_past *p, const struct rtc_unit *u)
{
    int64_t us = u->media_us + later_us(p, u);
    if (us > p->sent_us)
        p->sent_us = us;
}

uint32_t sender_past_timestamp(const struct sender_past *p, const struct rtc_unit *u)
{
    return u->timestamp + (uint32_t)(later_us(p, u) * RTP_VIDEO_RATE / 1000000);
}
