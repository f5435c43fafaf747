/*
 * The life of a connection: handshake, chunks, deadlines, and its end in two steps.
 *
 * Step one, rtmp_session_close(), may happen inside any callback: it says why, stops the input and
 * closes the socket, at once or after the last words.  Step two, the reaper, runs at the end of the
 * turn with no code of the session or its handler on the stack: it tells the handler, and frees the
 * session once the socket is closed.
 */
#include "net/rtmp_session_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "net/listener.h"
#include "proto/rtmp_handshake.h"

#include <inttypes.h>
#include <stdlib.h>

static void reap(void *arg);
static void on_io(struct io *io, enum io_event ev, void *owner);

struct rtmp_session *rtmp_session_new(struct rtmp_server *server, struct worker *w, struct io *io)
{
    struct rtmp_session *s = xcalloc_line(sizeof *s);
    s->magic = RTMP_SESSION_MAGIC;
    s->phase = PHASE_HELLO;
    s->server = server;
    s->worker = w;
    s->io = io;
    s->log = (struct log_id){"rtmp", w->index, log_new_id()};
    s->audio = s->video = true;
    s->opened_us = clock_us();
    s->peer_window = s->our_window = RTMP_WINDOW;
    s->out_chunk_size = RTMP_CHUNK_SIZE_DEFAULT;
    task_init(&s->reaper, reap, s);
    rtmp_chunk_reader_init(&s->reader, RTMP_COMMAND_MAX);
    buf_init(&s->held, RTMP_HELD_MAX);
    list_append(rtmp_server_sessions(server, w), &s->node);
    io_set_handler(io, on_io, s);
    io_deadline(io, limit_handshake_ms(w));
    return s;
}

/* ---- closing ---- */

static enum log_level close_level(const struct rtmp_session *s)
{
    if (close_reason_is_fault(s->why))
        return LOG_WARN;
    /* Health checks of balancers connect and go away. */
    return s->phase == PHASE_HELLO ? LOG_DEBUG : LOG_INFO;
}

static void log_close(const struct rtmp_session *s)
{
    char peer[NET_ADDRESS_TEXT_MAX];
    if (!rtmp_server_may_log(s, false))
        return;
    net_address_text(io_peer(s->io), peer);
    LOG_AT(close_level(s), &s->log,
           "session.close reason=%s error=%s stream=%s peer=%s seconds=%" PRId64
           " bytes_in=%" PRIu64 " bytes_out=%" PRIu64,
           close_reason_name(s->why), s->error != 0 ? err_text(s->error) : "none",
           s->name != NULL ? s->name : "-", peer, (clock_us() - s->opened_us) / 1000000,
           s->consumed, io_bytes_out(s->io));
}

void rtmp_session_close(struct rtmp_session *s, enum close_reason why, int64_t linger_ms)
{
    if (s->closing)
        return;
    s->closing = true;
    s->why = why;
    METRIC_INC(s->worker->metrics.closed[why]);
    if (linger_ms > 0)
        io_close_after_flush(s->io, linger_ms);
    else
        io_close(s->io);
    task_defer(s->worker, &s->reaper);
}

void rtmp_session_fail(struct rtmp_session *s, int error)
{
    if (s->closing)
        return;
    s->error = error;
    rtmp_session_close(s, error == ERR_NOMEM ? CLOSE_OVERLOAD : CLOSE_BAD_INPUT, 0);
}

/* A client that leaves, or says nothing more, after a stream that ended well is no event. */
static void leave(struct rtmp_session *s, enum close_reason why, int error)
{
    if (s->closing)
        return;
    s->error = error;
    rtmp_session_close(s, s->ended ? s->ended_why : why, 0);
}

static void tell_input_end(struct rtmp_session *s)
{
    if (s->delivered && s->handler_object != NULL)
        s->handler->on_input_end(s->handler_object);
    s->delivered = false;
}

static void close_handler(struct rtmp_session *s, enum close_reason why, bool clean)
{
    void *h = s->handler_object;
    s->handler_object = NULL;
    if (h != NULL)
        s->handler->on_close(h, why, clean);
}

void rtmp_session_end_stream(struct rtmp_session *s)
{
    s->ended_why = s->phase == PHASE_PUBLISH ? CLOSE_UNPUBLISHED : CLOSE_FINISHED;
    s->ended = true;
    tell_input_end(s);
    close_handler(s, s->ended_why, !s->asked);
    if (s->closing)
        return;
    if (s->mid_message) {
        /* Nothing that makes sense can follow half a message. */
        rtmp_session_close(s, s->ended_why, RTMP_LINGER_MS);
        return;
    }
    s->phase = PHASE_IDLE;
    rtmp_session_pause(s, false);
    io_deadline(s->io, limit_request_ms(s->worker));
}

