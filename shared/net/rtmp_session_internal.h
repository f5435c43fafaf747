#ifndef SLUICE_NET_RTMP_SESSION_INTERNAL_H
#define SLUICE_NET_RTMP_SESSION_INTERNAL_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "net/rtmp_session.h"
#include "proto/rtmp_chunk.h"

/*
 * A session from the inside.
 *
 *   io -> rtmp_session.c: handshake, chunks -> rtmp_input.c: messages by type ->
 * handler->on_message
 *                                                  -> rtmp_commands.c: commands by name
 *                                                       -> rtmp_stream.c: connect, publish, play
 *   all of them -> rtmp_reply.c: answers -> rtmp_session_output() -> io
 *
 * rtmp_server.c has the sessions of a node, by worker.
 */

#define RTMP_SESSION_MAGIC 0x72746d70U /* "rtmp" */

#define RTMP_SID         1           /* the only message stream */
#define RTMP_WINDOW      2500000     /* bytes: the acknowledgement window we announce */
#define RTMP_COMMAND_MAX (64 * 1024) /* bytes of a message before publishing */
#define RTMP_MEDIA_MAX   (4 * 1024 * 1024 + 1024) /* bytes of a message of a publisher */
#define RTMP_HELD_MAX    (16 * 1024) /* bytes of answers that wait for the end of a message */
#define RTMP_LINGER_MS   2000        /* for last words to go out */
#define RTMP_TURN_CHUNKS 2048        /* of one connection, then others have their turn */

/* Where the conversation stands; bits, so that a table can say where something is legal. */
enum rtmp_phase {
    PHASE_HELLO = 1,   /* C0 C1 is awaited */
    PHASE_C2 = 2,      /* answered; C2 is awaited */
    PHASE_CONNECT = 4, /* connect is awaited */
    PHASE_IDLE = 8,    /* connected, neither publishing nor playing */
    PHASE_PUBLISH = 16,
    PHASE_PLAY = 32,
};
#define PHASE_CONNECTED   (PHASE_IDLE | PHASE_PUBLISH | PHASE_PLAY)
#define PHASE_ESTABLISHED (PHASE_CONNECT | PHASE_CONNECTED)

/* What each message needs comes first: with many connections none of it is in the cache. */
struct rtmp_session {
    uint32_t magic;
    enum rtmp_phase phase;
    struct worker *worker;
    struct io *io;
    bool closing;
    bool mid_message; /* the handler's bytes stop inside a message */
    struct buf held;  /* answers while `mid_message` */
    /* So far what a write of the handler looks at: one cache line, asserted below. */
    bool stream_created;
    bool audio, video;  /* what the player wants to get */
    bool keep_previous; /* the player asked not to reset */
    bool delivered;     /* on_message was called since on_input_end */
    bool ended;         /* a stream ended cleanly on this connection, with `ended_why` */
    bool asked;         /* to connect again */
    bool has_more;      /* the turn was over before what was read */
    bool paused;
    const struct rtmp_handler *handler;
    void *handler_object;     /* NULL: none open */
    uint64_t consumed, acked; /* bytes of the client read, and told that they were */
    uint64_t unaccepted;      /* bytes since it last published or played */
    uint32_t peer_window;     /* bytes after which the client wants an acknowledgement */
    uint32_t out_chunk_size;
    struct rtmp_chunk_reader reader;
    /* And so far what reading a message does. */
    struct rtmp_server *server;
    struct log_id log;
    struct list node; /* of the server's sessions on this worker */
    struct task reaper;
    /* Of connect, then of publish or play; NULL before. */
    char *app, *app_query;
    char *name, *query;
    struct rtmp_request request;
    int64_t opened_us;
    uint32_t our_window; /* as announced last */
    uint32_t skip;       /* bytes of C2 still to come */
    int error;           /* enum err behind why, or 0 */
    enum close_reason why, ended_why;
};
_Static_assert(offsetof(struct rtmp_session, held.data) <= CACHE_LINE,
               "what a write looks at is one line");

/* rtmp_session.c */

struct rtmp_session *rtmp_session_new(struct rtmp_server *server, struct worker *w, struct io *io);
/* At once, with everything that would have happened at the end of the turn. */
void rtmp_session_free(struct rtmp_session **sp);
/* Takes bytes of the client, RTMP_TURN_CHUNKS at most; how many were understood.  The rest is to be
 * given again: at once when has_more is set, else with more or when reading is resumed. */
