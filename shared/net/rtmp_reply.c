/*
 * What the session says to the client: control messages, results and status messages, put together
 * on the stack and queued as one piece.
 */
#include "base/must.h"
#include "net/rtmp_session_internal.h"

void rtmp_reply_init(struct rtmp_reply *r, struct rtmp_session *s)
{
    r->session = s;
    r->out = wr_init(r->out_bytes, sizeof r->out_bytes);
    r->body = wr_init(r->body_bytes, sizeof r->body_bytes);
}

void rtmp_reply_control(struct rtmp_reply *r, enum rtmp_type type, uint32_t value)
{
    struct rtmp_control c = {.value = value, .limit = RTMP_LIMIT_DYNAMIC};
    rtmp_chunk_write_control(&r->out, type, &c);
}

void rtmp_reply_event(struct rtmp_reply *r, enum rtmp_event event, uint32_t value)
{
    struct rtmp_control c = {.event = (uint16_t)event, .value = value};
    rtmp_chunk_write_control(&r->out, RTMP_USER_CONTROL, &c);
}

static void write_message(struct rtmp_reply *r, enum rtmp_type type, enum rtmp_csid csid,
                          uint32_t sid)
{
    must(!r->body.overflow);
    struct rtmp_message m = {
        .type = (uint8_t)type, .csid = csid, .sid = sid, .body = wr_slice(&r->body)};
    rtmp_chunk_write(&r->out, &m, r->session->out_chunk_size);
}

void rtmp_reply_begin(struct rtmp_reply *r, const char *name, double transaction)
{
    r->body = wr_init(r->body_bytes, sizeof r->body_bytes);
    amf0_write_text(&r->body, name);
    amf0_write_number(&r->body, transaction);
}

void rtmp_reply_end(struct rtmp_reply *r, uint32_t sid)
{
    write_message(r, RTMP_COMMAND, RTMP_CSID_COMMAND, sid);
}

void rtmp_reply_null(struct rtmp_reply *r, double transaction)
{
    if (transaction == 0)
        return;
    rtmp_reply_begin(r, "_result", transaction);
    amf0_write_null(&r->body);
    amf0_write_null(&r->body);
    rtmp_reply_end(r, 0);
}

void rtmp_reply_number(struct rtmp_reply *r, double transaction, double value)
{
    rtmp_reply_begin(r, "_result", transaction);
    amf0_write_null(&r->body);
    amf0_write_number(&r->body, value);
    rtmp_reply_end(r, 0);
}

static void write_info(struct wr *w, const char *level, const char *code, const char *description)
{
    struct slice text = slice_text(description);
    if (text.len > RTMP_DESCRIPTION_MAX)
        text.len = RTMP_DESCRIPTION_MAX;
    amf0_property_text(w, "level", level);
    amf0_property_text(w, "code", code);
    amf0_property_string(w, "description", text);
}

void rtmp_reply_info(struct rtmp_reply *r, const char *level, const char *code,
                     const char *description)
{
    amf0_write_object(&r->body);
    write_info(&r->body, level, code, description);
    amf0_write_end(&r->body);
}

void rtmp_reply_error(struct rtmp_reply *r, double transaction, const char *code,
                      const char *description)
{
    rtmp_reply_begin(r, "_error", transaction);
    amf0_write_null(&r->body);
    rtmp_reply_info(r, "error", code, description);
    rtmp_reply_end(r, 0);
}

static void write_status(struct rtmp_reply *r, const char *level, const char *code,
                         const char *description)
{
    rtmp_reply_begin(r, "onStatus", 0);
    amf0_write_null(&r->body);
    rtmp_reply_info(r, level, code, description);
    rtmp_reply_end(r, RTMP_SID);
}

void rtmp_reply_status(struct rtmp_reply *r, const char *code, const char *description)
{
    write_status(r, "status", code, description);
}

void rtmp_reply_status_error(struct rtmp_reply *r, const char *code, const char *description)
{
    write_status(r, "error", code, description);
}

void rtmp_reply_send(struct rtmp_reply *r)
{
    must(!r->out.overflow);
    rtmp_session_output(r->session, wr_slice(&r->out));
}

void rtmp_reply_refusal(struct rtmp_session *s, const char *code, const char *description)
{
    struct rtmp_reply r;
    rtmp_reply_init(&r, s);
    rtmp_reply_status_error(&r, code, description);
    rtmp_reply_send(&r);
}

/* ---- what handlers have said ---- */

void rtmp_session_publish_started(struct rtmp_session *s)
{
    struct rtmp_reply r;
    if (s->closing)
        return;
    must(s->phase == PHASE_PUBLISH);
    s->reader.message_max = RTMP_MEDIA_MAX;
    io_set_limits(s->io, WORKER_SCRATCH_SIZE, IO_OUT_MAX_DEFAULT);
    rtmp_reply_init(&r, s);
    rtmp_reply_event(&r, RTMP_EVENT_STREAM_BEGIN, RTMP_SID);
    rtmp_reply_status(&r, "NetStream.Publish.Start", "The stream is being published.");
    rtmp_reply_send(&r);
}

