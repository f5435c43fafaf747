#include "net/net_test.h"

#include "core/clock.h"
#include "net/udp.h"
#include "net/udp_batch.h"

#include <errno.h>
#include <stdio.h>

#define GOT_MAX 512

/* What a plain socket on the other side has got. */
struct got {
    struct udp *udp;
    int count;
    size_t len[GOT_MAX];
    uint8_t first[GOT_MAX]; /* byte of each */
    struct net_address from;
};

/* What the batch has got. */
struct batch {
    struct udp_batch *u;
    int count, unsegmented;
    struct udp_way from;
    int64_t arrival_us;
    bool echo;
};

/* sendmmsg refuses so many times, with this error; below, only messages with segments. */
static int refusals, refusal;
static bool refuse_segments_only;
int __real_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    bool plain = m[0].msg_hdr.msg_controllen == 0;
    if (refusals > 0 && !(refuse_segments_only && plain)) {
        refusals--;
        errno = refusal;
        return -1;
    }
    return __real_sendmmsg(fd, m, n, flags);
}

static void on_plain(struct udp *u, const struct net_address *from, struct slice datagram,
                     void *owner)
{
    struct got *g = owner;
    if (g->count < GOT_MAX) {
        g->len[g->count] = datagram.len;
        g->first[g->count] = datagram.len > 0 ? datagram.p[0] : 0;
    }
    g->count++;
    g->from = *from;
}

static void send_one(struct udp_batch *u, const struct udp_way *to, bool segment, uint8_t first,
                     size_t len)
{
    uint8_t *room = udp_batch_room(u, len);
    assert_non_null(room);
    memset(room, first, len);
    udp_batch_put(u, to, segment, len);
}

static void on_datagram(const struct udp_way *from, uint8_t *datagram, size_t len,
                        int64_t arrival_us, void *owner)
{
    struct batch *b = owner;
    b->count++;
    b->from = *from;
    b->arrival_us = arrival_us;
    if (b->echo)
        send_one(b->u, from, true, datagram[0], len);
}

static void on_unsegmented(const struct net_address *remote, void *owner)
{
    ((struct batch *)owner)->unsegmented++;
}

static const struct udp_batch_handler handler = {on_datagram, on_unsegmented};

struct setup {
    struct net_fixture f;
    struct batch b;
    struct got g;
    struct udp_way to; /* the plain socket */
};

static void set_up(struct setup *s, const char *bind, const char *plain)
{
    struct udp_batch_options o = {.buffer_bytes = 1 << 20, .handler = &handler, .owner = &s->b};
    struct udp_options p = {.on_datagram = on_plain, .owner = &s->g};
    memset(s, 0, sizeof *s);
    fixture_open(&s->f);
    assert_int_equal(net_address_parse(bind, &o.bind), 0);
    assert_int_equal(net_address_parse(plain, &p.bind), 0);
    assert_int_equal(udp_batch_open(&s->b.u, s->f.w, &o), 0);
    assert_int_equal(udp_open(&s->g.udp, s->f.w, &p), 0);
    udp_address(s->g.udp, &s->to.remote);
}

static void tear_down(struct setup *s)
{
    udp_batch_close(&s->b.u);
    udp_close(&s->g.udp);
    fixture_close(&s->f);
}

