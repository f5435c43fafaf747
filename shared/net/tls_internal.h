#ifndef SLUICE_NET_TLS_INTERNAL_H
#define SLUICE_NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/* What tls.c has for io_tls.c. */

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
