/* A worker that stood still: who wants to know it before anything else happens. */
#include "core/worker.h"

#include <inttypes.h>

void worker_watch_gaps(struct worker *w, struct worker_gap_watch *g, void (*on_gap)(void *arg),
                       void *arg)
{
    *g = (struct worker_gap_watch){.next = w->gap_watches, .on_gap = on_gap, .arg = arg};
    w->gap_watches = g;
}

void worker_unwatch_gaps(struct worker *w, struct worker_gap_watch *g)
{
    struct worker_gap_watch **place = &w->gap_watches;
    for (; *place != NULL; place = &(*place)->next) {
        if (*place != g)
            continue;
        *place = g->next;
        return;
    }
}

void worker_after_gap(struct worker *w, int64_t gap_us)
{
    __atomic_store_n(&w->seen_us, w->seen_us + gap_us, __ATOMIC_RELAXED);
    METRIC_INC(w->metrics.loop_gaps_total);
    log_warn(&w->log, "loop.gap ms=%" PRId64, gap_us / 1000);
    for (struct worker_gap_watch *g = w->gap_watches; g != NULL; g = g->next)
        g->on_gap(g->arg);
}
