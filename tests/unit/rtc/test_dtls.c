#include "test.h"

#include "base/err.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "rtc/dtls.h"
#include "tools/rtc_remote.h"

#include <stdio.h>
#include <string.h>

#define QUEUE_MAX    64
#define DATAGRAM_MAX 1500
#define GIVE_UP_US   20000000

/* Datagrams on their way to one end. */
struct queue {
    uint8_t bytes[QUEUE_MAX][DATAGRAM_MAX];
    size_t len[QUEUE_MAX];
    int count;
};

struct end {
    struct dtls_identity *identity;
    struct dtls *d;
    struct queue *out; /* to the other end */
    int sent;
    bool (*loses)(int number); /* of what this end sends */
    int error;
    const char *why;
};

struct pair {
    struct queue to_server, to_client;
    struct end server, client;
    bool reorders, doubles;
};

static void send_to(struct slice datagram, void *owner)
{
    struct end *e = owner;
    struct queue *q = e->out;
    assert_true(datagram.len <= DTLS_MTU && datagram.len > 0);
    if (e->loses != NULL && e->loses(e->sent++))
        return;
    assert_true(q->count < QUEUE_MAX);
    memcpy(q->bytes[q->count], datagram.p, datagram.len);
    q->len[q->count++] = datagram.len;
}

static void open_end(struct end *e, bool client, const struct rtc_fingerprint *of_other,
                     struct queue *out)
{
    e->out = out;
    e->d = dtls_new(&(struct dtls_options){.identity = e->identity,
                                           .client = client,
                                           .fingerprints = of_other,
                                           .fingerprint_count = 1,
                                           .send = send_to,
                                           .owner = e});
}

static void open_pair(struct pair *p, bool impostor)
{
    memset(p, 0, sizeof *p);
    p->server.identity = dtls_identity_new();
    p->client.identity = dtls_identity_new();
    assert_non_null(p->server.identity);
    struct rtc_fingerprint server =
        remote_fingerprint(dtls_identity_fingerprint(p->server.identity));
    struct rtc_fingerprint client =
        remote_fingerprint(dtls_identity_fingerprint(p->client.identity));
    client.bytes[31] ^= impostor;
    open_end(&p->server, false, &client, &p->to_client);
    open_end(&p->client, true, &server, &p->to_server);
}

static void close_end(struct end *e)
{
    dtls_free(&e->d);
    dtls_identity_unref(&e->identity);
}

static void close_pair(struct pair *p)
{
    close_end(&p->server);
    close_end(&p->client);
}

static void receive(struct end *e, const uint8_t *bytes, size_t len)
{
    if (e->error == 0)
        e->error = dtls_receive(e->d, slice_of(bytes, len), &e->why);
}

/* What lies in the queue when this begins arrives, in the order that the pair has. */
static void deliver(const struct pair *p, struct queue *q, struct end *to)
{
    static struct queue now;
    now = *q;
    q->count = 0;
    for (int i = 0; i < now.count; i++) {
        int k = p->reorders ? now.count - 1 - i : i;
        receive(to, now.bytes[k], now.len[k]);
        if (p->doubles)
            receive(to, now.bytes[k], now.len[k]);
    }
}

static void on_time(struct end *e)
{
    if (e->error == 0 && dtls_next_us(e->d) == 0)
        e->error = dtls_on_time(e->d, &e->why);
}

static bool is_over(const struct end *e)
{
    return e->error != 0 || dtls_is_connected(e->d);
}

static void run(struct pair *p)
{
    int64_t give_up_us = clock_us() + GIVE_UP_US;
    p->client.error = dtls_start(p->client.d, &p->client.why);
    while (!is_over(&p->server) || !is_over(&p->client)) {
        assert_true(clock_us() < give_up_us);
        deliver(p, &p->to_server, &p->server);
        deliver(p, &p->to_client, &p->client);
        on_time(&p->server);
        on_time(&p->client);
    }
}

static void expect_keys(const struct pair *p)
{
    struct srtp_keys s, c;
    static const struct srtp_secret nothing;
    assert_int_equal(p->server.error, 0);
    assert_int_equal(p->client.error, 0);
    dtls_keys(p->server.d, &s);
    dtls_keys(p->client.d, &c);
    assert_int_equal(s.profile, SRTP_AEAD_AES_128_GCM);
    assert_int_equal(c.profile, s.profile);
    assert_memory_equal(&s.local, &c.remote, sizeof s.local);
    assert_memory_equal(&s.remote, &c.local, sizeof s.local);
    assert_memory_not_equal(&s.local, &s.remote, sizeof s.local);
    assert_memory_not_equal(&s.local, &nothing, sizeof s.local);
}

/* ---- the handshake ---- */

static bool first_of_each(int number)
{
    return number == 0;
}

static bool every_other(int number)
{
    return number % 2 == 0;
}

static bool the_last_flight(int number)
{
    return number == 2;
}

static bool two_of_three(int number)
{
    return number % 3 != 2;
}

