#ifndef SLUICE_NET_HTTP_INTAKE_H
#define SLUICE_NET_HTTP_INTAKE_H

#include "base/buf.h"
#include "proto/http1.h"

/*
 * A chunked body on its way to an owner who takes it as it comes and may leave some of it: what is
 * left is kept, and offered again with what follows.
 *
 *   bytes ──http1_chunks──▶ data ──▶ owner
 *                             └ left ─▶ unread ─▶ (with the next data) owner
 */
#define HTTP_READ_AHEAD (256 * 1024) /* bytes beyond unread_max that one read may bring */

struct http_intake {
    struct http1_chunks chunks;
    struct buf unread;
    size_t unread_max; /* bytes the owner may leave */
};

/* How many of the bytes the owner consumed; negative: it wants no more of them. */
typedef ssize_t http_take(struct slice bytes, void *arg);

void http_intake_init(struct http_intake *i, size_t unread_max);
void http_intake_fini(struct http_intake *i);
/*
 * Reads a piece of the body as http1_chunks_read: bytes consumed, 0, or negative: what the chunks
 * or the owner said, ERR_TOO_LARGE when the owner left too much.  *done with the body's end, which
 * is ERR_PROTOCOL while the owner still waits for more.
 */
ssize_t http_intake_read(struct http_intake *i, struct slice in, bool *done, http_take *take,
                         void *arg);

/* Offers bytes until the owner takes no more: how many it took, or negative as above. */
ssize_t http_offer(struct slice bytes, size_t unread_max, http_take *take, void *arg);

#endif
