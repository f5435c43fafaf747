/*
 * What a connection is for: connect names the application, publish and play the stream.  Names and
 * queries are checked here, before anything else sees them.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "net/rtmp_session_internal.h"
#include "proto/url.h"

#include <stdlib.h>

#define CAPS_OFFERED   (RTMP_CAP_RECONNECT | RTMP_CAP_MULTITRACK | RTMP_CAP_MODEX | RTMP_CAP_NANO)
#define FOURCC_FORWARD 4 /* CanForward of the codec maps */
#define AMF3           3 /* objectEncoding */
#define BAD_QUERY      "What follows the '?' is too long or has characters that are not allowed."
#define BAD_APPLICATION                                                                            \
    "APP of rtmp://HOST/APP/STREAM is missing, reserved or has characters that are not allowed."
#define BAD_NAME         "STREAM is missing, too long or has characters that are not allowed."
#define DEFAULT_INSTANCE "_definst_"

/* Empty, or short enough and nothing but printable ASCII, so that it may be passed on as text. */
static bool query_ok(struct slice query)
{
    for (size_t i = 0; i < query.len; i++)
        if (query.p[i] <= ' ' || query.p[i] > '~')
            return false;
    return query.len < RTMP_QUERY_MAX;
}

static char *text_of(struct slice s)
{
    return xstrndup(s.len > 0 ? (const char *)s.p : "", s.len);
}

/* ---- connect ---- */

static int reject_connect(struct rtmp_session *s, double transaction, const char *code,
                          const char *description)
{
    struct rtmp_reply r;
    rtmp_reply_init(&r, s);
    rtmp_reply_error(&r, transaction, code, description);
    rtmp_reply_send(&r);
    rtmp_session_close(s, CLOSE_REFUSED, RTMP_LINGER_MS);
    return 0;
}

static void write_codec_map(struct wr *w, const char *key)
{
    amf0_write_key(w, slice_text(key));
    amf0_write_object(w);
    amf0_property_number(w, "*", FOURCC_FORWARD);
    amf0_write_end(w);
}

static void write_properties(struct wr *w)
{
    amf0_write_object(w);
    amf0_property_text(w, "fmsVer", "FMS/3,0,1,123");
    amf0_property_number(w, "capabilities", 31);
    write_codec_map(w, "videoFourCcInfoMap");
    write_codec_map(w, "audioFourCcInfoMap");
    amf0_property_number(w, "capsEx", CAPS_OFFERED);
    amf0_write_key(w, slice_text("fourCcList"));
    amf0_write_strict_array(w, 1);
    amf0_write_text(w, "*");
    amf0_write_end(w);
}

static void write_connected(struct wr *w, double encoding)
{
    amf0_write_object(w);
    amf0_property_text(w, "level", "status");
    amf0_property_text(w, "code", "NetConnection.Connect.Success");
    amf0_property_text(w, "description", "Connection succeeded.");
    amf0_property_number(w, "objectEncoding", encoding);
    amf0_write_end(w);
}

static void accept_connect(struct rtmp_session *s, double transaction, double encoding)
{
    struct rtmp_reply r;
    rtmp_reply_init(&r, s);
    rtmp_reply_control(&r, RTMP_WINDOW_ACK_SIZE, RTMP_WINDOW);
    rtmp_reply_control(&r, RTMP_SET_PEER_BANDWIDTH, RTMP_WINDOW);
    rtmp_reply_control(&r, RTMP_SET_CHUNK_SIZE, RTMP_CHUNK_SIZE_OUT);
    s->out_chunk_size = RTMP_CHUNK_SIZE_OUT;
    rtmp_reply_begin(&r, "_result", transaction);
    write_properties(&r.body);
    write_connected(&r.body, encoding);
    rtmp_reply_end(&r, 0);
    rtmp_reply_send(&r);
    s->phase = PHASE_IDLE;
}

