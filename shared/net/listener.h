#ifndef SLUICE_NET_LISTENER_H
#define SLUICE_NET_LISTENER_H

#include "core/config.h"
#include "core/worker.h"
#include "net/io.h"

/*
 * A listening port on every worker: each has its own socket (SO_REUSEPORT) and accepts for itself.
 * Handles limits per address (half-open and open connections; loopback and trusted addresses are
 * not counted), EMFILE (accepting pauses 100 ms), the reserve of descriptors for node links, and,
 * when asked, PROXY protocol v1/v2 and the handshake of TLS: the accept callback runs after them.
 */
struct listener_set;

/* A new connection, on w's thread.  The callback owns the io and must set its handler. */
typedef void accept_handler(struct worker *w, struct io *io, void *arg);

struct listener_options {
    const char *name;    /* "rtmp", "http" …: log lines and metrics */
    const char *address; /* as config_listen_parse takes it */
    bool proxy_protocol;
    bool essential;          /* node links: not refused when descriptors run short */
    struct tls_context *tls; /* NULL: plain */
    accept_handler *on_accept;
    void *arg;
};

/* The address to bind to; ":PORT" means all addresses of both families, of IPv4 alone where there
 * is no IPv6.  0, or ERR_TYPE when the host is not numeric. */
int listener_resolve(const char *address, struct net_address *out);

/* Opens the port on all workers, before their threads start.  0 or negative with errno's text
 * logged. */
int listeners_open(struct listener_set **out, struct workers *g, const struct listener_options *o);
/* The port in use, and its text "HOST:PORT" (HOST as bound). */
uint16_t listeners_port(const struct listener_set *s);
void listeners_address_text(const struct listener_set *s, char out[NET_ADDRESS_TEXT_MAX]);
/* Takes a new limits.trusted; from any thread. */
void listeners_set_trusted(struct listener_set *s, const struct text_list *trusted);
/* No new connections from now on; from any thread. */
void listeners_close(struct listener_set *s);
/* After the workers have stopped. */
void listeners_free(struct listener_set **sp);

/* A connection counted against its address's half-open limit has shown itself (handshake done). */
void listener_established(struct io *io);

#endif
