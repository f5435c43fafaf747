/* AEAD_AES_128_GCM (RFC 7714): one packet with its index. */
#include "base/err.h"
#include "rtc/srtp_internal.h"

#include <openssl/core_names.h>

#define TAG_SIZE 16
#define IV_SIZE  12

static bool init(struct srtp_flow *f, const struct rtc_srtp *lib, const uint8_t *key,
                 const uint8_t *auth, bool sealing)
{
    (void)auth;
    f->cipher = EVP_CIPHER_CTX_new();
    return f->cipher != NULL &&
           EVP_CipherInit_ex2(f->cipher, lib->gcm, key, NULL, sealing, NULL) == 1;
}

/* 16 zeros, SSRC and 48 bits of index, XOR salt (8.1; 9.1 with an index of 31 bits). */
static bool set_iv(struct srtp_flow *f, uint32_t ssrc, uint64_t index)
{
    uint8_t iv[IV_SIZE];
    put_u32(iv + 2, ssrc);
    put_u32(iv + 6, (uint32_t)(index >> 16));
    iv[0] = iv[1] = 0;
    iv[10] = (uint8_t)(index >> 8);
    iv[11] = (uint8_t)index;
    for (unsigned i = 0; i < IV_SIZE; i++)
        iv[i] ^= f->salt[i];
    return EVP_CipherInit_ex2(f->cipher, NULL, NULL, iv, -1, NULL) == 1;
}

static bool add_clear(struct srtp_flow *f, const uint8_t *p, size_t len)
{
    int n;
    return EVP_CipherUpdate(f->cipher, NULL, &n, p, (int)len) == 1;
}

static bool crypt(struct srtp_flow *f, const uint8_t *src, size_t len, uint8_t *dst)
{
    int n;
    return len == 0 || EVP_CipherUpdate(f->cipher, dst, &n, src, (int)len) == 1;
}

static bool write_tag(struct srtp_flow *f, uint8_t *dst)
{
    int n;
    OSSL_PARAM tag[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, dst, TAG_SIZE),
        OSSL_PARAM_construct_end(),
    };
    return EVP_EncryptFinal_ex(f->cipher, dst, &n) == 1 &&
           EVP_CIPHER_CTX_get_params(f->cipher, tag) == 1;
}

static bool tag_is_right(struct srtp_flow *f, uint8_t *tag)
{
    int n;
    uint8_t none[TAG_SIZE];
    return EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
           EVP_DecryptFinal_ex(f->cipher, none, &n) == 1;
}

static ssize_t seal_rtp(struct srtp_flow *f, uint32_t ssrc, uint64_t index, struct slice header,
                        const struct slice *pieces, size_t piece_count, uint8_t *dst)
{
    uint8_t *payload = dst + header.len, *end = payload;
    memcpy(dst, header.p, header.len);
    /* A call of the library costs more than the copy. */
    for (size_t i = 0; i < piece_count; end += pieces[i].len, i++)
        memcpy(end, pieces[i].p, pieces[i].len);
    if (!set_iv(f, ssrc, index) || !add_clear(f, dst, header.len) ||
        !crypt(f, payload, (size_t)(end - payload), payload) || !write_tag(f, end))
        return ERR_NOMEM;
    return end + TAG_SIZE - dst;
}

static ssize_t open_rtp(struct srtp_flow *f, uint32_t ssrc, uint64_t index, uint8_t *packet,
                        size_t header_len, size_t len)
{
    size_t sealed = len - header_len - TAG_SIZE;
    uint8_t *p = packet + header_len;
    if (!set_iv(f, ssrc, index) || !add_clear(f, packet, header_len) || !crypt(f, p, sealed, p))
        return ERR_AUTH;
    return tag_is_right(f, p + sealed) ? (ssize_t)(len - TAG_SIZE) : ERR_AUTH;
}

static ssize_t seal_rtcp(struct srtp_flow *f, uint32_t ssrc, uint32_t index, struct slice compound,
                         uint8_t *dst)
{
    uint8_t word[SRTP_INDEX_SIZE];
    size_t sealed = compound.len - SRTP_RTCP_HEADER;
    uint8_t *p = dst + SRTP_RTCP_HEADER;
    put_u32(word, SRTP_RTCP_E | index);
    memcpy(dst, compound.p, SRTP_RTCP_HEADER);
    if (!set_iv(f, ssrc, index) || !add_clear(f, compound.p, SRTP_RTCP_HEADER) ||
        !add_clear(f, word, sizeof word) || !crypt(f, compound.p + SRTP_RTCP_HEADER, sealed, p) ||
        !write_tag(f, p + sealed))
        return ERR_NOMEM;
    memcpy(p + sealed + TAG_SIZE, word, sizeof word);
    return (ssize_t)(compound.len + TAG_SIZE + sizeof word);
}

static ssize_t open_rtcp(struct srtp_flow *f, uint32_t ssrc, uint32_t index, uint8_t *packet,
                         size_t len)
{
    size_t sealed = len - SRTP_RTCP_HEADER - TAG_SIZE - SRTP_INDEX_SIZE;
    uint8_t *p = packet + SRTP_RTCP_HEADER;
    if (!set_iv(f, ssrc, index) || !add_clear(f, packet, SRTP_RTCP_HEADER) ||
        !add_clear(f, packet + len - SRTP_INDEX_SIZE, SRTP_INDEX_SIZE) || !crypt(f, p, sealed, p))
        return ERR_AUTH;
    return tag_is_right(f, p + sealed) ? (ssize_t)(SRTP_RTCP_HEADER + sealed) : ERR_AUTH;
}

const struct srtp_suite srtp_suite_gcm = {
    .tag_size = TAG_SIZE,
    .init = init,
    .seal_rtp = seal_rtp,
    .open_rtp = open_rtp,
    .seal_rtcp = seal_rtcp,
    .open_rtcp = open_rtcp,
    .index_at_end = SRTP_INDEX_SIZE,
};
