#ifndef SLUICE_TESTS_RTMP_CLIENT_H
#define SLUICE_TESTS_RTMP_CLIENT_H

#include "net_test.h"

#include "base/err.h"
#include "net/rtmp_session_internal.h"
#include "proto/rtmp_chunk.h"
#include "proto/rtmp_handshake.h"

#include <stdio.h>

/*
 * The client's side of a session, and handlers that write down what they are told.  Both keep text
 * with one line per event, so that a test compares conversations.
 */

struct transcript {
    char text[16384];
    size_t len;
};

static inline void note(struct transcript *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void note(struct transcript *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(t->text + t->len, sizeof t->text - t->len, format, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof t->text - t->len);
    t->len += (size_t)n;
}

/* ---- what the client writes ---- */

#define CLIENT_CHUNK RTMP_CHUNK_SIZE_DEFAULT

/* One thing a client says.  Commands: name, transaction and arguments, of which each is a letter
 * and its text: n null, s string, d number, b 0|1, o connect's object with that app.  Others by
 * name: "=chunk", "=window", "=bandwidth", "=ping", "=buffer", "=begin" with a number in args,
 * "=audio", "=video" with the bytes of the body in args. */
struct say {
    uint32_t csid, sid;
    const char *name;
    double transaction;
    const char *args;
};

static inline void write_connect_object(struct wr *w, struct slice app)
{
    amf0_write_object(w);
    amf0_property_string(w, "app", app);
    amf0_property_text(w, "flashVer", "LNX 9,0,124,2");
    amf0_property_text(w, "tcUrl", "rtmp://127.0.0.1:1935/live");
    amf0_property_bool(w, "fpad", false);
    amf0_property_number(w, "capabilities", 15);
    amf0_write_end(w);
}

static inline void write_argument(struct wr *w, struct slice a)
{
    struct slice value = slice_of(a.p + 1, a.len - 1);
    char text[64];
    switch (a.p[0]) {
    case 'n':
        amf0_write_null(w);
        break;
    case 's':
        amf0_write_string(w, value);
        break;
    case 'd':
        assert_true(slice_copy(value, text, sizeof text));
        amf0_write_number(w, strtod(text, NULL));
        break;
    case 'b':
        amf0_write_bool(w, value.p[0] == '1');
        break;
    case 'o':
        write_connect_object(w, value);
        break;
    default:
        fail();
    }
}

static inline void write_arguments(struct wr *w, const char *args)
{
    struct slice left = slice_text(args);
    while (left.len > 0) {
        struct slice rest;
        write_argument(w, slice_cut(left, ' ', &rest, NULL));
        left = rest;
    }
}

static inline bool write_control(struct wr *w, const struct say *say)
{
    static const struct {
        const char *name;
        enum rtmp_type type;
        uint16_t event;
    } rows[] = {
        {"=chunk", RTMP_SET_CHUNK_SIZE, 0},
        {"=window", RTMP_WINDOW_ACK_SIZE, 0},
        {"=bandwidth", RTMP_SET_PEER_BANDWIDTH, 0},
        {"=ack", RTMP_ACK, 0},
        {"=ping", RTMP_USER_CONTROL, RTMP_EVENT_PING_REQUEST},
        {"=begin", RTMP_USER_CONTROL, RTMP_EVENT_STREAM_BEGIN},
        {"=buffer", RTMP_USER_CONTROL, RTMP_EVENT_SET_BUFFER_LENGTH},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (strcmp(say->name, rows[i].name) != 0)
            continue;
        struct rtmp_control c = {.value = (uint32_t)strtoul(say->args, NULL, 10),
                                 .event = rows[i].event,
                                 .buffer_ms = 3000};
        rtmp_chunk_write_control(w, rows[i].type, &c);
        return true;
    }
    return false;
}

static inline void write_say(struct wr *w, const struct say *say)
{
    uint8_t body[4096];
    struct wr b = wr_init(body, sizeof body);
    struct rtmp_message m = {.csid = say->csid, .sid = say->sid, .type = RTMP_COMMAND};
    if (write_control(w, say))
        return;
    if (strcmp(say->name, "=audio") == 0 || strcmp(say->name, "=video") == 0) {
        m.type = say->name[1] == 'a' ? RTMP_AUDIO : RTMP_VIDEO;
        wr_text(&b, say->args);
    } else if (strcmp(say->name, "=data") == 0) {
        m.type = RTMP_DATA;
        write_arguments(&b, say->args);
    } else {
        amf0_write_text(&b, say->name);
        amf0_write_number(&b, say->transaction);
        write_arguments(&b, say->args);
    }
    assert_false(b.overflow);
    m.body = wr_slice(&b);
    rtmp_chunk_write(w, &m, CLIENT_CHUNK);
}

/* ---- what the client reads ---- */

struct rtmp_client {
    struct net_fixture *f;
    int fd;
    struct inbox in;
    size_t used; /* bytes of in that were read */
    size_t handshake_left;
    struct rtmp_chunk_reader reader;
    struct transcript got;
    size_t media_bytes, messages;
};

static inline void note_values(struct transcript *t, const struct rtmp_command *c)
{
    for (size_t i = 0; i < 2; i++) {
        const struct amf0_value *v = rtmp_command_arg(c, i);
        const struct amf0_value *code = amf0_get(v, "code");
        if (code != NULL)
            note(t, " %.*s", SLICE_ARG(code->text));
        else if (v != NULL && v->type == AMF0_NUMBER)
            note(t, " %g", v->number);
    }
}

static inline void note_message(struct rtmp_client *c, const struct rtmp_message *m)
{
    struct amf0_value values[AMF0_VALUES_MAX];
    struct rtmp_command command;
    struct rtmp_control control;
    size_t count;
    c->messages++;
    if (m->type == RTMP_COMMAND) {
        assert_int_equal(rtmp_command_read(m, values, AMF0_VALUES_MAX, &command), 0);
        note(&c->got, "%.*s %g", SLICE_ARG(command.name), command.transaction);
        note_values(&c->got, &command);
        note(&c->got, m->sid != 0 ? " @%u\n" : "\n", m->sid);
    } else if (m->type == RTMP_DATA) {
        assert_int_equal(amf0_parse_all(m->body, false, values, AMF0_VALUES_MAX, &count), 0);
        note(&c->got, "data %.*s\n", SLICE_ARG(values[0].text));
    } else if (m->type == RTMP_USER_CONTROL) {
        assert_int_equal(rtmp_control_read(m, &control), 0);
        note(&c->got, "event %u %u\n", control.event, control.value);
    } else if (m->type <= RTMP_SET_PEER_BANDWIDTH) {
        assert_int_equal(rtmp_control_read(m, &control), 0);
        note(&c->got, "control %u %u\n", m->type, control.value);
    } else {
        c->media_bytes += m->body.len;
    }
}

/* Takes what has arrived. */
static inline void client_read(struct rtmp_client *c)
{
    if (!c->in.eof)
        inbox_read(&c->in, c->fd, 65536);
    size_t skip = c->in.len - c->used < c->handshake_left ? c->in.len - c->used : c->handshake_left;
    c->used += skip;
    c->handshake_left -= skip;
    while (c->used < c->in.len) {
        struct rtmp_message m;
        bool complete;
        ssize_t n = rtmp_chunk_read(&c->reader, (const uint8_t *)c->in.data + c->used,
                                    c->in.len - c->used, &m, &complete);
        assert_true(n >= 0);
        if (n == 0)
            return;
        c->used += (size_t)n;
        if (complete)
            note_message(c, &m);
    }
}

static inline void client_send(struct rtmp_client *c, const struct say *say, size_t count)
{
    static uint8_t bytes[65536];
    struct wr w = wr_init(bytes, sizeof bytes);
    for (size_t i = 0; i < count; i++)
        write_say(&w, &say[i]);
    assert_false(w.overflow);
    send_all(c->fd, bytes, wr_len(&w));
}

#define CLIENT_SEND(c, ...)                                                                        \
    client_send(c, (const struct say[]){__VA_ARGS__}, COUNT_OF(((const struct say[]){__VA_ARGS__})))

static inline bool client_has(const struct rtmp_client *c, const char *text)
{
    return strstr(c->got.text, text) != NULL;
}

/* Turns the loop until the server said so. */
#define CLIENT_UNTIL(c, cond)                                                                      \
    do {                                                                                           \
        int64_t give_up_us_ = clock_us() + TEST_GIVE_UP_US;                                        \
        while (!(cond)) {                                                                          \
            if (clock_us() >= give_up_us_)                                                         \
                fail_msg("still not (%s); the server said:\n%s", #cond, (c)->got.text);            \
            fixture_turn((c)->f);                                                                  \
            client_read(c);                                                                        \
        }                                                                                          \
    } while (0)

/* ---- handlers ---- */

enum fake_mode { FAKE_START, FAKE_WAIT, FAKE_REFUSE, FAKE_REFUSE_OPEN };

struct fake {
    enum fake_mode mode;
    bool playing, end_on_message;
    struct rtmp_session *session; /* NULL: closed */
    struct transcript told;
    unsigned opened, closed, inputs, writables;
    uint64_t media_sum; /* of all bytes of all messages */
    unsigned media;
};

static inline void *fake_open(struct rtmp_session *s, const struct rtmp_request *req,
                              struct fake *k)
{
    k->session = s;
    k->opened++;
    note(&k->told, "open %s ?%s caps=%u%s\n", req->name, req->query, req->caps_ex,
         req->announced ? " announced" : "");
    if (k->mode == FAKE_REFUSE || k->mode == FAKE_REFUSE_OPEN)
        rtmp_session_refuse(s, CLOSE_NAME_TAKEN, "Somebody else has it.");
    if (k->mode == FAKE_REFUSE)
        return NULL;
    if (k->mode == FAKE_WAIT)
        rtmp_session_pause(s, true);
    else if (k->playing)
        rtmp_session_play_started(s);
    else
        rtmp_session_publish_started(s);
    return k;
}

static inline void *fake_publish_open(struct rtmp_session *s, const struct rtmp_request *req,
                                      void *arg)
{
    struct fake *k = arg;
    k->playing = false;
    return fake_open(s, req, k);
}

static inline void *fake_play_open(struct rtmp_session *s, const struct rtmp_request *req,
                                   void *arg)
{
    struct fake *k = arg;
    k->playing = true;
    return fake_open(s, req, k);
}

static inline void fake_on_message(void *h, const struct rtmp_message *m)
{
    struct fake *k = h;
    k->media++;
    k->media_sum = k->media_sum * 31 + m->type + m->timestamp_ms;
    for (size_t i = 0; i < m->body.len; i++)
        k->media_sum = k->media_sum * 31 + m->body.p[i];
    if (k->told.len < sizeof k->told.text / 2)
        note(&k->told, "message %u %u %zu\n", m->type, m->timestamp_ms, m->body.len);
    if (k->end_on_message)
        rtmp_session_end(k->session, CLOSE_KICKED);
    assert_int_equal(k->closed, 0);
}

static inline void fake_on_input_end(void *h)
{
    ((struct fake *)h)->inputs++;
}

static inline void fake_on_pause(void *h, bool paused)
{
    note(&((struct fake *)h)->told, "pause %d\n", paused);
}

static inline void fake_on_receive(void *h, bool audio, bool video)
{
    note(&((struct fake *)h)->told, "receive %d %d\n", audio, video);
}

static inline void fake_on_writable(void *h)
{
    ((struct fake *)h)->writables++;
}

static inline void fake_on_close(void *h, enum close_reason why, bool clean)
{
    struct fake *k = h;
    assert_non_null(k->session);
    k->session = NULL;
    k->closed++;
    note(&k->told, "close %s%s\n", close_reason_name(why), clean ? " clean" : "");
}

static const struct rtmp_handler fake_publish = {
    .open = fake_publish_open,
    .on_message = fake_on_message,
    .on_input_end = fake_on_input_end,
    .on_close = fake_on_close,
};

static const struct rtmp_handler fake_play = {
    .open = fake_play_open,
    .on_pause = fake_on_pause,
    .on_receive = fake_on_receive,
    .on_writable = fake_on_writable,
    .on_close = fake_on_close,
};

/* ---- both sides ---- */

struct rtmp_pair {
    struct net_fixture f;
    struct rtmp_server *server;
    struct fake fake;
    struct rtmp_client client;
};

static inline void pair_accept(struct rtmp_pair *p)
{
    int fd;
    struct net_address peer = loopback(1);
    tcp_pair(&fd, &p->client.fd);
    rtmp_server_accept(p->f.w, io_accept(p->f.w, fd, &peer, NULL, NULL), p->server);
}

static inline struct rtmp_session *pair_session(struct rtmp_pair *p)
{
    return LIST_FIRST(rtmp_server_sessions(p->server, p->f.w), struct rtmp_session, node);
}

static inline void pair_open(struct rtmp_pair *p, const struct rtmp_server_options *o)
{
    fixture_open(&p->f);
    p->server = rtmp_server_new(&p->f.group, o);
    p->client.f = &p->f;
    p->client.handshake_left = RTMP_HANDSHAKE_REPLY_SIZE;
    rtmp_chunk_reader_init(&p->client.reader, RTMP_MESSAGE_MAX);
    pair_accept(p);
}

/* A simple handshake; the client does not wait for anything. */
static inline void client_hello(struct rtmp_client *c)
{
    uint8_t bytes[RTMP_HANDSHAKE_HELLO_SIZE + RTMP_HANDSHAKE_SIZE] = {3};
    send_all(c->fd, bytes, sizeof bytes);
}

static inline void pair_close(struct rtmp_pair *p)
{
    if (p->client.fd >= 0)
        close(p->client.fd);
    inbox_free(&p->client.in);
    rtmp_chunk_reader_fini(&p->client.reader);
    rtmp_server_free(&p->server);
    fixture_close(&p->f);
    free(p);
}

/* A pair with fake handlers on both sides, as a test's state. */
static inline struct rtmp_pair *pair_new(void)
{
    struct rtmp_pair *p = xcalloc(1, sizeof *p);
    struct rtmp_server_options o = {.publish = &fake_publish,
                                    .publish_arg = &p->fake,
                                    .play = &fake_play,
                                    .play_arg = &p->fake};
    pair_open(p, &o);
    return p;
}

static inline int pair_setup(void **state)
{
    *state = pair_new();
    return 0;
}

static inline int pair_teardown(void **state)
{
    if (*state != NULL)
        pair_close(*state);
    return 0;
}

#endif
