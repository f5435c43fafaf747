#include "whep.h"
#include "bench.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_US    WHEP_LOOK_US
#define STARTED_MS 10000 /* until all have their first frames */

static void player_start(struct whep_load *l, int number)
{
    struct whep_one *one = &l->players[number];
    char path[2 * TARGET_TEXT_MAX + 8];
    snprintf(path, sizeof path, "/%s/%s/whep", l->options.target.app, l->options.target.stream);
    if (whep_player_open(&one->player, &l->crew, one, path) < 0) {
        perror("sluice-bench: connect");
        exit(BENCH_FAILED);
    }
}

static void on_event(struct whep_load *l, struct whep_one *one)
{
    bool framed = one->player.frame_us != 0;
    if (one->gone)
        return;
    if (whep_player_event(&one->player) < 0) {
        if (l->gone++ == 0)
            fprintf(stderr, "sluice-bench: refused: %.200s\n", whep_player_why(&one->player));
        one->gone = true;
        whep_player_close(&one->player);
    }
    l->framed += !framed && one->player.frame_us != 0;
}

static void start_due(struct whep_load *l)
{
    const struct whep_options *o = &l->options;
    int64_t due = (clock_us() - l->begin.at_us) * o->rate / 1000000;
    while (l->started < o->players && l->started <= due)
        player_start(l, l->started++);
}

static void serve_until(struct whep_load *l, int64_t until_us)
{
    struct epoll_event events[BENCH_EVENTS];
    int64_t now_us;
    while ((now_us = clock_us()) < until_us && l->gone < l->options.players) {
        start_due(l);
        int n = epoll_wait(l->epoll, events, BENCH_EVENTS, l->started < l->options.players ? 1 : 5);
        for (int i = 0; i < n; i++)
            on_event(l, events[i].data.ptr);
        if (now_us - l->looked_us < LOOK_US)
            continue;
        l->looked_us = now_us;
        for (int i = 0; i < l->started; i++)
            if (!l->players[i].gone)
                whep_player_look(&l->players[i].player, now_us);
    }
}

static struct whep_moment moment(const struct whep_load *l)
{
    struct whep_moment m = {.at_us = clock_us(),
                            .server = procstat_read(l->options.pid),
                            .self = procstat_read(getpid())};
    for (int i = 0; i < l->started; i++) {
        m.packets += l->players[i].player.packets;
        m.bytes += l->players[i].player.bytes;
    }
    return m;
}

static void run(struct whep_load *l)
{
    const struct whep_options *o = &l->options;
    l->begin = moment(l);
    int64_t until_us =
        l->begin.at_us + (int64_t)o->players * 1000000 / o->rate + (int64_t)STARTED_MS * 1000;
    while (clock_us() < until_us && l->framed + l->gone < o->players)
        serve_until(l, clock_us() + LOOK_US);
    serve_until(l, clock_us() + o->rest_us);
    for (int i = 0; i < o->players; i++) {
        l->players[i].missing_before = whep_player_missing(&l->players[i].player);
        l->players[i].player.silence_us = 0;
    }
    l->from = moment(l);
    serve_until(l, l->from.at_us + o->window_us);
    l->to = moment(l);
}

static int parse(struct whep_options *o, int argc, char **argv)
{
    const char *url = NULL;
    for (int c; (c = getopt(argc, argv, "u:n:t:r:w:P:L:k:")) != -1;) {
        switch (c) {
        case 'u':
            url = optarg;
            break;
        case 'n':
            o->players = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 't':
            o->window_us = bench_number(optarg, 0, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'r':
            o->rate = (int)bench_number(optarg, 1, 100000);
            break;
        case 'w':
            o->rest_us = bench_number(optarg, 0, BENCH_SECONDS_MAX) * 1000000;
            break;
        case 'P':
            o->pid = (pid_t)bench_number(optarg, 1, INT32_MAX);
            break;
        case 'L':
            o->label = optarg;
            break;
        case 'k':
            o->open_each = (unsigned)bench_number(optarg, 0, 1000000);
            break;
        default:
            return BENCH_USAGE;
        }
    }
    return url != NULL && optind == argc && target_parse_plain(url, &o->target) == 0 &&
                   o->target.http
               ? BENCH_OK
               : BENCH_USAGE;
}

int whep_main(int argc, char **argv)
{
    struct whep_load l = {.options = {.players = 1,
                                      .rate = 100,
                                      .open_each = 1,
                                      .rest_us = 1000000,
                                      .window_us = 10000000,
                                      .label = ""}};
    int code = parse(&l.options, argc, argv);
    if (code != BENCH_OK)
        return code;
    l.players = xcalloc((size_t)l.options.players, sizeof l.players[0]);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    whep_crew_init(&l.crew, l.epoll, &l.options.target, NULL, l.options.open_each);
    run(&l);
    whep_report(&l);
    for (int i = 0; i < l.started; i++) {
        if (!l.players[i].gone)
            whep_player_leave(&l.players[i].player);
        whep_player_close(&l.players[i].player);
    }
    whep_crew_fini(&l.crew);
    close(l.epoll);
    free(l.players);
    return BENCH_OK;
}
