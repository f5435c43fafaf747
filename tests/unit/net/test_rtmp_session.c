#include "rtmp_client.h"

/*
 * Conversations: what real clients say, in which order, and what they are answered; what may not be
 * said; and that it makes no difference where the bytes are cut.
 */

#define CONNECTED "control 5 2500000\ncontrol 6 2500000\ncontrol 1 32000\n"
#define RESULT    "_result 1 NetConnection.Connect.Success\n"
#define STARTED   "event 0 1\nonStatus 0 NetStream.Publish.Start @1\n"
#define PLAYING                                                                                    \
    "event 0 1\nonStatus 0 NetStream.Play.Reset @1\nonStatus 0 NetStream.Play.Start @1\n"          \
    "data |RtmpSampleAccess\n"
#define UNPUBLISHED                                                                                \
    "onFCUnpublish 0 NetStream.Unpublish.Success\nonStatus 0 NetStream.Unpublish.Success @1\n"

#define CONNECT                                                                                    \
    {                                                                                              \
        3, 0, "connect", 1, "olive"                                                                \
    }

static void reopen(void **state)
{
    pair_close(*state);
    *state = pair_new();
}

/* ---- clients ---- */

#define SAYS_MAX 24

struct conversation {
    const char *client;
    struct say says[SAYS_MAX];
    const char *answers, *told;
};

static void converse(struct rtmp_pair *p, const struct conversation *row)
{
    size_t count = 0;
    while (count < SAYS_MAX && row->says[count].name != NULL)
        count++;
    client_hello(&p->client);
    for (size_t i = 0; i < count; i++) {
        client_send(&p->client, &row->says[i], 1);
        for (int turn = 0; turn < 3; turn++)
            fixture_turn(&p->f);
    }
    shutdown(p->client.fd, SHUT_WR);
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    print_message("%s\n", row->client);
    assert_string_equal(p->client.got.text, row->answers);
    assert_string_equal(p->fake.told.text, row->told);
    assert_int_equal(p->fake.opened, p->fake.closed);
}

