#ifndef SLUICE_RTC_RTC_JITTER_H
#define SLUICE_RTC_RTC_JITTER_H

#include "proto/rtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The packets of one track, put in order and cut into access units.
 *
 *        next          scan                highest
 *         │             │                    │
 *    seq  100 101 102  103  104 105 106 ... 120
 *        [ a   a   a ] [?] [ a   a   B ...    ]      ? has not come: a is asked for again, and
 * waits
 *
 * A unit is the packets of one timestamp, up to the marker or the next timestamp, with none missing
 * and with a first packet that is known to be the first: it follows the end of another unit, or
 * says so itself.  One that misses a packet when the wait is over is given up, with all that is in
 * doubt after it.
 */
#define RTC_JITTER_PACKETS_MAX 4096 /* a power of two, as every size here */
#define RTC_JITTER_BEFORE      16   /* packets that may come after the one they were sent before */

struct rtc_packet {
    int64_t seq; /* without its wrap */
    uint32_t timestamp;
    bool marker;
    bool begins; /* the first of a unit for sure */
    int64_t arrival_us;
    size_t len; /* of the payload; 0: padding, which is of no unit */
    uint8_t payload[];
};

struct rtc_jitter {
    size_t size; /* packets that are kept at most: a power of two */
    struct rtc_packet **slots;
    bool started;
    bool aligned;     /* next is the first packet of a unit */
    bool passing;     /* next is not, and belongs to a unit of passing_timestamp */
    bool scanned_any; /* between next and scan is a packet that is no padding, of … */
    uint32_t scanned_timestamp, passing_timestamp;
    int64_t next, scan, highest;
    int64_t gap, gap_us; /* rtc_jitter_waiting_since_us() of a scan that stands at gap */
};

void rtc_jitter_init(struct rtc_jitter *j, size_t size);
void rtc_jitter_fini(struct rtc_jitter *j);

/* Gives up everything: the next packet is the first again. */
void rtc_jitter_clear(struct rtc_jitter *j);

enum rtc_jitter_put {
    RTC_PUT_TAKEN,
    RTC_PUT_USELESS, /* there already, or too late */
    RTC_PUT_RESTART, /* taken; it was so far ahead that all before it was given up */
};
/* The payload is copied.  Call rtc_jitter_pop() afterwards. */
enum rtc_jitter_put rtc_jitter_put(struct rtc_jitter *j, const struct rtc_packet *head,
                                   struct slice payload);

/* Packets first to last are a whole unit. */
struct rtc_unit_range {
    int64_t first, last;
    uint32_t timestamp;
    int64_t arrival_us; /* of its earliest packet */
};

/* The next whole unit; rtc_jitter_drop() it afterwards. */
bool rtc_jitter_pop(struct rtc_jitter *j, struct rtc_unit_range *out);
/* The payloads of it: how many; at most the jitter's size. */
size_t rtc_jitter_payloads(const struct rtc_jitter *j, const struct rtc_unit_range *range,
                           struct slice *out);
void rtc_jitter_drop(struct rtc_jitter *j, const struct rtc_unit_range *range);

/* Since when packets that came wait for one that did not; INT64_MAX: none waits. */
int64_t rtc_jitter_waiting_since_us(struct rtc_jitter *j);
/* Waits no longer for what is missing first. */
void rtc_jitter_give_up(struct rtc_jitter *j);

#endif
