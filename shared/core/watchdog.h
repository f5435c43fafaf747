#ifndef SLUICE_CORE_WATCHDOG_H
#define SLUICE_CORE_WATCHDOG_H

#include "core/worker.h"

/*
 * One thread that looks at all workers every 60 ms, and again when a handler that it has seen run
 * is due.  A handler that has not come back after warn_us is told then, once, with its name and
 * where it is (`loop.stuck what= ms= at=`); after abort_us the process is aborted with the
 * backtrace of that worker, since whoever waits for it gets nothing more, and a supervisor can
 * start it anew.
 *
 * Time in which the worker waited for a processor, or in which this thread stood still as well
 * (SIGSTOP, a debugger, a suspended machine), does not count: only a handler's own doing does.
 */
struct watchdog;

struct watchdog_options {
    int64_t warn_us;
    int64_t abort_us; /* 0: never */
};
#define WATCHDOG_WARN_US 100000

/* Starts the thread, after workers_start().  NULL when there is none to be had. */
struct watchdog *watchdog_new(struct workers *g, const struct watchdog_options *o);
/* Ends it, before workers_stop(). */
void watchdog_free(struct watchdog **wp);

/* The signal that makes a worker say where it is: a worker must not block it. */
#define WATCHDOG_SIGNAL SIGUSR2

#endif
