#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/limit.h"
#include "core/memory_guard.h"
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
        list_init(&local->due);
        task_init(&local->serve, audience_serve, local);
        list_init(&local->seats);
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
        task_cancel(&e->local[i].serve);
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

/* Another viewer would cost all those that are there. */
static bool is_late(const struct worker *w)
{
    int64_t limit_ms = w->config->limits.loop_lag_ms;
    return limit_ms > 0 && w->lag_us > limit_ms * 1000;
}

static int judge_new(const struct edge_worker *local, struct worker *w)
{
    if (local->draining)
        return ERR_CLOSED;
    if (memory_level(w->group) >= MEMORY_TIGHT) {
        limit_reached(w, LIMIT_MEMORY, "viewer");
        return ERR_TOO_MANY;
    }
    if (!is_late(w))
        return 0;
    METRIC_INC(w->metrics.viewers_shed_total);
    limit_reached(w, LIMIT_LAG, "viewer");
    return ERR_TOO_MANY;
}

int edge_admits(const struct edge *e, struct worker *w)
{
    int64_t max = w->config->viewer.max;
    int err = judge_new(&e->local[w->index], w);
    if (err < 0 || max == 0 || edge_viewers(e) < max)
        return err;
    limit_reached(w, LIMIT_VIEWERS, "viewer");
    return ERR_TOO_MANY;
}

int edge_take_seat(struct edge *e, struct worker *w, struct edge_seat *s)
{
    struct edge_worker *local = &e->local[w->index];
    int64_t max = w->config->viewer.max;
    int err = judge_new(local, w);
    if (err < 0)
        return err;
    if (atomic_fetch_add_explicit(&e->viewers, 1, memory_order_relaxed) >= max && max > 0) {
        atomic_fetch_sub_explicit(&e->viewers, 1, memory_order_relaxed);
        limit_reached(w, LIMIT_VIEWERS, "viewer");
        return ERR_TOO_MANY;
    }
    s->worker = w;
    list_append(&local->seats, &s->node);
    local->seat_count++;
    return 0;
}

void edge_leave_seat(struct edge *e, struct edge_seat *s)
{
    if (s->worker == NULL)
        return;
    list_remove(&s->node);
    e->local[s->worker->index].seat_count--;
    s->worker = NULL;
    atomic_fetch_sub_explicit(&e->viewers, 1, memory_order_relaxed);
}

/* As many may stay as are due later: those that came first go first. */
static void on_drain_time(void *arg)
{
    struct edge_worker *local = arg;
    int64_t left_us = local->drain_by_us - clock_us();
    int64_t stay = left_us > 0 ? local->drain_count * left_us / local->drain_us : 0;
    while (local->seat_count > stay) {
        struct edge_seat *s = LIST_FIRST(&local->seats, struct edge_seat, node);
        s->on_drain(s);
    }
    if (local->seat_count > 0)
        timer_set_ms(&local->drain, DRAIN_LOOK_MS);
}

void edge_drain(struct edge *e, struct worker *w, int64_t spread_ms)
{
    struct edge_worker *local = &e->local[w->index];
    local->draining = true;
    local->drain_count = local->seat_count;
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
