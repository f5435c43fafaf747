#include "rtc/rtc_test.h"

#include "core/crypto.h"

#include <stdio.h>

#define SECOND_US 1000000

/* Time passes when a test says so: libevent's own timers do not follow, so it calls them. */
static int64_t passed_us;
int64_t __real_clock_us(void);
int64_t __wrap_clock_us(void);
int64_t __wrap_clock_us(void)
{
    return __real_clock_us() + passed_us;
}

static void pass(struct rtc_peer *p, int64_t us)
{
    passed_us += us;
    p->timer.on_time(p->timer.arg);
}

/* ---- a session ---- */

static void test_a_session_from_offer_to_goodbye(void **state)
{
    static const struct {
        bool active, publishes;
    } cases[] = {{true, false}, {true, true}, {false, false}, {false, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rtc_fixture x;
        struct session s;
        uint8_t packet[1024];
        rtc_open(&x);
        begin_session(&x, &s, cases[i].active, cases[i].publishes);
        assert_null(rtc_peer_remote(s.o.peer));
        assert_int_equal(x.f.w->metrics.rtc_half_open, 1);
        assert_int_equal(send_rtp(s.o.peer, 1, (const size_t[]){100}, 1), 0);
        connect_session(&x, &s);
        assert_true(rtc_peer_is_connected(s.o.peer));
        assert_int_equal(x.f.w->metrics.rtc_half_open, 0);
        assert_int_equal(x.f.w->metrics.rtc_joins_total, 1);
        assert_true(rtc_peer_join_us(s.o.peer) > 0);

        int64_t before_us = clock_us();
        size_t len = make_rtp(packet, 7, 0xaa, 700);
        remote_send_rtp(&s.r, packet, len);
        TURN_REMOTE_UNTIL(&x, &s, s.o.rtp == 1);
        assert_int_equal(s.o.last_len, len);
        assert_memory_equal(s.o.last, packet, len);
        assert_in_range(s.o.arrival_us, before_us - 1000, clock_us());
        remote_send_rtcp(&s.r, empty_report, sizeof empty_report);
        TURN_REMOTE_UNTIL(&x, &s, s.o.rtcp == 1);
        assert_memory_equal(s.o.last, empty_report, sizeof empty_report);

        assert_int_equal(send_rtp(s.o.peer, 9, (const size_t[]){1188, 1188, 40}, 3), 3);
        TURN_REMOTE_UNTIL(&x, &s, s.r.rtp == 3);
        assert_int_equal(s.r.last_len, 52);
        assert_int_equal(s.r.last[12], 2);
        assert_true(rtc_peer_send_rtcp(s.o.peer, empty_report, sizeof empty_report));
        TURN_REMOTE_UNTIL(&x, &s, s.r.rtcp == 1);
        assert_int_equal(s.r.bad, 0);

        rtc_peer_close(&s.o.peer, CLOSE_UNPUBLISHED);
        TURN_REMOTE_UNTIL(&x, &s, s.r.error == ERR_CLOSED);
        assert_int_equal(s.o.closed, 0); /* it was the owner's own wish */
        assert_int_equal(x.f.w->metrics.closed[CLOSE_UNPUBLISHED], 1);
        end_session(&s);
        rtc_close(&x);
    }
}

static void test_what_follows_itself_is_segmented(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    fixture_turn(&x.f);
    uint64_t before = x.f.w->metrics.rtc_messages_out_total;
    if (!udp_batch_segments(x.port->udp))
        skip();
    static const size_t unit[] = {1100, 1100, 1100, 1100, 1100, 160};
    assert_int_equal(send_rtp(s.o.peer, 0, unit, COUNT_OF(unit)), COUNT_OF(unit));
    TURN_REMOTE_UNTIL(&x, &s, s.r.rtp == COUNT_OF(unit));
    assert_int_equal(x.f.w->metrics.rtc_messages_out_total, before + 1);
    /* As long as its way cannot be segmented, it is not. */
    struct net_address at;
    udp_address(s.r.udp, &at);
    ice_session_unsegment(s.o.peer->ice, &at);
    send_rtp(s.o.peer, 10, unit, COUNT_OF(unit));
    TURN_REMOTE_UNTIL(&x, &s, s.r.rtp == 2 * COUNT_OF(unit));
    assert_int_equal(x.f.w->metrics.rtc_messages_out_total, before + 1 + COUNT_OF(unit));
    end_session(&s);
    rtc_close(&x);
}

static bool every_third(unsigned number)
{
    return number % 3 == 1;
}

static void test_losses_delay_a_session_and_no_more(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    s.r.loses = every_third;
    connect_session(&x, &s);
    end_session(&s);
    rtc_close(&x);
}

static void test_the_owner_may_close_in_any_call(void **state)
{
    struct rtc_fixture x;
    struct session s;
    uint8_t packet[128];
    rtc_open(&x);
    begin_session(&x, &s, true, true);
    s.o.close_on_connected = true;
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.o.connected == 1);
    assert_null(s.o.peer);
    end_session(&s);

    begin_session(&x, &s, true, true);
    connect_session(&x, &s);
    s.o.close_on_rtp = true;
    for (int i = 0; i < 5; i++)
        remote_send_rtp(&s.r, packet, make_rtp(packet, (uint16_t)i, 1, 50));
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtp == 1);
    for (int i = 0; i < 20; i++)
        fixture_turn(&x.f);
    assert_int_equal(s.o.rtp, 1);
    end_session(&s);
    rtc_close(&x);
}

