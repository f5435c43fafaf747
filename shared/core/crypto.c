#include "core/crypto.h"

#include "base/must.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

/* OpenSSL takes a NULL key for "the key of before", and reads nothing of length 0. */
static const unsigned char *bytes_of(struct slice s)
{
    return s.p != NULL ? s.p : (const unsigned char *)"";
}

void crypto_hmac_sha256(struct slice key, const struct slice *parts, size_t count,
                        uint8_t out[SHA256_SIZE])
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(mac != NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    must(ctx != NULL && EVP_MAC_init(ctx, bytes_of(key), key.len, params) == 1);
    for (size_t i = 0; i < count; i++)
        must(EVP_MAC_update(ctx, bytes_of(parts[i]), parts[i].len) == 1);
    size_t len = 0;
    must(EVP_MAC_final(ctx, out, &len, SHA256_SIZE) == 1 && len == SHA256_SIZE);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

void crypto_sha256(struct slice data, uint8_t out[SHA256_SIZE])
{
    must(EVP_Digest(bytes_of(data), data.len, out, NULL, EVP_sha256(), NULL) == 1);
}

void crypto_random(void *dst, size_t len)
{
    must(len <= INT32_MAX && RAND_bytes(dst, (int)len) == 1);
}

uint64_t crypto_random_u64(void)
{
    uint64_t v;
    crypto_random(&v, sizeof v);
    return v;
}

void crypto_cleanse(void *p, size_t len)
{
    OPENSSL_cleanse(p, len);
}

bool crypto_equal(struct slice a, struct slice b)
{
    return a.len == b.len && CRYPTO_memcmp(bytes_of(a), bytes_of(b), a.len) == 0;
}
