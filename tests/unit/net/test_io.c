#include "test.h"

#include "base/err.h"
#include "net_test.h"

struct owner {
    struct net_fixture f;
    struct io *io;
    int peer;
    int events[IO_FAILED + 1];
    char got[1 << 20];
    size_t got_len;
    size_t take; /* bytes to consume per IO_DATA; SIZE_MAX: all */
    bool pause_on_data, free_on_data, close_on_data, in_call;
    size_t seen_len; /* io_data() at the last IO_DATA */
    int error;
};

static void on_io(struct io *io, enum io_event ev, void *arg)
{
    struct owner *o = arg;
    assert_false(o->in_call);
    o->events[ev]++;
    if (ev == IO_FAILED)
        o->error = io_error(io);
    if (ev != IO_DATA)
        return;
    struct slice in = io_data(io);
    size_t n = in.len < o->take ? in.len : o->take;
    o->seen_len = in.len;
    assert_true(o->got_len + n <= sizeof o->got);
    memcpy(o->got + o->got_len, in.p, n);
    o->got_len += n;
    io_consume(io, n);
    if (o->pause_on_data)
        io_pause(io);
    if (o->close_on_data)
        io_close(io);
    if (o->free_on_data) {
        io_free(&io);
        o->io = NULL;
        assert_memory_equal(in.p, o->got, n); /* valid until this returns */
    }
}

static int setup(void **state)
{
    struct owner *o = xcalloc(1, sizeof *o);
    int fd;
    fixture_open(&o->f);
    tcp_pair(&fd, &o->peer);
    struct net_address peer = loopback(1);
    o->io = io_accept(o->f.w, fd, &peer, on_io, o);
    o->take = SIZE_MAX;
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    struct owner *o = *state;
    io_free(&o->io);
    if (o->peer >= 0)
        close(o->peer);
    fixture_close(&o->f);
    free(o);
    return 0;
}

static void fill(char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 7 + i / 251);
}

static void leftovers_come_again_with_what_follows(void **state)
{
    struct owner *o = *state;
    o->take = 2;
    send_text(o->peer, "abcde");
    TURN_UNTIL(&o->f, o->events[IO_DATA] == 1);
    send_text(o->peer, "fg");
    TURN_UNTIL(&o->f, o->events[IO_DATA] == 2);
    assert_int_equal(o->seen_len, 5);
    send_text(o->peer, "h");
    o->take = SIZE_MAX;
    TURN_UNTIL(&o->f, o->got_len == 8);
    assert_memory_equal(o->got, "abcdefgh", 8);
    assert_int_equal(io_bytes_in(o->io), 8);
}

static void large_leftovers_keep_their_order(void **state)
{
    enum { LEN = 300000, STEP = 5000 };
    struct owner *o = *state;
    char *bytes = xmalloc(LEN);
    fill(bytes, LEN);
    io_set_limits(o->io, 2 * LEN, 1);
    o->take = 0;
    for (size_t i = 0; i < LEN; i += STEP) {
        send_all(o->peer, bytes + i, STEP);
        TURN_UNTIL(&o->f, o->seen_len >= i + STEP);
    }
    o->take = SIZE_MAX;
    io_pause(o->io);
    io_resume(o->io);
    TURN_UNTIL(&o->f, o->got_len == LEN);
    assert_memory_equal(o->got, bytes, LEN);
    free(bytes);
}

static void an_idle_connection_is_small(void **state)
{
    struct owner *o = *state;
    send_text(o->peer, "x");
    TURN_UNTIL(&o->f, o->got_len == 1);
    assert_true(io_memory(o->io) <= 600);
}

static void a_full_buffer_nobody_reads_fails_once(void **state)
{
    struct owner *o = *state;
    char bytes[3000] = {0};
    io_set_limits(o->io, 1000, 1000);
    o->take = 0;
    send_all(o->peer, bytes, sizeof bytes);
    TURN_UNTIL(&o->f, o->events[IO_FAILED] > 0);
    for (int i = 0; i < 5; i++)
        fixture_turn(&o->f);
    assert_int_equal(o->events[IO_FAILED], 1);
    assert_int_equal(o->error, ERR_TOO_LARGE);
}

