#ifndef SLUICE_RTC_RTC_ARRIVALS_H
#define SLUICE_RTC_RTC_ARRIVALS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * When the packets of one sender came, by their transport-wide numbers, and the feedback that tells
 * it (draft-holmer-rmcat-transport-wide-cc-extensions): the sender estimates its bandwidth by it.
 * A packet that comes after it was told of as missing is told of again.
 */
#define RTC_ARRIVALS_EVERY_US 100000
#define RTC_ARRIVALS_KEPT     1024 /* packets; also the most that one message tells of */

struct rtc_arrivals {
    bool started;
    uint8_t number;  /* of the next message */
    int64_t first;   /* not told yet: first … */
    int64_t highest; /* … to highest */
    int64_t next_us; /* when to tell; INT64_MAX: nothing to tell */
    struct {
        int64_t seq, us;
    } came[RTC_ARRIVALS_KEPT]; /* by seq modulo their number */
};

void rtc_arrivals_init(struct rtc_arrivals *a);
void rtc_arrivals_add(struct rtc_arrivals *a, uint16_t seq, int64_t arrival_us);
/* When rtc_arrivals_write() has something to say; INT64_MAX: nothing. */
static inline int64_t rtc_arrivals_next_us(const struct rtc_arrivals *a)
{
    return a->next_us;
}
/* Writes one message; call it until it returns false: nothing left to say, or no room. */
bool rtc_arrivals_write(struct rtc_arrivals *a, struct wr *w, uint32_t sender, uint32_t media);

#endif
