#ifndef SLUICE_RTC_RTC_CLOCK_H
#define SLUICE_RTC_RTC_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * RTP timestamps of several tracks on one line, in microseconds.
 *
 *   timestamp ──rate──▶ media time ──shift──▶ the line
 *                                     ▲
 *        at first: arrival of the first packet; then what sender reports say, slowly
 *
 * The line begins as the time of arrival and then follows the sender's wall clock, by which its
 * reports tie the tracks to each other; that clock being set, or running faster than ours, moves
 * nothing.  A shift changes slowly: pictures and sound keep their distances to the
 * RTC_CLOCK_SLEW'th part, so a correction of 20 ms takes a second.  Only a track's first report may
 * move tracks at once, and then forward: what was made before the connection stood has come all at
 * once, and arrival told nothing.
 *
 * All zero is a new line, and but for the rate a new track.
 */
#define RTC_CLOCK_SLEW      50      /* a correction takes 1/50 of the time that passes … */
#define RTC_CLOCK_SLEW_FAST 10      /* … 1/10 while it is far off */
#define RTC_CLOCK_FAR_US    100000  /* this is far off */
#define RTC_CLOCK_REPORT_US 2000000 /* a report that is off by more tells of another clock */
#define RTC_CLOCK_STEP_US   30000   /* a first report that is off by less moves nothing at once */
#define RTC_CLOCK_FIRST_US  5000000 /* the same of a track's first report */
#define RTC_CLOCK_JUMP_US                                                                          \
    3000000                      /* timestamps that jump, or come to lie behind the highest, by    \
                                  * more than arrivals explain */
#define RTC_CLOCK_LEAD_WEIGHT 64 /* of what is known, against one packet */

struct rtc_line {
    bool has_sender;
    int64_t sender_shift_us; /* the line minus the sender's wall clock */
    int64_t lead_us;         /* the line minus our time of arrival, smoothed */
};

struct rtc_clock {
    uint32_t rate; /* of timestamps, per second */
    bool started, reported;
    int64_t last_timestamp; /* without its wrap */
    int64_t highest;        /* timestamp since the line was laid */
    int64_t shift_us;       /* the line minus media time */
    int64_t wanted_us;      /* what shift_us moves to */
};

/* Where a unit with that timestamp lies; it came at arrival_us. */
int64_t rtc_clock_place(struct rtc_clock *c, struct rtc_line *l, uint32_t timestamp,
                        int64_t arrival_us);

/*
 * A sender report of the track: its timestamp at a time of the sender's wall clock.  Nothing
 * happens before the track's first unit.  Returns by how much the other tracks have to be advanced,
 * mostly 0.
 */
int64_t rtc_clock_report(struct rtc_clock *c, struct rtc_line *l, uint32_t timestamp,
                         int64_t sender_us);
void rtc_clock_advance(struct rtc_clock *c, int64_t us);

/* The track goes on with other timestamps (a new SSRC): placed by arrival again. */
void rtc_clock_restart(struct rtc_clock *c);

#endif
