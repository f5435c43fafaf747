/*
 * Calls between nodes: net/relay_call.h on the one side, net/http_server.h on the other, and pipes
 * between them.  Signatures are not made: every node is what it says.
 */
#include "sim.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/json.h"
#include "net/http_server.h"
#include "net/relay_call.h"
#include "net/relay_sign.h"
#include "proto/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNREAD_MAX (8 * 1024 * 1024)
#define HANG_US    1000000 /* how long a connection that nobody answers is looked after */

struct exchange_end; /* the two ends of a call know each other by this */

/* The caller's end. */
struct relay_call {
    struct list node;
    int at, to;
    const struct relay_client *client;
    const struct relay_call_ops *ops;
    void *owner;
    char method[8], target[RELAY_CALL_TARGET_MAX], path[256];
    struct buf body, unread;
    struct sim_event *start, *deadline, *ending;
    int64_t idle_us;
    struct sim_pipe in;  /* from the server: struct bit */
    struct sim_pipe out; /* a streamed body: BIT_BODY and BIT_END */
    bool streams_body;
    struct http_exchange *x;
    int status;
    bool busy, cancelled;
};

/* What is under way. */
struct bit {
    enum { BIT_HEAD, BIT_BODY, BIT_END, BIT_RESET } kind;
    int status;
    struct buf bytes;
};

/* The server's end. */
struct http_exchange {
    struct list node;
    int at;
    struct worker *worker;
    struct relay_call *call; /* NULL: the caller has gone, which may not be known yet */
    struct sim_event *gone;
    const struct http_exchange_ops *ops;
    void *owner;
    bool over, busy, body_ended, paused;
    struct buf unread; /* of a body that follows */
};

static struct {
    const struct http_route *routes;
    size_t count;
    struct worker *worker; /* NULL: nobody listens */
    struct list calls, exchanges;
} places[SIM_NODES];

/* --- the server's end --- */

static void exchange_free(struct http_exchange *x)
{
    x->over = true;
    if (x->call != NULL)
        x->call->x = NULL;
    x->call = NULL;
    sim_cancel(&x->gone);
    if (x->busy)
        return;
    buf_fini(&x->unread);
    list_remove(&x->node);
    free(x);
}

static void send_bit(struct http_exchange *x, int kind, int status, const struct iovec *iov,
                     int count)
{
    if (x->call == NULL)
        return;
    struct bit *b = xcalloc(1, sizeof *b);
    b->kind = kind;
    b->status = status;
    buf_init(&b->bytes, UNREAD_MAX);
    for (int i = 0; i < count; i++)
        must(buf_append(&b->bytes, iov[i].iov_base, iov[i].iov_len) == 0);
    sim_pipe_put(&x->call->in, b);
}

void http_exchange_watch(struct http_exchange *x, const struct http_exchange_ops *ops, void *owner)
{
    x->ops = ops;
    x->owner = owner;
}

struct worker *http_exchange_worker(const struct http_exchange *x)
{
    return x->worker;
}

struct io *http_exchange_io(struct http_exchange *x)
{
    return NULL;
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct slice body)
{
    struct iovec iov = {(void *)(uintptr_t)body.p, body.len};
    send_bit(x, BIT_HEAD, status, NULL, 0);
    if (body.len > 0)
        send_bit(x, BIT_BODY, 0, &iov, 1);
    send_bit(x, BIT_END, 0, NULL, 0);
    exchange_free(x);
}

void http_respond_json(struct http_exchange *x, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    http_respond(x, status, NULL, 0, slice_text(text));
    free(text);
}

void http_respond_error(struct http_exchange *x, int status, const char *code, const char *message)
{
    http_respond(x, status, NULL, 0, slice_text(message));
}

void http_stream(struct http_exchange *x, int status, const struct http_header *headers,
                 size_t count)
{
    send_bit(x, BIT_HEAD, status, NULL, 0);
}

