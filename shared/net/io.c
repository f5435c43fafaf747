/*
 * Sockets, readiness and errors.
 *
 *   socket -> worker scratch -> IO_DATA -> owner; what it leaves -> in -> (with the next read)
 * owner owner -> io_write -> out -> socket          owner -> io_writev -> socket
 *
 * An idle connection holds no buffer; the write event exists once the socket has refused bytes, the
 * timer once a deadline was set.  Everything happens on the worker's thread.  Events enter at
 * on_readable, on_writable, on_deadline and on_turn; only these call the owner, never one inside
 * another, and the io is freed only when they have returned.
 */
#include "net/io.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define IO_MAGIC 0x696f2e31U

/* Bytes read from one connection per readiness, so that a fast peer does not starve the others. */
#define IO_TURN_BYTES_MAX WORKER_SCRATCH_SIZE
/* Leftovers up to this size (bytes) are put in front of the next read in the scratch; larger ones
 * stay where they are and the read is appended to them. */
#define IO_MERGE_MAX (16 * 1024)
/* Bytes of room made for one such appended read. */
#define IO_APPEND_READ (64 * 1024)
/* Entries of one writev (the kernel's own limit). */
#define IO_IOV_MAX 1024

enum io_end { END_NOT, END_FLUSHING, END_WAITING };

