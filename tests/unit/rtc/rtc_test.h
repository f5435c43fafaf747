#ifndef SLUICE_TESTS_UNIT_RTC_TEST_H
#define SLUICE_TESTS_UNIT_RTC_TEST_H

#include "net/net_test.h"

#include "base/err.h"
#include "rtc/rtc_internal.h"
#include "tools/rtc_remote.h"

/* A peer with everything around it, on one worker whose loop the test turns, and what its owner was
 * told; its remote, beside it. */
struct rtc_fixture {
    struct net_fixture f;
    struct rtc_ports *ports;
    struct rtc_port *port;
};

struct owner {
    struct rtc_peer *peer; /* NULL: closed */
    int connected, rtp, rtcp, closed;
    enum close_reason why;
    uint8_t last[2048];
    size_t last_len;
    int64_t arrival_us;
    bool close_on_rtp, close_on_connected, answer_rtp;
};

/* Both ends of one session. */
struct session {
    struct owner o;
    struct remote r;
};

static const struct text_list no_addresses;

static inline void rtc_open_with(struct rtc_fixture *x, struct rtc_ports_options o)
{
    fixture_open(&x->f);
    o.public_addresses = o.trusted = &no_addresses;
    o.advertise = "";
    assert_int_equal(rtc_ports_open(&x->ports, &x->f.group, &o), 0);
    x->port = rtc_port_of(x->ports, x->f.w);
}

static inline void rtc_open(struct rtc_fixture *x)
{
    rtc_open_with(x, (struct rtc_ports_options){.listen = "127.0.0.1:0", .tcp_listen = ""});
}

static inline void rtc_close(struct rtc_fixture *x)
{
    for (int i = 0; i < 10; i++)
        fixture_turn(&x->f);
    assert_int_equal(rtc_port_peers(x->port), 0);
    assert_int_equal(x->f.w->metrics.rtc_peers, 0);
    assert_int_equal(x->f.w->metrics.rtc_half_open, 0);
    assert_true(list_empty(&x->port->dead_peers));
    rtc_ports_free(&x->ports);
    fixture_close(&x->f);
}

static inline void owner_connected(void *arg)
{
    struct owner *o = arg;
    o->connected++;
    if (o->close_on_connected)
        rtc_peer_close(&o->peer, CLOSE_FINISHED);
}

static inline void owner_keep(struct owner *o, const uint8_t *bytes, size_t len, int64_t arrival_us)
{
    assert_true(len <= sizeof o->last);
    memcpy(o->last, bytes, len);
    o->last_len = len;
    o->arrival_us = arrival_us;
}

/* A receiver report with nothing in it. */
static const uint8_t empty_report[] = {0x80, 201, 0, 1, 1, 2, 3, 4};

static inline void owner_rtp(void *arg, uint8_t *packet, size_t len, int64_t arrival_us)
{
    struct owner *o = arg;
    o->rtp++;
    if (o->answer_rtp)
        assert_true(rtc_peer_send_rtcp(o->peer, empty_report, sizeof empty_report));
    owner_keep(o, packet, len, arrival_us);
    if (o->close_on_rtp)
        rtc_peer_close(&o->peer, CLOSE_FINISHED);
}

static inline void owner_rtcp(void *arg, const uint8_t *compound, size_t len, int64_t arrival_us)
{
    struct owner *o = arg;
    o->rtcp++;
    owner_keep(o, compound, len, arrival_us);
}

static inline void owner_closed(void *arg, enum close_reason why)
{
    struct owner *o = arg;
    assert_non_null(o->peer);
    assert_int_equal(o->closed++, 0);
    o->peer = NULL;
    o->why = why;
}

static const struct rtc_peer_handler owner_handler = {owner_connected, owner_rtp, owner_rtcp,
                                                      owner_closed};

static inline struct net_address port_address(const struct rtc_port *port)
{
    struct net_address a;
    udp_batch_address(port->udp, &a);
    return a;
}

static inline int open_peer(struct rtc_fixture *x, struct owner *o, const struct rtc_remote *offer,
                            bool publishes)
{
    return rtc_peer_open(
        &o->peer, x->port,
        &(struct rtc_peer_options){
            .remote = offer, .publishes = publishes, .handler = &owner_handler, .owner = o});
}

/* Offer and answer. */
static inline void begin_session(struct rtc_fixture *x, struct session *s, bool active,
                                 bool publishes)
{
    struct rtc_remote offer;
    struct rtc_local answer;
    struct net_address to = port_address(x->port);
    memset(s, 0, sizeof *s);
    assert_int_equal(
        remote_open(&s->r, x->f.w, x->ports->srtp, dtls_identity_new(), active, &offer), 0);
    assert_int_equal(open_peer(x, &s->o, &offer, publishes), 0);
    rtc_peer_local(s->o.peer, &answer);
    remote_answered(&s->r, &answer, &to);
}

#define TURN_REMOTE_UNTIL(x, s, cond)                                                              \
    do {                                                                                           \
        int64_t give_up_at_us = clock_us() + TEST_GIVE_UP_US;                                      \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < give_up_at_us);                                               \
            fixture_turn(&(x)->f);                                                                 \
            remote_on_time(&(s)->r);                                                               \
        }                                                                                          \
    } while (0)

static inline void connect_session(struct rtc_fixture *x, struct session *s)
{
    remote_check(&s->r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(x, s, s->o.connected == 1 && s->r.sealer != NULL);
}

static inline void end_session(struct session *s)
{
    rtc_peer_close(&s->o.peer, CLOSE_FINISHED);
    remote_close(&s->r);
}

/* A packet of RTP: header and len bytes of payload, which all are `fill`. */
static inline size_t make_rtp(uint8_t *dst, uint16_t seq, uint8_t fill, size_t len)
{
    struct wr w = wr_init(dst, 12);
    wr_u16(&w, 0x8060);
    wr_u16(&w, seq);
    wr_u32(&w, 90000);
    wr_u32(&w, 0x11223344);
    memset(dst + 12, fill, len);
    return 12 + len;
}

/* Payloads of these lengths, from `seq` on; how many were taken. */
static inline size_t send_rtp(struct rtc_peer *p, uint16_t seq, const size_t *len, size_t count)
{
    static uint8_t bytes[64][12 + RTC_PAYLOAD_MAX];
    struct slice pieces[64];
    struct rtc_out out[64];
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++) {
        make_rtp(bytes[i], (uint16_t)(seq + i), (uint8_t)i, len[i]);
        pieces[i] = slice_of(bytes[i] + 12, len[i]);
        out[i] = (struct rtc_out){slice_of(bytes[i], 12), &pieces[i], 1};
    }
    return rtc_peer_send_rtp(p, out, count);
}

#endif
