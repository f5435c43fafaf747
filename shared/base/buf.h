#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A byte queue: appended at the end, consumed at the front, never larger than `max`.  It holds no
 * memory while it is empty and grows with the bytes that are really in it.
 */
struct buf {
    size_t start, end;
    uint8_t *data;
    size_t room, max; /* bytes; max: the most that may be queued */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data != NULL ? b->data + b->start : NULL, buf_len(b));
}

/* Appends; 0, ERR_TOO_LARGE (nothing appended) or ERR_NOMEM. */
int buf_append(struct buf *b, const void *src, size_t len);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for len bytes at the end, NULL when that is more than allowed; buf_commit() says how many of
 * them were filled. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);

/* Drops len bytes at the front; an empty buffer gives its memory back. */
void buf_consume(struct buf *b, size_t len);

#endif
