/* ICE-TCP: the remote's frames over a plain socket of the test. */
#include "rtc/rtc_test.h"

#include <stdio.h>

/* A remote whose datagrams go over a connection. */
struct tcp_session {
    struct session s;
    int fd;
    struct inbox in;
    size_t taken; /* bytes of the inbox */
};

static void open_ports(struct rtc_fixture *x)
{
    rtc_open_with(x,
                  (struct rtc_ports_options){.listen = "127.0.0.1:0", .tcp_listen = "127.0.0.1:0"});
    assert_int_not_equal(x->port->tcp_port, 0);
}

static size_t put_frame(uint8_t *dst, const uint8_t *bytes, size_t len)
{
    dst[0] = (uint8_t)(len >> 8);
    dst[1] = (uint8_t)len;
    memcpy(dst + 2, bytes, len);
    return 2 + len;
}

/* What the remote would send as a datagram: its socket is UDP, so the bytes are taken from there.
 */
struct capture {
    struct udp *udp;
    uint8_t bytes[16][2048];
    size_t len[16];
    int count;
};

static void on_captured(struct udp *u, const struct net_address *from, struct slice datagram,
                        void *owner)
{
    struct capture *c = owner;
    assert_true(c->count < 16);
    memcpy(c->bytes[c->count], datagram.p, datagram.len);
    c->len[c->count++] = datagram.len;
}

static void open_capture(struct rtc_fixture *x, struct capture *c)
{
    struct udp_options o = {.on_datagram = on_captured, .owner = c};
    memset(c, 0, sizeof *c);
    assert_int_equal(net_address_parse("127.0.0.1:0", &o.bind), 0);
    assert_int_equal(udp_open(&c->udp, x->f.w, &o), 0);
}

static void begin_tcp(struct rtc_fixture *x, struct tcp_session *t, struct capture *c)
{
    memset(t, 0, sizeof *t);
    begin_session(x, &t->s, true, true);
    open_capture(x, c);
    udp_address(c->udp, &t->s.r.to);
    t->fd = tcp_connect(x->port->tcp_port);
}

/* From the remote to the connection, in pieces of at most `piece` bytes. */
static void forward(struct tcp_session *t, struct capture *c, size_t piece)
{
    uint8_t frame[2050];
    for (int i = 0; i < c->count; i++) {
        size_t len = put_frame(frame, c->bytes[i], c->len[i]);
        for (size_t at = 0; at < len; at += piece)
            send_all(t->fd, frame + at, len - at < piece ? len - at : piece);
    }
    c->count = 0;
}

/* From the connection to the remote. */
static void take_frames(struct tcp_session *t)
{
    inbox_read(&t->in, t->fd, 65536);
    const uint8_t *p = (const uint8_t *)t->in.data;
    while (t->in.len - t->taken >= 2) {
        size_t len = (size_t)p[t->taken] << 8 | p[t->taken + 1];
        if (t->in.len - t->taken < 2 + len)
            return;
        t->taken += 2 + len;
        remote_receive(&t->s.r, slice_of(p + t->taken - len, len));
    }
}

#define TURN_TCP_UNTIL(x, t, c, cond)                                                              \
    do {                                                                                           \
        int64_t give_up_at_us = clock_us() + TEST_GIVE_UP_US;                                      \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < give_up_at_us);                                               \
            fixture_turn(&(x)->f);                                                                 \
            remote_on_time(&(t)->s.r);                                                             \
            forward(t, c, 7);                                                                      \
            take_frames(t);                                                                        \
        }                                                                                          \
    } while (0)

static void connect_tcp(struct rtc_fixture *x, struct tcp_session *t, struct capture *c)
{
    remote_check(&t->s.r, STUN_NOMINATES);
    TURN_TCP_UNTIL(x, t, c, t->s.o.connected == 1 && t->s.r.sealer != NULL);
}

static void end_tcp(struct tcp_session *t, struct capture *c)
{
    if (t->fd >= 0)
        close(t->fd);
    inbox_free(&t->in);
    udp_close(&c->udp);
    end_session(&t->s);
}