static const struct conversation publishers[] = {
    {"ffmpeg",
     {CONNECT,
      {2, 0, "=chunk", 0, "128"},
      {3, 0, "releaseStream", 2, "n scam"},
      {3, 0, "FCPublish", 3, "n scam"},
      {3, 0, "createStream", 4, "n"},
      {8, 1, "publish", 5, "n scam?token=a%26b&x=1 slive"},
      {4, 1, "=data", 0, "s@setDataFrame sonMetaData d1"},
      {6, 1, "=video", 0, "12345"},
      {4, 1, "=audio", 0, "abc"},
      {3, 0, "FCUnpublish", 6, "n scam"},
      {3, 0, "deleteStream", 7, "n d1"}},
     CONNECTED RESULT "_result 2\n_result 3\n_result 4 1\n" STARTED "_result 6\n" UNPUBLISHED,
     "open live/cam ?token=a%26b&x=1 caps=0\nmessage 18 0 22\nmessage 9 0 5\nmessage 8 0 3\n"
     "close unpublished clean\n"},
    {"OBS",
     {{2, 0, "=chunk", 0, "128"},
      CONNECT,
      {3, 0, "releaseStream", 2, "n sobs"},
      {3, 0, "FCPublish", 3, "n sobs"},
      {3, 0, "createStream", 4, "n"},
      {4, 1, "publish", 5, "n sobs slive"},
      {4, 1, "=data", 0, "s@setDataFrame sonMetaData d1"},
      {4, 1, "=video", 0, "12345"}},
     CONNECTED RESULT "_result 2\n_result 3\n_result 4 1\n" STARTED,
     "open live/obs ? caps=0\nmessage 18 0 22\nmessage 9 0 5\nclose peer_closed\n"},
    {"librtmp with _checkbw",
     {CONNECT,
      {3, 0, "_checkbw", 6, "n"},
      {3, 0, "releaseStream", 2, "n scam"},
      {3, 0, "FCPublish", 3, "n scam"},
      {3, 0, "createStream", 4, "n"},
      {4, 1, "publish", 5, "n scam srecord"}},
     CONNECTED RESULT "_result 6\n_result 2\n_result 3\n_result 4 1\n" STARTED,
     "open live/cam ? caps=0\nclose peer_closed\n"},
    {"GStreamer rtmp2sink",
     {CONNECT,
      {2, 0, "=window", 0, "2500000"},
      {3, 0, "releaseStream", 0, "n scam?token=abc"},
      {3, 0, "FCPublish", 0, "n scam?token=abc"},
      {3, 0, "createStream", 2, "n"},
      {3, 1, "publish", 0, "n scam?token=abc slive"},
      {2, 0, "=chunk", 0, "128"},
      {5, 1, "=audio", 0, "abc"},
      {3, 0, "FCUnpublish", 0, "n scam?token=abc"},
      {3, 0, "deleteStream", 0, "n scam?token=abc"}},
     CONNECTED RESULT "_result 2 1\n" STARTED UNPUBLISHED,
     "open live/cam ?token=abc caps=0\nmessage 8 0 3\nclose unpublished clean\n"},
    {"nginx-rtmp push",
     {{2, 0, "=chunk", 0, "128"},
      {2, 0, "=window", 0, "5000000"},
      CONNECT,
      {3, 0, "createStream", 2, "n"},
      {5, 1, "publish", 0, "n scam slive"},
      {2, 0, "=begin", 0, "1"},
      {5, 1, "=data", 0, "sonMetaData d1"},
      {6, 1, "=audio", 0, "abc"}},
     CONNECTED RESULT "_result 2 1\n" STARTED,
     "open live/cam ? caps=0\nmessage 18 0 22\nmessage 8 0 3\nclose peer_closed\n"},
    {"two streams one after the other",
     {CONNECT,
      {3, 0, "createStream", 2, "n"},
      {3, 0, "createStream", 3, "n"},
      {5, 1, "publish", 0, "n sone"},
      {3, 0, "createStream", 4, "n"},
      {3, 0, "deleteStream", 0, "n d7"},
      {6, 1, "=audio", 0, "abc"},
      {3, 0, "deleteStream", 0, "n d1"},
      {6, 1, "=audio", 0, "late"},
      {3, 0, "createStream", 5, "n"},
      {5, 1, "publish", 0, "n stwo"},
      {3, 1, "closeStream", 0, "n"}},
     CONNECTED RESULT "_result 2 1\n_result 3 1\n" STARTED
                      "_error 4 NetConnection.Call.Failed\n_result 5 1\n" STARTED,
     "open live/one ? caps=0\nmessage 8 0 3\nclose unpublished clean\n"
     "open live/two ? caps=0\nclose unpublished clean\n"},
    {"data messages",
     {CONNECT,
      {3, 0, "createStream", 2, "n"},
      {5, 1, "publish", 0, "n scam"},
      {5, 1, "=data", 0, "s@clearDataFrame sonMetaData"},
      {5, 1, "=data", 0, "s@setDataFrame"},
      {5, 1, "=data", 0, ""},
      {5, 1, "=data", 0, "sonTextData sx"},
      {6, 1, "=audio", 0, ""},
      {6, 1, "=video", 0, ""}},
     CONNECTED RESULT "_result 2 1\n" STARTED,
     "open live/cam ? caps=0\nmessage 18 0 17\nmessage 8 0 0\nmessage 9 0 0\nclose peer_closed\n"},
};

static void publishers_are_answered(void **state)
{
    for (size_t i = 0; i < COUNT_OF(publishers); i++) {
        converse(*state, &publishers[i]);
        reopen(state);
    }
}

