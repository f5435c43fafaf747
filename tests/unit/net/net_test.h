#ifndef SLUICE_TESTS_NET_TEST_H
#define SLUICE_TESTS_NET_TEST_H

#include "test.h"

#include "base/mem.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/worker.h"
#include "net/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One worker whose loop the test turns itself, and blocking sockets of peers on loopback. */
#define TEST_GIVE_UP_US 10000000

struct net_fixture {
    struct config config;
    struct workers group;
    struct worker *w;
};

static inline void fixture_open(struct net_fixture *f)
{
    memset(f, 0, sizeof *f);
    log_setup((enum log_level)(LOG_ERROR + 1), false); /* refusals are expected here */
    assert_int_equal(workers_init(&f->group, &f->config, 1), 0);
    f->w = &f->group.workers[0];
}

static inline void fixture_turn(struct net_fixture *f)
{
    event_base_loop(f->w->base, EVLOOP_NONBLOCK);
}

/* Ends with no connection open: what the code under test made must be gone. */
static inline void fixture_close(struct net_fixture *f)
{
    for (int i = 0; i < 10; i++)
        fixture_turn(f);
    assert_int_equal(METRIC_GET(f->w->metrics.connections_open), 0);
    workers_fini(&f->group);
}

#define TURN_UNTIL(f, cond)                                                                        \
    do {                                                                                           \
        int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;                                         \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < give_up_us);                                                  \
            fixture_turn(f);                                                                       \
        }                                                                                          \
    } while (0)

static inline struct net_address loopback(uint16_t port)
{
    struct net_address a;
    assert_int_equal(net_address_parse("127.0.0.1:0", &a), 0);
    net_address_set_port(&a, port);
    return a;
}

static inline int tcp_listen(uint16_t *port)
{
    struct net_address a = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a.sa, a.len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.len), 0);
    *port = net_address_port(&a);
    return fd;
}

static inline int tcp_connect(uint16_t port)
{
    struct net_address a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_int_equal(connect(fd, (struct sockaddr *)&a.sa, a.len), 0);
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    return fd;
}

/* ours: for io_accept; theirs: the peer's. */
static inline void tcp_pair(int *ours, int *theirs)
{
    uint16_t port;
    int listening = tcp_listen(&port);
    *theirs = tcp_connect(port);
    *ours = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(*ours >= 0);
    close(listening);
}

static inline void send_all(int fd, const void *src, size_t len)
{
    assert_int_equal(send(fd, src, len, MSG_NOSIGNAL), len);
}

static inline void send_text(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

/* What the peer has got so far. */
struct inbox {
    char *data;
    size_t len, room;
    bool eof;
};

static inline void inbox_free(struct inbox *in)
{
    free(in->data);
    *in = (struct inbox){0};
}

/* Takes at most max bytes of what has arrived. */
static inline void inbox_read(struct inbox *in, int fd, size_t max)
{
    if (in->room - in->len < max + 1)
        in->data = xrealloc(in->data, in->room = in->room * 2 + max + 1);
    ssize_t n = recv(fd, in->data + in->len, max, MSG_DONTWAIT);
    if (n > 0)
        in->len += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        in->eof = true;
    in->data[in->len] = '\0';
}

static inline bool inbox_has(const struct inbox *in, const char *text)
{
    return in->data != NULL && strstr(in->data, text) != NULL;
}

static inline size_t inbox_count(const struct inbox *in, const char *text)
{
    size_t n = 0;
    for (const char *p = in->data; p != NULL && (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

#define READ_UNTIL(f, in, fd, cond)                                                                \
    do {                                                                                           \
        int64_t give_up_at_us = clock_us() + TEST_GIVE_UP_US;                                      \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < give_up_at_us);                                               \
            fixture_turn(f);                                                                       \
            inbox_read(in, fd, 65536);                                                             \
        }                                                                                          \
    } while (0)

#endif