static void test_a_session_over_tcp(void **state)
{
    struct rtc_fixture x;
    struct tcp_session t;
    static struct capture c;
    uint8_t packet[1300];
    open_ports(&x);
    begin_tcp(&x, &t, &c);
    connect_tcp(&x, &t, &c);
    t.s.o.answer_rtp = true; /* while the packet is being looked at */
    for (int i = 0; i < 3; i++)
        remote_send_rtp(&t.s.r, packet, make_rtp(packet, (uint16_t)i, 5, 1000));
    TURN_TCP_UNTIL(&x, &t, &c, t.s.o.rtp == 3 && t.s.r.rtcp == 3);
    assert_int_equal(t.s.o.last_len, 1012);
    assert_memory_equal(t.s.o.last, packet, 1012);
    static const size_t unit[] = {1188, 1188, 1188, 3};
    assert_int_equal(send_rtp(t.s.o.peer, 1, unit, 4), 4);
    TURN_TCP_UNTIL(&x, &t, &c, t.s.r.rtp == 4);
    rtc_peer_close(&t.s.o.peer, CLOSE_UNPUBLISHED);
    TURN_TCP_UNTIL(&x, &t, &c, t.s.r.error == ERR_CLOSED && t.in.eof);
    end_tcp(&t, &c);
    rtc_close(&x);
}

/* What no remote of a session here sends first is not waited for. */
static void test_connections_that_begin_with_something_else(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[8];
        size_t len;
    } cases[] = {
        {"HTTP", "GET / HT", 8},
        {"a frame that is too long", {0x05, 0xdd}, 2},
        {"an empty frame", {0, 0}, 2},
        {"DTLS", {0, 4, 22, 0xfe, 0xfd, 0}, 6},
        {"media", {0, 4, 0x80, 96, 0, 1}, 6},
        {"STUN that is none", {0, 4, 0, 1, 0, 0}, 6},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtc_fixture x;
        struct inbox in = {0};
        open_ports(&x);
        int fd = tcp_connect(x.port->tcp_port);
        send_all(fd, cases[i].bytes, cases[i].len);
        READ_UNTIL(&x.f, &in, fd, in.eof);
        assert_int_equal(in.len, 0);
        inbox_free(&in);
        close(fd);
        rtc_close(&x);
    }
}

/* A remote that does not read: what is sent is bounded, and its owner learns it. */
static void test_output_is_bounded(void **state)
{
    struct rtc_fixture x;
    struct tcp_session t;
    static struct capture c;
    size_t taken = 0, now = 1;
    static const size_t unit[] = {1188, 1188, 1188, 1188};
    open_ports(&x);
    begin_tcp(&x, &t, &c);
    connect_tcp(&x, &t, &c);
    for (uint16_t seq = 0; now > 0 && taken < 100000; seq = (uint16_t)(seq + 4)) {
        now = send_rtp(t.s.o.peer, seq, unit, COUNT_OF(unit));
        taken += now;
        fixture_turn(&x.f);
    }
    assert_true(taken < 100000);
    assert_true(x.f.w->metrics.rtc_send_dropped_total > 0);
    TURN_TCP_UNTIL(&x, &t, &c, t.s.r.rtp == taken); /* everything that was taken comes */
    assert_int_equal(send_rtp(t.s.o.peer, (uint16_t)(taken + 8), unit, 1), 1);
    end_tcp(&t, &c);
    rtc_close(&x);
}

/* The connection ends: without another way the peer follows, unless a check comes. */
static void test_a_connection_that_ends(void **state)
{
    struct rtc_fixture x;
    struct tcp_session t;
    static struct capture c;
    open_ports(&x);
    begin_tcp(&x, &t, &c);
    connect_tcp(&x, &t, &c);
    close(t.fd);
    TURN_UNTIL(&x.f, t.s.o.peer->suspected_us != 0);
    assert_null(rtc_peer_remote(t.s.o.peer));
    assert_int_equal(send_rtp(t.s.o.peer, 1, (const size_t[]){100}, 1), 0);
    t.fd = tcp_connect(x.port->tcp_port);
    t.in.eof = false;
    remote_check(&t.s.r, STUN_NOMINATES);
    TURN_TCP_UNTIL(&x, &t, &c, t.s.r.answer.success);
    assert_int_equal(t.s.o.peer->suspected_us, 0);
    send_rtp(t.s.o.peer, 2, (const size_t[]){100}, 1);
    TURN_TCP_UNTIL(&x, &t, &c, t.s.r.rtp == 1);
    end_tcp(&t, &c);
    rtc_close(&x);
}

