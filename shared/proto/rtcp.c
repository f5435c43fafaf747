#include "proto/rtcp.h"

#include "base/err.h"
#include "base/must.h"
#include "proto/rtcp_internal.h"

#define NTP_UNIX_S       2208988800ULL /* seconds from 1900 to 1970 */
#define REPORT_SIZE      24            /* bytes of a report block */
#define SENDER_SIZE      24            /* bytes of SR before its report blocks */
#define SDES_CNAME       1
#define XR_RECEIVER_TIME 4
#define XR_DLRR          5
#define DLRR_SIZE        12 /* bytes of an item */
#define SECOND_US        1000000ULL
#define LOST_MAX         0x7fffff
#define LOST_MIN         (-0x800000)

int rtcp_next(struct rd *compound, struct rtcp_packet *out)
{
    if (rd_left(compound) == 0)
        return 0;
    unsigned first = rd_u8(compound);
    uint8_t type = rd_u8(compound);
    size_t words = rd_u16(compound);
    struct slice body = rd_slice_of(compound, words * 4);
    if (compound->underrun || first >> 6 != 2)
        return ERR_PROTOCOL;
    if (first & 0x20) {
        if (body.len == 0 || body.p[body.len - 1] == 0 || body.p[body.len - 1] > body.len)
            return ERR_PROTOCOL;
        body.len -= body.p[body.len - 1];
    }
    *out = (struct rtcp_packet){.type = type, .count = first & 0x1f, .body = body};
    return 1;
}

uint64_t rtcp_ntp_of_unix_us(int64_t unix_us)
{
    uint64_t us = (uint64_t)unix_us;
    return ((us / SECOND_US + NTP_UNIX_S) << 32) + ((us % SECOND_US) << 32) / SECOND_US;
}

int64_t rtcp_unix_us_of_ntp(uint64_t ntp)
{
    uint64_t fraction = ntp & UINT32_MAX;
    /* Rounded, so that a time comes back as it was written. */
    uint64_t us = (fraction * SECOND_US + (1ULL << 31)) >> 32;
    return ((int64_t)(ntp >> 32) - (int64_t)NTP_UNIX_S) * (int64_t)SECOND_US + (int64_t)us;
}

int rtcp_read_sr(const struct rtcp_packet *p, struct rtcp_sender *out)
{
    struct rd r = rd_slice(p->body);
    struct rtcp_sender s = {.ssrc = rd_u32(&r)};
    s.ntp = rd_u64(&r);
    s.timestamp = rd_u32(&r);
    s.packets = rd_u32(&r);
    s.octets = rd_u32(&r);
    if (r.underrun || p->type != RTCP_SR)
        return ERR_PROTOCOL;
    *out = s;
    return 0;
}

bool rtcp_read_report(const struct rtcp_packet *p, unsigned index, struct rtcp_report *out)
{
    if (index >= p->count || (p->type != RTCP_SR && p->type != RTCP_RR))
        return false;
    struct rd r = rd_slice(p->body);
    rd_take(&r, (p->type == RTCP_SR ? SENDER_SIZE : 4) + (size_t)index * REPORT_SIZE);
    struct rtcp_report b = {.ssrc = rd_u32(&r)};
    b.fraction_lost = rd_u8(&r);
    b.lost = rd_s24(&r);
    b.highest_seq = rd_u32(&r);
    b.jitter = rd_u32(&r);
    b.lsr = rd_u32(&r);
    b.dlsr = rd_u32(&r);
    if (r.underrun)
        return false;
    *out = b;
    return true;
}

/* One chunk: its items up to and with the byte 0 and what fills the last word. */
static bool read_chunk(struct rd *r, size_t body_len, struct slice *cname)
{
    for (;;) {
        unsigned type = rd_u8(r);
        if (r->underrun)
            return false;
        if (type == 0)
            break;
        size_t n = rd_u8(r);
        struct slice text = rd_slice_of(r, n);
        if (type == SDES_CNAME)
            *cname = text;
    }
    size_t used = body_len - rd_left(r);
    rd_take(r, (4 - used % 4) % 4);
    return !r->underrun;
}

bool rtcp_read_cname(const struct rtcp_packet *p, uint32_t ssrc, struct slice *out)
{
    if (p->type != RTCP_SDES)
        return false;
    struct rd r = rd_slice(p->body);
    for (unsigned i = 0; i < p->count; i++) {
        uint32_t source = rd_u32(&r);
        struct slice cname = {0};
        if (!read_chunk(&r, p->body.len, &cname))
            return false;
        if (source == ssrc && cname.p != NULL) {
            *out = cname;
            return true;
        }
    }
    return false;
}

unsigned rtcp_read_bye(const struct rtcp_packet *p, uint32_t out[RTCP_COUNT_MAX])
{
    if (p->type != RTCP_BYE)
        return 0;
    struct rd r = rd_slice(p->body);
    unsigned n = 0;
    while (n < p->count && rd_left(&r) >= 4)
        out[n++] = rd_u32(&r);
    return n;
}

