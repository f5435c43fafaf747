#include "proto/relay_record.h"

#include "base/err.h"
#include "base/must.h"

/* Records, and the payloads of end, gap and accepted records.  The state's is in relay_state.c. */

#define LENGTH_FIELD 4 /* bytes of `length`, which does not count itself */
#define LENGTH_MIN   (RELAY_RECORD_HEADER_SIZE - LENGTH_FIELD)

ssize_t relay_record_read(const uint8_t *src, size_t len, struct relay_record *out)
{
    struct rd r = rd_init(src, len);
    uint32_t length = rd_u32(&r);
    if (r.underrun)
        return 0;
    if (length > RELAY_RECORD_MAX)
        return ERR_TOO_LARGE;
    if (length < LENGTH_MIN)
        return ERR_PROTOCOL;
    if (rd_left(&r) < length)
        return 0;
    uint8_t type = rd_u8(&r);
    struct relay_record rec = {
        .type = type <= RELAY_CUT ? (enum relay_type)type : RELAY_UNKNOWN,
    };
    rec.flags = rd_u8(&r);
    rec.track = rd_u16(&r);
    rec.seq = rd_u64(&r);
    rec.dts_us = (int64_t)rd_u64(&r);
    rec.cts_us = (int32_t)rd_u32(&r);
    rec.wire_ms = (int64_t)rd_u64(&r);
    rec.payload = rd_slice_of(&r, length - LENGTH_MIN);
    *out = rec;
    return LENGTH_FIELD + (ssize_t)length;
}

static uint8_t *put(uint8_t *out, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
    return out + bytes;
}

void relay_record_header(uint8_t out[RELAY_RECORD_HEADER_SIZE], const struct relay_record *rec,
                         size_t payload_len)
{
    must(payload_len <= RELAY_PAYLOAD_MAX);
    uint8_t *p = put(out, payload_len + LENGTH_MIN, 4);
    p = put(p, rec->type, 1);
    p = put(p, rec->flags, 1);
    p = put(p, rec->track, 2);
    p = put(p, rec->seq, 8);
    p = put(p, (uint64_t)rec->dts_us, 8);
    p = put(p, (uint32_t)rec->cts_us, 4);
    p = put(p, (uint64_t)rec->wire_ms, 8);
    must(p == out + RELAY_RECORD_HEADER_SIZE);
}

int relay_record_append(struct buf *out, const struct relay_record *rec)
{
    if (rec->payload.len > RELAY_PAYLOAD_MAX)
        return ERR_TOO_LARGE;
    size_t len = RELAY_RECORD_HEADER_SIZE + rec->payload.len;
    if (len > out->max - buf_len(out))
        return ERR_TOO_LARGE;
    uint8_t *dst = buf_reserve(out, len);
    if (dst == NULL)
        return ERR_NOMEM;
    relay_record_header(dst, rec, rec->payload.len);
    if (rec->payload.len > 0)
        memcpy(dst + RELAY_RECORD_HEADER_SIZE, rec->payload.p, rec->payload.len);
    buf_commit(out, len);
    return 0;
}

void relay_cut_write(struct wr *w, const struct relay_cut *cut)
{
    must(cut->track_count <= RELAY_TRACKS_MAX);
    wr_u64(w, cut->msn);
    wr_u64(w, cut->dsn);
    wr_u32(w, cut->part);
    wr_u32(w, cut->init);
    wr_u64(w, (uint64_t)cut->start_us);
    wr_u64(w, (uint64_t)cut->wall_us);
    wr_u16(w, cut->clock);
    wr_u8(w, cut->independent ? RELAY_CUT_INDEPENDENT : 0);
    wr_u8(w, cut->track_count);
    for (uint8_t i = 0; i < cut->track_count; i++)
        wr_u16(w, cut->tracks[i]);
}

int relay_cut_decode(struct slice payload, struct relay_cut *out)
{
    struct rd r = rd_slice(payload);
    struct relay_cut cut = {.msn = rd_u64(&r)};
    cut.dsn = rd_u64(&r);
    cut.part = rd_u32(&r);
    cut.init = rd_u32(&r);
    cut.start_us = (int64_t)rd_u64(&r);
    cut.wall_us = (int64_t)rd_u64(&r);
    cut.clock = rd_u16(&r);
    cut.independent = (rd_u8(&r) & RELAY_CUT_INDEPENDENT) != 0;
    cut.track_count = rd_u8(&r);
    if (cut.track_count > RELAY_TRACKS_MAX)
        return ERR_TOO_MANY;
    bool rising = true;
    for (uint8_t i = 0; i < cut.track_count; i++) {
        cut.tracks[i] = rd_u16(&r);
        rising = rising && (i == 0 || cut.tracks[i] > cut.tracks[i - 1]);
    }
    if (r.underrun || !rising || !relay_time_ok(cut.start_us) || !relay_time_ok(cut.wall_us))
        return ERR_PROTOCOL;
    *out = cut;
    return 0;
}

void relay_end_write(struct wr *w, const struct relay_end *end)
{
    wr_u8(w, end->reason);
    wr_bytes(w, end->text.p,
             end->text.len < RELAY_END_TEXT_MAX ? end->text.len : RELAY_END_TEXT_MAX);
}

int relay_end_decode(struct slice payload, struct relay_end *out)
{
    struct rd r = rd_slice(payload);
    struct relay_end end = {.reason = rd_u8(&r)};
    end.text = rd_rest(&r);
    if (r.underrun || end.text.len > RELAY_END_TEXT_MAX)
        return ERR_PROTOCOL;
    *out = end;
    return 0;
}

/* One number; what follows it is of a later version. */
static int decode_u64(struct slice payload, uint64_t *out)
{
    struct rd r = rd_slice(payload);
    uint64_t v = rd_u64(&r);
    if (r.underrun)
        return ERR_PROTOCOL;
    *out = v;
    return 0;
}

void relay_gap_write(struct wr *w, uint64_t first_seq)
{
    wr_u64(w, first_seq);
}

int relay_gap_decode(struct slice payload, uint64_t *first_seq)
{
    return decode_u64(payload, first_seq);
}

void relay_accepted_write(struct wr *w, uint64_t epoch)
{
    wr_u64(w, epoch);
}

int relay_accepted_decode(struct slice payload, uint64_t *epoch)
{
    return decode_u64(payload, epoch);
}
