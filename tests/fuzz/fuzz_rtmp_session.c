#include "base/must.h"
#include "core/logline.h"
#include "net/rtmp_session_internal.h"

#include <sys/socket.h>
#include <unistd.h>

/*
 * A whole connection.  The first byte says what the handlers do, the second how the input is cut;
 * then either raw bytes, from the handshake or from connect on, or a script: every byte is one
 * thing a client may say.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode {
    MODE_REFUSE = 1,      /* open() refuses */
    MODE_WAIT = 2,        /* nothing is decided; reading pauses */
    MODE_END = 4,         /* the first message ends the session */
    MODE_HALF = 8,        /* a player's output stops inside a message */
    MODE_SCRIPT = 16,     /* the input is a script */
    MODE_ESTABLISHED = 32 /* the handshake is over */
};

struct world {
    struct workers group;
    struct rtmp_server *server;
    unsigned mode;
    struct rtmp_session *session;
    int open; /* handlers */
};

static void *open_handler(struct rtmp_session *s, struct world *w)
{
    w->session = s;
    if (w->mode & MODE_REFUSE) {
        rtmp_session_refuse(s, CLOSE_AUTH, "no");
        return NULL;
    }
    if (w->mode & MODE_WAIT)
        rtmp_session_pause(s, true);
    must(w->open++ == 0);
    return w;
}

static void *open_publish(struct rtmp_session *s, const struct rtmp_request *req, void *arg)
{
    struct world *w = arg;
    char name[NAME_STREAM_MAX + 1];
    must(name_stream_of(slice_text(req->name), name) == 0);
    void *h = open_handler(s, w);
    if ((w->mode & MODE_WAIT) == 0)
        rtmp_session_publish_started(s);
    return h;
}

static void *open_play(struct rtmp_session *s, const struct rtmp_request *req, void *arg)
{
    struct world *w = arg;
    must(strlen(req->query) < RTMP_QUERY_MAX);
    void *h = open_handler(s, w);
    rtmp_session_play_started(s);
    if (w->mode & MODE_HALF)
        s->mid_message = true;
    return h;
}

static void on_message(void *h, const struct rtmp_message *m)
{
    struct world *w = h;
    must(m->body.len <= RTMP_MEDIA_MAX);
    must(m->type == RTMP_AUDIO || m->type == RTMP_VIDEO || m->type == RTMP_DATA);
    if (w->mode & MODE_END)
        rtmp_session_end(w->session, CLOSE_KICKED);
    must(w->open == 1);
}

static void on_input_end(void *h)
{
    must(((struct world *)h)->open == 1);
}

static void on_pause(void *h, bool paused)
{
    must(((struct world *)h)->open == 1);
}

static void on_receive(void *h, bool audio, bool video)
{
    must(((struct world *)h)->open == 1);
}

static void on_close(void *h, enum close_reason why, bool clean)
{
    must(((struct world *)h)->open-- == 1);
}

static const struct rtmp_handler publish = {.open = open_publish,
                                            .on_message = on_message,
                                            .on_input_end = on_input_end,
                                            .on_close = on_close};
static const struct rtmp_handler play = {.open = open_play,
                                         .on_pause = on_pause,
                                         .on_receive = on_receive,
                                         .on_writable = on_input_end,
                                         .on_close = on_close};

static struct world *the_world(void)
{
    static struct world w;
    struct rtmp_server_options o = {&publish, &w, NULL, &play, &w, NULL};
    if (w.server != NULL)
        return &w;
    log_setup(LOG_ERROR, false);
    must(workers_init(&w.group, NULL, 1) == 0);
    w.server = rtmp_server_new(&w.group, &o);
    return &w;
}

/* ---- scripts ---- */

