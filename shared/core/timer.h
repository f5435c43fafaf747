#ifndef SLUICE_CORE_TIMER_H
#define SLUICE_CORE_TIMER_H

#include "core/worker.h"

/*
 * A one-shot timer of a worker; only that worker's thread touches it.  The callback may set it
 * again or free what it is embedded in.  It never fires early.
 */
struct timer {
    bool set;
    struct worker *worker; /* NULL: never initialised, or finished */
    struct event event;
    int64_t due_us; /* clock_us() before which it does not fire */
    void (*on_time)(void *arg);
    void *arg;
    const char *what; /* a literal, for loop.slow */
};

void timer_init(struct timer *t, struct worker *w, const char *what, void (*on_time)(void *arg),
                void *arg);
/* Fires once in this many microseconds (0: in the next turn); setting again replaces. */
void timer_set_us(struct timer *t, int64_t us);
void timer_set_ms(struct timer *t, int64_t ms);
void timer_stop(struct timer *t);
bool timer_is_set(const struct timer *t);
/* Stops it, after which it must be initialised again; one that never was (all zero) is left alone.
 */
void timer_fini(struct timer *t);

/* Waits between tries: 0, step, then doubled up to max, each ± 20 % (0 stays 0). */
struct backoff {
    int64_t step_ms, max_ms, next_ms;
};
void backoff_init(struct backoff *b, int64_t step_ms, int64_t max_ms);
void backoff_reset(struct backoff *b);
int64_t backoff_next_ms(struct backoff *b);

#endif