static void test_many_join_at_once(void **state)
{
    enum { COUNT = 60 };
    static struct session all[COUNT];
    struct rtc_fixture x;
    rtc_open(&x);
    for (int i = 0; i < COUNT; i++) {
        begin_session(&x, &all[i], true, false);
        remote_check(&all[i].r, STUN_NOMINATES);
    }
    for (int i = 0; i < COUNT; i++)
        TURN_REMOTE_UNTIL(&x, &all[i], all[i].o.connected == 1 && all[i].r.sealer != NULL);
    assert_int_equal(x.f.w->metrics.rtc_joins_total, COUNT);
    for (int i = 0; i < COUNT; i++)
        send_rtp(all[i].o.peer, 1, (const size_t[]){900, 900, 200}, 3);
    for (int i = 0; i < COUNT; i++)
        TURN_REMOTE_UNTIL(&x, &all[i], all[i].r.rtp == 3);
    for (int i = 0; i < COUNT; i++)
        end_session(&all[i]);
    rtc_close(&x);
}

/* ---- deadlines ---- */

static void test_nobody_comes(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    pass(s.o.peer, 14 * SECOND_US);
    assert_int_equal(s.o.closed, 0);
    pass(s.o.peer, SECOND_US);
    assert_int_equal(s.o.closed, 1);
    assert_int_equal(s.o.why, CLOSE_TIMEOUT);
    assert_int_equal(x.f.w->metrics.rtc_ice_timeouts_total, 1);
    end_session(&s);
    rtc_close(&x);
}

static bool everything(unsigned number)
{
    return number > 0; /* but the first check */
}

static void test_no_handshake_comes(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    s.r.loses = everything;
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.r.checked);
    pass(s.o.peer, 7 * SECOND_US);
    assert_int_equal(s.o.closed, 0);
    pass(s.o.peer, SECOND_US);
    assert_int_equal(s.o.why, CLOSE_TIMEOUT);
    assert_int_equal(x.f.w->metrics.rtc_dtls_timeouts_total, 1);
    end_session(&s);
    rtc_close(&x);
}

static void test_consent_is_renewed_by_checks_and_media(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    for (int i = 0; i < 3; i++) {
        pass(s.o.peer, 15 * SECOND_US);
        remote_check(&s.r, STUN_NOMINATES);
        TURN_REMOTE_UNTIL(&x, &s, s.r.answer.success);
    }
    pass(s.o.peer, 15 * SECOND_US);
    remote_send_rtcp(&s.r, empty_report, sizeof empty_report);
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtcp == 1);
    pass(s.o.peer, 15 * SECOND_US);
    assert_int_equal(s.o.closed, 0);
    pass(s.o.peer, 5 * SECOND_US);
    assert_int_equal(s.o.why, CLOSE_TIMEOUT);
    assert_int_equal(x.f.w->metrics.rtc_consent_lost_total, 1);
    TURN_REMOTE_UNTIL(&x, &s, s.r.error == ERR_CLOSED); /* should it still be there */
    end_session(&s);
    rtc_close(&x);
}

