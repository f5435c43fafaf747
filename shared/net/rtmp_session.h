#ifndef SLUICE_NET_RTMP_SESSION_H
#define SLUICE_NET_RTMP_SESSION_H

#include "base/name.h"
#include "core/worker.h"
#include "net/io.h"
#include "proto/rtmp_message.h"

/*
 * The RTMP server side of one connection: handshake, chunks, connect, createStream and the commands
 * around them, up to the point where it publishes or plays.  What happens then is the business of a
 * handler (origin: publish, edge: play), so that either may be absent on a node.
 *
 * A connection publishes or plays one stream at a time, on message stream 1.  Everything runs on
 * the connection's worker.
 */
struct rtmp_session;
struct rtmp_server;

#define RTMP_PING_EVERY_MS 10000 /* user control ping where nothing moves */
#define RTMP_QUERY_MAX     1024  /* bytes of a query, terminator included */

/* Bits of capsEx (Enhanced RTMP v2, connect). */
enum rtmp_caps {
    RTMP_CAP_RECONNECT = 1,
    RTMP_CAP_MULTITRACK = 2,
    RTMP_CAP_MODEX = 4,
    RTMP_CAP_NANO = 8
};

/* What the client asked for; valid until on_close returns, or open() after a refusal. */
struct rtmp_request {
    const char *name;  /* APP/STREAM, checked */
    const char *query; /* of the stream name, else of app or tcUrl; without '?', printable ASCII, ""
                          when there is none */
    uint32_t caps_ex;  /* enum rtmp_caps */
    bool announced;    /* the client named Enhanced RTMP abilities in connect */
};

/*
 * What a connection may turn into.  open() returns the handler's object, or NULL after
 * rtmp_session_refuse(); the others get that object.  `on_close` is the last call, whoever closes;
 * the session may not be used after it.
 */
struct rtmp_handler {
    void *(*open)(struct rtmp_session *s, const struct rtmp_request *req, void *arg);
    /* Publish: an audio, video or data message (aggregates taken apart, AMF3 data made AMF0). */
    void (*on_message)(void *h, const struct rtmp_message *m);
    /* Publish: what the last read held has been handed over; only after on_message. */
    void (*on_input_end)(void *h);
    /* Play: pause(true/false), receiveAudio, receiveVideo. */
    void (*on_pause)(void *h, bool paused);
    void (*on_receive)(void *h, bool audio, bool video);
    /* Play: the socket takes bytes again after rtmp_session_writev() took less. */
    void (*on_writable)(void *h);
    /* clean: FCUnpublish, deleteStream or closeStream came before (from a client that was not asked
     * to connect again: it goes on elsewhere); the connection may go on to another stream
     * afterwards (then why is UNPUBLISHED or FINISHED). */
    void (*on_close)(void *h, enum close_reason why, bool clean);
};

struct rtmp_server_options {
    const struct rtmp_handler *publish; /* NULL: refused with publish_refusal */
    void *publish_arg;
    const char *publish_refusal;
    const struct rtmp_handler *play;
    void *play_arg;
    const char *play_refusal;
};
struct rtmp_server *rtmp_server_new(struct workers *g, const struct rtmp_server_options *o);
/* After the workers have stopped, before what the handlers need is freed: ends the sessions that
 * are left with DRAIN. */
void rtmp_server_free(struct rtmp_server **sp);
/* Shape of an accept_handler, with the server as arg. */
void rtmp_server_accept(struct worker *w, struct io *io, void *server);
/* Asks this worker's clients that know how to (RTMP_CAP_RECONNECT) to connect again, by which they
 * come to another node. */
void rtmp_server_ask_reconnect(struct rtmp_server *s, struct worker *w);
/* Ends this worker's sessions with DRAIN, telling the clients. */
void rtmp_server_drain(struct rtmp_server *s, struct worker *w);

/* Publish: the stream is ours (NetStream.Publish.Start). */
void rtmp_session_publish_started(struct rtmp_session *s);
/* Play: StreamBegin, Play.Reset, Play.Start, |RtmpSampleAccess, in one write. */
void rtmp_session_play_started(struct rtmp_session *s);
/* Play: tells that a publisher is back (PublishNotify). */
void rtmp_session_play_resumed(struct rtmp_session *s);
/*
 * Refuses (before or after open() returned): an onStatus of level error with the code that fits why
 * (NAME_TAKEN BadName, NOT_FOUND and SOURCE_LOST Play.StreamNotFound, AUTH and REFUSED
 * Publish.Denied / Play.Failed …), the description, then closes after the flush.
 */
void rtmp_session_refuse(struct rtmp_session *s, enum close_reason why, const char *description);
/* Ends what runs: players get StreamEOF, UnpublishNotify and Play.Stop (UNPUBLISHED) or an error
 * status, publishers an error status; then closes after the flush. */
void rtmp_session_end(struct rtmp_session *s, enum close_reason why);

/* While paused nothing is read from the client. */
void rtmp_session_pause(struct rtmp_session *s, bool paused);
/* Queues a copy (preambles): whole messages, never while one that rtmp_session_writev() began is
 * incomplete.  As io_write. */
int rtmp_session_write(struct rtmp_session *s, struct slice bytes);
/* As io_writev.  What is handed over ends at the end of a message, so that the session can put its
 * own between two of them. */
ssize_t rtmp_session_writev(struct rtmp_session *s, const struct iovec *iov, int count);

struct io *rtmp_session_io(struct rtmp_session *s);
const struct log_id *rtmp_session_log(const struct rtmp_session *s);
struct worker *rtmp_session_worker(const struct rtmp_session *s);

#endif
