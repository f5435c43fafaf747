/*
 * ICE-TCP, passive (RFC 6544): a remote that cannot use UDP connects, and each datagram is a frame
 * with its length in front (RFC 4571).  Whose connection it is, its first check says.
 */
#include "rtc/rtc_internal.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CHECK_MS  5000         /* from connecting to a valid check */
#define OUT_MAX         (512 * 1024) /* bytes that wait; video stops before (rtc_sender.c) */
#define UNSENT_MAX      (32 * 1024)  /* bytes in the kernel that are not under way */
#define USER_TIMEOUT_MS 20000
#define GOODBYE_MS      1000 /* for what is still to be sent */

struct rtc_stream {
    uint32_t magic;
    struct rtc_port *port;
    struct list node; /* of the port's streams, or of its dead ones */
    struct io *io;
    struct rtc_peer *peer; /* NULL: nobody's yet, or no more */
    struct ice_path path;
    bool closing; /* nothing is read any more */
};

static void stream_close(struct rtc_stream *s)
{
    struct rtc_peer *p = s->peer;
    s->peer = NULL;
    s->closing = true;
    io_free(&s->io);
    list_remove(&s->node);
    list_append(&s->port->dead_streams, &s->node);
    rtc_port_bury(s->port);
    if (p == NULL)
        return;
    ice_session_forget(p->ice, s);
    if (ice_session_path(p->ice) == NULL)
        rtc_peer_suspect(p);
}

void rtc_stream_free(struct list *node)
{
    struct rtc_stream *s = container_of(node, struct rtc_stream, node);
    OBJ_CHECK(s, RTC_STREAM_MAGIC);
    list_remove(&s->node);
    io_free(&s->io);
    OBJ_POISON(s);
    free(s);
}

void rtc_streams_free(struct rtc_port *port)
{
    while (!list_empty(&port->streams))
        rtc_stream_free(port->streams.next);
}

/* --- in --- */

/* One frame, if there is a whole one.  False when the connection has come to its end. */
static bool read_frame(struct rtc_stream *s, bool *more)
{
    struct rtc_port *port = s->port;
    struct rd r = rd_slice(io_data(s->io));
    size_t len = rd_u16(&r);
    struct slice frame = rd_slice_of(&r, len);
    *more = false;
    if (len > RTC_FRAME_MAX)
        return false;
    if (r.underrun)
        return true;
    memcpy(port->frame_in, frame.p, frame.len);
    io_consume(s->io, 2 + len);
    *more = true;
    return rtc_port_receive(port, &s->path, s->peer, port->frame_in, len, clock_us());
}

static void read_frames(struct rtc_stream *s)
{
    bool more = true;
    while (more && !s->closing) {
        bool ok = read_frame(s, &more);
        if (!ok && !s->closing)
            stream_close(s);
    }
}

static void on_io(struct io *io, enum io_event ev, void *owner)
{
    struct rtc_stream *s = OBJ_CAST(struct rtc_stream, owner, RTC_STREAM_MAGIC);
    switch (ev) {
    case IO_DATA:
        read_frames(s);
        break;
    case IO_CLOSED:
    case IO_FAILED:
    case IO_TIMEOUT:
        stream_close(s);
        break;
    case IO_CONNECTED:
    case IO_DRAINED:
        break;
    }
}

void rtc_stream_accept(struct worker *w, struct io *io, void *arg)
{
    struct rtc_port *port = OBJ_CAST(struct rtc_port, arg, RTC_PORT_MAGIC);
    struct rtc_stream *s = xcalloc(1, sizeof *s);
    s->magic = RTC_STREAM_MAGIC;
    s->port = port;
    s->io = io;
    s->path.way.remote = *io_peer(io);
    s->path.stream = s;
    list_append(&port->streams, &s->node);
    io_set_limits(io, IO_IN_MAX_DEFAULT, OUT_MAX);
    io_set_unsent_max(io, UNSENT_MAX);
    io_set_dead_peer(io, USER_TIMEOUT_MS);
    io_deadline(io, FIRST_CHECK_MS);
    io_set_handler(io, on_io, s);
}

/* A peer has as many connections as ICE knows ways to it. */
static void close_forgotten(struct rtc_port *port, const struct rtc_peer *p)
{
    struct rtc_stream *s, *next;
    LIST_EACH_SAFE (s, next, &port->streams, node)
        if (s->peer == p && !ice_session_has(p->ice, s))
            stream_close(s);
}

void rtc_stream_bind(struct rtc_stream *s, struct rtc_peer *p)
{
    if (s->peer == p)
        return;
    if (s->peer != NULL)
        ice_session_forget(s->peer->ice, s);
    s->peer = p;
    io_deadline(s->io, 0); /* from now on the peer's consent decides */
    listener_established(s->io);
    close_forgotten(s->port, p);
}

/* --- out --- */

bool rtc_stream_send_frame(struct rtc_stream *s, size_t len)
{
    uint8_t *frame = s->port->frame_out;
    struct wr w = wr_init(frame, 2);
    wr_u16(&w, (unsigned)len);
    return !s->closing && io_write(s->io, frame, 2 + len) == 0;
}

size_t rtc_stream_queued(const struct rtc_stream *s)
{
    return s->closing ? 0 : io_queued(s->io);
}

void rtc_streams_leave(struct rtc_peer *p)
{
    struct rtc_stream *s;
    LIST_EACH (s, &p->port->streams, node) {
        if (s->peer != p)
            continue;
        s->peer = NULL;
        s->closing = true;
        io_close_after_flush(s->io, GOODBYE_MS);
    }
}