void rtmp_session_free(struct rtmp_session **sp)
{
    struct rtmp_session *s = *sp;
    *sp = NULL;
    rtmp_session_close(s, CLOSE_DRAIN, 0);
    task_cancel(&s->reaper);
    close_handler(s, s->why, false);
    log_close(s);
    list_remove(&s->node);
    rtmp_chunk_reader_fini(&s->reader);
    buf_fini(&s->held);
    io_free(&s->io);
    free(s->app);
    free(s->app_query);
    free(s->name);
    free(s->query);
    OBJ_POISON(s);
    free(s);
}

static void reap(void *arg)
{
    struct rtmp_session *s = OBJ_CAST(struct rtmp_session, arg, RTMP_SESSION_MAGIC);
    close_handler(s, s->why, false);
    if (io_is_closed(s->io))
        rtmp_session_free(&s);
}

/* ---- input ---- */

static ssize_t take_hello(struct rtmp_session *s, struct slice bytes)
{
    static const struct rtmp_handshake_tools tools = {crypto_hmac_sha256, crypto_random};
    uint8_t reply[RTMP_HANDSHAKE_REPLY_SIZE];
    ssize_t n =
        rtmp_handshake_server(bytes.p, bytes.len, &tools, (uint32_t)(clock_us() / 1000), reply);
    if (n <= 0)
        return n;
    rtmp_session_output(s, slice_of(reply, sizeof reply));
    s->phase = PHASE_C2;
    s->skip = RTMP_HANDSHAKE_SIZE;
    return n;
}

static ssize_t take_c2(struct rtmp_session *s, struct slice bytes)
{
    size_t n = bytes.len < s->skip ? bytes.len : s->skip;
    s->skip -= (uint32_t)n;
    if (s->skip > 0)
        return (ssize_t)n;
    s->phase = PHASE_CONNECT;
    io_deadline(s->io, limit_request_ms(s->worker));
    listener_established(s->io);
    return (ssize_t)n;
}

static ssize_t take_chunk(struct rtmp_session *s, struct slice bytes)
{
    struct rtmp_message m;
    bool complete;
    ssize_t n = rtmp_chunk_read(&s->reader, bytes.p, bytes.len, &m, &complete);
    if (!complete)
        return n;
    int err = rtmp_input_message(s, &m);
    return err < 0 ? err : n;
}

static ssize_t take(struct rtmp_session *s, struct slice bytes)
{
    if (s->phase == PHASE_HELLO)
        return take_hello(s, bytes);
    if (s->phase == PHASE_C2)
        return take_c2(s, bytes);
    return take_chunk(s, bytes);
}

static void send_acknowledgement(struct rtmp_session *s)
{
    struct rtmp_reply r;
    s->acked = s->consumed;
    rtmp_reply_init(&r, s);
    rtmp_reply_control(&r, RTMP_ACK, (uint32_t)s->consumed);
    rtmp_reply_send(&r);
}

static bool owes_acknowledgement(const struct rtmp_session *s)
{
    return !s->closing && (s->phase & PHASE_ESTABLISHED) != 0 &&
           s->consumed - s->acked >= s->peer_window;
}

static void limited(struct rtmp_session *s, enum limit which)
{
    char peer[NET_ADDRESS_TEXT_MAX];
    net_address_text(io_peer(s->io), peer);
    limit_reached(s->worker, which, peer);
}

/* Who has no leave to publish yet has few words to say. */
static void count_unaccepted(struct rtmp_session *s, size_t n)
{
    if ((s->phase & (PHASE_PUBLISH | PHASE_PLAY)) != 0)
        s->unaccepted = 0;
    else
        s->unaccepted += n;
    if (s->closing || s->unaccepted <= (uint64_t)limit_unaccepted_bytes(s->worker))
        return;
    limited(s, LIMIT_UNACCEPTED);
    rtmp_session_fail(s, ERR_TOO_LARGE);
}

