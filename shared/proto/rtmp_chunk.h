#ifndef SLUICE_PROTO_RTMP_CHUNK_H
#define SLUICE_PROTO_RTMP_CHUNK_H

#include "base/bytes.h"
#include "proto/rtmp_message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The RTMP chunk layer (Adobe RTMP 1.0 section 5.3).
 *
 *   bytes -> rtmp_chunk_read() -> struct rtmp_message
 *   struct rtmp_message -> rtmp_chunk_write() -> bytes
 *   large media bodies   -> rtmp_chunk_header(), rtmp_chunk_continuation() around the body's pieces
 *
 * Thread: a reader belongs to one session and its thread.
 */

#define RTMP_CHUNK_SIZE_DEFAULT 128 /* bytes; both directions, until SetChunkSize */
/* Bytes; what we announce and then send.  Wireshark follows chunk sizes below 32768 only. */
#define RTMP_CHUNK_SIZE_OUT         32000
#define RTMP_CHUNK_STREAMS_MAX      16 /* chunk streams remembered per connection */
#define RTMP_CHUNK_BODY_KEPT        4096 /* bytes; a chunk stream's larger buffer is freed after use */
#define RTMP_CHUNK_HEADER_MAX       16       /* bytes of a type 0 header with extended timestamp */
#define RTMP_CHUNK_CONTINUATION_MAX 5        /* bytes of a type 3 header with extended timestamp */
#define RTMP_MESSAGE_MAX            0xffffff /* bytes; what the length field can say */

struct rtmp_chunk_stream;

/*
 * Puts messages together.  Memory grows with the bytes that arrived, never with lengths announced:
 * all buffers together hold at most 2 * message_max bytes and what idle chunk streams keep.  A
 * reader that has seen nothing holds no memory.
 */
struct rtmp_chunk_reader {
    /* Bytes of the longest message accepted; the session may change it between calls. */
    uint32_t message_max;

    /* Private. */
    uint32_t chunk_size;
    uint32_t chunk_left;               /* payload bytes still to come of the current chunk */
    uint32_t turn;                     /* chunks begun, to find the stream idle for longest */
    size_t held;                       /* bytes allocated for bodies */
    struct rtmp_chunk_stream *current; /* whose chunk has begun and not ended, or NULL */
    struct rtmp_chunk_stream *done;    /* whose large body the last message points at, or NULL */
    size_t count;
    struct rtmp_chunk_stream *streams[RTMP_CHUNK_STREAMS_MAX];
};

void rtmp_chunk_reader_init(struct rtmp_chunk_reader *cr, uint32_t message_max);
void rtmp_chunk_reader_fini(struct rtmp_chunk_reader *cr);

/*
 * Reads at most one chunk, or what has arrived of it.  Returns the bytes consumed, 0 when the
 * chunk's header is not complete (nothing has changed), or a negative enum err, after which the
 * reader is only good for fini.  *complete says whether *msg was filled; its body then points into
 * src (a message that lies whole in src) or into the reader, and is valid until the next call.
 *
 * SetChunkSize and Abort take effect in here and are delivered like every other message.  Chunk
 * sizes up to RTMP_CHUNK_SIZE_MAX are accepted: a peer that announces 1 MiB will send such chunks,
 * and no memory depends on the number.
 *
 * A type 3 chunk after an extended timestamp is taken to repeat it only when the next four bytes
 * are equal to it; some writers leave it out.  A chunk stream may begin with a type 1 header
 * (librtmp does that), which then counts from timestamp 0 on message stream 0.  A header of type 0,
 * 1 or 2 in the middle of a message continues it when it changes neither length nor type.
 *
 * ERR_PROTOCOL: type 2 or 3 with nothing to inherit, a changed length or type inside a message, a
 * bad SetChunkSize or Abort.  ERR_TOO_LARGE: longer than message_max (said by the header) or too
 * many bytes of unfinished messages.  ERR_TOO_MANY: a 17th chunk stream while the 16 others are all
 * inside a message; otherwise the one idle for longest is forgotten.  ERR_NOMEM.
 */
ssize_t rtmp_chunk_read(struct rtmp_chunk_reader *cr, const uint8_t *src, size_t len,
                        struct rtmp_message *msg, bool *complete);

/*
 * The header of a message's first chunk, always type 0; m->body.p is not looked at.  Returns its
 * length, 12 or (with an extended timestamp) 16 bytes.  m->csid is 2 .. 63.
 */
size_t rtmp_chunk_header(uint8_t out[RTMP_CHUNK_HEADER_MAX], const struct rtmp_message *m);

/* The type 3 header of every further chunk of a message: 1 or 5 bytes.  The extended timestamp is
 * repeated; ffmpeg and librtmp lose the stream without it. */
size_t rtmp_chunk_continuation(uint8_t out[RTMP_CHUNK_CONTINUATION_MAX], uint32_t csid,
                               uint32_t timestamp_ms);

/* Bytes that rtmp_chunk_write() needs for m. */
size_t rtmp_chunk_write_size(const struct rtmp_message *m, uint32_t chunk_size);

/* Writes a whole message in chunks of chunk_size; sets w->overflow when it does not fit. */
void rtmp_chunk_write(struct wr *w, const struct rtmp_message *m, uint32_t chunk_size);

#define RTMP_CONTROL_SIZE_MAX                                                                      \
    (12 + RTMP_CONTROL_BODY_MAX) /* bytes rtmp_chunk_write_control() needs */

/* Writes a control message (type 1 to 6), on chunk stream 2 and message stream 0 with timestamp 0.
 * Its body fits in one chunk of any chunk size in use. */
void rtmp_chunk_write_control(struct wr *w, enum rtmp_type type, const struct rtmp_control *c);

#endif
