#ifndef SLUICE_CORE_MEMORY_GUARD_H
#define SLUICE_CORE_MEMORY_GUARD_H

#include "core/worker.h"

/*
 * A thread that looks at the resident memory of the process four times a second and tells all
 * workers how tight it is (memory_level): what may be refused or let go is theirs to know.  While
 * it is tight, free memory is given back to the system.
 */
enum memory_level {
    MEMORY_ENOUGH,
    MEMORY_TIGHT, /* 85 % of limits.memory_bytes: no new viewers, logs shrink to half */
    MEMORY_OUT,   /* 95 %: no new streams, logs shrink to a quarter, slow viewers go */
};

/* Any thread. */
static inline enum memory_level memory_level(const struct workers *g)
{
    return (enum memory_level)__atomic_load_n(&g->memory_level, __ATOMIC_RELAXED);
}

/* What the level is when `rss` of `max` bytes are used and it was `now`: it falls only 5 % below
 * where it rose. */
enum memory_level memory_level_next(enum memory_level now, int64_t rss, int64_t max);

struct memory_guard;
/* Starts the thread; NULL when there is none to be had. */
struct memory_guard *memory_guard_new(struct workers *g, int64_t max_bytes);
/* Another limits.memory_bytes; any thread. */
void memory_guard_set_max(struct memory_guard *m, int64_t max_bytes);
/* Ends the thread. */
void memory_guard_free(struct memory_guard **mp);

#endif
