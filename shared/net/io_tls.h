#ifndef SLUICE_NET_IO_TLS_H
#define SLUICE_NET_IO_TLS_H

#include "net/io_internal.h"
#include "net/tls_internal.h"

/*
 * The TLS half of an io.  While the handshake runs the io counts as connecting.  Sealing never
 * fails for want of room in the socket: what of a record the socket does not take waits in `sealed`
 * and the io is blocked, so whatever was counted as taken is on its way exactly once.
 */
/* Bytes that the library holds for an idle connection, about. */
#define IO_TLS_LIBRARY (10 * 1024)

struct io_tls {
    struct tls_context *context;
    SSL *ssl; /* NULL once the io is closed */
    BIO *bio;
    struct buf sealed; /* records, or a part of one, that go to the socket first */
    struct buf early;  /* what came from the peer before TLS was started */
    bool begun;        /* the connection below is up */
    bool handshaking;
    bool more;        /* there may be bytes that the socket does not tell of */
    bool awaits_peer; /* nothing can be sealed before the peer's next bytes are read */
    bool ended;       /* the peer's close_notify has come */
    int socket_error; /* what the socket said; ERR_CLOSED also for its end */
    int error;        /* why TLS is over */
    char text[TLS_ERROR_MAX];
};

/* Goes on with the handshake: 1 when it is over, 0 when it waits, or a negative enum err. */
int io_tls_handshake(struct io *io);
/* Decrypted bytes: how many, 0 when there are none now, or a negative enum err; `eof` is set when
 * the peer has said that there are no more. */
ssize_t io_tls_receive(struct io *io, uint8_t *dst, size_t room, bool *eof);
/* As io_writev, but for the queue: seals until the socket takes no more. */
ssize_t io_tls_writev(struct io *io, const struct iovec *iov, int count);
/* Sends what is sealed; 0 or an error. */
int io_tls_flush(struct io *io);
/* Tells the peer that nothing follows, unless it was told. */
void io_tls_say_end(struct io *io);
void io_tls_close(struct io *io);
void io_tls_free(struct io_tls **tp);

static inline bool io_tls_handshaking(const struct io *io)
{
    return io->tls != NULL && io->tls->handshaking;
}

/* Wants to be told when the socket can be read, whether or not the owner wants bytes. */
static inline bool io_tls_wants_socket(const struct io *io)
{
    const struct io_tls *t = io->tls;
    return t != NULL && ((t->handshaking && t->begun) || t->awaits_peer);
}

#endif