size_t rtmp_session_feed(struct rtmp_session *s, struct slice bytes)
{
    size_t used = 0;
    int left = RTMP_TURN_CHUNKS;
    s->has_more = false;
    while (!s->closing && !s->paused && used < bytes.len) {
        if (left-- == 0) {
            s->has_more = true;
            break;
        }
        ssize_t n = take(s, slice_of(bytes.p + used, bytes.len - used));
        if (n < 0)
            rtmp_session_fail(s, (int)n);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    s->consumed += used;
    count_unaccepted(s, used);
    tell_input_end(s);
    if (owes_acknowledgement(s))
        send_acknowledgement(s);
    return used;
}

/* ---- the connection ---- */

/* A connection on which nothing moves (a paused player, a held stream) is pinged now and then: that
 * keeps state in middleboxes alive and makes TCP find out about a peer that is gone.  Where media
 * flows, TCP finds out by itself. */
static void ping(struct rtmp_session *s)
{
    struct rtmp_reply r;
    int64_t now_us = clock_us(), last_us = io_last_read_us(s->io);
    if (io_last_write_us(s->io) > last_us)
        last_us = io_last_write_us(s->io);
    io_deadline(s->io, RTMP_PING_EVERY_MS);
    if (now_us - last_us < (int64_t)RTMP_PING_EVERY_MS * 1000)
        return;
    rtmp_reply_init(&r, s);
    rtmp_reply_event(&r, RTMP_EVENT_PING_REQUEST, (uint32_t)(now_us / 1000));
    rtmp_reply_send(&r);
}

static void on_time(struct rtmp_session *s)
{
    if (s->closing)
        return;
    if (s->phase == PHASE_PLAY) {
        ping(s);
        return;
    }
    limited(s, (s->phase & (PHASE_HELLO | PHASE_C2)) != 0 ? LIMIT_HANDSHAKE : LIMIT_REQUEST);
    leave(s, CLOSE_TIMEOUT, ERR_TIMEOUT);
}

static void on_drained(struct rtmp_session *s)
{
    if (!s->closing && s->phase == PHASE_PLAY)
        s->handler->on_writable(s->handler_object);
}

static void on_io(struct io *io, enum io_event ev, void *owner)
{
    struct rtmp_session *s = OBJ_CAST(struct rtmp_session, owner, RTMP_SESSION_MAGIC);
    switch (ev) {
    case IO_DATA:
        io_consume(io, rtmp_session_feed(s, io_data(io)));
        if (s->has_more)
            io_show_again(io);
        break;
    case IO_DRAINED:
        on_drained(s);
        break;
    case IO_TIMEOUT:
        on_time(s);
        break;
    case IO_CLOSED:
        leave(s, CLOSE_PEER_CLOSED, 0);
        task_defer(s->worker, &s->reaper);
        break;
    case IO_FAILED:
        leave(s, io_close_reason(io_error(io)), io_error(io));
        task_defer(s->worker, &s->reaper);
        break;
    case IO_CONNECTED:
        break;
    }
}

/* ---- output ---- */

/* A client that sends requests and does not read the answers fills the queue. */
static void check_output(struct rtmp_session *s, int err)
{
    if (err == ERR_TOO_LARGE || err == ERR_NOMEM)
        rtmp_session_close(s, CLOSE_TOO_SLOW, 0);
}

void rtmp_session_output(struct rtmp_session *s, struct slice bytes)
{
    if (s->closing || bytes.len == 0)
        return;
    check_output(s, s->mid_message ? buf_append(&s->held, bytes.p, bytes.len)
                                   : io_write(s->io, bytes.p, bytes.len));
}

/* The handler's last message is complete: what waited for that goes out. */
static void release_held(struct rtmp_session *s)
{
    s->mid_message = false;
    if (buf_len(&s->held) == 0)
        return;
    struct slice bytes = buf_slice(&s->held);
    check_output(s, io_write(s->io, bytes.p, bytes.len));
    buf_consume(&s->held, bytes.len);
}

int rtmp_session_write(struct rtmp_session *s, struct slice bytes)
{
    if (!s->closing)
        release_held(s);
    return s->closing ? ERR_CLOSED : io_write(s->io, bytes.p, bytes.len);
}

ssize_t rtmp_session_writev(struct rtmp_session *s, const struct iovec *iov, int count)
{
    size_t total = 0;
    if (s->closing)
        return ERR_CLOSED;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ssize_t n = io_writev(s->io, iov, count);
    if (n <= 0)
        return n;
    s->mid_message = (size_t)n < total;
    if (!s->mid_message)
        release_held(s);
    return n;
}

/* ---- what handlers ask and say ---- */

void rtmp_session_pause(struct rtmp_session *s, bool paused)
{
    if (s->closing || s->paused == paused)
        return;
    s->paused = paused;
    if (paused)
        io_pause(s->io);
    else
        io_resume(s->io);
}

struct io *rtmp_session_io(struct rtmp_session *s)
{
    return s->io;
}

const struct log_id *rtmp_session_log(const struct rtmp_session *s)
{
    return &s->log;
}

struct worker *rtmp_session_worker(const struct rtmp_session *s)
{
    return s->worker;
}
