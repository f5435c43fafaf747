#include "net/tls_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/crypto.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of TLS 1.2; those of 1.3 are all fit. */
#define CIPHERS_12      "ECDHE+AESGCM:ECDHE+CHACHA20"
#define SECRET_SUITE    "TLS_AES_128_GCM_SHA256"
#define SECRET_IDENTITY "sluice-secret-1"
#define SECRET_LABEL    "sluice tls secret 1"

SSL_CTX *tls_settings_new(struct tls_context *t)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());
    must(ssl != NULL);
    SSL_CTX_set_app_data(ssl, t);
    int version_min = t->kind == TLS_SECRET ? TLS1_3_VERSION : TLS1_2_VERSION;
    must(SSL_CTX_set_min_proto_version(ssl, version_min) == 1);
    must(SSL_CTX_set_cipher_list(ssl, CIPHERS_12) == 1);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    must(SSL_CTX_set_num_tickets(ssl, 0) == 1);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_verify(ssl, t->kind == TLS_SERVER ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return ssl;
}

struct tls_context *tls_context_new(enum tls_kind kind)
{
    struct tls_context *t = xcalloc(1, sizeof *t);
    t->magic = TLS_MAGIC;
    t->kind = kind;
    pthread_mutex_init(&t->mutex, NULL);
    t->bio = io_tls_bio_method_new();
    t->ssl = tls_settings_new(t);
    return t;
}

void tls_free(struct tls_context **tp)
{
    struct tls_context *t = *tp;
    *tp = NULL;
    if (t == NULL)
        return;
    OBJ_CHECK(t, TLS_MAGIC);
    SSL_CTX_free(t->ssl);
    BIO_meth_free(t->bio);
    pthread_mutex_destroy(&t->mutex);
    OPENSSL_cleanse(t->secret, sizeof t->secret);
    OBJ_POISON(t);
    free(t->ca);
    free(t->alpn);
    free(t);
}

/* A secret. */

static struct tls_context *context_of(SSL *ssl)
{
    return OBJ_CAST(struct tls_context, SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)), TLS_MAGIC);
}

/* A session as if it had been agreed on before: what TLS takes an external key in. */
static SSL_SESSION *secret_session(SSL *ssl)
{
    static const unsigned char suite[] = {0x13, 0x01}; /* SECRET_SUITE */
    const struct tls_context *t = context_of(ssl);
    SSL_SESSION *session = SSL_SESSION_new();
    if (session != NULL &&
        SSL_SESSION_set1_id_context(session, (const unsigned char *)SECRET_IDENTITY,
                                    strlen(SECRET_IDENTITY)) == 1 &&
        SSL_SESSION_set1_master_key(session, t->secret, sizeof t->secret) == 1 &&
        SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite)) == 1 &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

static int use_secret(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
                      SSL_SESSION **session)
{
    *session = NULL;
    if (md != NULL && !EVP_MD_is_a(md, "SHA256"))
        return 1;
    *id = (const unsigned char *)SECRET_IDENTITY;
    *id_len = strlen(SECRET_IDENTITY);
    *session = secret_session(ssl);
    return *session != NULL;
}

static int find_secret(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session)
{
    *session = NULL;
    if (id_len != strlen(SECRET_IDENTITY) || memcmp(id, SECRET_IDENTITY, id_len) != 0)
        return 1;
    *session = secret_session(ssl);
    return *session != NULL;
}

struct tls_context *tls_secret_new(const char *secret, const char *scope)
{
    struct tls_context *t = tls_context_new(TLS_SECRET);
    const struct slice parts[] = {slice_of((const uint8_t *)SECRET_LABEL, sizeof SECRET_LABEL),
                                  slice_text(scope)};
    _Static_assert(sizeof t->secret == SHA256_SIZE, "the key of a secret");
    crypto_hmac_sha256(slice_text(secret), parts, sizeof parts / sizeof parts[0], t->secret);
    must(SSL_CTX_set_ciphersuites(t->ssl, SECRET_SUITE) == 1);
    must(SSL_CTX_set_session_id_context(t->ssl, (const unsigned char *)SECRET_IDENTITY,
                                        strlen(SECRET_IDENTITY)) == 1);
    SSL_CTX_set_psk_use_session_callback(t->ssl, use_secret);
    SSL_CTX_set_psk_find_session_callback(t->ssl, find_secret);
    return t;
}

