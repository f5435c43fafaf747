#ifndef SLUICE_NET_HTTP_CLIENT_H
#define SLUICE_NET_HTTP_CLIENT_H

#include "core/worker.h"
#include "net/http_server.h"
#include "net/io.h"

/*
 * One outgoing HTTP/1.1 request on one connection, plain or TLS, for node-to-node links: the
 * answer's head, then  * its body as it comes (identity, content-length or chunked).  The request's
 * body is either known at the start or streamed, before, while and after the answer comes.
 */
struct http_call;

struct http_call_ops {
    /* The head is there.  `header` looks an answer's header up. */
    void (*on_head)(struct http_call *c, int status, void *owner);
    /* Body bytes; returns how many were consumed, the rest comes again with what follows, negative
     * ends the call with CLOSE_BAD_INPUT. */
    ssize_t (*on_body)(struct http_call *c, struct slice bytes, void *owner);
    /* The last call: FINISHED when the answer was complete, else why not (REFUSED: nobody listens
     * there; TLS: http_call_error_text says what is wrong). */
    void (*on_end)(struct http_call *c, enum close_reason why, void *owner);
    /* With streams_body: connected, or after http_call_writev() took less.  May be NULL. */
    void (*on_writable)(struct http_call *c, void *owner);
};

struct http_call_options {
    struct net_address to;
    struct tls_context *tls; /* by a secret; NULL: plain */
    const char *method;
    const char *target; /* path and query */
    const char *host;
    const struct http_header *headers;
    size_t header_count;
    struct slice body;        /* copied */
    bool streams_body;        /* `body` is empty; http_call_writev() until http_call_body_end() */
    int64_t head_deadline_ms; /* from now until the head is complete */
    int64_t idle_ms;          /* afterwards: longest silence; 0: none */
    size_t unread_max;        /* body bytes on_body may leave unconsumed */
};

/* Starts; callbacks never come from inside this call.  The call frees itself after on_end. */
struct http_call *http_call_start(struct worker *w, const struct http_call_options *o,
                                  const struct http_call_ops *ops, void *owner);
/* Ends it without on_end. */
void http_call_cancel(struct http_call **cp);
/* Bytes of a streamed body: how many the socket took (0: none now, on_writable follows), or
 * negative (on_end follows, or has come). */
ssize_t http_call_writev(struct http_call *c, const struct iovec *iov, int count);
/* The body is complete, when all that was offered was taken. */
void http_call_body_end(struct http_call *c);
/* The connection is there (not that anything was answered). */
bool http_call_is_connected(const struct http_call *c);
/* In on_end: what the reason TLS was about. */
const char *http_call_error_text(const struct http_call *c);
struct slice http_call_header(const struct http_call *c, const char *name);

#endif
