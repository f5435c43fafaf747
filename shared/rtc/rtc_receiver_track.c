/* One track: packets in, units out. */
#include "rtc/rtc_receiver_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

#define VIDEO_PACKETS RTC_JITTER_PACKETS_MAX
#define AUDIO_PACKETS 512 /* 10 s of 20 ms */

void rtc_track_init(struct rtc_track *t, const struct rtc_receiver_track *o, int64_t key_every_us)
{
    t->o = *o;
    t->is_video = o->codec != FLV_CODEC_OPUS;
    t->unpacker = rtp_unpacker_new(o->codec);
    must(t->unpacker != NULL && o->clock_hz > 0);
    rtp_unpack_sets(t->unpacker, o->parameter_sets);
    t->o.parameter_sets = slice_of(NULL, 0);
    t->nack = xcalloc(1, sizeof *t->nack);
    rtc_jitter_init(&t->jitter, t->is_video ? VIDEO_PACKETS : AUDIO_PACKETS);
    t->clock.rate = o->clock_hz;
    t->needs_key = t->is_video;
    t->want_key.every_us = key_every_us;
}

void rtc_track_fini(struct rtc_track *t)
{
    rtc_jitter_fini(&t->jitter);
    rtp_unpacker_free(&t->unpacker);
    free(t->nack);
}

static void need_key(struct rtc_track *t)
{
    if (!t->is_video)
        return;
    t->needs_key = true;
    rtc_want_key(&t->want_key);
}

void rtc_track_restart(struct rtc_track *t)
{
    rtc_jitter_clear(&t->jitter);
    t->nack->count = 0;
    t->started = false;
    rtc_clock_restart(&t->clock);
    need_key(t);
}

/* --- units --- */

/* Decoding times: a picture that is shown before the one that was sent before it is decoded right
 * after that. */
static void hand_out(struct rtc_receiver *r, struct rtc_track *t, const struct rtp_unit *unit,
                     const struct rtc_unit_range *range)
{
    int64_t pts_us = rtc_clock_place(&t->clock, &r->line, range->timestamp, range->arrival_us);
    int64_t dts_us = pts_us;
    if (t->has_dts && dts_us < t->dts_us + RTC_UNIT_STEP_US)
        dts_us = t->dts_us + RTC_UNIT_STEP_US;
    t->has_dts = true;
    t->dts_us = dts_us;
    r->stats.units++;
    r->handler->on_unit(r->owner, &(struct rtc_received){.track = (unsigned)(t - r->tracks),
                                                         .unit = unit,
                                                         .dts_us = dts_us,
                                                         .pts_us = pts_us});
}

static void take_unit(struct rtc_receiver *r, struct rtc_track *t,
                      const struct rtc_unit_range *range, int64_t now_us)
{
    struct rtp_unit unit;
    size_t count = rtc_jitter_payloads(&t->jitter, range, r->payloads);
    int err = rtp_unpack(t->unpacker, r->payloads, count, &unit);
    if (err == 0 && unit.len == 0)
        return;
    if (err == ERR_NOT_FOUND || (err == 0 && t->needs_key && !unit.key)) {
        r->stats.passed_over++;
        need_key(t);
        return;
    }
    if (err < 0) {
        r->stats.broken++;
        need_key(t);
        return;
    }
    if (t->is_video && unit.key) {
        t->needs_key = false;
        rtc_want_key_met(&t->want_key, now_us);
    }
    hand_out(r, t, &unit, range);
}

static void take_units(struct rtc_receiver *r, struct rtc_track *t, int64_t now_us)
{
    struct rtc_unit_range range;
    while (rtc_jitter_pop(&t->jitter, &range)) {
        take_unit(r, t, &range, now_us);
        rtc_jitter_drop(&t->jitter, &range);
    }
    rtc_nack_forget(t->nack, t->jitter.next);
}

/* --- packets --- */

