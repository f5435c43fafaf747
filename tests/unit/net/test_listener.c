#include "test.h"

#include "base/err.h"
#include "net/admission.h"
#include "net/listener.h"
#include "net_test.h"

#include <sys/resource.h>

/* One worker turned by the test. */

struct door {
    struct net_fixture f;
    struct listener_set *set;
    struct io *accepted[16];
    int count;
    char got[64];
    int events[IO_FAILED + 1];
};

static void on_io(struct io *io, enum io_event ev, void *arg)
{
    struct door *d = arg;
    d->events[ev]++;
    if (ev == IO_DATA) {
        struct slice in = io_data(io);
        assert_true(slice_copy(in, d->got, sizeof d->got));
        io_consume(io, in.len);
    } else if (ev == IO_CLOSED) {
        io_close(io);
    }
}

static void on_accept(struct worker *w, struct io *io, void *arg)
{
    struct door *d = arg;
    d->accepted[d->count++] = io;
    io_set_handler(io, on_io, d);
}

static void door_open(struct door *d, bool proxy, bool essential)
{
    const struct listener_options o = {.name = "test",
                                       .address = "127.0.0.1:0",
                                       .proxy_protocol = proxy,
                                       .essential = essential,
                                       .on_accept = on_accept,
                                       .arg = d};
    assert_int_equal(listeners_open(&d->set, &d->f.group, &o), 0);
    assert_true(listeners_port(d->set) > 0);
}

static int door_dial(struct door *d)
{
    return tcp_connect(listeners_port(d->set));
}

static int setup(void **state)
{
    struct door *d = xcalloc(1, sizeof *d);
    fixture_open(&d->f);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct door *d = *state;
    listeners_free(&d->set);
    for (int i = 0; i < d->count; i++)
        io_free(&d->accepted[i]);
    fixture_close(&d->f);
    free(d);
    return 0;
}

/* True when the other side has closed fd. */
static bool is_cut(struct door *d, int fd)
{
    char byte;
    fixture_turn(&d->f);
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void connections_are_handed_over(void **state)
{
    struct door *d = *state;
    char text[NET_ADDRESS_TEXT_MAX], want[NET_ADDRESS_TEXT_MAX];
    door_open(d, false, false);
    listeners_address_text(d->set, text);
    snprintf(want, sizeof want, "127.0.0.1:%u", listeners_port(d->set));
    assert_string_equal(text, want);
    int fd = door_dial(d);
    TURN_UNTIL(&d->f, d->count == 1);
    assert_true(net_address_is_loopback(io_peer(d->accepted[0])));
    send_text(fd, "hi");
    TURN_UNTIL(&d->f, d->events[IO_DATA] == 1);
    assert_string_equal(d->got, "hi");
    assert_int_equal(METRIC_GET(d->f.w->metrics.connections_total), 1);
    listener_established(d->accepted[0]); /* loopback is not counted, and that is fine */
    close(fd);
}

static void a_port_in_use_is_refused(void **state)
{
    struct door *d = *state;
    struct listener_set *second = NULL;
    char address[32];
    door_open(d, false, false);
    snprintf(address, sizeof address, "127.0.0.1:%u", listeners_port(d->set));
    const struct listener_options o = {
        .name = "second", .address = address, .on_accept = on_accept};
    assert_int_equal(listeners_open(&second, &d->f.group, &o), ERR_IO);
    assert_null(second);
}

static void all_addresses_means_both_families(void **state)
{
    struct door *d = *state;
    const struct listener_options o = {
        .name = "all", .address = ":0", .on_accept = on_accept, .arg = d};
    assert_int_equal(listeners_open(&d->set, &d->f.group, &o), 0);
    int fd = door_dial(d);
    TURN_UNTIL(&d->f, d->count == 1);
    assert_int_equal(io_peer(d->accepted[0])->sa.ss_family, AF_INET); /* not in IPv6 clothes */
    close(fd);
}

static void after_closing_nobody_gets_in(void **state)
{
    struct door *d = *state;
    door_open(d, false, false);
    int early = door_dial(d); /* in the backlog, not accepted yet */
    uint16_t port = listeners_port(d->set);
    listeners_close(d->set);
    listeners_close(d->set);
    TURN_UNTIL(&d->f, d->count == 1);
    struct net_address a = loopback(port);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&a.sa, a.len), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(early);
    close(late);
}

static void proxy_header_names_the_peer(void **state)
{
    static const char header[] = "PROXY TCP4 10.1.2.3 10.0.0.1 5555 80\r\nhello";
    struct door *d = *state;
    char text[NET_ADDRESS_TEXT_MAX];
    door_open(d, true, false);
    for (size_t cut = 1; cut <= sizeof header - 1 - strlen("hello"); cut += 3) {
        int fd = door_dial(d), before = d->count;
        memset(d->got, 0, sizeof d->got);
        send_all(fd, header, cut);
        for (int i = 0; i < 5; i++)
            fixture_turn(&d->f);
        send_all(fd, header + cut, sizeof header - 1 - cut);
        TURN_UNTIL(&d->f, d->count == before + 1 && strcmp(d->got, "hello") == 0);
        net_address_text(io_peer(d->accepted[before]), text);
        assert_string_equal(text, "10.1.2.3:5555");
        close(fd);
    }
}

