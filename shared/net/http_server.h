#ifndef SLUICE_NET_HTTP_SERVER_H
#define SLUICE_NET_HTTP_SERVER_H

#include "core/worker.h"
#include "net/io.h"

#include <jansson.h>

/*
 * HTTP requests to handlers, by a table of routes.  A handler sees an exchange (one request, one
 * answer) and never the protocol below it: HTTP/1.1, or a stream of an HTTP/2 connection.
 * Everything of an exchange happens on the worker that accepted its connection.
 */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS
};
const char *http_method_name(enum http_method m);

#define HTTP_BODY_MAX     (64 * 1024) /* request bodies */
#define HTTP_CAPTURES_MAX 4
#define HTTP_IDLE_MS      30000 /* between requests of one connection */

struct http_header {
    const char *name; /* answers: as it is to be written */
    struct slice value;
};

/* Valid until the handler returns; what is kept must be copied. */
struct http_request {
    enum http_method method;
    struct slice target; /* as sent: path and query (signatures) */
    struct slice path;   /* percent-decoded; only [!-~] without %00, "//", "..": else 400 before */
    struct slice query;  /* as sent, without '?' */
    struct slice body;   /* complete, unless body_follows */
    bool body_follows;   /* chunked, on a route with body_unread_max: it comes by on_body */
    struct slice captures[HTTP_CAPTURES_MAX]; /* what the pattern's * matched, in order */
    size_t capture_count;
    const struct net_address *peer;
    const void *headers; /* http_request_header() */
};

/* A header's value by name (any case), p NULL when absent. */
struct slice http_request_header(const struct http_request *req, const char *name);
/* A query parameter, percent-decoded into out (terminated); false when absent or too long. */
bool http_request_query(const struct http_request *req, const char *name, char *out, size_t room);

/* Accept-Encoding has the coding, and not with q=0. */
bool http_request_takes(const struct http_request *req, const char *coding);

struct http_exchange;

/* Answers now or later with http_respond() or http_stream(); the exchange lives until then, or
 * until on_gone. */
typedef void http_handler(struct http_exchange *x, const struct http_request *req, void *arg);

struct http_route {
    const char *method; /* "GET" (serves HEAD too), "POST" … or "*" */
    /* "/api/v1/streams/" + "*" + "/" + "*": a * is one path segment or part of one ("*.flv"). */
    const char *pattern;
    http_handler *handle;
    void *arg; /* given to the handler; NULL: the server's */
    /* Not 0: a chunked body is not collected; the handler is called with the head, and the body
     * comes as it comes, of which on_body may leave so many bytes.  Without any of the limits in
     * time: those are the handler's. */
    size_t body_unread_max;
};

struct http_server_options {
    const char *name; /* log lines */
    const struct http_route *routes;
    size_t route_count;
    void *arg;               /* given to on_request, and to handlers of routes without one */
    const char *cors_origin; /* NULL: no CORS headers, OPTIONS is 405 */
    int64_t request_ms;      /* for a whole request, head and body; 0: LIMIT_REQUEST_MS */
    bool http2;              /* spoken, too: as TLS agreed on, or when the peer begins with it */
    /* Called before the handler; false when it has answered (authentication).  May be NULL. */
    bool (*on_request)(struct http_exchange *x, const struct http_request *req, void *arg);
};

/* One per listening address; serves all workers (const after it is made).  Accepted connections are
 * given to http_server_accept, which has the shape of an accept_handler with the server as arg. */
struct http_server;
struct http_server *http_server_new(const struct http_server_options *o);
void http_server_free(struct http_server **sp);
void http_server_accept(struct worker *w, struct io *io, void *server);
/*
 * The node goes out of service, or (on: false) is back.  This worker's clients are to connect anew
 * for their next request, so that a balancer takes them elsewhere: idle connections end now, others
 * after their answer.
 */
void http_server_retire(struct http_server *s, struct worker *w, bool on);
/* Closes this worker's connections: idle ones now, exchanges through on_gone(CLOSE_DRAIN). */
void http_server_drain(struct http_server *s, struct worker *w);

