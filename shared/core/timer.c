#include "core/timer.h"

#include "base/must.h"
#include "core/clock.h"

#include <string.h>

static void add_event(struct timer *t, int64_t us)
{
    struct timeval tv = {us / 1000000, us % 1000000};
    t->set = true;
    must(event_add(&t->event, &tv) == 0);
}

/* The callback may free the timer, so nothing of it is read afterwards. */
static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct timer *t = arg;
    struct worker *w = t->worker;
    const char *name = t->what;
    int64_t now_us = clock_us();
    if (now_us < t->due_us) {
        /* libevent's clock is the coarse one and may be a tick behind. */
        add_event(t, t->due_us - now_us);
        return;
    }
    worker_enter(w, name, now_us);
    t->set = false;
    t->on_time(t->arg);
    worker_watch(w, name, now_us);
}

void timer_init(struct timer *t, struct worker *w, const char *what, void (*on_time)(void *arg),
                void *arg)
{
    memset(t, 0, sizeof *t);
    t->worker = w;
    t->on_time = on_time;
    t->arg = arg;
    t->what = what;
    must(evtimer_assign(&t->event, w->base, on_event, t) == 0);
}

void timer_set_us(struct timer *t, int64_t us)
{
    must(us >= 0 && worker_is_current(t->worker));
    t->due_us = clock_us() + us;
    add_event(t, us);
}

void timer_set_ms(struct timer *t, int64_t ms)
{
    timer_set_us(t, ms * 1000);
}

void timer_stop(struct timer *t)
{
    must(worker_is_current(t->worker));
    if (!t->set)
        return;
    t->set = false;
    event_del(&t->event);
}

bool timer_is_set(const struct timer *t)
{
    return t->set;
}

void timer_fini(struct timer *t)
{
    if (t->worker == NULL)
        return;
    timer_stop(t);
    t->worker = NULL;
}
