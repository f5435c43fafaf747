/* Where a node's ports are, and what it says of them. */
#include "rtc/rtc_test.h"

#include <stdio.h>

struct bed {
    struct config config;
    struct workers g;
    struct rtc_ports *ports;
};

static int open_bed(struct bed *b, int workers, struct rtc_ports_options o)
{
    memset(b, 0, sizeof *b);
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    assert_int_equal(workers_init(&b->g, &b->config, workers), 0);
    o.trusted = &no_addresses;
    if (o.public_addresses == NULL)
        o.public_addresses = &no_addresses;
    if (o.advertise == NULL)
        o.advertise = "";
    if (o.tcp_listen == NULL)
        o.tcp_listen = "";
    return rtc_ports_open(&b->ports, &b->g, &o);
}

static void close_bed(struct bed *b)
{
    rtc_ports_free(&b->ports);
    workers_fini(&b->g);
}

static uint16_t port_of(const struct bed *b, int worker)
{
    struct net_address a = port_address(rtc_port_of(b->ports, &b->g.workers[worker]));
    return net_address_port(&a);
}

/* Worker n at port + n; somebody else's port is not taken. */
static void test_a_port_for_each_worker(void **state)
{
    struct bed b;
    char listen[32];
    for (unsigned base = 20000;; base += 97) {
        assert_true(base < 60000);
        snprintf(listen, sizeof listen, "127.0.0.1:%u", base);
        if (open_bed(&b, 3, (struct rtc_ports_options){.listen = listen, .tcp_listen = listen}) ==
            0) {
            for (int i = 0; i < 3; i++) {
                assert_int_equal(port_of(&b, i), base + (unsigned)i);
                assert_int_equal(b.ports->ports[i].tcp_port, base + (unsigned)i);
            }
            break;
        }
        close_bed(&b);
    }
    close_bed(&b);
    struct net_address taken;
    assert_int_equal(net_address_parse(listen, &taken), 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&taken.sa, taken.len), 0);
    assert_int_equal(open_bed(&b, 1, (struct rtc_ports_options){.listen = listen}), ERR_IO);
    assert_null(b.ports);
    close_bed(&b);
    close(fd);
    assert_int_equal(open_bed(&b, 2, (struct rtc_ports_options){.listen = "127.0.0.1:65535"}),
                     ERR_RANGE);
    close_bed(&b);
    assert_int_equal(open_bed(&b, 2, (struct rtc_ports_options){.listen = "127.0.0.1:0"}), 0);
    assert_int_not_equal(port_of(&b, 0), port_of(&b, 1));
    close_bed(&b);
}

/* want: with %u in the place of the port; NULL: none. */
static void expect_candidate(const struct rtc_port *port, const char *want, const char *have)
{
    char text[RTC_CANDIDATE_TEXT_MAX];
    const char *number = want != NULL ? strstr(want, "%u") : NULL;
    if (number == NULL) {
        fail_msg("%s", have);
        return;
    }
    snprintf(text, sizeof text, "%.*s%u%s", (int)(number - want), want,
             strstr(want, "tcp") != NULL ? port->tcp_port : port->udp_port, number + 2);
    assert_string_equal(have, text);
}

static void test_candidates(void **state)
{
    static char v4[] = "203.0.113.7", v6[] = "2001:db8::7";
    char *lists[][3] = {{v4, v6, v4}, {v4}};
    static const struct {
        const char *listen, *tcp, *advertise;
        int list, of_list;
        const char *want[4]; /* %u: the port */
    } cases[] = {
        {"127.0.0.1:0", "", "", 0, 0, {"1 1 udp 2130706431 127.0.0.1 %u typ host"}},
        {"[::1]:0", "", "", 0, 0, {"1 1 udp 2130706431 ::1 %u typ host"}},
        {"0.0.0.0:0", "", "192.0.2.9", 0, 0, {"1 1 udp 2130706431 192.0.2.9 %u typ host"}},
        {"127.0.0.1:0", "", "192.0.2.9", 0, 0, {"1 1 udp 2130706431 127.0.0.1 %u typ host"}},
        {"127.0.0.1:0",
         "",
         "192.0.2.9",
         0,
         3,
         {"1 1 udp 2130706431 203.0.113.7 %u typ host",
          "2 1 udp 2130706175 2001:db8::7 %u typ host"}},
        {"127.0.0.1:0",
         "127.0.0.1:0",
         "",
         1,
         1,
         {"1 1 udp 2130706431 203.0.113.7 %u typ host",
          "9 1 tcp 1671430143 203.0.113.7 %u typ host tcptype passive"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bed b;
        struct rtc_local local;
        struct text_list list = {lists[cases[i].list], (size_t)cases[i].of_list};
        assert_int_equal(open_bed(&b, 1,
                                  (struct rtc_ports_options){.listen = cases[i].listen,
                                                             .tcp_listen = cases[i].tcp,
                                                             .advertise = cases[i].advertise,
                                                             .public_addresses = &list}),
                         0);
        const struct rtc_port *port = &b.ports->ports[0];
        rtc_candidates_write(port, &local);
        for (size_t k = 0; k < local.candidate_count; k++)
            expect_candidate(port, cases[i].want[k], local.candidates[k]);
        assert_true(local.candidate_count == 4 || cases[i].want[local.candidate_count] == NULL);
        close_bed(&b);
    }
}

/* A socket that is bound to everything says what the machine has, and never nothing. */
static void test_candidates_of_all_addresses(void **state)
{
    struct bed b;
    struct rtc_local local;
    assert_int_equal(open_bed(&b, 1, (struct rtc_ports_options){.listen = ":0"}), 0);
    rtc_candidates_write(&b.ports->ports[0], &local);
    assert_in_range(local.candidate_count, 1, RTC_ADDRESSES_MAX);
    for (size_t i = 0; i < local.candidate_count; i++) {
        assert_null(strstr(local.candidates[i], " 0.0.0.0 "));
        assert_null(strstr(local.candidates[i], " fe80:"));
    }
    close_bed(&b);
}

/* Peers go on with the certificate that their answer named. */
static void test_certificates_are_renewed(void **state)
{
    struct rtc_fixture x;
    struct session s;
    struct rtc_local before, after;
    rtc_open(&x);
    begin_session(&x, &s, true, false);
    rtc_peer_local(s.o.peer, &before);
    x.port->renewal.on_time(x.port->renewal.arg);
    rtc_peer_local(s.o.peer, &after);
    assert_string_equal(after.fingerprint, before.fingerprint);
    assert_string_not_equal(dtls_identity_fingerprint(x.port->identity), before.fingerprint);
    connect_session(&x, &s);
    end_session(&s);
    rtc_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_port_for_each_worker),
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_candidates_of_all_addresses),
        cmocka_unit_test(test_certificates_are_renewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
