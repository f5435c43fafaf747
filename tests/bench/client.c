#include "client.h"

#include <string.h>

bool client_init(struct client *c, const struct target *t, int number, enum client_purpose purpose,
                 client_message_fn *on_message)
{
    *c = (struct client){.target = t, .purpose = purpose, .on_message = on_message};
    c->out_chunk = RTMP_CHUNK_SIZE_DEFAULT;
    buf_init(&c->in, CLIENT_UNREAD_MAX);
    buf_init(&c->flv, CLIENT_UNREAD_MAX);
    buf_init(&c->out, CLIENT_OUT_MAX);
    rtmp_chunk_reader_init(&c->reader, CLIENT_UNREAD_MAX);
    if (!target_stream(t, number, c->stream, sizeof c->stream))
        return false;
    if (t->http)
        client_flv_start(c);
    else
        client_rtmp_start(c);
    return true;
}

void client_fini(struct client *c)
{
    buf_fini(&c->in);
    buf_fini(&c->out);
    buf_fini(&c->flv);
    rtmp_chunk_reader_fini(&c->reader);
}

int client_take(struct client *c, struct buf *kept, struct slice bytes, client_read_fn *read)
{
    bool joined = buf_len(kept) > 0;
    int err = joined ? buf_append(kept, bytes.p, bytes.len) : 0;
    struct slice left = joined ? buf_slice(kept) : bytes;
    ssize_t n = err;
    while (n >= 0 && (n = left.len > 0 ? read(c, left) : 0) > 0) {
        left = slice_of(left.p + n, left.len - (size_t)n);
        if (joined)
            buf_consume(kept, (size_t)n);
    }
    if (n < 0)
        return (int)n;
    return joined ? 0 : buf_append(kept, left.p, left.len);
}

int client_feed(struct client *c, struct slice bytes)
{
    return client_take(c, &c->in, bytes, c->target->http ? client_flv_read : client_rtmp_read);
}