/* Who connects again and again has no more connections than ICE knows ways. */
static void test_many_connections_of_a_session(void **state)
{
    struct rtc_fixture x;
    struct tcp_session t;
    static struct capture c;
    int before[ICE_TUPLES_MAX + 4];
    open_ports(&x);
    begin_tcp(&x, &t, &c);
    connect_tcp(&x, &t, &c);
    for (size_t i = 0; i < COUNT_OF(before); i++) {
        before[i] = t.fd;
        t.fd = tcp_connect(x.port->tcp_port);
        t.s.r.answer.success = false;
        remote_check(&t.s.r, STUN_NOMINATES);
        TURN_TCP_UNTIL(&x, &t, &c, t.s.r.answer.success);
    }
    assert_int_equal(METRIC_GET(x.f.w->metrics.connections_open), ICE_TUPLES_MAX);
    send_rtp(t.s.o.peer, 1, (const size_t[]){100}, 1);
    TURN_TCP_UNTIL(&x, &t, &c, t.s.r.rtp == 1);
    for (size_t i = 0; i < COUNT_OF(before); i++)
        close(before[i]);
    end_tcp(&t, &c);
    rtc_close(&x);
}

/* The remote's last flight: its certificate first. */
static bool is_last_flight(const struct capture *c)
{
    return c->count > 0 && c->len[0] > 13 && c->bytes[0][0] == 22 && c->bytes[0][13] == 11;
}

/* The handshake's last datagrams wait for their turn, and meanwhile the connection ends. */
static void test_a_connection_that_ends_with_the_handshake(void **state)
{
    struct rtc_fixture x;
    struct tcp_session t;
    static struct capture c;
    open_ports(&x);
    begin_tcp(&x, &t, &c);
    remote_check(&t.s.r, STUN_NOMINATES);
    for (int whole = 0; whole < 5; whole += is_last_flight(&c)) {
        if (!is_last_flight(&c))
            forward(&t, &c, SIZE_MAX);
        take_frames(&t);
        fixture_turn(&x.f);
    }
    for (int i = 0; i < c.count; i++)
        rtc_handshake_queue(t.s.o.peer, ice_session_path(t.s.o.peer->ice),
                            slice_of(c.bytes[i], c.len[i]));
    task_cancel(&x.port->handshake_task); /* others have their turn */
    shutdown(t.fd, SHUT_WR);
    TURN_UNTIL(&x.f, list_empty(&x.port->streams));
    task_defer(x.f.w, &x.port->handshake_task);
    TURN_REMOTE_UNTIL(&x, &t.s, t.s.o.connected == 1);
    assert_null(rtc_peer_remote(t.s.o.peer));
    assert_int_equal(send_rtp(t.s.o.peer, 1, (const size_t[]){100}, 1), 0);
    t.s.r.to = port_address(x.port); /* it is not lost */
    remote_check(&t.s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &t.s, rtc_peer_remote(t.s.o.peer) != NULL);
    end_tcp(&t, &c);
    rtc_close(&x);
}

/* UDP is better as soon as it is nominated. */
static void test_from_tcp_to_udp(void **state)
{
    struct rtc_fixture x;
    struct tcp_session t;
    static struct capture c;
    open_ports(&x);
    begin_tcp(&x, &t, &c);
    connect_tcp(&x, &t, &c);
    t.s.r.to = port_address(x.port);
    remote_check(&t.s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &t.s, t.s.r.answer.success);
    send_rtp(t.s.o.peer, 2, (const size_t[]){100}, 1);
    TURN_REMOTE_UNTIL(&x, &t.s, t.s.r.rtp == 1);
    assert_int_equal(x.f.w->metrics.rtc_moves_total, 1);
    end_tcp(&t, &c);
    rtc_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_over_tcp),
        cmocka_unit_test(test_connections_that_begin_with_something_else),
        cmocka_unit_test(test_output_is_bounded),
        cmocka_unit_test(test_a_connection_that_ends),
        cmocka_unit_test(test_many_connections_of_a_session),
        cmocka_unit_test(test_a_connection_that_ends_with_the_handshake),
        cmocka_unit_test(test_from_tcp_to_udp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
