#ifndef SLUICE_NET_TLS_INTERNAL_H
#define SLUICE_NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

/* What tls.c (contexts, connections, failures), tls_certificate.c (contexts with files) and
 * io_tls.c share. */
#define TLS_MAGIC 0x746c7363U

enum tls_kind { TLS_CLIENT, TLS_SERVER, TLS_SECRET };

struct tls_context {
    uint32_t magic;
    enum tls_kind kind;
    pthread_mutex_t mutex; /* over `ssl`, which a reload puts another one in the place of */
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    char *ca;           /* of a client */
    uint8_t *alpn;      /* of a server; NULL: none */
    unsigned alpn_len;  /* bytes */
    uint8_t secret[32]; /* of a TLS_SECRET: the key made from it */
};

/* Without anything to show or to trust. */
struct tls_context *tls_context_new(enum tls_kind kind);
SSL_CTX *tls_settings_new(struct tls_context *t);
/* What a code of the library's error queue means, in the system's words or the library's. */
const char *tls_reason(unsigned long code);

/* One end of a connection over `bio`, which it takes.  A client's `name` is the host it dialled, a
 * name or a numeric address: the certificate must be for it.  NULL when there is no memory. */
SSL *tls_session(struct tls_context *t, BIO *bio, bool server, const char *name);
/* The other end has shown who it is, once the handshake is over. */
bool tls_is_proven(const struct tls_context *t, SSL *ssl);
/* What is behind the failure that the last call on ssl had, for people. */
void tls_explain(const struct tls_context *t, SSL *ssl, char text[TLS_ERROR_MAX]);
/* True when that failure was that the peer's first bytes are no TLS. */
bool tls_is_foreign(void);
/* How connections reach their socket; made by io_tls.c. */
const BIO_METHOD *tls_bio_method(const struct tls_context *t);
BIO_METHOD *io_tls_bio_method_new(void);

#endif
