#ifndef SLUICE_NET_HTTP2_CONNECTION_H
#define SLUICE_NET_HTTP2_CONNECTION_H

#include "base/buf.h"
#include "net/http_internal.h"

#include <nghttp2/nghttp2.h>

/*
 * HTTP/2 (RFC 9113), whose frames, header compression and windows are nghttp2's:
 *
 *   http2_connection.c  a connection's life and times, and the turns in which owners are called
 *   http2_session.c     what nghttp2 tells of: frames become steps of streams; noise is counted
 *   http2_request.c     heads and bodies to handlers
 *   http2_answer.c      answers and endless ones from handlers
 *   http2_output.c      frames to the io
 *
 * nghttp2 must not be entered again from its callbacks, so these only note what happened: the
 * stream is put into `ready`, and its owner hears of it in http2_run(), when nghttp2 has returned.
 */
#define HTTP2_CONNECTION_MAGIC 0x68326367U

#define HTTP2_STREAMS_MAX       128          /* open at once, of a connection */
#define HTTP2_STREAM_WINDOW     (128 * 1024) /* bytes of a body that may be under way */
#define HTTP2_CONNECTION_WINDOW (1024 * 1024)
#define HTTP2_READ_STEP         (16 * 1024)  /* bytes between two looks at what is ready */
#define HTTP2_ANSWERS_MAX       (4 << 20)    /* bytes of answers that wait; then requests do */
#define HTTP2_BATCH             (64 * 1024)  /* bytes of frames that are made for one write */
#define HTTP2_OUT_MAX           (512 * 1024) /* bytes of frames that the socket did not take */
#define HTTP2_UNSENT_MAX        (128 * 1024) /* bytes of ours in the kernel that are not under way */
#define HTTP2_DEAD_PEER_MS      20000 /* a peer that acknowledges nothing this long is gone */
#define HTTP2_FIELD_OVERHEAD    32    /* bytes a header counts beside its own (RFC 9113, 6.5.2) */
/*
 * Frames that cost the peer nothing and carry nothing (PING, SETTINGS, RST_STREAM, empty DATA …)
 * fill a bucket that empties with time and with what is sent; beyond this the peer is let go
 * (http2_session.c has what each counts).
 */
#define HTTP2_NOISE_MAX        1000
#define HTTP2_NOISE_PER_S      100
#define HTTP2_NOISE_SENT_BYTES 2048 /* of DATA sent forgive one */

struct http2_output;

struct http2_connection {
    uint32_t magic;
    struct http_server *server;
    struct worker *worker;
    struct io *io;
    nghttp2_session *session;
    struct list node;
    struct list streams; /* all of them */
    struct list ready;   /* those with something to tell */
    struct list waiting; /* those whose request waits for answers to go out */
    struct task turn;    /* runs what became ready outside of a run, or frees */
    struct log_id log;
    struct http2_output *output; /* while frames are made */
    size_t answer_bytes;         /* memory of whole answers that are not gone */
    int64_t noise, noise_us;     /* HTTP2_NOISE_MAX */
    int64_t idle_by_us;          /* it ends when there is still no stream */
    int64_t wake_us;             /* what the io's deadline is; 0: none */
    int error;     /* negative enum err: to be ended, as soon as nghttp2 has returned */
    bool running;  /* owners are being called */
    bool blocked;  /* the io has bytes that the socket did not take */
    bool draining; /* GOAWAY was said; it ends with its last stream */
    bool ending;   /* what is queued goes out, nothing else happens */
    bool closed;
};

enum http2_phase {
    HTTP2_HEAD,      /* headers are coming */
    HTTP2_BODY,      /* the body is being collected */
    HTTP2_HANDLING,  /* an exchange is open, not answered yet */
    HTTP2_STREAMING, /* an exchange is open, its answer under way */
    HTTP2_ANSWERED,  /* what is left of the answer goes out */
};

enum http2_pseudo { HTTP2_METHOD, HTTP2_PATH, HTTP2_AUTHORITY, HTTP2_PSEUDO_COUNT };

