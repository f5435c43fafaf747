#ifndef SLUICE_NET_HTTP_INTERNAL_H
#define SLUICE_NET_HTTP_INTERNAL_H

#include "net/http_server.h"
#include "proto/http1.h"

/*
 * What the parts of the HTTP server share: http_server.c has servers and decides about the protocol
 * of a connection, http_exchange.c has exchanges for handlers, http_route.c finds handlers; below
 * them are the protocols, http1_connection.h and http2_connection.h.
 */
#define HTTP_SERVER_MAGIC   0x68737276U
#define HTTP_EXCHANGE_MAGIC 0x68657863U

#define HTTP_ANSWER_HEAD_MAX  (8 * 1024)   /* bytes of an answer's head */
#define HTTP_ANSWER_FIELDS    32           /* headers of an answer */
#define HTTP_JSON_MAX         (8 << 20)    /* bytes of a JSON answer */
#define HTTP_STREAM_QUEUE_MAX (256 * 1024) /* bytes http_stream_write() may queue */
#define HTTP_ANSWER_MS        20000        /* to take an answer, and 1 s for every … */
#define HTTP_ANSWER_RATE_MIN  (8 * 1024)   /* … bytes of it */
#define HTTP_STREAM_LINGER_MS 2000         /* to take the end of a stream */

/* Deadlines; tests shorten them.  answer_rate: bytes a second that a reader must take at least. */
struct http_times {
    int64_t head_ms, idle_ms, answer_ms, answer_rate;
};

/* What one worker has of a server; only that worker touches it. */
struct http_local {
    struct list http1, http2; /* connections */
    bool retired;             /* http_server_retire */
    int64_t date_s;           /* what `date` says */
    char date[HTTP1_DATE_SIZE];
};

struct http_server {
    uint32_t magic;
    char *name, *cors_origin;
    const struct http_route *routes;
    size_t route_count;
    bool http2;     /* spoken, too */
    bool has_early; /* a route has body_unread_max */
    void *arg;
    bool (*on_request)(struct http_exchange *x, const struct http_request *req, void *arg);
    struct http_times times;
    struct http_local locals[WORKERS_MAX];
};

/* A request took longer than limits.request_ms. */
void http_request_late(struct worker *w, const struct net_address *peer);
void http_server_set_times(struct http_server *s, const struct http_times *times);
/* Longest time a peer may take for an answer of len bytes. */
int64_t http_answer_ms(const struct http_server *s, size_t len);

/* How a protocol does for an exchange what http_server.h says. */
struct http_protocol {
    /* The exchange is over with this. */
    void (*respond)(struct http_exchange *x, int status, const struct http_header *headers,
                    size_t count, struct slice body);
    void (*respond_content)(struct http_exchange *x, int status, const struct http_header *headers,
                            size_t count, const struct http_content *content,
                            struct http_prepared *prepared); /* may be NULL */
    void (*stream)(struct http_exchange *x, int status, const struct http_header *headers,
                   size_t count);
    /* Of a stream that is no answer to HEAD. */
    ssize_t (*writev)(struct http_exchange *x, const struct iovec *iov, int count);
    int (*write)(struct http_exchange *x, struct slice bytes);
    void (*end)(struct http_exchange *x);
    void (*pause)(struct http_exchange *x, bool paused);
    struct io *(*io)(struct http_exchange *x);
};

/* The protocol's own part is around it. */
struct http_exchange {
    uint32_t magic;
    bool head_only; /* HEAD: no body follows */
    bool streaming; /* the answer is an endless one, and has begun */
    bool gone;      /* on_gone is being called */
    const struct http_protocol *protocol;
    struct http_server *server;
    struct worker *worker;
    const struct net_address *peer;
    const struct log_id *log; /* the connection's */
    const struct http_exchange_ops *ops;
    void *owner;
    int64_t take_ms; /* http_exchange_take_ms(); 0: none */
};

/* Longest time the peer may take for an answer of len bytes to it. */
int64_t http_exchange_answer_ms(const struct http_exchange *x, size_t len);

/* Tells the owner that it is over; the protocol frees it then. */
void http_exchange_tell_gone(struct http_exchange *x, enum close_reason why);

/* Whoever had the content of an answer may have it back; later calls do nothing. */
void http_content_release(struct http_content *content);

/* A request as its handler sees it; the path is decoded into `path`.  0, or the status that refuses
 * it. */
int http_request_of(const struct http1_request *head, const struct net_address *peer,
                    char path[HTTP1_LINE_MAX], struct http_request *req);

/* The headers of an answer that say the same in every protocol: the date, the handler's, CORS and,
 * with a body_len that is not negative, the length. */
struct http_fields {
    struct http_header list[HTTP_ANSWER_FIELDS];
    size_t count;
    char length[24];
};
void http_fields_of(struct http_fields *f, struct http_server *s, struct worker *w,
                    const struct http_header *headers, size_t count, int64_t body_len);
/* Answers of this status may have a body, and say how long it is. */
bool http_status_has_body(int status);

/* The answer to a request that has no exchange because it could not be read. */
#define HTTP_REFUSAL_MAX 256
struct slice http_refusal(int status, char room[HTTP_REFUSAL_MAX]);
extern const struct http_header http_refusal_type;

/* The route of req, whose captures are set; NULL when there is none. */
const struct http_route *http_route_find(const struct http_server *s, struct http_request *req);
/* Calls the handler of the route (NULL: answers 404, 405, 204). */
void http_route_request(struct http_exchange *x, const struct http_route *r,
                        struct http_request *req);
/* False when the method is none of ours. */
bool http_method_parse(struct slice text, enum http_method *out);

#endif
