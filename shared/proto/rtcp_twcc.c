/* Feedback for transport-wide congestion control: arrival times of packets, as one status symbol
 * and one delta each. */
#include "base/err.h"
#include "base/must.h"
#include "proto/rtcp_internal.h"

#define REFERENCE_US    64000 /* unit of the reference time */
#define REFERENCE_TICKS (REFERENCE_US / RTCP_TWCC_TICK_US)
#define HEADER_SIZE     20     /* bytes from the packet's start to its chunks */
#define RUN_MAX         0x1fff /* packets of a run length chunk */
#define ONE_BIT_SLOTS   14     /* packets of a status vector chunk */
#define TWO_BIT_SLOTS   7

enum symbol { NOT_RECEIVED, SMALL_DELTA, LARGE_DELTA, RESERVED };

struct statuses {
    uint8_t symbols[RTCP_TWCC_PACKETS_MAX]; /* enum symbol */
    unsigned count, wanted;
};

static void add_status(struct statuses *s, unsigned symbol, unsigned times)
{
    /* The last chunk may name more packets than there are. */
    for (; times > 0 && s->count < s->wanted; times--)
        s->symbols[s->count++] = (uint8_t)symbol;
}

static void read_chunk(struct statuses *s, unsigned chunk)
{
    if ((chunk & 0x8000) == 0)
        add_status(s, chunk >> 13 & 3, chunk & RUN_MAX);
    else if ((chunk & 0x4000) == 0)
        for (int bit = ONE_BIT_SLOTS - 1; bit >= 0; bit--)
            add_status(s, chunk >> bit & 1, 1);
    else
        for (int slot = TWO_BIT_SLOTS - 1; slot >= 0; slot--)
            add_status(s, chunk >> (2 * slot) & 3, 1);
}

static int read_deltas(struct rd *r, const struct statuses *s, int32_t reference,
                       struct rtcp_twcc *out)
{
    int64_t ticks = (int64_t)reference * REFERENCE_TICKS;
    for (unsigned i = 0; i < s->count; i++) {
        out->arrival_us[i] = RTCP_TWCC_LOST;
        if (s->symbols[i] == NOT_RECEIVED)
            continue;
        if (s->symbols[i] == RESERVED)
            return ERR_PROTOCOL;
        ticks += s->symbols[i] == SMALL_DELTA ? rd_u8(r) : (int16_t)rd_u16(r);
        out->arrival_us[i] = ticks * RTCP_TWCC_TICK_US;
    }
    return r->underrun ? ERR_PROTOCOL : 0;
}

int rtcp_read_twcc(const struct rtcp_feedback *f, struct rtcp_twcc *out)
{
    struct rd r = rd_slice(f->fci);
    out->base_seq = rd_u16(&r);
    out->count = rd_u16(&r);
    int32_t reference = rd_s24(&r);
    out->number = rd_u8(&r);
    if (out->count > RTCP_TWCC_PACKETS_MAX)
        return ERR_TOO_MANY;
    struct statuses s = {.wanted = out->count};
    while (s.count < s.wanted && !r.underrun)
        read_chunk(&s, rd_u16(&r)); /* of an empty run nothing comes, but two bytes went */
    return r.underrun ? ERR_PROTOCOL : read_deltas(&r, &s, reference, out);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/* Bytes of a message with that many packets and bytes of deltas, at most. */
static size_t size_max(unsigned count, size_t deltas)
{
    return HEADER_SIZE + 2 * (size_t)(count / TWO_BIT_SLOTS + 1) + deltas + 3;
}

struct plan {
    struct statuses statuses;
    int16_t deltas[RTCP_TWCC_PACKETS_MAX]; /* ticks; of those that came */
    int64_t reference;                     /* units of REFERENCE_US */
    bool any;                              /* a packet came */
};

/* Symbols and deltas of as many packets as one message can hold. */
static void plan_message(struct plan *p, const struct rtcp_twcc *t, size_t room)
{
    int64_t at = 0; /* ticks */
    size_t bytes = 0;
    for (unsigned i = 0; i < t->count; i++) {
        unsigned symbol = NOT_RECEIVED;
        if (t->arrival_us[i] != RTCP_TWCC_LOST) {
            if (!p->any) /* floored, so that the first delta is not negative */
                p->reference = floor_div(t->arrival_us[i], REFERENCE_US);
            int64_t ticks = floor_div(t->arrival_us[i], RTCP_TWCC_TICK_US);
            int64_t delta = ticks - (p->any ? at : p->reference * REFERENCE_TICKS);
            if (delta < INT16_MIN || delta > INT16_MAX)
                return;
            symbol = delta >= 0 && delta <= UINT8_MAX ? SMALL_DELTA : LARGE_DELTA;
            p->deltas[i] = (int16_t)delta;
            at = ticks;
            p->any = true;
        }
        bytes += symbol; /* a delta has as many bytes as its symbol's number says */
        if (size_max(i + 1, bytes) > room)
            return;
        p->statuses.symbols[p->statuses.count++] = (uint8_t)symbol;
    }
}

static unsigned run_length(const struct statuses *s, unsigned from)
{
    unsigned n = 1;
    while (from + n < s->count && s->symbols[from + n] == s->symbols[from])
        n++;
    return n;
}

static bool has_large(const struct statuses *s, unsigned from, unsigned slots)
{
    for (unsigned i = from; i < from + slots && i < s->count; i++)
        if (s->symbols[i] == LARGE_DELTA)
            return true;
    return false;
}

/* One chunk for the packets from `from` on: how many of them it names. */
static unsigned write_chunk(struct wr *w, const struct statuses *s, unsigned from)
{
    unsigned run = run_length(s, from);
    bool two_bits = has_large(s, from, ONE_BIT_SLOTS);
    unsigned slots = two_bits ? TWO_BIT_SLOTS : ONE_BIT_SLOTS, bits = two_bits ? 2 : 1;
    if (run >= slots || from + run == s->count) {
        wr_u16(w, (unsigned)s->symbols[from] << 13 | run);
        return run;
    }
    unsigned chunk = two_bits ? 0xc000 : 0x8000;
    for (unsigned i = 0; i < slots && from + i < s->count; i++)
        chunk |= (unsigned)s->symbols[from + i] << ((slots - 1 - i) * bits);
    wr_u16(w, chunk);
    return slots;
}

unsigned rtcp_write_twcc(struct wr *w, uint32_t sender, uint32_t media, const struct rtcp_twcc *t)
{
    must(t->count <= RTCP_TWCC_PACKETS_MAX);
    struct plan p;
    p.statuses.count = 0;
    p.reference = 0;
    p.any = false;
    plan_message(&p, t, w->overflow ? 0 : (size_t)(w->end - w->p));
    if (!p.any || p.statuses.count == 0)
        return 0;
    size_t at = rtcp_begin(w, RTCP_RTPFB, RTCP_TWCC);
    wr_u32(w, sender);
    wr_u32(w, media);
    wr_u16(w, t->base_seq);
    wr_u16(w, p.statuses.count);
    wr_u24(w, (uint32_t)p.reference);
    wr_u8(w, t->number);
    for (unsigned i = 0; i < p.statuses.count;)
        i += write_chunk(w, &p.statuses, i);
    for (unsigned i = 0; i < p.statuses.count; i++)
        if (p.statuses.symbols[i] == SMALL_DELTA)
            wr_u8(w, (unsigned)p.deltas[i]);
        else if (p.statuses.symbols[i] == LARGE_DELTA)
            wr_u16(w, (uint16_t)p.deltas[i]);
    rtcp_finish(w, at);
    return p.statuses.count;
}
