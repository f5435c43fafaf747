#include "rtc/rtc_want_key.h"

void rtc_want_key(struct rtc_want_key *k)
{
    /* What was asked for and has not come yet is as good. */
    k->wanted = k->wanted || !k->waiting;
}

void rtc_want_key_met(struct rtc_want_key *k, int64_t now_us)
{
    k->waiting = k->wanted = false;
    k->met = true;
    k->met_us = now_us;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t rtc_want_key_next_us(const struct rtc_want_key *k)
{
    if (k->waiting)
        return k->asked_us + RTC_KEY_RETRY_US;
    int64_t allowed_us = k->asked ? k->asked_us + RTC_KEY_APART_US : INT64_MIN;
    if (k->wanted)
        return allowed_us;
    return k->met && k->every_us > 0 ? later(k->met_us + k->every_us, allowed_us) : INT64_MAX;
}

bool rtc_want_key_due(struct rtc_want_key *k, int64_t now_us)
{
    if (rtc_want_key_next_us(k) > now_us)
        return false;
    k->asked = k->waiting = true;
    k->wanted = false;
    k->asked_us = now_us;
    return true;
}