struct http2_stream {
    struct http_exchange x;
    struct http2_connection *c;
    struct list node, ready_node;
    int32_t id;
    enum http2_phase phase;
    bool closed;         /* nghttp2 has forgotten it */
    bool in_handler;     /* the handler is on the stack */
    int64_t deadline_us; /* of the request or the answer; 0: the handler's matter */

    /* The request, whose head is written as HTTP/1.1 has it, for the same reader to judge it. */
    struct buf pseudo[HTTP2_PSEUDO_COUNT];
    struct buf head;
    size_t head_bytes;
    int refusal;   /* the status it is refused with; 0: none so far */
    bool begun;    /* the request line is in `head` */
    bool all_come; /* the peer's last byte */

    struct buf body;     /* collected, or not consumed by the owner */
    size_t unread_max;   /* of a body that follows; 0: it is collected */
    size_t window_bytes; /* not given back to the peer's window */
    bool body_open, paused;

    /* The answer: `out` from out_at on, then what is offered, which may be the content's. */
    struct buf out;
    size_t out_at, answer_bytes; /* answer_bytes: its part of the connection's */
    struct http_content content; /* kept until all is sent */
    const struct iovec *offer;
    size_t offer_at, offer_left;   /* bytes: into the first, and in all */
    bool wants_writable, writable; /* on_writable is wanted; is owed */
    bool ended;                    /* nothing follows */
};

extern const struct http_protocol http2_protocol;

#define HTTP2_PREFACE_LEN 24 /* bytes that a client begins with */
/* 1: these bytes begin with the preface; 0: they may; negative: they do not. */
int http2_is_preface(struct slice bytes);

/* Takes a connection whose unread bytes begin with the preface. */
void http2_accept(struct http_server *s, struct worker *w, struct io *io);
/* Tells a worker's connections to go: exchanges end through on_gone, answers still go out. */
void http2_drain(struct http_server *s, struct worker *w);
/* See http_server_retire. */
void http2_retire(struct http_server *s, struct worker *w);
/* Ends and frees at once, after the workers have stopped. */
void http2_end_all(struct http_local *local);
/* The peer may finish what it began, and asks no more. */
void http2_say_goaway(struct http2_connection *c);
void http2_connection_close(struct http2_connection *c, enum close_reason why);
/* The stream's owner, if there is one, or the connection has something to do at the end of this
 * turn. */
void http2_stream_ready(struct http2_stream *s);
/* Calls owners and makes frames until nothing is left to do. */
void http2_run(struct http2_connection *c);
/* Looks at the deadlines at that time, if not before. */
void http2_wake_by(struct http2_connection *c, int64_t at_us);

/* The session of a new connection. */
nghttp2_session *http2_session_new(struct http2_connection *c);

/* A request begins; NULL without memory. */
struct http2_stream *http2_stream_new(struct http2_connection *c, int32_t id);
void http2_stream_free(struct http2_stream *s);
/* The exchange, if there is one, is over for its owner, and so is what it answered with. */
void http2_stream_gone(struct http2_stream *s, enum close_reason why);
void http2_request_header(struct http2_stream *s, struct slice name, struct slice value);
void http2_request_head_ended(struct http2_stream *s);
void http2_request_body(struct http2_stream *s, struct slice bytes);
/* Goes on with the request: calls its handler when that is possible, or hands a body on. */
void http2_request_step(struct http2_stream *s);

/* Answers a request that has no exchange. */
void http2_refuse(struct http2_stream *s, int status);
static inline bool http2_stream_open(const struct http2_stream *s)
{
    return s->phase == HTTP2_HANDLING || s->phase == HTTP2_STREAMING;
}

/* Makes frames while the socket takes them. */
void http2_pump(struct http2_connection *c);
/* Callbacks of nghttp2. */
ssize_t http2_source_read(nghttp2_session *session, int32_t id, uint8_t *dst, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *arg);
int http2_source_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                      size_t len, nghttp2_data_source *source, void *arg);

#endif