size_t rtmp_session_feed(struct rtmp_session *s, struct slice bytes);
/* Step one of closing; step two is the reaper, at the end of the turn.  linger_ms > 0: what is
 * queued goes out first. */
void rtmp_session_close(struct rtmp_session *s, enum close_reason why, int64_t linger_ms);
/* Closes for what the client sent. */
void rtmp_session_fail(struct rtmp_session *s, int error);
/* The end of what was published or played while the connection stays; why is UNPUBLISHED or
 * FINISHED. */
void rtmp_session_end_stream(struct rtmp_session *s);
/* Asks the client to connect again, if it knows how to. */
void rtmp_session_ask_reconnect(struct rtmp_session *s);
/* Queues an answer, between two messages of the handler. */
void rtmp_session_output(struct rtmp_session *s, struct slice bytes);

/* rtmp_input.c: 0, or the error for which the session is to be closed. */
int rtmp_input_message(struct rtmp_session *s, const struct rtmp_message *m);

/* rtmp_commands.c */
int rtmp_command_run(struct rtmp_session *s, const struct rtmp_command *c);

/* rtmp_stream.c: the commands that say what the connection is for. */
int rtmp_stream_connect(struct rtmp_session *s, const struct rtmp_command *c);
int rtmp_stream_publish(struct rtmp_session *s, const struct rtmp_command *c);
int rtmp_stream_play(struct rtmp_session *s, const struct rtmp_command *c);

/* rtmp_server.c */

/* A handler and its part of the options; handler NULL: this node refuses with `refusal`. */
struct rtmp_role {
    const struct rtmp_handler *handler;
    void *arg;
    const char *refusal;
};
struct rtmp_role rtmp_server_role(const struct rtmp_server *server, enum rtmp_phase phase);
struct list *rtmp_server_sessions(struct rtmp_server *server, const struct worker *w);
/* Whether a line about a session may be written now. */
bool rtmp_server_may_log(const struct rtmp_session *s, bool opening);

/*
 * rtmp_reply.c: messages that leave in one write.
 *
 *   rtmp_reply_init, then any of the others, then rtmp_reply_send
 *
 * Everything that goes in is bounded, so it fits.
 */
#define RTMP_REPLY_BODY_MAX  1024 /* bytes of one body */
#define RTMP_REPLY_MAX       2048 /* bytes of all of it in chunks */
#define RTMP_DESCRIPTION_MAX 256  /* bytes; a longer description is cut */

struct rtmp_reply {
    struct rtmp_session *session;
    struct wr out, body;
    uint8_t out_bytes[RTMP_REPLY_MAX], body_bytes[RTMP_REPLY_BODY_MAX];
};

void rtmp_reply_init(struct rtmp_reply *r, struct rtmp_session *s);
void rtmp_reply_control(struct rtmp_reply *r, enum rtmp_type type, uint32_t value);
void rtmp_reply_event(struct rtmp_reply *r, enum rtmp_event event, uint32_t value);
/* A command, begun with name and transaction; its further values are written to r->body. */
void rtmp_reply_begin(struct rtmp_reply *r, const char *name, double transaction);
void rtmp_reply_end(struct rtmp_reply *r, uint32_t sid);
/* `_result` with null and the value null, for transactions other than 0. */
void rtmp_reply_null(struct rtmp_reply *r, double transaction);
void rtmp_reply_number(struct rtmp_reply *r, double transaction, double value);
/* The information object of onStatus and its like, into r->body. */
void rtmp_reply_info(struct rtmp_reply *r, const char *level, const char *code,
                     const char *description);
void rtmp_reply_error(struct rtmp_reply *r, double transaction, const char *code,
                      const char *description);
/* onStatus on our stream. */
void rtmp_reply_status(struct rtmp_reply *r, const char *code, const char *description);
void rtmp_reply_status_error(struct rtmp_reply *r, const char *code, const char *description);
void rtmp_reply_send(struct rtmp_reply *r);

/* An onStatus of level error on its own. */
void rtmp_reply_refusal(struct rtmp_session *s, const char *code, const char *description);

#endif