ssize_t http_stream_writev(struct http_exchange *x, const struct iovec *iov, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    send_bit(x, BIT_BODY, 0, iov, count);
    return (ssize_t)total;
}

int http_stream_write(struct http_exchange *x, struct slice bytes)
{
    struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.len};
    send_bit(x, BIT_BODY, 0, &iov, 1);
    return 0;
}

void http_stream_end(struct http_exchange *x, enum close_reason why)
{
    send_bit(x, BIT_END, 0, NULL, 0);
    exchange_free(x);
}

struct slice http_request_header(const struct http_request *req, const char *name)
{
    const struct relay_call *c = req->headers;
    return strcmp(name, RELAY_PATH_HEADER) == 0 ? slice_text(c->path) : slice_of(NULL, 0);
}

bool http_request_query(const struct http_request *req, const char *name, char *out, size_t room)
{
    return url_query_get(req->query, name, out, room) >= 0;
}

bool relay_admit(struct relay_guard *g, const struct relay_identity *self, struct http_exchange *x,
                 const struct http_request *req, int64_t wall_ms, struct relay_sender *sender)
{
    const struct relay_call *c = req->headers;
    *sender = (struct relay_sender){.instance = c->client->self->instance};
    must(slice_copy(slice_text(c->client->self->node), sender->node, sizeof sender->node));
    return true;
}

/* --- a body that follows --- */

static void give_to_handler(struct http_exchange *x)
{
    size_t before;
    do {
        before = buf_len(&x->unread);
        if (x->paused || before == 0 || x->ops == NULL || x->ops->on_body == NULL)
            break;
        x->busy = true;
        ssize_t n = x->ops->on_body(x, buf_slice(&x->unread), x->owner);
        x->busy = false;
        if (x->over) {
            exchange_free(x);
            return;
        }
        must(n >= 0);
        buf_consume(&x->unread, (size_t)n);
    } while (buf_len(&x->unread) < before);
    if (x->body_ended && !x->paused && buf_len(&x->unread) == 0) {
        x->body_ended = false;
        if (x->ops != NULL && x->ops->on_body_end != NULL)
            x->ops->on_body_end(x, x->owner);
    }
}

void http_exchange_pause(struct http_exchange *x, bool paused)
{
    x->paused = paused;
    if (!paused && !x->busy)
        give_to_handler(x);
}

static void bit_free(void *what)
{
    struct bit *b = what;
    buf_fini(&b->bytes);
    free(b);
}

static void on_body_bit(void *what, void *arg)
{
    struct relay_call *c = arg;
    struct bit *b = what;
    struct http_exchange *x = c->x;
    if (x != NULL) {
        must(buf_append(&x->unread, buf_slice(&b->bytes).p, buf_len(&b->bytes)) == 0);
        x->body_ended = b->kind == BIT_END;
    }
    bit_free(b);
    if (x != NULL)
        give_to_handler(x);
}

static void put_body(struct relay_call *c, int kind, const struct iovec *iov, int count)
{
    struct bit *b = xcalloc(1, sizeof *b);
    b->kind = kind;
    buf_init(&b->bytes, UNREAD_MAX);
    for (int i = 0; i < count; i++)
        must(buf_append(&b->bytes, iov[i].iov_base, iov[i].iov_len) == 0);
    sim_pipe_put(&c->out, b);
}

ssize_t relay_call_writev(struct relay_call *c, const struct iovec *iov, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    put_body(c, BIT_BODY, iov, count);
    return (ssize_t)total;
}

void relay_call_body_end(struct relay_call *c)
{
    put_body(c, BIT_END, NULL, 0);
}

/* --- routes: segments, and a * for one --- */

static bool matches(struct slice pattern, struct slice path, struct http_request *req)
{
    req->capture_count = 0;
    while (pattern.len > 0 || path.len > 0) {
        struct slice want = slice_cut(pattern, '/', &pattern, NULL);
        struct slice have = slice_cut(path, '/', &path, NULL);
        if (slice_is(want, "*") && have.len > 0)
            req->captures[req->capture_count++] = have;
        else if (!slice_eq(want, have))
            return false;
    }
    return true;
}