/* By the first answer to a request only: with a second one it is not known which was answered. */
static void measure_rtt(struct rtc_receiver *r, const struct rtc_missing *m, int64_t arrival_us)
{
    int64_t rtt_us = arrival_us - m->sent_us;
    if (m->tries != 1 || rtt_us < 0 || rtt_us > RTC_RTT_MAX_US)
        return;
    r->rtt_us += (rtt_us - r->rtt_us) / 8;
    r->stats.rtt_us = r->rtt_us;
}

/* A sender begins with a key frame; only when it does not come soon is it asked for. */
static void start(struct rtc_track *t, int64_t seq, int64_t now_us)
{
    t->started = true;
    t->near_seq = seq;
    if (!t->needs_key || t->want_key.asked)
        return;
    rtc_want_key(&t->want_key);
    t->want_key.asked = true;
    t->want_key.asked_us = now_us;
}

/* Takes note of a number that came, and of those before it that did not. */
static void note_missing(struct rtc_receiver *r, struct rtc_track *t, int64_t seq,
                         int64_t arrival_us)
{
    struct rtc_missing m;
    if (rtc_nack_take(t->nack, seq, &m)) {
        r->stats.repaired++;
        measure_rtt(r, &m, arrival_us);
    }
    if (!t->started)
        start(t, seq, arrival_us);
    if (seq <= t->near_seq)
        return;
    int64_t first = t->near_seq + 1;
    t->near_seq = seq;
    if (first == seq)
        return;
    r->stats.lost += (uint64_t)(seq - first);
    /* Too many to ask for: better a key frame than the rest of what is broken anyhow. */
    if (!rtc_nack_add(t->nack, first, seq - 1, arrival_us)) {
        rtc_jitter_clear(&t->jitter);
        r->stats.given_up++;
        need_key(t);
    }
}

void rtc_track_take(struct rtc_receiver *r, struct rtc_track *t, const struct rtp_header *h,
                    struct slice payload, int64_t arrival_us)
{
    int64_t seq = t->started ? rtp_unwrap16(t->near_seq, h->seq) : h->seq;
    struct rtc_packet head = {.seq = seq,
                              .timestamp = h->timestamp,
                              .marker = h->marker || !t->is_video, /* a packet of sound is a unit */
                              .begins = rtp_unpack_begins(t->unpacker, payload),
                              .arrival_us = arrival_us};
    note_missing(r, t, seq, arrival_us);
    enum rtc_jitter_put put = rtc_jitter_put(&t->jitter, &head, payload);
    if (put == RTC_PUT_USELESS) {
        r->stats.useless++;
        return;
    }
    if (put == RTC_PUT_RESTART) {
        r->stats.given_up++;
        need_key(t);
    }
    take_units(r, t, arrival_us);
}

static int64_t give_up_us(const struct rtc_receiver *r, struct rtc_track *t)
{
    int64_t since_us = rtc_jitter_waiting_since_us(&t->jitter);
    if (since_us == INT64_MAX)
        return INT64_MAX;
    if (!t->o.nack)
        return since_us + RTC_REORDER_US;
    /* Not by the clock alone: where this worker or the sender was held up, requests were, too. */
    bool asked = rtc_nack_has(t->nack, t->jitter.scan);
    return since_us + (asked ? RTC_NACK_LIFE_US : r->rtt_us + RTC_REPAIR_US);
}

void rtc_track_run(struct rtc_receiver *r, struct rtc_track *t, int64_t now_us)
{
    rtc_nack_give_up(t->nack, now_us); /* it decides how long is waited */
    while (give_up_us(r, t) <= now_us) {
        rtc_jitter_give_up(&t->jitter);
        r->stats.given_up++;
        need_key(t);
        take_units(r, t, now_us);
    }
}

int64_t rtc_track_next_us(const struct rtc_receiver *r, struct rtc_track *t)
{
    return give_up_us(r, t);
}
