#include "proto/relay_record.h"

#include "base/err.h"
#include "base/must.h"
#include "base/name.h"

/* The payload of a state record: fields of `u16 type | u32 length | value`. */

#define FIELD_HEADER  6           /* bytes */
#define TRACK_SIZE    (2 + 4 + 1) /* bytes of a track's value without anchor */
#define ANCHOR_SIZE   (4 + 8 + 8)
#define SEGMENTS_SIZE (3 * 4)
#define PAIR_SIZE     (2 * 8)
#define RATE_SIZE     (2 + 4 + 4)

static size_t track_size(const struct relay_state_track *t)
{
    return TRACK_SIZE + ((t->flags & RELAY_TRACK_ANCHORED) != 0 ? ANCHOR_SIZE : 0);
}

size_t relay_state_size(const struct relay_state *s)
{
    size_t n = FIELD_HEADER + 4               /* version */
               + 5 * (FIELD_HEADER + 8)       /* epoch, instance, first, head, tail */
               + FIELD_HEADER + s->path.len   /* path */
               + FIELD_HEADER + SEGMENTS_SIZE /* segments */
               + FIELD_HEADER + 1;            /* lost */
    n += s->has_date_base ? FIELD_HEADER + 8 : 0;
    n += s->has_previous ? FIELD_HEADER + PAIR_SIZE : 0;
    n += s->base_msn != 0 ? FIELD_HEADER + 8 : 0;
    n += s->frame_rate_milli != 0 ? FIELD_HEADER + 4 : 0;
    n += s->first_msn != 0 ? FIELD_HEADER + PAIR_SIZE : 0;
    n += s->last_seq != 0 ? FIELD_HEADER + 8 : 0;
    n += s->has_bandwidth ? FIELD_HEADER + PAIR_SIZE : 0;
    n += s->part_target_us != 0 ? FIELD_HEADER + 4 : 0;
    n += s->rate_count > 0 ? FIELD_HEADER + s->rate_count * RATE_SIZE : 0;
    for (size_t i = 0; i < s->track_count; i++)
        n += FIELD_HEADER + track_size(&s->tracks[i]);
    for (size_t i = 0; i < s->in_force_count; i++)
        n += FIELD_HEADER + RELAY_RECORD_HEADER_SIZE + s->in_force[i].payload.len;
    return n;
}

static void put_field(struct wr *w, enum relay_field field, size_t len)
{
    wr_u16(w, field);
    wr_u32(w, (uint32_t)len);
}

static void put_word(struct wr *w, enum relay_field field, uint32_t v)
{
    put_field(w, field, 4);
    wr_u32(w, v);
}

static void put_u64(struct wr *w, enum relay_field field, uint64_t v)
{
    put_field(w, field, 8);
    wr_u64(w, v);
}

static void put_pair(struct wr *w, enum relay_field field, uint64_t a, uint64_t b)
{
    put_field(w, field, PAIR_SIZE);
    wr_u64(w, a);
    wr_u64(w, b);
}

static void put_rates(struct wr *w, const struct relay_state *s)
{
    if (s->rate_count == 0)
        return;
    put_field(w, RELAY_FIELD_RATES, s->rate_count * RATE_SIZE);
    for (size_t i = 0; i < s->rate_count; i++) {
        wr_u16(w, s->rates[i].track);
        wr_u32(w, s->rates[i].bps);
        wr_u32(w, s->rates[i].frame_rate_milli);
    }
}

static void put_optional(struct wr *w, const struct relay_state *s)
{
    if (s->has_date_base)
        put_u64(w, RELAY_FIELD_DATE_BASE, (uint64_t)s->date_base_us);
    if (s->has_previous)
        put_pair(w, RELAY_FIELD_PREVIOUS, s->previous_epoch, s->previous_last_seq);
    if (s->has_bandwidth)
        put_pair(w, RELAY_FIELD_BANDWIDTH, s->peak_bps, s->average_bps);
    if (s->base_msn != 0)
        put_u64(w, RELAY_FIELD_LISTED, s->base_msn);
    if (s->first_msn != 0)
        put_pair(w, RELAY_FIELD_NUMBERS, s->first_msn, s->first_dsn);
    if (s->last_seq != 0)
        put_u64(w, RELAY_FIELD_LAST_SEQ, s->last_seq);
    if (s->frame_rate_milli != 0)
        put_word(w, RELAY_FIELD_RATE, s->frame_rate_milli);
    if (s->part_target_us != 0)
        put_word(w, RELAY_FIELD_PARTS, s->part_target_us);
    put_rates(w, s);
}

static void put_track(struct wr *w, const struct relay_state_track *t)
{
    put_field(w, RELAY_FIELD_TRACK, track_size(t));
    wr_u16(w, t->track);
    wr_u32(w, t->codec);
    wr_u8(w, t->flags);
    if ((t->flags & RELAY_TRACK_ANCHORED) == 0)
        return;
    wr_u32(w, t->sample_rate);
    wr_u64(w, (uint64_t)t->anchor_dts_us);
    wr_u64(w, t->samples);
}

