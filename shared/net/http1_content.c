/*
 * Bodies of answers that lie elsewhere (frames of a log, a playlist for many): from there to the
 * socket, as it takes them.
 */
#include "base/err.h"
#include "base/mem.h"
#include "net/http1_connection.h"

#define CONTENT_IOV 256          /* entries of one write */
#define UNSENT_MAX  (512 * 1024) /* bytes for a slow reader in the kernel that are not under way */

/* The next pieces into iov; their bytes in *len. */
static int gather(const struct http_content *content, struct iovec *iov, int room, size_t *len)
{
    size_t left = content->len, skip = content->skip;
    int n = 0;
    for (int i = 0; i < content->count && n < room && left > 0; i++) {
        const struct iovec *piece = &content->iov[i];
        if (skip >= piece->iov_len) {
            skip -= piece->iov_len;
            continue;
        }
        size_t take = piece->iov_len - skip < left ? piece->iov_len - skip : left;
        iov[n++] = (struct iovec){(uint8_t *)piece->iov_base + skip, take};
        left -= take;
        skip = 0;
    }
    *len = content->len - left;
    return n;
}

/* n bytes are out. */
static void advance(struct http_content *content, size_t n)
{
    content->len -= n;
    content->skip += n;
    while (content->count > 0 && content->skip >= content->iov->iov_len) {
        content->skip -= content->iov->iov_len;
        content->iov++;
        content->count--;
    }
}

int http1_content_begin(struct http1_connection *c, struct slice head,
                        const struct http_content *content)
{
    LEFT_AS_IT_IS struct iovec iov[CONTENT_IOV];
    size_t len;
    c->content = *content;
    iov[0] = (struct iovec){(void *)(uintptr_t)head.p, head.len};
    int n = 1 + gather(&c->content, iov + 1, CONTENT_IOV - 1, &len);
    ssize_t sent = io_writev(c->io, iov, n);
    if (sent >= (ssize_t)head.len) {
        advance(&c->content, (size_t)sent - head.len);
        if (c->content.len == 0)
            http_content_release(&c->content);
        else
            io_set_unsent_max(c->io, UNSENT_MAX);
        return 0;
    }
    io_set_limits(c->io, HTTP1_HEAD_MAX + 2 * HTTP_BODY_MAX, io_queued(c->io) + head.len);
    if (sent < 0 || io_write(c->io, head.p + sent, head.len - (size_t)sent) < 0) {
        http_content_release(&c->content);
        return ERR_CLOSED;
    }
    return 0;
}

bool http1_content_send(struct http1_connection *c)
{
    LEFT_AS_IT_IS struct iovec iov[CONTENT_IOV];
    while (c->content.len > 0) {
        size_t len;
        int n = gather(&c->content, iov, CONTENT_IOV, &len);
        ssize_t sent = io_writev(c->io, iov, n);
        if (sent <= 0)
            return false;
        advance(&c->content, (size_t)sent);
        if ((size_t)sent < len)
            return false;
    }
    http_content_release(&c->content);
    return true;
}
