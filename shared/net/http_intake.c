#include "net/http_intake.h"

#include "base/err.h"
#include "base/must.h"

void http_intake_init(struct http_intake *i, size_t unread_max)
{
    *i = (struct http_intake){.unread_max = unread_max};
    buf_init(&i->unread, unread_max + HTTP_READ_AHEAD);
}

void http_intake_fini(struct http_intake *i)
{
    buf_fini(&i->unread);
}

ssize_t http_offer(struct slice bytes, size_t unread_max, http_take *take, void *arg)
{
    size_t used = 0;
    while (used < bytes.len) {
        ssize_t n = take(slice_of(bytes.p + used, bytes.len - used), arg);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        used += (size_t)n;
        must(used <= bytes.len);
    }
    return bytes.len - used > unread_max ? ERR_TOO_LARGE : (ssize_t)used;
}

static int feed(struct http_intake *i, struct slice data, http_take *take, void *arg)
{
    bool direct = buf_len(&i->unread) == 0;
    if (!direct && buf_append(&i->unread, data.p, data.len) < 0)
        return ERR_TOO_LARGE;
    if (!direct)
        data = buf_slice(&i->unread);
    ssize_t n = http_offer(data, i->unread_max, take, arg);
    if (n < 0)
        return (int)n;
    if (direct)
        return buf_append(&i->unread, data.p + n, data.len - (size_t)n);
    buf_consume(&i->unread, (size_t)n);
    return 0;
}

ssize_t http_intake_read(struct http_intake *i, struct slice in, bool *done, http_take *take,
                         void *arg)
{
    struct slice data = {NULL, 0};
    ssize_t n = http1_chunks_read(&i->chunks, in.p, in.len, &data, done);
    if (n <= 0)
        return n;
    int err = data.len > 0 ? feed(i, data, take, arg) : 0;
    if (err < 0)
        return err;
    return *done && buf_len(&i->unread) > 0 ? ERR_PROTOCOL : n;
}
