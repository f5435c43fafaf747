#ifndef SLUICE_TESTS_BENCH_LINK_H
#define SLUICE_TESTS_BENCH_LINK_H

#include "base/slice.h"
#include "target.h"

#include <openssl/types.h>
#include <sys/types.h>

/*
 * A connection to a server that does not block, with TLS where the target says so.  Its socket is
 * told to an epoll with the owner as data.ptr; whatever comes of it goes to link_event() first.
 */
struct link {
    int fd, epoll; /* fd -1: none */
    void *owner;
    bool connecting;
    SSL *ssl;     /* NULL: none */
    int error;    /* errno of what went wrong, 0: none */
    char why[96]; /* what TLS says about it, or "" */
};

/* What connections with TLS have in common; made once, before the processes part.  `insecure`: any
 * certificate will do, otherwise one of an authority that the system trusts, for this host. */
SSL_CTX *link_tls_new(bool insecure);

void link_init(struct link *l);
/* Begins; tls is used when the target wants it.  0 or ERR_IO. */
int link_open(struct link *l, int epoll, void *owner, const struct target *to, SSL_CTX *tls);
void link_close(struct link *l);

/* To another epoll, once it is connected. */
void link_move(struct link *l, int epoll);

enum link_state { LINK_WAIT, LINK_READY, LINK_DATA };
/* After an event: not connected yet; connected just now, so something may be sent; connected, so
 * something may be read; or ERR_IO. */
int link_event(struct link *l);

/* Bytes, 0 when there are none now, ERR_CLOSED at the end, or ERR_IO.  Reads until nothing is left
 * or the room is full; in the latter case link_has_more() may be true. */
ssize_t link_recv(struct link *l, uint8_t *to, size_t room);
bool link_has_more(const struct link *l);
/* As link_recv(), but nobody looks at them; without TLS they stay in the kernel. */
ssize_t link_discard(struct link *l, uint8_t *scratch, size_t room);
/* All of it, or ERR_IO: what a viewer says is so little that a socket which does not take it is as
 * good as closed. */
int link_send(struct link *l, struct slice bytes);

/* What went wrong, in words. */
const char *link_why(const struct link *l);

#endif