static void write_command(struct wr *w, const char *name, double transaction, const char *text)
{
    uint8_t body[256];
    struct wr b = wr_init(body, sizeof body);
    amf0_write_text(&b, name);
    amf0_write_number(&b, transaction);
    amf0_write_object(&b);
    amf0_property_text(&b, "app", "live");
    amf0_write_end(&b);
    amf0_write_text(&b, text);
    struct rtmp_message m = {.type = RTMP_COMMAND, .csid = RTMP_CSID_COMMAND, .body = wr_slice(&b)};
    rtmp_chunk_write(w, &m, RTMP_CHUNK_SIZE_DEFAULT);
}

static void write_other(struct wr *w, uint8_t type, const char *body)
{
    struct rtmp_message m = {
        .type = type, .csid = 6, .sid = 1, .body = slice_of(body, strlen(body) + 1)};
    rtmp_chunk_write(w, &m, RTMP_CHUNK_SIZE_DEFAULT);
}

static void write_word(struct wr *w, uint8_t word)
{
    static const char *const commands[] = {
        "connect",      "createStream", "publish",     "play",          "deleteStream",
        "closeStream",  "FCUnpublish",  "FCSubscribe", "releaseStream", "pause",
        "receiveAudio", "receiveVideo", "seek",        "play2",         "getStreamLength",
        "_checkbw",     "unknown",
    };
    static const uint8_t types[] = {RTMP_AUDIO, RTMP_VIDEO,         RTMP_DATA,      RTMP_DATA_AMF3,
                                    RTMP_ACK,   RTMP_USER_CONTROL,  RTMP_AGGREGATE, RTMP_COMMAND,
                                    16,         RTMP_SET_CHUNK_SIZE};
    size_t count = sizeof commands / sizeof commands[0], row = word & 31;
    if (row < count)
        write_command(w, commands[row], word >> 5 & 1, word & 0x40 ? "cam?x=1" : "1");
    else
        write_other(w, types[(row - count) % sizeof types],
                    word & 0x40 ? "\x06\x05\x04\x03\x02" : "");
}

/* ---- running ---- */

static void feed(struct rtmp_session *s, const uint8_t *p, size_t len, size_t piece)
{
    size_t at = 0, end = 0;
    while (end < len && !s->closing) {
        end = len - end < piece ? len : end + piece;
        size_t used = rtmp_session_feed(s, slice_of(p + at, end - at));
        must(used <= end - at);
        at += used;
        must(io_queued(s->io) <= IO_OUT_MAX_DEFAULT && buf_len(&s->held) <= RTMP_HELD_MAX);
    }
}

static void run(struct rtmp_session *s, const uint8_t *p, size_t len, unsigned mode, size_t piece)
{
    uint8_t bytes[512];
    if ((mode & MODE_SCRIPT) == 0) {
        feed(s, p, len, piece);
        return;
    }
    for (size_t i = 0; i < len && !s->closing && !s->paused; i++) {
        struct wr w = wr_init(bytes, sizeof bytes);
        write_word(&w, p[i]);
        must(!w.overflow);
        feed(s, bytes, wr_len(&w), piece);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = the_world();
    struct worker *worker = &w->group.workers[0];
    struct net_address peer = {0};
    int ends[2];
    if (size < 2)
        return 0;
    w->mode = data[0];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    rtmp_server_accept(worker, io_accept(worker, ends[0], &peer, NULL, NULL), w->server);
    struct rtmp_session *s =
        LIST_FIRST(rtmp_server_sessions(w->server, worker), struct rtmp_session, node);
    if (w->mode & (MODE_SCRIPT | MODE_ESTABLISHED))
        s->phase = PHASE_CONNECT;
    run(s, data + 2, size - 2, w->mode, 1U + data[1]);
    rtmp_session_end(s, CLOSE_DRAIN);
    close(ends[1]);
    for (int i = 0; i < 4; i++)
        event_base_loop(worker->base, EVLOOP_NONBLOCK);
    must(w->open == 0);
    must(list_empty(rtmp_server_sessions(w->server, worker)));
    return 0;
}
