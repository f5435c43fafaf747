#include "rtc/rtc_arrivals.h"

#include "base/mem.h"
#include "proto/rtcp.h"
#include "proto/rtp.h"

_Static_assert(RTC_ARRIVALS_KEPT <= RTCP_TWCC_PACKETS_MAX, "one message tells of all");

void rtc_arrivals_init(struct rtc_arrivals *a)
{
    a->started = false;
    a->number = 0;
    a->next_us = INT64_MAX;
}

static void start(struct rtc_arrivals *a, uint16_t seq)
{
    a->started = true;
    a->first = seq;
    a->highest = (int64_t)seq - 1;
    for (int i = 0; i < RTC_ARRIVALS_KEPT; i++)
        a->came[i].seq = -1;
}

void rtc_arrivals_add(struct rtc_arrivals *a, uint16_t seq, int64_t arrival_us)
{
    if (!a->started)
        start(a, seq);
    int64_t n = rtp_unwrap16(a->highest, seq);
    if (n < 0 || n <= a->highest - RTC_ARRIVALS_KEPT)
        return;
    if (n > a->highest)
        a->highest = n;
    if (n < a->first)
        a->first = n;
    if (a->highest - a->first >= RTC_ARRIVALS_KEPT)
        a->first = a->highest - RTC_ARRIVALS_KEPT + 1;
    a->came[n % RTC_ARRIVALS_KEPT].seq = n;
    a->came[n % RTC_ARRIVALS_KEPT].us = arrival_us;
    if (a->next_us == INT64_MAX)
        a->next_us = arrival_us + RTC_ARRIVALS_EVERY_US;
}

bool rtc_arrivals_write(struct rtc_arrivals *a, struct wr *w, uint32_t sender, uint32_t media)
{
    LEFT_AS_IT_IS struct rtcp_twcc t;
    a->next_us = INT64_MAX;
    while (a->first <= a->highest && a->came[a->first % RTC_ARRIVALS_KEPT].seq != a->first)
        a->first++; /* a message begins with a packet that came */
    if (!a->started || a->first > a->highest)
        return false;
    t.base_seq = (uint16_t)a->first;
    t.count = (uint16_t)(a->highest - a->first + 1);
    t.number = a->number;
    for (unsigned i = 0; i < t.count; i++) {
        int64_t n = a->first + i;
        bool came = a->came[n % RTC_ARRIVALS_KEPT].seq == n;
        t.arrival_us[i] = came ? a->came[n % RTC_ARRIVALS_KEPT].us : RTCP_TWCC_LOST;
    }
    unsigned told = rtcp_write_twcc(w, sender, media, &t);
    if (told == 0) {
        a->first = a->highest + 1;
        return false;
    }
    a->first += told;
    a->number++;
    return true;
}
