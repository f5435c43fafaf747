/*
 * A key, a certificate and what OpenSSL is to do with them; and the BIO through which sessions get
 * and give whole datagrams: OpenSSL's memory BIOs forget where one ends.
 */
#include "rtc/dtls_internal.h"

#include "base/mem.h"
#include "base/must.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define CERTIFICATE_PAST_S   (24 * 3600) /* clocks of peers differ */
#define CERTIFICATE_FUTURE_S (30 * 24 * 3600)
#define SERIAL_BITS          64
#define IP_UDP_OVERHEAD      48 /* bytes of the headers of IPv6 and UDP */

/* --- datagrams --- */

static int bio_read(BIO *bio, char *dst, int room)
{
    struct dtls *d = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (d->in.len == 0 || room < 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = d->in.len < (size_t)room ? d->in.len : (size_t)room;
    memcpy(dst, d->in.p, len);
    d->in = (struct slice){0};
    return (int)len;
}

static int bio_write(BIO *bio, const char *src, int len)
{
    struct dtls *d = BIO_get_data(bio);
    struct slice datagram = slice_of(src, (size_t)len);
    if (d->goodbye == NULL) {
        d->send(datagram, d->owner);
    } else if (datagram.len <= DTLS_GOODBYE_MAX) {
        memcpy(d->goodbye, src, datagram.len);
        d->goodbye_len = datagram.len;
    }
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_DGRAM_QUERY_MTU:
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return DTLS_MTU;
    case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
        return IP_UDP_OVERHEAD;
    }
    return 0;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams");
    if (m != NULL) {
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
}

/* --- who the other side is --- */

static bool matches(X509 *certificate, const struct rtc_fingerprint *f)
{
    static const struct {
        const EVP_MD *(*digest)(void);
        unsigned len;
    } hashes[] = {
        [RTC_SHA256] = {EVP_sha256, 32},
        [RTC_SHA384] = {EVP_sha384, 48},
        [RTC_SHA512] = {EVP_sha512, 64},
    };
    uint8_t is[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return X509_digest(certificate, hashes[f->hash].digest(), is, &len) == 1 &&
           len == hashes[f->hash].len && CRYPTO_memcmp(is, f->bytes, len) == 0;
}

/* In the place of OpenSSL's verification: certificates of peers are signed by nobody. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct dtls *d = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    for (size_t i = 0; i < d->fingerprint_count; i++)
        if (matches(certificate, &d->fingerprints[i]))
            return 1;
    d->impostor = true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* --- who we are --- */

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *c = X509_new();
    ASN1_INTEGER *serial = c != NULL ? X509_get_serialNumber(c) : NULL;
    BIGNUM *number = BN_new();
    X509_NAME *name = c != NULL ? X509_get_subject_name(c) : NULL;
    bool ok = c != NULL && number != NULL && X509_set_version(c, 2) == 1 &&
              BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, serial) != NULL &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"WebRTC", -1,
                                         -1, 0) == 1 &&
              X509_set_issuer_name(c, name) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(c), -CERTIFICATE_PAST_S) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(c), CERTIFICATE_FUTURE_S) != NULL &&
              X509_set_pubkey(c, key) == 1 && X509_sign(c, key, EVP_sha256()) > 0;
    BN_free(number);
    if (!ok)
        X509_free(c);
    return ok ? c : NULL;
}

static SSL_CTX *make_context(const SSL_METHOD *method, EVP_PKEY *key, X509 *certificate)
{
    char groups[] = "X25519:P-256:P-384";
    SSL_CTX *c = SSL_CTX_new(method);
    if (c == NULL)
        return NULL;
    SSL_CTX_set_options(c, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(c, 1); /* a datagram is read as a whole */
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(c, verify, NULL);
    bool ok = SSL_CTX_set_min_proto_version(c, DTLS1_2_VERSION) == 1 &&
              SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
              SSL_CTX_set1_groups_list(c, groups) == 1 &&
              /* This one returns 0 when it did well. */
              SSL_CTX_set_tlsext_use_srtp(c, "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80") == 0 &&
              SSL_CTX_use_certificate(c, certificate) == 1 && SSL_CTX_use_PrivateKey(c, key) == 1;
    if (!ok)
        SSL_CTX_free(c);
    return ok ? c : NULL;
}

static bool write_fingerprint(X509 *certificate, char out[RTC_FINGERPRINT_TEXT_MAX])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(certificate, EVP_sha256(), hash, &len) != 1)
        return false;
    int at = snprintf(out, RTC_FINGERPRINT_TEXT_MAX, "sha-256");
    for (unsigned i = 0; i < len; i++)
        at += snprintf(out + at, RTC_FINGERPRINT_TEXT_MAX - (size_t)at, "%c%02X",
                       i == 0 ? ' ' : ':', hash[i]);
    return true;
}

static bool fill(struct dtls_identity *i, EVP_PKEY *key)
{
    X509 *certificate = key != NULL ? make_certificate(key) : NULL;
    if (certificate != NULL) {
        i->server = make_context(DTLS_server_method(), key, certificate);
        i->client = make_context(DTLS_client_method(), key, certificate);
        i->datagrams = make_method();
    }
    bool ok = i->server != NULL && i->client != NULL && i->datagrams != NULL &&
              write_fingerprint(certificate, i->fingerprint);
    X509_free(certificate);
    return ok;
}

struct dtls_identity *dtls_identity_new(void)
{
    struct dtls_identity *i = xcalloc(1, sizeof *i);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    i->refs = 1;
    bool ok = fill(i, key);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!ok)
        dtls_identity_unref(&i);
    return i;
}

struct dtls_identity *dtls_identity_ref(struct dtls_identity *i)
{
    i->refs++;
    return i;
}

void dtls_identity_unref(struct dtls_identity **ip)
{
    struct dtls_identity *i = *ip;
    *ip = NULL;
    if (i == NULL || --i->refs > 0)
        return;
    SSL_CTX_free(i->server);
    SSL_CTX_free(i->client);
    BIO_meth_free(i->datagrams);
    free(i);
}

const char *dtls_identity_fingerprint(const struct dtls_identity *i)
{
    return i->fingerprint;
}
