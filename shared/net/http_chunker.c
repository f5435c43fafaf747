#include "net/http_chunker.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

#define CHUNK_IOV_MAX 256 /* iovecs of one writev; more are written in several */

/* What is left of the caller's bytes. */
struct source {
    const struct iovec *iov;
    int count;
    size_t offset, left;
};

/* "\r\n", LEN in hexadecimal, "\r\n", from the end on.  A chunk goes to each of thousands of
 * viewers, and snprintf would cost more than all else that is done for one. */
static void begin_chunk(struct http_chunker *c, size_t len)
{
    must(c->left == 0 && c->head_sent == c->head_len && len > 0);
    uint8_t text[HTTP_CHUNK_HEAD_MAX], *p = text + sizeof text;
    *--p = '\n';
    *--p = '\r';
    for (size_t rest = len; rest > 0; rest >>= 4)
        *--p = (uint8_t) "0123456789abcdef"[rest & 15];
    if (c->begun) {
        *--p = '\n';
        *--p = '\r';
    }
    c->head_len = (uint8_t)(text + sizeof text - p);
    memcpy(c->head, p, c->head_len);
    c->head_sent = 0;
    c->left = len;
}

/* A chunk of which nothing is out may still become another one: what it was made for may have been
 * skipped since. */
static void take_back(struct http_chunker *c)
{
    if (c->head_sent > 0 || c->head_len == 0)
        return;
    c->head_len = 0;
    c->left = 0;
}

/* The rest of the head and then as much of the source as the chunk may have; returns the iovecs. */
static int gather(const struct http_chunker *c, const struct source *s,
                  struct iovec out[CHUNK_IOV_MAX], size_t *total)
{
    int n = 0;
    *total = 0;
    if (c->head_sent < c->head_len) {
        size_t rest = (size_t)(c->head_len - c->head_sent);
        out[n++] = (struct iovec){(uint8_t *)(uintptr_t)c->head + c->head_sent, rest};
        *total = rest;
    }
    size_t offset = s->offset, left = c->left;
    for (int i = 0; i < s->count && n < CHUNK_IOV_MAX && left > 0; i++, offset = 0) {
        size_t len = s->iov[i].iov_len - offset;
        if (len > left)
            len = left;
        out[n++] = (struct iovec){(uint8_t *)s->iov[i].iov_base + offset, len};
        left -= len;
        *total += len;
    }
    return n;
}

static void skip(struct source *s, size_t len)
{
    s->left -= len;
    len += s->offset;
    while (s->count > 0 && len >= s->iov->iov_len) {
        len -= s->iov->iov_len;
        s->iov++;
        s->count--;
    }
    s->offset = len;
}

/* n bytes of what was gathered are out; returns how many of them were the source's. */
static size_t account(struct http_chunker *c, size_t n)
{
    size_t head = (size_t)(c->head_len - c->head_sent);
    if (head > n)
        head = n;
    c->head_sent = (uint8_t)(c->head_sent + head);
    c->begun = c->begun || head > 0;
    c->left -= n - head;
    return n - head;
}

ssize_t http_chunker_writev(struct http_chunker *c, struct io *io, const struct iovec *iov,
                            int count)
{
    struct source s = {.iov = iov, .count = count};
    for (int i = 0; i < count; i++)
        s.left += iov[i].iov_len;
    size_t all = s.left;
    take_back(c);
    while (s.left > 0) {
        LEFT_AS_IT_IS struct iovec out[CHUNK_IOV_MAX];
        size_t total;
        if (c->left == 0)
            begin_chunk(c, s.left);
        int n = gather(c, &s, out, &total);
        ssize_t sent = io_writev(io, out, n);
        if (sent < 0)
            return sent;
        skip(&s, account(c, (size_t)sent));
        if ((size_t)sent < total)
            break;
    }
    return (ssize_t)(all - s.left);
}

static int queue_head(struct http_chunker *c, struct io *io)
{
    if (c->head_sent == c->head_len)
        return 0;
    int err = io_write(io, c->head + c->head_sent, (size_t)(c->head_len - c->head_sent));
    if (err == 0) {
        c->head_sent = c->head_len;
        c->begun = true;
    }
    return err;
}

int http_chunker_write(struct http_chunker *c, struct io *io, struct slice bytes)
{
    take_back(c);
    while (bytes.len > 0) {
        if (c->left == 0)
            begin_chunk(c, bytes.len);
        size_t len = bytes.len < c->left ? bytes.len : c->left;
        int err = queue_head(c, io);
        if (err == 0)
            err = io_write(io, bytes.p, len);
        if (err < 0)
            return err;
        c->left -= len;
        bytes = slice_of(bytes.p + len, bytes.len - len);
    }
    return 0;
}

void http_chunker_end(struct http_chunker *c, struct io *io)
{
    static const char last[] = "\r\n0\r\n\r\n";
    take_back(c);
    size_t from = c->begun ? 0 : 2;
    if (c->left == 0)
        (void)io_write(io, last + from, sizeof last - 1 - from);
}
