#include "tls_test.h"

#include "base/err.h"
#include "net/listener.h"
#include "net/tls.h"

#define SECRET "0123456789abcdef"
#define BIG    3000000

/* Our end. */
struct end {
    struct io *io;
    int events[IO_FAILED + 1];
    int error;
    char text[TLS_ERROR_MAX];
    char *got;
    size_t got_len;
    bool pause_on_data;
};

struct world {
    struct net_fixture f;
    struct tls_context *secret;
    struct end a, b; /* b: the other end where it is ours too */
    struct peer peer;
    struct listener_set *set;
    char *big;
};

static void on_io(struct io *io, enum io_event ev, void *arg)
{
    struct end *e = arg;
    e->events[ev]++;
    if (ev == IO_FAILED) {
        e->error = io_error(io);
        snprintf(e->text, sizeof e->text, "%s", io_error_text(io));
        io_close(io);
    }
    if (ev != IO_DATA)
        return;
    struct slice in = io_data(io);
    assert_true(e->got_len + in.len <= BIG);
    memcpy(e->got + e->got_len, in.p, in.len);
    e->got_len += in.len;
    io_consume(io, in.len);
    if (e->pause_on_data)
        io_pause(io);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    w->secret = tls_secret_new(SECRET, "default");
    w->peer.fd = -1;
    w->a.got = xmalloc(BIG);
    w->b.got = xmalloc(BIG);
    w->big = xmalloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        w->big[i] = (char)(i * 7 + i / 251);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    listeners_free(&w->set);
    io_free(&w->a.io);
    io_free(&w->b.io);
    peer_close(&w->peer);
    fixture_close(&w->f);
    tls_free(&w->secret);
    free(w->a.got);
    free(w->b.got);
    free(w->big);
    free(w);
    return 0;
}

/* An accepted connection of ours, whose peer has TLS of `context` or nothing yet. */
static void accept_one(struct world *w, struct tls_context *context)
{
    int fd, peer;
    struct net_address from = loopback(1);
    tcp_pair(&fd, &peer);
    w->a.io = io_accept(w->f.w, fd, &from, on_io, &w->a);
    io_start_tls(w->a.io, w->secret, NULL);
    peer_open(&w->peer, peer);
    if (context != NULL)
        w->peer.ssl = tls_session(context, peer_bio(&w->peer), false, "server");
}

static void turn(struct world *w, size_t max)
{
    fixture_turn(&w->f);
    if (w->peer.ssl != NULL)
        peer_pump(&w->peer, max);
}

/* Turns, and lets the peer do `step`, until cond. */
#define UNTIL(w, max, step, cond)                                                                  \
    do {                                                                                           \
        int64_t until_us = clock_us() + TEST_GIVE_UP_US;                                           \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < until_us);                                                    \
            turn(w, max);                                                                          \
            step;                                                                                  \
        }                                                                                          \
    } while (0)

static void handshake(struct world *w, size_t max)
{
    int done = 0;
    UNTIL(w, max, done = SSL_do_handshake(w->peer.ssl),
          done == 1 && w->a.events[IO_CONNECTED] == 1);
}

static void accept_shaken(struct world *w)
{
    accept_one(w, w->secret);
    handshake(w, SIZE_MAX);
}

/* Reads what the peer has got into `to`; the bytes. */
static size_t peer_read(struct world *w, char *to, size_t room)
{
    size_t total = 0, n;
    while (total < room && SSL_read_ex(w->peer.ssl, to + total, room - total, &n) == 1)
        total += n;
    return total;
}

static void bytes_cut_everywhere_say_the_same(void **state)
{
    struct world *w = *state;
    char got[16];
    size_t got_len = 0;
    accept_one(w, w->secret);
    handshake(w, 1);
    assert_int_equal(SSL_write(w->peer.ssl, "hello", 5), 5);
    assert_int_equal(io_write(w->a.io, "world!", 6), 0);
    UNTIL(w, 1, got_len += peer_read(w, got + got_len, sizeof got - got_len),
          w->a.got_len == 5 && got_len == 6);
    assert_memory_equal(w->a.got, "hello", 5);
    assert_memory_equal(got, "world!", 6);
    assert_string_equal(SSL_get_version(w->peer.ssl), "TLSv1.3");
    assert_int_equal(w->a.events[IO_FAILED], 0);
}

