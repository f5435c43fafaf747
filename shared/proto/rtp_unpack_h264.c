/*
 * H.264 (RFC 6184): single NAL units, STAP-A and FU-A, which is all that packetization modes 0 and
 * 1 have.
 */
#include "base/err.h"
#include "proto/rtp_unpack_internal.h"

#define NAL_SINGLE_MAX   23
#define NAL_STAP_A       24
#define NAL_FU_A         28
#define NAL_SIZE_BYTES   4
#define NAL_FORBIDDEN    0x80
#define FU_START         0x80
#define FU_END           0x40
#define FIRST_MB_IS_ZERO 0x80 /* first_mb_in_slice, ue(v), of a picture's first slice */

struct h264 {
    struct rtp_unpacker *u;
    size_t nal_start; /* of the NAL unit that is being written, with its size */
    bool open;        /* a fragmented one waits for its end */
    bool picture;     /* a slice was found */
    bool idr;
};

static int nal_begin(struct h264 *h)
{
    static const uint8_t size[NAL_SIZE_BYTES];
    h->nal_start = h->u->len;
    return rtp_unit_put(h->u, slice_of(size, sizeof size));
}

/* A picture begins with its first slice: one that does not has lost its head. */
static int take_slice(struct h264 *h, struct slice nal)
{
    if (nal.len < 2 || (!h->picture && (nal.p[1] & FIRST_MB_IS_ZERO) == 0))
        return ERR_PROTOCOL;
    h->picture = true;
    h->idr |= AVC_NAL_TYPE(nal.p[0]) == AVC_NAL_IDR;
    return 0;
}

/* Takes the NAL unit at the end of the buffer; *stays says whether it is of the access unit. */
static int nal_take(struct h264 *h, struct slice nal, bool *stays)
{
    uint8_t type = AVC_NAL_TYPE(nal.p[0]);
    bool is_slice = type == AVC_NAL_SLICE || type == AVC_NAL_IDR;
    *stays = is_slice || type == AVC_NAL_SEI;
    if (is_slice)
        return take_slice(h, nal);
    if (avc_is_set(nal.p[0]))
        return avc_sets_put(h->u->sets, nal);
    bool partitioned = type >= AVC_NAL_PARTITION_A && type <= AVC_NAL_PARTITION_C;
    return partitioned ? ERR_UNSUPPORTED : 0;
}

static int nal_end(struct h264 *h)
{
    uint8_t *at = rtp_unit_bytes(h->u) + h->nal_start;
    size_t len = h->u->len - h->nal_start - NAL_SIZE_BYTES;
    if (len == 0 || (at[NAL_SIZE_BYTES] & NAL_FORBIDDEN) != 0)
        return ERR_PROTOCOL;
    bool stays;
    int err = nal_take(h, slice_of(at + NAL_SIZE_BYTES, len), &stays);
    put_u32(at, (uint32_t)len);
    if (!stays)
        h->u->len = h->nal_start;
    return err;
}

static int put_nal(struct h264 *h, struct slice nal)
{
    int err = nal_begin(h);
    if (err == 0)
        err = rtp_unit_put(h->u, nal);
    return err < 0 ? err : nal_end(h);
}

static int put_aggregate(struct h264 *h, struct rd *r)
{
    int err = rd_left(r) > 0 ? 0 : ERR_PROTOCOL;
    while (err == 0 && rd_left(r) > 0) {
        struct slice nal = rd_slice_of(r, rd_u16(r));
        err = r->underrun ? ERR_PROTOCOL : put_nal(h, nal);
    }
    return err;
}

static int put_fragment(struct h264 *h, uint8_t indicator, struct rd *r)
{
    uint8_t fu = rd_u8(r);
    bool starts = (fu & FU_START) != 0;
    if (r->underrun || starts == h->open || (starts && (fu & FU_END) != 0))
        return ERR_PROTOCOL;
    int err = 0;
    if (starts) {
        uint8_t header = (uint8_t)((indicator & ~0x1f) | AVC_NAL_TYPE(fu));
        err = nal_begin(h);
        if (err == 0)
            err = rtp_unit_put(h->u, slice_of(&header, 1));
    }
    if (err == 0)
        err = rtp_unit_put(h->u, rd_rest(r));
    h->open = (fu & FU_END) == 0;
    return err < 0 || h->open ? err : nal_end(h);
}

static int put_payload(struct h264 *h, struct slice payload)
{
    struct rd r = rd_slice(payload);
    uint8_t first = rd_u8(&r), type = AVC_NAL_TYPE(first);
    if (type == NAL_FU_A)
        return put_fragment(h, first, &r);
    if (h->open)
        return ERR_PROTOCOL;
    if (type == NAL_STAP_A)
        return put_aggregate(h, &r);
    return type >= 1 && type <= NAL_SINGLE_MAX ? put_nal(h, payload) : ERR_UNSUPPORTED;
}

static int update_config(struct rtp_unpacker *u)
{
    uint8_t record[AVC_RECORD_MAX];
    struct wr w = wr_init(record, sizeof record);
    int err = u->sets->changed ? avc_sets_record(u->sets, &w) : 0;
    if (err < 0 || wr_len(&w) == 0)
        return err;
    return rtp_unit_config(u, wr_slice(&w));
}

static int unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count, bool *key)
{
    struct h264 h = {.u = u};
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        if (payloads[i].len > 0)
            err = put_payload(&h, payloads[i]);
    if (err < 0)
        return err;
    if (h.open)
        return ERR_PROTOCOL;
    if (!h.picture) {
        u->len = 0; /* what describes a picture means nothing without it */
        return 0;
    }
    *key = h.idr;
    err = update_config(u);
    if (err == 0 && u->config_len == 0)
        err = ERR_NOT_FOUND;
    return err;
}

static bool begins(struct slice payload)
{
    struct rd r = rd_slice(payload);
    uint8_t type = AVC_NAL_TYPE(rd_u8(&r));
    if (type == NAL_STAP_A) {
        rd_u16(&r);
        type = AVC_NAL_TYPE(rd_u8(&r));
    }
    return !r.underrun && (type == AVC_NAL_SPS || type == AVC_NAL_AUD);
}

const struct rtp_format rtp_format_h264 = {FLV_CODEC_AVC, unpack, begins};
