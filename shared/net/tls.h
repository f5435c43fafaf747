#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

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

/*
 * For both ends among those who share a secret: each proves that it has it (RFC 8446 4.2.11, with
 * an (EC)DHE exchange, so that recorded traffic stays closed when the secret becomes known), and no
 * certificates are needed.  `scope` keeps users of one secret apart.
 */
struct tls_context *tls_secret_new(const char *secret, const char *scope);

void tls_free(struct tls_context **tp);

#endif
