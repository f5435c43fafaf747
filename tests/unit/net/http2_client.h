#ifndef SLUICE_TESTS_HTTP2_CLIENT_H
#define SLUICE_TESTS_HTTP2_CLIENT_H

#include "net_test.h"

#include "base/buf.h"

#include <nghttp2/nghttp2.h>

/* The other end of an HTTP/2 connection: nghttp2 over a blocking socket that is read without
 * waiting. */
#define CLIENT_REPLIES  300
#define CLIENT_BODY_MAX (64 << 20)

struct client_reply {
    int status;
    struct buf head, body; /* head: "name: value\n" … */
    bool closed;
    uint32_t error;
};

struct client {
    int fd;
    nghttp2_session *session;
    struct client_reply replies[CLIENT_REPLIES]; /* by stream: (id - 1) / 2 */
    struct slice upload;                         /* of the stream that sends a body */
    bool upload_open;                            /* it does not end with that */
    bool goaway, eof;
    uint32_t goaway_error;
};

static inline struct client_reply *client_reply(struct client *c, int32_t id)
{
    assert_in_range(id, 1, 2 * CLIENT_REPLIES - 1);
    return &c->replies[(id - 1) / 2];
}

static inline int client_on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
                                   size_t name_len, const uint8_t *value, size_t value_len,
                                   uint8_t flags, void *arg)
{
    struct client_reply *r = client_reply(arg, f->hd.stream_id);
    if (slice_is(slice_of(name, name_len), ":status"))
        r->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
    buf_printf(&r->head, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len,
               (const char *)value);
    return 0;
}

static inline int client_on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p,
                                 size_t len, void *arg)
{
    assert_int_equal(buf_append(&client_reply(arg, id)->body, p, len), 0);
    return 0;
}

static inline int client_on_close(nghttp2_session *s, int32_t id, uint32_t error, void *arg)
{
    client_reply(arg, id)->closed = true;
    client_reply(arg, id)->error = error;
    return 0;
}

static inline int client_on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    struct client *c = arg;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        c->goaway = true;
        c->goaway_error = f->goaway.error_code;
    }
    return 0;
}

/* Takes fd.  `window`: of the connection and of each stream; `manual`: windows are given back by
 * hand. */
static inline void client_open(struct client *c, int fd, uint32_t window, bool manual)
{
    nghttp2_session_callbacks *to;
    nghttp2_option *option;
    memset(c, 0, sizeof *c);
    c->fd = fd;
    for (int i = 0; i < CLIENT_REPLIES; i++) {
        buf_init(&c->replies[i].head, 65536);
        buf_init(&c->replies[i].body, CLIENT_BODY_MAX);
    }
    nghttp2_session_callbacks_new(&to);
    nghttp2_session_callbacks_set_on_header_callback(to, client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to, client_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(to, client_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(to, client_on_frame);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, manual);
    nghttp2_option_set_no_http_messaging(option, 1); /* it may lie */
    nghttp2_option_set_peer_max_concurrent_streams(option, CLIENT_REPLIES);
    assert_int_equal(nghttp2_session_client_new2(&c->session, to, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(to);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1);
    if (window > 65535)
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, (int32_t)window);
}

static inline void client_close(struct client *c)
{
    nghttp2_session_del(c->session);
    c->session = NULL;
    for (int i = 0; i < CLIENT_REPLIES; i++) {
        buf_fini(&c->replies[i].head);
        buf_fini(&c->replies[i].body);
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* Sends what it has to say, in pieces of at most `piece` bytes with a turn of the loop behind each,
 * and takes what has come. */
static inline void client_pump(struct client *c, struct net_fixture *f, size_t piece)
{
    const uint8_t *bytes;
    uint8_t in[65536];
    ssize_t n;
    while (!c->eof && (n = nghttp2_session_mem_send(c->session, &bytes)) > 0) {
        for (size_t at = 0, part; at < (size_t)n; at += part) {
            part = (size_t)n - at < piece ? (size_t)n - at : piece;
            if (send(c->fd, bytes + at, part, MSG_NOSIGNAL) != (ssize_t)part)
                c->eof = true;
            fixture_turn(f);
        }
    }
    fixture_turn(f);
    n = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
    if (n > 0)
        nghttp2_session_mem_recv(c->session, in, (size_t)n);
    else if (n == 0 || errno != EAGAIN)
        c->eof = true;
}

#define CLIENT_UNTIL(c, f, cond)                                                                   \
    do {                                                                                           \
        int64_t over_us = clock_us() + TEST_GIVE_UP_US;                                            \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < over_us);                                                     \
            client_pump(c, f, SIZE_MAX);                                                           \
        }                                                                                          \
    } while (0)

static inline nghttp2_nv client_nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

static inline ssize_t client_read_upload(nghttp2_session *s, int32_t id, uint8_t *dst, size_t room,
                                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct client *c = arg;
    size_t n = c->upload.len < room ? c->upload.len : room;
    if (n > 0) {
        memcpy(dst, c->upload.p, n);
        c->upload = slice_of(c->upload.p + n, c->upload.len - n);
    }
    if (c->upload.len == 0 && !c->upload_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

/* extra: pairs of name and value, NULL at the end; may be NULL.  With `body` it has one:
 * c->upload. */
static inline int32_t client_ask(struct client *c, const char *method, const char *path,
                                 const char *const *extra, bool body)
{
    nghttp2_nv nv[80] = {client_nv(":method", method), client_nv(":scheme", "http"),
                         client_nv(":path", path), client_nv(":authority", "h")};
    const nghttp2_data_provider provider = {.read_callback = client_read_upload};
    size_t n = 4;
    for (; extra != NULL && *extra != NULL; extra += 2)
        nv[n++] = client_nv(extra[0], extra[1]);
    int32_t id = nghttp2_submit_request(c->session, NULL, nv, n, body ? &provider : NULL, NULL);
    assert_true(id > 0);
    return id;
}

static inline bool client_has(struct client *c, int32_t id, const char *text)
{
    struct client_reply *r = client_reply(c, id);
    return (buf_len(&r->head) > 0 &&
            memmem(buf_slice(&r->head).p, buf_len(&r->head), text, strlen(text)) != NULL) ||
           (buf_len(&r->body) > 0 &&
            memmem(buf_slice(&r->body).p, buf_len(&r->body), text, strlen(text)) != NULL);
}

#endif
