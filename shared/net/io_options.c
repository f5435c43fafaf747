#include "base/err.h"
#include "base/must.h"
#include "net/io_tls.h"

#include <netinet/tcp.h>

void io_set_option(int fd, int level, int name, int value)
{
    /* A connection without one of its options still works. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void io_set_ticket(struct io *io, struct io_ticket *t)
{
    must(io->ticket == NULL);
    io->ticket = t;
}

struct io_ticket *io_get_ticket(const struct io *io)
{
    return io->ticket;
}

size_t io_queued(const struct io *io)
{
    return buf_len(&io->out) + (io->tls != NULL ? buf_len(&io->tls->sealed) : 0);
}

int64_t io_last_write_us(const struct io *io)
{
    return io->last_write_us;
}

int64_t io_last_read_us(const struct io *io)
{
    return io->last_read_us;
}

const struct net_address *io_peer(const struct io *io)
{
    return &io->peer;
}

void io_set_peer(struct io *io, const struct net_address *peer)
{
    io->peer = *peer;
}

int io_error(const struct io *io)
{
    return io->error;
}

const char *io_error_text(const struct io *io)
{
    bool tls = io->tls != NULL && io->tls->text[0] != '\0' && io->tls->error == io->error;
    return tls ? io->tls->text : err_text(io->error);
}

struct slice io_tls_protocol(const struct io *io)
{
    const unsigned char *p = NULL;
    unsigned len = 0;
    if (io->tls != NULL && io->tls->ssl != NULL)
        SSL_get0_alpn_selected(io->tls->ssl, &p, &len);
    return slice_of(p, len);
}

bool io_is_closed(const struct io *io)
{
    return io->fd < 0 && !io->failed;
}

uint64_t io_bytes_in(const struct io *io)
{
    return io->bytes_in;
}

uint64_t io_bytes_out(const struct io *io)
{
    return io->bytes_out;
}

void io_set_send_buffer(struct io *io, int bytes)
{
    if (io->fd < 0)
        return;
    io_set_option(io->fd, SOL_SOCKET, SO_SNDBUF, bytes);
    io_set_option(io->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

void io_set_unsent_max(struct io *io, int bytes)
{
    if (io->fd >= 0)
        io_set_option(io->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

void io_set_dead_peer(struct io *io, int64_t user_timeout_ms)
{
    /* Seconds of silence before the first probe, between probes; probes without answer. */
    enum { IDLE_S = 10, INTERVAL_S = 5, PROBES = 3 };
    if (io->fd < 0)
        return;
    io_set_option(io->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)user_timeout_ms);
    io_set_option(io->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    io_set_option(io->fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
    io_set_option(io->fd, IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S);
    io_set_option(io->fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
}

size_t io_memory(const struct io *io)
{
    size_t events = (io->write_event != NULL ? sizeof *io->write_event : 0) +
                    (io->timer != NULL ? sizeof *io->timer : 0);
    size_t tls = io->tls != NULL
                     ? sizeof *io->tls + io->tls->sealed.room + io->tls->early.room + IO_TLS_LIBRARY
                     : 0;
    return sizeof *io + events + tls + io->in.room + io->out.room;
}
