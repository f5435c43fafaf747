/*
 * host look-up -> signed request -> answer; 401 with the receiver's time -> offset learned -> the
 * same request signed with it -> answer.
 */
#include "net/relay_call.h"

#include "base/mem.h"
#include "base/name.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/resolve_host.h"

#include <inttypes.h>
#include <stdlib.h>

#define CALL_MAGIC    0x72636c6cU
#define ADDRESS_MAX   300  /* bytes of "HOST:PORT" */
#define PATH_TEXT_MAX 1024 /* bytes of the path header */

struct relay_call {
    uint32_t magic;
    struct worker *worker;
    const struct relay_client *client;
    const struct relay_call_ops *ops;
    void *owner;
    struct host_lookup *lookup;
    struct net_address to;
    struct http_call *http;
    struct timer deadline; /* of the look-up */
    struct task again;
    int64_t head_deadline_ms, idle_ms;
    size_t unread_max;
    bool streams_body, has_head;
    bool retried; /* the second try is under way, or will be at the end of this turn */
    char address[ADDRESS_MAX], peer[NAME_NODE_MAX + 1], method[8];
    char target[RELAY_CALL_TARGET_MAX], path[PATH_TEXT_MAX];
    char auth[RELAY_AUTH_TEXT_MAX];
    uint8_t body[RELAY_CALL_BODY_MAX];
    size_t body_len;
};

static void call_free(struct relay_call *c)
{
    host_lookup_cancel(&c->lookup);
    http_call_cancel(&c->http);
    timer_fini(&c->deadline);
    task_cancel(&c->again);
    OBJ_POISON(c);
    free(c);
}

static void call_end(struct relay_call *c, enum close_reason why)
{
    const struct relay_call_ops *ops = c->ops;
    void *owner = c->owner;
    call_free(c);
    ops->on_end(why, owner);
}

/* Offsets are kept by node; by address where the node is not known. */
static const char *offset_key(const struct relay_call *c)
{
    return c->peer[0] != '\0' ? c->peer : c->address;
}

/* True when the answer told the receiver's time: the request is to be sent again. */
static bool learn_offset(struct relay_call *c)
{
    struct slice text = http_call_header(c->http, RELAY_TIME_HEADER);
    int64_t offset_ms;
    if (c->retried || text.p == NULL ||
        relay_learn_offset(c->client->self, text, c->auth, clock_wall_us() / 1000, &offset_ms) < 0)
        return false;
    if (relay_offset_get(c->client->offsets, offset_key(c)) == 0) {
        const struct log_id log = {"relay", c->worker->index, 0};
        log_warn(&log, "clock.offset peer=%s offset_ms=%" PRId64, offset_key(c), offset_ms);
    }
    relay_offset_set(c->client->offsets, offset_key(c), offset_ms);
    METRIC_SET(c->worker->metrics.clock_offset_ms_max, relay_offsets_max(c->client->offsets));
    return true;
}

static void on_head(struct http_call *http, int status, void *owner)
{
    struct relay_call *c = OBJ_CAST(struct relay_call, owner, CALL_MAGIC);
    if (status == 401 && learn_offset(c)) {
        c->retried = true;
        http_call_cancel(&c->http);
        task_defer(c->worker, &c->again);
        return;
    }
    c->has_head = true;
    if (c->ops->on_head != NULL)
        c->ops->on_head(c, status, c->owner);
}

static ssize_t on_body(struct http_call *http, struct slice bytes, void *owner)
{
    struct relay_call *c = OBJ_CAST(struct relay_call, owner, CALL_MAGIC);
    return c->ops->on_body != NULL ? c->ops->on_body(c, bytes, c->owner) : (ssize_t)bytes.len;
}

static void tell_tls(struct relay_call *c, const char *what)
{
    const struct log_id log = {"relay", c->worker->index, 0};
    if (log_limit_pass(&c->worker->peer_limit, clock_us(), &log))
        log_warn(&log, "relay.tls peer=%s addr=%s error=\"%s\"", c->peer, c->address, what);
}

static void on_end(struct http_call *http, enum close_reason why, void *owner)
{
    struct relay_call *c = OBJ_CAST(struct relay_call, owner, CALL_MAGIC);
    c->http = NULL;
    if (why == CLOSE_TLS)
        tell_tls(c, http_call_error_text(http));
    call_end(c, why);
}

