#include "rtc/rtc_nack.h"

#include "base/must.h"

#include <string.h>

bool rtc_nack_add(struct rtc_nack *n, int64_t first, int64_t last, int64_t now_us)
{
    must(n->count == 0 || n->missing[n->count - 1].seq < first);
    if (last - first >= (int64_t)(RTC_NACK_MAX - n->count)) {
        n->count = 0;
        return false;
    }
    for (int64_t seq = first; seq <= last; seq++)
        n->missing[n->count++] = (struct rtc_missing){
            .seq = seq, .since_us = now_us, .due_us = now_us + RTC_NACK_FIRST_US};
    return true;
}

/* The first entry that is not below seq. */
static size_t find(const struct rtc_nack *n, int64_t seq)
{
    size_t low = 0, high = n->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (n->missing[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void cut(struct rtc_nack *n, size_t at, size_t count)
{
    n->count -= count;
    memmove(&n->missing[at], &n->missing[at + count], (n->count - at) * sizeof n->missing[0]);
}

bool rtc_nack_take(struct rtc_nack *n, int64_t seq, struct rtc_missing *out)
{
    size_t i = find(n, seq);
    if (i == n->count || n->missing[i].seq != seq)
        return false;
    *out = n->missing[i];
    cut(n, i, 1);
    return true;
}

bool rtc_nack_has(const struct rtc_nack *n, int64_t seq)
{
    size_t i = find(n, seq);
    return i < n->count && n->missing[i].seq == seq;
}

void rtc_nack_forget(struct rtc_nack *n, int64_t before)
{
    if (n->count > 0 && n->missing[0].seq < before)
        cut(n, 0, find(n, before));
}

static bool is_hopeless(const struct rtc_missing *m, int64_t now_us)
{
    return m->due_us <= now_us &&
           (m->tries == RTC_NACK_TRIES || now_us - m->since_us > RTC_NACK_LIFE_US);
}

void rtc_nack_give_up(struct rtc_nack *n, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < n->count; i++)
        if (!is_hopeless(&n->missing[i], now_us))
            n->missing[kept++] = n->missing[i];
    n->count = kept;
}

size_t rtc_nack_due(struct rtc_nack *n, int64_t now_us, int64_t rtt_us, uint16_t *seqs, size_t room)
{
    size_t due = 0;
    int64_t again_us = rtt_us + RTC_NACK_MARGIN_US;
    if (again_us < RTC_NACK_AGAIN_US)
        again_us = RTC_NACK_AGAIN_US;
    rtc_nack_give_up(n, now_us);
    for (size_t i = 0; i < n->count && due < room; i++) {
        struct rtc_missing *m = &n->missing[i];
        if (m->due_us > now_us)
            continue;
        seqs[due++] = (uint16_t)m->seq;
        m->tries++;
        m->sent_us = now_us;
        m->due_us = now_us + again_us;
    }
    return due;
}

int64_t rtc_nack_next_us(const struct rtc_nack *n)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < n->count; i++)
        if (n->missing[i].due_us < next_us)
            next_us = n->missing[i].due_us;
    return next_us;
}
