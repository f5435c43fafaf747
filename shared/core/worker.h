#ifndef SLUICE_CORE_WORKER_H
#define SLUICE_CORE_WORKER_H

#include "base/list.h"
#include "core/clock.h"
#include "core/logline.h"
#include "core/metrics.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct config;
struct workers;

/*
 * One thread with its event loop.  Everything that lives on a worker is touched by that thread
 * only; other threads post messages to it.
 */

/* A message: embedded in (usually at the start of) what it carries.  `run` is called on the
 * target's thread and owns the message from then on. */
struct message {
    struct message *next;
    void (*run)(struct message *m);
};

#define WORKER_SCRATCH_SIZE (256 * 1024)
#define WORKER_LAG_SAMPLES  64 /* of which the lag is the 95th percentile: three seconds */

struct worker {
    uint32_t magic;
    int index;
    struct workers *group;
    const struct config *config;
    struct event_base *base;
    struct log_id log;
    struct metrics metrics;
    uint8_t
        *scratch; /* WORKER_SCRATCH_SIZE bytes: reads land here; valid until the handler returns */
    int load_percent; /* share of the last quarter second spent working, smoothed; 0..100 */
    int64_t lag_us;   /* by how much handlers came too late in the last seconds, 95th percentile */

    pthread_t thread;
    pthread_mutex_t mailbox_mutex;
    struct message *mailbox_first, **mailbox_last;
    int mailbox_fd;
    struct event mailbox_event;
    struct event load_event;
    struct event deferred_event;
    struct list deferred;
    bool deferred_running;
    int64_t load_wall_us, load_cpu_us, load_permille;
    struct event lag_event;
    int64_t lag_due_us, lag_samples_us[WORKER_LAG_SAMPLES];
    unsigned lag_next;
    /* What the watchdog reads; written by the worker, atomically. */
    int64_t seen_us;     /* clock_us when the last handler began; 0: the loop does not run */
    const char *handler; /* the one that runs, or ran inside of it; NULL: none */
    pid_t tid;           /* the kernel's number of the thread */
    int depth;           /* handlers inside each other; the worker's own */
    struct worker_gap_watch *gap_watches; /* the first */
    bool started;
    struct log_limit peer_limit; /* of lines about peers that have no limiter of their own */
    struct log_limit limit_lines[LIMIT_COUNT]; /* limit_reached() */
};

#define WORKERS_MAX 256 /* threads */

struct workers {
    struct worker *workers;
    int count;
    const struct config *config;
    int memory_level;         /* atomic: memory_guard.h */
    struct worker_gate *gate; /* where threads wait for each other at the start; NULL otherwise */
};

/*
 * Makes `count` workers (0: one per core, at most WORKERS_MAX); no thread runs yet, so main may add
 * listeners and timers.  config may be NULL in tests.  0, ERR_RANGE or ERR_IO (no descriptors
 * left).
 */
int workers_init(struct workers *g, const struct config *config, int count);
/* Starts the threads "sluice-w<n>" with all signals blocked; returns when all are at their loops,
 * or ERR_IO with none running. */
int workers_start(struct workers *g);
/* Ends all loops after what is queued, joins the threads, then runs on the calling thread what is
 * left in the mailboxes and put off; worker_is_current() is true there. */
void workers_stop(struct workers *g);
/* Runs what has been posted and put off since, on the calling thread, until nothing is left. */
void workers_drain(struct workers *g);
/* Frees all workers; harmless on a group that is all zero.  Objects with events on a loop go
 * before. */
void workers_fini(struct workers *g);

/* Queues m for w; from any thread, in order per sender. */
void worker_post(struct worker *w, struct message *m);
/* True on w's own thread (and anywhere before the threads start). */
bool worker_is_current(const struct worker *w);

/*
 * Work put off to the end of this turn of the loop: batching, and freeing what has closed while no
 * code of it is on the stack.  A task is queued at most once; deferred by a task, it runs in the
 * next turn, after I/O.
 */
struct task {
    struct list node;
    void (*run)(void *arg);
    void *arg;
};
void task_init(struct task *t, void (*run)(void *arg), void *arg);
void task_defer(struct worker *w, struct task *t);
void task_cancel(struct task *t);
static inline bool task_is_queued(const struct task *t)
{
    return !list_empty(&t->node);
}

/* After a handler that worker_enter() began at start_us (clock_us): logs `loop.slow` with what, and
 * counts it, when it took longer than HANDLER_SLOW_US; returns clock_us.  On w's thread. */
#define HANDLER_SLOW_US 20000
int64_t worker_watch(struct worker *w, const char *what, int64_t start_us);

/*
 * A worker that stood still (SIGSTOP, a suspended machine) does not know what has become of the
 * world.  on_gap is called on w's thread before the first handler afterwards does anything.
 */
#define WORKER_GAP_US 2000000 /* from one handler to the next; the loop has one every 50 ms */
struct worker_gap_watch {
    struct worker_gap_watch *next;
    void (*on_gap)(void *arg);
    void *arg;
};
/* Before the workers start and after they have stopped, or on w. */
void worker_watch_gaps(struct worker *w, struct worker_gap_watch *g, void (*on_gap)(void *arg),
                       void *arg);
void worker_unwatch_gaps(struct worker *w, struct worker_gap_watch *g);

/* clock_us() when the present handler began; a handler that serves thousands reads the clock once.
 * On w's thread; where no loop runs it is the clock. */
static inline int64_t worker_now_us(const struct worker *w)
{
    return w->seen_us != 0 ? w->seen_us : clock_us();
}

void worker_after_gap(struct worker *w, int64_t gap_us);
/* Every handler that a loop calls begins with this and ends with worker_watch(); what is a literal,
 * now_us by clock_us. */
static inline void worker_enter(struct worker *w, const char *what, int64_t now_us)
{
    int64_t gap_us = now_us - w->seen_us;
    __atomic_store_n(&w->handler, what, __ATOMIC_RELAXED);
    w->depth++;
    if (gap_us > WORKER_GAP_US && w->seen_us != 0)
        worker_after_gap(w, gap_us);
    else if (w->seen_us != 0)
        __atomic_store_n(&w->seen_us, now_us, __ATOMIC_RELAXED);
}

#endif