/* What a handler that answers later, or streams, wants to hear.  Each may be NULL. */
struct http_exchange_ops {
    /* After http_stream_writev took less. */
    void (*on_writable)(struct http_exchange *x, void *owner);
    /* The last call. */
    void (*on_gone)(struct http_exchange *x, enum close_reason why, void *owner);
    /* A body that follows: bytes of it, before, while and after the answer begins; returns how many
     * were consumed, the rest comes again with what follows, negative closes with BAD_INPUT. */
    ssize_t (*on_body)(struct http_exchange *x, struct slice bytes, void *owner);
    /* Its last byte was consumed. */
    void (*on_body_end)(struct http_exchange *x, void *owner);
};
void http_exchange_watch(struct http_exchange *x, const struct http_exchange_ops *ops, void *owner);

/* While paused no more of a body that follows is read (what was read already still comes), so that
 * the peer is slowed down by TCP; its closing is not seen either. */
void http_exchange_pause(struct http_exchange *x, bool paused);

struct worker *http_exchange_worker(const struct http_exchange *x);
const struct net_address *http_exchange_peer(const struct http_exchange *x);

/* A whole answer; `body` is copied.  Content-Length, Date and CORS are added. */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct slice body);
void http_respond_json(struct http_exchange *x, int status, json_t *body); /* takes the reference */
/* {"error":{"code","message"}} */
void http_respond_error(struct http_exchange *x, int status, const char *code, const char *message);

/* The same with headers of the caller's (Retry-After). */
void http_respond_error_with(struct http_exchange *x, int status, const char *code,
                             const char *message, const struct http_header *headers, size_t count);

/*
 * The body of an answer that is not copied: bytes [skip, skip + len) of what iov points at, which
 * stays as it is until `release` is called (once, maybe from inside of http_respond_content()).
 */
struct http_content {
    const struct iovec *iov;
    int count;
    size_t skip, len;
    void (*release)(void *owner); /* may be NULL */
    void *owner;
};
/* A whole answer with such a body, written as fast as the peer takes it; otherwise as
 * http_respond(). */
void http_respond_content(struct http_exchange *x, int status, const struct http_header *headers,
                          size_t count, const struct http_content *content);

/* The answer that follows is to be taken in so long, if its size does not allow less: what its
 * bytes lie in is wanted back.  The connection, or HTTP/2's stream, is ended then. */
void http_exchange_take_ms(struct http_exchange *x, int64_t ms);

/*
 * An answer that many get with the same status, headers and length: the first of them in a second
 * writes the head for the others.  Of one worker; what `headers` and their values point at lives as
 * long.
 */
#define HTTP_PREPARED_MAX 768 /* bytes of a head that is kept */
struct http_prepared {
    int status;
    const struct http_header *headers;
    size_t count;
    /* Private: the head as HTTP/1.1 has it, for those who stay. */
    const struct http_server *server;
    int64_t date_s;
    size_t body_len, head_len;
    uint8_t head[HTTP_PREPARED_MAX];
};
/* As http_respond_content(). */
void http_respond_prepared(struct http_exchange *x, struct http_prepared *p,
                           const struct http_content *content);

/* Begins an endless answer (to HEAD: the whole answer is its head; on_gone follows): the head is
 * sent, the body follows with http_stream_writev; the peer can tell its end (http_stream_end) from
 * a lost connection, unless it speaks HTTP/1.0. */
void http_stream(struct http_exchange *x, int status, const struct http_header *headers,
                 size_t count);
/* The cache lines of the exchange that http_stream_writev() looks at, besides those of its io. */
#define HTTP_STREAM_LINES 2
void http_stream_lines(const struct http_exchange *x, const void *lines[HTTP_STREAM_LINES]);
/* Bytes taken (0: none now, on_writable follows), or negative. */
ssize_t http_stream_writev(struct http_exchange *x, const struct iovec *iov, int count);
/* Queues a copy, bounded by io's limit. */
int http_stream_write(struct http_exchange *x, struct slice bytes);
/* The connection below, for send-buffer sizes and times; NULL where streams share one. */
struct io *http_exchange_io(struct http_exchange *x);
/* Ends the body after what is queued; the exchange is gone when this returns, on_gone is not
 * called. */
void http_stream_end(struct http_exchange *x, enum close_reason why);

#endif
