#include "rtmp_client.h"

#include <malloc.h>

/* How sessions wait, write, end and are freed. */

#define CREATED                                                                                    \
    {3, 0, "connect", 1, "olive"},                                                                 \
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

static uint64_t closed(const struct rtmp_pair *p, enum close_reason why)
{
    return METRIC_GET(p->f.w->metrics.closed[why]);
}

/* ---- handshake ---- */

static void the_answer_does_not_wait_for_c2(void **state)
{
    struct rtmp_pair *p = *state;
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE] = {3};
    send_all(p->client.fd, hello, sizeof hello);
    CLIENT_UNTIL(&p->client, p->client.in.len >= RTMP_HANDSHAKE_REPLY_SIZE);
    assert_int_equal(p->client.in.len, RTMP_HANDSHAKE_REPLY_SIZE);
    assert_int_equal(pair_session(p)->phase, PHASE_C2);
}

static void what_is_not_rtmp_is_closed_at_its_first_byte(void **state)
{
    struct rtmp_pair *p = *state;
    send_text(p->client.fd, "G");
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_int_equal(closed(p, CLOSE_BAD_INPUT), 1);
}

static void deadlines_end_what_does_not_go_on(void **state)
{
    static const struct {
        const char *where;
        struct say says[4];
        size_t count;
        bool hello, stays;
    } rows[] = {
        {"silent", {{0}}, 0, false, false},       {"handshake only", {{0}}, 0, true, false},
        {"connected", {CREATED}, 2, true, false}, {"publishing", {TO_PUBLISH}, 3, true, true},
        {"playing", {TO_PLAY}, 3, true, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = *state;
        print_message("%s\n", rows[i].where);
        if (rows[i].hello)
            client_hello(&p->client);
        client_send(&p->client, rows[i].says, rows[i].count);
        if (rows[i].count > 0)
            CLIENT_UNTIL(&p->client, client_has(&p->client, rows[i].stays ? "Start" : "_result 2"));
        else if (rows[i].hello)
            CLIENT_UNTIL(&p->client, pair_session(p)->phase == PHASE_CONNECT);
        if (pair_session(p)->phase != PHASE_PUBLISH)
            io_deadline(pair_session(p)->io, 1);
        int64_t until_us = clock_us() + 20000;
        TURN_UNTIL(&p->f, rows[i].stays ? clock_us() > until_us : pair_session(p) == NULL);
        assert_int_equal(pair_session(p) != NULL, rows[i].stays);
        assert_int_equal(closed(p, CLOSE_TIMEOUT), !rows[i].stays);
        pair_close(p);
        *state = pair_new();
    }
}

/* ---- limits ---- */

static void send_video(struct rtmp_client *c, uint32_t len)
{
    uint8_t head[RTMP_CHUNK_HEADER_MAX];
    uint8_t *bytes = xcalloc(1, len + len / CLIENT_CHUNK + 32);
    struct wr w = wr_init(bytes, len + len / CLIENT_CHUNK + 32);
    uint8_t *body = xcalloc(1, len);
    struct rtmp_message m = {.type = RTMP_VIDEO, .csid = 6, .sid = 1, .body = slice_of(body, len)};
    assert_int_equal(rtmp_chunk_header(head, &m), 12);
    rtmp_chunk_write(&w, &m, CLIENT_CHUNK);
    ssize_t unused = send(c->fd, bytes, wr_len(&w), MSG_NOSIGNAL);
    (void)unused;
    free(body);
    free(bytes);
}

static void large_messages_need_a_publisher(void **state)
{
    struct rtmp_pair *p = *state;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PUBLISH);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Publish.Start"));
    send_video(&p->client, 100000);
    CLIENT_UNTIL(&p->client, p->fake.media == 1);
    assert_true(p->fake.inputs >= 1);

    pair_close(p);
    *state = p = pair_new();
    client_hello(&p->client);
    CLIENT_SEND(&p->client, CREATED);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "_result 2"));
    send_video(&p->client, RTMP_COMMAND_MAX + 1);
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_int_equal(closed(p, CLOSE_BAD_INPUT), 1);
}

static void bytes_are_acknowledged(void **state)
{
    struct rtmp_pair *p = *state;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, {2, 0, "=window", 0, "20000"}, TO_PUBLISH);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Publish.Start"));
    assert_false(client_has(&p->client, "control 3"));
    send_video(&p->client, 30000);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "control 3"));
    CLIENT_UNTIL(&p->client, p->fake.media == 1);
    assert_true(pair_session(p)->acked >= 20000);
}

/* ---- deciding ---- */