static void test_the_memory_of_the_handshake_is_given_back(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    pass(s.o.peer, 11 * SECOND_US);
    assert_false(s.o.peer->released); /* nothing has come that shows that it has all */
    remote_send_rtcp(&s.r, empty_report, sizeof empty_report);
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtcp == 1);
    pass(s.o.peer, 11 * SECOND_US);
    assert_true(s.o.peer->released);
    send_rtp(s.o.peer, 1, (const size_t[]){100}, 1);
    TURN_REMOTE_UNTIL(&x, &s, s.r.rtp == 1);
    rtc_peer_close(&s.o.peer, CLOSE_UNPUBLISHED);
    TURN_REMOTE_UNTIL(&x, &s, s.r.error == ERR_CLOSED);
    end_session(&s);
    rtc_close(&x);
}

static void send_picture(struct remote *r)
{
    uint8_t packet[12 + 100];
    for (uint16_t seq = 1; seq <= 50; seq++)
        remote_send_rtp(r, packet, make_rtp(packet, seq, 7, 100));
}

/* ffmpeg ends the handshake, and its first picture follows at once. */
static void test_media_on_the_heels_of_the_handshake(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, false, true);
    s.r.on_connected = send_picture;
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtp == 50);
    assert_int_equal(s.o.last[3], 50);
    assert_int_equal(x.port->early_count, 0);
    assert_true(list_empty(&s.o.peer->waiting));
    end_session(&s);
    rtc_close(&x);
}

/* It ends while they wait. */
static void test_media_of_a_handshake_that_does_not_end(void **state)
{
    struct rtc_fixture x;
    struct session s;
    static const uint8_t record[] = {22, 254, 253}, media[12] = {0x80};
    rtc_open(&x);
    begin_session(&x, &s, true, true);
    const struct ice_path *path = &(struct ice_path){.way.remote = s.r.to};
    assert_false(rtc_handshake_queue_media(s.o.peer, path, slice_of(media, 12), 0));
    rtc_handshake_queue(s.o.peer, path, slice_of(record, sizeof record));
    for (int i = 0; i < 1000; i++)
        assert_true(rtc_handshake_queue_media(s.o.peer, path, slice_of(media, 12), 0));
    assert_int_equal(s.o.peer->early_count, x.port->early_count);
    assert_in_range(s.o.peer->early_count, 100, 300);
    end_session(&s);
    assert_int_equal(x.port->early_count + x.port->handshake_count, 0);
    rtc_close(&x);
}

/* ---- the remote's goodbye ---- */

static void test_goodbye_of_the_remote(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    dtls_close(s.r.dtls);
    TURN_REMOTE_UNTIL(&x, &s, s.o.closed == 1);
    assert_int_equal(s.o.why, CLOSE_PEER_CLOSED);
    end_session(&s);
    rtc_close(&x);
}

/* Later an alert cannot be read any more, and may be anybody's: it is only believed when neither a
 * check nor media follow. */
static void test_goodbye_of_the_remote_after_release(void **state)
{
    struct rtc_fixture x;
    struct session s;
    static const uint8_t alert[40] = {21, 0xfe, 0xfd};
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    remote_send_rtcp(&s.r, empty_report, sizeof empty_report);
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtcp == 1);
    pass(s.o.peer, 11 * SECOND_US);
    for (int round = 0; round < 3; round++) {
        remote_send(&s.r, slice_of(alert, sizeof alert));
        TURN_REMOTE_UNTIL(&x, &s, s.o.peer->suspected_us != 0);
        if (round == 2)
            break;
        pass(s.o.peer, 3 * SECOND_US);
        if (round == 0)
            remote_check(&s.r, STUN_NOMINATES);
        else
            remote_send_rtcp(&s.r, empty_report, sizeof empty_report);
        TURN_REMOTE_UNTIL(&x, &s, s.o.peer->suspected_us == 0);
        pass(s.o.peer, 3 * SECOND_US);
        assert_int_equal(s.o.closed, 0);
    }
    remote_send_rtcp(&s.r, empty_report, sizeof empty_report); /* sent before it left */
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtcp == 3);
    pass(s.o.peer, 5 * SECOND_US);
    assert_int_equal(s.o.why, CLOSE_PEER_CLOSED);
    end_session(&s);
    rtc_close(&x);
}

/* ---- other ways ---- */

