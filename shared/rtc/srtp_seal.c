/* Sealing what we send: the index of each packet, the rest is the suite's. */
#include "base/err.h"
#include "base/mem.h"
#include "rtc/srtp_internal.h"

struct sent { /* of one source */
    uint32_t ssrc;
    int64_t newest; /* index */
};

struct rtc_sealer {
    const struct srtp_suite *suite;
    struct srtp_flow rtp, rtcp;
    uint32_t rtcp_index; /* of the next compound, of whatever source */
    size_t sent_count;
    struct sent sent[RTC_SRTP_SSRCS_MAX];
};

struct rtc_sealer *rtc_sealer_new(const struct rtc_srtp *lib, const struct srtp_keys *keys)
{
    struct rtc_sealer *s = xcalloc(1, sizeof *s);
    s->suite = srtp_suite_of(keys->profile);
    if (!srtp_flow_init(&s->rtp, lib, keys->profile, &keys->local, SRTP_LABEL_RTP, true) ||
        !srtp_flow_init(&s->rtcp, lib, keys->profile, &keys->local, SRTP_LABEL_RTCP, true))
        rtc_sealer_free(&s);
    return s;
}

void rtc_sealer_free(struct rtc_sealer **sp)
{
    struct rtc_sealer *s = *sp;
    *sp = NULL;
    if (s == NULL)
        return;
    srtp_flow_fini(&s->rtp);
    srtp_flow_fini(&s->rtcp);
    free(s);
}

/* NULL when there is no place for another source. */
static struct sent *sent_of(struct rtc_sealer *s, uint32_t ssrc)
{
    for (size_t i = 0; i < s->sent_count; i++)
        if (s->sent[i].ssrc == ssrc)
            return &s->sent[i];
    if (s->sent_count == RTC_SRTP_SSRCS_MAX)
        return NULL;
    struct sent *new = &s->sent[s->sent_count++];
    *new = (struct sent){ssrc, -1};
    return new;
}

static size_t sum(const struct slice *pieces, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += pieces[i].len;
    return n;
}

ssize_t rtc_sealer_rtp(struct rtc_sealer *s, struct slice header, const struct slice *pieces,
                       size_t piece_count, uint8_t *dst, size_t room)
{
    if (header.len < RTP_HEADER_SIZE ||
        header.len + sum(pieces, piece_count) + s->suite->tag_size > room)
        return ERR_RANGE;
    struct rd r = rd_slice(header);
    rd_u16(&r);
    uint16_t seq = rd_u16(&r);
    rd_u32(&r);
    uint32_t ssrc = rd_u32(&r);
    struct sent *sent = sent_of(s, ssrc);
    if (sent == NULL)
        return ERR_TOO_MANY;
    int64_t index = sent->newest < 0 ? seq : rtp_unwrap16(sent->newest, seq);
    if (index < 0)
        return ERR_RANGE;
    if (index > sent->newest)
        sent->newest = index;
    return s->suite->seal_rtp(&s->rtp, ssrc, (uint64_t)index, header, pieces, piece_count, dst);
}

ssize_t rtc_sealer_rtcp(struct rtc_sealer *s, struct slice compound, uint8_t *dst, size_t room)
{
    if (compound.len < SRTP_RTCP_HEADER || s->rtcp_index > SRTP_RTCP_INDEX_MAX ||
        compound.len + SRTP_INDEX_SIZE + s->suite->tag_size > room)
        return ERR_RANGE;
    struct rd r = rd_slice(compound);
    rd_u32(&r);
    uint32_t ssrc = rd_u32(&r);
    return s->suite->seal_rtcp(&s->rtcp, ssrc, s->rtcp_index++, compound, dst);
}
