/*
 * AV1 (RTP Payload Format For AV1, 4): a temporal unit is one run of elements, which are its OBUs
 * without their sizes, cut wherever a packet is full.
 *
 *   [aggregation header][size][OBU][size][OBU ...   [aggregation header][size]...OBU]
 */
#include "base/err.h"
#include "proto/rtp_pack_internal.h"

#define AGGREGATE_CONTINUES                                                                        \
    0x80 /* Z: the first element goes on with the last of the packet before */
#define AGGREGATE_CONTINUED 0x40 /* Y: the last element goes on in the next packet */
#define AGGREGATE_ALONE     0x10 /* W = 1: one element, without a size */
#define AGGREGATE_NEW       0x08 /* N: a coded video sequence begins */
#define OBU_FORBIDDEN       0x80
#define OBU_EXTENSION       0x04
#define OBU_HAS_SIZE        0x02
#define OBU_TYPE(byte)      ((byte) >> 3 & 0xf)
#define LEB128_MAX          8  /* bytes of a size that is read */
#define SIZE_ROOM           2  /* bytes of an element's size, which is below 16,384 */
#define COPY_MAX            64 /* bytes of OBU that are copied rather than pointed to */
#define AV1C_SIZE           4  /* bytes before configOBUs */

enum { OBU_SEQUENCE_HEADER = 1, OBU_TEMPORAL_DELIMITER = 2, OBU_TILE_LIST = 8, OBU_PADDING = 15 };

struct obu {
    uint8_t header[2]; /* without size */
    uint8_t header_len;
    uint8_t type;
    struct slice body;
};

static int next_obu(struct rd *r, struct obu *o)
{
    uint8_t first = rd_u8(r);
    o->type = OBU_TYPE(first);
    o->header[0] = (uint8_t)(first & ~OBU_HAS_SIZE);
    o->header_len = 1;
    if ((first & OBU_EXTENSION) != 0)
        o->header[o->header_len++] = rd_u8(r);
    uint64_t size = rd_left(r);
    if ((first & OBU_HAS_SIZE) != 0) {
        uint8_t byte = 0x80;
        size = 0;
        for (unsigned i = 0; i < LEB128_MAX && (byte & 0x80) != 0; i++) {
            byte = rd_u8(r);
            size |= (uint64_t)(byte & 0x7f) << 7 * i;
        }
        if ((byte & 0x80) != 0)
            return ERR_PROTOCOL;
    }
    o->body = rd_slice_of(r, size <= rd_left(r) ? (size_t)size : SIZE_MAX);
    return r->underrun || (first & OBU_FORBIDDEN) != 0 ? ERR_PROTOCOL : 0;
}

static bool is_left_out(const struct obu *o)
{
    return o->type == OBU_TEMPORAL_DELIMITER || o->type == OBU_TILE_LIST || o->type == OBU_PADDING;
}

static size_t obu_len(const struct obu *o)
{
    return o->header_len + o->body.len;
}

/* What is in a run of OBUs. */
struct contents {
    size_t len;     /* bytes of elements, with their sizes */
    unsigned count; /* of those that are sent */
    bool sequence;
};

static int look(struct slice obus, struct contents *c)
{
    struct rd r = rd_slice(obus);
    for (unsigned i = 0; rd_left(&r) > 0; i++) {
        struct obu o;
        if (i == RTP_PACK_UNITS_MAX)
            return ERR_TOO_MANY;
        if (next_obu(&r, &o) != 0)
            return ERR_PROTOCOL;
        if (is_left_out(&o))
            continue;
        c->len += SIZE_ROOM + obu_len(&o);
        c->count++;
        c->sequence |= o.type == OBU_SEQUENCE_HEADER;
    }
    return 0;
}

struct av1_packer {
    struct rtp_packer *p;
    size_t share;    /* bytes of a payload */
    size_t head_at;  /* of the aggregation header, in what is made */
    unsigned left;   /* OBUs that were not begun */
    bool open;       /* a payload is being written */
    bool continues;  /* the next one begins within an OBU */
    bool new_series; /* the first one begins a coded video sequence */
};