static const struct conversation players[] = {
    {"ffmpeg, mpv",
     {CONNECT,
      {2, 0, "=window", 0, "2500000"},
      {3, 0, "createStream", 2, "n"},
      {8, 0, "getStreamLength", 3, "n scam"},
      {8, 1, "play", 4, "n scam d-2000"},
      {2, 0, "=buffer", 0, "1"},
      {3, 0, "deleteStream", 5, "n d1"}},
     CONNECTED RESULT "_result 2 1\n_result 3 0\n" PLAYING,
     "open live/cam ? caps=0\nclose finished clean\n"},
    {"ffmpeg -rtmp_live live",
     {CONNECT,
      {3, 0, "createStream", 2, "n"},
      {3, 0, "FCSubscribe", 3, "n scam"},
      {8, 1, "play", 4, "n scam d-1000"}},
     CONNECTED RESULT "_result 2 1\nonFCSubscribe 0 NetStream.Play.Start\n" PLAYING,
     "open live/cam ? caps=0\nclose peer_closed\n"},
    {"rtmpdump",
     {CONNECT,
      {2, 0, "=window", 0, "2500000"},
      {2, 0, "=buffer", 0, "0"},
      {3, 0, "createStream", 2, "n"},
      {3, 0, "FCSubscribe", 3, "n scam"},
      {8, 1, "play", 4, "n scam d-1000 d3000"},
      {2, 0, "=ack", 0, "251952"},
      {3, 0, "deleteStream", 5, "n d1"}},
     CONNECTED RESULT "_result 2 1\nonFCSubscribe 0 NetStream.Play.Start\n" PLAYING,
     "open live/cam ? caps=0\nclose finished clean\n"},
    {"GStreamer rtmp2src",
     {CONNECT,
      {2, 0, "=window", 0, "2500000"},
      {2, 0, "=window", 0, "2500000"},
      {2, 0, "=buffer", 0, "0"},
      {3, 0, "createStream", 2, "n"},
      {3, 1, "play", 0, "n scam?tracks=all d-2"},
      {2, 0, "=buffer", 0, "1"}},
     CONNECTED RESULT "_result 2 1\n" PLAYING,
     "open live/cam ?tracks=all caps=0\nclose peer_closed\n"},
    {"nginx-rtmp pull",
     {{2, 0, "=chunk", 0, "128"},
      {2, 0, "=window", 0, "5000000"},
      CONNECT,
      {3, 0, "createStream", 2, "n"},
      {5, 1, "play", 0, "n scam d-2000 d-1000"},
      {2, 0, "=buffer", 0, "1"}},
     CONNECTED RESULT "_result 2 1\n" PLAYING,
     "open live/cam ? caps=0\nclose peer_closed\n"},
    {"everything a player may ask",
     {CONNECT,
      {3, 0, "createStream", 2, "n"},
      {3, 1, "receiveAudio", 0, "n b0"},
      {3, 1, "play", 0, "n scam d-2 d-1 b0"},
      {3, 1, "receiveVideo", 0, "n b0"},
      {3, 1, "receiveAudio", 0, "n b1"},
      {3, 1, "pause", 0, "n b1 d10"},
      {3, 1, "pause", 0, "n b0 d10"},
      {3, 1, "seek", 0, "n d10"},
      {3, 1, "play2", 0, "n"},
      {3, 1, "setBufferTime", 0, "n d1"},
      {3, 1, "getMovLen", 9, "n"},
      {3, 1, "noSuchThing", 10, "n"},
      {3, 1, "noSuchThing", 0, "n"},
      {3, 1, "_result", 11, "n"},
      {2, 0, "=ping", 0, "77"},
      {2, 0, "=bandwidth", 0, "2500000"},
      {2, 0, "=bandwidth", 0, "9000"},
      {2, 0, "=bandwidth", 0, "9000"},
      {5, 1, "=data", 0, "sonTextData"}},
     CONNECTED RESULT
     "_result 2 1\nevent 0 1\nonStatus 0 NetStream.Play.Start @1\ndata |RtmpSampleAccess\n"
     "onStatus 0 NetStream.Pause.Notify @1\nonStatus 0 NetStream.Unpause.Notify @1\n"
     "onStatus 0 NetStream.Seek.Failed @1\n_result 9 0\n_error 10 NetConnection.Call.Failed\n"
     "event 7 77\ncontrol 5 9000\n",
     "open live/cam ? caps=0\nreceive 0 1\nreceive 0 0\nreceive 1 0\npause 1\npause 0\n"
     "close peer_closed\n"},
};

static void players_are_answered(void **state)
{
    for (size_t i = 0; i < COUNT_OF(players); i++) {
        converse(*state, &players[i]);
        reopen(state);
    }
}

/* ---- what may not be said ---- */

#define CREATED                                                                                    \
    CONNECT,                                                                                       \
    {                                                                                              \
        3, 0, "createStream", 2, "n"                                                               \
    }
#define TO_PUBLISH                                                                                 \
    CREATED,                                                                                       \
    {                                                                                              \
        5, 1, "publish", 0, "n scam"                                                               \
    }
#define TO_PLAY                                                                                    \
    CREATED,                                                                                       \
    {                                                                                              \
        5, 1, "play", 0, "n scam"                                                                  \
    }

