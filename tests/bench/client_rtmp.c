/*
 * The client's side of RTMP, as ffmpeg speaks it: handshake, connect, createStream, play or
 * publish.
 */
#include "base/err.h"
#include "client.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "proto/rtmp_handshake.h"

#include <stdio.h>

#define COMMAND_MAX      1024       /* bytes of a command's body */
#define VALUES_MAX       64         /* AMF0 values of an answer */
#define WINDOW_BYTES     0x7fffffff /* acknowledgements are not wanted, and not sent */
#define PLAYER_BUFFER_MS 3000

enum transaction { DO_CONNECT = 1, DO_RELEASE, DO_FCPUBLISH, DO_CREATE, DO_STREAM };

static void send_message(struct client *c, const struct rtmp_message *m)
{
    size_t size = rtmp_chunk_write_size(m, c->out_chunk);
    uint8_t *room = buf_reserve(&c->out, size);
    if (room == NULL)
        return;
    struct wr w = wr_init(room, size);
    rtmp_chunk_write(&w, m, c->out_chunk);
    buf_commit(&c->out, wr_len(&w));
}

static void send_control(struct client *c, enum rtmp_type type, const struct rtmp_control *control)
{
    uint8_t bytes[RTMP_CONTROL_SIZE_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    rtmp_chunk_write_control(&w, type, control);
    (void)buf_append(&c->out, bytes, wr_len(&w));
}

static struct wr command(uint8_t body[COMMAND_MAX], const char *name, enum transaction t)
{
    struct wr w = wr_init(body, COMMAND_MAX);
    amf0_write_text(&w, name);
    amf0_write_number(&w, t);
    return w;
}

static void send_command(struct client *c, const struct wr *w, uint32_t sid)
{
    const struct rtmp_message m = {
        .type = RTMP_COMMAND, .csid = RTMP_CSID_COMMAND, .sid = sid, .body = wr_slice(w)};
    send_message(c, &m);
}

static void send_connect(struct client *c)
{
    uint8_t body[COMMAND_MAX];
    char url[2 * TARGET_TEXT_MAX + 16];
    snprintf(url, sizeof url, "rtmp%s://%s/%s", c->target->tls ? "s" : "", c->target->authority,
             c->target->app);
    struct wr w = command(body, "connect", DO_CONNECT);
    amf0_write_object(&w);
    amf0_property_text(&w, "app", c->target->app);
    amf0_property_text(&w, "flashVer",
                       c->purpose == CLIENT_PLAY ? "LNX 9,0,124,2" : "FMLE/3.0 (compatible)");
    amf0_property_text(&w, "tcUrl", url);
    if (c->purpose == CLIENT_PUBLISH)
        amf0_property_text(&w, "type", "nonprivate");
    amf0_write_end(&w);
    send_command(c, &w, 0);
}

/* A command whose only argument is the stream's name. */
static void send_named(struct client *c, const char *name, enum transaction t)
{
    uint8_t body[COMMAND_MAX];
    struct wr w = command(body, name, t);
    amf0_write_null(&w);
    amf0_write_text(&w, c->stream);
    if (t == DO_STREAM && c->purpose == CLIENT_PUBLISH)
        amf0_write_text(&w, "live");
    send_command(c, &w, t == DO_STREAM ? c->sid : 0);
}

static void send_create(struct client *c)
{
    uint8_t body[COMMAND_MAX];
    if (c->purpose == CLIENT_PUBLISH) {
        const struct rtmp_control size = {.value = RTMP_CHUNK_SIZE_OUT};
        send_control(c, RTMP_SET_CHUNK_SIZE, &size);
        c->out_chunk = RTMP_CHUNK_SIZE_OUT;
        send_named(c, "releaseStream", DO_RELEASE);
        send_named(c, "FCPublish", DO_FCPUBLISH);
    } else {
        const struct rtmp_control window = {.value = WINDOW_BYTES};
        send_control(c, RTMP_WINDOW_ACK_SIZE, &window);
    }
    struct wr w = command(body, "createStream", DO_CREATE);
    amf0_write_null(&w);
    send_command(c, &w, 0);
}

static void send_stream(struct client *c)
{
    if (c->purpose == CLIENT_PUBLISH) {
        send_named(c, "publish", DO_STREAM);
        return;
    }
    const struct rtmp_control buffer = {
        .event = RTMP_EVENT_SET_BUFFER_LENGTH, .value = c->sid, .buffer_ms = PLAYER_BUFFER_MS};
    send_named(c, "play", DO_STREAM);
    send_control(c, RTMP_USER_CONTROL, &buffer);
}

static int on_result(struct client *c, const struct rtmp_command *answer)
{
    if (answer->transaction == DO_CONNECT) {
        send_create(c);
    } else if (answer->transaction == DO_CREATE) {
        c->sid = amf0_u32(rtmp_command_arg(answer, 1), 1);
        send_stream(c);
    }
    return 0;
}

static int on_status(struct client *c, const struct rtmp_command *answer)
{
    const struct amf0_value *info = rtmp_command_arg(answer, 1);
    struct slice code = amf0_text(amf0_get(info, "code"));
    (void)slice_copy(code, c->status, sizeof c->status);
    if (slice_is(amf0_text(amf0_get(info, "level")), "error"))
        return ERR_REFUSED;
    if (slice_is(code, "NetStream.Play.Start") || slice_is(code, "NetStream.Publish.Start"))
        c->state = CLIENT_GRANTED;
    return 0;
}

static int on_command(struct client *c, const struct rtmp_message *m)
{
    struct amf0_value values[VALUES_MAX];
    struct rtmp_command answer;
    int err = rtmp_command_read(m, values, VALUES_MAX, &answer);
    if (err < 0)
        return err;
    if (slice_is(answer.name, "_result"))
        return on_result(c, &answer);
    /* Servers without a record of the name may refuse to release it; that is no harm. */
    if (slice_is(answer.name, "_error"))
        return answer.transaction == DO_CONNECT || answer.transaction == DO_CREATE ? ERR_REFUSED
                                                                                   : 0;
    return slice_is(answer.name, "onStatus") ? on_status(c, &answer) : 0;
}

static int on_user_control(struct client *c, const struct rtmp_message *m)
{
    struct rtmp_control event;
    int err = rtmp_control_read(m, &event);
    if (err < 0 || event.event != RTMP_EVENT_PING_REQUEST)
        return err;
    event.event = RTMP_EVENT_PING_RESPONSE;
    send_control(c, RTMP_USER_CONTROL, &event);
    return 0;
}

static int on_message(struct client *c, const struct rtmp_message *m)
{
    switch (m->type) {
    case RTMP_COMMAND:
    case RTMP_COMMAND_AMF3:
        return on_command(c, m);
    case RTMP_USER_CONTROL:
        return on_user_control(c, m);
    case RTMP_AUDIO:
    case RTMP_VIDEO:
        c->on_message(c, m->type, m->timestamp_ms, m->body);
        return 0;
    default:
        return 0;
    }
}

void client_rtmp_start(struct client *c)
{
    static const struct rtmp_handshake_tools tools = {crypto_hmac_sha256, crypto_random};
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE];
    rtmp_handshake_client_hello(&tools, (uint32_t)(clock_us() / 1000), hello);
    (void)buf_append(&c->out, hello, sizeof hello);
}

ssize_t client_rtmp_read(struct client *c, struct slice in)
{
    if (c->state == CLIENT_HELLO) {
        uint8_t c2[RTMP_HANDSHAKE_SIZE];
        ssize_t n = rtmp_handshake_client(in.p, in.len, c2);
        if (n <= 0)
            return n;
        (void)buf_append(&c->out, c2, sizeof c2);
        send_connect(c);
        c->state = CLIENT_ASKING;
        return n;
    }
    struct rtmp_message m;
    bool complete = false;
    ssize_t n = rtmp_chunk_read(&c->reader, in.p, in.len, &m, &complete);
    int err = n > 0 && complete ? on_message(c, &m) : 0;
    return err < 0 ? err : n;
}
