/*
 * H.264 (RFC 6184) and H.265 (RFC 7798): NAL units that fit go alone or, several small ones, in one
 * aggregation packet; larger ones are cut.
 */
#include "base/err.h"
#include "proto/bits.h"
#include "proto/rtp_pack_internal.h"

#define PENDING_MAX 64 /* NAL units of one aggregation packet */
#define FU_START    0x80
#define FU_END      0x40

enum {
    AVC_SEI = 6,
    AVC_SPS = 7,
    AVC_PPS = 8,
    AVC_AUD = 9,
    AVC_END_OF_STREAM = 11,
    AVC_FILLER = 12
};
enum { AVC_STAP_A = 24, AVC_FU_A = 28 };
enum { HEVC_VPS = 32, HEVC_SPS, HEVC_PPS, HEVC_AUD, HEVC_SEI_SUFFIX = 40 };
enum { HEVC_AP = 48, HEVC_FU = 49 };

enum nal_use {
    NAL_OTHER,
    NAL_LEFT_OUT,
    NAL_SPS,
    NAL_PPS,
    NAL_SLICE,
};

/* What the two codecs do differently. */
struct nal_rules {
    size_t header; /* bytes of a NAL unit's header */
    enum nal_use (*use)(const uint8_t *nal);
    bool (*is_b)(struct slice nal); /* NULL: not told */
    /* Header of an aggregation packet, beginning with those of the first of its units; the others
     * may change it. */
    void (*aggregate)(uint8_t *head, const uint8_t *nal);
    /* Header of a fragment, without the bits of its place: bytes written. */
    size_t (*fragment)(uint8_t *head, const uint8_t *nal);
};

struct nal_packer {
    struct rtp_packer *p;
    const struct nal_rules *rules;
    struct slice pending[PENDING_MAX];
    size_t pending_count,
        pending_len; /* bytes with their sizes, as an aggregation packet has them */
};

static void flush(struct nal_packer *n)
{
    uint8_t head[2];
    if (n->pending_count == 0)
        return;
    rtp_pack_begin(n->p);
    if (n->pending_count == 1)
        rtp_pack_point(n->p, n->pending[0].p, n->pending[0].len);
    else {
        memcpy(head, n->pending[0].p, n->rules->header);
        for (size_t i = 0; i < n->pending_count; i++)
            n->rules->aggregate(head, n->pending[i].p);
        rtp_pack_copy(n->p, head, n->rules->header);
        for (size_t i = 0; i < n->pending_count; i++) {
            const uint8_t size[] = {(uint8_t)(n->pending[i].len >> 8), (uint8_t)n->pending[i].len};
            rtp_pack_copy(n->p, size, sizeof size);
            rtp_pack_copy(n->p, n->pending[i].p, n->pending[i].len);
        }
    }
    n->pending_count = n->pending_len = 0;
}

static void cut(struct nal_packer *n, struct slice nal)
{
    uint8_t head[3];
    size_t head_len = n->rules->fragment(head, nal.p);
    uint8_t type = head[head_len - 1];
    const uint8_t *at = nal.p + n->rules->header, *end = nal.p + nal.len;
    size_t share = rtp_pack_share((size_t)(end - at), RTP_PAYLOAD_MAX - head_len);
    for (uint8_t place = FU_START; at < end; place = 0) {
        size_t len = (size_t)(end - at) < share ? (size_t)(end - at) : share;
        if (at + len == end)
            place |= FU_END;
        head[head_len - 1] = type | place;
        rtp_pack_begin(n->p);
        rtp_pack_copy(n->p, head, head_len);
        rtp_pack_point(n->p, at, len);
        at += len;
    }
}

static void put(struct nal_packer *n, struct slice nal)
{
    bool small = nal.len <= RTP_PAYLOAD_MAX;
    if (n->pending_count == PENDING_MAX || !small ||
        n->rules->header + n->pending_len + 2 + nal.len > RTP_PAYLOAD_MAX)
        flush(n);
    if (!small) {
        cut(n, nal);
        return;
    }
    n->pending[n->pending_count++] = nal;
    n->pending_len += 2 + nal.len;
}

