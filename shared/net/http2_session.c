/*
 * What nghttp2 tells of.  Nothing here calls an owner or makes frames.
 */
#include "base/err.h"
#include "base/must.h"
#include "core/clock.h"
#include "net/http2_connection.h"

static struct http2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* Noise. */

/* How much a frame of each type counts; DATA and HEADERS are judged by what they bring.  Unknown
 * ones are read over: they have no answer and leave nothing. */
static const uint8_t noise_of[] = {
    [NGHTTP2_DATA] = 0,       [NGHTTP2_HEADERS] = 0,       [NGHTTP2_PRIORITY] = 1,
    [NGHTTP2_SETTINGS] = 4,   [NGHTTP2_PUSH_PROMISE] = 4,  [NGHTTP2_PING] = 1,
    [NGHTTP2_GOAWAY] = 4,     [NGHTTP2_WINDOW_UPDATE] = 1, [NGHTTP2_CONTINUATION] = 1,
    [NGHTTP2_RST_STREAM] = 4,
};
#define NOISE_EMPTY_DATA 1
#define NOISE_INVALID    5

/* 0, or what ends the connection. */
static int count_noise(struct http2_connection *c, int noise)
{
    int64_t now_us = clock_us(), gone = (now_us - c->noise_us) * HTTP2_NOISE_PER_S / 1000000;
    if (gone > 0) {
        c->noise = c->noise > gone ? c->noise - gone : 0;
        c->noise_us = now_us;
    }
    c->noise += noise;
    if (c->noise <= HTTP2_NOISE_MAX)
        return 0;
    c->error = ERR_TOO_MANY;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    size_t known = sizeof noise_of / sizeof noise_of[0];
    int noise = hd->type < known ? noise_of[hd->type] : 0;
    if (hd->type == NGHTTP2_DATA && hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0)
        noise = NOISE_EMPTY_DATA;
    return noise > 0 ? count_noise(arg, noise) : 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg)
{
    struct http2_connection *c = arg;
    log_debug(&c->log, "http2.invalid_frame type=%d error=\"%s\"", frame->hd.type,
              nghttp2_strerror(error));
    METRIC_INC(c->worker->metrics.http_bad_requests_total);
    return count_noise(c, NOISE_INVALID);
}

/* Requests. */

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    if (is_request(frame))
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                             http2_stream_new(arg, frame->hd.stream_id));
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's signature */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct http2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s != NULL && is_request(frame)) /* trailers are read over */
        http2_request_header(s, slice_of(name, name_len), slice_of(value, value_len));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http2_stream *s = stream_of(session, frame->hd.stream_id);
    bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (s == NULL || !is_message)
        return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        s->all_come = true;
    if (is_request(frame))
        http2_request_head_ended(s);
    if (is_request(frame) || s->all_come)
        http2_stream_ready(s);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p,
                   size_t len, void *arg)
{
    struct http2_stream *s = stream_of(session, id);
    /* The connection's window is not what slows one stream down. */
    int err = nghttp2_session_consume_connection(session, len);
    if (s != NULL)
        http2_request_body(s, slice_of(p, len));
    return nghttp2_is_fatal(err) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    const struct http2_stream *s = stream_of(session, frame->hd.stream_id);
    bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    /* Answered before the request was there: the rest of it is not wanted (RFC 9113, 8.1). */
    if (s != NULL && is_message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && !s->all_come)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct http2_stream *s = stream_of(session, id);
    if (s == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    s->closed = true;
    http2_stream_ready(s);
    return 0;
}

/* The session. */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *to;
    must(nghttp2_session_callbacks_new(&to) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(to, on_begin_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(to, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(to, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(to, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(to, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(to, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(to, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(to, http2_source_send);
    return to;
}

nghttp2_session *http2_session_new(struct http2_connection *c)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP1_HEAD_MAX},
    };
    nghttp2_session *session = NULL;
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option;
    must(nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    must(nghttp2_session_server_new2(&session, callbacks, c, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    must(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
                                 sizeof settings / sizeof settings[0]) == 0);
    must(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                               HTTP2_CONNECTION_WINDOW) == 0);
    return session;
}
