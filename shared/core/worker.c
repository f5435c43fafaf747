#include "core/worker.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/worker_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * One worker: a loop, a mailbox that other threads put messages in, and the work put off to the end
 * of a turn.  Everything but worker_post() and worker_is_current() is for the worker's own thread.
 */

#define LOAD_INTERVAL_US 250000
#define LOAD_WEIGHT      4 /* a new sample counts for a quarter */
#define LAG_PROBE_US     50000
#define LAG_TOP          4 /* the 95th percentile of the samples is the last of as many */

_Static_assert(WORKER_LAG_SAMPLES * 5 / 100 + 1 == LAG_TOP, "the 95th percentile");

/* ---- messages ---- */

static void wake_up(struct worker *w)
{
    const uint64_t one = 1;
    if (write(w->mailbox_fd, &one, sizeof one) != (ssize_t)sizeof one)
        panic("worker %d: the wake-up failed", w->index);
}

void worker_post(struct worker *w, struct message *m)
{
    OBJ_CHECK(w, WORKER_MAGIC);
    m->next = NULL;
    pthread_mutex_lock(&w->mailbox_mutex);
    bool was_empty = w->mailbox_first == NULL; /* one wake-up serves the whole batch */
    *w->mailbox_last = m;
    w->mailbox_last = &m->next;
    pthread_mutex_unlock(&w->mailbox_mutex);
    if (was_empty)
        wake_up(w);
}

static struct message *take_mailbox(struct worker *w)
{
    pthread_mutex_lock(&w->mailbox_mutex);
    struct message *first = w->mailbox_first;
    w->mailbox_first = NULL;
    w->mailbox_last = &w->mailbox_first;
    pthread_mutex_unlock(&w->mailbox_mutex);
    return first;
}

static bool run_mailbox(struct worker *w)
{
    struct message *m = take_mailbox(w);
    bool any = m != NULL;
    while (m != NULL) {
        struct message *next = m->next; /* run() may free m or post it again */
        int64_t start_us = clock_us();
        worker_enter(w, "message", start_us);
        m->run(m);
        worker_watch(w, "message", start_us);
        m = next;
    }
    return any;
}

static void on_mailbox(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = OBJ_CAST(struct worker, arg, WORKER_MAGIC);
    uint64_t count;
    /* The counter is read before the mailbox is emptied: a message posted in between wakes us
     * again. */
    if (read(w->mailbox_fd, &count, sizeof count) == (ssize_t)sizeof count)
        run_mailbox(w);
}

bool worker_is_current(const struct worker *w)
{
    return !w->started || pthread_equal(pthread_self(), w->thread);
}

/* ---- tasks ---- */

void task_init(struct task *t, void (*run)(void *arg), void *arg)
{
    list_init(&t->node);
    t->run = run;
    t->arg = arg;
}

void task_defer(struct worker *w, struct task *t)
{
    must(worker_is_current(w));
    if (task_is_queued(t))
        return;
    bool was_empty = list_empty(&w->deferred);
    list_append(&w->deferred, &t->node);
    if (was_empty && !w->deferred_running)
        event_active(&w->deferred_event, EV_TIMEOUT, 0);
}

void task_cancel(struct task *t)
{
    list_remove(&t->node);
}

static bool run_deferred(struct worker *w)
{
    struct list now = LIST_INIT(now);
    struct task *t;
    list_splice(&now, &w->deferred);
    bool any = !list_empty(&now);
    int64_t start_us = any ? clock_us() : 0;
    w->deferred_running = true;
    while ((t = LIST_FIRST(&now, struct task, node)) != NULL) {
        list_remove(&t->node);
        worker_enter(w, "task", start_us);
        t->run(t->arg);
        start_us = worker_watch(w, "task", start_us); /* of the next one */
    }
    w->deferred_running = false;
    return any;
}

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = OBJ_CAST(struct worker, arg, WORKER_MAGIC);
    const struct timeval next_turn = {0, 0};
    run_deferred(w);
    if (!list_empty(&w->deferred))
        must(event_add(&w->deferred_event, &next_turn) == 0);
}

/* ---- watching itself ---- */

int64_t worker_watch(struct worker *w, const char *what, int64_t start_us)
{
    int64_t now_us = clock_us(), took_us = now_us - start_us;
    if (--w->depth == 0)
        __atomic_store_n(&w->handler, NULL, __ATOMIC_RELAXED);
    if (took_us <= HANDLER_SLOW_US)
        return now_us;
    METRIC_INC(w->metrics.loop_slow_total);
    log_warn(&w->log, "loop.slow what=%s us=%" PRId64, what, took_us);
    return now_us;
}

