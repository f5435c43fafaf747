#ifndef SLUICE_NET_RELAY_CALL_H
#define SLUICE_NET_RELAY_CALL_H

#include "net/http_client.h"
#include "net/relay_links.h"
#include "net/relay_sign.h"

/*
 * One signed request to another node, which is named by the address that the cluster told
 * ("HOST:PORT", a host name is looked up).  An answer that says our clock is off is learned from
 * and the request is sent once more; the owner sees the second answer only.  On one worker.
 */
struct relay_call;

/* What all calls of a node share; any worker. */
struct relay_client {
    const struct relay_identity *self;
    struct relay_offsets *offsets;
    struct relay_links *links; /* may be NULL */
    struct tls_context *tls;   /* cluster.tls; NULL: plain */
};

/* Each may be NULL but on_end. */
struct relay_call_ops {
    void (*on_head)(struct relay_call *c, int status, void *owner);
    /* As of http_call_ops. */
    ssize_t (*on_body)(struct relay_call *c, struct slice bytes, void *owner);
    /* The last call; the call has been freed. */
    void (*on_end)(enum close_reason why, void *owner);
    /* With streams_body, after on_head: as of http_call_ops. */
    void (*on_writable)(struct relay_call *c, void *owner);
};

struct relay_call_options {
    const char *address; /* "HOST:PORT" */
    const char *peer;    /* the receiver's node id, "" when it is not known */
    const char *method, *target;
    const char *path;  /* RELAY_PATH_HEADER; NULL: just ourselves */
    struct slice body; /* at most RELAY_CALL_BODY_MAX; copied, as is everything above */
    bool streams_body; /* once the answer's head is there: relay_call_writev(), which is not signed
                        */
    int64_t
        head_deadline_ms; /* host look-up, connection and head; after a skewed clock once more */
    int64_t idle_ms;      /* afterwards: longest silence; 0: none */
    size_t unread_max;    /* body bytes on_body may leave */
};
#define RELAY_CALL_BODY_MAX   4096 /* bytes */
#define RELAY_CALL_TARGET_MAX 512  /* bytes */

/* Callbacks never come from inside the start.  `client` outlives the call. */
struct relay_call *relay_call_start(struct worker *w, const struct relay_client *client,
                                    const struct relay_call_options *o,
                                    const struct relay_call_ops *ops, void *owner);
/* Of http_call, for a streamed body; from on_head on. */
ssize_t relay_call_writev(struct relay_call *c, const struct iovec *iov, int count);
void relay_call_body_end(struct relay_call *c);
/* The receiver's host answers: the connection is there. */
bool relay_call_is_connected(const struct relay_call *c);
/* Ends it without on_end; also from inside its callbacks. */
void relay_call_cancel(struct relay_call **cp);

#endif
