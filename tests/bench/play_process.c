/* The loop of a process of viewers. */
#include "play.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LOOK_MS     50 /* between two looks at the phase while nothing happens */
#define PLAYING_MAX 32 /* events of those who play, before those who join have their turn again */

struct crew {
    struct play *play;
    uint8_t *viewers; /* of protocol->viewer_size each */
    int count, started, gone;
    int phase;
    int64_t tick_us;
};

static struct viewer *viewer_at(const struct crew *c, int i)
{
    return (struct viewer *)(void *)(c->viewers +
                                     (size_t)i * c->play->options.protocol->viewer_size);
}

static void viewer_end(struct crew *c, struct viewer *v)
{
    v->stats->state = VIEWER_GONE;
    c->play->options.protocol->close(v);
    c->gone++;
}

/* It was called with this result; it stays, or ends. */
static void judge(struct crew *c, struct viewer *v, int err)
{
    bool leaves = c->play->options.leave && v->stats->frame_us != 0;
    if (err < 0 || leaves)
        viewer_end(c, v);
}

static void start_due(struct crew *c, int64_t now_us)
{
    const struct play_options *o = &c->play->options;
    int64_t due = (now_us - c->play->begin.at_us) * o->rate / 1000000;
    for (; c->started < c->count; c->started++) {
        int number = c->started * o->processes + c->play->process;
        if (number > due)
            return;
        struct viewer *v = viewer_at(c, c->started);
        *v = (struct viewer){c->play, &c->play->shared->stats[number], number};
        v->stats->connect_us = now_us;
        v->stats->state = VIEWER_CONNECTING;
        judge(c, v, o->protocol->open(v));
    }
}

static void tick(struct crew *c, int64_t now_us)
{
    const struct play_protocol *protocol = c->play->options.protocol;
    if (protocol->tick == NULL || now_us < c->tick_us)
        return;
    c->tick_us = now_us + PLAY_TICK_MS * 1000;
    for (int i = 0; i < c->started; i++) {
        struct viewer *v = viewer_at(c, i);
        if (v->stats->state != VIEWER_GONE)
            judge(c, v, protocol->tick(v, now_us));
    }
}

static void enter_phase(struct crew *c, int phase)
{
    c->phase = phase;
    if (phase != PLAY_MEASURE)
        return;
    for (int i = 0; i < c->started; i++) {
        struct viewer_stats *s = viewer_at(c, i)->stats;
        s->bytes_before = s->bytes;
        s->gap_us = 0;
        s->stalls = 0;
    }
}

/* A load that wakes up for nothing takes time from the server it measures. */
static int wait_ms(const struct crew *c)
{
    if (c->started < c->count)
        return 1;
    return c->play->options.protocol->tick != NULL ? PLAY_TICK_MS : LOOK_MS;
}

/* The time until a first frame is the server's, not ours with a thousand others that play. */
static void serve(struct crew *c, int epoll, int max, int timeout_ms)
{
    struct play *p = c->play;
    struct epoll_event events[BENCH_EVENTS];
    int n = epoll_wait(epoll, events, max, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct viewer *v = events[i].data.ptr;
        if (v == NULL)
            serve(c, p->playing, PLAYING_MAX, 0);
        else if (v->stats->state != VIEWER_GONE)
            judge(c, v, p->options.protocol->event(v, events[i].events));
    }
}

static void open_epolls(struct play *p)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->playing = epoll_create1(EPOLL_CLOEXEC);
    must(epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->playing, &e) == 0);
}

_Noreturn void play_process(struct play *p, int process)
{
    const struct play_options *o = &p->options;
    struct crew c = {.play = p, .count = (o->viewers - process + o->processes - 1) / o->processes};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    p->process = process;
    open_epolls(p);
    p->scratch = xmalloc(PLAY_SCRATCH_BYTES);
    c.viewers = xcalloc((size_t)c.count, o->protocol->viewer_size);
    for (int phase; (phase = atomic_load(&p->shared->phase)) != PLAY_END && c.gone < c.count;) {
        int64_t now_us = clock_us();
        if (phase != c.phase)
            enter_phase(&c, phase);
        start_due(&c, now_us);
        tick(&c, now_us);
        serve(&c, p->epoll, BENCH_EVENTS, wait_ms(&c));
    }
    for (int i = 0; o->protocol->has_sessions && i < c.started; i++)
        if (viewer_at(&c, i)->stats->state != VIEWER_GONE)
            o->protocol->close(viewer_at(&c, i));
    /* The kernel closes what is open, at once. */
    fflush(stdout);
    _exit(BENCH_OK);
}