size_t rtcp_begin(struct wr *w, uint8_t type, unsigned count)
{
    must(count <= RTCP_COUNT_MAX);
    size_t at = wr_len(w);
    wr_u8(w, 0x80 | count);
    wr_u8(w, type);
    wr_u16(w, 0);
    return at;
}

void rtcp_finish(struct wr *w, size_t at)
{
    while ((wr_len(w) - at) % 4 != 0 && !w->overflow)
        wr_u8(w, 0);
    if (w->overflow)
        return;
    size_t words = (wr_len(w) - at) / 4 - 1;
    w->start[at + 2] = (uint8_t)(words >> 8);
    w->start[at + 3] = (uint8_t)words;
}

static void write_report(struct wr *w, const struct rtcp_report *b)
{
    int32_t lost = b->lost > LOST_MAX ? LOST_MAX : b->lost < LOST_MIN ? LOST_MIN : b->lost;
    wr_u32(w, b->ssrc);
    wr_u8(w, b->fraction_lost);
    wr_u24(w, (uint32_t)lost);
    wr_u32(w, b->highest_seq);
    wr_u32(w, b->jitter);
    wr_u32(w, b->lsr);
    wr_u32(w, b->dlsr);
}

void rtcp_write_sr(struct wr *w, const struct rtcp_sender *s, const struct rtcp_report *reports,
                   unsigned count)
{
    size_t at = rtcp_begin(w, RTCP_SR, count);
    wr_u32(w, s->ssrc);
    wr_u64(w, s->ntp);
    wr_u32(w, s->timestamp);
    wr_u32(w, s->packets);
    wr_u32(w, s->octets);
    for (unsigned i = 0; i < count; i++)
        write_report(w, &reports[i]);
    rtcp_finish(w, at);
}

void rtcp_write_rr(struct wr *w, uint32_t sender, const struct rtcp_report *reports, unsigned count)
{
    size_t at = rtcp_begin(w, RTCP_RR, count);
    wr_u32(w, sender);
    for (unsigned i = 0; i < count; i++)
        write_report(w, &reports[i]);
    rtcp_finish(w, at);
}

void rtcp_write_cname(struct wr *w, uint32_t ssrc, struct slice cname)
{
    must(cname.len <= RTCP_CNAME_MAX);
    size_t at = rtcp_begin(w, RTCP_SDES, 1);
    wr_u32(w, ssrc);
    wr_u8(w, SDES_CNAME);
    wr_u8(w, (unsigned)cname.len);
    wr_put(w, cname);
    wr_u8(w, 0);
    rtcp_finish(w, at);
}

void rtcp_write_bye(struct wr *w, const uint32_t *ssrcs, unsigned count)
{
    size_t at = rtcp_begin(w, RTCP_BYE, count);
    for (unsigned i = 0; i < count; i++)
        wr_u32(w, ssrcs[i]);
    rtcp_finish(w, at);
}

/* ---- extended reports ---- */

/* The contents of the first block of that type in an XR packet; after it, *ssrc is who sent it. */
static bool find_block(const struct rtcp_packet *p, unsigned type, uint32_t *ssrc,
                       struct slice *contents)
{
    struct rd r = rd_slice(p->body);
    if (p->type != RTCP_XR)
        return false;
    *ssrc = rd_u32(&r);
    while (rd_left(&r) > 0) {
        unsigned have = rd_u8(&r);
        rd_u8(&r);
        *contents = rd_slice_of(&r, 4 * (size_t)rd_u16(&r));
        if (r.underrun)
            return false;
        if (have == type)
            return true;
    }
    return false;
}

bool rtcp_read_receiver_time(const struct rtcp_packet *p, struct rtcp_receiver_time *out)
{
    struct slice contents;
    if (!find_block(p, XR_RECEIVER_TIME, &out->ssrc, &contents))
        return false;
    struct rd r = rd_slice(contents);
    out->ntp = rd_u64(&r);
    return !r.underrun;
}

bool rtcp_read_dlrr(const struct rtcp_packet *p, unsigned index, struct rtcp_dlrr *out)
{
    struct slice contents;
    uint32_t sender;
    if (!find_block(p, XR_DLRR, &sender, &contents) || index >= contents.len / DLRR_SIZE)
        return false;
    struct rd r = rd_init(contents.p + index * DLRR_SIZE, DLRR_SIZE);
    *out = (struct rtcp_dlrr){.ssrc = rd_u32(&r)};
    out->lrr = rd_u32(&r);
    out->delay = rd_u32(&r);
    return true;
}

void rtcp_write_dlrr(struct wr *w, uint32_t sender, const struct rtcp_dlrr *items, unsigned count)
{
    must(count <= RTCP_COUNT_MAX);
    size_t at = rtcp_begin(w, RTCP_XR, 0);
    wr_u32(w, sender);
    wr_u8(w, XR_DLRR);
    wr_u8(w, 0);
    wr_u16(w, 3 * count);
    for (unsigned i = 0; i < count; i++) {
        wr_u32(w, items[i].ssrc);
        wr_u32(w, items[i].lrr);
        wr_u32(w, items[i].delay);
    }
    rtcp_finish(w, at);
}