static void nothing_is_read_while_a_publish_is_decided(void **state)
{
    struct rtmp_pair *p = *state;
    p->fake.mode = FAKE_WAIT;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PUBLISH, {6, 1, "=audio", 0, "abc"});
    CLIENT_UNTIL(&p->client, p->fake.opened == 1);
    for (int i = 0; i < 20; i++)
        fixture_turn(&p->f);
    assert_int_equal(p->fake.media, 0);
    rtmp_session_publish_started(p->fake.session);
    rtmp_session_pause(p->fake.session, false);
    CLIENT_UNTIL(&p->client, p->fake.media == 1 && client_has(&p->client, "Publish.Start"));
}

static void refusals_are_told_and_end_the_session(void **state)
{
    for (enum fake_mode mode = FAKE_WAIT; mode <= FAKE_REFUSE_OPEN; mode++) {
        struct rtmp_pair *p = *state;
        p->fake.mode = mode;
        client_hello(&p->client);
        CLIENT_SEND(&p->client, TO_PUBLISH);
        CLIENT_UNTIL(&p->client, p->fake.opened == 1);
        if (mode == FAKE_WAIT) {
            rtmp_session_refuse(p->fake.session, CLOSE_NAME_TAKEN, "Somebody else has it.");
            assert_int_equal(p->fake.closed, 0);
        }
        CLIENT_UNTIL(&p->client, p->client.in.eof);
        assert_true(client_has(&p->client, "onStatus 0 NetStream.Publish.BadName @1"));
        assert_int_equal(p->fake.closed, mode != FAKE_REFUSE);
        assert_int_equal(closed(p, CLOSE_NAME_TAKEN), 1);
        pair_close(p);
        *state = pair_new();
    }
}

static void a_node_without_the_role_says_so(void **state)
{
    static const struct {
        struct say says[3];
        const char *answer;
    } rows[] = {{{TO_PUBLISH}, "NetStream.Publish.Denied"}, {{TO_PLAY}, "NetStream.Play.Failed"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = xcalloc(1, sizeof *p);
        struct rtmp_server_options o = {.publish_refusal = "Publish somewhere else."};
        pair_open(p, &o);
        client_hello(&p->client);
        client_send(&p->client, rows[i].says, 3);
        CLIENT_UNTIL(&p->client, p->client.in.eof);
        assert_true(client_has(&p->client, rows[i].answer));
        assert_int_equal(closed(p, CLOSE_REFUSED), 1);
        pair_close(p);
    }
}

/* ---- ending ---- */

static void players_are_told_why_it_is_over(void **state)
{
    static const struct {
        enum close_reason why;
        const char *answer;
    } rows[] = {
        {CLOSE_UNPUBLISHED, "onStatus 0 NetStream.Play.UnpublishNotify @1"},
        {CLOSE_SOURCE_LOST, "onStatus 0 NetStream.Play.StreamNotFound @1"},
        {CLOSE_KICKED, "onStatus 0 NetStream.Play.Failed @1"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = *state;
        client_hello(&p->client);
        CLIENT_SEND(&p->client, TO_PLAY);
        CLIENT_UNTIL(&p->client, client_has(&p->client, "SampleAccess"));
        rtmp_session_end(p->fake.session, rows[i].why);
        CLIENT_UNTIL(&p->client, p->client.in.eof);
        assert_true(client_has(&p->client, rows[i].answer));
        pair_close(p);
        *state = pair_new();
    }
}

static void a_handler_may_end_the_session_inside_its_callback(void **state)
{
    struct rtmp_pair *p = *state;
    p->fake.end_on_message = true;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PUBLISH, {6, 1, "=audio", 0, "a"}, {6, 1, "=audio", 0, "b"});
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_int_equal(p->fake.media, 1);
    assert_int_equal(p->fake.closed, 1);
    assert_true(client_has(&p->client, "NetStream.Publish.Denied"));
    assert_string_equal(strstr(p->fake.told.text, "close"), "close kicked\n");
}

static void functions_of_an_ended_session_do_nothing(void **state)
{
    struct rtmp_pair *p = *state;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PLAY);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "SampleAccess"));
    struct rtmp_session *s = p->fake.session;
    struct iovec iov = {.iov_base = p, .iov_len = 10};
    rtmp_session_end(s, CLOSE_UNPUBLISHED);
    rtmp_session_end(s, CLOSE_KICKED);
    rtmp_session_refuse(s, CLOSE_NOT_FOUND, "never");
    rtmp_session_play_started(s);
    rtmp_session_play_resumed(s);
    rtmp_session_pause(s, true);
    assert_int_equal(rtmp_session_write(s, slice_of("x", 1)), ERR_CLOSED);
    assert_int_equal(rtmp_session_writev(s, &iov, 1), ERR_CLOSED);
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_string_equal(strstr(p->client.got.text, "data |RtmpSampleAccess\n"),
                        "data |RtmpSampleAccess\nevent 1 1\n"
                        "onStatus 0 NetStream.Play.UnpublishNotify @1\n"
                        "onStatus 0 NetStream.Play.Stop @1\n");
    assert_string_equal(strstr(p->fake.told.text, "close"), "close unpublished\n");
}

