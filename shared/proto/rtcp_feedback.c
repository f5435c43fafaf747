/* Feedback messages other than transport-wide congestion control. */
#include "base/err.h"
#include "base/must.h"
#include "proto/rtcp_internal.h"

#define NACK_SPAN          17 /* sequence numbers that one entry can name */
#define FIR_ENTRY_SIZE     8
#define REMB_MANTISSA_BITS 18
#define REMB_MANTISSA_MAX  ((1U << REMB_MANTISSA_BITS) - 1)

static const uint8_t remb_name[4] = {'R', 'E', 'M', 'B'};

int rtcp_read_feedback(const struct rtcp_packet *p, struct rtcp_feedback *out)
{
    struct rd r = rd_slice(p->body);
    struct rtcp_feedback f = {0};
    f.sender = rd_u32(&r);
    f.media = rd_u32(&r);
    if (r.underrun || (p->type != RTCP_RTPFB && p->type != RTCP_PSFB))
        return ERR_PROTOCOL;
    f.fci = rd_rest(&r);
    *out = f;
    return 0;
}

static size_t begin_feedback(struct wr *w, uint8_t type, unsigned format, uint32_t sender,
                             uint32_t media)
{
    size_t at = rtcp_begin(w, type, format);
    wr_u32(w, sender);
    wr_u32(w, media);
    return at;
}

size_t rtcp_read_nack(const struct rtcp_feedback *f, uint16_t *seqs, size_t room)
{
    struct rd r = rd_slice(f->fci);
    size_t n = 0;
    while (rd_left(&r) >= 4 && n < room) {
        uint16_t first = rd_u16(&r);
        unsigned mask = rd_u16(&r);
        seqs[n++] = first;
        for (unsigned i = 1; mask != 0 && n < room; i++, mask >>= 1)
            if (mask & 1)
                seqs[n++] = (uint16_t)(first + i);
    }
    return n;
}

void rtcp_write_nack(struct wr *w, uint32_t sender, uint32_t media, const uint16_t *seqs,
                     size_t count)
{
    size_t at = begin_feedback(w, RTCP_RTPFB, RTCP_NACK, sender, media);
    for (size_t i = 0; i < count;) {
        uint16_t first = seqs[i++];
        unsigned mask = 0;
        for (; i < count; i++) {
            unsigned ahead = (uint16_t)(seqs[i] - first);
            if (ahead == 0 || ahead >= NACK_SPAN)
                break;
            mask |= 1U << (ahead - 1);
        }
        wr_u16(w, first);
        wr_u16(w, mask);
    }
    rtcp_finish(w, at);
}

void rtcp_write_pli(struct wr *w, uint32_t sender, uint32_t media)
{
    rtcp_finish(w, begin_feedback(w, RTCP_PSFB, RTCP_PLI, sender, media));
}

bool rtcp_read_fir(const struct rtcp_feedback *f, uint32_t ssrc, uint8_t *seq)
{
    struct rd r = rd_slice(f->fci);
    while (rd_left(&r) >= FIR_ENTRY_SIZE) {
        uint32_t source = rd_u32(&r);
        *seq = rd_u8(&r);
        rd_u24(&r);
        if (source == ssrc)
            return true;
    }
    return false;
}

void rtcp_write_fir(struct wr *w, uint32_t sender, uint32_t media, uint8_t seq)
{
    size_t at = begin_feedback(w, RTCP_PSFB, RTCP_FIR, sender, 0); /* RFC 5104, 4.3.1.2 */
    wr_u32(w, media);
    wr_u8(w, seq);
    wr_u24(w, 0);
    rtcp_finish(w, at);
}

bool rtcp_read_remb(const struct rtcp_feedback *f, uint64_t *bitrate_bps)
{
    struct rd r = rd_slice(f->fci);
    struct slice name = rd_slice_of(&r, sizeof remb_name);
    rd_u8(&r);
    uint32_t v = rd_u24(&r);
    if (r.underrun || !slice_eq(name, slice_of(remb_name, sizeof remb_name)))
        return false;
    unsigned exponent = v >> REMB_MANTISSA_BITS;
    uint64_t mantissa = v & REMB_MANTISSA_MAX;
    if (mantissa != 0 && exponent > 64 - REMB_MANTISSA_BITS)
        *bitrate_bps = UINT64_MAX; /* more than can be said is no limit */
    else
        *bitrate_bps = mantissa << (exponent & 63);
    return true;
}

void rtcp_write_remb(struct wr *w, uint32_t sender, uint64_t bitrate_bps, const uint32_t *ssrcs,
                     unsigned count)
{
    must(count <= RTCP_REMB_SSRCS_MAX);
    unsigned exponent = 0;
    while (bitrate_bps >> exponent > REMB_MANTISSA_MAX)
        exponent++;
    size_t at = begin_feedback(w, RTCP_PSFB, RTCP_AFB, sender, 0);
    wr_bytes(w, remb_name, sizeof remb_name);
    wr_u8(w, count);
    wr_u24(w, exponent << REMB_MANTISSA_BITS | (uint32_t)(bitrate_bps >> exponent));
    for (unsigned i = 0; i < count; i++)
        wr_u32(w, ssrcs[i]);
    rtcp_finish(w, at);
}