static void put_in_force(struct wr *w, const struct relay_record *rec)
{
    put_field(w, RELAY_FIELD_IN_FORCE, RELAY_RECORD_HEADER_SIZE + rec->payload.len);
    uint8_t *header = wr_room(w, RELAY_RECORD_HEADER_SIZE);
    if (header != NULL)
        relay_record_header(header, rec, rec->payload.len);
    wr_put(w, rec->payload);
}

static void put_state(struct wr *w, const struct relay_state *s)
{
    put_word(w, RELAY_FIELD_VERSION, s->version);
    put_u64(w, RELAY_FIELD_EPOCH, s->epoch);
    put_u64(w, RELAY_FIELD_INSTANCE, s->instance);
    put_field(w, RELAY_FIELD_PATH, s->path.len);
    wr_put(w, s->path);
    put_u64(w, RELAY_FIELD_FIRST_SEQ, s->first_seq);
    put_u64(w, RELAY_FIELD_HEAD_SEQ, s->head_seq);
    put_u64(w, RELAY_FIELD_TAIL_SEQ, s->tail_seq);
    put_field(w, RELAY_FIELD_SEGMENTS, SEGMENTS_SIZE);
    wr_u32(w, s->segment_ms);
    wr_u32(w, s->part_ms);
    wr_u32(w, s->window_segments);
    put_field(w, RELAY_FIELD_LOST, 1);
    wr_u8(w, s->lost ? 1 : 0);
    put_optional(w, s);
    for (size_t i = 0; i < s->track_count; i++)
        put_track(w, &s->tracks[i]);
    for (size_t i = 0; i < s->in_force_count; i++)
        put_in_force(w, &s->in_force[i]);
}

int relay_state_encode(const struct relay_state *s, struct buf *out)
{
    must(s->track_count <= RELAY_TRACKS_MAX && s->in_force_count <= RELAY_IN_FORCE_MAX);
    must(s->rate_count <= RELAY_TRACKS_MAX);
    for (size_t i = 0; i < s->in_force_count; i++)
        must(s->in_force[i].type == RELAY_FRAME);
    size_t len = relay_state_size(s);
    if (len > RELAY_PAYLOAD_MAX || len > out->max - buf_len(out))
        return ERR_TOO_LARGE;
    uint8_t *dst = buf_reserve(out, len);
    if (dst == NULL)
        return ERR_NOMEM;
    struct wr w = wr_init(dst, len);
    put_state(&w, s);
    must(!w.overflow && wr_len(&w) == len);
    buf_commit(out, len);
    return 0;
}

/*
 * One reader per field; the value may be longer than what is known of it, and a shorter one shows
 * as an underrun.
 */
typedef int field_reader(struct relay_state *s, struct rd *r);

static int read_version(struct relay_state *s, struct rd *r)
{
    s->version = rd_u32(r);
    return 0;
}

static int read_epoch(struct relay_state *s, struct rd *r)
{
    s->epoch = rd_u64(r);
    return 0;
}

static int read_instance(struct relay_state *s, struct rd *r)
{
    s->instance = rd_u64(r);
    return 0;
}

static int read_path(struct relay_state *s, struct rd *r)
{
    s->path = rd_rest(r);
    if (s->path.len > RELAY_PATH_MAX)
        return ERR_TOO_LARGE;
    struct slice left = s->path;
    bool more = left.len > 0;
    for (size_t nodes = 0; more; nodes++) {
        struct slice rest;
        if (nodes == RELAY_PATH_NODES)
            return ERR_TOO_MANY;
        if (!name_node_ok(slice_cut(left, ',', &rest, &more)))
            return ERR_NAME;
        left = rest;
    }
    return 0;
}

static int read_first_seq(struct relay_state *s, struct rd *r)
{
    s->first_seq = rd_u64(r);
    return 0;
}

static int read_head_seq(struct relay_state *s, struct rd *r)
{
    s->head_seq = rd_u64(r);
    return 0;
}

static int read_tail_seq(struct relay_state *s, struct rd *r)
{
    s->tail_seq = rd_u64(r);
    return 0;
}

static int read_segments(struct relay_state *s, struct rd *r)
{
    s->segment_ms = rd_u32(r);
    s->part_ms = rd_u32(r);
    s->window_segments = rd_u32(r);
    return s->segment_ms > RELAY_LENGTH_MS_MAX || s->part_ms > RELAY_LENGTH_MS_MAX ||
                   s->window_segments > RELAY_WINDOW_MAX
               ? ERR_PROTOCOL
               : 0;
}

static int read_date_base(struct relay_state *s, struct rd *r)
{
    s->date_base_us = (int64_t)rd_u64(r);
    s->has_date_base = true;
    return relay_time_ok(s->date_base_us) ? 0 : ERR_PROTOCOL;
}

static int read_previous(struct relay_state *s, struct rd *r)
{
    s->previous_epoch = rd_u64(r);
    s->previous_last_seq = rd_u64(r);
    s->has_previous = true;
    return 0;
}