static void read_abilities(struct rtmp_session *s, const struct amf0_value *o)
{
    static const char *const names[] = {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap",
                                        "capsEx"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (amf0_get(o, names[i]) != NULL)
            s->request.announced = true;
    s->request.caps_ex = amf0_u32(amf0_get(o, "capsEx"), 0);
}

static bool app_ok(struct slice app, struct slice instance)
{
    char name[NAME_STREAM_MAX + 1];
    if (instance.len > 0 && !slice_is(instance, DEFAULT_INSTANCE))
        return false;
    return name_stream(app, slice_text("any"), name) == 0;
}

int rtmp_stream_connect(struct rtmp_session *s, const struct rtmp_command *c)
{
    const struct amf0_value *o = rtmp_command_arg(c, 0);
    struct slice instance, query;
    struct slice app = url_rtmp_app(amf0_text(amf0_get(o, "app")), &instance, &query);
    if (query.len == 0)
        url_cut_query(amf0_text(amf0_get(o, "tcUrl")), &query);
    if (!app_ok(app, instance))
        return reject_connect(s, c->transaction, "NetConnection.Connect.InvalidApp",
                              BAD_APPLICATION);
    if (!query_ok(query))
        return reject_connect(s, c->transaction, "NetConnection.Connect.Rejected", BAD_QUERY);
    s->app = text_of(app);
    s->app_query = query.len > 0 ? text_of(query) : NULL;
    read_abilities(s, o);
    accept_connect(s, c->transaction,
                   amf0_number(amf0_get(o, "objectEncoding"), 0) == AMF3 ? AMF3 : 0);
    return 0;
}

/* ---- publish and play ---- */

/* Sets s->request from the name that the client gave; NULL, or why it cannot be used. */
static const char *read_request(struct rtmp_session *s, const struct rtmp_command *c)
{
    char name[NAME_STREAM_MAX + 1];
    struct slice query, app = slice_text(s->app);
    struct slice stream = url_cut_query(amf0_text(rtmp_command_arg(c, 1)), &query);
    if (name_stream(app, stream, name) < 0)
        return BAD_NAME;
    if (!query_ok(query))
        return BAD_QUERY;
    free(s->name);
    free(s->query);
    s->name = xstrdup(name);
    s->query = query.len > 0 ? text_of(query) : NULL;
    s->request.name = s->name;
    s->request.query = s->query != NULL ? s->query : s->app_query != NULL ? s->app_query : "";
    return NULL;
}

static void log_open(struct rtmp_session *s)
{
    char peer[NET_ADDRESS_TEXT_MAX];
    if (!rtmp_server_may_log(s, true))
        return;
    net_address_text(io_peer(s->io), peer);
    log_info(&s->log, "session.open for=%s stream=%s peer=%s caps=%u",
             s->phase == PHASE_PUBLISH ? "publish" : "play", s->name, peer, s->request.caps_ex);
}

/* Refusals of requests that no handler hears of. */
static void count_refused(struct rtmp_session *s)
{
    if (s->phase == PHASE_PUBLISH)
        METRIC_INC(s->worker->metrics.publish_refused_total);
    else
        METRIC_INC(s->worker->metrics.play_refused_total);
}

static int refuse_name(struct rtmp_session *s, const char *description)
{
    bool publish = s->phase == PHASE_PUBLISH;
    count_refused(s);
    rtmp_reply_refusal(s, publish ? "NetStream.Publish.BadName" : "NetStream.Play.StreamNotFound",
                       description);
    rtmp_session_close(s, CLOSE_REFUSED, RTMP_LINGER_MS);
    return 0;
}

static int refuse_role(struct rtmp_session *s, const char *text)
{
    count_refused(s);
    rtmp_session_refuse(s, CLOSE_REFUSED, text != NULL ? text : "This node does not do that.");
    return 0;
}

static int open_stream(struct rtmp_session *s, const struct rtmp_command *c, enum rtmp_phase phase)
{
    struct rtmp_role role = rtmp_server_role(s->server, phase);
    if (!s->stream_created)
        return ERR_PROTOCOL;
    s->phase = phase;
    s->ended = false;
    io_deadline(s->io, phase == PHASE_PLAY ? RTMP_PING_EVERY_MS : 0);
    const char *why_not = read_request(s, c);
    if (why_not != NULL)
        return refuse_name(s, why_not);
    if (role.handler == NULL)
        return refuse_role(s, role.refusal);
    log_open(s);
    s->handler = role.handler;
    s->handler_object = role.handler->open(s, &s->request, role.arg);
    must(s->handler_object != NULL || s->closing);
    return 0;
}

/* The kind of publishing that may follow the name (live, record, append) makes no difference. */
int rtmp_stream_publish(struct rtmp_session *s, const struct rtmp_command *c)
{
    return open_stream(s, c, PHASE_PUBLISH);
}

/* Where to begin and for how long make no difference to a live stream. */
int rtmp_stream_play(struct rtmp_session *s, const struct rtmp_command *c)
{
    s->keep_previous = !amf0_bool(rtmp_command_arg(c, 4), true);
    int err = open_stream(s, c, PHASE_PLAY);
    if (err == 0 && !s->closing && !(s->audio && s->video))
        s->handler->on_receive(s->handler_object, s->audio, s->video);
    return err;
}
