/* Opening packets by OpenSSL's EVP: sources, indexes and replay, the rest is the suite's. */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "rtc/srtp_internal.h"

struct sources {
    struct srtp_source *list[RTC_SRTP_SSRCS_MAX]; /* made by the first authentic packet */
    size_t count;
};

struct evp_opener {
    struct rtc_opener face;
    struct srtp_flow rtp, rtcp;
    struct sources rtp_sources, rtcp_sources;
};

static struct evp_opener *of(struct rtc_opener *o)
{
    return container_of(o, struct evp_opener, face);
}

static bool evp_init(struct rtc_opener *face, const struct rtc_srtp *lib,
                     const struct srtp_keys *keys)
{
    struct evp_opener *o = of(face);
    return srtp_flow_init(&o->rtp, lib, keys->profile, &keys->remote, SRTP_LABEL_RTP, false) &&
           srtp_flow_init(&o->rtcp, lib, keys->profile, &keys->remote, SRTP_LABEL_RTCP, false);
}

static void sources_fini(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->list[i]);
}

static void evp_fini(struct rtc_opener *face)
{
    struct evp_opener *o = of(face);
    srtp_flow_fini(&o->rtp);
    srtp_flow_fini(&o->rtcp);
    sources_fini(&o->rtp_sources);
    sources_fini(&o->rtcp_sources);
}

/* The source, or *fresh for one that has sent nothing yet; NULL when there is no place for it. */
static struct srtp_source *find(const struct sources *s, uint32_t ssrc, struct srtp_source *fresh)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->list[i]->ssrc == ssrc)
            return s->list[i];
    *fresh = (struct srtp_source){.ssrc = ssrc, .newest = -1};
    return s->count < RTC_SRTP_SSRCS_MAX ? fresh : NULL;
}

/* An authentic packet came with this index. */
static void note(struct sources *s, struct srtp_source *source, const struct srtp_source *fresh,
                 int64_t index)
{
    if (source == fresh) {
        source = xmalloc(sizeof *source);
        *source = *fresh;
        s->list[s->count++] = source;
    }
    srtp_source_note(source, index);
}

static ssize_t evp_rtp(struct rtc_opener *face, const struct rtp_packet *p, uint8_t *packet,
                       size_t len)
{
    struct evp_opener *o = of(face);
    struct srtp_source fresh, *source = find(&o->rtp_sources, p->h.ssrc, &fresh);
    if (source == NULL)
        return ERR_TOO_MANY;
    int64_t index = source->newest < 0 ? p->h.seq : rtp_unwrap16(source->newest, p->h.seq);
    int err = srtp_source_judge(source, index);
    if (err != 0)
        return err;
    ssize_t n =
        face->suite->open_rtp(&o->rtp, p->h.ssrc, (uint64_t)index, packet, p->header_len, len);
    if (n > 0)
        note(&o->rtp_sources, source, &fresh, index);
    return n;
}

static ssize_t evp_rtcp(struct rtc_opener *face, uint32_t ssrc, uint32_t index, uint8_t *packet,
                        size_t len)
{
    struct evp_opener *o = of(face);
    struct srtp_source fresh, *source = find(&o->rtcp_sources, ssrc, &fresh);
    if (source == NULL)
        return ERR_TOO_MANY;
    int err = srtp_source_judge(source, index);
    if (err != 0)
        return err;
    ssize_t n = face->suite->open_rtcp(&o->rtcp, ssrc, index, packet, len);
    if (n > 0)
        note(&o->rtcp_sources, source, &fresh, index);
    return n;
}

const struct srtp_opener_ops srtp_opener_evp = {
    .init = evp_init,
    .fini = evp_fini,
    .rtp = evp_rtp,
    .rtcp = evp_rtcp,
    .size = sizeof(struct evp_opener),
};
