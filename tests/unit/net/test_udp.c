#include "net/net_test.h"

#include "base/err.h"
#include "net/udp.h"

#include <stdio.h>

#define GROUP_V4 "239.255.77.201"
#define GROUP_V6 "[ff15::7799]"

/* What a socket has got. */
struct got {
    struct udp *udp;
    int count;
    char last[64];
    struct net_address from;
    bool close; /* in the handler */
};

static void on_datagram(struct udp *u, const struct net_address *from, struct slice datagram,
                        void *owner)
{
    struct got *g = owner;
    assert_ptr_equal(g->udp, u);
    g->count++;
    g->from = *from;
    slice_copy(datagram, g->last, sizeof g->last);
    if (g->close)
        udp_close(&g->udp);
}

static void open_at(struct net_fixture *f, struct got *g, const char *bind, bool shared)
{
    struct udp_options o = {.shared = shared, .on_datagram = on_datagram, .owner = g};
    memset(g, 0, sizeof *g);
    assert_int_equal(net_address_parse(bind, &o.bind), 0);
    assert_int_equal(udp_open(&g->udp, f->w, &o), 0);
}

/* The address under which a socket bound to all is reached on this host. */
static struct net_address reach(const struct got *g, const char *host)
{
    struct net_address bound, a;
    udp_address(g->udp, &bound);
    assert_int_equal(net_address_parse(host, &a), 0);
    net_address_set_port(&a, net_address_port(&bound));
    return a;
}