static void a_full_buffer_that_moves_does_not_fail(void **state)
{
    struct owner *o = *state;
    char bytes[3000];
    fill(bytes, sizeof bytes);
    io_set_limits(o->io, 1000, 1000);
    o->take = 1;
    send_all(o->peer, bytes, sizeof bytes);
    TURN_UNTIL(&o->f, o->got_len == 2001);
    assert_int_equal(o->events[IO_FAILED], 0);
    assert_memory_equal(o->got, bytes, 2001);
}

static void paused_means_no_data_and_resume_shows_it_again(void **state)
{
    struct owner *o = *state;
    o->pause_on_data = true;
    o->take = 1;
    send_text(o->peer, "ab");
    TURN_UNTIL(&o->f, o->events[IO_DATA] == 1);
    send_text(o->peer, "cd");
    for (int i = 0; i < 5; i++)
        fixture_turn(&o->f);
    assert_int_equal(o->events[IO_DATA], 1);
    o->pause_on_data = false;
    o->take = SIZE_MAX;
    o->in_call = true;
    io_resume(o->io);
    o->in_call = false;
    TURN_UNTIL(&o->f, o->got_len == 4);
    assert_memory_equal(o->got, "abcd", 4);
}

static void every_resume_shows_what_is_left(void **state)
{
    struct owner *o = *state;
    io_pause(o->io);
    o->take = 1;
    send_text(o->peer, "xyz");
    io_resume(o->io);
    TURN_UNTIL(&o->f, o->events[IO_DATA] == 1);
    for (int i = 2; i <= 3; i++) {
        io_pause(o->io);
        io_resume(o->io);
        TURN_UNTIL(&o->f, o->events[IO_DATA] == i);
    }
    assert_memory_equal(o->got, "xyz", 3);
}

static void unread_bytes_come_before_the_close(void **state)
{
    struct owner *o = *state;
    io_pause(o->io);
    send_text(o->peer, "last words");
    close(o->peer);
    o->peer = -1;
    fixture_turn(&o->f);
    assert_int_equal(o->events[IO_CLOSED], 0);
    io_resume(o->io);
    TURN_UNTIL(&o->f, o->events[IO_CLOSED] == 1);
    assert_int_equal(o->got_len, 10);
    for (int i = 0; i < 5; i++)
        fixture_turn(&o->f);
    assert_int_equal(o->events[IO_CLOSED], 1);
}

