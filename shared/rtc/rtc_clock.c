#include "rtc/rtc_clock.h"

#include "proto/rtp.h"

#include <stdlib.h>

#define US_PER_S 1000000

static int64_t media_us(const struct rtc_clock *c, int64_t timestamp)
{
    int64_t seconds = timestamp / c->rate, rest = timestamp % c->rate;
    return seconds * US_PER_S + rest * US_PER_S / c->rate;
}

static int64_t clamp(int64_t v, int64_t limit)
{
    return v > limit ? limit : v < -limit ? -limit : v;
}

/* Moves the shift as far as the time that passed allows. */
static void slew(struct rtc_clock *c, int64_t passed_us)
{
    int64_t off_us = c->wanted_us - c->shift_us;
    int part = llabs(off_us) > RTC_CLOCK_FAR_US ? RTC_CLOCK_SLEW_FAST : RTC_CLOCK_SLEW;
    if (passed_us > 0)
        c->shift_us += clamp(off_us, clamp(passed_us, US_PER_S) / part);
}

static void anchor(struct rtc_clock *c, int64_t timestamp, int64_t at_us)
{
    c->shift_us = c->wanted_us = at_us - media_us(c, timestamp);
    c->highest = timestamp;
}

int64_t rtc_clock_place(struct rtc_clock *c, struct rtc_line *l, uint32_t timestamp,
                        int64_t arrival_us)
{
    int64_t expected_us = arrival_us + l->lead_us;
    if (!c->started) {
        c->started = true;
        c->last_timestamp = timestamp;
        anchor(c, timestamp, expected_us);
    }
    int64_t t = rtp_unwrap32(c->last_timestamp, timestamp);
    int64_t step_us = media_us(c, t) - media_us(c, c->last_timestamp);
    slew(c, step_us);
    int64_t off_us = media_us(c, t) + c->shift_us - expected_us;
    int64_t behind_us = media_us(c, c->highest) - media_us(c, t);
    bool jumped = llabs(step_us) > RTC_CLOCK_JUMP_US || behind_us > RTC_CLOCK_JUMP_US;
    if (jumped && llabs(off_us) > RTC_CLOCK_JUMP_US) {
        anchor(c, t, expected_us);
        off_us = 0;
    }
    /* Pictures that are shown before others tell nothing of arrival. */
    if (t >= c->highest) {
        c->highest = t;
        l->lead_us += off_us / RTC_CLOCK_LEAD_WEIGHT;
    }
    c->last_timestamp = t;
    return media_us(c, t) + c->shift_us;
}

void rtc_clock_advance(struct rtc_clock *c, int64_t us)
{
    c->shift_us += us;
    c->wanted_us += us;
}

/* Forward only: this track, or all others. */
static int64_t step(struct rtc_clock *c, struct rtc_line *l, int64_t off_us)
{
    if (off_us > 0) {
        rtc_clock_advance(c, off_us);
        return 0;
    }
    l->sender_shift_us -= off_us;
    return -off_us;
}

int64_t rtc_clock_report(struct rtc_clock *c, struct rtc_line *l, uint32_t timestamp,
                         int64_t sender_us)
{
    if (!c->started)
        return 0;
    bool first = !c->reported;
    int64_t media = media_us(c, rtp_unwrap32(c->last_timestamp, timestamp));
    int64_t off_us = sender_us + l->sender_shift_us - (media + c->shift_us);
    c->reported = true;
    if (!l->has_sender || llabs(off_us) > (first ? RTC_CLOCK_FIRST_US : RTC_CLOCK_REPORT_US)) {
        l->has_sender = true;
        l->sender_shift_us = media + c->shift_us - sender_us;
        return 0;
    }
    if (first && llabs(off_us) > RTC_CLOCK_STEP_US)
        return step(c, l, off_us);
    c->wanted_us = c->shift_us + off_us;
    return 0;
}

void rtc_clock_restart(struct rtc_clock *c)
{
    c->started = c->reported = false;
}
