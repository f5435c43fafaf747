/* What is held of one stream as RTP packets, and what may be asked of it. */
#include "rtc/rtc_units_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/crypto.h"

#include <stdlib.h>

#define UNITS_AT_FIRST   256
#define RATE_SPAN_MIN_US 200000

struct rtc_units *rtc_units_new(const struct rtc_units_options *o)
{
    struct rtc_units *s = xcalloc(1, sizeof *s);
    uint32_t random[2 * RTC_TRACKS];
    s->options = *o;
    s->room = UNITS_AT_FIRST;
    s->ring = xcalloc(s->room, sizeof s->ring[0]);
    crypto_random(random, sizeof random);
    for (unsigned t = 0; t < RTC_TRACKS; t++) {
        uint32_t ssrc = (random[2 * t] & ~3U) | t << 1; /* so that all of them differ */
        s->tracks[t].face.ssrc = ssrc;
        s->tracks[t].face.rtx_ssrc = ssrc | 1U;
        s->tracks[t].timestamp_base = random[2 * t + 1];
    }
    return s;
}

static void unit_free(struct rtc_unit *u)
{
    frame_unref(&u->frame);
    free(u);
}

void rtc_units_free(struct rtc_units **sp)
{
    struct rtc_units *s = *sp;
    *sp = NULL;
    if (s == NULL)
        return;
    for (uint64_t n = s->oldest; n < s->next; n++)
        unit_free(s->ring[n & (s->room - 1)]);
    for (unsigned t = 0; t < RTC_TRACKS; t++) {
        rtp_packer_free(&s->tracks[t].packer);
        frame_unref(&s->tracks[t].config);
        free(s->tracks[t].by_packet);
    }
    cursor_fini(&s->cursor);
    free(s->ring);
    free(s);
}

/* ---- units ---- */

const struct rtc_unit *rtc_units_unit(const struct rtc_units *s, uint64_t number)
{
    must(number >= s->oldest && number < s->next);
    return s->ring[number & (s->room - 1)];
}

static void drop_oldest(struct rtc_units *s)
{
    struct rtc_unit *u = s->ring[s->oldest & (s->room - 1)];
    s->tracks[u->track].oldest = u->first + u->count;
    s->bytes -= u->bytes;
    if (s->has_key && s->newest_key == s->oldest)
        s->has_key = false;
    s->oldest++;
    unit_free(u);
}

static bool is_full(const struct rtc_units *s, enum rtc_track t, uint32_t count)
{
    const struct units_track *track = &s->tracks[t];
    return s->next - s->oldest >= RTC_UNITS_MAX ||
           track->face.next + count - track->oldest > RTC_PACKETS_MAX;
}

/* What nobody will begin at and nobody will ask for goes. */
static void trim(struct rtc_units *s)
{
    uint64_t start;
    uint64_t keep = rtc_units_start(s, &start) ? start : s->next;
    while (s->oldest < keep &&
           s->newest_us - s->ring[s->oldest & (s->room - 1)]->media_us > RTC_HISTORY_US)
        drop_oldest(s);
}

static void grow(struct rtc_units *s)
{
    if (s->next - s->oldest < s->room)
        return;
    struct rtc_unit **ring = xcalloc((size_t)s->room * 2, sizeof ring[0]);
    for (uint64_t n = s->oldest; n < s->next; n++)
        ring[n & (s->room * 2 - 1)] = s->ring[n & (s->room - 1)];
    free(s->ring);
    s->ring = ring;
    s->room *= 2;
}

void rtc_units_append(struct rtc_units *s, struct rtc_unit *u)
{
    struct units_track *track = &s->tracks[u->track];
    while (is_full(s, u->track, u->count))
        drop_oldest(s);
    grow(s);
    if (track->by_packet == NULL)
        track->by_packet = xcalloc(RTC_PACKETS_MAX, sizeof track->by_packet[0]);
    u->first = track->face.next;
    for (uint32_t i = 0; i < u->count; i++)
        track->by_packet[(u->first + i) % RTC_PACKETS_MAX] = u;
    track->face.next += u->count;
    track->newest_us = u->media_us;
    s->bytes += u->bytes;
    if (u->key) {
        s->newest_key = s->next;
        s->has_key = true;
    }
    s->ring[s->next++ & (s->room - 1)] = u;
    if (u->media_us > s->newest_us || !s->any)
        s->newest_us = u->media_us;
    s->any = true;
    trim(s);
}

bool rtc_units_is_replaced(const struct rtc_units *s)
{
    return s->replaced;
}

bool rtc_units_waits(const struct rtc_units *s)
{
    return s->replaced && !s->video_begun;
}

/* ---- questions ---- */

const struct rtc_units_track *rtc_units_track(const struct rtc_units *s, enum rtc_track t)
{
    return &s->tracks[t].face;
}

uint64_t rtc_units_epoch(const struct rtc_units *s)
{
    return s->cursor.epoch;
}

bool rtc_units_is_bidirectional(const struct rtc_units *s)
{
    return s->bidirectional;
}

uint64_t rtc_units_oldest(const struct rtc_units *s)
{
    return s->oldest;
}

uint64_t rtc_units_next(const struct rtc_units *s)
{
    return s->next;
}

bool rtc_units_start(const struct rtc_units *s, uint64_t *number)
{
    if (!s->has_key)
        return false;
    *number = s->newest_key;
    return s->newest_us - s->ring[s->newest_key & (s->room - 1)]->media_us <= RTC_START_MAX_US;
}

const struct rtc_unit *rtc_units_find(const struct rtc_units *s, enum rtc_track t, int64_t number)
{
    const struct units_track *track = &s->tracks[t];
    if (number < track->oldest || number >= track->face.next)
        return NULL;
    return track->by_packet[number % RTC_PACKETS_MAX];
}

int64_t rtc_units_track_us(const struct rtc_units *s, enum rtc_track t)
{
    return s->tracks[t].newest_us;
}

int64_t rtc_units_newest_us(const struct rtc_units *s)
{
    return s->newest_us;
}

int64_t rtc_units_live_us(const struct rtc_units *s)
{
    return s->live_us;
}

uint64_t rtc_units_bytes_per_s(const struct rtc_units *s)
{
    if (s->oldest == s->next)
        return 0;
    int64_t span_us = s->newest_us - rtc_units_unit(s, s->oldest)->media_us;
    return span_us < RATE_SPAN_MIN_US ? 0 : s->bytes * 1000000 / (uint64_t)span_us;
}

uint32_t rtc_units_timestamp(const struct rtc_units *s, enum rtc_track t, int64_t media_us)
{
    const struct units_track *track = &s->tracks[t];
    /* Rounded: 33,367 us are 3,003 ticks. */
    int64_t ticks = (media_us * track->face.clock_hz + 500000) / 1000000;
    return track->timestamp_base + (uint32_t)ticks;
}
