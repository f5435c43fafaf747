#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include <stddef.h>
#include <stdint.h>

/*
 * What TLS connections have in common: keys, certificates, and whom to trust.  A context is made
 * before the workers start, used by all of them, and freed after they have stopped.  Connections
 * come to life by io_start_tls (io.h) and keep what they began with.
 *
 * TLS 1.2 and 1.3 with certificates, 1.3 alone with a secret; no renegotiation, no compression, no
 * session tickets.
 */
struct tls_context;

#define TLS_ERROR_MAX 256 /* bytes of a text that says what went wrong, terminator included */

/* Files in PEM; NULL or "" where there is none. */
struct tls_client_options {
    const char *ca;                /* the authorities to trust; none: those of the system */
    const char *certificate, *key; /* who we are, if the server asks; both or none */
};
/* For connections to a server whose certificate and name are checked.  0, or negative with `error`
 * saying which file is wrong. */
int tls_client_new(struct tls_context **out, const struct tls_client_options *o,
                   char error[TLS_ERROR_MAX]);

/* For the ports: the file of the certificate holds its chain behind it. */
struct tls_server_options {
    const char *certificate, *key; /* files in PEM */
    /* The protocols spoken, the favourite first, as ALPN writes them (RFC 7301 3.1: each behind a
     * byte with its length); NULL: the client's wish is not looked at. */
    const char *alpn;
};
int tls_server_new(struct tls_context **out, const struct tls_server_options *o,
                   char error[TLS_ERROR_MAX]);
/* Connections from now on show what is in these files now, those that are there keep what they
 * have. All contexts (made for certificates) take it, or, with an error, none.  From any thread. */
#define TLS_RELOAD_MAX 4
int tls_reload(struct tls_context *const *contexts, size_t count, const char *certificate,
               const char *key, char error[TLS_ERROR_MAX]);
/* When the certificate that is shown ends, unix seconds; INT64_MAX when there is none. */
int64_t tls_ends_s(struct tls_context *t);

/*
 * For both ends among those who share a secret: each proves that it has it (RFC 8446 4.2.11, with
 * an (EC)DHE exchange, so that recorded traffic stays closed when the secret becomes known), and no
 * certificates are needed.  `scope` keeps users of one secret apart.
 */
struct tls_context *tls_secret_new(const char *secret, const char *scope);

void tls_free(struct tls_context **tp);

#endif
