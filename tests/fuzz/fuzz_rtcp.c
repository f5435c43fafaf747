#include "base/must.h"
#include "proto/rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was written of the times that were read is read as the same. */
static void check_twcc(const struct rtcp_feedback *f)
{
    static struct rtcp_twcc t, again;
    uint8_t bytes[4096];
    struct rtcp_packet p;
    struct rtcp_feedback g;
    if (rtcp_read_twcc(f, &t) != 0)
        return;
    struct wr w = wr_init(bytes, sizeof bytes);
    unsigned n = rtcp_write_twcc(&w, 1, 2, &t);
    if (n == 0)
        return;
    struct rd r = rd_slice(wr_slice(&w));
    must(!w.overflow && rtcp_next(&r, &p) == 1 && rtcp_read_feedback(&p, &g) == 0);
    must(rtcp_read_twcc(&g, &again) == 0 && again.count == n);
    /* Its reference has 24 bits: sums beyond them come back modulo that. */
    for (unsigned i = 0; i < n; i++)
        must((again.arrival_us[i] == RTCP_TWCC_LOST) == (t.arrival_us[i] == RTCP_TWCC_LOST));
}

static void check_feedback(const struct rtcp_packet *p)
{
    struct rtcp_feedback f;
    uint16_t seqs[64];
    uint8_t seq;
    uint64_t bps;
    if (rtcp_read_feedback(p, &f) != 0)
        return;
    must(rtcp_read_nack(&f, seqs, 64) <= 64);
    rtcp_read_fir(&f, f.media, &seq);
    rtcp_read_remb(&f, &bps);
    check_twcc(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_init(data, size);
    struct rtcp_packet p;
    while (rtcp_next(&r, &p) > 0) {
        struct rtcp_sender s;
        struct rtcp_report b;
        struct rtcp_receiver_time t;
        struct rtcp_dlrr d;
        struct slice cname;
        uint32_t ssrcs[RTCP_COUNT_MAX];
        rtcp_read_sr(&p, &s);
        for (unsigned i = 0; rtcp_read_report(&p, i, &b); i++)
            must(i < RTCP_COUNT_MAX);
        if (rtcp_read_cname(&p, 1, &cname))
            must(cname.len <= RTCP_CNAME_MAX);
        must(rtcp_read_bye(&p, ssrcs) <= RTCP_COUNT_MAX);
        rtcp_read_receiver_time(&p, &t);
        for (unsigned i = 0; rtcp_read_dlrr(&p, i, &d); i++)
            must(12 * (i + 1) <= p.body.len);
        check_feedback(&p);
    }
    return 0;
}
