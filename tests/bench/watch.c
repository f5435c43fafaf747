/* Many players on one thread: starting them, the loop, what is known of all. */
#include "watch.h"

#include "base/mem.h"
#include "core/clock.h"
#include "peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RATE_DEFAULT 500
#define SECONDS      60

struct watch_now {
    int open, playing, stalled;
    int64_t gap_us;
};

static struct watch_now look(const struct watch *w, int64_t now_us)
{
    struct watch_now n = {0};
    for (int i = 0; i < w->started; i++) {
        const struct watch_viewer *v = &w->viewers[i];
        n.gap_us = v->gap_us > n.gap_us ? v->gap_us : n.gap_us;
        n.open += v->fd >= 0;
        if (v->fd < 0 || v->frame_us == 0)
            continue;
        n.playing++;
        n.stalled += now_us - v->frame_us >= WATCH_STALL_MS * 1000;
    }
    return n;
}

static void print_state(const struct watch *w, const char *event)
{
    int64_t now_us = clock_us();
    struct watch_now n = look(w, now_us);
    const struct watch_counts *c = &w->counts;
    printf("{\"event\":\"%s\",\"at_us\":%lld,\"viewers\":%d,\"open\":%d,\"playing\":%d,"
           "\"stalled\":%d,\"gap_max_ms\":%.1f",
           event, (long long)now_us, w->options.viewers, n.open, n.playing, n.stalled,
           (double)n.gap_us / 1000);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"frames", c->frames},  {"opened", c->opened},
                  {"closed", c->closed},  {"refused", c->refused},
                  {"back", c->back},      {"holes", c->holes},
                  {"stale", c->stale},    {"lost_frames", c->lost_frames},
                  {"runs", c->runs},      {"stalls", c->stalls},
                  {"keyless", c->keyless}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        printf(",\"%s\":%llu", counts[i].name, (unsigned long long)counts[i].value);
    printf("}\n");
}

static void start_due(struct watch *w, int64_t now_us)
{
    const struct watch_options *o = &w->options;
    int64_t due = (now_us - w->begin_us) * o->rate / 1000000;
    while (w->started < o->viewers && w->started <= due) {
        struct watch_viewer *v = &w->viewers[w->started];
        v->watch = w;
        v->number = w->started++;
        watch_viewer_start(v);
    }
    for (int i = 0; o->again && i < w->started; i++)
        if (w->viewers[i].fd < 0 && now_us >= w->viewers[i].again_us)
            watch_viewer_start(&w->viewers[i]);
}

static void tick(struct watch *w, int64_t now_us)
{
    if (w->options.slow_bits > 0 && now_us >= w->tick_us) {
        w->tick_us = now_us + WATCH_TICK_MS * 1000;
        for (int i = 0; i < w->started; i++)
            watch_viewer_tick(&w->viewers[i]);
    }
    if (now_us >= w->state_us) {
        w->state_us = now_us + WATCH_STATE_MS * 1000;
        print_state(w, "state");
    }
}

static bool someone_waits(const struct watch *w)
{
    if (w->started < w->options.viewers)
        return true;
    for (int i = 0; w->options.again && i < w->started; i++)
        if (w->viewers[i].fd < 0)
            return true;
    return false;
}

static void run(struct watch *w)
{
    struct epoll_event events[BENCH_EVENTS];
    int64_t now_us;
    w->begin_us = clock_us();
    while ((now_us = clock_us()) < w->begin_us + w->options.run_us && !w->stopped) {
        start_due(w, now_us);
        tick(w, now_us);
        int n = epoll_wait(w->epoll, events, BENCH_EVENTS, someone_waits(w) ? 1 : WATCH_TICK_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                watch_viewer_event(events[i].data.ptr);
            else if (peers_read(w->signals) == PEERS_STOP)
                w->stopped = true;
        }
    }
}

static int parse(struct watch_options *o, int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "u:n:t:r:m:b:R")) != -1;) {
        switch (c) {
        case 'u':
            if (!targets_add(o->targets, &o->target_count, optarg))
                return BENCH_USAGE;
            break;
        case 'n':
            o->viewers = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 't':
            o->run_us = bench_number(optarg, 1, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'r':
            o->rate = (int)bench_number(optarg, 1, 100000);
            break;
        case 'm':
            o->modulo = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 'b':
            o->slow_bits = bench_number(optarg, 1, 1000000) * 1000;
            break;
        case 'R':
            o->again = true;
            break;
        default:
            return BENCH_USAGE;
        }
    }
    return o->target_count > 0 && optind == argc ? BENCH_OK : BENCH_USAGE;
}

int watch_main(int argc, char **argv)
{
    struct watch w = {.options = {.viewers = 1,
                                  .rate = RATE_DEFAULT,
                                  .modulo = BENCH_PEERS_MAX,
                                  .run_us = SECONDS * 1000000LL}};
    int code = parse(&w.options, argc, argv);
    if (code != BENCH_OK)
        return code;
    w.viewers = xcalloc((size_t)w.options.viewers, sizeof w.viewers[0]);
    for (int i = 0; i < w.options.viewers; i++)
        w.viewers[i].fd = -1;
    w.scratch = xmalloc(WATCH_SCRATCH);
    w.epoll = epoll_create1(EPOLL_CLOEXEC);
    w.signals = peers_signals(w.epoll);
    run(&w);
    print_state(&w, "watch");
    for (int i = 0; i < w.options.viewers; i++)
        watch_viewer_close(&w.viewers[i]);
    close(w.signals);
    close(w.epoll);
    free(w.scratch);
    free(w.viewers);
    return BENCH_OK;
}