static void what_is_taken_arrives_once(void **state)
{
    struct world *w = *state;
    size_t sent = 0, got = 0, most = 0;
    char *to = xmalloc(BIG);
    accept_shaken(w);
    io_set_send_buffer(w->a.io, 20000);
    /* Small and large pieces, of which the owner may change its mind when they were not taken. */
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;
    for (int round = 0; got < BIG; round++) {
        assert_true(clock_us() < give_up_us);
        struct iovec iov[5];
        int count = 0;
        size_t at = sent;
        for (size_t piece = 9; count < 5 && at < BIG; piece = piece * 11 % 40001, count++) {
            size_t n = piece < BIG - at ? piece : BIG - at;
            iov[count] = (struct iovec){.iov_base = w->big + at, .iov_len = n};
            at += n;
        }
        ssize_t n = count > 0 ? io_writev(w->a.io, iov, 1 + round % count) : 0;
        assert_true(n >= 0);
        sent += (size_t)n;
        if (io_queued(w->a.io) > most)
            most = io_queued(w->a.io);
        fixture_turn(&w->f);
        if (round % 3 == 0) { /* a slow one */
            peer_pump(&w->peer, 3000);
            got += peer_read(w, to + got, BIG - got);
        }
        assert_true(got <= sent);
    }
    assert_memory_equal(to, w->big, BIG);
    assert_true(most > 0 && most <= 17 * 1024);
    assert_true(w->a.events[IO_DRAINED] > 10);
    assert_true(io_bytes_out(w->a.io) > BIG);
    free(to);
}

