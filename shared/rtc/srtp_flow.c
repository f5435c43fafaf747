/* The libraries, and session keys from a master secret (RFC 3711, 4.3). */
#include "base/mem.h"
#include "rtc/srtp_internal.h"

#include <openssl/crypto.h>
#include <srtp2/srtp.h>

#define LABEL_BYTE 7  /* of the salt: key_id is XORed so that its lowest byte falls here */
#define AUTH_MAX   20 /* bytes of a key for HMAC-SHA1 */

struct rtc_srtp *rtc_srtp_new(void)
{
    if (srtp_init() != srtp_err_status_ok)
        return NULL;
    struct rtc_srtp *lib = xcalloc(1, sizeof *lib);
    lib->gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    lib->ctr = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
    lib->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (lib->gcm == NULL || lib->ctr == NULL || lib->hmac == NULL)
        rtc_srtp_free(&lib);
    return lib;
}

void rtc_srtp_free(struct rtc_srtp **sp)
{
    struct rtc_srtp *lib = *sp;
    *sp = NULL;
    if (lib == NULL)
        return;
    EVP_CIPHER_free(lib->gcm);
    EVP_CIPHER_free(lib->ctr);
    EVP_MAC_free(lib->hmac);
    free(lib);
    srtp_shutdown();
}

const struct srtp_suite *srtp_suite_of(enum srtp_profile p)
{
    static const struct srtp_suite *const suites[] = {
        [SRTP_AEAD_AES_128_GCM] = &srtp_suite_gcm,
        [SRTP_AES128_CM_HMAC_SHA1_80] = &srtp_suite_cm,
    };
    return suites[p];
}

/* Bytes of the key stream whose counter block is salt XOR label (AES-CM PRF). */
static bool derive(const struct rtc_srtp *lib, const struct srtp_secret *secret, unsigned label,
                   uint8_t *out, size_t len)
{
    static const uint8_t zeros[32];
    uint8_t iv[16] = {0};
    int n = 0;
    memcpy(iv, secret->salt, sizeof secret->salt);
    iv[LABEL_BYTE] ^= (uint8_t)label;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx != NULL && EVP_EncryptInit_ex2(ctx, lib->ctr, secret->key, iv, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, out, &n, zeros, (int)len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool srtp_flow_init(struct srtp_flow *f, const struct rtc_srtp *lib, enum srtp_profile profile,
                    const struct srtp_secret *secret, enum srtp_label label, bool sealing)
{
    const struct srtp_suite *suite = srtp_suite_of(profile);
    struct srtp_secret master = *secret;
    uint8_t key[SRTP_KEY_LEN], auth[AUTH_MAX];
    /* A salt of 96 bits is the upper part of 112 (RFC 7714, 11). */
    size_t salt_len = srtp_salt_len(profile);
    memset(master.salt + salt_len, 0, sizeof master.salt - salt_len);
    bool ok = derive(lib, &master, label, key, sizeof key) &&
              derive(lib, &master, label + 1, auth, suite->auth_size) &&
              derive(lib, &master, label + 2, f->salt, salt_len) &&
              suite->init(f, lib, key, auth, sealing);
    OPENSSL_cleanse(&master, sizeof master);
    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(auth, sizeof auth);
    return ok;
}

void srtp_flow_fini(struct srtp_flow *f)
{
    EVP_CIPHER_CTX_free(f->cipher);
    EVP_MAC_CTX_free(f->mac);
    OPENSSL_cleanse(f, sizeof *f);
}