static void begin(struct av1_packer *a)
{
    uint8_t head = a->continues                                ? AGGREGATE_CONTINUES
                   : a->new_series && a->p->payload_count == 0 ? AGGREGATE_NEW
                                                               : 0;
    rtp_pack_begin(a->p);
    a->head_at = a->p->made_len;
    rtp_pack_copy(a->p, &head, 1);
    a->open = true;
}

static void end(struct av1_packer *a, bool continued)
{
    if (continued)
        a->p->made[a->head_at] |= AGGREGATE_CONTINUED;
    a->continues = continued;
    a->open = false;
}

/* Bytes [from, from + len) of the OBU. */
static void put_bytes(struct av1_packer *a, const struct obu *o, size_t from, size_t len)
{
    if (from < o->header_len) {
        size_t n = o->header_len - from < len ? o->header_len - from : len;
        rtp_pack_copy(a->p, o->header + from, n);
        from += n;
        len -= n;
    }
    const uint8_t *src = len > 0 ? o->body.p + (from - o->header_len) : NULL;
    if (len <= COPY_MAX)
        rtp_pack_copy(a->p, src, len);
    else
        rtp_pack_point(a->p, src, len);
}

/* The next element of the OBU from `from` on: its bytes, 0 when it has to be in the next payload.
 */
static size_t put_element(struct av1_packer *a, const struct obu *o, size_t from)
{
    size_t room = a->share - rtp_pack_len(a->p), left = obu_len(o) - from;
    if (rtp_pack_len(a->p) == 1 && (left >= room || a->left == 0)) {
        size_t n = left < room ? left : room;
        a->p->made[a->head_at] |= AGGREGATE_ALONE;
        put_bytes(a, o, from, n);
        return n;
    }
    if (room <= SIZE_ROOM)
        return 0;
    size_t n = left < room - SIZE_ROOM ? left : room - SIZE_ROOM;
    const uint8_t size[SIZE_ROOM] = {(uint8_t)(0x80 | (n & 0x7f)), (uint8_t)(n >> 7)};
    rtp_pack_copy(a->p, size, sizeof size);
    put_bytes(a, o, from, n);
    return n;
}

static void put(struct av1_packer *a, const struct obu *o)
{
    a->left--;
    for (size_t from = 0; from < obu_len(o);) {
        if (!a->open)
            begin(a);
        size_t n = put_element(a, o, from);
        from += n;
        bool continued = n > 0 && from < obu_len(o);
        if (n == 0 || continued || rtp_pack_len(a->p) >= a->share)
            end(a, continued);
    }
}

static void put_all(struct av1_packer *a, struct slice obus)
{
    struct rd r = rd_slice(obus);
    struct obu o;
    while (rd_left(&r) > 0 && next_obu(&r, &o) == 0)
        if (!is_left_out(&o))
            put(a, &o);
}

static int pack(struct rtp_packer *p, struct slice frame, bool key)
{
    struct contents c = {0};
    int err = look(frame, &c);
    if (err != 0 || c.count == 0)
        return err;
    struct slice config = slice_of(p->config, key && !c.sequence ? p->config_len : 0);
    look(config, &c); /* looked at before it was kept */
    struct av1_packer a = {.p = p,
                           .share = 1 + rtp_pack_share(c.len, RTP_PAYLOAD_MAX - 1),
                           .left = c.count,
                           .new_series = key && c.sequence};
    put_all(&a, config);
    put_all(&a, frame);
    return 0;
}

static int configure(struct rtp_packer *p, struct slice config)
{
    struct contents c = {0};
    if (config.len < AV1C_SIZE)
        return ERR_PROTOCOL;
    struct slice obus = slice_of(config.p + AV1C_SIZE, config.len - AV1C_SIZE);
    int err = look(obus, &c);
    return err != 0 ? err : rtp_pack_keep_config(p, obus);
}

const struct rtp_pack_format rtp_pack_av1 = {FLV_CODEC_AV1, false, configure, pack};
