#include "media/relay_frames.h"

#include "base/err.h"
#include "base/must.h"
#include "proto/flv.h"

#include <string.h>

#define FLAGS_KNOWN (FRAME_KEY | FRAME_CONFIG | FRAME_META | FRAME_END | FRAME_DISCONTINUITY)

/* NOLINTBEGIN(misc-redundant-expression): that both sides are the same is what is asserted. */
_Static_assert((int)FRAME_VIDEO == (int)RELAY_VIDEO && (int)FRAME_AUDIO == (int)RELAY_AUDIO &&
                   (int)FRAME_DATA == (int)RELAY_DATA,
               "kinds go over the wire as they are");
_Static_assert((int)CUT_TRACKS_MAX == (int)RELAY_TRACKS_MAX, "and so do the tracks of a cut");
/* NOLINTEND(misc-redundant-expression) */

struct relay_record relay_record_of(const struct frame *f)
{
    return (struct relay_record){
        .type = RELAY_FRAME,
        .flags = f->flags,
        .track = frame_track_number(f),
        .seq = f->seq,
        .dts_us = f->dts_us,
        .cts_us = f->cts_us,
        .wire_ms = f->wire_ms,
        .payload = frame_payload(f),
    };
}

static struct relay_cut cut_to_wire(const struct cut *c)
{
    struct relay_cut out = {.msn = c->msn,
                            .dsn = c->dsn,
                            .part = c->part,
                            .init = c->init,
                            .start_us = c->start_us,
                            .wall_us = c->wall_us,
                            .clock = c->clock,
                            .independent = c->independent,
                            .track_count = c->track_count};
    memcpy(out.tracks, c->tracks, sizeof out.tracks);
    return out;
}

static struct cut cut_of_wire(const struct relay_cut *c)
{
    struct cut out = {.msn = c->msn,
                      .dsn = c->dsn,
                      .part = c->part,
                      .init = c->init,
                      .start_us = c->start_us,
                      .wall_us = c->wall_us,
                      .clock = c->clock,
                      .independent = c->independent,
                      .track_count = c->track_count};
    memcpy(out.tracks, c->tracks, sizeof out.tracks);
    return out;
}

size_t relay_frame_head_size(const struct frame *f)
{
    size_t cut = f->cut == NULL
                     ? 0
                     : RELAY_RECORD_HEADER_SIZE + RELAY_CUT_FIXED_SIZE + 2U * f->cut->track_count;
    return cut + RELAY_RECORD_HEADER_SIZE;
}

static size_t cut_record(const struct frame *f, uint8_t *out)
{
    struct relay_cut cut = cut_to_wire(f->cut);
    struct relay_record rec = {.type = RELAY_CUT, .seq = f->seq};
    struct wr w = wr_init(out + RELAY_RECORD_HEADER_SIZE, RELAY_CUT_SIZE_MAX);
    relay_cut_write(&w, &cut);
    must(!w.overflow);
    relay_record_header(out, &rec, wr_len(&w));
    return RELAY_RECORD_HEADER_SIZE + wr_len(&w);
}

size_t relay_frame_head(const struct frame *f, uint8_t out[RELAY_FRAME_HEAD_MAX])
{
    size_t n = f->cut != NULL ? cut_record(f, out) : 0;
    struct relay_record rec = relay_record_of(f);
    relay_record_header(out + n, &rec, f->size);
    return n + RELAY_RECORD_HEADER_SIZE;
}

int relay_cut_take(struct relay_cut_ahead *ahead, const struct relay_record *rec)
{
    struct relay_cut cut;
    int err = relay_cut_decode(rec->payload, &cut);
    if (err < 0)
        return err;
    ahead->seq = rec->seq;
    ahead->cut = cut_of_wire(&cut);
    return 0;
}

void relay_cut_give(struct relay_cut_ahead *ahead, struct frame *f)
{
    if (ahead->seq == f->seq)
        frame_set_cut(f, &ahead->cut);
    ahead->seq = 0;
}