static void on_writable(struct http_call *http, void *owner)
{
    struct relay_call *c = OBJ_CAST(struct relay_call, owner, CALL_MAGIC);
    if (c->has_head && c->ops->on_writable != NULL)
        c->ops->on_writable(c, c->owner);
}

static void send_request(void *arg)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, on_writable};
    struct relay_call *c = OBJ_CAST(struct relay_call, arg, CALL_MAGIC);
    struct slice body = slice_of(c->body, c->body_len);
    const struct relay_signed r = {c->peer,   c->method,
                                   c->target, c->path,
                                   body,      relay_offset_get(c->client->offsets, offset_key(c))};
    relay_sign(c->client->self, &r, c->auth);
    const struct http_header headers[] = {
        {RELAY_PATH_HEADER, slice_text(c->path)},
        {RELAY_AUTH_HEADER, slice_text(c->auth)},
    };
    const struct http_call_options o = {
        .to = c->to,
        .tls = c->client->tls,
        .method = c->method,
        .target = c->target,
        .host = c->address,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = body,
        .streams_body = c->streams_body,
        .head_deadline_ms = c->head_deadline_ms,
        .idle_ms = c->idle_ms,
        .unread_max = c->unread_max,
    };
    c->http = http_call_start(c->worker, &o, &ops, c);
}

static void on_address(const struct net_address *found, void *arg)
{
    struct relay_call *c = OBJ_CAST(struct relay_call, arg, CALL_MAGIC);
    c->lookup = NULL;
    timer_stop(&c->deadline);
    if (found == NULL) {
        call_end(c, CLOSE_IO_ERROR);
        return;
    }
    c->to = *found;
    send_request(c);
}

static void on_deadline(void *arg)
{
    call_end(OBJ_CAST(struct relay_call, arg, CALL_MAGIC), CLOSE_TIMEOUT);
}

struct relay_call *relay_call_start(struct worker *w, const struct relay_client *client,
                                    const struct relay_call_options *o,
                                    const struct relay_call_ops *ops, void *owner)
{
    struct relay_call *c = xcalloc(1, sizeof *c);
    c->magic = CALL_MAGIC;
    c->worker = w;
    c->client = client;
    c->ops = ops;
    c->owner = owner;
    c->head_deadline_ms = o->head_deadline_ms;
    c->idle_ms = o->idle_ms;
    c->unread_max = o->unread_max;
    c->streams_body = o->streams_body;
    const char *path = o->path != NULL ? o->path : client->self->node;
    must(slice_copy(slice_text(o->peer), c->peer, sizeof c->peer) &&
         slice_copy(slice_text(o->method), c->method, sizeof c->method) &&
         slice_copy(slice_text(o->target), c->target, sizeof c->target) &&
         slice_copy(slice_text(path), c->path, sizeof c->path) && o->body.len <= sizeof c->body);
    c->body_len = o->body.len;
    if (c->body_len > 0)
        memcpy(c->body, o->body.p, c->body_len);
    task_init(&c->again, send_request, c);
    timer_init(&c->deadline, w, "relay.lookup", on_deadline, c);
    timer_set_ms(&c->deadline, o->head_deadline_ms);
    /* An address of another node's making: too long is no host. */
    bool fits = slice_copy(slice_text(o->address), c->address, sizeof c->address);
    c->lookup = host_lookup_start(w, fits ? c->address : "", on_address, c);
    return c;
}

void relay_call_cancel(struct relay_call **cp)
{
    struct relay_call *c = *cp;
    *cp = NULL;
    if (c == NULL)
        return;
    OBJ_CHECK(c, CALL_MAGIC);
    call_free(c);
}

ssize_t relay_call_writev(struct relay_call *c, const struct iovec *iov, int count)
{
    OBJ_CHECK(c, CALL_MAGIC);
    must(c->has_head);
    return http_call_writev(c->http, iov, count);
}

void relay_call_body_end(struct relay_call *c)
{
    OBJ_CHECK(c, CALL_MAGIC);
    must(c->has_head);
    http_call_body_end(c->http);
}

bool relay_call_is_connected(const struct relay_call *c)
{
    return c->http != NULL && http_call_is_connected(c->http);
}
