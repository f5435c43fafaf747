/*
 * Contexts whose keys and certificates come from files.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool is_given(const char *file)
{
    return file != NULL && file[0] != '\0';
}

static int load_failed(const char *what, const char *file, char error[TLS_ERROR_MAX])
{
    /* The first of the queue is the cause, the others say where it was met. */
    snprintf(error, TLS_ERROR_MAX, "%s %s: %s", what, file, tls_reason(ERR_peek_error()));
    return ERR_TLS;
}

/* A key that wants a password cannot be used: nobody is there to be asked. */
static int no_password(char *out, int room, int writing, void *arg)
{
    return -1;
}

static int load_identity(SSL_CTX *ssl, const char *certificate, const char *key,
                         char error[TLS_ERROR_MAX])
{
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
    if (SSL_CTX_use_certificate_chain_file(ssl, certificate) != 1)
        return load_failed("the certificate", certificate, error);
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
        return load_failed("the key", key, error);
    return 0;
}

static int load_authorities(SSL_CTX *ssl, const char *ca, char error[TLS_ERROR_MAX])
{
    if (!is_given(ca))
        must(SSL_CTX_set_default_verify_paths(ssl) == 1);
    else if (SSL_CTX_load_verify_file(ssl, ca) != 1)
        return load_failed("the authority's file", ca, error);
    return 0;
}

/* The first of ours that the client speaks, too; none: it may speak what it likes. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_context *t = arg;
    unsigned char *found = NULL;
    if (SSL_select_next_proto(&found, len, t->alpn, t->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

static int load(struct tls_context *t, SSL_CTX *ssl, const char *certificate, const char *key,
                char error[TLS_ERROR_MAX])
{
    int err = 0;
    ERR_clear_error();
    if (t->kind == TLS_CLIENT)
        err = load_authorities(ssl, t->ca, error);
    else if (t->alpn != NULL)
        SSL_CTX_set_alpn_select_cb(ssl, select_alpn, t);
    if (err == 0 && is_given(certificate))
        err = load_identity(ssl, certificate, key, error);
    return err;
}

static int load_first(struct tls_context **out, struct tls_context *t, const char *certificate,
                      const char *key, char error[TLS_ERROR_MAX])
{
    int err = load(t, t->ssl, certificate, key, error);
    if (err < 0)
        tls_free(&t);
    else
        *out = t;
    return err;
}

int tls_client_new(struct tls_context **out, const struct tls_client_options *o,
                   char error[TLS_ERROR_MAX])
{
    struct tls_context *t = tls_context_new(TLS_CLIENT);
    t->ca = is_given(o->ca) ? xstrdup(o->ca) : NULL;
    return load_first(out, t, o->certificate, o->key, error);
}

int tls_server_new(struct tls_context **out, const struct tls_server_options *o,
                   char error[TLS_ERROR_MAX])
{
    struct tls_context *t = tls_context_new(TLS_SERVER);
    if (o->alpn != NULL) {
        t->alpn_len = (unsigned)strlen(o->alpn);
        t->alpn = (uint8_t *)xstrdup(o->alpn);
    }
    return load_first(out, t, o->certificate, o->key, error);
}

static void replace(struct tls_context *t, SSL_CTX **next)
{
    pthread_mutex_lock(&t->mutex);
    SSL_CTX *old = t->ssl;
    t->ssl = *next;
    pthread_mutex_unlock(&t->mutex);
    *next = old;
}

int tls_reload(struct tls_context *const *contexts, size_t count, const char *certificate,
               const char *key, char error[TLS_ERROR_MAX])
{
    SSL_CTX *next[TLS_RELOAD_MAX];
    int err = 0;
    size_t made = 0;
    must(count <= TLS_RELOAD_MAX);
    while (made < count && err == 0) {
        OBJ_CHECK(contexts[made], TLS_MAGIC);
        must(contexts[made]->kind != TLS_SECRET);
        next[made] = tls_settings_new(contexts[made]);
        err = load(contexts[made], next[made], certificate, key, error);
        made++;
    }
    for (size_t i = 0; i < made; i++) {
        if (err == 0)
            replace(contexts[i], &next[i]);
        SSL_CTX_free(next[i]);
    }
    return err;
}

int64_t tls_ends_s(struct tls_context *t)
{
    struct tm tm;
    pthread_mutex_lock(&t->mutex);
    const X509 *x = SSL_CTX_get0_certificate(t->ssl);
    bool has = x != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1;
    pthread_mutex_unlock(&t->mutex);
    return has ? (int64_t)timegm(&tm) : INT64_MAX;
}
