#ifndef SLUICE_TESTS_FUZZ_HTTP_WORLD_H
#define SLUICE_TESTS_FUZZ_HTTP_WORLD_H

#include "base/must.h"
#include "core/logline.h"
#include "net/http2_connection.h"
#include "net/http_internal.h"

#include <sys/socket.h>
#include <unistd.h>

/* A server whose handlers do what the input's first byte says, and a connection to it. */

enum mode {
    MODE_LATER = 1,  /* nothing is answered at once */
    MODE_STREAM = 2, /* answers are endless */
    MODE_END = 4,    /* what is open is answered or ended after every piece */
    MODE_LEAVE = 8,  /* bodies that follow are left */
    MODE_PAUSE = 16, /* … or not read */
    MODE_DRAIN = 32, /* the server drains in the middle */
};
#define OPEN_MAX (2 * HTTP2_STREAMS_MAX)

struct world {
    struct workers group;
    struct http_server *server;
    unsigned mode;
    struct http_exchange *open[OPEN_MAX];
    size_t count;
};

static inline void forget(struct world *w, const struct http_exchange *x)
{
    size_t i = 0;
    while (w->open[i] != x)
        must(++i < w->count);
    w->open[i] = w->open[--w->count];
}

static inline void write_some(struct http_exchange *x)
{
    static const uint8_t bytes[40000];
    struct iovec iov[] = {{(void *)(uintptr_t)bytes, 100},
                          {(void *)(uintptr_t)bytes, sizeof bytes}};
    ssize_t n = http_stream_writev(x, iov, 2);
    must(n <= (ssize_t)(100 + sizeof bytes));
}

static inline void on_writable(struct http_exchange *x, void *owner)
{
    write_some(x);
}

static inline void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    forget(owner, x);
}

static inline ssize_t on_body(struct http_exchange *x, struct slice bytes, void *owner)
{
    return ((struct world *)owner)->mode & MODE_LEAVE ? 0 : (ssize_t)bytes.len;
}

static const struct http_exchange_ops ops = {
    .on_writable = on_writable, .on_gone = on_gone, .on_body = on_body};

static inline void handle(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct world *w = arg;
    must(req->path.len > 0 && req->body.len <= HTTP_BODY_MAX && w->count < OPEN_MAX);
    if ((w->mode & (MODE_LATER | MODE_STREAM)) == 0) {
        http_respond(x, 200, NULL, 0, req->target);
        return;
    }
    w->open[w->count++] = x;
    http_exchange_watch(x, &ops, w);
    http_exchange_pause(x, (w->mode & MODE_PAUSE) != 0);
    if (w->mode & MODE_STREAM) {
        http_stream(x, 200, NULL, 0);
        http_stream_write(x, req->target);
        write_some(x);
    }
}

static inline void end_all(struct world *w)
{
    while (w->count > 0) {
        struct http_exchange *x = w->open[w->count - 1];
        if (w->mode & MODE_STREAM)
            http_stream_end(x, CLOSE_FINISHED);
        else
            http_respond(x, 200, NULL, 0, slice_text("late"));
        w->count--;
    }
}

static inline struct world *the_world(void)
{
    static struct world w;
    static const struct http_route routes[] = {
        {.method = "POST", .pattern = "/u", .handle = handle, .body_unread_max = 100},
        {.method = "*", .pattern = "/*", .handle = handle},
        {.method = "*", .pattern = "/", .handle = handle},
    };
    if (w.server != NULL)
        return &w;
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    must(workers_init(&w.group, NULL, 1) == 0);
    w.server = http_server_new(&(struct http_server_options){
        .name = "fuzz", .routes = routes, .route_count = 3, .arg = &w, .http2 = true});
    return &w;
}

static inline void turn(struct world *w)
{
    event_base_loop(w->group.workers[0].base, EVLOOP_NONBLOCK);
}

static inline void feed(struct world *w, int fd, const uint8_t *p, size_t len, size_t piece)
{
    char answers[65536];
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < piece ? len - at : piece;
        if (send(fd, p + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            return;
        turn(w);
        while (recv(fd, answers, sizeof answers, MSG_DONTWAIT) > 0)
            continue;
        if (w->mode & MODE_END)
            end_all(w);
        if ((w->mode & MODE_DRAIN) != 0 && at > len / 2)
            http_server_drain(w->server, &w->group.workers[0]);
    }
}

/* The connection and all that was asked on it are over.  While nothing is read, its end is not
 * seen either. */
static inline void finish(struct world *w, int fd)
{
    close(fd);
    for (size_t i = 0; i < w->count; i++)
        http_exchange_pause(w->open[i], false);
    for (int i = 0; i < 5; i++)
        turn(w);
    must(w->count == 0);
    must(list_empty(&w->server->locals[0].http1) && list_empty(&w->server->locals[0].http2));
}

/* The client's end. */
static inline int connect_to(struct world *w)
{
    struct worker *worker = &w->group.workers[0];
    struct net_address peer = {0};
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    http_server_accept(worker, io_accept(worker, ends[0], &peer, NULL, NULL), w->server);
    return ends[1];
}

#endif
