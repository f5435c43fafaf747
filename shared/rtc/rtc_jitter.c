#include "rtc/rtc_jitter.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

void rtc_jitter_init(struct rtc_jitter *j, size_t size)
{
    must(size <= RTC_JITTER_PACKETS_MAX && (size & (size - 1)) == 0);
    *j = (struct rtc_jitter){.size = size};
    j->slots = xcalloc(size, sizeof(struct rtc_packet *));
}

static struct rtc_packet **slot(const struct rtc_jitter *j, int64_t seq)
{
    return &j->slots[(uint64_t)seq & (j->size - 1)];
}

/* The packet of that number, NULL when it is not there. */
static struct rtc_packet *at(const struct rtc_jitter *j, int64_t seq)
{
    struct rtc_packet *p = *slot(j, seq);
    return p != NULL && p->seq == seq ? p : NULL;
}

/* Drops what is before `next`, which becomes the place to go on from. */
static void move_to(struct rtc_jitter *j, int64_t next)
{
    int64_t end = next <= j->highest ? next : j->highest + 1;
    for (int64_t seq = j->next; seq < end; seq++) {
        struct rtc_packet **p = slot(j, seq);
        free(*p);
        *p = NULL;
    }
    j->next = j->scan = next;
    j->scanned_any = false;
}

void rtc_jitter_clear(struct rtc_jitter *j)
{
    if (j->started)
        move_to(j, j->highest + 1);
    j->started = false;
}

void rtc_jitter_fini(struct rtc_jitter *j)
{
    rtc_jitter_clear(j);
    free(j->slots);
    j->slots = NULL;
}

/* One that does not begin a unit may have overtaken the one that does. */
static void start(struct rtc_jitter *j, const struct rtc_packet *head)
{
    j->started = true;
    j->next = j->scan = head->begins ? head->seq : head->seq - RTC_JITTER_BEFORE;
    j->highest = head->seq - 1;
    j->aligned = j->passing = j->scanned_any = false;
    j->gap_us = INT64_MAX;
}

static bool is_there(const struct rtc_jitter *j, int64_t seq)
{
    return seq < j->next || (seq <= j->highest && at(j, seq) != NULL);
}

enum rtc_jitter_put rtc_jitter_put(struct rtc_jitter *j, const struct rtc_packet *head,
                                   struct slice payload)
{
    enum rtc_jitter_put result = RTC_PUT_TAKEN;
    if (j->started && is_there(j, head->seq))
        return RTC_PUT_USELESS;
    if (j->started && head->seq >= j->next + (int64_t)j->size) {
        result = RTC_PUT_RESTART;
        rtc_jitter_clear(j);
    }
    if (!j->started)
        start(j, head);
    struct rtc_packet *p = xmalloc(sizeof *p + payload.len);
    *p = *head;
    p->len = payload.len;
    if (payload.len > 0)
        memcpy(p->payload, payload.p, payload.len);
    *slot(j, p->seq) = p;
    if (p->seq > j->highest)
        j->highest = p->seq;
    return result;
}

/* Goes on from a packet that is not known to be the first of its unit: false when that takes
 * packets which are not there yet. */
static bool align(struct rtc_jitter *j)
{
    while (!j->aligned) {
        const struct rtc_packet *p = at(j, j->next);
        if (p == NULL)
            return false;
        bool other = j->passing && p->len > 0 && p->timestamp != j->passing_timestamp;
        if (p->begins || other) {
            j->aligned = true;
            break;
        }
        if (p->len > 0) {
            j->passing = true;
            j->passing_timestamp = p->timestamp;
            j->aligned = p->marker;
        }
        move_to(j, j->next + 1);
    }
    j->passing = false;
    return true;
}

static struct rtc_unit_range range_to(const struct rtc_jitter *j, int64_t last)
{
    struct rtc_unit_range r = {
        .first = j->next, .last = last, .timestamp = j->scanned_timestamp, .arrival_us = INT64_MAX};
    for (int64_t seq = j->next; seq <= last; seq++) {
        const struct rtc_packet *p = at(j, seq);
        if (p->len > 0 && p->arrival_us < r.arrival_us)
            r.arrival_us = p->arrival_us;
    }
    return r;
}

bool rtc_jitter_pop(struct rtc_jitter *j, struct rtc_unit_range *out)
{
    if (!j->started || !align(j))
        return false;
    for (const struct rtc_packet *p; (p = at(j, j->scan)) != NULL; j->scan++) {
        if (p->len == 0)
            continue;
        if (j->scanned_any && p->timestamp != j->scanned_timestamp) {
            *out = range_to(j, j->scan - 1);
            return true;
        }
        j->scanned_any = true;
        j->scanned_timestamp = p->timestamp;
        if (p->marker) {
            *out = range_to(j, j->scan);
            return true;
        }
    }
    return false;
}

size_t rtc_jitter_payloads(const struct rtc_jitter *j, const struct rtc_unit_range *range,
                           struct slice *out)
{
    size_t n = 0;
    for (int64_t seq = range->first; seq <= range->last; seq++) {
        const struct rtc_packet *p = at(j, seq);
        if (p->len > 0)
            out[n++] = slice_of(p->payload, p->len);
    }
    return n;
}

void rtc_jitter_drop(struct rtc_jitter *j, const struct rtc_unit_range *range)
{
    must(range->first == j->next);
    move_to(j, range->last + 1);
}

/* The first packet after what is missing; highest + 1 when there is none. */
static int64_t after_gap(const struct rtc_jitter *j)
{
    int64_t seq = j->scan;
    while (seq <= j->highest && at(j, seq) == NULL)
        seq++;
    return seq;
}

/* Repaired packets come late: the earliest of those that wait tells when the gap was seen. */
static int64_t earliest_us(const struct rtc_jitter *j, int64_t from)
{
    int64_t us = INT64_MAX;
    for (int64_t seq = from; seq <= j->highest; seq++) {
        const struct rtc_packet *p = at(j, seq);
        if (p != NULL && p->arrival_us < us)
            us = p->arrival_us;
    }
    return us;
}

int64_t rtc_jitter_waiting_since_us(struct rtc_jitter *j)
{
    if (!j->started || j->scan > j->highest || at(j, j->scan) != NULL)
        return INT64_MAX;
    if (j->gap_us == INT64_MAX || j->gap != j->scan) {
        j->gap = j->scan;
        j->gap_us = earliest_us(j, j->scan);
    }
    return j->gap_us;
}

void rtc_jitter_give_up(struct rtc_jitter *j)
{
    if (rtc_jitter_waiting_since_us(j) == INT64_MAX)
        return;
    move_to(j, after_gap(j));
    j->aligned = j->passing = false;
}
