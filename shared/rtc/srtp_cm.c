/* AES_CM_128_HMAC_SHA1_80 (RFC 3711, 4.1 and 4.2): one packet with its index. */
#include "base/err.h"
#include "rtc/srtp_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

#define TAG_SIZE  10
#define AUTH_SIZE 20
#define MAC_SIZE  20 /* bytes of SHA-1, of which the tag is the first half */
#define IV_SIZE   16

static bool init(struct srtp_flow *f, const struct rtc_srtp *lib, const uint8_t *key,
                 const uint8_t *auth, bool sealing)
{
    char digest[] = "SHA1";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    (void)sealing; /* the key stream is the same both ways */
    f->cipher = EVP_CIPHER_CTX_new();
    f->mac = EVP_MAC_CTX_new(lib->hmac);
    return f->cipher != NULL && f->mac != NULL &&
           EVP_EncryptInit_ex2(f->cipher, lib->ctr, key, NULL, NULL) == 1 &&
           EVP_MAC_init(f->mac, auth, AUTH_SIZE, params) == 1;
}

/* (salt << 16) XOR (SSRC << 64) XOR (index << 16) (4.1.1). */
static bool set_iv(struct srtp_flow *f, uint32_t ssrc, uint64_t index)
{
    uint8_t iv[IV_SIZE] = {0}, mix[IV_SIZE] = {0};
    memcpy(iv, f->salt, sizeof f->salt);
    put_u32(mix + 4, ssrc);
    put_u32(mix + 8, (uint32_t)(index >> 16));
    mix[12] = (uint8_t)(index >> 8);
    mix[13] = (uint8_t)index;
    for (unsigned i = 0; i < IV_SIZE; i++)
        iv[i] ^= mix[i];
    return EVP_EncryptInit_ex2(f->cipher, NULL, NULL, iv, NULL) == 1;
}

static bool crypt(struct srtp_flow *f, const uint8_t *src, size_t len, uint8_t *dst)
{
    int n;
    return len == 0 || EVP_EncryptUpdate(f->cipher, dst, &n, src, (int)len) == 1;
}

/* The MAC of bytes, and of the rollover counter that RTP packets do not carry (4.2). */
static bool make_mac(struct srtp_flow *f, const uint8_t *p, size_t len, const uint8_t *roc,
                     size_t roc_len, uint8_t mac[MAC_SIZE])
{
    size_t n;
    return EVP_MAC_init(f->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(f->mac, p, len) == 1 &&
           (roc_len == 0 || EVP_MAC_update(f->mac, roc, roc_len) == 1) &&
           EVP_MAC_final(f->mac, mac, &n, MAC_SIZE) == 1;
}

static bool rtp_mac(struct srtp_flow *f, const uint8_t *packet, size_t len, uint64_t index,
                    uint8_t mac[MAC_SIZE])
{
    uint8_t roc[4];
    put_u32(roc, (uint32_t)(index >> 16));
    return make_mac(f, packet, len, roc, sizeof roc, mac);
}

static ssize_t seal_rtp(struct srtp_flow *f, uint32_t ssrc, uint64_t index, struct slice header,
                        const struct slice *pieces, size_t piece_count, uint8_t *dst)
{
    uint8_t *p = dst + header.len, mac[MAC_SIZE];
    memcpy(dst, header.p, header.len);
    if (!set_iv(f, ssrc, index))
        return ERR_NOMEM;
    for (size_t i = 0; i < piece_count; p += pieces[i].len, i++)
        if (!crypt(f, pieces[i].p, pieces[i].len, p))
            return ERR_NOMEM;
    if (!rtp_mac(f, dst, (size_t)(p - dst), index, mac))
        return ERR_NOMEM;
    memcpy(p, mac, TAG_SIZE);
    return p + TAG_SIZE - dst;
}

static ssize_t open_rtp(struct srtp_flow *f, uint32_t ssrc, uint64_t index, uint8_t *packet,
                        size_t header_len, size_t len)
{
    uint8_t mac[MAC_SIZE];
    size_t end = len - TAG_SIZE;
    if (!rtp_mac(f, packet, end, index, mac) || CRYPTO_memcmp(mac, packet + end, TAG_SIZE) != 0)
        return ERR_AUTH;
    uint8_t *p = packet + header_len;
    return set_iv(f, ssrc, index) && crypt(f, p, end - header_len, p) ? (ssize_t)end : ERR_AUTH;
}

static ssize_t seal_rtcp(struct srtp_flow *f, uint32_t ssrc, uint32_t index, struct slice compound,
                         uint8_t *dst)
{
    uint8_t mac[MAC_SIZE];
    size_t end = compound.len + SRTP_INDEX_SIZE;
    memcpy(dst, compound.p, SRTP_RTCP_HEADER);
    if (!set_iv(f, ssrc, index) || !crypt(f, compound.p + SRTP_RTCP_HEADER,
                                          compound.len - SRTP_RTCP_HEADER, dst + SRTP_RTCP_HEADER))
        return ERR_NOMEM;
    put_u32(dst + compound.len, SRTP_RTCP_E | index);
    if (!make_mac(f, dst, end, NULL, 0, mac))
        return ERR_NOMEM;
    memcpy(dst + end, mac, TAG_SIZE);
    return (ssize_t)(end + TAG_SIZE);
}

static ssize_t open_rtcp(struct srtp_flow *f, uint32_t ssrc, uint32_t index, uint8_t *packet,
                         size_t len)
{
    uint8_t mac[MAC_SIZE], *p = packet + SRTP_RTCP_HEADER;
    size_t tag = len - TAG_SIZE, end = tag - SRTP_INDEX_SIZE;
    if (!make_mac(f, packet, tag, NULL, 0, mac) || CRYPTO_memcmp(mac, packet + tag, TAG_SIZE) != 0)
        return ERR_AUTH;
    return set_iv(f, ssrc, index) && crypt(f, p, end - SRTP_RTCP_HEADER, p) ? (ssize_t)end
                                                                            : ERR_AUTH;
}

const struct srtp_suite srtp_suite_cm = {
    .tag_size = TAG_SIZE,
    .auth_size = AUTH_SIZE,
    .init = init,
    .seal_rtp = seal_rtp,
    .open_rtp = open_rtp,
    .seal_rtcp = seal_rtcp,
    .open_rtcp = open_rtcp,
    .index_at_end = SRTP_INDEX_SIZE + TAG_SIZE,
};
