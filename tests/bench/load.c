#include "load.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "core/clock.h"
#include "proto/flv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRATCH_BYTES (1024 * 1024) /* read at once while a player is parsed */
#define DISCARD_BYTES (4 * 1024 * 1024)
#define LOOK_MS       10 /* between two looks at whether all first frames are there */
#define RATE_DEFAULT  500
#define REST_S        3
#define WINDOW_S      10

static void player_leave(struct player *p)
{
    if (p->fd < 0)
        return;
    close(p->fd);
    p->fd = -1;
    p->load->gone++;
    client_fini(&p->client);
}

/* ---- from the first byte to the first frame ---- */

static bool is_key_frame(uint8_t type, struct slice body)
{
    struct flv_packet packets[FLV_PACKETS_MAX];
    int n = type == FLV_TAG_VIDEO ? flv_packets(type, body, packets) : 0;
    for (int i = 0; i < n; i++)
        if (packets[i].class == FLV_FRAMES && packets[i].frame_type == FLV_FRAME_KEY)
            return true;
    return false;
}

static void on_message(struct client *c, uint8_t type, uint32_t timestamp_ms, struct slice body)
{
    struct player *p = container_of(c, struct player, client);
    int64_t now_us = clock_us();
    if (p->media_us == 0)
        p->media_us = now_us;
    if (p->frame_us != 0 || !is_key_frame(type, body))
        return;
    p->frame_us = now_us;
    p->load->framed++;
    p->discarding = true;
    if (p->load->options.events)
        printf("{\"event\":\"first_frame\",\"label\":\"%s\",\"player\":%d,\"connect_us\":%lld,"
               "\"media_us\":%lld,\"frame_us\":%lld}\n",
               p->load->options.label, p->number, (long long)p->connect_us, (long long)p->media_us,
               (long long)p->frame_us);
}

/* What a player says is so little that a socket which does not take it is as good as closed. */
static bool player_send(struct player *p)
{
    struct slice out = buf_slice(&p->client.out);
    if (out.len == 0)
        return true;
    ssize_t n = send(p->fd, out.p, out.len, MSG_NOSIGNAL);
    buf_consume(&p->client.out, n > 0 ? (size_t)n : 0);
    return n == (ssize_t)out.len;
}

static bool player_connected(struct player *p)
{
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code != 0)
        return false;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    p->connecting = false;
    return epoll_ctl(p->load->epoll, EPOLL_CTL_MOD, p->fd, &e) == 0 && player_send(p);
}

static bool player_read(struct player *p)
{
    struct load *l = p->load;
    ssize_t n = p->discarding ? recv(p->fd, NULL, DISCARD_BYTES, MSG_TRUNC)
                              : recv(p->fd, l->scratch, SCRATCH_BYTES, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    int64_t now_us = clock_us();
    if (p->last_us != 0 && now_us - p->last_us > p->gap_us)
        p->gap_us = now_us - p->last_us;
    p->last_us = now_us;
    p->bytes += (uint64_t)n;
    l->bytes += (uint64_t)n;
    if (p->discarding)
        return true;
    int err = client_feed(&p->client, slice_of(l->scratch, (size_t)n));
    if (p->discarding && l->options.leave)
        return false;
    return err == 0 && player_send(p);
}

static void player_event(struct player *p)
{
    if (p->fd >= 0 && !(p->connecting ? player_connected(p) : player_read(p)))
        player_leave(p);
}

static void player_start(struct load *l, int number)
{
    struct player *p = &l->players[number];
    p->load = l;
    p->number = number;
    p->connecting = true;
    p->connect_us = clock_us();
    if (!client_init(&p->client, &l->options.target, number % l->options.modulo, CLIENT_PLAY,
                     on_message)) {
        fprintf(stderr, "sluice-bench: the stream's name is too long\n");
        exit(BENCH_FAILED);
    }
    p->fd = target_connect(&l->options.target);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = p};
    if (p->fd >= 0 && epoll_ctl(l->epoll, EPOLL_CTL_ADD, p->fd, &e) == 0)
        return;
    perror("sluice-bench: connect");
    exit(BENCH_FAILED);
}

/* ---- all of them ---- */

static struct load_moment moment(const struct load *l)
{
    struct load_moment m = {.at_us = clock_us(),
                            .bytes = l->bytes,
                            .gone = l->gone,
                            .tcp_kib = procstat_tcp_kib(),
                            .self = procstat_read(getpid())};
    for (int i = 0; i < l->options.pid_count; i++)
        procstat_add(&m.server, procstat_read(l->options.pids[i]));
    return m;
}

