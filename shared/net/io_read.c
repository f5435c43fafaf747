/*
 * Reading: socket -> worker's scratch -> owner; what it leaves -> in -> (with the next read) owner.
 */
#include "base/err.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/io_tls.h"

#include <errno.h>

/* Bytes read from one connection per readiness, so that a fast peer does not starve the others. */
#define IO_TURN_BYTES_MAX WORKER_SCRATCH_SIZE
/* Leftovers up to this size (bytes) are put in front of the next read in the scratch; larger ones
 * stay where they are and the read is appended to them. */
#define IO_MERGE_MAX (16 * 1024)
/* Bytes of room made for one such appended read. */
#define IO_APPEND_READ (64 * 1024)

bool io_show(struct io *io, struct slice bytes, bool kept)
{
    io->view = bytes;
    io->viewing = true;
    bool alive = io_dispatch(io, IO_DATA);
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
    io_fail(io, err);
    return false;
}

void io_got_bytes(struct io *io, size_t n)
{
    io->last_read_us = clock_us();
    io->bytes_in += n;
    METRIC_ADD(io->worker->metrics.bytes_in_total, n);
}

/* Bytes, 0 when there are none now, or a negative enum err; `eof` at the end of the stream. */
static ssize_t receive(struct io *io, uint8_t *dst, size_t room, bool *eof)
{
    if (io->tls != NULL && io->end != END_WAITING)
        return io_tls_receive(io, dst, room, eof);
    ssize_t n = recv(io->fd, dst, room, 0);
    if (n > 0)
        io_got_bytes(io, (size_t)n);
    *eof = n == 0;
    if (n >= 0 || errno == EAGAIN || errno == EINTR)
        return n > 0 ? n : 0;
    return io_err_of_errno(errno);
}

static void got_none(struct io *io, ssize_t n, bool eof)
{
    if (n < 0)
        io_fail(io, (int)n);
    if (!eof)
        return;
    io->eof = true;
    event_del(&io->read_event);
    if (io->end == END_NOT)
        io_dispatch(io, IO_CLOSED);
    else if (io->end == END_WAITING)
        io_end_now(io);
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
        io_fail(io, dst == NULL ? ERR_NOMEM : ERR_TOO_LARGE);
        return 0;
    }
    bool eof = false;
    ssize_t n = receive(io, dst, want, &eof);
    if (n <= 0) {
        got_none(io, n, eof);
        return 0;
    }
    struct slice bytes = slice_of(scratch, have + (size_t)n);
    if (!merge) {
        buf_commit(&io->in, (size_t)n);
        bytes = buf_slice(&io->in);
    } else if (have > 0) {
        struct slice kept = buf_slice(&io->in);
        must(kept.p != NULL);
        memcpy(scratch, kept.p, have);
        buf_consume(&io->in, have);
    }
    return io_show(io, bytes, !merge) && (size_t)n == want ? (size_t)n : 0;
}

/* The peer's last words after ours: nobody listens to them. */
static size_t discard_once(struct io *io)
{
    bool eof = false;
    ssize_t n = receive(io, io->worker->scratch, WORKER_SCRATCH_SIZE, &eof);
    if (n <= 0)
        got_none(io, n, eof);
    return n == WORKER_SCRATCH_SIZE ? (size_t)n : 0;
}

void io_read_turn(struct io *io)
{
    size_t total = 0, n;
    do {
        n = io->end == END_NOT ? read_once(io) : discard_once(io);
        total += n;
    } while (n > 0 && total < IO_TURN_BYTES_MAX && io->fd >= 0 && !io->paused && !io->redispatch);
    if (io->fd >= 0 && io->tls != NULL && io->tls->more && !io->paused)
        task_defer(io->worker, &io->turn);
}

/* TLS had to wait for these bytes; the owner may not want any. */
static bool peer_came(struct io *io)
{
    io->tls->awaits_peer = false;
    io_writable(io);
    if (io->fd >= 0 && io->paused && !io->tls->awaits_peer)
        event_del(&io->read_event);
    return io->fd >= 0 && !io->paused;
}

static void readable(struct io *io)
{
    if (io_tls_handshaking(io))
        io_shake_hands(io);
    else if (!io_tls_wants_socket(io) || peer_came(io))
        io_read_turn(io);
}

void io_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct io *io = OBJ_CAST(struct io, arg, IO_MAGIC);
    if (io->redispatch)
        return; /* older bytes first: on_turn is queued */
    io->busy = true;
    readable(io);
    io_leave(io);
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

void io_show_again(struct io *io)
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
    if (io->fd >= 0 && !io_tls_wants_socket(io))
        event_del(&io->read_event);
}

void io_resume(struct io *io)
{
    if (!io->paused)
        return;
    io->paused = false;
    io_read_start(io);
    io_show_again(io);
}

void io_set_handler(struct io *io, io_handler *handler, void *owner)
{
    io->handler = handler;
    io->owner = owner;
    if (!io->paused)
        io_show_again(io);
}

void io_set_limits(struct io *io, size_t in_max, size_t out_max)
{
    size_t in = io_data(io).len, out = buf_len(&io->out);
    io->in.max = in_max > in ? in_max : in;
    io->out.max = out_max > out ? out_max : out;
}
