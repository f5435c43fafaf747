/*
 * Publishers that replay an FLV file in real time, round after round, from one thread.  Headers are
 * written per message; bodies go to the socket from where the file lies in memory.
 */
#include "bench.h"
#include "client.h"
#include "flv_file.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/clock.h"
#include "proto/flv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES_MAX    (2 * (FLV_BODY_MAX / RTMP_CHUNK_SIZE_OUT + 1)) /* iovecs of one message */
#define SCRATCH_BYTES (64 * 1024)
#define RATE_DEFAULT  200
#define SECONDS       10

struct publish_options {
    struct target target;
    int publishers, rate;
    int64_t run_us, life_us; /* life: of each publisher, 0 for as long as the run */
    bool events;
    const char *file;
};

struct publisher {
    struct client client;
    int fd, number;
    bool connecting, granted, done;
    int64_t granted_us;
    struct flv_place at;
    struct buf rest; /* of a message the socket took in part */
};

struct publish {
    struct publish_options options;
    struct flv_file file;
    struct publisher *publishers;
    int epoll, started, granted, lost;
    int64_t begin_us;
    uint64_t bytes;
};

static void on_message(struct client *c, uint8_t type, struct slice body)
{
}

static void publisher_end(struct publish *p, struct publisher *one, bool lost)
{
    if (lost) {
        p->lost++;
        fprintf(stderr, "sluice-bench: publisher %d lost\n", one->number);
    }
    close(one->fd);
    one->fd = -1;
    one->done = true;
    buf_fini(&one->rest);
    client_fini(&one->client);
}

/* ---- one message ---- */

static struct iovec piece(const void *p, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)p, len};
}

static uint8_t csid_of(uint8_t type)
{
    return type == FLV_TAG_VIDEO ? RTMP_CSID_VIDEO : RTMP_CSID_AUDIO;
}

/* Hands the pieces to the socket and keeps what it does not take. */
static bool send_pieces(struct publish *p, struct publisher *one, struct iovec *iov, int count)
{
    ssize_t n = writev(one->fd, iov, count);
    if (n < 0 && errno != EAGAIN)
        return false;
    size_t sent = n > 0 ? (size_t)n : 0;
    p->bytes += sent;
    for (int i = 0; i < count; i++) {
        size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        sent -= skip;
        const uint8_t *from = iov[i].iov_base;
        if (buf_append(&one->rest, from + skip, iov[i].iov_len - skip) < 0)
            return false;
    }
    return true;
}

static bool send_entry(struct publish *p, struct publisher *one, const struct flv_entry *e,
                       uint32_t timestamp_ms)
{
    static const size_t chunk = RTMP_CHUNK_SIZE_OUT;
    uint8_t header[RTMP_CHUNK_HEADER_MAX], again[RTMP_CHUNK_CONTINUATION_MAX];
    const struct rtmp_message m = {e->type, csid_of(e->type), one->client.sid, timestamp_ms,
                                   e->body};
    size_t again_len = rtmp_chunk_continuation(again, m.csid, timestamp_ms);
    struct iovec iov[PIECES_MAX];
    int count = 0;
    iov[count++] = piece(header, rtmp_chunk_header(header, &m));
    for (size_t at = 0; at < e->body.len; at += chunk) {
        if (at > 0)
            iov[count++] = piece(again, again_len);
        size_t left = e->body.len - at;
        iov[count++] = piece(e->body.p + at, left < chunk ? left : chunk);
    }
    return send_pieces(p, one, iov, count);
}

/* ---- one publisher ---- */

/* What is queued goes first; false when the connection is lost. */
static bool send_queue(struct publish *p, struct publisher *one, struct buf *queue)
{
    struct slice s = buf_slice(queue);
    if (s.len == 0)
        return true;
    ssize_t n = send(one->fd, s.p, s.len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    p->bytes += (uint64_t)n;
    buf_consume(queue, (size_t)n);
    return true;
}

/* Sends what is due; returns when the next is, INT64_MAX while the socket takes nothing. */
static int64_t publisher_step(struct publish *p, struct publisher *one, int64_t now_us)
{
    if (!send_queue(p, one, &one->rest)) {
        publisher_end(p, one, true);
        return INT64_MAX;
    }
    while (buf_len(&one->rest) == 0) {
        int64_t due_ms = flv_file_due_ms(&p->file, &one->at);
        int64_t due_us = one->granted_us + due_ms * 1000;
        if (due_us > now_us)
            return due_us;
        if (!send_entry(p, one, flv_file_at(&p->file, &one->at), (uint32_t)due_ms)) {
            publisher_end(p, one, true);
            return INT64_MAX;
        }
        flv_file_next(&p->file, &one->at);
    }
    return INT64_MAX;
}

static void publisher_granted(struct publish *p, struct publisher *one)
{
    one->granted = true;
    one->granted_us = clock_us();
    p->granted++;
    if (p->options.events)
        printf("{\"event\":\"granted\",\"publisher\":%d,\"at_us\":%lld}\n", one->number,
               (long long)one->granted_us);
    publisher_step(p, one, one->granted_us);
}

static bool publisher_read(struct publisher *one)
{
    uint8_t scratch[SCRATCH_BYTES];
    ssize_t n;
    while ((n = recv(one->fd, scratch, sizeof scratch, 0)) > 0)
        if (client_feed(&one->client, slice_of(scratch, (size_t)n)) < 0)
            return false;
    return n < 0 && errno == EAGAIN;
}

static void publisher_event(struct publish *p, struct publisher *one, uint32_t events)
{
    if (one->done)
        return;
    if (one->connecting && (events & EPOLLOUT) == 0)
        return;
    one->connecting = false;
    if (!publisher_read(one) || !send_queue(p, one, &one->client.out))
        publisher_end(p, one, true);
    else if (!one->granted && one->client.state == CLIENT_GRANTED)
        publisher_granted(p, one);
}

static void publisher_start(struct publish *p, int number)
{
    struct publisher *one = &p->publishers[number];
    one->number = number;
    one->connecting = true;
    buf_init(&one->rest, FLV_BODY_MAX);
    bool named = client_init(&one->client, &p->options.target, number, CLIENT_PUBLISH, on_message);
    one->fd = named ? target_connect(&p->options.target) : -1;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = one};
    if (one->fd >= 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, one->fd, &e) == 0)
        return;
    perror("sluice-bench: connect");
    exit(BENCH_FAILED);
}

