#include "fetch.h"

#include "base/err.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_MAX (FETCH_PATH_MAX + 2 * TARGET_TEXT_MAX)

void fetch_init(struct fetch *f, struct viewer *v, fetch_body_fn *on_body)
{
    *f = (struct fetch){.viewer = v, .on_body = on_body};
    link_init(&f->link);
    buf_init(&f->head, HTTP1_HEAD_MAX + PLAY_SCRATCH_BYTES);
}

void fetch_fini(struct fetch *f)
{
    link_close(&f->link);
    buf_fini(&f->head);
}

static int send_request(struct fetch *f)
{
    char text[REQUEST_MAX];
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sluice-bench\r\n\r\n", f->path,
                     f->viewer->play->options.target.authority);
    f->asked = true;
    f->answered = false;
    return n < (int)sizeof text ? link_send(&f->link, slice_of(text, (size_t)n)) : ERR_TOO_LARGE;
}

static int dial(struct fetch *f)
{
    f->fresh = true;
    f->closing = false;
    return viewer_connect(f->viewer, &f->link);
}

int fetch_ask(struct fetch *f, const char *path)
{
    int n = snprintf(f->path, sizeof f->path, "%s", path);
    if (n >= (int)sizeof f->path)
        return ERR_TOO_LARGE;
    if (f->link.fd < 0 || f->closing || send_request(f) < 0)
        return dial(f);
    return 0;
}

static void keep_location(struct fetch *f, const struct http1_fields *fields)
{
    f->location[0] = '\0';
    if (f->status >= 300 && f->status < 400)
        (void)slice_copy(http1_header_value(fields, "Location"), f->location, sizeof f->location);
}

/* Bytes of a head that is complete, 0 or negative. */
static ssize_t read_head(struct fetch *f, struct slice in)
{
    struct http1_response head;
    ssize_t n = http1_response_read(in.p, in.len, &head);
    if (n <= 0)
        return n;
    f->answered = true;
    f->status = head.status;
    f->closing = !head.fields.keep_alive;
    f->body = head.fields.body;
    f->left = head.fields.body == HTTP1_BODY_LENGTH ? head.fields.content_length : 0;
    f->chunks = (struct http1_chunks){0};
    keep_location(f, &head.fields);
    return n;
}

/* 1 when the body is complete. */
static int read_body(struct fetch *f, struct slice in)
{
    struct slice data = in;
    bool done = false;
    switch (f->body) {
    case HTTP1_BODY_NONE:
        return 1;
    case HTTP1_BODY_UNTIL_CLOSE:
        f->on_body(f, in);
        return 0;
    case HTTP1_BODY_LENGTH:
        data.len = in.len < f->left ? in.len : (size_t)f->left;
        f->left -= data.len;
        f->on_body(f, data);
        return f->left == 0;
    case HTTP1_BODY_CHUNKED:
        while (in.len > 0 && !done) {
            ssize_t n = http1_chunks_read(&f->chunks, in.p, in.len, &data, &done);
            if (n < 0)
                return (int)n;
            if (n == 0)
                return buf_append(&f->head, in.p, in.len);
            f->on_body(f, data);
            in = slice_of(in.p + n, in.len - (size_t)n);
        }
        return done;
    }
    return ERR_PROTOCOL;
}

static int take(struct fetch *f, struct slice in)
{
    if (!f->answered) {
        ssize_t n = read_head(f, in);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return buf_append(&f->head, in.p, in.len);
        in = slice_of(in.p + n, in.len - (size_t)n);
    }
    int done = read_body(f, in);
    f->asked = f->asked && done <= 0;
    return done;
}

/* What was kept comes before what is new. */
static int feed(struct fetch *f, struct slice in)
{
    if (buf_len(&f->head) == 0)
        return take(f, in);
    struct buf joined = f->head;
    buf_init(&f->head, joined.max);
    int err = buf_append(&joined, in.p, in.len);
    int done = err < 0 ? err : take(f, buf_slice(&joined));
    buf_fini(&joined);
    return done;
}

/* The server closed: the end of a body, or of a connection that was idle for too long. */
static int closed(struct fetch *f)
{
    bool whole = f->answered && f->body == HTTP1_BODY_UNTIL_CLOSE;
    bool fresh = f->fresh, asked = f->asked, answered = f->answered;
    link_close(&f->link);
    if (!asked)
        return 0;
    if (whole) {
        f->asked = false;
        return 1;
    }
    return fresh || answered ? ERR_CLOSED : dial(f);
}

static int read_some(struct fetch *f)
{
    uint8_t *scratch = f->viewer->play->scratch;
    ssize_t n = link_recv(&f->link, scratch, PLAY_SCRATCH_BYTES);
    if (n < 0)
        return closed(f);
    if (n == 0)
        return 0;
    viewer_bytes(f->viewer, (size_t)n, clock_us());
    f->fresh = false;
    return f->asked ? feed(f, slice_of(scratch, (size_t)n)) : ERR_PROTOCOL;
}

int fetch_event(struct fetch *f)
{
    int state = viewer_link(f->viewer, &f->link);
    if (state == LINK_READY)
        return send_request(f);
    int done = state == LINK_DATA ? read_some(f) : state;
    while (done == 0 && state == LINK_DATA && link_has_more(&f->link))
        done = read_some(f);
    return done;
}