static struct slice next_nal(struct rd *r, uint8_t length_size)
{
    uint32_t len = 0;
    for (uint8_t i = 0; i < length_size; i++)
        len = len << 8 | rd_u8(r);
    return rd_slice_of(r, len);
}

/* Puts the configuration's parameter sets where the unit does not bring its own. */
static int put_sets(struct nal_packer *n, struct slice frame)
{
    bool sps = false, pps = false;
    struct rd r = rd_slice(frame);
    while (rd_left(&r) > 0) {
        struct slice nal = next_nal(&r, n->p->length_size);
        if (r.underrun)
            return ERR_PROTOCOL;
        enum nal_use use = nal.len >= n->rules->header ? n->rules->use(nal.p) : NAL_LEFT_OUT;
        sps |= use == NAL_SPS;
        pps |= use == NAL_PPS;
    }
    r = rd_init(n->p->config, sps && pps ? 0 : n->p->config_len);
    while (rd_left(&r) > 0)
        put(n, next_nal(&r, 2));
    return 0;
}

static int pack_nals(struct rtp_packer *p, const struct nal_rules *rules, struct slice frame,
                     bool key)
{
    struct nal_packer n;
    n.p = p;
    n.rules = rules;
    n.pending_count = n.pending_len = 0;
    int err = key ? put_sets(&n, frame) : 0;
    struct rd r = rd_slice(frame);
    for (unsigned i = 0; err == 0 && rd_left(&r) > 0; i++) {
        struct slice nal = next_nal(&r, p->length_size);
        if (r.underrun)
            return ERR_PROTOCOL;
        if (i == RTP_PACK_UNITS_MAX)
            return ERR_TOO_MANY;
        enum nal_use use = nal.len > rules->header ? rules->use(nal.p) : NAL_LEFT_OUT;
        if (use == NAL_LEFT_OUT)
            continue;
        if (use == NAL_SLICE && rules->is_b != NULL && rules->is_b(nal))
            p->bidirectional = true;
        put(&n, nal);
    }
    flush(&n);
    return err;
}

/* A NAL unit of a configuration is kept when it is one at all. */
static void keep_set(struct wr *w, struct slice nal, size_t header)
{
    if (nal.len <= header)
        return;
    wr_u16(w, (unsigned)nal.len);
    wr_put(w, nal);
}

/* ---- H.264 ---- */

static enum nal_use avc_use(const uint8_t *nal)
{
    uint8_t type = nal[0] & 0x1f;
    if (type >= 1 && type <= 5)
        return NAL_SLICE;
    if (type == AVC_SPS || type == AVC_PPS)
        return type == AVC_SPS ? NAL_SPS : NAL_PPS;
    if (type == 0 || type == AVC_SEI || (type >= AVC_AUD && type <= AVC_FILLER) ||
        type >= AVC_STAP_A)
        return NAL_LEFT_OUT;
    return NAL_OTHER;
}

static bool avc_is_b(struct slice nal)
{
    uint8_t type = nal.p[0] & 0x1f;
    if (type != 1 && type != 2) /* IDR slices are never B, partitions B and C do not say */
        return false;
    struct bits b = bits_of_nal(nal);
    bits_skip(&b, 8);
    bits_ue(&b); /* first_mb_in_slice */
    return bits_ue(&b) % 5 == 1 && !b.underrun;
}

/* The highest nal_ref_idc, and F when any has it (RFC 6184, 5.7). */
static void avc_aggregate(uint8_t *head, const uint8_t *nal)
{
    uint8_t f = (head[0] | nal[0]) & 0x80;
    uint8_t nri = (head[0] & 0x60) > (nal[0] & 0x60) ? head[0] & 0x60 : nal[0] & 0x60;
    head[0] = f | nri | AVC_STAP_A;
}

static size_t avc_fragment(uint8_t *head, const uint8_t *nal)
{
    head[0] = (nal[0] & 0xe0) | AVC_FU_A;
    head[1] = nal[0] & 0x1f;
    return 2;
}

static const struct nal_rules avc_rules = {1, avc_use, avc_is_b, avc_aggregate, avc_fragment};

