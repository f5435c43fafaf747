/* One face for both backends that open packets. */
#include "base/err.h"
#include "base/mem.h"
#include "rtc/srtp_internal.h"

#include <limits.h>

struct rtc_opener *rtc_opener_new(const struct rtc_srtp *lib, const struct srtp_keys *keys,
                                  enum rtc_srtp_backend backend)
{
    static const struct srtp_opener_ops *const backends[] = {
        [RTC_SRTP_EVP] = &srtp_opener_evp,
        [RTC_SRTP_LIBSRTP] = &srtp_opener_libsrtp,
    };
    const struct srtp_opener_ops *ops = backends[backend];
    struct rtc_opener *o = xcalloc(1, ops->size);
    o->ops = ops;
    o->suite = srtp_suite_of(keys->profile);
    if (!ops->init(o, lib, keys))
        rtc_opener_free(&o);
    return o;
}

void rtc_opener_free(struct rtc_opener **op)
{
    struct rtc_opener *o = *op;
    *op = NULL;
    if (o == NULL)
        return;
    o->ops->fini(o);
    free(o);
}

ssize_t rtc_opener_rtp(struct rtc_opener *o, uint8_t *packet, size_t len)
{
    struct rtp_packet p;
    if (len > INT_MAX || rtp_read_header(packet, len, &p) != 0 ||
        p.payload.len < o->suite->tag_size)
        return ERR_PROTOCOL;
    return o->ops->rtp(o, &p, packet, len);
}

ssize_t rtc_opener_rtcp(struct rtc_opener *o, uint8_t *packet, size_t len)
{
    if (len > INT_MAX || len < SRTP_RTCP_HEADER + SRTP_INDEX_SIZE + o->suite->tag_size ||
        packet[0] >> 6 != 2)
        return ERR_PROTOCOL;
    struct rd head = rd_init(packet + 4, 4);
    struct rd tail = rd_init(packet + len - o->suite->index_at_end, SRTP_INDEX_SIZE);
    uint32_t word = rd_u32(&tail);
    if ((word & SRTP_RTCP_E) == 0)
        return ERR_PROTOCOL;
    return o->ops->rtcp(o, rd_u32(&head), word & SRTP_RTCP_INDEX_MAX, packet, len);
}