struct cut_plan relay_plan_of(const struct relay_state *s)
{
    struct cut_plan plan = {
        .segment_ms = s->segment_ms,
        .part_ms = s->part_ms,
        .window_segments = s->window_segments,
        .frame_rate_milli = s->frame_rate_milli,
        .peak_bps = s->peak_bps,
        .average_bps = s->average_bps,
        .first_msn = s->first_msn,
        .first_dsn = s->first_dsn,
        .base_msn = s->base_msn,
        .previous_epoch = s->previous_epoch,
        .previous_last_seq = s->previous_last_seq,
        .part_target_us = s->part_target_us,
        .rate_count = (uint32_t)s->rate_count,
    };
    for (size_t i = 0; i < s->rate_count; i++) {
        plan.rates[i].track = s->rates[i].track;
        plan.rates[i].bps = s->rates[i].bps;
        plan.rates[i].frame_rate_milli = s->rates[i].frame_rate_milli;
    }
    return plan;
}

void relay_plan_put(struct relay_state *s, const struct cut_plan *plan)
{
    s->segment_ms = plan->segment_ms;
    s->part_ms = plan->part_ms;
    s->window_segments = plan->window_segments;
    s->frame_rate_milli = plan->frame_rate_milli;
    s->has_bandwidth = plan->peak_bps != 0;
    s->peak_bps = plan->peak_bps;
    s->average_bps = plan->average_bps;
    s->first_msn = plan->first_msn;
    s->first_dsn = plan->first_dsn;
    s->base_msn = plan->base_msn;
    s->has_previous = plan->previous_epoch != 0;
    s->previous_epoch = plan->previous_epoch;
    s->previous_last_seq = plan->previous_last_seq;
    s->part_target_us = plan->part_target_us;
    s->rate_count = plan->rate_count;
    for (size_t i = 0; i < plan->rate_count; i++) {
        s->rates[i].track = plan->rates[i].track;
        s->rates[i].bps = plan->rates[i].bps;
        s->rates[i].frame_rate_milli = plan->rates[i].frame_rate_milli;
    }
}

/* The record does not carry it: it is in the body. */
static uint32_t codec_of(uint8_t kind, struct slice body)
{
    struct flv_packet packets[FLV_PACKETS_MAX];
    if (kind == FRAME_DATA)
        return 0;
    uint8_t type = kind == FRAME_VIDEO ? FLV_TAG_VIDEO : FLV_TAG_AUDIO;
    return flv_packets(type, body, packets) > 0 ? packets[0].codec : 0;
}

static int frame_new_of(struct frame_pool *pool, const struct relay_record *rec, struct frame **out)
{
    uint8_t kind = relay_track_kind(rec->track);
    if (kind > FRAME_DATA || rec->seq > RELAY_NUMBER_MAX || !relay_time_ok(rec->dts_us) ||
        !relay_time_ok(rec->wire_ms))
        return ERR_PROTOCOL;
    bool lasts = kind == FRAME_DATA || (rec->flags & (FRAME_CONFIG | FRAME_META)) != 0;
    struct frame *f = frame_pool_new(lasts ? NULL : pool, (enum frame_kind)kind, rec->payload.len);
    if (f == NULL)
        return ERR_TOO_LARGE;
    f->track = relay_track_id(rec->track);
    f->flags = rec->flags & FLAGS_KNOWN;
    f->codec = codec_of(kind, rec->payload);
    f->seq = rec->seq;
    f->dts_us = rec->dts_us;
    f->cts_us = rec->cts_us;
    f->wire_ms = rec->wire_ms;
    if (rec->payload.len > 0)
        memcpy(f->data, rec->payload.p, rec->payload.len);
    *out = f;
    return 0;
}

int relay_frame_new(struct frame_pool *pool, const struct relay_record *rec, struct frame **out)
{
    *out = NULL;
    return rec->seq == 0 ? ERR_PROTOCOL : frame_new_of(pool, rec, out);
}

int relay_inforce_new(const struct relay_state *s, struct inforce **out)
{
    *out = NULL;
    for (size_t i = 0; i < s->in_force_count; i++) {
        struct frame *f;
        int err = frame_new_of(NULL, &s->in_force[i], &f);
        if (err < 0) {
            inforce_unref(out);
            return err;
        }
        struct inforce *next = inforce_with(*out, f);
        frame_unref(&f);
        if (next == NULL)
            continue; /* more than a log holds in force either */
        inforce_unref(out);
        *out = next;
    }
    return 0;
}