static int read_bandwidth(struct relay_state *s, struct rd *r)
{
    s->peak_bps = rd_u64(r);
    s->average_bps = rd_u64(r);
    s->has_bandwidth = true;
    return 0;
}

static int read_lost(struct relay_state *s, struct rd *r)
{
    s->lost = rd_u8(r) != 0;
    return 0;
}

static int read_track(struct relay_state *s, struct rd *r)
{
    if (s->track_count == RELAY_TRACKS_MAX)
        return ERR_TOO_MANY;
    struct relay_state_track *t = &s->tracks[s->track_count++];
    t->track = rd_u16(r);
    t->codec = rd_u32(r);
    t->flags = rd_u8(r);
    if ((t->flags & RELAY_TRACK_ANCHORED) == 0)
        return 0;
    t->sample_rate = rd_u32(r);
    t->anchor_dts_us = (int64_t)rd_u64(r);
    t->samples = rd_u64(r);
    return 0;
}

static int read_in_force(struct relay_state *s, struct rd *r)
{
    if (s->in_force_count == RELAY_IN_FORCE_MAX)
        return ERR_TOO_MANY;
    struct slice value = rd_rest(r);
    struct relay_record *rec = &s->in_force[s->in_force_count];
    ssize_t n = relay_record_read(value.p, value.len, rec);
    if (n < 0)
        return (int)n;
    if ((size_t)n != value.len || n == 0 || rec->type != RELAY_FRAME)
        return ERR_PROTOCOL;
    s->in_force_count++;
    return 0;
}

static int read_listed(struct relay_state *s, struct rd *r)
{
    s->base_msn = rd_u64(r);
    return 0;
}

static int read_rate(struct relay_state *s, struct rd *r)
{
    s->frame_rate_milli = rd_u32(r);
    return 0;
}

static int read_numbers(struct relay_state *s, struct rd *r)
{
    s->first_msn = rd_u64(r);
    s->first_dsn = rd_u64(r);
    return s->first_msn > RELAY_NUMBER_MAX || s->first_dsn > RELAY_NUMBER_MAX ? ERR_PROTOCOL : 0;
}

static int read_last_seq(struct relay_state *s, struct rd *r)
{
    s->last_seq = rd_u64(r);
    return 0;
}

static int read_parts(struct relay_state *s, struct rd *r)
{
    s->part_target_us = rd_u32(r);
    return 0;
}

static int read_rates(struct relay_state *s, struct rd *r)
{
    s->rate_count = 0;
    while (rd_left(r) > 0) {
        if (s->rate_count == RELAY_TRACKS_MAX)
            return ERR_TOO_MANY;
        struct relay_state_rate *rate = &s->rates[s->rate_count++];
        rate->track = rd_u16(r);
        rate->bps = rd_u32(r);
        rate->frame_rate_milli = rd_u32(r);
        if (r->underrun)
            return ERR_PROTOCOL;
    }
    return 0;
}

static field_reader *const readers[] = {
    [RELAY_FIELD_VERSION] = read_version,     [RELAY_FIELD_EPOCH] = read_epoch,
    [RELAY_FIELD_INSTANCE] = read_instance,   [RELAY_FIELD_PATH] = read_path,
    [RELAY_FIELD_FIRST_SEQ] = read_first_seq, [RELAY_FIELD_HEAD_SEQ] = read_head_seq,
    [RELAY_FIELD_TAIL_SEQ] = read_tail_seq,   [RELAY_FIELD_SEGMENTS] = read_segments,
    [RELAY_FIELD_DATE_BASE] = read_date_base, [RELAY_FIELD_PREVIOUS] = read_previous,
    [RELAY_FIELD_BANDWIDTH] = read_bandwidth, [RELAY_FIELD_LOST] = read_lost,
    [RELAY_FIELD_TRACK] = read_track,         [RELAY_FIELD_IN_FORCE] = read_in_force,
    [RELAY_FIELD_LISTED] = read_listed,       [RELAY_FIELD_RATE] = read_rate,
    [RELAY_FIELD_NUMBERS] = read_numbers,     [RELAY_FIELD_LAST_SEQ] = read_last_seq,
    [RELAY_FIELD_PARTS] = read_parts,         [RELAY_FIELD_RATES] = read_rates,
};

static int read_field(struct relay_state *s, struct rd *r)
{
    uint16_t type = rd_u16(r);
    uint32_t len = rd_u32(r);
    struct rd value = rd_slice(rd_slice_of(r, len));
    if (r->underrun)
        return ERR_PROTOCOL;
    if (type >= sizeof readers / sizeof readers[0] || readers[type] == NULL)
        return 0;
    int err = readers[type](s, &value);
    if (err < 0)
        return err;
    return value.underrun ? ERR_PROTOCOL : 0;
}

int relay_state_decode(struct slice payload, struct relay_state *out)
{
    *out = (struct relay_state){0};
    struct rd r = rd_slice(payload);
    while (rd_left(&r) > 0) {
        int err = read_field(out, &r);
        if (err < 0)
            return err;
    }
    return out->version == 0 || out->epoch == 0 ? ERR_PROTOCOL : 0;
}
