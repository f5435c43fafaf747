/*
 * Sockets, readiness and errors.
 *
 *   socket -> worker's scratch -> owner; what it leaves -> in -> with the next read -> owner
 *   owner -> io_write -> out -> socket
 *   owner -> io_writev -> socket
 * with TLS (io_tls.c) between owner and socket.
 *
 * An idle connection holds no buffer; the write event exists once the socket has refused bytes, the
 * timer once a deadline was set.  Everything happens on the worker's thread.  Events enter at
 * io_on_readable, on_writable, on_deadline and on_turn; only these call the owner, never one inside
 * another, and the io is freed only when they have returned.
 */
#include "net/io_internal.h"
#include "net/io_tls.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* Entries of one writev (the kernel's own limit). */
#define IO_IOV_MAX 1024

static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_turn(void *arg);

const char *io_event_name(enum io_event ev)
{
    static const char *const names[] = {
        [IO_CONNECTED] = "io.connected", [IO_DATA] = "io.data",       [IO_DRAINED] = "io.drained",
        [IO_CLOSED] = "io.closed",       [IO_TIMEOUT] = "io.timeout", [IO_FAILED] = "io.failed",
    };
    return names[ev];
}

enum close_reason io_close_reason(int error)
{
    return error == ERR_CLOSED ? CLOSE_PEER_CLOSED : CLOSE_IO_ERROR;
}

