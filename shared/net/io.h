#ifndef SLUICE_NET_IO_H
#define SLUICE_NET_IO_H

#include "base/buf.h"
#include "base/slice.h"
#include "core/close_reason.h"
#include "core/timer.h"
#include "core/worker.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/*
 * One byte stream of one connection, on one worker.  Readiness and errors are interpreted here
 * once; its owner has one callback and one switch over a closed set of events.  TLS is behind the
 * same functions: io_writev then seals what it takes, and the peer's end without a close_notify is
 * IO_FAILED with ERR_CLOSED, as a reset is.
 *
 * Reading: IO_DATA is dispatched while io_data() holds bytes; the owner consumes what it understood
 * and leaves the rest, which is kept for the next time (at most `in_max` bytes; more than that
 * unread is IO_FAILED with ERR_TOO_LARGE).  The bytes are valid until the callback returns.
 *
 * Writing: io_write() queues a copy (at most `out_max` bytes in the queue) and sends what the
 * socket takes; io_writev() hands bytes straight to the socket and takes only what fits at once.
 *
 * The owner may close the io in any callback; it is freed by io_free() from the owner's reaper.
 */

enum io_event {
    IO_CONNECTED, /* an outgoing connection is up, or the handshake of TLS is over */
    IO_DATA,      /* new bytes in io_data() */
    IO_DRAINED,   /* the queue is empty and the socket takes bytes again */
    IO_CLOSED,    /* the peer closed its side; unread bytes were delivered before */
    IO_TIMEOUT,   /* the deadline set by io_deadline() passed */
    IO_FAILED,    /* see io_error() */
};
const char *io_event_name(enum io_event ev);

struct io;
typedef void io_handler(struct io *io, enum io_event ev, void *owner);

/* An address and its text ("10.0.0.1:1935", "[::1]:1935"). */
struct net_address {
    struct sockaddr_storage sa;
    socklen_t len;
};
#define NET_ADDRESS_TEXT_MAX 64
#define NET_ADDRESS_KEY_SIZE 16
void net_address_text(const struct net_address *a, char out[NET_ADDRESS_TEXT_MAX]);
bool net_address_is_loopback(const struct net_address *a);
/* 0.0.0.0 or [::], whatever the port. */
bool net_address_is_any(const struct net_address *a);
/* "HOST:PORT" with a numeric host; 0 or ERR_TYPE. */
int net_address_parse(const char *text, struct net_address *out);
/* An IPv4 address in IPv6 clothes (::ffff:a.b.c.d) becomes a plain one; others stay as they are. */
void net_address_unmap(struct net_address *a);
/* The host as 16 bytes, IPv4 as ::ffff:a.b.c.d; false for other families. */
bool net_address_key(const struct net_address *a, uint8_t out[NET_ADDRESS_KEY_SIZE]);
/* The same host and port; IPv4 and the same in IPv6 clothes differ. */
bool net_address_equal(const struct net_address *a, const struct net_address *b);
/* The port, host order; 0 for other families. */
uint16_t net_address_port(const struct net_address *a);
/* The link that a link-local address is of (sin6_scope_id); 0: none. */
uint32_t net_address_scope(const struct net_address *a);
void net_address_set_port(struct net_address *a, uint16_t port);

/* Takes an accepted, non-blocking socket. */
struct io *io_accept(struct worker *w, int fd, const struct net_address *peer, io_handler *handler,
                     void *owner);
/* Starts a connection; IO_CONNECTED or IO_FAILED follows, never from inside this call. */
struct io *io_connect(struct worker *w, const struct net_address *to, io_handler *handler,
                      void *owner);
struct tls_context;
/*
 * TLS from here on, as the client on a connection of io_connect and as the server on an accepted
 * one; IO_CONNECTED follows, or IO_FAILED with ERR_TLS and the reason in io_error_text().  The
 * deadline of the io is also that of the handshake.  Unread bytes are the first of it; what is
 * queued goes out after it.  Once, before anything else was written.  A client names the host that
 * it wants to reach, a name or an address without port (of no account where a secret proves it);
 * the context outlives the workers.
 */
void io_start_tls(struct io *io, struct tls_context *context, const char *server_name);