static void test_a_remote_that_moves(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    assert_int_equal(remote_move(&s.r), 0);
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.r.answer.success);
    assert_int_equal(x.f.w->metrics.rtc_moves_total, 1);
    send_rtp(s.o.peer, 1, (const size_t[]){100}, 1);
    TURN_REMOTE_UNTIL(&x, &s, s.r.rtp == 1);
    end_session(&s);
    rtc_close(&x);
}

static void test_a_restart(void **state)
{
    struct rtc_fixture x;
    struct session s;
    struct rtc_local answer;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    connect_session(&x, &s);
    rtc_peer_restart(s.o.peer, &(struct rtc_remote){.ufrag = "again"}, &answer);
    assert_string_not_equal(answer.ufrag, s.r.peer.ufrag);
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.r.answer.success);
    s.r.peer = answer;
    snprintf(s.r.ufrag, sizeof s.r.ufrag, "again");
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.r.answer.success);
    send_rtp(s.o.peer, 1, (const size_t[]){100}, 1);
    TURN_REMOTE_UNTIL(&x, &s, s.r.rtp == 1);
    end_session(&s);
    rtc_close(&x);
}

/* ---- attacks ---- */

static void test_another_certificate_than_announced(void **state)
{
    struct rtc_fixture x;
    struct session s;
    rtc_open(&x);
    begin_session(&x, &s, true, true);
    dtls_free(&s.r.dtls); /* who has the credentials, but not the key */
    dtls_identity_unref(&s.r.identity);
    s.r.identity = dtls_identity_new();
    struct net_address to = s.r.to;
    struct rtc_local answer = s.r.peer;
    remote_answered(&s.r, &answer, &to);
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.o.closed == 1);
    assert_int_equal(s.o.connected, 0);
    assert_int_equal(s.o.why, CLOSE_AUTH);
    assert_int_equal(x.f.w->metrics.rtc_fingerprint_failed_total, 1);
    end_session(&s);
    rtc_close(&x);
}

/* From an address that has shown no valid check: hellos, media, alerts, checks that are not right,
 * and a captured one.  Nothing is answered, and the victim connects as if nobody were there. */
static void test_nobody_else_is_listened_to(void **state)
{
    struct rtc_fixture x;
    struct session s, thief;
    struct rtc_remote offer;
    struct rtc_local answer;
    uint8_t junk[200];
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    remote_check(&s.r, STUN_NOMINATES);
    TURN_REMOTE_UNTIL(&x, &s, s.r.checked);

    memset(&thief, 0, sizeof thief);
    assert_int_equal(remote_open(&thief.r, x.f.w, x.ports->srtp, dtls_identity_new(), true, &offer),
                     0);
    answer = s.r.peer;
    remote_answered(&thief.r, &answer, &s.r.to);
    thief.r.error = dtls_start(thief.r.dtls, &thief.r.why);
    static const uint8_t firsts[] = {4, 19, 21, 22, 63, 64, 127, 128, 144, 191, 192, 255};
    for (size_t i = 0; i < COUNT_OF(firsts); i++) {
        crypto_random(junk, sizeof junk);
        junk[0] = firsts[i];
        remote_send(&thief.r, slice_of(junk, sizeof junk));
    }
    remote_check(&thief.r, 0); /* another user name than the offer's */
    snprintf(thief.r.ufrag, sizeof thief.r.ufrag, "%s", s.r.ufrag);
    remote_check(&thief.r, STUN_NO_INTEGRITY);
    thief.r.peer.pwd[3] ^= 1;
    remote_check(&thief.r, STUN_NOMINATES);
    remote_send(&thief.r, slice_of(junk, 0));

    TURN_REMOTE_UNTIL(&x, &s, s.o.connected == 1 && s.r.sealer != NULL);
    TURN_REMOTE_UNTIL(&x, &s, x.f.w->metrics.rtc_checks_dropped_total == 3);
    assert_int_equal(thief.r.datagrams, 0);
    assert_int_equal(x.f.w->metrics.rtc_moves_total, 0);
    assert_int_equal(x.f.w->metrics.rtc_strays_total, COUNT_OF(firsts) + 2);
    remote_close(&thief.r);
    end_session(&s);
    rtc_close(&x);
}