struct io {
    uint32_t magic;
    int fd; /* -1: closed */
    struct worker *worker;
    io_handler *handler;
    void *owner;
    struct event read_event;
    struct event *write_event;
    struct timer *timer;
    struct task turn;
    struct buf in, out;
    struct slice view; /* while `viewing`: what is unread of the bytes shown to the owner */
    struct io_ticket *ticket;
    int64_t last_read_us, last_write_us;
    int64_t end_by_us; /* when io_close_after_flush gives up */
    uint64_t bytes_in, bytes_out;
    struct net_address peer;
    int error;
    enum io_end end;
    bool connecting, paused, eof, blocked;
    bool redispatch; /* unread bytes are to be shown again */
    bool failed;     /* IO_FAILED is owed */
    bool busy;       /* an entry function is running */
    bool viewing;
    bool doomed; /* freed when the entry function returns */
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
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

static int err_of_errno(int code)
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

static void set_option(int fd, int level, int name, int value)
{
    /* A connection without one of its options still works. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static struct io *io_new(struct worker *w, int fd, const struct net_address *peer,
                         io_handler *handler, void *owner)
{
    struct io *io = xcalloc(1, sizeof *io);
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
    event_assign(&io->read_event, w->base, fd, EV_READ | EV_PERSIST, on_readable, io);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    METRIC_ADD(w->metrics.connections_open, 1);
    return io;
}

static void read_start(struct io *io)
{
    if (io->fd >= 0 && !io->paused && !io->eof && !io->connecting)
        event_add(&io->read_event, NULL);
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

static void fail_later(struct io *io, int error)
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
    read_start(io);
    return io;
}

struct io *io_connect(struct worker *w, const struct net_address *to, io_handler *handler,
                      void *owner)
{
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = errno;
    struct io *io = io_new(w, fd, to, handler, owner);
    io->connecting = true;
    if (fd < 0) {
        fail_later(io, err_of_errno(error));
        return io;
    }
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0 && errno != EINPROGRESS)
        fail_later(io, err_of_errno(errno));
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
static bool dispatch(struct io *io, enum io_event ev)
{
    struct worker *w = io->worker;
    int64_t start_us = clock_us();
    io->handler(io, ev, io->owner);
    worker_watch(w, io_event_name(ev), start_us);
    return io->fd >= 0;
}

static void leave(struct io *io)
{
    io->busy = false;
    if (io->doomed)
        destroy(io);
}

static void end_now(struct io *io)
{
    io_close(io);
    dispatch(io, IO_CLOSED);
}

/* The connection is of no more use; the owner hears it once. */
static void fail(struct io *io, int error)
{
    io->error = error;
    io->failed = false;
    if (io->fd >= 0)
        event_del(&io->read_event);
    if (io->write_event != NULL)
        event_del(io->write_event);
    if (io->end != END_NOT)
        end_now(io);
    else
        dispatch(io, IO_FAILED);
}

/* Reading. */

/* Shows bytes to the owner.  `kept` are those of in, otherwise what is left over is copied there.
 */
static bool show(struct io *io, struct slice bytes, bool kept)
{
    io->view = bytes;
    io->viewing = true;
    bool alive = dispatch(io, IO_DATA);
    size_t used = bytes.len - io->view.len;
    io->viewing = false;
    if (!alive)
        return false;
    int err = 0;
    if (kept)
        buf_consume(&io->in, used);
    else
        err = buf_append(&io->in, io->view.p, io->view.len);
    if (err == 0 && used == 0 && !io->paused && !io->redispatch && buf_len(&io->in) >= io->in.max)
        err = ERR_TOO_LARGE;
    if (err == 0)
        return true;
    fail(io, err);
    return false;
}

static void got_bytes(struct io *io, size_t n)
{
    io->last_read_us = clock_us();
    io->bytes_in += n;
    METRIC_ADD(io->worker->metrics.bytes_in_total, n);
}

static void got_none(struct io *io, ssize_t n)
{
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            fail(io, err_of_errno(errno));
        return;
    }
    io->eof = true;
    event_del(&io->read_event);
    if (io->end == END_NOT)
        dispatch(io, IO_CLOSED);
    else if (io->end == END_WAITING)
        end_now(io);
}

/* One read and what follows from it.  The bytes got when the socket may have more, else 0. */
static size_t read_once(struct io *io)
{
    uint8_t *scratch = io->worker->scratch;
    size_t have = buf_len(&io->in), room = io->in.max - have;
    bool merge = have <= IO_MERGE_MAX;
    size_t want = merge ? WORKER_SCRATCH_SIZE - have : IO_APPEND_READ;
    if (want > room)
        want = room;
    uint8_t *dst = merge ? scratch + have : buf_reserve(&io->in, want);
    if (dst == NULL || want == 0) {
        fail(io, dst == NULL ? ERR_NOMEM : ERR_TOO_LARGE);
        return 0;
    }
    ssize_t n = recv(io->fd, dst, want, 0);
    if (n <= 0) {
        got_none(io, n);
        return 0;
    }
    got_bytes(io, (size_t)n);
    struct slice bytes = slice_of(scratch, have + (size_t)n);
    if (!merge) {
        buf_commit(&io->in, (size_t)n);
        bytes = buf_slice(&io->in);
    } else if (have > 0) {
        memcpy(scratch, buf_slice(&io->in).p, have);
        buf_consume(&io->in, have);
    }
    return show(io, bytes, !merge) && (size_t)n == want ? (size_t)n : 0;
}

/* The peer's last words after ours: nobody listens to them. */
static size_t discard_once(struct io *io)
{
    ssize_t n = recv(io->fd, io->worker->scratch, WORKER_SCRATCH_SIZE, 0);
    if (n > 0)
        got_bytes(io, (size_t)n);
    else
        got_none(io, n);
    return n == WORKER_SCRATCH_SIZE ? (size_t)n : 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    if (io->redispatch)
        return; /* older bytes first: on_turn is queued */
    io->busy = true;
    size_t total = 0, n;
    do {
        n = io->end == END_NOT ? read_once(io) : discard_once(io);
        total += n;
    } while (n > 0 && total < IO_TURN_BYTES_MAX && io->fd >= 0 && !io->paused && !io->redispatch);
    leave(io);
}

struct slice io_data(const struct io *io)
{
    return io->viewing ? io->view : buf_slice(&io->in);
}

void io_consume(struct io *io, size_t len)
{
    if (!io->viewing) {
        buf_consume(&io->in, len);
        return;
    }
    must(len <= io->view.len);
    io->view = slice_of(io->view.p + len, io->view.len - len);
}

static void show_again(struct io *io)
{
    if (io->fd < 0 || io_data(io).len == 0)
        return;
    io->redispatch = true;
    task_defer(io->worker, &io->turn);
}

void io_pause(struct io *io)
{
    if (io->paused || io->end != END_NOT)
        return;
    io->paused = true;
    io->redispatch = false;
    if (io->fd >= 0)
        event_del(&io->read_event);
}

void io_resume(struct io *io)
{
    if (!io->paused)
        return;
    io->paused = false;
    read_start(io);
    show_again(io);
}

void io_set_handler(struct io *io, io_handler *handler, void *owner)
{
    io->handler = handler;
    io->owner = owner;
    if (!io->paused)
        show_again(io);
}

void io_set_limits(struct io *io, size_t in_max, size_t out_max)
{
    size_t in = io_data(io).len, out = buf_len(&io->out);
    io->in.max = in_max > in ? in_max : in;
    io->out.max = out_max > out ? out_max : out;
}

/* Writing. */

/* The socket takes no more for now. */
static void block(struct io *io)
{
    io->blocked = true;
    write_start(io);
}

static ssize_t send_some(struct io *io, const struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    do {
        n = sendmsg(io->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    METRIC_INC(io->worker->metrics.writes_total);
    if (n >= 0) {
        io->last_write_us = clock_us();
        io->bytes_out += (uint64_t)n;
        METRIC_ADD(io->worker->metrics.bytes_out_total, (uint64_t)n);
        return n;
    }
    if (errno == EAGAIN || errno == ENOBUFS)
        return 0;
    return err_of_errno(errno);
}

/* Sends from the queue until it is empty or the socket refuses; 0 or the error. */
static int flush(struct io *io)
{
    while (buf_len(&io->out) > 0 && !io->blocked && !io->connecting) {
        struct slice s = buf_slice(&io->out);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len};
        ssize_t n = send_some(io, &iov, 1);
        if (n < 0)
            return (int)n;
        buf_consume(&io->out, (size_t)n);
        if ((size_t)n < s.len)
            block(io);
    }
    return 0;
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
    if (err < 0)
        return err;
    if (io->blocked || io->connecting || count == 0)
        return 0;
    if (count > IO_IOV_MAX)
        count = IO_IOV_MAX;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ssize_t n = send_some(io, iov, count);
    if (n >= 0 && (size_t)n < total)
        block(io);
    return n;
}

/* Closing after what is queued. */

static void end_step(struct io *io)
{
    if (io->end != END_FLUSHING || buf_len(&io->out) > 0 || io->blocked)
        return;
    if (io->eof || io->connecting) {
        end_now(io);
        return;
    }
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
    read_start(io);
    task_defer(io->worker, &io->turn);
}

/* Entries. */

static void connected(struct io *io)
{
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code != 0) {
        fail(io, err_of_errno(code));
        return;
    }
    io->connecting = false;
    event_del(io->write_event);
    read_start(io);
    if (buf_len(&io->out) > 0 || io->end != END_NOT)
        task_defer(io->worker, &io->turn);
    if (io->end == END_NOT)
        dispatch(io, IO_CONNECTED);
}

static void writable(struct io *io)
{
    io->blocked = false;
    int err = flush(io);
    if (err < 0) {
        fail(io, err);
        return;
    }
    if (io->blocked)
        return;
    if (io->end != END_NOT)
        end_step(io);
    else if (!dispatch(io, IO_DRAINED))
        return;
    if (io->fd >= 0 && !io->blocked)
        event_del(io->write_event); /* kept while it would only be added again */
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    io->busy = true;
    if (io->connecting)
        connected(io);
    else
        writable(io);
    leave(io);
}

static void turn(struct io *io)
{
    if (io->failed) {
        fail(io, io->error);
        return;
    }
    int err = flush(io);
    if (err < 0) {
        fail(io, err);
        return;
    }
    if (io->end != END_NOT) {
        end_step(io);
        return;
    }
    if (!io->redispatch)
        return;
    io->redispatch = false;
    if (buf_len(&io->in) > 0)
        show(io, buf_slice(&io->in), true);
}

static void on_turn(void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    io->busy = true;
    turn(io);
    leave(io);
}

static void on_deadline(void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    io->busy = true;
    if (io->end != END_NOT)
        end_now(io);
    else
        dispatch(io, IO_TIMEOUT);
    leave(io);
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

/* Questions and options. */

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
    return buf_len(&io->out);
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

struct worker *io_worker(const struct io *io)
{
    return io->worker;
}

int io_error(const struct io *io)
{
    return io->error;
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
    set_option(io->fd, SOL_SOCKET, SO_SNDBUF, bytes);
    set_option(io->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

void io_set_dead_peer(struct io *io, int64_t user_timeout_ms)
{
    /* Seconds of silence before the first probe, between probes; probes without answer. */
    enum { IDLE_S = 10, INTERVAL_S = 5, PROBES = 3 };
    if (io->fd < 0)
        return;
    set_option(io->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)user_timeout_ms);
    set_option(io->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(io->fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
    set_option(io->fd, IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S);
    set_option(io->fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
}

size_t io_memory(const struct io *io)
{
    size_t events = (io->write_event != NULL ? sizeof *io->write_event : 0) +
                    (io->timer != NULL ? sizeof *io->timer : 0);
    return sizeof *io + events + io->in.room + io->out.room;
}