/* The protocol that both ends agreed on in the handshake (ALPN), as long as the connection; empty:
 * none. */
struct slice io_tls_protocol(const struct io *io);

/* Stops all events at once, closes the socket (what is queued is dropped); the io stays valid. */
void io_close(struct io *io);
/*
 * Sends what is queued, then closes; IO_CLOSED comes when it is out, or after at most linger_ms,
 * and is the only event from now on.  What the peer still sends is read and dropped until it closes
 * too (at most IO_FIN_WAIT_MS after the last byte), so that a reset does not destroy what is under
 * way.
 */
void io_close_after_flush(struct io *io, int64_t linger_ms);
#define IO_FIN_WAIT_MS 1000
/* Closes and frees.  Inside one of the io's own callbacks it is freed when that returns. */
void io_free(struct io **iop);

/* Something that is told once when the connection closes: the listener's accounts.  At most one. */
struct io_ticket {
    void (*on_close)(struct io_ticket *t);
};
void io_set_ticket(struct io *io, struct io_ticket *t);
struct io_ticket *io_get_ticket(const struct io *io);

/* Hands the connection to another owner (a protocol upgrade, PROXY header stripped …); unread bytes
 * are dispatched to it at the end of this turn. */
void io_set_handler(struct io *io, io_handler *handler, void *owner);

/* Unread bytes; they stay until io_consume(). */
struct slice io_data(const struct io *io);
void io_consume(struct io *io, size_t len);
/* What is unread is shown again at the end of this turn, or of the next when that has come. */
void io_show_again(struct io *io);
/* While paused nothing is read from the socket, so the peer is slowed down by TCP (and its closing
 * is not seen either).  After io_resume() unread bytes are dispatched again, at the end of this
 * turn. */
void io_pause(struct io *io);
void io_resume(struct io *io);
void io_set_limits(struct io *io, size_t in_max, size_t out_max);
#define IO_IN_MAX_DEFAULT  (64 * 1024)
#define IO_OUT_MAX_DEFAULT (256 * 1024)

/* Queues a copy, sent at the end of this turn of the loop (several writes leave as one); 0,
 * ERR_TOO_LARGE when the queue would pass out_max, ERR_CLOSED. */
int io_write(struct io *io, const void *src, size_t len);
/* Bytes in the queue. */
size_t io_queued(const struct io *io);
/*
 * One writev: how many bytes the socket took (0 when it takes none now, or while anything is
 * queued: IO_DRAINED follows; also after it took less than all), or a negative enum err (IO_FAILED
 * follows, unless it is closed).  A queue that can go out at once goes first.
 */
ssize_t io_writev(struct io *io, const struct iovec *iov, int count);

/* IO_TIMEOUT in ms from now unless changed; 0: never. */
void io_deadline(struct io *io, int64_t ms);
/* When the peer last took bytes from us (clock_us of the last successful write), and last sent. */
int64_t io_last_write_us(const struct io *io);
int64_t io_last_read_us(const struct io *io);

const struct net_address *io_peer(const struct io *io);
/* From a PROXY header. */
void io_set_peer(struct io *io, const struct net_address *peer);
int io_error(const struct io *io);
/* What a connection that failed so is closed for: a peer that resets it has gone, too. */
enum close_reason io_close_reason(int error);
/* The same in words; with TLS, what exactly was wrong.  As long as the io. */
const char *io_error_text(const struct io *io);
bool io_is_closed(const struct io *io);
uint64_t io_bytes_in(const struct io *io);
uint64_t io_bytes_out(const struct io *io);
/* Kernel send buffer in bytes (SO_SNDBUF) and TCP_NOTSENT_LOWAT, so that a slow reader holds
 * little. */
void io_set_send_buffer(struct io *io, int bytes);
/* TCP_NOTSENT_LOWAT alone: the kernel holds little that is not under way, however far away the peer
 * is. */
void io_set_unsent_max(struct io *io, int bytes);
/* TCP_USER_TIMEOUT and keepalive for peers that may vanish without a word. */
void io_set_dead_peer(struct io *io, int64_t user_timeout_ms);
/* Memory of ours this connection holds, bytes. */
size_t io_memory(const struct io *io);

#endif
