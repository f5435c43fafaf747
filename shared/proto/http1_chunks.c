#include "proto/http1.h"

#include "base/err.h"
#include "base/hex.h"

/* Chunked bodies (RFC 9112, 7.1) without extensions and trailers. */

enum { NEXT_SIZE, NEXT_DATA, NEXT_DATA_END, NEXT_LAST_END };

/* CR LF: 2, 0 when it is not complete, ERR_PROTOCOL when it is something else. */
static ssize_t read_line_end(const uint8_t *src, size_t len)
{
    if ((len > 0 && src[0] != '\r') || (len > 1 && src[1] != '\n'))
        return ERR_PROTOCOL;
    return len > 1 ? 2 : 0;
}

static ssize_t read_size(struct http1_chunks *c, const uint8_t *src, size_t len)
{
    size_t digits = 0;
    uint64_t size = 0;
    while (digits < len && hex_digit(src[digits]) >= 0) {
        if (digits == HTTP1_CHUNK_DIGITS_MAX)
            return ERR_TOO_LARGE;
        size = size << 4 | (uint64_t)hex_digit(src[digits++]);
    }
    if (digits == len)
        return 0;
    ssize_t n = digits > 0 ? read_line_end(src + digits, len - digits) : ERR_PROTOCOL;
    if (n <= 0)
        return n;
    c->left = size;
    c->next = size > 0 ? NEXT_DATA : NEXT_LAST_END;
    return (ssize_t)digits + n;
}

static ssize_t read_data(struct http1_chunks *c, const uint8_t *src, size_t len, struct slice *data)
{
    size_t n = len < c->left ? len : (size_t)c->left;
    *data = slice_of(src, n);
    c->left -= n;
    if (c->left == 0)
        c->next = NEXT_DATA_END;
    return (ssize_t)n;
}

ssize_t http1_chunks_read(struct http1_chunks *c, const uint8_t *src, size_t len,
                          struct slice *data, bool *done)
{
    *data = slice_of(NULL, 0);
    *done = false;
    if (c->next == NEXT_SIZE)
        return read_size(c, src, len);
    if (c->next == NEXT_DATA)
        return read_data(c, src, len, data);
    ssize_t n = read_line_end(src, len);
    if (n <= 0)
        return n;
    *done = c->next == NEXT_LAST_END;
    c->next = NEXT_SIZE;
    return n;
}