static void schedule_load(struct worker *w)
{
    const struct timeval interval = {0, LOAD_INTERVAL_US};
    w->load_wall_us = clock_us();
    w->load_cpu_us = clock_thread_cpu_us();
    must(event_add(&w->load_event, &interval) == 0);
}

static void on_load(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = OBJ_CAST(struct worker, arg, WORKER_MAGIC);
    int64_t wall_us = clock_us() - w->load_wall_us;
    int64_t cpu_us = clock_thread_cpu_us() - w->load_cpu_us;
    int64_t permille = wall_us > 0 ? cpu_us * 1000 / wall_us : 0;
    if (permille > 1000)
        permille = 1000;
    w->load_permille += (permille - w->load_permille) / LOAD_WEIGHT;
    w->load_percent = (int)(w->load_permille + 5) / 10;
    METRIC_SET(w->metrics.load_percent, w->load_percent);
    schedule_load(w);
}

/* The handler of a timer that does nothing comes as late as all others. */
static int64_t lag_percentile_us(const struct worker *w)
{
    int64_t top_us[LAG_TOP] = {0}; /* the largest first */
    for (size_t i = 0; i < WORKER_LAG_SAMPLES; i++) {
        int64_t us = w->lag_samples_us[i];
        for (size_t k = 0; k < LAG_TOP; k++) {
            int64_t other_us = top_us[k];
            if (us <= other_us)
                continue;
            top_us[k] = us;
            us = other_us;
        }
    }
    return top_us[LAG_TOP - 1];
}

static void schedule_lag(struct worker *w)
{
    const struct timeval interval = {0, LAG_PROBE_US};
    w->lag_due_us = clock_us() + LAG_PROBE_US;
    must(event_add(&w->lag_event, &interval) == 0);
}

static void on_lag(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = OBJ_CAST(struct worker, arg, WORKER_MAGIC);
    int64_t now_us = clock_us(), late_us = now_us - w->lag_due_us;
    worker_enter(w, "worker.lag", now_us);
    w->lag_samples_us[w->lag_next++ % WORKER_LAG_SAMPLES] = late_us > 0 ? late_us : 0;
    w->lag_us = lag_percentile_us(w);
    METRIC_SET(w->metrics.loop_lag_us, w->lag_us);
    schedule_lag(w);
    worker_watch(w, "worker.lag", now_us);
}

/* ---- life ---- */

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    must(config != NULL);
    /* One thread per loop; and a timer counts from now, not from when this turn of the loop began.
     */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

int worker_init(struct worker *w, struct workers *g, int index)
{
    w->magic = WORKER_MAGIC;
    w->index = index;
    w->group = g;
    w->config = g->config;
    w->log = (struct log_id){"worker", index, 0};
    w->mailbox_last = &w->mailbox_first;
    w->scratch = xmalloc(WORKER_SCRATCH_SIZE);
    list_init(&w->deferred);
    must(pthread_mutex_init(&w->mailbox_mutex, NULL) == 0);
    w->base = new_base();
    w->mailbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->base == NULL || w->mailbox_fd < 0)
        return ERR_IO;
    event_assign(&w->mailbox_event, w->base, w->mailbox_fd, EV_READ | EV_PERSIST, on_mailbox, w);
    evtimer_assign(&w->deferred_event, w->base, on_deferred, w);
    evtimer_assign(&w->load_event, w->base, on_load, w);
    evtimer_assign(&w->lag_event, w->base, on_lag, w);
    return event_add(&w->mailbox_event, NULL) == 0 ? 0 : ERR_IO;
}

void worker_fini(struct worker *w)
{
    OBJ_CHECK(w, WORKER_MAGIC);
    must(!w->started);
    if (w->base != NULL && w->mailbox_fd >= 0) {
        event_del(&w->mailbox_event);
        event_del(&w->deferred_event);
        event_del(&w->load_event);
        event_del(&w->lag_event);
    }
    if (w->mailbox_fd >= 0)
        close(w->mailbox_fd);
    if (w->base != NULL)
        event_base_free(w->base);
    pthread_mutex_destroy(&w->mailbox_mutex);
    free(w->scratch);
    OBJ_POISON(w);
}

void worker_loop(struct worker *w)
{
    __atomic_store_n(&w->tid, gettid(), __ATOMIC_RELAXED);
    __atomic_store_n(&w->seen_us, clock_us(), __ATOMIC_RELAXED);
    schedule_load(w);
    schedule_lag(w);
    event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
    __atomic_store_n(&w->seen_us, 0, __ATOMIC_RELAXED);
}

void worker_end(struct worker *w)
{
    event_base_loopexit(w->base, NULL);
}

bool worker_drain_once(struct worker *w)
{
    bool any = run_mailbox(w);
    return run_deferred(w) || any;
}
