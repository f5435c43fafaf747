#ifndef SLUICE_TESTS_TLS_TEST_H
#define SLUICE_TESTS_TLS_TEST_H

#include "net_test.h"

#include "net/tls_internal.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

/* The other end of a connection under test: OpenSSL by itself over a socket, byte by byte if the
 * test wants so. */
struct peer {
    SSL *ssl;
    BIO *wire; /* what ssl reads from and writes to */
    int fd;
    bool eof;
};

/* Takes fd. */
static inline void peer_open(struct peer *p, int fd)
{
    *p = (struct peer){.fd = fd};
}

static inline BIO *peer_bio(struct peer *p)
{
    BIO *inner;
    assert_int_equal(BIO_new_bio_pair(&inner, 1 << 20, &p->wire, 1 << 20), 1);
    return inner;
}

static inline void peer_close(struct peer *p)
{
    SSL_free(p->ssl);
    BIO_free(p->wire);
    if (p->fd >= 0)
        close(p->fd);
    *p = (struct peer){.fd = -1};
}

/* Moves at most `max` bytes each way. */
static inline void peer_pump(struct peer *p, size_t max)
{
    char bytes[65536];
    size_t n = max < sizeof bytes ? max : sizeof bytes;
    int out = BIO_read(p->wire, bytes, (int)n);
    if (out > 0)
        send_all(p->fd, bytes, (size_t)out);
    ssize_t in = recv(p->fd, bytes, n, MSG_DONTWAIT);
    if (in > 0)
        assert_int_equal(BIO_write(p->wire, bytes, (int)in), in);
    else if (in == 0 || errno != EAGAIN)
        p->eof = true;
}

/* A certificate for `name` (DNS), or for 127.0.0.1 when it is NULL, of ca's key, or its own. */
struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline void add_extension(X509 *x, int nid, const char *text)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
    assert_non_null(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static inline void identity_make(struct identity *i, const struct identity *ca, const char *name,
                                 long end_s)
{
    char alt[128];
    static long serial;
    i->key = EVP_EC_gen("P-256");
    i->certificate = X509_new();
    X509 *x = i->certificate;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), end_s);
    X509_set_pubkey(x, i->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)(ca == NULL ? "authority" : "server"), -1, -1,
                               0);
    X509_set_issuer_name(x, X509_get_subject_name(ca == NULL ? x : ca->certificate));
    snprintf(alt, sizeof alt, "%s%s",
             name != NULL ? "DNS:" : "IP:", name != NULL ? name : "127.0.0.1");
    add_extension(x, NID_subject_alt_name, alt);
    add_extension(x, NID_basic_constraints, ca == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    assert_true(X509_sign(x, ca == NULL ? i->key : ca->key, EVP_sha256()) > 0);
}

static inline void identity_free(struct identity *i)
{
    EVP_PKEY_free(i->key);
    X509_free(i->certificate);
}

static inline void certificate_write(const struct identity *i, const char *path)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, i->certificate), 1);
    fclose(f);
}

#endif
