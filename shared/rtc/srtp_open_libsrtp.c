/* Opening packets by libsrtp2, which counts indexes and judges replays. */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "rtc/srtp_internal.h"

#include <openssl/crypto.h>
#include <srtp2/srtp.h>

struct libsrtp_opener {
    struct rtc_opener face;
    srtp_t session;
    /* Sources that sent authentic packets: libsrtp2 would keep any number of them. */
    uint32_t ssrcs[RTC_SRTP_SSRCS_MAX];
    size_t ssrc_count;
};

static struct libsrtp_opener *of(struct rtc_opener *o)
{
    return container_of(o, struct libsrtp_opener, face);
}

static void set_policy(srtp_policy_t *policy, enum srtp_profile profile)
{
    switch (profile) {
    case SRTP_AEAD_AES_128_GCM:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtcp);
        break;
    case SRTP_AES128_CM_HMAC_SHA1_80:
        srtp_crypto_policy_set_rtp_default(&policy->rtp);
        srtp_crypto_policy_set_rtcp_default(&policy->rtcp);
        break;
    }
}

static bool libsrtp_init(struct rtc_opener *face, const struct rtc_srtp *lib,
                         const struct srtp_keys *keys)
{
    struct libsrtp_opener *o = of(face);
    uint8_t master[SRTP_KEY_LEN + SRTP_SALT_MAX];
    memcpy(master, keys->remote.key, SRTP_KEY_LEN);
    memcpy(master + SRTP_KEY_LEN, keys->remote.salt, SRTP_SALT_MAX);
    srtp_policy_t policy = {
        .ssrc = {.type = ssrc_any_inbound},
        .key = master,
        .window_size = RTC_SRTP_WINDOW,
    };
    (void)lib;
    set_policy(&policy, keys->profile);
    bool ok = srtp_create(&o->session, &policy) == srtp_err_status_ok;
    OPENSSL_cleanse(master, sizeof master);
    return ok;
}

static void libsrtp_fini(struct rtc_opener *face)
{
    struct libsrtp_opener *o = of(face);
    if (o->session != NULL)
        srtp_dealloc(o->session);
}

static bool is_known(const struct libsrtp_opener *o, uint32_t ssrc)
{
    for (size_t i = 0; i < o->ssrc_count; i++)
        if (o->ssrcs[i] == ssrc)
            return true;
    return false;
}

static ssize_t open_with(struct libsrtp_opener *o,
                         srtp_err_status_t (*unprotect)(srtp_t, void *, int *), uint32_t ssrc,
                         uint8_t *packet, size_t len)
{
    bool known = is_known(o, ssrc);
    if (!known && o->ssrc_count == RTC_SRTP_SSRCS_MAX)
        return ERR_TOO_MANY;
    int n = (int)len;
    srtp_err_status_t status = unprotect(o->session, packet, &n);
    if (status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old ||
        status == srtp_err_status_pkt_idx_old)
        return ERR_EXISTS;
    if (status != srtp_err_status_ok)
        return ERR_AUTH;
    if (!known)
        o->ssrcs[o->ssrc_count++] = ssrc;
    return n;
}

static ssize_t libsrtp_rtp(struct rtc_opener *o, const struct rtp_packet *p, uint8_t *packet,
                           size_t len)
{
    return open_with(of(o), srtp_unprotect, p->h.ssrc, packet, len);
}

static ssize_t libsrtp_rtcp(struct rtc_opener *o, uint32_t ssrc, uint32_t index, uint8_t *packet,
                            size_t len)
{
    (void)index; /* it reads and judges the index itself */
    return open_with(of(o), srtp_unprotect_rtcp, ssrc, packet, len);
}

const struct srtp_opener_ops srtp_opener_libsrtp = {
    .init = libsrtp_init,
    .fini = libsrtp_fini,
    .rtp = libsrtp_rtp,
    .rtcp = libsrtp_rtcp,
    .size = sizeof(struct libsrtp_opener),
};
