#include "proto/rtp.h"

#include "base/err.h"

enum {
    EXT_ONE_BYTE = 0xbede,
    EXT_TWO_BYTES = 0x1000,
    EXT_STOP_ID = 15,
    EXT_ONE_BYTE_DATA_MAX = 16
};

static bool is_two_bytes(uint16_t profile)
{
    return (profile & 0xfff0) == EXT_TWO_BYTES; /* the last four bits are the application's */
}

int rtp_read_header(const uint8_t *src, size_t len, struct rtp_packet *out)
{
    struct rtp_packet p = {0};
    struct rd r = rd_init(src, len);
    unsigned first = rd_u8(&r), second = rd_u8(&r);
    p.h.marker = (second & 0x80) != 0;
    p.h.payload_type = second & 0x7f;
    p.h.seq = rd_u16(&r);
    p.h.timestamp = rd_u32(&r);
    p.h.ssrc = rd_u32(&r);
    rd_take(&r, (size_t)(first & 0xf) * 4);
    if (first & 0x10) {
        p.ext_profile = rd_u16(&r);
        size_t words = rd_u16(&r);
        p.ext = rd_slice_of(&r, words * 4);
    }
    if (r.underrun || first >> 6 != 2)
        return ERR_PROTOCOL;
    if (len - rd_left(&r) > UINT16_MAX)
        return ERR_PROTOCOL;
    p.has_padding = (first & 0x20) != 0;
    p.header_len = (uint16_t)(len - rd_left(&r));
    p.payload = rd_rest(&r);
    *out = p;
    return 0;
}

int rtp_read(const uint8_t *src, size_t len, struct rtp_packet *out)
{
    struct rtp_packet p;
    int err = rtp_read_header(src, len, &p);
    if (err != 0)
        return err;
    if (p.has_padding) {
        p.padding = src[len - 1];
        if (p.padding == 0 || p.padding > p.payload.len)
            return ERR_PROTOCOL;
        p.payload.len -= p.padding;
    }
    *out = p;
    return 0;
}

/* The next element, or false at the end; padding has id 0. */
static bool next_element(struct rd *r, bool two_bytes, struct rtp_ext *out)
{
    if (rd_left(r) == 0)
        return false;
    unsigned first = rd_u8(r);
    if (first == 0) { /* one byte of padding, in both forms */
        *out = (struct rtp_ext){0};
        return true;
    }
    out->id = (uint8_t)(two_bytes ? first : first >> 4);
    if (!two_bytes && out->id == EXT_STOP_ID)
        return false;
    size_t n = two_bytes ? rd_u8(r) : (first & 0xf) + 1U;
    out->data = rd_slice_of(r, n);
    return !r->underrun;
}

bool rtp_find_ext(const struct rtp_packet *p, uint8_t id, struct slice *data)
{
    bool two_bytes = is_two_bytes(p->ext_profile);
    if (id == 0 || (p->ext_profile != EXT_ONE_BYTE && !two_bytes))
        return false;
    struct rd r = rd_slice(p->ext);
    struct rtp_ext e;
    while (next_element(&r, two_bytes, &e))
        if (e.id == id) {
            *data = e.data;
            return true;
        }
    return false;
}

static int judge_elements(const struct rtp_ext *exts, size_t count, bool *two_bytes, size_t *bytes)
{
    size_t data = 0;
    *two_bytes = false;
    for (size_t i = 0; i < count; i++) {
        if (exts[i].id == 0 || exts[i].data.len > RTP_EXT_DATA_MAX)
            return ERR_RANGE;
        if (exts[i].id > RTP_EXT_ONE_ID_MAX || exts[i].data.len == 0 ||
            exts[i].data.len > EXT_ONE_BYTE_DATA_MAX)
            *two_bytes = true;
        data += exts[i].data.len;
    }
    *bytes = data + count * (*two_bytes ? 2 : 1);
    return *bytes > (size_t)UINT16_MAX ? ERR_RANGE : 0;
}

static void write_elements(struct wr *w, const struct rtp_ext *exts, size_t count, bool two_bytes)
{
    for (size_t i = 0; i < count; i++) {
        unsigned len = (unsigned)exts[i].data.len;
        if (two_bytes) {
            wr_u8(w, exts[i].id);
            wr_u8(w, len);
        } else
            wr_u8(w, (unsigned)exts[i].id << 4 | (len - 1));
        wr_put(w, exts[i].data);
    }
}

int rtp_write_header(struct wr *w, const struct rtp_header *h, const struct rtp_ext *exts,
                     size_t ext_count)
{
    bool two_bytes;
    size_t bytes;
    int err = judge_elements(exts, ext_count, &two_bytes, &bytes);
    if (err != 0)
        return err;
    wr_u8(w, ext_count > 0 ? 0x90 : 0x80);
    wr_u8(w, (h->marker ? 0x80U : 0U) | (h->payload_type & 0x7fU));
    wr_u16(w, h->seq);
    wr_u32(w, h->timestamp);
    wr_u32(w, h->ssrc);
    if (ext_count == 0)
        return 0;
    wr_u16(w, two_bytes ? EXT_TWO_BYTES : EXT_ONE_BYTE);
    wr_u16(w, (unsigned)((bytes + 3) / 4));
    write_elements(w, exts, ext_count, two_bytes);
    for (size_t i = bytes; i % 4 != 0; i++)
        wr_u8(w, 0);
    return 0;
}
