/*
 * Bodies of requests: collected behind their head until they are complete, or, where the route
 * wants that, handed on as they come.
 */
#include "base/err.h"
#include "base/must.h"
#include "net/http1_connection.h"

/* --- collected --- */

/* Decodes chunks behind the head; true when the last one was there. */
static bool collect_chunks(struct http1_connection *c)
{
    struct slice in = io_data(c->io), data;
    bool done = false;
    while (!done) {
        ssize_t n =
            http1_chunks_read(&c->chunks, in.p + c->raw_len, in.len - c->raw_len, &data, &done);
        if (n == 0)
            return false;
        if (n < 0) {
            http1_refuse(c, 400);
            return false;
        }
        c->raw_len += (size_t)n;
        if (buf_append(&c->body, data.p, data.len) < 0) {
            http1_refuse(c, 413);
            return false;
        }
    }
    return true;
}

bool http1_body_collect(struct http1_connection *c)
{
    switch (c->body_kind) {
    case HTTP1_BODY_LENGTH:
        if (io_data(c->io).len - c->head_len < c->body_len)
            return false;
        c->raw_len = c->head_len + c->body_len;
        return true;
    case HTTP1_BODY_CHUNKED:
        return collect_chunks(c);
    case HTTP1_BODY_NONE:
    case HTTP1_BODY_UNTIL_CLOSE:
        break;
    }
    return true;
}

/* --- handed on --- */

/* An http_take: ERR_CLOSED when nobody is left who wants the body. */
static ssize_t take(struct slice bytes, void *arg)
{
    struct http1_connection *c = arg;
    struct http_exchange *x = &c->exchange->x;
    if (x->ops == NULL || x->ops->on_body == NULL)
        return (ssize_t)bytes.len;
    ssize_t n = x->ops->on_body(x, bytes, x->owner);
    if (c->exchange == NULL)
        return ERR_CLOSED;
    return n < 0 ? ERR_PROTOCOL : n;
}

static void refuse_body(struct http1_connection *c)
{
    if (c->state == HTTP_STREAMING) {
        http1_connection_close(c, CLOSE_BAD_INPUT);
        return;
    }
    http1_exchange_gone(c, CLOSE_BAD_INPUT);
    http1_refuse(c, 400);
}

static void body_ended(struct http1_connection *c)
{
    struct http_exchange *x = &c->exchange->x;
    c->body_open = false;
    if (x->ops != NULL && x->ops->on_body_end != NULL)
        x->ops->on_body_end(x, x->owner);
}

void http1_body_read(struct http1_connection *c)
{
    while (c->exchange != NULL && c->body_open) {
        struct slice in = io_data(c->io);
        bool done = false;
        ssize_t n = http_intake_read(&c->intake, in, &done, take, c);
        if (n == 0)
            return;
        if (n < 0) {
            if (c->exchange != NULL)
                refuse_body(c);
            return;
        }
        io_consume(c->io, (size_t)n);
        if (done)
            body_ended(c);
    }
}
