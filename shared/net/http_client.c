/*
 * One request, one answer, one connection: request text -> io -> answer's head -> body -> owner.
 * `expect` is the function that takes the next bytes.  A call is freed at the end of the turn in
 * which it ended, or at once when it is cancelled from outside its own callbacks.
 */
#include "net/http_client.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/http_chunker.h"
#include "net/http_intake.h"

#include <stdlib.h>

#define CALL_MAGIC 0x63616c6cU

#define REQUEST_HEAD_MAX HTTP1_HEAD_MAX
#define BODY_END_ROOM    16 /* bytes of the last chunk */

struct http_call {
    uint32_t magic;
    struct worker *worker;
    struct io *io;
    const struct http_call_ops *ops;
    void *owner;
    struct task reap;
    ssize_t (*expect)(struct http_call *c, struct slice in);
    struct buf head; /* what `response` points into */
    struct http1_response response;
    struct http_intake intake;
    struct http_chunker chunker; /* of a request body that is streamed */
    uint64_t body_left;
    int64_t idle_ms;
    bool has_head, head_only;
    bool connected;
    bool streams_body, body_ended;
    bool ended;
    bool busy; /* on_io is on the stack */
};

static void call_free(struct http_call *c)
{
    task_cancel(&c->reap);
    io_free(&c->io);
    buf_fini(&c->head);
    http_intake_fini(&c->intake);
    OBJ_POISON(c);
    free(c);
}

static void on_reap(void *arg)
{
    call_free(OBJ_CAST(struct http_call, arg, CALL_MAGIC));
}

static void call_end(struct http_call *c, enum close_reason why)
{
    if (c->ended)
        return;
    c->ended = true;
    io_close(c->io);
    task_defer(c->worker, &c->reap);
    c->ops->on_end(c, why, c->owner);
}

void http_call_cancel(struct http_call **cp)
{
    struct http_call *c = *cp;
    if (c == NULL)
        return;
    *cp = NULL;
    OBJ_CHECK(c, CALL_MAGIC);
    if (c->ended)
        return;
    c->ended = true;
    io_close(c->io);
    if (c->busy)
        task_defer(c->worker, &c->reap);
    else
        call_free(c);
}

/* Bodies. */

/* An http_take: ERR_CLOSED when the call has ended. */
static ssize_t take(struct slice bytes, void *arg)
{
    struct http_call *c = arg;
    ssize_t n = c->ops->on_body(c, bytes, c->owner);
    if (c->ended)
        return ERR_CLOSED;
    return n < 0 ? ERR_PROTOCOL : n;
}

static ssize_t deliver(struct http_call *c, struct slice bytes)
{
    return http_offer(bytes, c->intake.unread_max, take, c);
}

static ssize_t expect_length(struct http_call *c, struct slice in)
{
    bool all = in.len >= c->body_left;
    if (all)
        in.len = (size_t)c->body_left;
    ssize_t n = deliver(c, in);
    if (n < 0)
        return n;
    c->body_left -= (uint64_t)n;
    if (c->body_left == 0)
        call_end(c, CLOSE_FINISHED);
    else if (all)
        return ERR_PROTOCOL; /* the owner waits for more than there is */
    return n;
}

static ssize_t expect_until_close(struct http_call *c, struct slice in)
{
    return deliver(c, in);
}

static ssize_t expect_chunks(struct http_call *c, struct slice in)
{
    bool done = false;
    ssize_t n = http_intake_read(&c->intake, in, &done, take, c);
    if (n > 0 && done)
        call_end(c, CLOSE_FINISHED);
    return n;
}

/* The head. */

static bool has_body(const struct http_call *c)
{
    const struct http1_fields *f = &c->response.fields;
    return !c->head_only && f->body != HTTP1_BODY_NONE &&
           (f->body != HTTP1_BODY_LENGTH || f->content_length > 0);
}

static void expect_body(struct http_call *c)
{
    switch (c->response.fields.body) {
    case HTTP1_BODY_LENGTH:
        c->body_left = c->response.fields.content_length;
        c->expect = expect_length;
        break;
    case HTTP1_BODY_CHUNKED:
        c->expect = expect_chunks;
        break;
    case HTTP1_BODY_UNTIL_CLOSE:
    case HTTP1_BODY_NONE:
        c->expect = expect_until_close;
        break;
    }
}

static ssize_t expect_head(struct http_call *c, struct slice in)
{
    ssize_t n = http1_response_read(in.p, in.len, &c->response);
    if (n <= 0)
        return n;
    if (c->response.status < 200)
        return c->response.status == 101 ? ERR_PROTOCOL : n;
    if (buf_append(&c->head, in.p, (size_t)n) < 0)
        return ERR_NOMEM;
    struct slice kept = buf_slice(&c->head);
    must(http1_response_read(kept.p, kept.len, &c->response) == n);
    c->has_head = true;
    expect_body(c);
    io_deadline(c->io, c->idle_ms);
    if (c->ops->on_head != NULL)
        c->ops->on_head(c, c->response.status, c->owner);
    if (!c->ended && !has_body(c))
        call_end(c, CLOSE_FINISHED);
    return n;
}

/* Events. */

/* An answer in TLS to our plain request. */
static bool is_alert(const struct http_call *c, struct slice in)
{
    return !c->has_head && in.len >= 2 && in.p[0] == 21 && in.p[1] == 3;
}