/* What is sent back comes from the address that was written to. */
static void test_answers_come_from_where_they_were_asked(void **state)
{
    static const struct {
        const char *bind, *plain, *to;
    } cases[] = {
        {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.9:0"},
        {"[::]:0", "127.0.0.1:0", "127.0.0.9:0"},
        {"[::]:0", "[::1]:0", "[::1]:0"},
        {"[::1]:0", "[::1]:0", "[::1]:0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct setup s;
        struct net_address bound, to;
        set_up(&s, cases[i].bind, cases[i].plain);
        s.b.echo = true;
        udp_batch_address(s.b.u, &bound);
        assert_int_equal(net_address_parse(cases[i].to, &to), 0);
        net_address_set_port(&to, net_address_port(&bound));
        int64_t before_us = clock_us();
        assert_int_equal(udp_send(s.g.udp, &to, slice_text("hello")), 0);
        TURN_UNTIL(&s.f, s.g.count == 1);
        assert_true(net_address_equal(&s.g.from, &to));
        assert_true(net_address_equal(&s.b.from.remote, &s.to.remote));
        assert_int_equal(s.g.len[0], 5);
        assert_in_range(s.b.arrival_us, before_us - 1000, clock_us());
        assert_int_equal(s.f.w->metrics.rtc_datagrams_in_total, 1);
        tear_down(&s);
    }
}

static void test_neighbours_of_one_size_share_a_message(void **state)
{
    static const struct {
        const char *what;
        size_t len[6];
        int count;
        unsigned messages;
    } cases[] = {
        {"equal", {1200, 1200, 1200, 1200}, 4, 1},
        {"the last one shorter", {1200, 1200, 120}, 3, 1},
        {"nothing after a shorter one", {1200, 1200, 120, 120}, 4, 2},
        {"a longer one begins anew", {120, 1200, 1200}, 3, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct setup s;
        set_up(&s, "127.0.0.1:0", "127.0.0.1:0");
        if (!udp_batch_segments(s.b.u))
            skip();
        for (int k = 0; k < cases[i].count; k++)
            send_one(s.b.u, &s.to, true, (uint8_t)k, cases[i].len[k]);
        TURN_UNTIL(&s.f, s.g.count == cases[i].count);
        for (int k = 0; k < cases[i].count; k++) {
            assert_int_equal(s.g.first[k], k);
            assert_int_equal(s.g.len[k], cases[i].len[k]);
        }
        assert_int_equal(s.f.w->metrics.rtc_messages_out_total, cases[i].messages);
        assert_int_equal(s.f.w->metrics.rtc_datagrams_out_total, cases[i].count);
        tear_down(&s);
    }
}

static void test_messages_are_bounded_and_kept_apart(void **state)
{
    struct setup s;
    set_up(&s, "127.0.0.1:0", "127.0.0.1:0");
    if (!udp_batch_segments(s.b.u))
        skip();
    for (int k = 0; k < UDP_BATCH_SEGMENTS_MAX + 1; k++) /* 40 + 1 */
        send_one(s.b.u, &s.to, true, 1, 500);
    send_one(s.b.u, &s.to, false, 2, 500); /* asked not to */
    struct udp_way other = s.to;
    net_address_set_port(&other.remote, 9); /* somebody else */
    send_one(s.b.u, &other, true, 3, 500);
    send_one(s.b.u, &s.to, true, 4, 500);
    TURN_UNTIL(&s.f, s.g.count == UDP_BATCH_SEGMENTS_MAX + 3);
    assert_int_equal(s.f.w->metrics.rtc_messages_out_total, 5);
    tear_down(&s);
}

/* Nothing needs a flush when the arena is full. */
static void test_more_than_the_arena_holds(void **state)
{
    struct setup s;
    set_up(&s, "127.0.0.1:0", "127.0.0.1:0");
    for (int round = 0; round < 10; round++) {
        for (int k = 0; k < 45; k++)
            send_one(s.b.u, &s.to, k % 2 == 0, (uint8_t)k, 100 + (size_t)(k % 7));
        TURN_UNTIL(&s.f, s.g.count == 45 * (round + 1));
    }
    assert_int_equal(s.f.w->metrics.rtc_send_dropped_total, 0);
    tear_down(&s);
}

static void test_a_way_that_cannot_be_segmented(void **state)
{
    static const int codes[] = {EMSGSIZE, EIO, EINVAL};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct setup s;
        set_up(&s, "127.0.0.1:0", "127.0.0.1:0");
        if (!udp_batch_segments(s.b.u))
            skip();
        refusals = 1;
        refusal = codes[i];
        refuse_segments_only = true;
        for (int k = 0; k < 5; k++)
            send_one(s.b.u, &s.to, true, (uint8_t)k, k < 4 ? 1000 : 10);
        TURN_UNTIL(&s.f, s.g.count == 5);
        assert_int_equal(s.b.unsegmented, 1);
        for (int k = 0; k < 5; k++)
            assert_int_equal(s.g.first[k], k);
        assert_int_equal(s.g.len[4], 10);
        assert_int_equal(s.f.w->metrics.rtc_send_errors_total, 0);
        tear_down(&s);
    }
}

static void test_a_refused_message_does_not_stop_the_others(void **state)
{
    struct setup s;
    set_up(&s, "127.0.0.1:0", "127.0.0.1:0");
    refusals = 1;
    refusal = EPERM;
    refuse_segments_only = false;
    send_one(s.b.u, &s.to, false, 1, 100);
    send_one(s.b.u, &s.to, false, 2, 100);
    TURN_UNTIL(&s.f, s.g.count == 1);
    assert_int_equal(s.g.first[0], 2);
    assert_int_equal(s.f.w->metrics.rtc_send_errors_total, 1);
    tear_down(&s);
}

/* While the socket takes nothing the arena fills, then datagrams are lost; what is in it goes out
 * in order afterwards. */
static void test_a_full_socket(void **state)
{
    struct setup s;
    set_up(&s, "127.0.0.1:0", "127.0.0.1:0");
    refusals = 1;
    refusal = EAGAIN;
    refuse_segments_only = false;
    send_one(s.b.u, &s.to, true, 0, 1000);
    udp_batch_flush(s.b.u);
    int taken = 1;
    for (uint8_t *room; (room = udp_batch_room(s.b.u, 1000)) != NULL; taken++) {
        memset(room, taken & 0xff, 1000);
        udp_batch_put(s.b.u, &s.to, true, 1000);
    }
    assert_int_equal(taken, UDP_BATCH_ARENA_SIZE / 1000);
    assert_int_equal(s.f.w->metrics.rtc_send_dropped_total, 1);
    assert_int_equal(s.g.count, 0);
    TURN_UNTIL(&s.f, s.f.w->metrics.rtc_datagrams_out_total == (uint64_t)taken);
    TURN_UNTIL(&s.f, s.g.count > 100); /* a small receive buffer loses some */
    for (int k = 0; k < 100; k++)
        assert_int_equal(s.g.first[k], k);
    send_one(s.b.u, &s.to, true, 0, 1000);
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_come_from_where_they_were_asked),
        cmocka_unit_test(test_neighbours_of_one_size_share_a_message),
        cmocka_unit_test(test_messages_are_bounded_and_kept_apart),
        cmocka_unit_test(test_more_than_the_arena_holds),
        cmocka_unit_test(test_a_way_that_cannot_be_segmented),
        cmocka_unit_test(test_a_refused_message_does_not_stop_the_others),
        cmocka_unit_test(test_a_full_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
