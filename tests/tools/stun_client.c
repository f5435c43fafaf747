#include "tools/stun_client.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static uint32_t stun_crc32(const uint8_t *p, size_t len)
{
    uint32_t crc = ~0U;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0xedb88320U & -(crc & 1));
    }
    return ~crc;
}

void stun_attribute(struct wr *w, unsigned type, const void *value, size_t len)
{
    static const uint8_t zero[4];
    wr_u16(w, type);
    wr_u16(w, (unsigned)len);
    wr_bytes(w, value, len);
    wr_bytes(w, zero, -len & 3);
}

void stun_set_len(struct wr *w, size_t more)
{
    size_t len = wr_len(w) - 20 + more;
    w->start[2] = (uint8_t)(len >> 8);
    w->start[3] = (uint8_t)len;
}

void stun_sign(struct wr *w, const char *pwd, bool empty)
{
    uint8_t mac[20];
    unsigned len = sizeof mac;
    stun_set_len(w, 24);
    HMAC(EVP_sha1(), pwd, (int)strlen(pwd), w->start, wr_len(w), mac, &len);
    stun_attribute(w, 0x0008, mac, empty ? 0 : sizeof mac);
    stun_set_len(w, 0);
}

void stun_check_crc(struct wr *w)
{
    uint8_t crc[4];
    stun_set_len(w, 8);
    put_u32(crc, stun_crc32(w->start, wr_len(w)) ^ 0x5354554eU);
    stun_attribute(w, 0x8028, crc, sizeof crc);
}

size_t stun_write(const struct stun_check *c, uint8_t *dst)
{
    static const uint8_t role[8] = {1, 2, 3, 4, 5, 6, 7, 8}, priority[4] = {0x6e, 0, 1, 0xff};
    uint8_t bytes[STUN_MESSAGE_ROOM];
    struct wr w = wr_init(bytes, sizeof bytes);
    wr_u32(&w, c->flags & STUN_INDICATION ? 0x00110000U : 0x00010000U); /* and no length */
    wr_u32(&w, STUN_COOKIE_BYTES);
    wr_bytes(&w, c->transaction, sizeof c->transaction);
    if (!(c->flags & STUN_NO_USERNAME))
        stun_attribute(&w, 0x0006, c->username, strlen(c->username));
    if (!(c->flags & STUN_NO_PRIORITY))
        stun_attribute(&w, 0x0024, priority, sizeof priority);
    stun_attribute(&w, c->flags & STUN_CONTROLLED ? 0x8029 : 0x802a, role, sizeof role);
    if (c->flags & STUN_NOMINATES)
        stun_attribute(&w, 0x0025, NULL, 0);
    if (c->flags & STUN_UNKNOWN)
        stun_attribute(&w, 0x0077, role, 4);
    if (!(c->flags & STUN_NO_INTEGRITY))
        stun_sign(&w, c->pwd, c->flags & STUN_EMPTY_MAC);
    if (c->flags & STUN_LATE_USE)
        stun_attribute(&w, 0x0025, NULL, 0);
    stun_set_len(&w, 0);
    if (!(c->flags & STUN_NO_CRC))
        stun_check_crc(&w);
    memcpy(dst, bytes, wr_len(&w));
    return wr_len(&w);
}

static void stun_read_attribute(struct stun_answer *a, unsigned type, struct slice value,
                                const uint8_t *head)
{
    if (type == 0x0020 && value.len >= 8) {
        a->port = (uint16_t)((value.p[2] << 8 | value.p[3]) ^ 0x2112);
        a->host_len = value.len - 4;
        for (size_t i = 0; i < a->host_len && i < sizeof a->host; i++)
            a->host[i] = value.p[4 + i] ^ head[4 + i]; /* cookie and transaction */
    }
    if (type == 0x0009 && value.len >= 4)
        a->error = value.p[2] * 100U + value.p[3];
}

bool stun_read(struct slice m, const char *pwd, const uint8_t transaction[STUN_TRANSACTION],
               struct stun_answer *out)
{
    uint8_t copy[STUN_MESSAGE_ROOM], mac[20], crc[4];
    unsigned mac_len = sizeof mac;
    bool is_signed = false, summed = false;
    struct rd r = rd_slice(m);
    unsigned kind = rd_u16(&r);
    *out = (struct stun_answer){.success = kind == 0x0101};
    if ((kind != 0x0101 && kind != 0x0111) || m.len > sizeof copy || rd_u16(&r) != m.len - 20 ||
        rd_u32(&r) != STUN_COOKIE_BYTES || memcmp(rd_take(&r, 12), transaction, 12) != 0)
        return false;
    while (rd_left(&r) > 0) {
        size_t at = (size_t)(r.p - m.p);
        unsigned type = rd_u16(&r);
        size_t len = rd_u16(&r);
        struct slice value = rd_slice_of(&r, len);
        rd_take(&r, -len & 3);
        if (r.underrun)
            return false;
        stun_read_attribute(out, type, value, m.p);
        memcpy(copy, m.p, at);
        struct wr w = {copy, copy + at, copy + sizeof copy, false};
        if (type == 0x0008) {
            stun_set_len(&w, 24);
            HMAC(EVP_sha1(), pwd, (int)strlen(pwd), copy, at, mac, &mac_len);
            is_signed = slice_eq(value, slice_of(mac, sizeof mac));
        }
        if (type == 0x8028) {
            put_u32(crc, stun_crc32(m.p, at) ^ 0x5354554eU);
            summed = slice_eq(value, slice_of(crc, sizeof crc)) && rd_left(&r) == 0;
        }
    }
    return is_signed && summed;
}
