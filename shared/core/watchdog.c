#include "core/watchdog.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/crash.h"
#include "core/process.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * The thread reads what workers write about themselves (worker_enter) and never waits for one.  A
 * worker's stack is read by the worker: a signal makes it leave its return addresses in the watch.
 */

#define TICK_US            60000 /* from look to look: less than it takes until something is told */
#define TICK_MIN_US        5000  /* and when a worker is about to be late */
#define STILL_US           25000 /* later than that with a processor: the watchdog stood still, too */
#define WATCH_FRAMES_MAX   48
#define WATCH_FRAMES_TOLD  6       /* of a handler that is only late */
#define WATCH_SKIPPED      2       /* the signal's own frames */
#define STACK_WAIT_US      1000000 /* a worker that does not answer has no stack to show */
#define STACK_WAIT_STEP_US 1000

/* Of a thread, in all: what it ran, and what it was ready to run and did not.
 * /proc/PID/task/TID/schedstat; 0 where the kernel does not count it. */
struct run_times {
    int64_t ran_us, delayed_us;
};
/* Those of one thread at the last look.  The file stays open: to read it anew is one call. */
struct run_meter {
    int fd; /* -1: not yet */
    struct run_times times;
};

struct watch {
    struct worker *worker;
    int64_t seen_us;  /* the worker's, when it was last looked at */
    int64_t stuck_us; /* since then, of its own doing */
    struct run_meter meter;
    bool told;
    void *frames[WATCH_FRAMES_MAX];
    int frame_count; /* atomic; 0: no answer yet */
    bool asked;      /* and it may still answer */
};

struct watchdog {
    struct workers *group;
    struct watchdog_options options;
    struct log_id log;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool end; /* under the mutex */
    struct watch *watches;
    struct run_meter meter; /* of the watchdog's own thread */
};

/* ---- where a worker is ---- */

static void on_ask(int sig, siginfo_t *info, void *context)
{
    int code = errno;
    /* Others may send this signal, too, with whatever pointer. */
    if (info->si_code == SI_QUEUE && info->si_pid == getpid() && info->si_value.sival_ptr != NULL) {
        struct watch *watch = info->si_value.sival_ptr;
        /* 0: what was left last time has been read. */
        if (__atomic_load_n(&watch->frame_count, __ATOMIC_ACQUIRE) == 0)
            __atomic_store_n(&watch->frame_count, backtrace(watch->frames, WATCH_FRAMES_MAX),
                             __ATOMIC_RELEASE);
    }
    errno = code;
}

