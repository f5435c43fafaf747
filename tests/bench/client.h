#ifndef SLUICE_TESTS_BENCH_CLIENT_H
#define SLUICE_TESTS_BENCH_CLIENT_H

#include "base/buf.h"
#include "proto/http1.h"
#include "proto/rtmp_chunk.h"
#include "target.h"

/*
 * One player or publisher without its socket:
 *
 *   bytes from the server -> client_feed() -> on_message for audio and video
 *   client.out            -> bytes for the server, consumed by whoever sends them
 */

#define CLIENT_UNREAD_MAX (4 * 1024 * 1024) /* bytes kept of a message that is not complete */
#define CLIENT_OUT_MAX    (64 * 1024)       /* bytes queued for the server */

#define CLIENT_STATUS_MAX 64 /* bytes of a status code */

enum client_purpose { CLIENT_PLAY, CLIENT_PUBLISH };

enum client_state {
    CLIENT_HELLO,   /* RTMP handshake, or HTTP head */
    CLIENT_ASKING,  /* RTMP commands until the stream is granted */
    CLIENT_GRANTED, /* Play.Start or Publish.Start was said, or a body began */
};

struct client;
typedef void client_message_fn(struct client *c, uint8_t type, uint32_t timestamp_ms,
                               struct slice body);

struct client {
    const struct target *target;
    enum client_purpose purpose;
    enum client_state state;
    client_message_fn *on_message;
    uint32_t out_chunk, sid;
    struct buf in, out;
    char stream[TARGET_TEXT_MAX];
    char status[CLIENT_STATUS_MAX]; /* what the server said last, onStatus code or HTTP status */
    struct rtmp_chunk_reader reader;
    struct http1_chunks chunks;
    struct buf flv; /* decoded body of an answer */
    bool chunked, flv_begun;
};

/* Prepares the first bytes for the server; false when the stream's name is too long. */
bool client_init(struct client *c, const struct target *t, int number, enum client_purpose purpose,
                 client_message_fn *on_message);
void client_fini(struct client *c);

/* Takes bytes from the server; 0 or a negative enum err (ERR_REFUSED: the server said no). */
int client_feed(struct client *c, struct slice bytes);

/* Reads all that is complete, from where it came when nothing was kept, and keeps the rest. */
typedef ssize_t client_read_fn(struct client *c, struct slice in);
int client_take(struct client *c, struct buf *kept, struct slice bytes, client_read_fn *read);

/* The two protocols behind it: bytes consumed of `in`, 0 or negative. */
void client_rtmp_start(struct client *c);
ssize_t client_rtmp_read(struct client *c, struct slice in);
void client_flv_start(struct client *c);
ssize_t client_flv_read(struct client *c, struct slice in);

#endif