static void handle(struct http_exchange *x, struct relay_call *c)
{
    struct http_request req = {.target = slice_text(c->target), .headers = c};
    req.path = slice_cut(req.target, '?', &req.query, NULL);
    req.body = buf_slice(&c->body);
    req.body_follows = c->streams_body;
    for (size_t i = 0; i < places[x->at].count; i++) {
        const struct http_route *r = &places[x->at].routes[i];
        if (strcmp(r->method, c->method) != 0 || !matches(slice_text(r->pattern), req.path, &req))
            continue;
        r->handle(x, &req, r->arg);
        return;
    }
    http_respond_error(x, 404, "not_found", "no such resource");
}

/* --- the caller's end --- */

static void on_caller_gone(void *arg)
{
    struct http_exchange *x = arg;
    x->gone = NULL;
    if (x->ops != NULL && x->ops->on_gone != NULL)
        x->ops->on_gone(x, CLOSE_PEER_CLOSED, x->owner);
    exchange_free(x);
}

/* Seen there a while later; never while the way is cut, but what is written there fails then. */
static void leave_exchange(struct relay_call *c)
{
    struct http_exchange *x = c->x;
    c->x = NULL;
    if (x == NULL)
        return;
    x->call = NULL;
    x->gone = sim_after(x->at, 300 + (int64_t)sim_random(2000), on_caller_gone, x);
}

static void call_free(struct relay_call *c)
{
    leave_exchange(c);
    c->cancelled = true;
    sim_cancel(&c->start);
    sim_cancel(&c->deadline);
    sim_cancel(&c->ending);
    if (c->busy)
        return;
    sim_pipe_fini(&c->in);
    sim_pipe_fini(&c->out);
    buf_fini(&c->body);
    buf_fini(&c->unread);
    list_remove(&c->node);
    free(c);
}

static void call_end(struct relay_call *c, enum close_reason why)
{
    const struct relay_call_ops *ops = c->ops;
    void *owner = c->owner;
    call_free(c);
    ops->on_end(why, owner);
}

static void on_deadline(void *arg)
{
    struct relay_call *c = arg;
    c->deadline = NULL;
    call_end(c, CLOSE_TIMEOUT);
}

static void set_deadline(struct relay_call *c, int64_t us)
{
    sim_cancel(&c->deadline);
    if (us > 0)
        c->deadline = sim_after(c->at, us, on_deadline, c);
}

static void give_body(struct relay_call *c, const struct buf *bytes)
{
    must(buf_append(&c->unread, buf_slice(bytes).p, buf_len(bytes)) == 0);
    ssize_t n = c->ops->on_body != NULL ? c->ops->on_body(c, buf_slice(&c->unread), c->owner)
                                        : (ssize_t)buf_len(&c->unread);
    if (c->cancelled)
        return;
    must(n >= 0);
    buf_consume(&c->unread, (size_t)n);
}

static void on_bit(void *what, void *arg)
{
    struct relay_call *c = arg;
    struct bit *b = what;
    enum close_reason why = b->kind == BIT_END ? CLOSE_FINISHED : CLOSE_IO_ERROR;
    c->busy = true;
    if (b->kind == BIT_HEAD) {
        c->status = b->status;
        if (c->ops->on_head != NULL)
            c->ops->on_head(c, b->status, c->owner);
        if (!c->cancelled && c->streams_body && c->ops->on_writable != NULL)
            c->ops->on_writable(c, c->owner);
    } else if (b->kind == BIT_BODY) {
        give_body(c, &b->bytes);
    }
    c->busy = false;
    bool over = b->kind == BIT_END || b->kind == BIT_RESET;
    bit_free(b);
    if (c->cancelled)
        call_free(c);
    else if (over)
        call_end(c, why);
    else
        set_deadline(c, c->idle_us);
}

