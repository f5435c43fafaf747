#ifndef SLUICE_NET_HTTP_INTERNAL_H
#define SLUICE_NET_HTTP_INTERNAL_H

#include "net/http_chunker.h"
#include "net/http_intake.h"
#include "net/http_server.h"

/*
 * What the parts of the HTTP/1.1 server share: http_server.c reads requests and owns connections,
 * http_body.c reads bodies, http_route.c finds handlers, http_answer.c writes answers.
 */
#define HTTP_SERVER_MAGIC     0x68737276U
#define HTTP_CONNECTION_MAGIC 0x68636f6eU
#define HTTP_EXCHANGE_MAGIC   0x68657863U

#define HTTP_ANSWER_HEAD_MAX  (8 * 1024)   /* bytes of an answer's head */
#define HTTP_JSON_MAX         (8 << 20)    /* bytes of a JSON answer */
#define HTTP_PIPELINE_MAX     (16 * 1024)  /* bytes of later requests kept while one is answered */
#define HTTP_STREAM_QUEUE_MAX (256 * 1024) /* bytes http_stream_write() may queue */
#define HTTP_IGNORED_MAX      (64 * 1024)  /* bytes a peer may send into a streamed answer */
#define HTTP_ANSWER_MS        20000        /* to take an answer, and 1 s for every … */
#define HTTP_ANSWER_RATE_MIN  (8 * 1024)   /* … bytes of it */
#define HTTP_STREAM_LINGER_MS 2000         /* to take the end of a stream */

/* Deadlines; tests shorten them.  answer_rate: bytes a second that a reader must take at least. */
struct http_times {
    int64_t head_ms, idle_ms, answer_ms, answer_rate;
};

/* What one worker has of a server; only that worker touches it. */
struct http_local {
    struct list connections;
    int64_t date_s; /* what `date` says */
    char date[HTTP1_DATE_SIZE];
};

struct http_server {
    uint32_t magic;
    char *name, *cors_origin;
    const struct http_route *routes;
    size_t route_count;
    bool has_early; /* a route has body_unread_max */
    void *arg;
    bool (*on_request)(struct http_exchange *x, const struct http_request *req, void *arg);
    struct http_times times;
    struct http_local locals[WORKERS_MAX];
};

enum http_state {
    HTTP_READING,   /* a request is awaited or on its way */
    HTTP_HANDLING,  /* an exchange is open, not answered yet */
    HTTP_ANSWERING, /* the answer is queued; the next request comes after it */
    HTTP_STREAMING, /* an exchange is open, its answer under way */
    HTTP_ENDING,    /* the connection goes when what is queued is out */
};

struct http_connection {
    uint32_t magic;
    enum http_state state;
    struct http_server *server;
    struct worker *worker;
    struct io *io;
    struct http_exchange *exchange; /* while HANDLING or STREAMING */
    struct list node;
    struct task turn; /* goes on after an answer, or frees the connection */
    struct log_id log;
    bool closed;
    bool partial;     /* bytes of a request have come */
    bool served;      /* had a request before */
    bool in_handler;  /* the handler is on the stack */
    bool close_after; /* no request after the present one */
    bool body_open;   /* a body that follows has not come to its end */

    /* The request being read. */
    size_t head_len; /* 0: the head is not complete */
    enum http1_body body_kind;
    size_t body_len; /* with HTTP1_BODY_LENGTH */
    size_t raw_len;  /* bytes of head and chunks that were decoded */
    struct http1_chunks chunks;
    struct buf body;           /* decoded chunks */
    struct http_intake intake; /* of a body that follows; it outlives the exchange */

    size_t answer_len; /* bytes of the answer that is queued */
    size_t ignored;    /* bytes that came while streaming */
};

struct http_exchange {
    uint32_t magic;
    struct http_connection *c;
    const struct http_exchange_ops *ops;
    void *owner;
    struct http_chunker chunker;
    bool head_only; /* HEAD: no body follows */
    bool old;       /* HTTP/1.0 */
    bool gone;      /* on_gone is being called */
};

void http_server_set_times(struct http_server *s, const struct http_times *times);
/* Longest time a peer may take for an answer of len bytes. */
int64_t http_answer_ms(const struct http_connection *c, size_t len);
struct http_local *http_local(const struct http_connection *c);

/* Reads what is there of a body that follows, on to the exchange's owner. */
void http_body_read(struct http_connection *c);
/* The request's body, behind the head, is complete: false while it is not, or when it was refused
 * (the state is no more READING). */
bool http_body_collect(struct http_connection *c);
/* Ends the connection, and tells the exchange's owner. */
void http_connection_close(struct http_connection *c, enum close_reason why);
/* The exchange, if there is one, is over for its owner. */
void http_exchange_gone(struct http_connection *c, enum close_reason why);

/* Answers a request that has no exchange because it could not be read, and closes. */
void http_refuse(struct http_connection *c, int status);
/* The answer of the open exchange is queued: it is over. */
void http_exchange_answered(struct http_exchange *x, size_t answer_len);
void http_exchange_free(struct http_exchange **xp);

/* The route of req, whose captures are set; NULL when there is none. */
const struct http_route *http_route_find(const struct http_server *s, struct http_request *req);
/* Calls the handler of the route (NULL: answers 404, 405, 204). */
void http_route_request(struct http_exchange *x, const struct http_route *r,
                        struct http_request *req);
/* False when the method is none of ours. */
bool http_method_parse(struct slice text, enum http_method *out);

#endif