static void start_due(struct load *l)
{
    const struct load_options *o = &l->options;
    int64_t due = (clock_us() - l->begin.at_us) * o->rate / 1000000;
    while (l->started < o->players && l->started <= due)
        player_start(l, l->started++);
}

/* How long nothing but sockets needs attention.  A load that wakes up for nothing takes time from
 * the server it measures. */
static int idle_ms(const struct load *l, int64_t now_us, int64_t until_us)
{
    int64_t left_ms = (until_us - now_us + 999) / 1000;
    if (l->started < l->options.players || left_ms < 1)
        return 1;
    return left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
}

/* Serves the sockets until then, or until all players have left. */
static void serve_until(struct load *l, int64_t until_us)
{
    struct epoll_event events[BENCH_EVENTS];
    int64_t now_us;
    while ((now_us = clock_us()) < until_us && l->gone < l->options.players) {
        start_due(l);
        int n = epoll_wait(l->epoll, events, BENCH_EVENTS, idle_ms(l, now_us, until_us));
        for (int i = 0; i < n; i++)
            player_event(events[i].data.ptr);
    }
}

static void wait_for_frames(struct load *l)
{
    const struct load_options *o = &l->options;
    int64_t until_us =
        l->begin.at_us + (int64_t)o->players * 1000000 / o->rate + LOAD_STARTED_MS * 1000;
    while (clock_us() < until_us && l->framed + l->gone < o->players)
        serve_until(l, clock_us() + LOOK_MS * 1000);
}

static void open_window(struct load *l)
{
    for (int i = 0; i < l->options.players; i++) {
        l->players[i].bytes_before = l->players[i].bytes;
        l->players[i].gap_us = 0;
    }
    l->from = moment(l);
}

static void run(struct load *l)
{
    const struct load_options *o = &l->options;
    l->begin = l->from = moment(l);
    if (o->leave) {
        serve_until(l, l->begin.at_us + o->window_us);
    } else {
        wait_for_frames(l);
        serve_until(l, clock_us() + o->rest_us);
        open_window(l);
        serve_until(l, l->from.at_us + o->window_us);
    }
    l->to = moment(l);
}

static int parse(struct load_options *o, int argc, char **argv)
{
    const char *url = NULL;
    for (int c; (c = getopt(argc, argv, "u:n:t:r:w:P:m:L:ce")) != -1;) {
        switch (c) {
        case 'u':
            url = optarg;
            break;
        case 'n':
            o->players = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 't':
            o->window_us = bench_number(optarg, 1, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'r':
            o->rate = (int)bench_number(optarg, 1, 100000);
            break;
        case 'w':
            o->rest_us = bench_number(optarg, 0, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'P':
            if (o->pid_count == LOAD_PIDS_MAX)
                return BENCH_USAGE;
            o->pids[o->pid_count++] = (pid_t)bench_number(optarg, 1, INT32_MAX);
            break;
        case 'm':
            o->modulo = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 'L':
            o->label = optarg;
            break;
        case 'c':
            o->leave = true;
            break;
        case 'e':
            o->events = true;
            break;
        default:
            return BENCH_USAGE;
        }
    }
    return url != NULL && optind == argc && target_parse(url, &o->target) == 0 ? BENCH_OK
                                                                               : BENCH_USAGE;
}

int load_main(int argc, char **argv)
{
    struct load l = {.options = {.players = 1,
                                 .modulo = BENCH_PEERS_MAX,
                                 .rate = RATE_DEFAULT,
                                 .rest_us = REST_S * 1000000,
                                 .window_us = WINDOW_S * 1000000,
                                 .label = ""}};
    int code = parse(&l.options, argc, argv);
    if (code != BENCH_OK)
        return code;
    l.players = xcalloc((size_t)l.options.players, sizeof l.players[0]);
    for (int i = 0; i < l.options.players; i++)
        l.players[i].fd = -1;
    l.scratch = xmalloc(SCRATCH_BYTES);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    run(&l);
    load_report(&l);
    for (int i = 0; i < l.options.players; i++)
        player_leave(&l.players[i]);
    close(l.epoll);
    free(l.scratch);
    free(l.players);
    return BENCH_OK;
}
