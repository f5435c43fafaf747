#ifndef SLUICE_NET_HTTP_CHUNKER_H
#define SLUICE_NET_HTTP_CHUNKER_H

#include "net/io.h"

/*
 * The body of an endless answer in chunked coding (RFC 9112, 7.1), so that its end can be told from
 * the loss of the connection.  Whatever is offered to one write is one chunk: a few bytes in front
 * of the caller's, in the same writev.  The line end after a chunk goes out with the next one's
 * size.
 */
#define HTTP_CHUNK_HEAD_MAX 24 /* "\r\n", 16 digits, "\r\n" */

struct http_chunker {
    size_t left; /* bytes that the present chunk has announced and not had */
    bool begun;
    uint8_t head_len, head_sent;
    uint8_t head[HTTP_CHUNK_HEAD_MAX];
};

/* As io_writev: how many of the caller's bytes the socket took. */
ssize_t http_chunker_writev(struct http_chunker *c, struct io *io, const struct iovec *iov,
                            int count);
/* As io_write. */
int http_chunker_write(struct http_chunker *c, struct io *io, struct slice bytes);
/* The last chunk, when the one before is complete: else the body stays without an end. */
void http_chunker_end(struct http_chunker *c, struct io *io);

#endif