static void a_reset_is_a_failure(void **state)
{
    struct owner *o = *state;
    struct linger hard = {1, 0};
    setsockopt(o->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(o->peer);
    o->peer = -1;
    TURN_UNTIL(&o->f, o->events[IO_FAILED] == 1);
    assert_int_equal(o->error, ERR_CLOSED);
}

static void several_writes_leave_as_one(void **state)
{
    struct owner *o = *state;
    struct inbox in = {0};
    assert_int_equal(io_write(o->io, "one ", 4), 0);
    assert_int_equal(io_write(o->io, "two ", 4), 0);
    assert_int_equal(io_write(o->io, "three", 5), 0);
    assert_int_equal(io_queued(o->io), 13);
    READ_UNTIL(&o->f, &in, o->peer, in.len == 13);
    assert_string_equal(in.data, "one two three");
    assert_int_equal(METRIC_GET(o->f.w->metrics.writes_total), 1);
    assert_int_equal(io_queued(o->io), 0);
    assert_int_equal(o->events[IO_DRAINED], 0);
    inbox_free(&in);
}

static void writev_comes_after_what_is_queued(void **state)
{
    struct owner *o = *state;
    struct inbox in = {0};
    char text[] = "second";
    struct iovec iov[] = {{text, 3}, {text + 3, 3}};
    assert_int_equal(io_write(o->io, "first ", 6), 0);
    assert_int_equal(io_writev(o->io, iov, 2), 6);
    READ_UNTIL(&o->f, &in, o->peer, in.len == 12);
    assert_string_equal(in.data, "first second");
    inbox_free(&in);
}

static void the_queue_is_bounded(void **state)
{
    struct owner *o = *state;
    char bytes[101] = {0};
    io_set_limits(o->io, 100, 100);
    assert_int_equal(io_write(o->io, bytes, 60), 0);
    assert_int_equal(io_write(o->io, bytes, 41), ERR_TOO_LARGE);
    assert_int_equal(io_queued(o->io), 60);
    assert_int_equal(io_write(o->io, bytes, 40), 0);
}

/* A slow peer: the socket takes the bytes in pieces, none is lost or sent twice. */
static void a_slow_reader_gets_everything_in_order(void **state)
{
    enum { LEN = 600000 };
    struct owner *o = *state;
    struct inbox in = {0};
    char *bytes = xmalloc(LEN);
    size_t sent = 0;
    int zero = 0, drained = 0;
    fill(bytes, LEN);
    io_set_send_buffer(o->io, 4096);
    while (in.len < LEN) {
        struct iovec iov[] = {{bytes + sent, (LEN - sent) / 2},
                              {bytes + sent + (LEN - sent) / 2, LEN - sent - (LEN - sent) / 2}};
        bool may_write = zero == 0 || o->events[IO_DRAINED] > drained;
        if (sent < LEN && may_write) {
            drained = o->events[IO_DRAINED];
            ssize_t n = io_writev(o->io, iov, 2);
            assert_true(n >= 0);
            sent += (size_t)n;
            zero += sent < LEN;
        }
        fixture_turn(&o->f);
        inbox_read(&in, o->peer, 10000);
        assert_true(zero < 10000);
    }
    assert_int_equal(in.len, LEN);
    assert_memory_equal(in.data, bytes, LEN);
    assert_true(o->events[IO_DRAINED] > 0);
    assert_int_equal(io_bytes_out(o->io), LEN);
    inbox_free(&in);
    free(bytes);
}

static void writev_takes_none_while_blocked(void **state)
{
    struct owner *o = *state;
    char *bytes = xcalloc(1, 8 << 20);
    struct iovec iov = {bytes, 8 << 20};
    ssize_t n = io_writev(o->io, &iov, 1);
    assert_true(n > 0 && n < 8 << 20);
    uint64_t writes = METRIC_GET(o->f.w->metrics.writes_total);
    assert_int_equal(io_writev(o->io, &iov, 1), 0);
    assert_int_equal(METRIC_GET(o->f.w->metrics.writes_total), writes);
    assert_int_equal(o->events[IO_DRAINED], 0);
    free(bytes);
}

/* Nothing is read, so only the write finds out. */
static void a_write_that_fails_is_told_while_paused(void **state)
{
    struct owner *o = *state;
    char byte = 0;
    struct iovec iov = {&byte, 1};
    ssize_t n = 1;
    io_pause(o->io);
    close(o->peer);
    o->peer = -1;
    TURN_UNTIL(&o->f, (n = io_writev(o->io, &iov, 1)) < 0);
    assert_int_equal(o->events[IO_FAILED], 0); /* not from inside */
    assert_int_equal(io_writev(o->io, &iov, 1), ERR_CLOSED);
    TURN_UNTIL(&o->f, o->events[IO_FAILED] == 1);
    assert_int_equal(o->error, n);
}

static void a_deadline_comes_once_and_can_be_taken_back(void **state)
{
    struct owner *o = *state;
    io_deadline(o->io, 5);
    io_deadline(o->io, 0);
    io_deadline(o->io, 10);
    TURN_UNTIL(&o->f, o->events[IO_TIMEOUT] > 0);
    for (int i = 0; i < 5; i++)
        fixture_turn(&o->f);
    assert_int_equal(o->events[IO_TIMEOUT], 1);
}

static void a_new_owner_gets_the_unread_bytes(void **state)
{
    struct owner *o = *state, *next = xcalloc(1, sizeof *next);
    o->take = 3;
    next->take = SIZE_MAX;
    send_text(o->peer, "abcdef");
    TURN_UNTIL(&o->f, o->events[IO_DATA] == 1);
    io_set_handler(o->io, on_io, next);
    TURN_UNTIL(&o->f, next->events[IO_DATA] == 1);
    assert_int_equal(next->got_len, 3);
    assert_memory_equal(next->got, "def", 3);
    io_set_handler(o->io, on_io, o);
    free(next);
}

static void it_may_be_freed_in_its_callback(void **state)
{
    struct owner *o = *state;
    o->free_on_data = true;
    send_text(o->peer, "bye");
    TURN_UNTIL(&o->f, o->io == NULL);
    assert_int_equal(METRIC_GET(o->f.w->metrics.connections_open), 0);
}

static void it_may_be_closed_in_its_callback(void **state)
{
    struct owner *o = *state;
    o->close_on_data = true;
    o->take = 1;
    send_text(o->peer, "bye");
    TURN_UNTIL(&o->f, io_is_closed(o->io));
    for (int i = 0; i < 5; i++)
        fixture_turn(&o->f);
    assert_int_equal(o->events[IO_DATA], 1);
    assert_int_equal(io_write(o->io, "x", 1), ERR_CLOSED);
    assert_int_equal(io_writev(o->io, &(struct iovec){o->got, 1}, 1), ERR_CLOSED);
}

struct ticket {
    struct io_ticket t;
    int closed;
};

static void on_ticket(struct io_ticket *t)
{
    container_of(t, struct ticket, t)->closed++;
}

static void the_ticket_is_told_once(void **state)
{
    struct owner *o = *state;
    struct ticket ticket = {.t.on_close = on_ticket};
    io_set_ticket(o->io, &ticket.t);
    io_close(o->io);
    io_close(o->io);
    assert_int_equal(ticket.closed, 1);
}

static void closing_sends_the_queue_first(void **state)
{
    enum { LEN = 900000 };
    struct owner *o = *state;
    struct inbox in = {0};
    char *bytes = xmalloc(LEN);
    fill(bytes, LEN);
    io_set_send_buffer(o->io, 4096);
    io_set_limits(o->io, 1, LEN);
    assert_int_equal(io_write(o->io, bytes, LEN), 0);
    send_text(o->peer, "unread bytes of the peer, which would turn the close into a reset");
    io_close_after_flush(o->io, 5000);
    assert_int_equal(io_write(o->io, "x", 1), ERR_CLOSED);
    READ_UNTIL(&o->f, &in, o->peer, in.eof);
    assert_int_equal(in.len, LEN);
    assert_memory_equal(in.data, bytes, LEN);
    assert_int_equal(o->events[IO_CLOSED], 0);
    close(o->peer);
    o->peer = -1;
    TURN_UNTIL(&o->f, o->events[IO_CLOSED] == 1);
    assert_true(io_is_closed(o->io));
    assert_int_equal(o->events[IO_DATA], 0);
    inbox_free(&in);
    free(bytes);
}

static void closing_does_not_wait_for_ever(void **state)
{
    struct owner *o = *state;
    char *bytes = xcalloc(1, 8 << 20);
    io_set_limits(o->io, 1, 8 << 20);
    assert_int_equal(io_write(o->io, bytes, 8 << 20), 0);
    io_close_after_flush(o->io, 20);
    TURN_UNTIL(&o->f, o->events[IO_CLOSED] == 1);
    assert_int_equal(o->events[IO_TIMEOUT], 0);
    free(bytes);
}

static void an_outgoing_connection(void **state)
{
    struct owner *o = *state;
    struct owner *out = xcalloc(1, sizeof *out);
    struct inbox in = {0};
    uint16_t port;
    int listening = tcp_listen(&port);
    struct net_address to = loopback(port);
    out->take = SIZE_MAX;
    out->in_call = true;
    struct io *io = io_connect(o->f.w, &to, on_io, out);
    out->in_call = false;
    assert_int_equal(io_write(io, "hello", 5), 0); /* before it is up */
    TURN_UNTIL(&o->f, out->events[IO_CONNECTED] == 1);
    int fd = accept(listening, NULL, NULL);
    READ_UNTIL(&o->f, &in, fd, in.len == 5);
    send_text(fd, "welcome");
    TURN_UNTIL(&o->f, out->got_len == 7);
    assert_int_equal(out->events[IO_CONNECTED], 1);
    io_free(&io);
    inbox_free(&in);
    close(fd);
    close(listening);
    free(out);
}

static void a_refused_connection(void **state)
{
    struct owner *o = *state;
    struct owner *out = xcalloc(1, sizeof *out);
    uint16_t port;
    close(tcp_listen(&port));
    struct net_address to = loopback(port);
    out->in_call = true;
    struct io *io = io_connect(o->f.w, &to, on_io, out);
    out->in_call = false;
    TURN_UNTIL(&o->f, out->events[IO_FAILED] == 1);
    assert_int_equal(out->error, ERR_REFUSED);
    io_free(&io);
    free(out);
}

static void an_address_without_a_route_fails_too(void **state)
{
    struct owner *o = *state;
    struct owner *out = xcalloc(1, sizeof *out);
    struct net_address to = {.sa.ss_family = AF_UNSPEC, .len = sizeof(struct sockaddr_in)};
    out->in_call = true;
    struct io *io = io_connect(o->f.w, &to, on_io, out);
    out->in_call = false;
    TURN_UNTIL(&o->f, out->events[IO_FAILED] == 1);
    assert_int_equal(out->error, ERR_IO);
    io_free(&io);
    free(out);
}

static void addresses(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
        bool loopback;
    } cases[] = {
        {"10.0.0.1:1935", "10.0.0.1:1935", false},
        {"127.9.9.9:1", "127.9.9.9:1", true},
        {"[::1]:0", "[::1]:0", true},
        {"[fe80::1]:65535", "[fe80::1]:65535", false},
        {"[::ffff:127.0.0.1]:7", "127.0.0.1:7", true},
        {"10.0.0.1:65536", NULL, false},
        {"10.0.0.1:", NULL, false},
        {"10.0.0.1", NULL, false},
        {"::1:80", NULL, false},
        {"[10.0.0.1]:80", NULL, false},
        {"localhost:80", NULL, false},
        {"", NULL, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_address a;
        char text[NET_ADDRESS_TEXT_MAX];
        int err = net_address_parse(cases[i].in, &a);
        assert_int_equal(err, cases[i].out != NULL ? 0 : ERR_TYPE);
        if (err < 0)
            continue;
        assert_int_equal(net_address_is_loopback(&a), cases[i].loopback);
        net_address_unmap(&a);
        net_address_text(&a, text);
        assert_string_equal(text, cases[i].out);
    }
}

#define IO_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(leftovers_come_again_with_what_follows),
        IO_TEST(large_leftovers_keep_their_order),
        IO_TEST(an_idle_connection_is_small),
        IO_TEST(a_full_buffer_nobody_reads_fails_once),
        IO_TEST(a_full_buffer_that_moves_does_not_fail),
        IO_TEST(paused_means_no_data_and_resume_shows_it_again),
        IO_TEST(every_resume_shows_what_is_left),
        IO_TEST(unread_bytes_come_before_the_close),
        IO_TEST(a_reset_is_a_failure),
        IO_TEST(several_writes_leave_as_one),
        IO_TEST(writev_comes_after_what_is_queued),
        IO_TEST(the_queue_is_bounded),
        IO_TEST(a_slow_reader_gets_everything_in_order),
        IO_TEST(writev_takes_none_while_blocked),
        IO_TEST(a_write_that_fails_is_told_while_paused),
        IO_TEST(a_deadline_comes_once_and_can_be_taken_back),
        IO_TEST(a_new_owner_gets_the_unread_bytes),
        IO_TEST(it_may_be_freed_in_its_callback),
        IO_TEST(it_may_be_closed_in_its_callback),
        IO_TEST(the_ticket_is_told_once),
        IO_TEST(closing_sends_the_queue_first),
        IO_TEST(closing_does_not_wait_for_ever),
        IO_TEST(an_outgoing_connection),
        IO_TEST(a_refused_connection),
        IO_TEST(an_address_without_a_route_fails_too),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