static void draining_tells_everybody(void **state)
{
    static const struct {
        struct say says[3];
        size_t count;
        const char *before, *word;
    } rows[] = {
        {{TO_PUBLISH}, 3, "Publish.Start", "NetStream.Publish.Rejected"},
        {{TO_PLAY}, 3, "Play.Start", "event 1 1\nonStatus 0 NetStream.Play.UnpublishNotify"},
        {{CREATED}, 2, "_result 2", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rtmp_pair *p = *state;
        client_hello(&p->client);
        client_send(&p->client, rows[i].says, rows[i].count);
        CLIENT_UNTIL(&p->client, client_has(&p->client, rows[i].before));
        rtmp_server_drain(p->server, p->f.w);
        CLIENT_UNTIL(&p->client, p->client.in.eof);
        assert_true(client_has(&p->client, rows[i].word));
        assert_int_equal(p->fake.opened, p->fake.closed);
        assert_int_equal(closed(p, CLOSE_DRAIN), 1);
        pair_close(p);
        *state = pair_new();
    }
}

static void freeing_the_server_closes_what_is_left(void **state)
{
    struct rtmp_pair *p = *state;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PLAY);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Play.Start"));
    rtmp_server_free(&p->server);
    assert_int_equal(p->fake.closed, 1);
    assert_int_equal(closed(p, CLOSE_DRAIN), 1);
    assert_null(p->server);
}

static void resumed_players_hear_of_it(void **state)
{
    struct rtmp_pair *p = *state;
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PLAY);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "Play.Start"));
    rtmp_session_play_resumed(p->fake.session);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "NetStream.Play.PublishNotify @1"));
}

/* ---- writing ---- */

#define VIDEO_BYTES (1024 * 1024)

struct output {
    uint8_t *bytes;
    size_t len, at;
};

static struct output make_output(void)
{
    struct output o = {.len = VIDEO_BYTES + VIDEO_BYTES / RTMP_CHUNK_SIZE_OUT + 12};
    o.bytes = xcalloc(1, o.len);
    uint8_t *body = xcalloc(1, VIDEO_BYTES);
    struct wr w = wr_init(o.bytes, o.len);
    struct rtmp_message m = {
        .type = RTMP_VIDEO, .csid = 6, .sid = 1, .body = slice_of(body, VIDEO_BYTES)};
    rtmp_chunk_write(&w, &m, RTMP_CHUNK_SIZE_OUT);
    assert_int_equal(wr_len(&w), o.len);
    free(body);
    return o;
}

/* Writes what the socket takes; true when the message is complete. */
static bool pump(struct rtmp_session *s, struct output *o)
{
    struct iovec iov = {.iov_base = o->bytes + o->at, .iov_len = o->len - o->at};
    ssize_t n = rtmp_session_writev(s, &iov, 1);
    assert_true(n >= 0);
    o->at += (size_t)n;
    return o->at == o->len;
}

static struct output begin_message(struct rtmp_pair *p)
{
    struct output o = make_output();
    client_hello(&p->client);
    CLIENT_SEND(&p->client, TO_PLAY);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "SampleAccess"));
    io_set_send_buffer(rtmp_session_io(p->fake.session), 4096);
    assert_false(pump(p->fake.session, &o));
    assert_true(o.at > 0);
    return o;
}

static void answers_wait_for_the_end_of_a_message(void **state)
{
    struct rtmp_pair *p = *state;
    struct output o = begin_message(p);
    CLIENT_SEND(&p->client, {2, 0, "=ping", 0, "5"}, {3, 1, "pause", 0, "n b1"});
    TURN_UNTIL(&p->f, strstr(p->fake.told.text, "pause 1") != NULL);
    assert_true(buf_len(&p->fake.session->held) > 0);
    CLIENT_UNTIL(&p->client, pump(p->fake.session, &o));
    assert_true(p->fake.writables > 0);
    CLIENT_UNTIL(&p->client, client_has(&p->client, "NetStream.Pause.Notify @1"));
    assert_int_equal(p->client.media_bytes, VIDEO_BYTES);
    assert_true(client_has(&p->client, "event 7 5"));
    assert_int_equal(buf_len(&p->fake.session->held), 0);
    free(o.bytes);
}

