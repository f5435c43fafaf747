#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "edge/audience_internal.h"

#include <stdlib.h>

#define DRAIN_LOOK_MS 50 /* how often players are told to go while a drain is under way */

static void on_drain_time(void *arg);

struct edge *edge_new(struct workers *g, struct hub *hub)
{
    struct edge *e = xcalloc(1, sizeof *e);
    e->group = g;
    e->hub = hub;
    e->local = xcalloc((size_t)g->count, sizeof e->local[0]);
    for (int i = 0; i < g->count; i++) {
        struct edge_worker *local = &e->local[i];
        local->audiences = map_new();
        list_init(&local->viewers);
        timer_init(&local->drain, &g->workers[i], "edge.drain", on_drain_time, local);
    }
    return e;
}

void edge_free(struct edge **ep)
{
    struct edge *e = *ep;
    *ep = NULL;
    if (e == NULL)
        return;
    for (int i = 0; i < e->group->count; i++) {
        must(map_count(e->local[i].audiences) == 0);
        map_free(&e->local[i].audiences);
        wire_cache_fini(&e->local[i].cache);
        timer_fini(&e->local[i].drain);
    }
    free(e->local);
    free(e);
}

bool edge_may_log(struct edge *e, struct worker *w, bool opening, const struct log_id *id)
{
    struct edge_worker *local = &e->local[w->index];
    struct log_limit *l = opening ? &local->open_limit : &local->close_limit;
    if (log_limit_pass(l, clock_us(), id))
        return true;
    METRIC_INC(w->metrics.log_lines_suppressed_total);
    return false;
}

int64_t edge_viewers(const struct edge *e)
{
    return atomic_load_explicit(&e->viewers, memory_order_relaxed);
}

/* As many may stay as are due later: those that came first go first. */
static void on_drain_time(void *arg)
{
    struct edge_worker *local = arg;
    int64_t left_us = local->drain_by_us - clock_us();
    int64_t stay = left_us > 0 ? local->drain_count * left_us / local->drain_us : 0;
    while (local->viewer_count > stay)
        viewer_end(LIST_FIRST(&local->viewers, struct viewer, local_node), CLOSE_DRAIN);
    if (local->viewer_count > 0)
        timer_set_ms(&local->drain, DRAIN_LOOK_MS);
}

void edge_drain(struct edge *e, struct worker *w, int64_t spread_ms)
{
    struct edge_worker *local = &e->local[w->index];
    local->draining = true;
    local->drain_count = local->viewer_count;
    local->drain_us = spread_ms * 1000;
    local->drain_by_us = clock_us() + local->drain_us;
    on_drain_time(local);
}

void edge_undrain(struct edge *e, struct worker *w)
{
    struct edge_worker *local = &e->local[w->index];
    local->draining = false;
    timer_stop(&local->drain);
}
