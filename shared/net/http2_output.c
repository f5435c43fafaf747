/*
 * Frames, gathered for one write, to the io.  Bodies are not copied: their bytes lie in the
 * stream's `out`, in its content or with the handler who offers them, and are written before
 * http2_pump() returns.
 * What the socket does not take of a batch waits in the io's queue, and nothing more is made until
 * it is out.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "net/http2_connection.h"

#define OUTPUT_PIECES 128
#define OUTPUT_COPIED 2048 /* bytes of frame heads and small frames in a batch */

struct http2_output {
    struct iovec iov[OUTPUT_PIECES];
    int count;
    size_t len, copied;
    uint8_t copies[OUTPUT_COPIED];
};

/* The io's queue takes what the socket did not. */
static void keep(struct http2_connection *c, size_t taken)
{
    struct http2_output *o = c->output;
    for (int i = 0; i < o->count && c->error == 0; i++) {
        size_t skip = taken < o->iov[i].iov_len ? taken : o->iov[i].iov_len;
        taken -= skip;
        if (skip < o->iov[i].iov_len)
            c->error =
                io_write(c->io, (uint8_t *)o->iov[i].iov_base + skip, o->iov[i].iov_len - skip);
    }
    c->blocked = true;
    http2_wake_by(c, clock_us() + c->server->times.answer_ms * 1000);
}

static void flush(struct http2_connection *c)
{
    struct http2_output *o = c->output;
    if (o->count > 0 && c->error == 0) {
        ssize_t n = c->blocked ? 0 : io_writev(c->io, o->iov, o->count);
        if (n < 0)
            c->error = (int)n;
        else if ((size_t)n < o->len)
            keep(c, (size_t)n);
    }
    o->count = 0;
    o->len = o->copied = 0;
}

static void add(struct http2_connection *c, const void *p, size_t len)
{
    struct http2_output *o = c->output;
    if (len == 0)
        return;
    if (o->count == OUTPUT_PIECES)
        flush(c);
    o->iov[o->count++] = (struct iovec){(void *)(uintptr_t)p, len};
    o->len += len;
}

static void add_copy(struct http2_connection *c, const uint8_t *p, size_t len)
{
    struct http2_output *o = c->output;
    if (len > OUTPUT_COPIED - o->copied || o->count == OUTPUT_PIECES)
        flush(c);
    if (len > OUTPUT_COPIED) {
        add(c, p, len);
        flush(c); /* nghttp2 keeps it until the next frame only */
        return;
    }
    uint8_t *copy = o->copies + o->copied;
    memcpy(copy, p, len);
    o->copied += len;
    struct iovec *last = o->count > 0 ? &o->iov[o->count - 1] : NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == copy) {
        last->iov_len += len;
        o->len += len;
    } else {
        add(c, copy, len);
    }
}

void http2_pump(struct http2_connection *c)
{
    LEFT_AS_IT_IS struct http2_output output;
    must(c->output == NULL);
    if (c->closed || c->ending)
        return;
    output.count = 0;
    output.len = output.copied = 0;
    /* cppcheck-suppress autoVariables ; taken back before we return */
    c->output = &output;
    while (!c->blocked && c->error == 0) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        if (n < 0)
            c->error = n == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_PROTOCOL;
        if (n > 0)
            add_copy(c, bytes, (size_t)n);
        else
            flush(c);
        if (n <= 0)
            break;
    }
    flush(c);
    c->output = NULL;
}

/* Bodies. */

static size_t waiting(const struct http2_stream *s)
{
    return buf_len(&s->out) - s->out_at + s->offer_left;
}

ssize_t http2_source_read(nghttp2_session *session, int32_t id, uint8_t *dst, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct http2_connection *c = arg;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t all = waiting(s), n = all < room ? all : room;
    if (n == 0 && !s->ended) {
        s->writable = s->writable || s->wants_writable;
        s->wants_writable = false;
        if (s->writable)
            http2_stream_ready(s);
        return NGHTTP2_ERR_DEFERRED;
    }
    if (c->blocked || c->error != 0)
        return NGHTTP2_ERR_PAUSE;
    if (n == all && s->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (n > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)n;
}

static void add_offered(struct http2_stream *s, size_t len)
{
    s->offer_left -= len;
    while (len > 0) {
        size_t n = s->offer->iov_len - s->offer_at;
        if (n > len)
            n = len;
        add(s->c, (const uint8_t *)s->offer->iov_base + s->offer_at, n);
        len -= n;
        s->offer_at += n;
        if (s->offer_at == s->offer->iov_len) {
            s->offer++;
            s->offer_at = 0;
        }
    }
}

int http2_source_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                      size_t len, nghttp2_data_source *source, void *arg)
{
    enum { FRAME_HEAD = 9 };
    struct http2_connection *c = arg;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    must(s != NULL && len <= waiting(s) && frame->data.padlen == 0);
    add_copy(c, head, FRAME_HEAD);
    size_t queued = buf_len(&s->out) - s->out_at;
    if (queued > len)
        queued = len;
    if (queued > 0)
        add(c, buf_slice(&s->out).p + s->out_at, queued);
    s->out_at += queued;
    add_offered(s, len - queued);
    c->noise -= (int64_t)(1 + len / HTTP2_NOISE_SENT_BYTES);
    if (c->noise < 0)
        c->noise = 0;
    if (c->output->len >= HTTP2_BATCH)
        flush(c);
    return 0;
}
