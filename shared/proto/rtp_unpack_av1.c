/*
 * AV1 (RTP Payload Format For AV1, 4): an aggregation header, then elements that are OBUs or
 * fragments of them, without sizes.  In a temporal unit as FLV and MP4 carry it each OBU has its
 * size.
 */
#include "base/err.h"
#include "proto/rtp_unpack_internal.h"

#define AGGREGATE_CONTINUES                                                                        \
    0x80 /* Z: the first element goes on with the last of the packet before */
#define AGGREGATE_CONTINUED 0x40 /* Y: the last element goes on in the next packet */
#define AGGREGATE_NEW       0x08 /* N: a coded video sequence begins */
#define OBU_FORBIDDEN       0x80
#define OBU_EXTENSION       0x04
#define OBU_HAS_SIZE        0x02
#define OBU_TYPE(byte)      ((byte) >> 3 & 0xf)
#define OBU_HEAD_MAX        (2 + LEB128_MAX)
#define LEB128_MAX          8
#define FRAME_SHOWN_AGAIN   0x80 /* show_existing_frame */
#define FRAME_TYPE          0x60

enum obu_type {
    OBU_SEQUENCE_HEADER = 1,
    OBU_TEMPORAL_DELIMITER = 2,
    OBU_FRAME_HEADER = 3,
    OBU_FRAME = 6,
    OBU_TILE_LIST = 8,
    OBU_PADDING = 15,
};

struct av1_unit {
    struct rtp_unpacker *u;
    size_t start; /* of the OBU that is being written */
    bool open;
    bool sequence; /* its header was found */
    bool framed;   /* a frame's header was found */
    bool key;      /* the first one is a key frame's */
};

static uint64_t read_leb128(struct rd *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < LEB128_MAX; i++) {
        uint8_t byte = rd_u8(r);
        v |= (uint64_t)(byte & 0x7f) << 7 * i;
        if ((byte & 0x80) == 0)
            return v;
    }
    r->underrun = true;
    return 0;
}

static void write_leb128(struct wr *w, size_t v)
{
    for (; v >= 0x80; v >>= 7)
        wr_u8(w, 0x80 | (v & 0x7f));
    wr_u8(w, (unsigned)v);
}

/* Takes note of what the OBU says of the temporal unit. */
static void note(struct av1_unit *a, uint8_t type, struct slice body)
{
    if (type == OBU_SEQUENCE_HEADER)
        a->sequence = true;
    if ((type != OBU_FRAME && type != OBU_FRAME_HEADER) || a->framed)
        return;
    a->framed = true;
    a->key = body.len > 0 && (body.p[0] & (FRAME_SHOWN_AGAIN | FRAME_TYPE)) == 0;
}

static bool is_left_out(uint8_t type)
{
    return type == OBU_TEMPORAL_DELIMITER || type == OBU_TILE_LIST || type == OBU_PADDING;
}

/* The header of the OBU at the end of the buffer gets its size. */
static int add_size(struct rtp_unpacker *u, size_t start, struct slice head, struct slice body)
{
    uint8_t made[OBU_HEAD_MAX];
    struct wr w = wr_init(made, sizeof made);
    wr_u8(&w, head.p[0] | OBU_HAS_SIZE);
    if (head.len > 1)
        wr_u8(&w, head.p[1]);
    write_leb128(&w, body.len);
    size_t at = (size_t)(body.p - rtp_unit_bytes(u)), len = body.len, made_len = wr_len(&w);
    static const uint8_t gap[OBU_HEAD_MAX];
    u->len = at + len;
    if (start + made_len > at) {
        int err = rtp_unit_put(u, slice_of(gap, start + made_len - at));
        if (err < 0)
            return err;
    }
    uint8_t *bytes = rtp_unit_bytes(u);
    memmove(bytes + start + made_len, bytes + at, len);
    memcpy(bytes + start, made, made_len);
    u->len = start + made_len + len;
    return 0;
}

static int obu_end(struct av1_unit *a)
{
    struct rtp_unpacker *u = a->u;
    struct rd r = rd_init(rtp_unit_bytes(u) + a->start, u->len - a->start);
    const uint8_t *start = r.p;
    uint8_t first = rd_u8(&r), type = OBU_TYPE(first);
    if ((first & OBU_EXTENSION) != 0)
        rd_u8(&r);
    struct slice head = slice_of(start, (size_t)(r.p - start));
    uint64_t size = (first & OBU_HAS_SIZE) != 0 ? read_leb128(&r) : rd_left(&r);
    if (r.underrun || (first & OBU_FORBIDDEN) != 0 || size != rd_left(&r))
        return ERR_PROTOCOL;
    if (is_left_out(type)) {
        u->len = a->start;
        return 0;
    }
    struct slice body = rd_rest(&r);
    note(a, type, body);
    return add_size(u, a->start, head, body);
}

static int put_element(struct av1_unit *a, struct slice bytes, bool continues, bool continued)
{
    if (continues != a->open)
        return ERR_PROTOCOL;
    if (!continues)
        a->start = a->u->len;
    int err = rtp_unit_put(a->u, bytes);
    a->open = continued;
    return err < 0 || continued ? err : obu_end(a);
}

static int put_payload(struct av1_unit *a, struct slice payload)
{
    struct rd r = rd_slice(payload);
    uint8_t head = rd_u8(&r);
    unsigned counted = head >> 4 & 3;
    if (rd_left(&r) == 0)
        return ERR_PROTOCOL;
    int err = 0;
    for (unsigned i = 1; err == 0 && rd_left(&r) > 0; i++) {
        uint64_t size = counted > 0 && i == counted ? rd_left(&r) : read_leb128(&r);
        struct slice bytes = rd_slice_of(&r, size <= SIZE_MAX ? (size_t)size : SIZE_MAX);
        bool last = rd_left(&r) == 0;
        if (r.underrun || (last && counted > 0 && i != counted))
            return ERR_PROTOCOL;
        err = put_element(a, bytes, i == 1 && (head & AGGREGATE_CONTINUES) != 0,
                          last && (head & AGGREGATE_CONTINUED) != 0);
    }
    return err;
}

static int unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count, bool *key)
{
    struct av1_unit a = {.u = u};
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        if (payloads[i].len > 0)
            err = put_payload(&a, payloads[i]);
    if (err < 0)
        return err;
    if (a.open)
        return ERR_PROTOCOL;
    if (!a.framed) {
        u->len = 0;
        return 0;
    }
    *key = a.sequence && a.key;
    err = *key ? rtp_unit_config_of_frame(u) : 0;
    return err == ERR_NOT_FOUND ? ERR_PROTOCOL : err;
}

static bool begins(struct slice payload)
{
    return (payload.p[0] & (AGGREGATE_NEW | AGGREGATE_CONTINUES)) == AGGREGATE_NEW;
}

const struct rtp_format rtp_format_av1 = {FLV_CODEC_AV1, unpack, begins};
