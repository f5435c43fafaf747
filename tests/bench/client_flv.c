/* Playing HTTP-FLV: one GET, then tags from a body that is chunked or lasts until the end. */
#include "base/err.h"
#include "client.h"
#include "proto/flv.h"

#include <stdio.h>

#define REQUEST_MAX 1024 /* bytes of our request */

void client_flv_start(struct client *c)
{
    char path[2 * TARGET_TEXT_MAX + 2];
    uint8_t request[REQUEST_MAX];
    int len = snprintf(path, sizeof path, "/%s/%s", c->target->app, c->stream);
    struct wr w = wr_init(request, sizeof request);
    http1_write_request(&w, "GET", slice_of(path, (size_t)len));
    http1_write_header(&w, "Host", slice_text(c->target->authority));
    http1_write_end(&w);
    (void)buf_append(&c->out, request, wr_len(&w));
}

static ssize_t read_head(struct client *c, struct slice in)
{
    struct http1_response head;
    ssize_t n = http1_response_read(in.p, in.len, &head);
    if (n <= 0)
        return n;
    snprintf(c->status, sizeof c->status, "%d", head.status);
    if (head.status != 200)
        return ERR_REFUSED;
    c->chunked = head.fields.body == HTTP1_BODY_CHUNKED;
    c->state = CLIENT_GRANTED;
    return n;
}

static ssize_t read_tag(struct client *c, struct slice s)
{
    bool audio, video;
    struct flv_tag tag;
    if (!c->flv_begun) {
        ssize_t n = flv_file_header_read(s.p, s.len, &audio, &video);
        c->flv_begun = n > 0;
        return n;
    }
    ssize_t n = flv_tag_read(s.p, s.len, CLIENT_UNREAD_MAX, &tag);
    if (n > 0)
        c->on_message(c, tag.type, tag.timestamp_ms, tag.body);
    return n;
}

static int read_body(struct client *c, struct slice data)
{
    return client_take(c, &c->flv, data, read_tag);
}

ssize_t client_flv_read(struct client *c, struct slice in)
{
    if (c->state == CLIENT_HELLO)
        return read_head(c, in);
    struct slice data = in;
    bool done = false;
    ssize_t n =
        c->chunked ? http1_chunks_read(&c->chunks, in.p, in.len, &data, &done) : (ssize_t)in.len;
    if (n <= 0)
        return n;
    int err = read_body(c, data);
    return err < 0 ? err : done ? ERR_CLOSED : n;
}
