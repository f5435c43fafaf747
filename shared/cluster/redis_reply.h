#ifndef SLUICE_CLUSTER_REDIS_REPLY_H
#define SLUICE_CLUSTER_REDIS_REPLY_H

#include "base/slice.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The framing of RESP2 replies, checked before hiredis' reader sees them: the reader allocates what
 * a reply announces, so it is fed only whole replies within these limits.  No I/O.
 */
#define REDIS_BULK_MAX  (1024 * 1024)             /* bytes of one string */
#define REDIS_REPLY_MAX (REDIS_BULK_MAX + 262144) /* bytes of one reply with all that is in it */
#define REDIS_LINE_MAX  8192                      /* bytes of a status or error */
#define REDIS_ARRAY_MAX 4096                      /* elements of one array */
#define REDIS_DEPTH_MAX 4                         /* arrays in arrays */

/* Where the search for the end of a reply is; zero it for the first. */
struct redis_scan {
    size_t at;
    int depth;
    uint32_t left[REDIS_DEPTH_MAX]; /* elements still to come, for each open array */
};

/*
 * The length of the first whole reply in src, 0 when more is needed (the next call goes on where
 * this one stopped, with the same bytes and more), or ERR_PROTOCOL, ERR_TOO_LARGE, ERR_TOO_MANY,
 * ERR_TOO_DEEP.  Anything but 0 ends the search.
 */
ssize_t redis_scan(struct redis_scan *s, const uint8_t *src, size_t len);

/* One whole reply (as found by redis_scan) as hiredis' tree, or NULL when the reader does not take
 * it.  Freed with freeReplyObject. */
redisReply *redis_reply_parse(redisReader *reader, struct slice whole);

/* --- reading a reply; all take NULL (no answer) --- */

bool redis_is_error(const redisReply *r);
/* True for an error that begins with the word ("NOSCRIPT"). */
bool redis_is_error_word(const redisReply *r, const char *word);
/* The error's text, "no answer" for NULL, "unexpected reply" for anything else. */
const char *redis_error_text(const redisReply *r);
/* True for an array of at least n elements. */
bool redis_is_array(const redisReply *r, size_t n);
/* The i-th element of an array, NULL when there is none. */
const redisReply *redis_element(const redisReply *r, size_t i);
/* A string's or status' bytes; empty for anything else. */
struct slice redis_text(const redisReply *r);
/* The text of the i-th element. */
struct slice redis_text_at(const redisReply *r, size_t i);

#endif