static void call_read(struct http_call *c)
{
    while (!c->ended) {
        struct slice in = io_data(c->io);
        if (in.len == 0)
            return;
        ssize_t n = c->expect(c, in);
        if (n < 0)
            call_end(c, is_alert(c, in) ? CLOSE_TLS : CLOSE_BAD_INPUT);
        if (n <= 0)
            return;
        io_consume(c->io, (size_t)n);
    }
}

static void peer_closed(struct http_call *c)
{
    bool complete = c->has_head && c->expect == expect_until_close && io_data(c->io).len == 0;
    if (is_alert(c, io_data(c->io)))
        call_end(c, CLOSE_TLS);
    else
        call_end(c, complete ? CLOSE_FINISHED : CLOSE_PEER_CLOSED);
}

static void timed_out(struct http_call *c)
{
    int64_t left_ms = c->idle_ms - (clock_us() - io_last_read_us(c->io)) / 1000;
    if (c->has_head && left_ms > 0)
        io_deadline(c->io, left_ms);
    else
        call_end(c, CLOSE_TIMEOUT);
}

static void writable(struct http_call *c)
{
    if (c->streams_body && !c->body_ended && c->ops->on_writable != NULL)
        c->ops->on_writable(c, c->owner);
}

static enum close_reason reason_of(int err)
{
    if (err == ERR_TOO_LARGE)
        return CLOSE_BAD_INPUT;
    if (err == ERR_TLS)
        return CLOSE_TLS;
    return err == ERR_REFUSED ? CLOSE_REFUSED : CLOSE_IO_ERROR;
}

static void on_io(struct io *io, enum io_event ev, void *owner)
{
    struct http_call *c = OBJ_CAST(struct http_call, owner, CALL_MAGIC);
    c->busy = true;
    switch (ev) {
    case IO_DATA:
        call_read(c);
        break;
    case IO_CLOSED:
        peer_closed(c);
        break;
    case IO_TIMEOUT:
        timed_out(c);
        break;
    case IO_FAILED:
        call_end(c, reason_of(io_error(io)));
        break;
    case IO_CONNECTED:
        c->connected = true;
        writable(c);
        break;
    case IO_DRAINED:
        writable(c);
        break;
    }
    c->busy = false;
}

/* Starting. */

static void write_request(struct wr *w, const struct http_call_options *o)
{
    http1_write_request(w, o->method, slice_text(o->target));
    http1_write_header(w, "Host", slice_text(o->host));
    for (size_t i = 0; i < o->header_count; i++)
        http1_write_header(w, o->headers[i].name, o->headers[i].value);
    if (o->streams_body)
        http1_write_header(w, "Transfer-Encoding", slice_text("chunked"));
    else if (o->body.len > 0 || strcmp(o->method, "POST") == 0 || strcmp(o->method, "PUT") == 0)
        http1_write_number(w, "Content-Length", o->body.len);
    http1_write_header(w, "Connection", slice_text("close"));
    http1_write_end(w);
}

struct http_call *http_call_start(struct worker *w, const struct http_call_options *o,
                                  const struct http_call_ops *ops, void *owner)
{
    uint8_t head[REQUEST_HEAD_MAX];
    struct wr text = wr_init(head, sizeof head);
    write_request(&text, o);
    must(!text.overflow && (!o->streams_body || o->body.len == 0));

    struct http_call *c = xcalloc(1, sizeof *c);
    c->magic = CALL_MAGIC;
    c->worker = w;
    c->ops = ops;
    c->owner = owner;
    c->expect = expect_head;
    c->idle_ms = o->idle_ms;
    c->streams_body = o->streams_body;
    c->head_only = strcmp(o->method, "HEAD") == 0;
    task_init(&c->reap, on_reap, c);
    buf_init(&c->head, HTTP1_HEAD_MAX);
    http_intake_init(&c->intake, o->unread_max);
    c->io = io_connect(w, &o->to, on_io, c);
    if (o->tls != NULL)
        io_start_tls(c->io, o->tls, o->host);
    /* The end of a streamed body is queued behind what the socket does not take. */
    io_set_limits(c->io, HTTP1_HEAD_MAX + o->unread_max + HTTP_READ_AHEAD,
                  wr_len(&text) + o->body.len + BODY_END_ROOM);
    io_deadline(c->io, o->head_deadline_ms);
    /* A socket that could not even be made is told by IO_FAILED. */
    (void)io_write(c->io, head, wr_len(&text));
    (void)io_write(c->io, o->body.p, o->body.len);
    return c;
}

const char *http_call_error_text(const struct http_call *c)
{
    return io_error(c->io) == ERR_TLS ? io_error_text(c->io) : "the peer speaks TLS, we do not";
}

struct slice http_call_header(const struct http_call *c, const char *name)
{
    return http1_header_value(&c->response.fields, name);
}

/* The request's body. */

ssize_t http_call_writev(struct http_call *c, const struct iovec *iov, int count)
{
    OBJ_CHECK(c, CALL_MAGIC);
    must(c->streams_body && !c->body_ended);
    return c->ended ? ERR_CLOSED : http_chunker_writev(&c->chunker, c->io, iov, count);
}

void http_call_body_end(struct http_call *c)
{
    OBJ_CHECK(c, CALL_MAGIC);
    must(c->streams_body && !c->body_ended);
    c->body_ended = true;
    if (!c->ended)
        http_chunker_end(&c->chunker, c->io);
}

bool http_call_is_connected(const struct http_call *c)
{
    return c->connected;
}
