#ifndef SLUICE_NET_HTTP1_CONNECTION_H
#define SLUICE_NET_HTTP1_CONNECTION_H

#include "net/http_chunker.h"
#include "net/http_intake.h"
#include "net/http_internal.h"

/*
 * HTTP/1.1: http1_connection.c reads requests and owns connections, http1_body.c reads bodies,
 * http1_answer.c writes answers, http1_content.c those bodies that are not copied.
 */
#define HTTP1_CONNECTION_MAGIC 0x68636f6eU

#define HTTP1_PIPELINE_MAX (16 * 1024) /* bytes of later requests kept while one is answered */
#define HTTP1_BATCH_US     200 /* requests that came together are answered at once so long */
#define HTTP1_BATCH_BYTES  (32 * 1024) /* and so many bytes of answers */
#define HTTP1_REFUSED_MAX  1000        /* answers of 400 and more; then the connection ends */
#define HTTP1_IGNORED_MAX  (64 * 1024) /* bytes a peer may send into a streamed answer */

enum http1_state {
    HTTP_READING,   /* a request is awaited or on its way */
    HTTP_HANDLING,  /* an exchange is open, not answered yet */
    HTTP_ANSWERING, /* the answer is queued; the next request comes after it */
    HTTP_STREAMING, /* an exchange is open, its answer under way */
    HTTP_ENDING,    /* the connection goes when what is queued is out */
};

struct http1_connection {
    uint32_t magic;
    enum http1_state state;
    struct http_server *server;
    struct worker *worker;
    struct io *io;
    struct http1_exchange *exchange; /* while HANDLING or STREAMING */
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

    int64_t answer_ms;           /* that the answer which is queued may take */
    struct http_content content; /* what of it is not sent and lies elsewhere; len 0: nothing */
    size_t ignored;              /* bytes that came while streaming */
    uint32_t refused;            /* answers of 400 and more */
};

struct http1_exchange {
    struct http_exchange x;
    struct http1_connection *c;
    struct io *io; /* the connection's */
    bool old;      /* HTTP/1.0 */
    struct http_chunker chunker;
};

extern const struct http_protocol http1_protocol;

/* Takes an accepted connection. */
void http1_accept(struct http_server *s, struct worker *w, struct io *io);
/* Ends a worker's connections, idle ones at once, exchanges through on_gone. */
void http1_drain(struct http_server *s, struct worker *w);
/* See http_server_retire. */
void http1_retire(struct http_server *s, struct worker *w);
/* The same at once, after the workers have stopped. */
void http1_end_all(struct http_local *local);

/* Reads what is there of a body that follows, on to the exchange's owner. */
void http1_body_read(struct http1_connection *c);
/* The request's body, behind the head, is complete: false while it is not, or when it was refused
 * (the state is no more READING). */
bool http1_body_collect(struct http1_connection *c);
/* Ends the connection, and tells the exchange's owner. */
void http1_connection_close(struct http1_connection *c, enum close_reason why);
/* The exchange, if there is one, is over for its owner. */
void http1_exchange_gone(struct http1_connection *c, enum close_reason why);

/* Sends `head` and what the socket takes of the content, which is the connection's from now on.  0,
 * or negative when the head is lost. */
int http1_content_begin(struct http1_connection *c, struct slice head,
                        const struct http_content *content);
/* Goes on with it; true when all of it is out. */
bool http1_content_send(struct http1_connection *c);

/* Answers a request that has no exchange because it could not be read, and closes. */
void http1_refuse(struct http1_connection *c, int status);
/* The answer of the open exchange is queued: it is over. */
void http1_exchange_answered(struct http1_exchange *x, size_t answer_len);
void http1_exchange_free(struct http1_exchange **xp);

#endif
