#ifndef SLUICE_RTC_RTC_NACK_H
#define SLUICE_RTC_RTC_NACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The packets that one track lacks, and when each is asked for (RFC 4585, 6.2.1): first after
 * RTC_NACK_FIRST_US, which lets packets overtake each other, then once in max(RTT +
 * RTC_NACK_MARGIN_US, RTC_NACK_AGAIN_US), until it comes or is given up.  Where one in twenty is
 * lost on either way, one request in ten fails, and all of them for one packet in 10^7.
 *
 * All zero is an empty list.
 */
#define RTC_NACK_FIRST_US  10000
#define RTC_NACK_MARGIN_US 10000
#define RTC_NACK_AGAIN_US  30000
#define RTC_NACK_TRIES     7
#define RTC_NACK_LIFE_US   1000000
#define RTC_NACK_MAX       500 /* packets; with more the sender is asked for a key frame instead */

struct rtc_missing {
    int64_t seq;
    int64_t since_us;
    int64_t due_us; /* when it is asked for next */
    int64_t sent_us;
    int tries;
};

struct rtc_nack {
    size_t count;
    struct rtc_missing missing[RTC_NACK_MAX]; /* by seq */
};

/* These are missing (all above those that were before); false when they are too many: the list is
 * empty then. */
bool rtc_nack_add(struct rtc_nack *n, int64_t first, int64_t last, int64_t now_us);
/* It came: true with *out as it was when it was in the list. */
bool rtc_nack_take(struct rtc_nack *n, int64_t seq, struct rtc_missing *out);
/* It is being asked for. */
bool rtc_nack_has(const struct rtc_nack *n, int64_t seq);
/* Those before seq are of no use any more. */
void rtc_nack_forget(struct rtc_nack *n, int64_t before);
/* Drops those that were asked for often enough, or for too long. */
void rtc_nack_give_up(struct rtc_nack *n, int64_t now_us);
/* What is to be asked for now, at most `room`, in order; and what was asked for in vain is
 * dropped. */
size_t rtc_nack_due(struct rtc_nack *n, int64_t now_us, int64_t rtt_us, uint16_t *seqs,
                    size_t room);
/* When rtc_nack_due() has something to do; INT64_MAX: never. */
int64_t rtc_nack_next_us(const struct rtc_nack *n);

#endif
