/*
 * Commands by name: where each is legal and what it does.  What is not known is answered with an
 * error where an answer is expected; what is known, but not here, breaks the protocol.
 */
#include "base/err.h"
#include "net/rtmp_session_internal.h"

static int run_create_stream(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    rtmp_reply_init(&r, s);
    if (s->phase == PHASE_IDLE) {
        s->stream_created = true;
        rtmp_reply_number(&r, c->transaction, RTMP_SID);
    } else {
        rtmp_reply_error(&r, c->transaction, "NetConnection.Call.Failed",
                         "A connection carries one stream.");
    }
    rtmp_reply_send(&r);
    return 0;
}

/* releaseStream, FCPublish and what else needs no more than an answer. */
static int run_accept(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    rtmp_reply_init(&r, s);
    rtmp_reply_null(&r, c->transaction);
    rtmp_reply_send(&r);
    return 0;
}

static int run_ignore(struct rtmp_session *s, const struct rtmp_command *c)
{
    return 0;
}

/* A live stream has no length. */
static int run_length(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    if (c->transaction == 0)
        return 0;
    rtmp_reply_init(&r, s);
    rtmp_reply_number(&r, c->transaction, 0);
    rtmp_reply_send(&r);
    return 0;
}

static int run_fc_subscribe(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    rtmp_reply_init(&r, s);
    rtmp_reply_begin(&r, "onFCSubscribe", 0);
    amf0_write_null(&r.body);
    rtmp_reply_info(&r, "status", "NetStream.Play.Start", "Subscribed.");
    rtmp_reply_end(&r, 0);
    rtmp_reply_send(&r);
    return 0;
}

static int run_fc_unpublish(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    bool published = s->phase == PHASE_PUBLISH;
    if (published)
        rtmp_session_end_stream(s);
    rtmp_reply_init(&r, s);
    rtmp_reply_null(&r, c->transaction);
    rtmp_reply_begin(&r, "onFCUnpublish", 0);
    amf0_write_null(&r.body);
    rtmp_reply_info(&r, "status", "NetStream.Unpublish.Success", "Unpublished.");
    rtmp_reply_end(&r, 0);
    if (published)
        rtmp_reply_status(&r, "NetStream.Unpublish.Success", "The stream is no longer published.");
    rtmp_reply_send(&r);
    return 0;
}

static int run_close_stream(struct rtmp_session *s, const struct rtmp_command *c)
{
    if (s->phase != PHASE_IDLE)
        rtmp_session_end_stream(s);
    return 0;
}

/* GStreamer sends the name of the stream instead of its id. */
static int run_delete_stream(struct rtmp_session *s, const struct rtmp_command *c)
{
    if (amf0_number(rtmp_command_arg(c, 1), RTMP_SID) != RTMP_SID)
        return 0;
    run_close_stream(s, c);
    s->stream_created = false;
    return 0;
}

static int run_pause(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    bool paused = amf0_bool(rtmp_command_arg(c, 1), true);
    rtmp_reply_init(&r, s);
    if (paused)
        rtmp_reply_status(&r, "NetStream.Pause.Notify", "Paused.");
    else
        rtmp_reply_status(&r, "NetStream.Unpause.Notify", "Going on.");
    rtmp_reply_send(&r);
    if (!s->closing)
        s->handler->on_pause(s->handler_object, paused);
    return 0;
}

static int tell_receive(struct rtmp_session *s)
{
    if (s->phase == PHASE_PLAY)
        s->handler->on_receive(s->handler_object, s->audio, s->video);
    return 0;
}

static int run_receive_audio(struct rtmp_session *s, const struct rtmp_command *c)
{
    s->audio = amf0_bool(rtmp_command_arg(c, 1), true);
    return tell_receive(s);
}

static int run_receive_video(struct rtmp_session *s, const struct rtmp_command *c)
{
    s->video = amf0_bool(rtmp_command_arg(c, 1), true);
    return tell_receive(s);
}

static int run_seek(struct rtmp_session *s, const struct rtmp_command *c)
{
    rtmp_reply_refusal(s, "NetStream.Seek.Failed", "A live stream cannot be searched.");
    return 0;
}

static int run_unknown(struct rtmp_session *s, const struct rtmp_command *c)
{
    struct rtmp_reply r;
    if (s->phase == PHASE_CONNECT)
        return ERR_PROTOCOL;
    if (c->transaction == 0)
        return 0;
    rtmp_reply_init(&r, s);
    rtmp_reply_error(&r, c->transaction, "NetConnection.Call.Failed", "There is no such method.");
    rtmp_reply_send(&r);
    return 0;
}

int rtmp_command_run(struct rtmp_session *s, const struct rtmp_command *c)
{
    static const struct {
        const char *name;
        unsigned phases; /* where it is legal */
        int (*run)(struct rtmp_session *s, const struct rtmp_command *c);
    } rows[] = {
        {"connect", PHASE_CONNECT, rtmp_stream_connect},
        {"createStream", PHASE_CONNECTED, run_create_stream},
        {"publish", PHASE_IDLE, rtmp_stream_publish},
        {"play", PHASE_IDLE, rtmp_stream_play},
        {"play2", PHASE_PLAY, run_accept}, /* there is one quality to switch to: this one */
        {"releaseStream", PHASE_CONNECTED, run_accept},
        {"FCPublish", PHASE_CONNECTED, run_accept},
        {"FCUnpublish", PHASE_CONNECTED, run_fc_unpublish},
        {"FCSubscribe", PHASE_CONNECTED, run_fc_subscribe},
        {"FCUnsubscribe", PHASE_CONNECTED, run_accept},
        {"closeStream", PHASE_CONNECTED, run_close_stream},
        {"deleteStream", PHASE_CONNECTED, run_delete_stream},
        {"pause", PHASE_PLAY, run_pause},
        {"pauseRaw", PHASE_PLAY, run_pause},
        {"seek", PHASE_PLAY, run_seek},
        {"receiveAudio", PHASE_IDLE | PHASE_PLAY, run_receive_audio},
        {"receiveVideo", PHASE_IDLE | PHASE_PLAY, run_receive_video},
        {"setBufferTime", PHASE_CONNECTED, run_accept},
        {"getStreamLength", PHASE_CONNECTED, run_length},
        {"getMovLen", PHASE_CONNECTED, run_length},
        {"_checkbw", PHASE_CONNECTED, run_accept},
        {"_result", PHASE_CONNECTED, run_ignore},
        {"_error", PHASE_CONNECTED, run_ignore},
        {"onStatus", PHASE_CONNECTED, run_ignore},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_is(c->name, rows[i].name))
            return (rows[i].phases & s->phase) != 0 ? rows[i].run(s, c) : ERR_PROTOCOL;
    return run_unknown(s, c);
}
