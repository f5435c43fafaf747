#ifndef SLUICE_NET_IO_INTERNAL_H
#define SLUICE_NET_IO_INTERNAL_H

#include "base/mem.h"
#include "net/io.h"

/*
 * What the parts of io share: io.c has life, writing and the entries of events, io_read.c reading,
 * io_tls.c sealing and opening, io_options.c questions and socket options.
 */
#define IO_MAGIC 0x696f2e31U

/* How far io_close_after_flush() is: sending, then waiting for the peer to close. */
enum io_end { END_NOT, END_FLUSHING, END_WAITING };

/* What each read and write needs lies together: with many connections none of it is in the cache.
 */
struct io {
    uint32_t magic;
    int fd; /* -1: closed */
    struct worker *worker;
    struct io_tls *tls; /* NULL: plain */
    enum io_end end;
    bool connecting; /* or shaking hands: no bytes of the owner's yet */
    bool blocked;
    bool failed; /* IO_FAILED is owed */
    int64_t last_write_us;
    uint64_t bytes_out;
    struct buf out;
    /* So far, and without the room of `out`, what a write looks at: one cache line, asserted below.
     */
    struct buf in;
    io_handler *handler;
    void *owner;
    bool outgoing; /* made by io_connect */
    bool paused, eof;
    bool redispatch; /* unread bytes are to be shown again */
    bool busy;       /* an entry function is running */
    bool viewing;
    bool doomed; /* freed when the entry function returns */
    int64_t last_read_us;
    uint64_t bytes_in;
    struct slice view; /* while `viewing`: what is unread of the bytes shown to the owner */
    struct event read_event;
    /* And so far what a read does. */
    struct event *write_event;
    struct timer *timer;
    struct task turn;
    struct io_ticket *ticket;
    int64_t end_by_us; /* when io_close_after_flush gives up */
    struct net_address peer;
    int error;
};
_Static_assert(offsetof(struct io, out.data) <= CACHE_LINE, "what a write looks at is one line");

/* Calls the owner; false when the io must not go on: it is closed, maybe to be freed. */
bool io_dispatch(struct io *io, enum io_event ev);
/* The connection is of no more use; the owner hears it once. */
void io_fail(struct io *io, int error);
/* Closes what was to be closed after its flush, and says so. */
void io_end_now(struct io *io);
/* The last step of every entry: frees the io when its owner wanted that meanwhile. */
void io_leave(struct io *io);
/* The same from a function that the owner called: at the end of this turn. */
void io_fail_later(struct io *io, int error);
int io_err_of_errno(int code);
/* Bytes to the socket: how many it took, or a negative enum err. */
ssize_t io_send_some(struct io *io, const struct iovec *iov, int count);
/* The socket takes no more for now. */
void io_block(struct io *io);
/* Nothing can be written before bytes of the peer have come. */
void io_await_peer(struct io *io);
/* Goes on with the handshake of TLS. */
void io_shake_hands(struct io *io);
/* It takes bytes again. */
void io_writable(struct io *io);
void io_set_option(int fd, int level, int name, int value);

void io_got_bytes(struct io *io, size_t n);
/* Wants to know when there are bytes to read, if any are to be read. */
void io_read_start(struct io *io);
/* Reads until there is nothing, the owner wants no more, or it is others' turn. */
void io_read_turn(struct io *io);
void io_on_readable(evutil_socket_t fd, short what, void *arg);
/* Shows bytes to the owner.  `kept` are those of in, else what is left is copied there. */
bool io_show(struct io *io, struct slice bytes, bool kept);

#endif