static void without_a_proxy_header_there_is_no_way_in(void **state)
{
    struct door *d = *state;
    door_open(d, true, false);
    int fd = door_dial(d);
    send_text(fd, "GET / HTTP/1.1\r\n\r\n");
    TURN_UNTIL(&d->f, is_cut(d, fd));
    assert_int_equal(d->count, 0);
    assert_int_equal(METRIC_GET(d->f.w->metrics.connections_refused_total), 1);
    close(fd);
    int waiting = door_dial(d); /* freed with the set */
    send_text(waiting, "PROXY");
    TURN_UNTIL(&d->f, METRIC_GET(d->f.w->metrics.connections_total) == 2);
    close(waiting);
}

static void after_closing_nobody_announces_itself(void **state)
{
    struct door *d = *state;
    door_open(d, true, false);
    int fd = door_dial(d);
    TURN_UNTIL(&d->f, METRIC_GET(d->f.w->metrics.connections_open) == 1);
    listeners_close(d->set);
    TURN_UNTIL(&d->f, is_cut(d, fd));
    assert_int_equal(METRIC_GET(d->f.w->metrics.connections_open), 0);
    close(fd);
}

static void the_announced_address_is_counted(void **state)
{
    static const char header[] = "PROXY TCP4 10.1.2.3 10.0.0.1 5555 80\r\n";
    struct door *d = *state;
    int fds[4];
    d->f.config.limits.half_open_per_address = 2;
    door_open(d, true, false);
    for (int i = 0; i < 3; i++) {
        fds[i] = door_dial(d);
        send_text(fds[i], header);
        TURN_UNTIL(&d->f, d->count == i + 1 || is_cut(d, fds[i]));
    }
    assert_int_equal(d->count, 2);
    assert_true(is_cut(d, fds[2]));
    listener_established(d->accepted[0]);
    fds[3] = door_dial(d);
    send_text(fds[3], header);
    TURN_UNTIL(&d->f, d->count == 3);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static void out_of_descriptors_pauses_and_goes_on(void **state)
{
    struct door *d = *state;
    struct rlimit old, tight;
    door_open(d, false, false);
    int fd = door_dial(d), next = dup(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)next; /* no number below it is free */
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int64_t start_us = clock_us();
    for (int i = 0; i < 20; i++)
        fixture_turn(&d->f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(d->count, 0);
    TURN_UNTIL(&d->f, d->count == 1);
    assert_true(clock_us() - start_us >= 90000);
    close(fd);
}

static void few_descriptors_are_kept_for_nodes(void **state)
{
    struct door *d = *state;
    struct rlimit old, tight;
    int spare[64];
    d->f.config.limits.descriptors_reserve = 64;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = 120;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (size_t i = 0; i < COUNT_OF(spare); i++)
        spare[i] = dup(0);
    door_open(d, false, false);
    int fd = door_dial(d);
    TURN_UNTIL(&d->f, is_cut(d, fd));
    assert_int_equal(d->count, 0);
    listeners_free(&d->set);
    close(fd);
    door_open(d, false, true);
    fd = door_dial(d);
    TURN_UNTIL(&d->f, d->count == 1);
    for (size_t i = 0; i < COUNT_OF(spare); i++)
        close(spare[i]);
    close(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* Two workers with their threads. */

struct pair {
    struct config config;
    struct workers group;
    struct listener_set *set;
    struct list ios[2]; /* of struct greeted, by worker */
};

struct greeted {
    struct list node;
    struct io *io;
};

static void on_greeted_io(struct io *io, enum io_event ev, void *arg)
{
    struct greeted *g = arg;
    if (ev != IO_CLOSED && ev != IO_FAILED)
        return;
    list_remove(&g->node);
    io_free(&g->io);
    free(g);
}

static void greet(struct worker *w, struct io *io, void *arg)
{
    struct pair *p = arg;
    struct greeted *g = xcalloc(1, sizeof *g);
    char index = (char)('0' + w->index);
    g->io = io;
    list_append(&p->ios[w->index], &g->node);
    io_set_handler(io, on_greeted_io, g);
    assert_int_equal(io_write(io, &index, 1), 0);
}

static void both_workers_accept(void **state)
{
    enum { CLIENTS = 100 };
    struct pair p = {0};
    int fds[CLIENTS], seen[2] = {0};
    log_setup(LOG_ERROR, false);
    assert_int_equal(workers_init(&p.group, &p.config, 2), 0);
    for (int i = 0; i < 2; i++)
        list_init(&p.ios[i]);
    const struct listener_options o = {
        .name = "two", .address = "127.0.0.1:0", .on_accept = greet, .arg = &p};
    assert_int_equal(listeners_open(&p.set, &p.group, &o), 0);
    assert_int_equal(workers_start(&p.group), 0);
    for (int i = 0; i < CLIENTS; i++) {
        char index = 0;
        fds[i] = tcp_connect(listeners_port(p.set));
        assert_int_equal(recv(fds[i], &index, 1, 0), 1);
        seen[index - '0']++;
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
    for (int i = 0; i < CLIENTS / 2; i++)
        close(fds[i]);
    listeners_close(p.set);
    workers_stop(&p.group);
    for (int i = CLIENTS / 2; i < CLIENTS; i++)
        close(fds[i]);
    listeners_free(&p.set);
    for (int i = 0; i < 2; i++) {
        struct greeted *g, *tmp;
        LIST_EACH_SAFE (g, tmp, &p.ios[i], node) {
            list_remove(&g->node);
            io_free(&g->io);
            free(g);
        }
    }
    workers_fini(&p.group);
}

/* Limits. */

static struct net_address address(const char *text)
{
    struct net_address a;
    assert_int_equal(net_address_parse(text, &a), 0);
    return a;
}

static void limits_per_address(void **state)
{
    struct text_list none = {0};
    struct admission *a = admission_new(2, 3, &none, NULL);
    struct net_address peer = address("10.0.0.1:1"), other = address("10.0.0.2:1");
    struct admission_count c[4], o;
    assert_true(admission_enter(a, &peer, &c[0]));
    assert_true(admission_enter(a, &peer, &c[1]));
    assert_false(admission_enter(a, &peer, &c[2])); /* two are half open */
    assert_true(admission_enter(a, &other, &o));
    admission_established(a, &c[0]);
    admission_established(a, &c[0]);
    assert_true(admission_enter(a, &peer, &c[2]));
    admission_established(a, &c[1]);
    assert_false(admission_enter(a, &peer, &c[3])); /* three are open */
    admission_leave(a, &c[0]);
    assert_true(admission_enter(a, &peer, &c[3]));
    assert_int_equal(admission_addresses(a), 2);
    for (int i = 1; i < 4; i++)
        admission_leave(a, &c[i]);
    admission_leave(a, &o);
    assert_int_equal(admission_addresses(a), 0);
    admission_unref(&a);
}

static void who_is_counted(void **state)
{
    static char wide[] = "10.1.0.0/16", one[] = "192.168.7.7", six[] = "2001:db8::/33",
                nonsense[] = "nonsense", too_long[] = "10.0.0.0/33";
    static char *items[] = {wide, one, six, nonsense, too_long};
    static const struct {
        const char *peer;
        bool counted;
    } cases[] = {
        {"10.1.255.255:1", false},  {"10.2.0.0:1", true},           {"192.168.7.7:1", false},
        {"192.168.7.6:1", true},    {"127.0.0.1:1", false},         {"[::1]:1", false},
        {"[2001:db8::5]:1", false}, {"[2001:db8:8000::5]:1", true}, {"[2001:db9::5]:1", true},
    };
    const char *bad = NULL;
    struct text_list trusted = {items, COUNT_OF(items)};
    struct admission *a = admission_new(1, 0, &trusted, &bad);
    assert_string_equal(bad, "nonsense");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_address peer = address(cases[i].peer);
        struct admission_count first, second;
        assert_true(admission_enter(a, &peer, &first));
        assert_int_equal(admission_enter(a, &peer, &second), !cases[i].counted);
        admission_leave(a, &first);
    }
    assert_int_equal(admission_addresses(a), 0);
    admission_unref(&a);
}

static void an_ipv6_network_is_one_address(void **state)
{
    struct text_list none = {0};
    struct admission *a = admission_new(1, 0, &none, NULL);
    struct net_address one = address("[2001:db8::1]:1"), same = address("[2001:db8::ffff:1]:1");
    struct net_address other = address("[2001:db8:0:1::1]:1");
    struct admission_count c, d;
    assert_true(admission_enter(a, &one, &c));
    assert_false(admission_enter(a, &same, &d));
    assert_true(admission_enter(a, &other, &d));
    admission_leave(a, &c);
    admission_leave(a, &d);
    admission_unref(&a);
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOOR_TEST(connections_are_handed_over),
        DOOR_TEST(a_port_in_use_is_refused),
        DOOR_TEST(all_addresses_means_both_families),
        DOOR_TEST(after_closing_nobody_gets_in),
        DOOR_TEST(proxy_header_names_the_peer),
        DOOR_TEST(without_a_proxy_header_there_is_no_way_in),
        DOOR_TEST(after_closing_nobody_announces_itself),
        DOOR_TEST(the_announced_address_is_counted),
        DOOR_TEST(out_of_descriptors_pauses_and_goes_on),
        DOOR_TEST(few_descriptors_are_kept_for_nodes),
        cmocka_unit_test(both_workers_accept),
        cmocka_unit_test(limits_per_address),
        cmocka_unit_test(who_is_counted),
        cmocka_unit_test(an_ipv6_network_is_one_address),
    };
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
