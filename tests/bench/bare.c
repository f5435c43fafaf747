/*
 * The least it can cost.  One stream, chunked beforehand, to N loopback sockets of a child that
 * discards it, one sendmsg of header and payload pairs per socket and flush.  No server around it:
 * no accounts, no timers, a socket that takes less than all is not waited for.  With -s the stream
 * comes from a publisher and is received first, unread; else nothing is read.  With -c the loop has
 * a processor of its own; its child stays where the program was started. With -r as many streams as
 * viewers: recv and send of whatever comes, unread (bare_relay.c).
 */
#include "bare.h"
#include "flv_file.h"
#include "procstat.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/clock.h"
#include "proto/flv.h"
#include "proto/rtmp_chunk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLUSH_IOV     1024 /* of one sendmsg (IOV_MAX) */
#define DISCARD_BYTES (4 * 1024 * 1024)
#define RECEIVE_BYTES (64 * 1024) /* of the publisher, at once */
#define SOCKETS       1000
#define SECONDS       10
#define MERGE_MS_MAX  10000

struct bare {
    struct flv_file file;
    int sockets, *fds;
    int64_t window_ms, merge_ms;
    pid_t sink;
    int64_t begin_us;
    struct flv_place at;
    uint8_t headers[FLUSH_IOV][RTMP_CHUNK_HEADER_MAX];
    struct iovec iov[FLUSH_IOV];
    int count;
    size_t flush_bytes;
    uint64_t bytes, calls, refused;
    /* With -s. */
    bool receiving;
    int source;
    int cpu; /* of this side alone; negative: any */
    pid_t publisher;
    uint64_t due_bytes, received;
};

/* ---- the other side ---- */

int bare_connect(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        _exit(BENCH_FAILED);
    return fd;
}

void bare_discard(const struct sockaddr_in *to, int sockets)
{
    struct epoll_event events[BENCH_EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < sockets; i++) {
        int fd = bare_connect(to);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
    for (;;) {
        int n = epoll_wait(epoll, events, BENCH_EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (recv(events[i].data.fd, NULL, DISCARD_BYTES, MSG_TRUNC | MSG_DONTWAIT) == 0)
                epoll_ctl(epoll, EPOLL_CTL_DEL, events[i].data.fd, NULL);
    }
}

void bare_accept(int listener, int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            perror("sluice-bench: accept");
            exit(BENCH_FAILED);
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        fds[i] = fd;
    }
}

int bare_listen(struct sockaddr_in *a)
{
    socklen_t len = sizeof *a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)a, sizeof *a) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)a, &len) < 0) {
        perror("sluice-bench: listen");
        exit(BENCH_FAILED);
    }
    return listener;
}

static void open_sockets(struct bare *b)
{
    struct sockaddr_in a;
    int listener = bare_listen(&a);
    b->sink = fork();
    if (b->sink == 0)
        bare_discard(&a, b->sockets);
    bare_accept(listener, b->fds, b->sockets);
    close(listener);
}

/* ---- this side ---- */

static void add_piece(struct bare *b, const void *p, size_t len)
{
    b->iov[b->count++] = (struct iovec){(void *)(uintptr_t)p, len};
    b->flush_bytes += len;
}

/* Headers and payload pieces of one message; false when the flush has no room for it. */
static bool add_entry(struct bare *b, const struct flv_entry *e, int64_t due_ms)
{
    static const size_t chunk = RTMP_CHUNK_SIZE_OUT;
    uint32_t csid = e->type == FLV_TAG_VIDEO ? RTMP_CSID_VIDEO : RTMP_CSID_AUDIO;
    const struct rtmp_message m = {e->type, csid, 1, (uint32_t)due_ms, e->body};
    if ((size_t)(FLUSH_IOV - b->count) < 2 * (e->body.len / chunk + 1))
        return false;
    for (size_t at = 0; at < e->body.len; at += chunk) {
        uint8_t *header = b->headers[b->count];
        size_t left = e->body.len - at;
        add_piece(b, header,
                  at == 0 ? rtmp_chunk_header(header, &m)
                          : rtmp_chunk_continuation(header, csid, m.timestamp_ms));
        add_piece(b, e->body.p + at, left < chunk ? left : chunk);
    }
    return true;
}

/* Gathers what is due until then, at least one message. */
static void gather(struct bare *b, int64_t until_ms)
{
    b->count = 0;
    b->flush_bytes = 0;
    for (;;) {
        int64_t due_ms = flv_file_due_ms(&b->file, &b->at);
        if (b->count > 0 && (due_ms > until_ms || b->merge_ms == 0))
            return;
        if (!add_entry(b, flv_file_at(&b->file, &b->at), due_ms))
            return;
        flv_file_next(&b->file, &b->at);
    }
}

static void flush(struct bare *b)
{
    const struct msghdr m = {.msg_iov = b->iov, .msg_iovlen = (size_t)b->count};
    for (int i = 0; i < b->sockets; i++) {
        ssize_t n = sendmsg(b->fds[i], &m, MSG_NOSIGNAL);
        b->calls++;
        b->bytes += n > 0 ? (uint64_t)n : 0;
        b->refused += n < (ssize_t)b->flush_bytes;
    }
}

static void sleep_until(const struct bare *b, int64_t ms)
{
    int64_t left_us = b->begin_us + ms * 1000 - clock_us();
    if (left_us > 0)
        usleep((useconds_t)left_us);
}

/* In a child: writes each message when it is due, until it is killed. */
static _Noreturn void publish(struct bare *b, const struct sockaddr_in *to)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    b->source = bare_connect(to);
    b->merge_ms = 0;
    for (;;) {
        int64_t due_ms = flv_file_due_ms(&b->file, &b->at);
        gather(b, due_ms);
        sleep_until(b, due_ms);
        if (writev(b->source, b->iov, b->count) < 0)
            _exit(BENCH_FAILED);
    }
}