/* ---- all of them ---- */

/* Lets every publisher do what is due; returns when the next one has something to do. */
static int64_t step_all(struct publish *p)
{
    const struct publish_options *o = &p->options;
    int64_t now_us = clock_us(), next_us = INT64_MAX;
    while (p->started < o->publishers && (now_us - p->begin_us) * o->rate / 1000000 >= p->started)
        publisher_start(p, p->started++);
    if (p->started < o->publishers)
        next_us = p->begin_us + (int64_t)p->started * 1000000 / o->rate;
    for (int i = 0; i < p->started; i++) {
        struct publisher *one = &p->publishers[i];
        if (one->done || !one->granted)
            continue;
        if (o->life_us > 0 && now_us - one->granted_us >= o->life_us) {
            publisher_end(p, one, false);
            continue;
        }
        int64_t due_us = publisher_step(p, one, now_us);
        next_us = due_us < next_us ? due_us : next_us;
    }
    return next_us;
}

static void run(struct publish *p)
{
    struct epoll_event events[BENCH_EVENTS];
    p->begin_us = clock_us();
    int64_t end_us = p->begin_us + p->options.run_us;
    for (int64_t now_us; (now_us = clock_us()) < end_us;) {
        int64_t next_us = step_all(p);
        next_us = next_us < end_us ? next_us : end_us;
        int64_t wait_us = next_us > now_us ? next_us - now_us : 0;
        const struct timespec wait = {wait_us / 1000000, wait_us % 1000000 * 1000};
        int n = epoll_pwait2(p->epoll, events, BENCH_EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++)
            publisher_event(p, events[i].data.ptr, events[i].events);
    }
}

static int parse(struct publish_options *o, int argc, char **argv)
{
    const char *url = NULL;
    for (int c; (c = getopt(argc, argv, "u:f:n:t:r:l:e")) != -1;) {
        switch (c) {
        case 'u':
            url = optarg;
            break;
        case 'f':
            o->file = optarg;
            break;
        case 'n':
            o->publishers = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 't':
            o->run_us = bench_number(optarg, 1, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'r':
            o->rate = (int)bench_number(optarg, 1, 100000);
            break;
        case 'l':
            o->life_us = bench_number(optarg, 1, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'e':
            o->events = true;
            break;
        default:
            return BENCH_USAGE;
        }
    }
    bool ok = url != NULL && o->file != NULL && optind == argc;
    return ok && target_parse(url, &o->target) == 0 && !o->target.http ? BENCH_OK : BENCH_USAGE;
}

int publish_main(int argc, char **argv)
{
    struct publish p = {
        .options = {.publishers = 1, .rate = RATE_DEFAULT, .run_us = SECONDS * 1000000}};
    int code = parse(&p.options, argc, argv);
    if (code != BENCH_OK)
        return code;
    if (flv_file_open(&p.file, p.options.file) < 0) {
        fprintf(stderr, "sluice-bench: %s: not an FLV file with media\n", p.options.file);
        return BENCH_FAILED;
    }
    p.publishers = xcalloc((size_t)p.options.publishers, sizeof p.publishers[0]);
    p.epoll = epoll_create1(EPOLL_CLOEXEC);
    run(&p);
    printf("{\"event\":\"publish\",\"publishers\":%d,\"granted\":%d,\"lost\":%d,\"bytes\":%llu}\n",
           p.options.publishers, p.granted, p.lost, (unsigned long long)p.bytes);
    for (int i = 0; i < p.started; i++)
        if (!p.publishers[i].done)
            publisher_end(&p, &p.publishers[i], false);
    close(p.epoll);
    free(p.publishers);
    flv_file_close(&p.file);
    return p.granted == p.options.publishers && p.lost == 0 ? BENCH_OK : BENCH_FAILED;
}