static int avc_configure(struct rtp_packer *p, struct slice config)
{
    uint8_t sets[PACK_CONFIG_MAX];
    struct wr w = wr_init(sets, sizeof sets);
    struct rd r = rd_slice(config);
    unsigned version = rd_u8(&r);
    rd_u24(&r);
    unsigned length_size = (rd_u8(&r) & 3U) + 1;
    for (unsigned n = rd_u8(&r) & 0x1fU; n > 0; n--)
        keep_set(&w, rd_slice_of(&r, rd_u16(&r)), 1);
    for (unsigned n = rd_u8(&r); n > 0; n--)
        keep_set(&w, rd_slice_of(&r, rd_u16(&r)), 1);
    if (r.underrun || version != 1)
        return ERR_PROTOCOL;
    int err = w.overflow ? ERR_TOO_LARGE : rtp_pack_keep_config(p, wr_slice(&w));
    if (err == 0)
        p->length_size = (uint8_t)length_size;
    return err;
}

static int avc_pack(struct rtp_packer *p, struct slice frame, bool key)
{
    return pack_nals(p, &avc_rules, frame, key);
}

const struct rtp_pack_format rtp_pack_avc = {FLV_CODEC_AVC, true, avc_configure, avc_pack};

/* ---- H.265 ---- */

static enum nal_use hevc_use(const uint8_t *nal)
{
    uint8_t type = nal[0] >> 1 & 0x3f;
    if (type < HEVC_VPS)
        return NAL_SLICE;
    if (type == HEVC_SPS || type == HEVC_PPS)
        return type == HEVC_SPS ? NAL_SPS : NAL_PPS;
    if (type >= HEVC_AUD && type <= HEVC_SEI_SUFFIX)
        return NAL_LEFT_OUT;
    return type >= HEVC_AP ? NAL_LEFT_OUT : NAL_OTHER;
}

/* F when any has it, the lowest layer and temporal id (RFC 7798, 4.4.2). */
static void hevc_aggregate(uint8_t *head, const uint8_t *nal)
{
    unsigned f = (head[0] | nal[0]) & 0x80U;
    unsigned a = (head[0] & 1U) << 5 | head[1] >> 3, b = (nal[0] & 1U) << 5 | nal[1] >> 3;
    unsigned layer = a < b ? a : b;
    unsigned tid = (head[1] & 7) < (nal[1] & 7) ? head[1] & 7U : nal[1] & 7U;
    head[0] = (uint8_t)(f | HEVC_AP << 1 | layer >> 5);
    head[1] = (uint8_t)(layer << 3 | tid);
}

static size_t hevc_fragment(uint8_t *head, const uint8_t *nal)
{
    head[0] = (uint8_t)((nal[0] & 0x81) | HEVC_FU << 1);
    head[1] = nal[1];
    head[2] = nal[0] >> 1 & 0x3f;
    return 3;
}

static const struct nal_rules hevc_rules = {2, hevc_use, NULL, hevc_aggregate, hevc_fragment};

#define HVCC_BEFORE_LENGTH 21 /* bytes before the one with the length of NAL unit sizes */

static int hevc_configure(struct rtp_packer *p, struct slice config)
{
    uint8_t sets[PACK_CONFIG_MAX];
    struct wr w = wr_init(sets, sizeof sets);
    struct rd r = rd_slice(config);
    rd_take(&r, HVCC_BEFORE_LENGTH);
    unsigned length_size = (rd_u8(&r) & 3U) + 1;
    for (unsigned arrays = rd_u8(&r); arrays > 0 && !r.underrun; arrays--) {
        unsigned type = rd_u8(&r) & 0x3f;
        for (unsigned n = rd_u16(&r); n > 0 && !r.underrun; n--) {
            struct slice nal = rd_slice_of(&r, rd_u16(&r));
            if (type >= HEVC_VPS && type <= HEVC_PPS)
                keep_set(&w, nal, 2);
        }
    }
    if (r.underrun)
        return ERR_PROTOCOL;
    int err = w.overflow ? ERR_TOO_LARGE : rtp_pack_keep_config(p, wr_slice(&w));
    if (err == 0)
        p->length_size = (uint8_t)length_size;
    return err;
}

static int hevc_pack(struct rtp_packer *p, struct slice frame, bool key)
{
    return pack_nals(p, &hevc_rules, frame, key);
}

const struct rtp_pack_format rtp_pack_hevc = {FLV_CODEC_HEVC, true, hevc_configure, hevc_pack};