static void open_source(struct bare *b)
{
    struct sockaddr_in a;
    int listener = bare_listen(&a);
    b->publisher = fork();
    if (b->publisher == 0)
        publish(b, &a);
    bare_accept(listener, &b->source, 1);
    close(listener);
}

/* Receives until what was gathered has come, and until then. */
static void receive_until(struct bare *b, int64_t ms)
{
    static uint8_t scratch[RECEIVE_BYTES];
    int64_t until_us = b->merge_ms > 0 ? b->begin_us + ms * 1000 : 0, left_us;
    b->due_bytes += b->flush_bytes;
    while ((left_us = until_us - clock_us()) > 0 || b->received < b->due_bytes) {
        struct pollfd p = {.fd = b->source, .events = POLLIN};
        const struct timespec t = {left_us / 1000000, left_us % 1000000 * 1000};
        if (ppoll(&p, 1, left_us > 0 ? &t : NULL, NULL) <= 0)
            continue;
        ssize_t n = recv(b->source, scratch, sizeof scratch, MSG_DONTWAIT);
        if (n == 0)
            exit(BENCH_FAILED);
        b->received += n > 0 ? (uint64_t)n : 0;
    }
}

/*
 * Plays up to that time of the stream.  As a server's timer does, the time to merge begins with the
 * first message that waits.  It does not merge more when it is late, so that the calls for a second
 * of the stream are always the same.
 */
static int64_t play(struct bare *b, int64_t at_ms, int64_t until_ms)
{
    while (at_ms < until_ms) {
        at_ms = flv_file_due_ms(&b->file, &b->at) + b->merge_ms;
        gather(b, at_ms);
        if (b->receiving)
            receive_until(b, at_ms);
        else
            sleep_until(b, at_ms);
        flush(b);
    }
    return at_ms;
}

/* A machine without that processor is measured as it is. */
static void keep_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void measure(struct bare *b)
{
    b->begin_us = clock_us();
    if (b->receiving)
        open_source(b);
    if (b->cpu >= 0)
        keep_to(b->cpu);
    int64_t at_ms = play(b, 0, BARE_WARM_MS);
    struct procstat from = procstat_read(getpid()), sink_from = procstat_read(b->sink);
    uint64_t bytes = b->bytes, calls = b->calls, refused = b->refused;
    int64_t from_us = clock_us();
    at_ms = play(b, at_ms, at_ms + b->window_ms);
    double seconds = (double)(clock_us() - from_us) / 1e6;
    struct procstat to = procstat_read(getpid()), sink_to = procstat_read(b->sink);
    double gb = (double)(b->bytes - bytes) / 1e9;
    double user_s = to.user_s - from.user_s, system_s = to.system_s - from.system_s;
    double sink_s = sink_to.user_s + sink_to.system_s - sink_from.user_s - sink_from.system_s;
    printf("{\"event\":\"bare\",\"sockets\":%d,\"merge_ms\":%lld,\"window_s\":%.3f,\"gb\":%.4f,"
           "\"mbps_per_player\":%.3f,\"cpu_s\":%.3f,\"cpu_s_per_gb\":%.4f,\"user_s_per_gb\":%.4f,"
           "\"system_s_per_gb\":%.4f,\"load_s_per_gb\":%.4f,\"calls\":%llu,\"refused\":%llu,"
           "\"late_ms\":%.1f}\n",
           b->sockets, (long long)b->merge_ms, seconds, gb, gb * 8e3 / seconds / b->sockets,
           user_s + system_s, (user_s + system_s) / gb, user_s / gb, system_s / gb, sink_s / gb,
           (unsigned long long)(b->calls - calls), (unsigned long long)(b->refused - refused),
           (double)(clock_us() - b->begin_us) / 1000 - (double)at_ms);
}

int bare_main(int argc, char **argv)
{
    struct bare b = {.sockets = SOCKETS, .window_ms = SECONDS * 1000, .cpu = -1};
    const char *file = NULL;
    bool relay = false;
    for (int c; (c = getopt(argc, argv, "c:f:n:t:k:rs")) != -1;) {
        switch (c) {
        case 'r':
            relay = true;
            break;
        case 'c':
            b.cpu = (int)bench_number(optarg, 0, CPU_SETSIZE - 1);
            break;
        case 's':
            b.receiving = true;
            break;
        case 'f':
            file = optarg;
            break;
        case 'n':
            b.sockets = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 't':
            b.window_ms = bench_number(optarg, 1, BENCH_SECONDS_MAX) * 1000;
            break;
        case 'k':
            b.merge_ms = bench_number(optarg, 0, MERGE_MS_MAX);
            break;
        default:
            return BENCH_USAGE;
        }
    }
    if (file == NULL || optind != argc)
        return BENCH_USAGE;
    if (flv_file_open(&b.file, file) < 0) {
        fprintf(stderr, "sluice-bench: %s: not an FLV file with media\n", file);
        return BENCH_FAILED;
    }
    if (relay)
        return bare_relay(&b.file, b.sockets, b.window_ms);
    b.fds = xcalloc((size_t)b.sockets, sizeof b.fds[0]);
    open_sockets(&b);
    measure(&b);
    kill(b.sink, SIGKILL);
    waitpid(b.sink, NULL, 0);
    if (b.receiving) {
        kill(b.publisher, SIGKILL);
        waitpid(b.publisher, NULL, 0);
    }
    free(b.fds);
    flv_file_close(&b.file);
    return BENCH_OK;
}