/* Lets Flash players look at the pictures; others expect it here, too. */
static void write_sample_access(struct rtmp_reply *r)
{
    r->body = wr_init(r->body_bytes, sizeof r->body_bytes);
    amf0_write_text(&r->body, "|RtmpSampleAccess");
    amf0_write_bool(&r->body, true);
    amf0_write_bool(&r->body, true);
    write_message(r, RTMP_DATA, RTMP_CSID_DATA, RTMP_SID);
}

void rtmp_session_play_started(struct rtmp_session *s)
{
    struct rtmp_reply r;
    if (s->closing)
        return;
    must(s->phase == PHASE_PLAY);
    rtmp_reply_init(&r, s);
    rtmp_reply_event(&r, RTMP_EVENT_STREAM_BEGIN, RTMP_SID);
    if (!s->keep_previous)
        rtmp_reply_status(&r, "NetStream.Play.Reset", "The playlist was reset.");
    rtmp_reply_status(&r, "NetStream.Play.Start", "The stream begins.");
    write_sample_access(&r);
    rtmp_reply_send(&r);
}

void rtmp_session_play_resumed(struct rtmp_session *s)
{
    struct rtmp_reply r;
    if (s->closing)
        return;
    rtmp_reply_init(&r, s);
    rtmp_reply_status(&r, "NetStream.Play.PublishNotify", "The stream is published again.");
    rtmp_reply_send(&r);
}

/* Enhanced RTMP v2, Reconnect: on the connection, not on its stream. */
void rtmp_session_ask_reconnect(struct rtmp_session *s)
{
    struct rtmp_reply r;
    if (s->closing || s->asked || (s->phase & PHASE_CONNECTED) == 0 ||
        (s->request.caps_ex & RTMP_CAP_RECONNECT) == 0)
        return;
    s->asked = true;
    rtmp_reply_init(&r, s);
    rtmp_reply_begin(&r, "onStatus", 0);
    amf0_write_null(&r.body);
    rtmp_reply_info(&r, "status", "NetConnection.Connect.ReconnectRequest",
                    "This node is going out of service: connect again.");
    rtmp_reply_end(&r, 0);
    rtmp_reply_send(&r);
}

/* ---- refusing and ending ---- */

struct refusal {
    enum close_reason why;
    const char *publish_code, *play_code;
};

static const struct refusal *refusal_of(enum close_reason why)
{
    static const struct refusal refusals[] = {
        {CLOSE_NAME_TAKEN, "NetStream.Publish.BadName", "NetStream.Play.Failed"},
        {CLOSE_FENCED, "NetStream.Publish.BadName", "NetStream.Play.Failed"},
        {CLOSE_NOT_FOUND, "NetStream.Publish.Rejected", "NetStream.Play.StreamNotFound"},
        {CLOSE_SOURCE_LOST, "NetStream.Publish.Rejected", "NetStream.Play.StreamNotFound"},
        {CLOSE_AUTH, "NetStream.Publish.Denied", "NetStream.Play.Failed"},
        {CLOSE_REFUSED, "NetStream.Publish.Denied", "NetStream.Play.Failed"},
        {CLOSE_KICKED, "NetStream.Publish.Denied", "NetStream.Play.Failed"},
    };
    static const struct refusal any = {CLOSE_INTERNAL, "NetStream.Publish.Rejected",
                                       "NetStream.Play.Failed"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i].why == why)
            return &refusals[i];
    return &any;
}

static void tell_refusal(struct rtmp_session *s, enum close_reason why, const char *description)
{
    const struct refusal *row = refusal_of(why);
    if ((s->phase & (PHASE_PUBLISH | PHASE_PLAY)) == 0 || s->mid_message)
        return;
    rtmp_reply_refusal(s, s->phase == PHASE_PUBLISH ? row->publish_code : row->play_code,
                       description);
}

void rtmp_session_refuse(struct rtmp_session *s, enum close_reason why, const char *description)
{
    if (s->closing)
        return;
    tell_refusal(s, why, description);
    rtmp_session_close(s, why, RTMP_LINGER_MS);
}

static void tell_stream_over(struct rtmp_session *s)
{
    struct rtmp_reply r;
    if (s->mid_message)
        return;
    rtmp_reply_init(&r, s);
    rtmp_reply_event(&r, RTMP_EVENT_STREAM_EOF, RTMP_SID);
    rtmp_reply_status(&r, "NetStream.Play.UnpublishNotify", "The stream is no longer published.");
    rtmp_reply_status(&r, "NetStream.Play.Stop", "The stream has ended.");
    rtmp_reply_send(&r);
}

void rtmp_session_end(struct rtmp_session *s, enum close_reason why)
{
    if (s->closing)
        return;
    bool over = why == CLOSE_UNPUBLISHED || why == CLOSE_FINISHED || why == CLOSE_DRAIN;
    if (s->phase == PHASE_PLAY && over)
        tell_stream_over(s);
    else
        tell_refusal(s, why, close_reason_help(why));
    rtmp_session_close(s, why, RTMP_LINGER_MS);
}
