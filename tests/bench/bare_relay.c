/*
 * The least that streams with one viewer each can cost: what comes over one socket goes to another,
 * unread.
 *
 *   child: publishers, in real time ──▶ recv, send ──▶ child: discards
 */
#include "bare.h"
#include "procstat.h"

#include "base/mem.h"
#include "core/clock.h"
#include "proto/flv.h"
#include "proto/rtmp_chunk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES    (64 * 1024) /* at once */
#define JOIN_US       5000        /* from one publisher to the next, as with `publish` */
#define RELAY_WAIT_MS 100

struct relay {
    int *in, *out, epoll;
    uint64_t bytes;
    uint8_t scratch[READ_BYTES];
};

struct source {
    int fd;
    struct flv_place at;
    int64_t begin_us;
};

/* One message, as a publisher that chunks it writes it. */
static void send_entry(int fd, const struct flv_entry *e, int64_t due_ms, uint8_t *room)
{
    uint32_t csid = e->type == RTMP_VIDEO ? RTMP_CSID_VIDEO : RTMP_CSID_AUDIO;
    const struct rtmp_message m = {e->type, (uint8_t)csid, 1, (uint32_t)due_ms, e->body};
    struct wr w = wr_init(room, rtmp_chunk_write_size(&m, RTMP_CHUNK_SIZE_OUT));
    rtmp_chunk_write(&w, &m, RTMP_CHUNK_SIZE_OUT);
    if (write(fd, room, wr_len(&w)) < 0)
        _exit(BENCH_FAILED);
}

/* Sends what is due; returns when the next message is.  Each leaves at its own time, as those of
 * `publish` do: who sleeps by the millisecond hands the relay several at once. */
static int64_t send_due(struct source *s, const struct flv_file *file, int64_t now_us,
                        uint8_t *room)
{
    int64_t due_ms;
    while ((due_ms = flv_file_due_ms(file, &s->at)) * 1000 <= now_us - s->begin_us) {
        send_entry(s->fd, flv_file_at(file, &s->at), due_ms, room);
        flv_file_next(file, &s->at);
    }
    return s->begin_us + due_ms * 1000;
}

static _Noreturn void publish(const struct sockaddr_in *to, const struct flv_file *file, int count)
{
    struct source *sources = xcalloc((size_t)count, sizeof sources[0]);
    uint8_t *room = xmalloc(2UL * FLV_BODY_MAX);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < count; i++) {
        sources[i].fd = bare_connect(to);
        usleep(JOIN_US);
        sources[i].begin_us = clock_us();
    }
    for (;;) {
        int64_t now_us = clock_us(), next_us = INT64_MAX;
        for (int i = 0; i < count; i++) {
            int64_t due_us = send_due(&sources[i], file, now_us, room);
            next_us = due_us < next_us ? due_us : next_us;
        }
        int64_t wait_us = next_us - clock_us();
        if (wait_us > 0)
            usleep((useconds_t)wait_us);
    }
}

static void pass_on(struct relay *r, int i)
{
    ssize_t n = recv(r->in[i], r->scratch, READ_BYTES, MSG_DONTWAIT);
    if (n > 0 && send(r->out[i], r->scratch, (size_t)n, MSG_NOSIGNAL) == n)
        r->bytes += (uint64_t)n;
}

static void serve(struct relay *r, int64_t ms)
{
    struct epoll_event events[BENCH_EVENTS];
    for (int64_t until_us = clock_us() + ms * 1000; clock_us() < until_us;) {
        int n = epoll_wait(r->epoll, events, BENCH_EVENTS, RELAY_WAIT_MS);
        for (int i = 0; i < n; i++)
            pass_on(r, (int)events[i].data.u32);
    }
}

static void report(struct relay *r, int streams, int64_t window_ms)
{
    serve(r, BARE_WARM_MS);
    struct procstat from = procstat_read(getpid());
    uint64_t bytes = r->bytes;
    serve(r, window_ms);
    struct procstat to = procstat_read(getpid());
    double gb = (double)(r->bytes - bytes) / 1e9;
    double user_s = to.user_s - from.user_s, system_s = to.system_s - from.system_s;
    printf("{\"event\":\"bare\",\"sockets\":%d,\"relay\":true,\"gb\":%.4f,\"cpu_s\":%.3f,"
           "\"cpu_s_per_gb\":%.4f,\"user_s_per_gb\":%.4f,\"system_s_per_gb\":%.4f}\n",
           streams, gb, user_s + system_s, (user_s + system_s) / gb, user_s / gb, system_s / gb);
}

int bare_relay(const struct flv_file *file, int streams, int64_t window_ms)
{
    struct relay *r = xcalloc(1, sizeof *r);
    struct sockaddr_in a;
    int listener = bare_listen(&a);
    pid_t sink, source;
    r->in = xcalloc((size_t)streams, sizeof r->in[0]);
    r->out = xcalloc((size_t)streams, sizeof r->out[0]);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if ((sink = fork()) == 0)
        bare_discard(&a, streams);
    bare_accept(listener, r->out, streams);
    if ((source = fork()) == 0)
        publish(&a, file, streams);
    bare_accept(listener, r->in, streams);
    for (int i = 0; i < streams; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->in[i], &e);
    }
    report(r, streams, window_ms);
    kill(source, SIGKILL);
    kill(sink, SIGKILL);
    while (wait(NULL) > 0)
        ;
    return BENCH_OK;
}