int io_err_of_errno(int code)
{
    switch (code) {
    case ECONNRESET:
    case EPIPE:
        return ERR_CLOSED;
    case ECONNREFUSED:
        return ERR_REFUSED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static struct io *io_new(struct worker *w, int fd, const struct net_address *peer,
                         io_handler *handler, void *owner)
{
    struct io *io = xcalloc_line(sizeof *io);
    io->magic = IO_MAGIC;
    io->fd = fd;
    io->worker = w;
    io->handler = handler;
    io->owner = owner;
    io->peer = *peer;
    io->last_read_us = io->last_write_us = clock_us();
    task_init(&io->turn, on_turn, io);
    buf_init(&io->in, IO_IN_MAX_DEFAULT);
    buf_init(&io->out, IO_OUT_MAX_DEFAULT);
    if (fd < 0)
        return io;
    event_assign(&io->read_event, w->base, fd, EV_READ | EV_PERSIST, io_on_readable, io);
    io_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    METRIC_ADD(w->metrics.connections_open, 1);
    return io;
}

void io_read_start(struct io *io)
{
    if (io->fd < 0 || io->eof)
        return;
    if (io_tls_wants_socket(io) || (!io->paused && !io->connecting))
        event_add(&io->read_event, NULL);
    if (io->tls != NULL && io->tls->more)
        task_defer(io->worker, &io->turn);
}

static void write_start(struct io *io)
{
    if (io->write_event == NULL) {
        io->write_event = xcalloc(1, sizeof *io->write_event);
        event_assign(io->write_event, io->worker->base, io->fd, EV_WRITE | EV_PERSIST, on_writable,
                     io);
    }
    if (!event_pending(io->write_event, EV_WRITE, NULL))
        event_add(io->write_event, NULL);
}

void io_fail_later(struct io *io, int error)
{
    io->error = error;
    io->failed = true;
    task_defer(io->worker, &io->turn);
}

struct io *io_accept(struct worker *w, int fd, const struct net_address *peer, io_handler *handler,
                     void *owner)
{
    struct io *io = io_new(w, fd, peer, handler, owner);
    METRIC_INC(w->metrics.connections_total);
    io_read_start(io);
    return io;
}

struct io *io_connect(struct worker *w, const struct net_address *to, io_handler *handler,
                      void *owner)
{
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = errno;
    struct io *io = io_new(w, fd, to, handler, owner);
    io->connecting = io->outgoing = true;
    if (fd < 0) {
        io_fail_later(io, io_err_of_errno(error));
        return io;
    }
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0 && errno != EINPROGRESS)
        io_fail_later(io, io_err_of_errno(errno));
    else
        write_start(io);
    return io;
}

void io_close(struct io *io)
{
    OBJ_CHECK(io, IO_MAGIC);
    task_cancel(&io->turn);
    if (io->timer != NULL)
        timer_stop(io->timer);
    if (io->fd >= 0) {
        io_tls_close(io);
        event_del(&io->read_event);
        if (io->write_event != NULL)
            event_del(io->write_event);
        close(io->fd);
        io->fd = -1;
        METRIC_ADD(io->worker->metrics.connections_open, -1);
    }
    io->failed = io->redispatch = false;
    if (io->error == 0)
        io->error = ERR_CLOSED;
    buf_fini(&io->out);
    struct io_ticket *ticket = io->ticket;
    io->ticket = NULL;
    if (ticket != NULL)
        ticket->on_close(ticket);
}

static void destroy(struct io *io)
{
    buf_fini(&io->in);
    io_tls_free(&io->tls);
    if (io->timer != NULL)
        timer_fini(io->timer);
    free(io->timer);
    free(io->write_event);
    OBJ_POISON(io);
    free(io);
}

void io_free(struct io **iop)
{
    struct io *io = *iop;
    if (io == NULL)
        return;
    *iop = NULL;
    io_close(io);
    if (io->busy)
        io->doomed = true;
    else
        destroy(io);
}

/* Calls the owner; false when the io must not go on: closed, or freed as soon as nobody is inside.
 */
bool io_dispatch(struct io *io, enum io_event ev)
{
    struct worker *w = io->worker;
    int64_t start_us = clock_us();
    worker_enter(w, io_event_name(ev), start_us);
    io->handler(io, ev, io->owner);
    worker_watch(w, io_event_name(ev), start_us);
    return io->fd >= 0;
}

void io_leave(struct io *io)
{
    io->busy = false;
    if (io->doomed)
        destroy(io);
}

void io_end_now(struct io *io)
{
    io_close(io);
    io_dispatch(io, IO_CLOSED);
}

void io_fail(struct io *io, int error)
{
    io->error = error;
    io->failed = false;
    if (io->fd >= 0)
        event_del(&io->read_event);
    if (io->write_event != NULL)
        event_del(io->write_event);
    if (io->end != END_NOT)
        io_end_now(io);
    else
        io_dispatch(io, IO_FAILED);
}

/* Writing. */

void io_block(struct io *io)
{
    io->blocked = true;
    write_start(io);
}

void io_await_peer(struct io *io)
{
    io->blocked = io->tls->awaits_peer = true;
    if (io->write_event != NULL)
        event_del(io->write_event);
    io_read_start(io);
}

ssize_t io_send_some(struct io *io, const struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    do {
        n = sendmsg(io->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    METRIC_INC(io->worker->metrics.writes_total);
    if (n >= 0) {
        io->last_write_us = worker_now_us(io->worker);
        io->bytes_out += (uint64_t)n;
        METRIC_ADD(io->worker->metrics.bytes_out_total, (uint64_t)n);
        return n;
    }
    if (errno == EAGAIN || errno == ENOBUFS)
        return 0;
    return io_err_of_errno(errno);
}

static ssize_t put(struct io *io, const struct iovec *iov, int count)
{
    return io->tls == NULL ? io_send_some(io, iov, count) : io_tls_writev(io, iov, count);
}

/* Sends from the queue until it is empty or the socket refuses; 0 or the error. */
static int flush(struct io *io)
{
    int err = io->tls != NULL ? io_tls_flush(io) : 0;
    while (err == 0 && buf_len(&io->out) > 0 && !io->blocked && !io->connecting) {
        struct slice s = buf_slice(&io->out);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len};
        ssize_t n = put(io, &iov, 1);
        if (n < 0)
            return (int)n;
        buf_consume(&io->out, (size_t)n);
        if ((size_t)n < s.len && !io->blocked)
            io_block(io);
    }
    return err;
}

int io_write(struct io *io, const void *src, size_t len)
{
    if (io->fd < 0 || io->failed || io->end != END_NOT)
        return ERR_CLOSED;
    int err = buf_append(&io->out, src, len);
    if (err == 0 && !io->blocked && !io->connecting && len > 0)
        task_defer(io->worker, &io->turn);
    return err;
}

ssize_t io_writev(struct io *io, const struct iovec *iov, int count)
{
    if (io->fd < 0 || io->failed || io->end != END_NOT)
        return ERR_CLOSED;
    int err = flush(io);
    if (err < 0) {
        io_fail_later(io, err);
        return err;
    }
    if (io->blocked || io->connecting || count == 0)
        return 0;
    if (count > IO_IOV_MAX)
        count = IO_IOV_MAX;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ssize_t n = put(io, iov, count);
    if (n < 0)
        io_fail_later(io, (int)n); /* while it is paused nothing else would tell */
    else if ((size_t)n < total && !io->blocked)
        io_block(io);
    return n;
}

/* Closing after what is queued. */

static void end_step(struct io *io)
{
    if (io->end != END_FLUSHING || buf_len(&io->out) > 0 || io->blocked)
        return;
    if (io->eof || io->connecting) {
        io_end_now(io);
        return;
    }
    if (io->tls != NULL)
        io_tls_say_end(io);
    if (io->blocked)
        return;
    io->end = END_WAITING;
    shutdown(io->fd, SHUT_WR);
    int64_t left_ms = (io->end_by_us - clock_us()) / 1000;
    if (left_ms > IO_FIN_WAIT_MS)
        io_deadline(io, IO_FIN_WAIT_MS);
}

void io_close_after_flush(struct io *io, int64_t linger_ms)
{
    if (io->fd < 0 || io->end != END_NOT)
        return;
    io->end = END_FLUSHING;
    io->paused = io->redispatch = false;
    io->end_by_us = clock_us() + linger_ms * 1000;
    io_deadline(io, linger_ms > 0 ? linger_ms : 1);
    io_read_start(io);
    task_defer(io->worker, &io->turn);
}

/* Entries. */

/* The owner's bytes may go. */
static void open_up(struct io *io)
{
    io->connecting = false;
    if (!io->blocked && io->write_event != NULL)
        event_del(io->write_event);
    io_read_start(io);
    if (buf_len(&io->out) > 0 || io->end != END_NOT)
        task_defer(io->worker, &io->turn);
    if (io->end == END_NOT)
        io_dispatch(io, IO_CONNECTED);
}

void io_shake_hands(struct io *io)
{
    int done = io_tls_handshake(io);
    if (done < 0)
        io_fail(io, done);
    else if (done > 0)
        open_up(io);
    else
        io_read_start(io);
}

static void connected(struct io *io)
{
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code != 0) {
        io_fail(io, io_err_of_errno(code));
        return;
    }
    if (io->tls == NULL) {
        open_up(io);
        return;
    }
    event_del(io->write_event);
    io->tls->begun = true;
    io_shake_hands(io);
}

void io_writable(struct io *io)
{
    io->blocked = false;
    int err = flush(io);
    if (err < 0) {
        io_fail(io, err);
        return;
    }
    if (io->blocked)
        return;
    if (io->connecting)
        event_del(io->write_event);
    else if (io->end != END_NOT)
        end_step(io);
    else if (!io_dispatch(io, IO_DRAINED))
        return;
    if (io->fd >= 0 && !io->blocked && io->write_event != NULL)
        event_del(io->write_event); /* kept while it would only be added again */
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    io->busy = true;
    if (io->connecting && (io->tls == NULL || !io->tls->begun))
        connected(io);
    else
        io_writable(io);
    io_leave(io);
}

static void turn(struct io *io)
{
    if (io->failed) {
        io_fail(io, io->error);
        return;
    }
    if (io_tls_handshaking(io) && io->tls->begun) {
        io_shake_hands(io);
        return;
    }
    int err = flush(io);
    if (err < 0) {
        io_fail(io, err);
        return;
    }
    if (io->end != END_NOT) {
        end_step(io);
        return;
    }
    bool again = io->redispatch;
    io->redispatch = false;
    if (again && buf_len(&io->in) > 0 && !io_show(io, buf_slice(&io->in), true))
        return;
    if (io->tls != NULL && io->tls->more && !io->paused && !io->redispatch)
        io_read_turn(io);
}

static void on_turn(void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    io->busy = true;
    turn(io);
    io_leave(io);
}

static void on_deadline(void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    io->busy = true;
    if (io->end != END_NOT)
        io_end_now(io);
    else
        io_dispatch(io, IO_TIMEOUT);
    io_leave(io);
}

void io_deadline(struct io *io, int64_t ms)
{
    if (io->fd < 0 && !io->failed)
        return;
    if (io->timer == NULL) {
        if (ms == 0)
            return;
        io->timer = xcalloc(1, sizeof *io->timer);
        timer_init(io->timer, io->worker, "io.deadline", on_deadline, io);
    }
    if (ms == 0)
        timer_stop(io->timer);
    else
        timer_set_ms(io->timer, ms);
}