/* Connections. */

static bool is_address(const char *name)
{
    struct in6_addr bytes;
    return inet_pton(AF_INET, name, &bytes) == 1 || inet_pton(AF_INET6, name, &bytes) == 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    void *sni = (void *)(uintptr_t)name;
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni) == 1;
}

SSL *tls_session(struct tls_context *t, BIO *bio, bool server, const char *name)
{
    OBJ_CHECK(t, TLS_MAGIC);
    pthread_mutex_lock(&t->mutex);
    SSL *ssl = SSL_new(t->ssl);
    pthread_mutex_unlock(&t->mutex);
    if (ssl == NULL) {
        BIO_free(bio);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    if (t->kind == TLS_CLIENT && !expect_name(ssl, name)) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool tls_is_proven(const struct tls_context *t, SSL *ssl)
{
    switch (t->kind) {
    case TLS_CLIENT:
        return SSL_get_verify_result(ssl) == X509_V_OK;
    case TLS_SECRET:
        return SSL_session_reused(ssl) == 1;
    case TLS_SERVER:
        break;
    }
    return true;
}

const BIO_METHOD *tls_bio_method(const struct tls_context *t)
{
    return t->bio;
}

/* Failures, in words. */

const char *tls_reason(unsigned long code)
{
    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    const char *text = ERR_reason_error_string(code);
    return text != NULL ? text : "not usable";
}

bool tls_is_foreign(void)
{
    switch (ERR_GET_REASON(ERR_peek_last_error())) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
        return true;
    default:
        return false;
    }
}

static void explain_certificate(long result, char text[TLS_ERROR_MAX])
{
    static const struct {
        int code;
        const char *text;
    } known[] = {
        {X509_V_ERR_CERT_HAS_EXPIRED, "expired"},
        {X509_V_ERR_CERT_NOT_YET_VALID, "not valid yet"},
        {X509_V_ERR_HOSTNAME_MISMATCH, "for another name"},
        {X509_V_ERR_IP_ADDRESS_MISMATCH, "for another address"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "of an authority that is not trusted"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "of an authority that is not trusted"},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "of an authority that is not trusted"},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "of an authority that is not trusted"},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "of an authority that is not trusted"},
        {X509_V_ERR_CERT_SIGNATURE_FAILURE, "of an authority that is not trusted"},
    };
    const char *why = "not acceptable";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].code == result)
            why = known[i].text;
    snprintf(text, TLS_ERROR_MAX, "the certificate is %s (%s)", why,
             X509_verify_cert_error_string(result));
}

/* What the other end of a shared secret says, or does not know, when the secrets differ. */
static bool is_other_secret(int reason)
{
    switch (reason) {
    case SSL_R_BINDER_DOES_NOT_VERIFY:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return true;
    default:
        return false;
    }
}

void tls_explain(const struct tls_context *t, SSL *ssl, char text[TLS_ERROR_MAX])
{
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    if (tls_is_foreign())
        snprintf(text, TLS_ERROR_MAX, "the peer does not speak TLS");
    else if (t->kind == TLS_SECRET && is_other_secret(reason))
        snprintf(text, TLS_ERROR_MAX, "the peer has another secret, or none");
    else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        explain_certificate(SSL_get_verify_result(ssl), text);
    else if (reason > SSL_AD_REASON_OFFSET)
        snprintf(text, TLS_ERROR_MAX, "the peer refused (%s)", tls_reason(ERR_peek_last_error()));
    else
        snprintf(text, TLS_ERROR_MAX, "%s", tls_reason(ERR_peek_last_error()));
}