static void what_is_out_of_order_ends_the_session(void **state)
{
    static const struct conversation rows[] = {
        {"command before connect", {{3, 0, "createStream", 2, "n"}}, NULL, NULL},
        {"unknown command before connect", {{3, 0, "hello", 2, "n"}}, NULL, NULL},
        {"media before connect", {{6, 1, "=audio", 0, "a"}}, NULL, NULL},
        {"data before connect", {{6, 1, "=data", 0, "sonMetaData"}}, NULL, NULL},
        {"connect twice", {CONNECT, CONNECT}, NULL, NULL},
        {"publish without stream", {CONNECT, {5, 1, "publish", 0, "n scam"}}, NULL, NULL},
        {"play without stream", {CONNECT, {5, 1, "play", 0, "n scam"}}, NULL, NULL},
        {"media without publish", {CREATED, {6, 1, "=video", 0, "a"}}, NULL, NULL},
        {"media of a player", {TO_PLAY, {6, 1, "=video", 0, "a"}}, NULL, NULL},
        {"publish twice", {TO_PUBLISH, {5, 1, "publish", 0, "n sb"}}, NULL, NULL},
        {"play twice", {TO_PLAY, {5, 1, "play", 0, "n sb"}}, NULL, NULL},
        {"play while publishing", {TO_PUBLISH, {5, 1, "play", 0, "n sb"}}, NULL, NULL},
        {"publish while playing", {TO_PLAY, {5, 1, "publish", 0, "n sb"}}, NULL, NULL},
        {"pause without play", {CREATED, {5, 1, "pause", 0, "n b1"}}, NULL, NULL},
        {"seek of a publisher", {TO_PUBLISH, {5, 1, "seek", 0, "n d1"}}, NULL, NULL},
        {"impossible chunk size", {CONNECT, {2, 0, "=chunk", 0, "0"}}, NULL, NULL},
        {"publish on a deleted stream",
         {CREATED, {3, 0, "deleteStream", 0, "n d1"}, {5, 1, "publish", 0, "n scam"}},
         NULL,
         NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = *state;
        size_t count = 0;
        while (rows[i].says[count].name != NULL)
            count++;
        print_message("%s\n", rows[i].client);
        client_hello(&p->client);
        client_send(&p->client, rows[i].says, count);
        CLIENT_UNTIL(&p->client, p->client.in.eof);
        assert_int_equal(METRIC_GET(p->f.w->metrics.closed[CLOSE_BAD_INPUT]), 1);
        assert_int_equal(p->fake.opened, p->fake.closed);
        assert_null(pair_session(p));
        reopen(state);
    }
}

static void bad_names_are_refused_with_a_word(void **state)
{
    static const struct {
        const char *app, *command, *name, *answer;
    } rows[] = {
        {"o", NULL, NULL, "_error 1 NetConnection.Connect.InvalidApp"},
        {"oapi", NULL, NULL, "_error 1 NetConnection.Connect.InvalidApp"},
        {"olive/other", NULL, NULL, "_error 1 NetConnection.Connect.InvalidApp"},
        {"o../etc", NULL, NULL, "_error 1 NetConnection.Connect.InvalidApp"},
        {"olive?a=\x07", NULL, NULL, "_error 1 NetConnection.Connect.Rejected"},
        {"olive/_definst_", "publish", "n s", "NetStream.Publish.BadName @1"},
        {"olive/", "publish", "n s../x", "NetStream.Publish.BadName @1"},
        {"olive", "publish", "n sa%2fb", "NetStream.Publish.BadName @1"},
        {"olive", "publish", "n sa\r\nb", "NetStream.Publish.BadName @1"},
        {"olive", "publish", "n sa.flv", "NetStream.Publish.BadName @1"},
        {"olive", "publish", "n sa?t=\x1b[0m", "NetStream.Publish.BadName @1"},
        {"olive", "publish", "n", "NetStream.Publish.BadName @1"},
        {"olive", "play", "n sa/b", "NetStream.Play.StreamNotFound @1"},
        {"olive", "play", "n d5", "NetStream.Play.StreamNotFound @1"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = *state;
        client_hello(&p->client);
        CLIENT_SEND(&p->client, {3, 0, "connect", 1, rows[i].app});
        if (rows[i].command != NULL)
            CLIENT_SEND(&p->client, {3, 0, "createStream", 2, "n"},
                        {3, 1, rows[i].command, 3, rows[i].name});
        CLIENT_UNTIL(&p->client, p->client.in.eof);
        assert_true(client_has(&p->client, rows[i].answer));
        assert_int_equal(METRIC_GET(p->f.w->metrics.closed[CLOSE_REFUSED]), 1);
        assert_int_equal(p->fake.opened, 0);
        reopen(state);
    }
}

static void a_long_query_is_refused(void **state)
{
    struct rtmp_pair *p = *state;
    char name[RTMP_QUERY_MAX + 16] = "n scam?";
    size_t at = strlen(name);
    memset(name + at, 'x', RTMP_QUERY_MAX);
    client_hello(&p->client);
    CLIENT_SEND(&p->client, CREATED, {3, 1, "play", 3, name});
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_int_equal(p->fake.opened, 0);

    reopen(state);
    p = *state;
    name[at + RTMP_QUERY_MAX - 1] = '\0';
    client_hello(&p->client);
    CLIENT_SEND(&p->client, CREATED, {3, 1, "play", 3, name});
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Play.Start"));
    assert_int_equal(p->fake.opened, 1);
}

/* ---- connect ---- */

static void the_app_gives_a_query_when_the_stream_has_none(void **state)
{
    struct rtmp_pair *p = *state;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, {3, 0, "connect", 1, "olive?token=app"}, {3, 0, "createStream", 2, "n"},
                {3, 1, "play", 3, "n scam"});
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Play.Start"));
    assert_string_equal(p->fake.told.text, "open live/cam ?token=app caps=0\n");
}

/* A flood of the smallest messages there are: what one turn of the loop takes of it is bounded. */
static void a_flood_takes_turns(void **state)
{
    enum { FLOOD = 5 * RTMP_TURN_CHUNKS };
    static uint8_t bytes[2 * FLOOD + 64];
    struct rtmp_pair *p = *state;
    struct wr w = wr_init(bytes, sizeof bytes);
    struct rtmp_message m = {
        .type = RTMP_AUDIO, .csid = 4, .sid = 1, .body = slice_of((const uint8_t *)"a", 1)};
    rtmp_chunk_write(&w, &m, CLIENT_CHUNK);
    for (int i = 1; i < FLOOD; i++) {
        wr_u8(&w, 0xc4); /* the same again */
        wr_u8(&w, 'a');
    }
    client_hello(&p->client);
    CLIENT_SEND(&p->client, {3, 0, "connect", 1, "olive"}, {3, 0, "createStream", 2, "n"},
                {3, 1, "publish", 3, "n scam"});
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Publish.Start"));
    send_all(p->client.fd, bytes, wr_len(&w));
    for (int before = 0; p->fake.media < FLOOD; before = p->fake.media) {
        event_base_loop(p->f.w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        /* A read, and once more at the end of its turn. */
        assert_true(p->fake.media - before <= 2 * RTMP_TURN_CHUNKS);
    }
}

static void write_enhanced_connect(struct wr *w, uint32_t caps)
{
    amf0_write_text(w, "connect");
    amf0_write_number(w, 1);
    amf0_write_object(w);
    amf0_property_text(w, "app", "live");
    amf0_property_number(w, "objectEncoding", 3);
    amf0_property_number(w, "capsEx", caps);
    amf0_write_end(w);
}

static void connect_enhanced(struct rtmp_pair *p, uint32_t caps)
{
    uint8_t body[512], bytes[1024];
    struct wr b = wr_init(body, sizeof body), w = wr_init(bytes, sizeof bytes);
    wr_u8(&b, 0); /* AMF3 commands have a format byte in front */
    write_enhanced_connect(&b, caps);
    struct rtmp_message m = {.type = RTMP_COMMAND_AMF3, .csid = 3, .body = wr_slice(&b)};
    rtmp_chunk_write(&w, &m, CLIENT_CHUNK);
    client_hello(&p->client);
    send_all(p->client.fd, bytes, wr_len(&w));
}

static void enhanced_clients_are_recognised(void **state)
{
    struct rtmp_pair *p = *state;
    connect_enhanced(p, RTMP_CAP_MULTITRACK | RTMP_CAP_MODEX);
    CLIENT_SEND(&p->client, {3, 0, "createStream", 2, "n"}, {3, 1, "play", 3, "n scam"});
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Play.Start"));
    assert_string_equal(p->fake.told.text, "open live/cam ? caps=6 announced\n");
}

static void who_can_is_asked_to_connect_again(void **state)
{
    static const char asked[] = "onStatus 0 NetConnection.Connect.ReconnectRequest";
    static const struct {
        uint32_t caps;
        const char *closed;
    } rows[] = {
        {RTMP_CAP_RECONNECT, "close unpublished\n"}, /* it goes on elsewhere: not the end */
        {RTMP_CAP_MULTITRACK, "close unpublished clean\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = *state;
        connect_enhanced(p, rows[i].caps);
        CLIENT_SEND(&p->client, {3, 0, "createStream", 2, "n"}, {3, 1, "publish", 3, "n scam"});
        CLIENT_UNTIL(&p->client, client_has(&p->client, "Publish.Start"));
        rtmp_server_ask_reconnect(p->server, p->f.w);
        rtmp_server_ask_reconnect(p->server, p->f.w); /* once is enough */
        CLIENT_SEND(&p->client, {3, 0, "deleteStream", 4, "n1"});
        CLIENT_UNTIL(&p->client, p->fake.closed == 1);
        assert_non_null(strstr(p->fake.told.text, rows[i].closed));
        const char *first = strstr(p->client.got.text, asked);
        assert_int_equal(first != NULL, (rows[i].caps & RTMP_CAP_RECONNECT) != 0);
        assert_true(first == NULL || strstr(first + 1, asked) == NULL);
        pair_close(p);
        *state = pair_new();
    }
}

static void the_answer_to_connect_names_our_abilities(void **state)
{
    struct rtmp_pair *p = *state;
    struct rtmp_reply r;
    struct amf0_value v[AMF0_VALUES_MAX];
    struct rtmp_command c;
    rtmp_reply_init(&r, pair_session(p));
    write_enhanced_connect(&r.body, RTMP_CAP_MULTITRACK);
    struct rtmp_message m = {.type = RTMP_COMMAND, .body = wr_slice(&r.body)};
    assert_int_equal(rtmp_command_read(&m, v, AMF0_VALUES_MAX, &c), 0);
    pair_session(p)->phase = PHASE_CONNECT;
    p->client.handshake_left = 0;
    assert_int_equal(rtmp_command_run(pair_session(p), &c), 0);
    READ_UNTIL(&p->f, &p->client.in, p->client.fd, p->client.in.len > 100);

    struct rtmp_chunk_reader reader;
    bool complete = false;
    size_t used = 0;
    rtmp_chunk_reader_init(&reader, RTMP_MESSAGE_MAX);
    while (!complete || m.type != RTMP_COMMAND) {
        ssize_t n = rtmp_chunk_read(&reader, (const uint8_t *)p->client.in.data + used,
                                    p->client.in.len - used, &m, &complete);
        assert_true(n > 0);
        used += (size_t)n;
    }
    assert_int_equal(used, p->client.in.len);
    assert_int_equal(rtmp_command_read(&m, v, AMF0_VALUES_MAX, &c), 0);
    const struct amf0_value *o = rtmp_command_arg(&c, 0);
    assert_int_equal(amf0_u32(amf0_get(o, "capsEx"), 0), 1 | 2 | 4 | 8);
    assert_int_equal(amf0_u32(amf0_get(amf0_get(o, "videoFourCcInfoMap"), "*"), 0), 4);
    assert_int_equal(amf0_u32(amf0_get(amf0_get(o, "audioFourCcInfoMap"), "*"), 0), 4);
    assert_true(slice_is(amf0_text(amf0_get(o, "fourCcList") + 1), "*"));
    assert_int_equal(amf0_u32(amf0_get(rtmp_command_arg(&c, 1), "objectEncoding"), 0), 3);
    rtmp_chunk_reader_fini(&reader);
}

/* ---- messages that come wrapped ---- */

static void write_tag(struct wr *w, uint8_t type, uint32_t time_ms, const char *body)
{
    wr_u8(w, type);
    wr_u24(w, (uint32_t)strlen(body));
    wr_u24(w, time_ms);
    wr_u32(w, 0); /* the timestamp's upper byte and the stream id */
    wr_text(w, body);
    wr_u32(w, (uint32_t)strlen(body) + 11);
}

static void send_message(struct rtmp_client *c, struct rtmp_message m)
{
    uint8_t bytes[512];
    struct wr w = wr_init(bytes, sizeof bytes);
    rtmp_chunk_write(&w, &m, CLIENT_CHUNK);
    send_all(c->fd, bytes, wr_len(&w));
}

static void wrapped_messages_are_taken_apart(void **state)
{
    struct rtmp_pair *p = *state;
    uint8_t body[256];
    struct wr w = wr_init(body, sizeof body);
    write_tag(&w, RTMP_VIDEO, 1000, "12345");
    write_tag(&w, RTMP_DATA_AMF3, 1010, "\x02\x02\x02xy"); /* a string of 514 bytes, cut */
    write_tag(&w, RTMP_AUDIO, 1020, "abc");
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PUBLISH);
    send_message(
        &p->client,
        (struct rtmp_message){
            .type = RTMP_AGGREGATE, .csid = 7, .sid = 1, .timestamp_ms = 50, .body = wr_slice(&w)});
    w = wr_init(body, sizeof body);
    wr_u8(&w, 0);
    write_arguments(&w, "s@setDataFrame sonMetaData d1");
    send_message(
        &p->client,
        (struct rtmp_message){
            .type = RTMP_DATA_AMF3, .csid = 7, .sid = 1, .timestamp_ms = 60, .body = wr_slice(&w)});
    CLIENT_UNTIL(&p->client, p->fake.media == 4);
    assert_string_equal(p->fake.told.text,
                        "open live/cam ? caps=0\nmessage 9 50 5\nmessage 18 60 5\n"
                        "message 8 70 3\nmessage 18 60 22\n");

    send_message(&p->client,
                 (struct rtmp_message){
                     .type = RTMP_AGGREGATE, .csid = 7, .sid = 1, .body = slice_of("\x09", 1)});
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_int_equal(METRIC_GET(p->f.w->metrics.closed[CLOSE_BAD_INPUT]), 1);
}

/* ---- where the bytes are cut ---- */

#define RECORDING_MAX 6144

static size_t read_recording(const char *name, uint8_t *bytes)
{
    char path[128];
    snprintf(path, sizeof path, "vectors/%s.head.c2s.bin", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, RECORDING_MAX, f);
    fclose(f);
    return n;
}

/* Feeds the recording in two pieces to a session of its own; what the handler was told. */
static void replay(struct rtmp_pair *p, struct slice bytes, size_t cut)
{
    int ends[2];
    struct net_address peer = loopback(1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    p->fake = (struct fake){0};
    struct rtmp_session *s =
        rtmp_session_new(p->server, p->f.w, io_accept(p->f.w, ends[0], &peer, NULL, NULL));
    size_t used = rtmp_session_feed(s, slice_of(bytes.p, cut));
    used += rtmp_session_feed(s, slice_of(bytes.p + used, bytes.len - used));
    assert_false(s->closing);
    note(&p->fake.told, "used %zu queued %zu\n", used, io_queued(s->io));
    rtmp_session_free(&s);
    close(ends[1]);
}

static void cuts_make_no_difference(void **state)
{
    static const char *const names[] = {"ffmpeg90-hevc", "gst122-rtmp2sink", "obs32-av1",
                                        "ffmpeg51-exttimestamp"};
    struct rtmp_pair *p = *state;
    static uint8_t bytes[RECORDING_MAX];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        size_t len = read_recording(names[i], bytes);
        assert_int_equal(len, RECORDING_MAX);
        replay(p, slice_of(bytes, len), 0);
        struct fake whole = p->fake;
        assert_int_equal(whole.opened, 1);
        assert_true(whole.media > 0);
        for (size_t cut = 1; cut <= len; cut++) {
            replay(p, slice_of(bytes, len), cut);
            assert_string_equal(p->fake.told.text, whole.told.text);
            assert_int_equal(p->fake.media_sum, whole.media_sum);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publishers_are_answered, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(players_are_answered, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(what_is_out_of_order_ends_the_session, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(bad_names_are_refused_with_a_word, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(a_long_query_is_refused, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(the_app_gives_a_query_when_the_stream_has_none, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(a_flood_takes_turns, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(enhanced_clients_are_recognised, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(who_can_is_asked_to_connect_again, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(the_answer_to_connect_names_our_abilities, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(wrapped_messages_are_taken_apart, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(cuts_make_no_difference, pair_setup, pair_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