static void sleep_us(int64_t us)
{
    const struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static int wait_answer(struct watch *watch)
{
    int count = 0;
    for (int64_t us = 0; us < STACK_WAIT_US && count == 0; us += STACK_WAIT_STEP_US) {
        sleep_us(STACK_WAIT_STEP_US);
        count = __atomic_load_n(&watch->frame_count, __ATOMIC_ACQUIRE);
    }
    watch->asked = count == 0;
    return count;
}

/* How many return addresses the worker has left; 0 when it does not answer. */
static int ask_stack(struct watch *watch)
{
    union sigval value = {.sival_ptr = watch};
    if (watch->asked)
        return wait_answer(watch); /* it writes once, whenever it comes to it */
    __atomic_store_n(&watch->frame_count, 0, __ATOMIC_RELEASE);
    if (pthread_sigqueue(watch->worker->thread, WATCHDOG_SIGNAL, value) != 0)
        return 0;
    watch->asked = true;
    return wait_answer(watch);
}

/* "sluice+0x1234,libx+0x56", the innermost first. */
static void place_text(const struct watch *watch, int count, char *out, size_t room)
{
    char place[CRASH_PLACE_MAX];
    size_t len = 0;
    out[0] = '\0';
    for (int i = WATCH_SKIPPED; i < count && i < WATCH_SKIPPED + WATCH_FRAMES_TOLD; i++) {
        crash_place(place, watch->frames[i]);
        int n = snprintf(out + len, room - len, "%s%s", len > 0 ? "," : "", place);
        if (n < 0 || (size_t)n >= room - len)
            return;
        len += (size_t)n;
    }
}

static const char *handler_of(const struct watch *watch)
{
    const char *what = __atomic_load_n(&watch->worker->handler, __ATOMIC_RELAXED);
    return what != NULL ? what : "loop";
}

static void tell_stuck(struct watchdog *d, struct watch *watch)
{
    char where[WATCH_FRAMES_TOLD * CRASH_PLACE_MAX];
    const char *what = handler_of(watch);
    place_text(watch, ask_stack(watch), where, sizeof where);
    log_warn(&watch->worker->log, "loop.stuck what=%s ms=%" PRId64 " at=%s", what,
             watch->stuck_us / 1000, where);
}

static _Noreturn void abort_stuck(struct watchdog *d, struct watch *watch)
{
    const char *what = handler_of(watch);
    int count = ask_stack(watch);
    log_error(&watch->worker->log, "loop.dead what=%s ms=%" PRId64 " help=\"the process is ended\"",
              what, watch->stuck_us / 1000);
    crash_log_frames(&watch->worker->log, watch->frames, count);
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* ---- looking ---- */

/* What has been added since the last look. */
static struct run_times meter_read(struct run_meter *m, pid_t tid)
{
    char path[64], text[96], *rest;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", (int)tid);
    if (m->fd < 0)
        m->fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = m->fd >= 0 ? pread(m->fd, text, sizeof text - 1, 0) : 0;
    text[n > 0 ? n : 0] = '\0';
    struct run_times now, last = m->times;
    now.ran_us = strtoll(text, &rest, 10) / 1000;
    now.delayed_us = strtoll(rest, NULL, 10) / 1000;
    m->times = now;
    return (struct run_times){now.ran_us - last.ran_us, now.delayed_us - last.delayed_us};
}

static void meter_close(struct run_meter *m)
{
    if (m->fd >= 0)
        close(m->fd);
}

/* How much of the time that has passed was the worker's doing.  In a handler it is all in which it
 * could run: it may wait for a lock.  Outside it waits for events, so what it ran counts. */
static int64_t own_us(const struct run_times *since, bool in_handler, int64_t passed_us)
{
    int64_t us = in_handler ? passed_us - since->delayed_us : since->ran_us;
    if (us > passed_us)
        us = passed_us;
    return us > 0 ? us : 0;
}

/* When to look again, so that what the worker does is told, or ended, as soon as it is due. */
static int64_t next_look_us(const struct watchdog *d, const struct watch *watch)
{
    int64_t due_us = watch->told ? d->options.abort_us : d->options.warn_us;
    int64_t left_us = due_us > 0 ? due_us - watch->stuck_us : TICK_US;
    if (left_us > TICK_US)
        return TICK_US;
    return left_us > TICK_MIN_US ? left_us : TICK_MIN_US;
}

/* Returns when to look again. */
static int64_t watch_look(struct watchdog *d, struct watch *watch, int64_t now_us,
                          int64_t passed_us)
{
    const struct worker *w = watch->worker;
    int64_t seen_us = __atomic_load_n(&w->seen_us, __ATOMIC_RELAXED);
    if (seen_us == 0)
        return TICK_US;
    bool in_handler = __atomic_load_n(&w->handler, __ATOMIC_RELAXED) != NULL;
    struct run_times since = meter_read(&watch->meter, __atomic_load_n(&w->tid, __ATOMIC_RELAXED));
    if (seen_us != watch->seen_us) {
        watch->seen_us = seen_us;
        watch->stuck_us = 0;
        watch->told = false;
        int64_t runs_us = in_handler ? now_us - seen_us : 0;
        passed_us = runs_us < passed_us ? runs_us : passed_us;
    }
    watch->stuck_us += own_us(&since, in_handler, passed_us);
    if (d->options.abort_us > 0 && watch->stuck_us >= d->options.abort_us)
        abort_stuck(d, watch);
    if (watch->stuck_us >= d->options.warn_us && !watch->told) {
        watch->told = true;
        tell_stuck(d, watch);
    }
    return next_look_us(d, watch);
}

/* Until the next tick, or the end. */
static bool wait_tick(struct watchdog *d, int64_t tick_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += tick_us * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&d->mutex);
    if (!d->end)
        pthread_cond_timedwait(&d->changed, &d->mutex, &until);
    bool end = d->end;
    pthread_mutex_unlock(&d->mutex);
    return !end;
}

static void *run_watchdog(void *arg)
{
    struct watchdog *d = arg;
    int64_t last_us = clock_us(), tick_us = TICK_US;
    pid_t tid = gettid();
    meter_read(&d->meter, tid);
    while (wait_tick(d, tick_us)) {
        int64_t now_us = clock_us(), passed_us = now_us - last_us;
        last_us = now_us;
        if (passed_us - meter_read(&d->meter, tid).delayed_us > tick_us + STILL_US)
            passed_us = 0;
        tick_us = TICK_US;
        for (int i = 0; i < d->group->count; i++) {
            int64_t next_us = watch_look(d, &d->watches[i], now_us, passed_us);
            tick_us = next_us < tick_us ? next_us : tick_us;
        }
    }
    return NULL;
}

/* ---- life ---- */

static void watchdog_destroy(struct watchdog *d)
{
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->mutex);
    meter_close(&d->meter);
    for (int i = 0; i < d->group->count; i++)
        meter_close(&d->watches[i].meter);
    free(d->watches);
    free(d);
}

struct watchdog *watchdog_new(struct workers *g, const struct watchdog_options *o)
{
    struct watchdog *d = xcalloc(1, sizeof *d);
    pthread_condattr_t monotonic;
    void *frame;
    d->group = g;
    d->options = *o;
    d->watches = xcalloc((size_t)g->count, sizeof *d->watches);
    for (int i = 0; i < g->count; i++)
        d->watches[i] = (struct watch){.worker = &g->workers[i], .meter = {.fd = -1}};
    d->meter.fd = -1;
    must(pthread_mutex_init(&d->mutex, NULL) == 0);
    must(pthread_condattr_init(&monotonic) == 0);
    must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&d->changed, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    backtrace(&frame, 1); /* the first call allocates, which a signal's handler must not */
    const struct sigaction action = {.sa_sigaction = on_ask, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(WATCHDOG_SIGNAL, &action, NULL);
    if (process_start_thread(&d->thread, "sluice-watch", run_watchdog, d) == 0)
        return d;
    watchdog_destroy(d);
    return NULL;
}

void watchdog_free(struct watchdog **wp)
{
    struct watchdog *d = *wp;
    if (d == NULL)
        return;
    *wp = NULL;
    pthread_mutex_lock(&d->mutex);
    d->end = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    for (int i = 0; i < d->group->count; i++)
        if (d->watches[i].asked && wait_answer(&d->watches[i]) == 0)
            return; /* the worker may still write there */
    watchdog_destroy(d);
}
