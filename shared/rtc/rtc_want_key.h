#ifndef SLUICE_RTC_RTC_WANT_KEY_H
#define SLUICE_RTC_RTC_WANT_KEY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When a sender is asked for a key frame, however many want one: at most once in
 * RTC_KEY_APART_US, again after RTC_KEY_RETRY_US while none came, and when the last one is older
 * than every_us.  A wish that comes too early is kept.  All zero: nobody has asked yet.
 */
#define RTC_KEY_APART_US 500000
#define RTC_KEY_RETRY_US 1000000

struct rtc_want_key {
    bool asked;   /* before, at asked_us */
    bool waiting; /* asked, and no key frame has come since */
    bool wanted;  /* to be asked for as soon as that is allowed */
    int64_t asked_us;
    bool met; /* before, at met_us */
    int64_t met_us;
    int64_t every_us; /* 0: only when somebody wants one */
};

void rtc_want_key(struct rtc_want_key *k);
/* One came. */
void rtc_want_key_met(struct rtc_want_key *k, int64_t now_us);
/* True: ask now (and it counts as asked). */
bool rtc_want_key_due(struct rtc_want_key *k, int64_t now_us);
/* When rtc_want_key_due() will be true; INT64_MAX: never. */
int64_t rtc_want_key_next_us(const struct rtc_want_key *k);

#endif
