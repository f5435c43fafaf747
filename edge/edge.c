#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "edge/audience_internal.h"

#include <stdlib.h>

struct edge *edge_new(struct workers *g, struct hub *hub)
{
    struct edge *e = xcalloc(1, sizeof *e);
    e->group = g;
    e->hub = hub;
    e->local = xcalloc((size_t)g->count, sizeof e->local[0]);
    for (int i = 0; i < g->count; i++)
        e->local[i].audiences = map_new();
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

static void drain_one(const char *key, void *value, void *arg)
{
    audience_drain(OBJ_CAST(struct audience, value, AUDIENCE_MAGIC));
}

void edge_drain(struct edge *e, struct worker *w)
{
    atomic_store(&e->draining, true);
    map_each(e->local[w->index].audiences, drain_one, NULL);
}