static void half_a_message_is_followed_by_nothing(void **state)
{
    struct rtmp_pair *p = *state;
    struct output o = begin_message(p);
    rtmp_session_end(p->fake.session, CLOSE_UNPUBLISHED);
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_false(client_has(&p->client, "UnpublishNotify"));
    assert_int_equal(p->fake.closed, 1);
    free(o.bytes);
}

static void a_stream_cannot_be_left_inside_a_message(void **state)
{
    struct rtmp_pair *p = *state;
    struct output o = begin_message(p);
    CLIENT_SEND(&p->client, {3, 1, "closeStream", 0, "n"});
    CLIENT_UNTIL(&p->client, p->client.in.eof);
    assert_int_equal(closed(p, CLOSE_FINISHED), 1);
    assert_string_equal(strstr(p->fake.told.text, "close"), "close finished clean\n");
    free(o.bytes);
}

static void who_asks_and_does_not_read_is_closed(void **state)
{
    struct rtmp_pair *p = *state;
    struct output o = begin_message(p);
    static struct say pings[500];
    for (size_t i = 0; i < COUNT_OF(pings); i++)
        pings[i] = (struct say){2, 0, "=ping", 0, "5"};
    client_send(&p->client, pings, COUNT_OF(pings));
    for (int i = 0; i < 10; i++)
        fixture_turn(&p->f);
    assert_int_equal(p->fake.closed, 0);
    client_send(&p->client, pings, COUNT_OF(pings));
    TURN_UNTIL(&p->f, p->fake.closed == 1);
    assert_int_equal(closed(p, CLOSE_TOO_SLOW), 1);
    free(o.bytes);
}

/* ---- what it costs ---- */

#define PLAYER_BYTES_MAX 2048 /* of this layer, for one idle player */
#define PLAYERS          32

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks;
}

static void an_idle_player_costs_little(void **state)
{
    struct rtmp_pair *p = *state;
    static uint8_t bytes[65536];
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE + RTMP_HANDSHAKE_SIZE] = {3};
    struct say says[] = {TO_PLAY};
    struct wr w = wr_init(bytes, sizeof bytes);
    struct net_address peer = loopback(1);
    struct rtmp_session *sessions[PLAYERS];
    wr_bytes(&w, hello, sizeof hello);
    for (size_t i = 0; i < COUNT_OF(says); i++)
        write_say(&w, &says[i]);
    size_t used = 0, ios = 0;
    int theirs[PLAYERS];
    for (int i = 0; i < PLAYERS; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        size_t before_io = heap_bytes();
        struct io *io = io_accept(p->f.w, ends[0], &peer, NULL, NULL);
        size_t before = heap_bytes();
        sessions[i] = rtmp_session_new(p->server, p->f.w, io);
        p->fake.told.len = 0;
        rtmp_session_feed(sessions[i], wr_slice(&w));
        fixture_turn(&p->f);
        used += heap_bytes() - before;
        ios += before - before_io;
        assert_int_equal(sessions[i]->phase, PHASE_PLAY);
        theirs[i] = ends[1];
    }
    print_message("%zu bytes a player, the timer of its io included; %zu bytes of io before it\n",
                  used / PLAYERS, ios / PLAYERS);
    for (int i = 0; i < PLAYERS; i++) {
        p->fake.session = sessions[i];
        rtmp_session_free(&sessions[i]);
        close(theirs[i]);
    }
    assert_true(used / PLAYERS <= PLAYER_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_answer_does_not_wait_for_c2, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_rtmp_is_closed_at_its_first_byte, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(deadlines_end_what_does_not_go_on, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(large_messages_need_a_publisher, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(bytes_are_acknowledged, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_read_while_a_publish_is_decided, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(refusals_are_told_and_end_the_session, pair_setup,
                                        pair_teardown),
        cmocka_unit_test(a_node_without_the_role_says_so),
        cmocka_unit_test_setup_teardown(players_are_told_why_it_is_over, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(a_handler_may_end_the_session_inside_its_callback,
                                        pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(functions_of_an_ended_session_do_nothing, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(draining_tells_everybody, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(freeing_the_server_closes_what_is_left, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(resumed_players_hear_of_it, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(answers_wait_for_the_end_of_a_message, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(half_a_message_is_followed_by_nothing, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(a_stream_cannot_be_left_inside_a_message, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(who_asks_and_does_not_read_is_closed, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(an_idle_player_costs_little, pair_setup, pair_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
