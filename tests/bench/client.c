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

int client_feed(struct client *c, struct slice bytes)
{
    int err = buf_append(&c->in, bytes.p, bytes.len);
    while (err == 0 && buf_len(&c->in) > 0) {
        struct slice in = buf_slice(&c->in);
        ssize_t n = c->target->http ? client_flv_read(c, in) : client_rtmp_read(c, in);
        if (n <= 0)
            return (int)n;
        buf_consume(&c->in, (size_t)n);
    }
    return err;
}
