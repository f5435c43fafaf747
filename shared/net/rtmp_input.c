/*
 * Messages of the client by type: control messages are answered here, commands go on to
 * rtmp_commands.c, media to the handler.
 */
#include "base/err.h"
#include "net/rtmp_session_internal.h"

static int take_user_control(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_control c;
    struct rtmp_reply r;
    int err = rtmp_control_read(m, &c);
    if (err < 0 || c.event != RTMP_EVENT_PING_REQUEST)
        return err;
    rtmp_reply_init(&r, s);
    rtmp_reply_event(&r, RTMP_EVENT_PING_RESPONSE, c.value);
    rtmp_reply_send(&r);
    return 0;
}

static int take_window(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_control c;
    int err = rtmp_control_read(m, &c);
    if (err == 0 && c.value > 0)
        s->peer_window = c.value;
    return err;
}

static int take_bandwidth(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_control c;
    struct rtmp_reply r;
    int err = rtmp_control_read(m, &c);
    if (err < 0 || c.value == 0 || c.value == s->our_window)
        return err;
    s->our_window = c.value;
    rtmp_reply_init(&r, s);
    rtmp_reply_control(&r, RTMP_WINDOW_ACK_SIZE, c.value);
    rtmp_reply_send(&r);
    return 0;
}

static int take_command(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct amf0_value values[AMF0_VALUES_MAX];
    struct rtmp_command c;
    int err = rtmp_command_read(m, values, AMF0_VALUES_MAX, &c);
    return err < 0 ? err : rtmp_command_run(s, &c);
}

static void deliver(struct rtmp_session *s, const struct rtmp_message *m)
{
    s->delivered = true;
    s->handler->on_message(s->handler_object, m);
}

static int take_media(struct rtmp_session *s, const struct rtmp_message *m)
{
    if (s->phase == PHASE_PUBLISH)
        deliver(s, m);
    else if (!s->ended)
        return ERR_PROTOCOL;
    return 0;
}

/* Takes the name of the RPC off that puts metadata into the stream; true when the message is one
 * that takes them back. */
static bool strip_data_frame(struct slice *body)
{
    struct amf0_value first;
    size_t count;
    ssize_t n = amf0_parse(body->p, body->len, &first, 1, &count);
    if (n <= 0)
        return false;
    if (slice_is(amf0_text(&first), "@setDataFrame"))
        *body = slice_of(body->p + n, body->len - (size_t)n);
    return slice_is(amf0_text(&first), "@clearDataFrame");
}

static int take_data(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_message data = *m;
    if (s->phase != PHASE_PUBLISH)
        return 0;
    data.type = RTMP_DATA;
    data.body = rtmp_amf_body(m);
    if (!strip_data_frame(&data.body) && data.body.len > 0)
        deliver(s, &data);
    return 0;
}

static int take_aggregate(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_aggregate a;
    struct rtmp_message sub;
    int n = 0;
    rtmp_aggregate_init(&a, m);
    while (!s->closing && (n = rtmp_aggregate_next(&a, &sub)) > 0) {
        bool data = sub.type == RTMP_DATA || sub.type == RTMP_DATA_AMF3;
        int err = data ? take_data(s, &sub) : take_media(s, &sub);
        if (err < 0)
            return err;
    }
    return n;
}

int rtmp_input_message(struct rtmp_session *s, const struct rtmp_message *m)
{
    static const struct {
        unsigned phases; /* where it is legal; 0: passed over everywhere */
        int (*take)(struct rtmp_session *s, const struct rtmp_message *m);
    } rows[] = {
        [RTMP_USER_CONTROL] = {PHASE_ESTABLISHED, take_user_control},
        [RTMP_WINDOW_ACK_SIZE] = {PHASE_ESTABLISHED, take_window},
        [RTMP_SET_PEER_BANDWIDTH] = {PHASE_ESTABLISHED, take_bandwidth},
        [RTMP_AUDIO] = {PHASE_IDLE | PHASE_PUBLISH, take_media},
        [RTMP_VIDEO] = {PHASE_IDLE | PHASE_PUBLISH, take_media},
        [RTMP_AGGREGATE] = {PHASE_IDLE | PHASE_PUBLISH, take_aggregate},
        [RTMP_DATA] = {PHASE_CONNECTED, take_data},
        [RTMP_DATA_AMF3] = {PHASE_CONNECTED, take_data},
        [RTMP_COMMAND] = {PHASE_ESTABLISHED, take_command},
        [RTMP_COMMAND_AMF3] = {PHASE_ESTABLISHED, take_command},
    };
    if (m->type >= sizeof rows / sizeof rows[0] || rows[m->type].take == NULL)
        return 0;
    return (rows[m->type].phases & s->phase) != 0 ? rows[m->type].take(s, m) : ERR_PROTOCOL;
}