static void test_media_that_is_not_authentic(void **state)
{
    struct rtc_fixture x;
    struct session s;
    uint8_t packet[300];
    rtc_open(&x);
    begin_session(&x, &s, true, true);
    connect_session(&x, &s);
    for (int i = 0; i < 20; i++) {
        crypto_random(packet, sizeof packet);
        make_rtp(packet, (uint16_t)i, 0, 20);
        crypto_random(packet + 12, sizeof packet - 12);
        packet[1] = i % 2 == 0 ? 96 : 200;
        remote_send(&s.r, slice_of(packet, 15 * (size_t)i));
    }
    TURN_REMOTE_UNTIL(&x, &s, x.f.w->metrics.rtc_auth_failed_total == 19);
    assert_int_equal(s.o.rtp + s.o.rtcp, 0);
    remote_send_rtp(&s.r, packet, make_rtp(packet, 40, 0, 20));
    TURN_REMOTE_UNTIL(&x, &s, s.o.rtp == 1);
    end_session(&s);
    rtc_close(&x);
}

static void test_peers_that_are_not_connected_are_limited(void **state)
{
    static struct owner owners[RTC_HALF_OPEN_MAX + 1];
    struct rtc_remote offer = {.ufrag = "abcd", .fingerprint_count = 1};
    struct net_address client, other;
    struct rtc_fixture x;
    rtc_open_with(&x, (struct rtc_ports_options){
                          .listen = "127.0.0.1:0", .tcp_listen = "", .half_open_per_address = 2});
    assert_int_equal(net_address_parse("192.0.2.1:5", &client), 0);
    assert_int_equal(net_address_parse("192.0.2.2:5", &other), 0);
    struct rtc_peer_options o = {
        .remote = &offer, .client = &client, .handler = &owner_handler, .owner = owners};
    struct rtc_peer *p[4];
    assert_int_equal(rtc_peer_open(&p[0], x.port, &o), 0);
    assert_int_equal(rtc_peer_open(&p[1], x.port, &o), 0);
    assert_int_equal(rtc_peer_open(&p[2], x.port, &o), ERR_TOO_MANY);
    rtc_peer_close(&p[1], CLOSE_FINISHED);
    assert_int_equal(rtc_peer_open(&p[1], x.port, &o), 0);
    o.client = &other;
    assert_int_equal(rtc_peer_open(&p[3], x.port, &o), 0);
    for (int i = 0; i < 4; i++)
        if (i != 2)
            rtc_peer_close(&p[i], CLOSE_FINISHED);
    memset(owners, 0, sizeof owners);
    for (int i = 0; i < RTC_HALF_OPEN_MAX; i++)
        assert_int_equal(open_peer(&x, &owners[i], &offer, false), 0);
    assert_int_equal(open_peer(&x, &owners[RTC_HALF_OPEN_MAX], &offer, false), ERR_TOO_MANY);
    assert_int_equal(x.f.w->metrics.rtc_refused_total, 2);
    for (int i = 0; i < RTC_HALF_OPEN_MAX; i++)
        rtc_peer_close(&owners[i].peer, CLOSE_FINISHED);
    rtc_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_from_offer_to_goodbye),
        cmocka_unit_test(test_what_follows_itself_is_segmented),
        cmocka_unit_test(test_losses_delay_a_session_and_no_more),
        cmocka_unit_test(test_the_owner_may_close_in_any_call),
        cmocka_unit_test(test_many_join_at_once),
        cmocka_unit_test(test_nobody_comes),
        cmocka_unit_test(test_no_handshake_comes),
        cmocka_unit_test(test_consent_is_renewed_by_checks_and_media),
        cmocka_unit_test(test_the_memory_of_the_handshake_is_given_back),
        cmocka_unit_test(test_media_on_the_heels_of_the_handshake),
        cmocka_unit_test(test_media_of_a_handshake_that_does_not_end),
        cmocka_unit_test(test_goodbye_of_the_remote),
        cmocka_unit_test(test_goodbye_of_the_remote_after_release),
        cmocka_unit_test(test_a_remote_that_moves),
        cmocka_unit_test(test_a_restart),
        cmocka_unit_test(test_another_certificate_than_announced),
        cmocka_unit_test(test_nobody_else_is_listened_to),
        cmocka_unit_test(test_media_that_is_not_authentic),
        cmocka_unit_test(test_peers_that_are_not_connected_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
