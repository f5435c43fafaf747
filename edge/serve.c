/*
 * Who is served when, on one worker.
 *
 *   a flush ──▶ owed ─┬▶ viewers   have all there is, until the next one
 *                     └▶ late      lack more than goes into a turn
 *   a join ──▶ newcomers ──▶ viewers or late
 *
 * Each of the three has its own share of a turn of the loop, in which all audiences of the worker
 * take part one after the other; between turns sockets are read, so whoever else is on this worker
 * waits for a few milliseconds at most, however many there are to serve.
 */
#include "base/mem.h"
#include "core/clock.h"
#include "edge/audience_internal.h"

/* Of a turn, for those who play, for first pictures, and for the rest of what somebody lacks. */
enum { OWED_US = 4000, FIRST_US = 2000, LATE_US = 2000 };

#define LOOK_EACH 8 /* players, at the clock: it costs a hundredth of what one of them costs */

struct shares {
    int64_t owed_us, first_us, late_us; /* what is left of them */
};

/*
 * What thousands of players have lies in more memory than a core's cache holds, and a write to one
 * of them leaves time to fetch the next: the player after it, and what writing to it reads.
 * Inlined by force: a function that only prefetches is one without effect to gcc, which drops it.
 */
__attribute__((always_inline)) static inline void fetch_next(struct list *players)
{
    if (list_empty(players))
        return;
    const struct viewer *next = LIST_FIRST(players, struct viewer, node);
    for (size_t i = 0; i < VIEWER_AHEAD && next->ahead[i] != NULL; i++)
        __builtin_prefetch(next->ahead[i]);
    const char *after = (const char *)next->node.next;
    for (size_t at = 0; at < VIEWER_HOT_BYTES; at += CACHE_LINE)
        __builtin_prefetch(after + at);
}

/* Takes players of a list one by one until it is empty or the time is up: true when it is empty. */
static bool serve(struct audience *a, struct list *players, int64_t *left_us)
{
    int64_t from_us = clock_us(), now_us = from_us;
    unsigned served = 0;
    while (!list_empty(players) && now_us - from_us < *left_us) {
        struct viewer *v = LIST_FIRST(players, struct viewer, node);
        list_remove(&v->node);
        list_append(&a->viewers, &v->node);
        fetch_next(players);
        v->late = false;
        viewer_pump(v);
        if (++served % LOOK_EACH == 0)
            now_us = clock_us();
    }
    *left_us -= clock_us() - from_us;
    return list_empty(players);
}

static bool has_no_picture(const struct audience *a, const struct viewer *v)
{
    return v->audience == a && !v->started && !v->paused;
}

/* True when all newcomers have begun that can. */
static bool greet(struct audience *a, int64_t *left_us)
{
    int64_t from_us = clock_us(), now_us = from_us;
    bool in_vain = false;
    struct list walk;
    list_init(&walk);
    list_splice(&walk, &a->newcomers);
    while (!list_empty(&walk) && !in_vain && now_us - from_us < *left_us) {
        struct viewer *v = LIST_FIRST(&walk, struct viewer, node);
        list_remove(&v->node);
        list_append(&a->newcomers, &v->node);
        viewer_pump(v);
        now_us = clock_us();
        in_vain = has_no_picture(a, v); /* nor is there one for those who came after it */
        if (!in_vain)
            continue;
        list_remove(&v->node);
        list_prepend(&walk, &v->node);
    }
    *left_us -= now_us - from_us;
    bool all = list_empty(&walk);
    list_splice(&walk, &a->newcomers);
    list_splice(&a->newcomers, &walk);
    return all || in_vain;
}

/* True when nobody is left. */
static bool serve_owed(struct audience *a, int64_t *left_us)
{
    int64_t before_us = *left_us;
    if (list_empty(&a->owed))
        return true;
    bool all = serve(a, &a->owed, left_us);
    a->flush_us += before_us - *left_us;
    if (!all)
        return false;
    a->flushed_us = a->flush_us;
    a->flush_us = 0;
    return true;
}

static bool serve_all(struct audience *a, struct shares *s)
{
    bool owed = serve_owed(a, &s->owed_us);
    bool first = greet(a, &s->first_us);
    bool late = serve(a, &a->late, &s->late_us);
    return owed && first && late;
}

static struct edge_worker *local_of(const struct audience *a)
{
    return &a->edge->local[a->worker->index];
}

void audience_due(struct audience *a)
{
    struct edge_worker *local = local_of(a);
    if (list_empty(&a->due))
        list_append(&local->due, &a->due);
    task_defer(a->worker, &local->serve);
}

void audience_serve(void *edge_worker)
{
    struct edge_worker *local = edge_worker;
    struct shares left = {OWED_US, FIRST_US, LATE_US};
    struct list walk;
    list_init(&walk);
    list_splice(&walk, &local->due);
    while (!list_empty(&walk)) {
        struct audience *a = LIST_FIRST(&walk, struct audience, due);
        list_remove(&a->due);
        if (!serve_all(a, &left))
            audience_due(a);
    }
}

void audience_flush(struct audience *a)
{
    int64_t left_us = OWED_US;
    bool others_wait = !list_empty(&local_of(a)->due);
    list_splice(&a->owed, &a->viewers);
    if (others_wait || !serve_owed(a, &left_us))
        audience_due(a);
}