static void test_handshakes_on_all_kinds_of_networks(void **state)
{
    static const struct {
        const char *what;
        bool (*server_loses)(int), (*client_loses)(int);
        bool reorders, doubles;
    } cases[] = {
        {"a good one", NULL, NULL, false, false},
        {"what comes, comes backwards", NULL, NULL, true, false},
        {"everything comes twice", NULL, NULL, false, true},
        {"twice and backwards", NULL, NULL, true, true},
        {"the hello is lost", NULL, first_of_each, false, false},
        {"the first answer is lost", first_of_each, NULL, false, false},
        {"the end is lost", the_last_flight, NULL, false, false},
        {"every other datagram is lost", every_other, every_other, false, false},
        {"two of three are lost, and the rest twice", two_of_three, NULL, true, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pair p;
        open_pair(&p, false);
        p.server.loses = cases[i].server_loses;
        p.client.loses = cases[i].client_loses;
        p.reorders = cases[i].reorders;
        p.doubles = cases[i].doubles;
        run(&p);
        expect_keys(&p);
        close_pair(&p);
    }
}

static void test_another_certificate_than_announced(void **state)
{
    struct pair p;
    open_pair(&p, true);
    run(&p);
    assert_int_equal(p.server.error, ERR_AUTH);
    assert_string_equal(p.server.why, "another certificate than announced");
    assert_false(dtls_is_connected(p.server.d));
    assert_int_equal(p.client.error, ERR_TLS); /* and is told */
    close_pair(&p);
}

static void test_one_of_several_fingerprints_is_enough(void **state)
{
    struct pair p;
    struct rtc_fingerprint f[3] = {{.hash = RTC_SHA512}, {.hash = RTC_SHA256}};
    open_pair(&p, true);
    dtls_free(&p.server.d);
    f[2] = remote_fingerprint(dtls_identity_fingerprint(p.client.identity));
    p.server.d = dtls_new(&(struct dtls_options){.identity = p.server.identity,
                                                 .fingerprints = f,
                                                 .fingerprint_count = 3,
                                                 .send = send_to,
                                                 .owner = &p.server});
    run(&p);
    expect_keys(&p);
    close_pair(&p);
}

/* Any datagram of a handshake may arrive damaged: it is as if it were lost, or an end; there is
 * never a connection with other keys. */
static void test_damaged_datagrams(void **state)
{
    for (size_t at = 0; at < 300; at += 7) {
        struct pair p;
        open_pair(&p, false);
        p.client.error = dtls_start(p.client.d, &p.client.why);
        struct queue *q = at % 2 == 0 ? &p.to_server : &p.to_client;
        for (int turn = 0; turn < 20 && !(is_over(&p.server) && is_over(&p.client)); turn++) {
            if (turn % 3 == 0 && q->count > 0 && at < q->len[0])
                q->bytes[0][at] ^= 0x10;
            deliver(&p, &p.to_server, &p.server);
            deliver(&p, &p.to_client, &p.client);
        }
        if (dtls_is_connected(p.server.d) && dtls_is_connected(p.client.d) && p.server.error == 0 &&
            p.client.error == 0)
            expect_keys(&p);
        close_pair(&p);
    }
}

static void test_what_is_no_handshake_is_dropped(void **state)
{
    struct pair p;
    uint8_t junk[1200];
    open_pair(&p, false);
    for (size_t len = 0; len < sizeof junk; len += 37) {
        crypto_random(junk, sizeof junk);
        junk[0] = (uint8_t)(20 + len % 44);
        receive(&p.server, junk, len);
        assert_int_equal(p.server.error, 0);
    }
    run(&p);
    expect_keys(&p);
    close_pair(&p);
}

/* ---- the end ---- */

static void test_goodbye(void **state)
{
    struct pair p;
    open_pair(&p, false);
    run(&p);
    deliver(&p, &p.to_client, &p.client);
    dtls_close(p.server.d);
    deliver(&p, &p.to_client, &p.client);
    assert_int_equal(p.client.error, ERR_CLOSED);
    close_pair(&p);
}

/* The goodbye that was made early is good later; nothing else comes from a released one. */
static void test_goodbye_after_release(void **state)
{
    struct pair p;
    uint8_t goodbye[DTLS_GOODBYE_MAX];
    open_pair(&p, false);
    run(&p);
    deliver(&p, &p.to_client, &p.client);
    size_t len = dtls_release(p.server.d, goodbye);
    assert_in_range(len, 1, sizeof goodbye);
    assert_int_equal(p.to_client.count, 0);
    assert_int_equal(dtls_next_us(p.server.d), INT64_MAX);
    dtls_close(p.client.d);
    deliver(&p, &p.to_server, &p.server);
    dtls_close(p.server.d);
    assert_int_equal(p.server.error, 0);
    assert_int_equal(p.to_client.count, 0);
    receive(&p.client, goodbye, len);
    assert_int_equal(p.client.error, ERR_CLOSED);
    close_pair(&p);
}

/* A renewed identity does not disturb those that began with the old one. */
static void test_an_identity_lives_as_long_as_it_is_used(void **state)
{
    struct pair p;
    open_pair(&p, false);
    dtls_identity_unref(&p.server.identity);
    p.server.identity = dtls_identity_new();
    run(&p);
    expect_keys(&p);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshakes_on_all_kinds_of_networks),
        cmocka_unit_test(test_another_certificate_than_announced),
        cmocka_unit_test(test_one_of_several_fingerprints_is_enough),
        cmocka_unit_test(test_damaged_datagrams),
        cmocka_unit_test(test_what_is_no_handshake_is_dropped),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_goodbye_after_release),
        cmocka_unit_test(test_an_identity_lives_as_long_as_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