static void test_unicast(void **state)
{
    static const struct {
        const char *bind, *host;
    } cases[] = {{"127.0.0.1:0", "127.0.0.1:0"},
                 {"0.0.0.0:0", "127.0.0.1:0"},
                 {"[::]:0", "127.0.0.1:0"}, /* IPv4 stays IPv4 to the caller */
                 {"[::]:0", "[::1]:0"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_fixture f;
        struct got a, b;
        char from[NET_ADDRESS_TEXT_MAX], want[NET_ADDRESS_TEXT_MAX];
        fixture_open(&f);
        open_at(&f, &a, cases[i].bind, false);
        open_at(&f, &b, cases[i].bind, false);
        struct net_address to = reach(&b, cases[i].host), back = reach(&a, cases[i].host);
        assert_int_equal(udp_send(a.udp, &to, slice_text("hello")), 0);
        TURN_UNTIL(&f, b.count == 1);
        assert_string_equal(b.last, "hello");
        net_address_text(&b.from, from);
        net_address_text(&back, want);
        assert_string_equal(from, want);
        udp_close(&a.udp);
        udp_close(&b.udp);
        fixture_close(&f);
    }
}

static void test_many_and_too_long(void **state)
{
    struct net_fixture f;
    struct got a, b;
    static const uint8_t long_one[UDP_DATAGRAM_MAX + 1];
    fixture_open(&f);
    open_at(&f, &a, "127.0.0.1:0", false);
    open_at(&f, &b, "127.0.0.1:0", false);
    struct net_address to = reach(&b, "127.0.0.1:0");
    assert_int_equal(udp_send(a.udp, &to, slice_of(long_one, sizeof long_one)), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(udp_send(a.udp, &to, slice_text("x")), 0);
    TURN_UNTIL(&f, b.count == 100);
    assert_string_equal(b.last, "x");
    udp_close(&a.udp);
    udp_close(&b.udp);
    fixture_close(&f);
}

static void test_closed_by_its_handler(void **state)
{
    struct net_fixture f;
    struct got a, b;
    fixture_open(&f);
    open_at(&f, &a, "127.0.0.1:0", false);
    open_at(&f, &b, "127.0.0.1:0", false);
    struct net_address to = reach(&b, "127.0.0.1:0");
    b.close = true;
    for (int i = 0; i < 3; i++)
        udp_send(a.udp, &to, slice_text("x"));
    TURN_UNTIL(&f, b.count == 1);
    for (int i = 0; i < 5; i++)
        fixture_turn(&f);
    assert_int_equal(b.count, 1);
    assert_null(b.udp);
    udp_close(&a.udp);
    fixture_close(&f);
}

static void test_port_taken(void **state)
{
    struct net_fixture f;
    struct got a;
    fixture_open(&f);
    open_at(&f, &a, "127.0.0.1:0", false);
    struct udp *u = NULL;
    struct udp_options o = {.on_datagram = on_datagram, .owner = &a};
    udp_address(a.udp, &o.bind);
    assert_int_equal(udp_open(&u, f.w, &o), ERR_IO);
    assert_int_equal(errno, EADDRINUSE);
    assert_false(udp_is_away(errno));
    assert_null(u);
    udp_close(&a.udp);
    fixture_close(&f);
}

/* Two members on one host both hear what a third sends; the source is the sender's own. */
static void test_group(void **state)
{
    static const char *const groups[] = {GROUP_V4, GROUP_V6};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        struct net_fixture f;
        struct got port, members[2], sender;
        char text[64];
        bool v6 = groups[i][0] == '[';
        fixture_open(&f);
        open_at(&f, &port, v6 ? "[::]:0" : "0.0.0.0:0", false); /* a free number */
        struct net_address any = reach(&port, v6 ? "[::1]:0" : "127.0.0.1:0"), group;
        snprintf(text, sizeof text, "%s:%u", groups[i], net_address_port(&any));
        udp_close(&port.udp);
        assert_int_equal(net_address_parse(text, &group), 0);
        for (int m = 0; m < 2; m++) {
            open_at(&f, &members[m], text, true);
            assert_int_equal(udp_join(members[m].udp, &group, "lo"), 0);
            assert_int_equal(udp_join(members[m].udp, &group, "lo"), 0); /* once more */
        }
        open_at(&f, &sender, v6 ? "[::]:0" : "0.0.0.0:0", false);
        assert_int_equal(udp_send_by(sender.udp, &group, "lo", 1), 0);
        int err = udp_send(sender.udp, &group, slice_text("to all"));
        /* Loopback has no route for groups of IPv6, unless somebody made one. */
        assert_true(err == 0 || (v6 && udp_is_away(errno)));
        struct net_address own;
        udp_address(sender.udp, &own);
        if (err == 0) {
            TURN_UNTIL(&f, members[0].count == 1 && members[1].count == 1);
            assert_int_equal(net_address_port(&members[0].from), net_address_port(&own));
        }
        for (int m = 0; m < 2; m++)
            udp_close(&members[m].udp);
        udp_close(&sender.udp);
        fixture_close(&f);
    }
}

static void test_no_such_interface(void **state)
{
    struct net_fixture f;
    struct got a;
    struct net_address group, route;
    fixture_open(&f);
    open_at(&f, &a, "0.0.0.0:0", false);
    assert_int_equal(net_address_parse(GROUP_V4 ":7946", &group), 0);
    assert_int_equal(udp_join(a.udp, &group, "none0"), ERR_IO);
    assert_true(udp_is_away(errno));
    assert_int_equal(udp_send_by(a.udp, &group, "none0", 1), ERR_IO);
    assert_true(udp_is_away(errno));
    assert_int_equal(udp_route(&group, "none0", &route), ERR_IO);
    udp_close(&a.udp);
    fixture_close(&f);
}

static void test_route(void **state)
{
    static const struct {
        const char *to, *interface, *from;
    } cases[] = {{"127.0.0.1:7", "", "127.0.0.1:0"},
                 {"[::1]:7", "", "[::1]:0"},
                 {GROUP_V4 ":7946", "lo", "127.0.0.1:0"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_address to, from;
        char text[NET_ADDRESS_TEXT_MAX];
        assert_int_equal(net_address_parse(cases[i].to, &to), 0);
        assert_int_equal(udp_route(&to, cases[i].interface, &from), 0);
        net_address_text(&from, text);
        assert_string_equal(text, cases[i].from);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unicast),
        cmocka_unit_test(test_many_and_too_long),
        cmocka_unit_test(test_closed_by_its_handler),
        cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_no_such_interface),
        cmocka_unit_test(test_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