static void on_refused(void *arg)
{
    struct relay_call *c = arg;
    c->ending = NULL;
    call_end(c, CLOSE_REFUSED);
}

/* The request arrives: on the server's side. */
static void on_arrived(void *arg)
{
    struct relay_call *c = arg;
    c->start = NULL;
    if (sim_is_cut(c->at, c->to)) {
        c->start = sim_after(c->to, HANG_US / 10, on_arrived, c);
        return;
    }
    if (places[c->to].worker == NULL) {
        c->ending = sim_after(c->at, 200, on_refused, c);
        return;
    }
    struct http_exchange *x = xcalloc(1, sizeof *x);
    x->at = c->to;
    x->worker = places[c->to].worker;
    x->call = c;
    c->x = x;
    buf_init(&x->unread, UNREAD_MAX);
    list_append(&places[x->at].exchanges, &x->node);
    x->busy = true;
    handle(x, c);
    x->busy = false;
    if (x->over)
        exchange_free(x);
}

int sim_links_node_of(const char *address)
{
    must(address[0] == 'n' && address[1] >= '0' && address[1] < '0' + SIM_NODES);
    return address[1] - '0';
}

struct relay_call *relay_call_start(struct worker *w, const struct relay_client *client,
                                    const struct relay_call_options *o,
                                    const struct relay_call_ops *ops, void *owner)
{
    struct relay_call *c = xcalloc(1, sizeof *c);
    c->at = w->mailbox_fd;
    c->to = sim_links_node_of(o->address);
    c->client = client;
    c->ops = ops;
    c->owner = owner;
    c->idle_us = o->idle_ms * 1000;
    buf_init(&c->body, RELAY_CALL_BODY_MAX);
    buf_init(&c->unread, UNREAD_MAX);
    must(buf_append(&c->body, o->body.p, o->body.len) == 0);
    must(slice_copy(slice_text(o->method), c->method, sizeof c->method));
    must(slice_copy(slice_text(o->target), c->target, sizeof c->target));
    must(slice_copy(slice_text(o->path != NULL ? o->path : client->self->node), c->path,
                    sizeof c->path));
    c->streams_body = o->streams_body;
    sim_pipe_init(&c->out, c->at, c->to, on_body_bit, bit_free, c);
    sim_pipe_init(&c->in, c->to, c->at, on_bit, bit_free, c);
    list_append(&places[c->at].calls, &c->node);
    set_deadline(c, o->head_deadline_ms * 1000);
    c->start = sim_after(c->to, 100 + (int64_t)sim_random(3000), on_arrived, c);
    return c;
}

bool relay_call_is_connected(const struct relay_call *c)
{
    return c->x != NULL || c->status != 0;
}

void relay_call_cancel(struct relay_call **cp)
{
    struct relay_call *c = *cp;
    *cp = NULL;
    if (c != NULL)
        call_free(c);
}

/* --- nodes come and go --- */

void sim_links_serve(int node, const struct http_route *routes, size_t count, struct worker *w)
{
    places[node].routes = routes;
    places[node].count = count;
    places[node].worker = w;
    if (places[node].calls.next != NULL)
        return;
    list_init(&places[node].calls);
    list_init(&places[node].exchanges);
}

void sim_links_drop_node(int node)
{
    struct http_exchange *x;
    struct relay_call *c;
    places[node].worker = NULL;
    while ((x = LIST_FIRST(&places[node].exchanges, struct http_exchange, node)) != NULL) {
        send_bit(x, BIT_RESET, 0, NULL, 0);
        if (x->ops != NULL && x->ops->on_gone != NULL)
            x->ops->on_gone(x, CLOSE_DRAIN, x->owner);
        exchange_free(x);
    }
    while ((c = LIST_FIRST(&places[node].calls, struct relay_call, node)) != NULL)
        call_end(c, CLOSE_IO_ERROR);
}