static void what_is_queued_is_sent_before_the_end(void **state)
{
    enum { LEN = 200000 };
    struct world *w = *state;
    char *to = xmalloc(LEN + 1);
    size_t got = 0;
    accept_shaken(w);
    io_set_send_buffer(w->a.io, 10000);
    assert_int_equal(io_write(w->a.io, w->big, LEN), 0);
    io_close_after_flush(w->a.io, 5000);
    UNTIL(w, 5000, got += peer_read(w, to + got, LEN + 1 - got),
          (SSL_get_shutdown(w->peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
    assert_int_equal(got, LEN);
    assert_memory_equal(to, w->big, LEN);
    shutdown(w->peer.fd, SHUT_WR);
    TURN_UNTIL(&w->f, w->a.events[IO_CLOSED] == 1);
    free(to);
}

static void closing_says_so(void **state)
{
    struct world *w = *state;
    accept_shaken(w);
    io_close(w->a.io);
    char none;
    UNTIL(w, SIZE_MAX, assert_int_equal(peer_read(w, &none, 1), 0),
          (SSL_get_shutdown(w->peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
}

static void an_end_without_a_word_is_a_failure(void **state)
{
    struct world *w = *state;
    accept_shaken(w);
    SSL_write(w->peer.ssl, "last", 4);
    peer_pump(&w->peer, SIZE_MAX);
    close(w->peer.fd);
    w->peer.fd = -1;
    TURN_UNTIL(&w->f, w->a.events[IO_FAILED] == 1);
    assert_int_equal(w->a.got_len, 4);
    assert_int_equal(w->a.error, ERR_CLOSED);
    assert_int_equal(w->a.events[IO_CLOSED], 0);
}

static void one_side_may_end_first(void **state)
{
    struct world *w = *state;
    char got[8];
    size_t len = 0;
    accept_shaken(w);
    SSL_write(w->peer.ssl, "bye", 3);
    SSL_shutdown(w->peer.ssl);
    UNTIL(w, SIZE_MAX, (void)0, w->a.events[IO_CLOSED] == 1);
    assert_int_equal(w->a.got_len, 3);
    assert_int_equal(io_write(w->a.io, "more", 4), 0);
    UNTIL(w, SIZE_MAX, len += peer_read(w, got + len, sizeof got - len), len == 4);
    assert_memory_equal(got, "more", 4);
    assert_int_equal(w->a.events[IO_FAILED], 0);
}

/* All is in TLS' own buffers while the socket is silent. */
static void paused_bytes_come_after_resuming(void **state)
{
    enum { LEN = 60000 };
    struct world *w = *state;
    accept_shaken(w);
    io_set_limits(w->a.io, 10000, 10);
    w->a.pause_on_data = true;
    assert_int_equal(SSL_write(w->peer.ssl, w->big, 16000), 16000);
    for (size_t at = 16000; at < LEN; at += 1000)
        SSL_write(w->peer.ssl, w->big + at, 1000);
    int pauses = 0;
    UNTIL(
        w, SIZE_MAX,
        if (w->a.got_len < LEN && w->a.events[IO_DATA] > pauses) {
            pauses = w->a.events[IO_DATA];
            io_resume(w->a.io);
        },
        w->a.got_len == LEN);
    assert_memory_equal(w->a.got, w->big, LEN);
    assert_true(pauses > 4);
}

static void another_secret_is_refused_by_both(void **state)
{
    struct world *w = *state;
    struct tls_context *other = tls_secret_new(SECRET, "another cluster");
    struct net_address to;
    uint16_t port;
    int listening = tcp_listen(&port);
    to = loopback(port);
    w->b.io = io_connect(w->f.w, &to, on_io, &w->b);
    io_start_tls(w->b.io, other, "127.0.0.1");
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    w->a.io = io_accept(w->f.w, fd, &to, on_io, &w->a);
    io_start_tls(w->a.io, w->secret, NULL);
    TURN_UNTIL(&w->f, w->a.events[IO_FAILED] == 1 && w->b.events[IO_FAILED] == 1);
    assert_int_equal(w->a.error, ERR_TLS);
    assert_int_equal(w->b.error, ERR_TLS);
    assert_string_equal(w->a.text, "the peer has another secret, or none");
    assert_string_equal(w->b.text, w->a.text);
    assert_int_equal(w->a.events[IO_CONNECTED] + w->b.events[IO_CONNECTED], 0);
    assert_int_equal(METRIC_GET(w->f.w->metrics.tls_failed_total), 2);
    close(listening);
    tls_free(&other);
}

/* Two ends of ours: what they say to each other while one handshake runs. */
static void ours_talk_to_ours(void **state)
{
    struct world *w = *state;
    uint16_t port;
    int listening = tcp_listen(&port);
    struct net_address to = loopback(port);
    w->b.io = io_connect(w->f.w, &to, on_io, &w->b);
    io_start_tls(w->b.io, w->secret, "127.0.0.1");
    assert_int_equal(io_write(w->b.io, "early", 5), 0); /* waits for the handshake */
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    w->a.io = io_accept(w->f.w, fd, &to, on_io, &w->a);
    io_start_tls(w->a.io, w->secret, NULL);
    TURN_UNTIL(&w->f, w->a.got_len == 5 && w->b.events[IO_CONNECTED] == 1);
    assert_int_equal(w->a.events[IO_CONNECTED], 1);
    io_close(w->b.io);
    TURN_UNTIL(&w->f, w->a.events[IO_CLOSED] == 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.tls_handshakes_total), 2);
    close(listening);
}

static void a_plain_peer_is_told(void **state)
{
    struct world *w = *state;
    struct inbox in = {0};
    accept_one(w, NULL);
    send_text(w->peer.fd, "GET /relay/v1/live/cam HTTP/1.1\r\nHost: a\r\n\r\n");
    READ_UNTIL(&w->f, &in, w->peer.fd, in.eof);
    assert_int_equal(w->a.error, ERR_TLS);
    assert_string_equal(w->a.text, "the peer does not speak TLS");
    assert_true(in.len >= 7);
    assert_memory_equal(in.data, "\x15\x03\x01\x00\x02\x02\x46", 7);
    inbox_free(&in);
}

static void a_plain_server_is_noticed(void **state)
{
    struct world *w = *state;
    uint16_t port;
    int listening = tcp_listen(&port);
    struct net_address to = loopback(port);
    w->a.io = io_connect(w->f.w, &to, on_io, &w->a);
    io_start_tls(w->a.io, w->secret, "127.0.0.1");
    peer_open(&w->peer, accept4(listening, NULL, NULL, SOCK_CLOEXEC));
    send_text(w->peer.fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    TURN_UNTIL(&w->f, w->a.events[IO_FAILED] == 1);
    assert_string_equal(w->a.text, "the peer does not speak TLS");
    close(listening);
}

static void a_silent_peer_meets_the_deadline(void **state)
{
    struct world *w = *state;
    accept_one(w, NULL);
    io_deadline(w->a.io, 20);
    TURN_UNTIL(&w->f, w->a.events[IO_TIMEOUT] == 1);
    assert_int_equal(w->a.events[IO_CONNECTED], 0);
}

static void a_peer_that_leaves_early_is_a_failure(void **state)
{
    struct world *w = *state;
    accept_one(w, w->secret);
    SSL_do_handshake(w->peer.ssl);
    peer_pump(&w->peer, 40);
    close(w->peer.fd);
    w->peer.fd = -1;
    TURN_UNTIL(&w->f, w->a.events[IO_FAILED] == 1);
    assert_int_equal(w->a.error, ERR_CLOSED);
    assert_string_equal(w->a.text, "closed during the TLS handshake");
}

static void the_queue_may_be_closed_while_shaking_hands(void **state)
{
    struct world *w = *state;
    accept_one(w, w->secret);
    assert_int_equal(io_write(w->a.io, "words", 5), 0);
    io_close_after_flush(w->a.io, 3000);
    char got[8];
    size_t len = 0;
    UNTIL(w, SIZE_MAX, len += peer_read(w, got + len, sizeof got - len), len == 5);
    UNTIL(w, SIZE_MAX, (void)peer_read(w, got, 1), w->peer.eof);
}

/* A peer that asks for new keys over and over, and takes nothing, costs no memory. */
static void new_keys_are_bounded(void **state)
{
    struct world *w = *state;
    accept_shaken(w);
    io_set_send_buffer(w->a.io, 5000);
    struct iovec iov = {.iov_base = w->big, .iov_len = BIG};
    while (io_writev(w->a.io, &iov, 1) > 0)
        ;
    for (int i = 0; i < 20000 && w->a.events[IO_FAILED] == 0; i++) {
        assert_int_equal(SSL_key_update(w->peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        SSL_do_handshake(w->peer.ssl);
        char bytes[1024];
        int n = BIO_read(w->peer.wire, bytes, sizeof bytes);
        if (n > 0)
            (void)send(w->peer.fd, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        fixture_turn(&w->f);
        assert_true(io_queued(w->a.io) <= 200 * 1024);
    }
}

/* --- certificates --- */

#define CA_FILE "test_io_tls.ca.pem"

/* A server with a certificate for `name` (NULL: 127.0.0.1), and our connection to it as `wanted`.
 */
struct certified {
    struct identity ca, server;
    struct tls_context *trust;
    SSL_CTX *ssl;
};

static void certified_open(struct world *w, struct certified *c, const char *name, long end_s,
                           const char *wanted, int version_max)
{
    char error[TLS_ERROR_MAX];
    uint16_t port;
    identity_make(&c->ca, NULL, "authority", 86400);
    identity_make(&c->server, &c->ca, name, end_s);
    certificate_write(&c->ca, CA_FILE);
    const struct tls_client_options o = {.ca = CA_FILE};
    assert_int_equal(tls_client_new(&c->trust, &o, error), 0);
    remove(CA_FILE);
    c->ssl = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(c->ssl, version_max);
    assert_int_equal(SSL_CTX_use_certificate(c->ssl, c->server.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c->ssl, c->server.key), 1);
    SSL_CTX_set_num_tickets(c->ssl, 8);

    int listening = tcp_listen(&port);
    struct net_address to = loopback(port);
    w->a.io = io_connect(w->f.w, &to, on_io, &w->a);
    io_start_tls(w->a.io, c->trust, wanted);
    peer_open(&w->peer, accept4(listening, NULL, NULL, SOCK_CLOEXEC));
    w->peer.ssl = SSL_new(c->ssl);
    BIO *bio = peer_bio(&w->peer);
    SSL_set_bio(w->peer.ssl, bio, bio);
    SSL_set_accept_state(w->peer.ssl);
    close(listening);
}

static void certified_close(struct world *w, struct certified *c)
{
    io_free(&w->a.io);
    peer_close(&w->peer);
    SSL_CTX_free(c->ssl);
    tls_free(&c->trust);
    identity_free(&c->ca);
    identity_free(&c->server);
}

static void certificates_are_checked(void **state)
{
    static const struct {
        const char *name, *wanted;
        long end_s;
        const char *says; /* NULL: it is good */
    } cases[] = {
        {"redis.example", "redis.example", 86400, NULL},
        {NULL, "127.0.0.1", 86400, NULL},
        {"redis.example", "other.example", 86400, "the certificate is for another name"},
        {"redis.example", "127.0.0.1", 86400, "the certificate is for another address"},
        {NULL, "127.0.0.2", 86400, "the certificate is for another address"},
        {NULL, "127.0.0.1", -60, "the certificate is expired"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct certified c;
        memset(w->a.events, 0, sizeof w->a.events);
        certified_open(w, &c, cases[i].name, cases[i].end_s, cases[i].wanted, TLS1_3_VERSION);
        UNTIL(w, SIZE_MAX, SSL_do_handshake(w->peer.ssl),
              w->a.events[IO_CONNECTED] + w->a.events[IO_FAILED] == 1);
        assert_int_equal(w->a.events[IO_CONNECTED], cases[i].says == NULL);
        if (cases[i].says != NULL)
            assert_memory_equal(w->a.text, cases[i].says, strlen(cases[i].says));
        certified_close(w, &c);
    }
}

/* Makes tickets longer than a record. */
static int long_ticket(SSL *ssl, void *arg)
{
    static const char data[1500];
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data, sizeof data);
}

static SSL_TICKET_RETURN any_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                    size_t len, SSL_TICKET_STATUS status, void *arg)
{
    return SSL_TICKET_RETURN_IGNORE;
}

/* Tickets come byte by byte, and between any two bytes we have something to say. */
static void words_between_the_pieces_of_a_message(void **state)
{
    struct world *w = *state;
    struct certified c;
    char *got = xmalloc(BIG);
    size_t sent = 0, got_len = 0, waits = 0;
    int done = 0;
    certified_open(w, &c, NULL, 86400, "127.0.0.1", TLS1_3_VERSION);
    io_set_send_buffer(w->a.io, 5000); /* so that it is full now and then */
    SSL_CTX_set_session_ticket_cb(c.ssl, long_ticket, any_ticket, NULL);
    SSL_set_max_send_fragment(w->peer.ssl, 512);
    UNTIL(w, 1, done = SSL_do_handshake(w->peer.ssl), w->a.events[IO_CONNECTED] == 1);
    for (int i = 0; i < 30000; i++) {
        struct iovec iov = {.iov_base = w->big + sent, .iov_len = 10};
        ssize_t n = io_writev(w->a.io, &iov, 1);
        assert_true(n >= 0);
        sent += (size_t)n;
        if (n == 0 && ++waits > 100)
            io_pause(w->a.io); /* what TLS itself has to read is read all the same */
        turn(w, 1);
        if (done != 1)
            done = SSL_do_handshake(w->peer.ssl);
        else
            got_len += peer_read(w, got + got_len, BIG - got_len);
    }
    UNTIL(w, SIZE_MAX, got_len += peer_read(w, got + got_len, BIG - got_len), got_len == sent);
    assert_memory_equal(got, w->big, sent);
    const struct iovec last = {.iov_base = w->big, .iov_len = 10};
    assert_true(sent > 1000 && waits > 0);
    UNTIL(w, SIZE_MAX, peer_read(w, got, BIG), io_writev(w->a.io, &last, 1) == 10);
    assert_int_equal(w->a.events[IO_FAILED], 0);
    certified_close(w, &c);
    free(got);
}

static void another_handshake_is_declined(void **state)
{
    struct world *w = *state;
    struct certified c;
    int done = 0;
    certified_open(w, &c, NULL, 86400, "127.0.0.1", TLS1_2_VERSION);
    UNTIL(w, SIZE_MAX, done = SSL_do_handshake(w->peer.ssl),
          done == 1 && w->a.events[IO_CONNECTED] == 1);
    assert_string_equal(SSL_get_version(w->peer.ssl), "TLSv1.2");
    char none;
    assert_int_equal(SSL_renegotiate(w->peer.ssl), 1);
    assert_int_equal(SSL_do_handshake(w->peer.ssl), 1); /* the request for it is on its way */
    UNTIL(w, SIZE_MAX, done = SSL_read(w->peer.ssl, &none, 1),
          SSL_get_error(w->peer.ssl, done) == SSL_ERROR_SSL);
    assert_int_equal(w->a.events[IO_CONNECTED], 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.tls_handshakes_total), 1);
    certified_close(w, &c);
}

static void files_that_are_none(void **state)
{
    struct tls_context *t = NULL;
    char error[TLS_ERROR_MAX];
    const struct tls_client_options none = {.ca = "/nowhere/ca.pem"};
    assert_int_equal(tls_client_new(&t, &none, error), ERR_TLS);
    assert_non_null(strstr(error, "/nowhere/ca.pem"));
    const struct tls_client_options bad = {.certificate = "/dev/null", .key = "/dev/null"};
    assert_int_equal(tls_client_new(&t, &bad, error), ERR_TLS);
    assert_non_null(strstr(error, "the certificate /dev/null"));
    assert_null(t);
}

/* --- through a listener --- */

static void admitted(struct worker *worker, struct io *io, void *arg)
{
    struct world *w = arg;
    w->a.io = io;
    io_deadline(io, 0);
    io_set_handler(io, on_io, &w->a);
}

static uint16_t listen_tls(struct world *w, bool proxy)
{
    const struct listener_options o = {.name = "test",
                                       .address = "127.0.0.1:0",
                                       .proxy_protocol = proxy,
                                       .tls = w->secret,
                                       .on_accept = admitted,
                                       .arg = w};
    assert_int_equal(listeners_open(&w->set, &w->f.group, &o), 0);
    return listeners_port(w->set);
}

static void a_listener_shakes_hands_first(void **state)
{
    struct world *w = *state;
    struct net_address to = loopback(listen_tls(w, false));
    w->b.io = io_connect(w->f.w, &to, on_io, &w->b);
    io_start_tls(w->b.io, w->secret, "127.0.0.1");
    assert_int_equal(io_write(w->b.io, "first", 5), 0);
    TURN_UNTIL(&w->f, w->a.got_len == 5);
    assert_int_equal(io_write(w->a.io, "second", 6), 0);
    TURN_UNTIL(&w->f, w->b.got_len == 6);
}

/* The client's hello comes with the balancer's header, in one piece or in two. */
static void a_proxy_header_comes_before_it(void **state)
{
    static const char header[] = "PROXY TCP4 10.1.2.3 10.0.0.1 4000 443\r\n";
    struct world *w = *state;
    uint16_t port = listen_tls(w, true);
    for (size_t cut = 1; cut < sizeof header + 200; cut += 7) {
        char bytes[1024];
        memcpy(bytes, header, sizeof header - 1);
        memset(w->a.events, 0, sizeof w->a.events);
        peer_open(&w->peer, tcp_connect(port));
        w->peer.ssl = tls_session(w->secret, peer_bio(&w->peer), false, "server");
        SSL_do_handshake(w->peer.ssl);
        int n = BIO_read(w->peer.wire, bytes + sizeof header - 1, 800);
        size_t len = sizeof header - 1 + (size_t)n;
        assert_true(cut < len);
        send_all(w->peer.fd, bytes, cut);
        for (int i = 0; i < 3; i++)
            fixture_turn(&w->f);
        send_all(w->peer.fd, bytes + cut, len - cut);
        int done = 0;
        UNTIL(w, SIZE_MAX, done = SSL_do_handshake(w->peer.ssl), done == 1 && w->a.io != NULL);
        char text[NET_ADDRESS_TEXT_MAX];
        net_address_text(io_peer(w->a.io), text);
        assert_string_equal(text, "10.1.2.3:4000");
        io_free(&w->a.io);
        peer_close(&w->peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(bytes_cut_everywhere_say_the_same),
        TEST(what_is_taken_arrives_once),
        TEST(what_is_queued_is_sent_before_the_end),
        TEST(closing_says_so),
        TEST(an_end_without_a_word_is_a_failure),
        TEST(one_side_may_end_first),
        TEST(paused_bytes_come_after_resuming),
        TEST(another_secret_is_refused_by_both),
        TEST(ours_talk_to_ours),
        TEST(a_plain_peer_is_told),
        TEST(a_plain_server_is_noticed),
        TEST(a_silent_peer_meets_the_deadline),
        TEST(a_peer_that_leaves_early_is_a_failure),
        TEST(the_queue_may_be_closed_while_shaking_hands),
        TEST(new_keys_are_bounded),
        TEST(certificates_are_checked),
        TEST(words_between_the_pieces_of_a_message),
        TEST(another_handshake_is_declined),
        TEST(files_that_are_none),
        TEST(a_listener_shakes_hands_first),
        TEST(a_proxy_header_comes_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
