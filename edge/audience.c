#include "edge/audience_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define AUDIENCE_SWEEP_MS 1000 /* how often blocked players are looked at */

static int64_t merge_by_load_ms(int load_percent)
{
    static const struct {
        int load_percent, ms;
    } steps[] = {
        {MERGE_LOAD_LOW, 0}, {MERGE_LOAD_MIDDLE, MERGE_MS_UNSEEN}, {MERGE_LOAD_HIGH, MERGE_MS_MAX}};
    if (load_percent <= MERGE_LOAD_LOW)
        return 0;
    if (load_percent >= MERGE_LOAD_HIGH)
        return MERGE_MS_MAX;
    int i = load_percent < MERGE_LOAD_MIDDLE ? 0 : 1;
    return steps[i].ms + (steps[i + 1].ms - steps[i].ms) * (load_percent - steps[i].load_percent) /
                             (steps[i + 1].load_percent - steps[i].load_percent);
}

int64_t merge_wait_ms(int64_t setting, int load_percent, int64_t flushed_us)
{
    if (setting != MERGE_AUTO)
        return setting;
    int64_t by_load_ms = merge_by_load_ms(load_percent);
    int64_t by_flush_ms = MERGE_FLUSHES * flushed_us / 1000;
    if (by_flush_ms > MERGE_MS_UNSEEN)
        by_flush_ms = MERGE_MS_UNSEEN;
    return by_load_ms > by_flush_ms ? by_load_ms : by_flush_ms;
}

/* Calls fn for each player of the list there was when it began; fn may end or move the one it got.
 */
static void each_of(struct list *players, void (*fn)(struct viewer *v))
{
    struct list walk;
    list_init(&walk);
    list_splice(&walk, players);
    while (!list_empty(&walk)) {
        struct viewer *v = LIST_FIRST(&walk, struct viewer, node);
        list_remove(&v->node);
        list_append(players, &v->node);
        fn(v);
    }
}

static void each_started(struct audience *a, void (*fn)(struct viewer *v))
{
    each_of(&a->viewers, fn);
    each_of(&a->owed, fn);
    each_of(&a->late, fn);
}

static void tell_bitrate(struct viewer *v)
{
    v->ops->on_bitrate(v->owner, v->audience->reader.feed->bitrate_bps);
}

/* Send buffers follow the stream's rate, when that has moved by half or more. */
static void follow_bitrate(struct audience *a)
{
    int64_t now_bps = a->reader.feed->bitrate_bps, was_bps = a->told_bitrate_bps;
    if (now_bps <= was_bps + was_bps / 2)
        return;
    a->told_bitrate_bps = now_bps;
    each_started(a, tell_bitrate);
}

static void flush(void *arg)
{
    struct audience *a = OBJ_CAST(struct audience, arg, AUDIENCE_MAGIC);
    audience_flush(a);
    follow_bitrate(a);
}

static void sweep_viewer(struct viewer *v)
{
    int64_t now_us = clock_us();
    int64_t stalled_us = v->audience->worker->config->viewer.stalled_ms * 1000;
    if (v->blocked && now_us - v->blocked_us > stalled_us)
        viewer_end(v, CLOSE_STALLED);
    else if (v->ending && now_us - v->ending_us > stalled_us)
        viewer_end(v, v->ending_why);
}

/* A stream that is there but has no key frame yet is waited for as long as it takes. */
static void sweep_newcomer(struct viewer *v)
{
    struct audience *a = v->audience;
    enum feed_state state = a->reader.feed->state;
    if (state != FEED_EMPTY && state != FEED_ENDED)
        return;
    if (clock_us() - v->joined_us < a->worker->config->stream.wait_ms * 1000)
        return;
    METRIC_INC(a->worker->metrics.play_not_found_total);
    viewer_end(v, CLOSE_NOT_FOUND);
}

/* The next look: when the longest waiting newcomer's time is up, at the latest in
 * AUDIENCE_SWEEP_MS. */
static void on_sweep(void *arg)
{
    struct audience *a = OBJ_CAST(struct audience, arg, AUDIENCE_MAGIC);
    each_started(a, sweep_viewer);
    each_of(&a->newcomers, sweep_newcomer);
    int64_t next_us = AUDIENCE_SWEEP_MS * 1000;
    const struct viewer *first = LIST_FIRST(&a->newcomers, struct viewer, node);
    if (first != NULL) {
        int64_t wait_us = a->worker->config->stream.wait_ms * 1000;
        int64_t left_us = first->joined_us + wait_us - clock_us();
        if (left_us > 0 && left_us < next_us)
            next_us = left_us;
    }
    if (a->count > 0)
        timer_set_us(&a->sweep, next_us);
}

static void on_frames(struct feed_reader *r)
{
    struct audience *a = container_of(r, struct audience, reader);
    int64_t wait_ms =
        merge_wait_ms(a->worker->config->rtmp.merge_ms, a->worker->load_percent, a->flushed_us);
    METRIC_SET(a->worker->metrics.merge_ms, wait_ms);
    if (!list_empty(&a->newcomers))
        audience_due(a); /* a first flush is never put off */
    if (wait_ms == 0) {
        timer_stop(&a->merge);
        flush(a);
        return;
    }
    if (!timer_is_set(&a->merge))
        timer_set_ms(&a->merge, wait_ms);
}

static void on_state(struct feed_reader *r)
{
    on_frames(r);
}

static void finish_viewer(struct viewer *v)
{
    viewer_finish(v, v->audience->reader.feed->why);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    struct audience *a = container_of(r, struct audience, reader);
    timer_stop(&a->merge);
    each_started(a, finish_viewer); /* newcomers wait for the stream to come back */
}

static const struct feed_reader_ops reader_ops = {
    .on_frames = on_frames, .on_state = on_state, .on_end = on_end};

static void audience_free(void *arg)
{
    struct audience *a = OBJ_CAST(struct audience, arg, AUDIENCE_MAGIC);
    if (a->count > 0)
        return;
    wire_cache_forget(a->cache, a->reader.feed->log);
    feed_leave(&a->reader);
    timer_fini(&a->merge);
    timer_fini(&a->sweep);
    list_remove(&a->due);
    task_cancel(&a->close);
    map_take(a->edge->local[a->worker->index].audiences, a->key);
    OBJ_POISON(a);
    free(a);
}

struct audience *audience_get(struct edge *e, struct worker *w, const char *name,
                              enum wire_kind kind)
{
    char key[AUDIENCE_KEY_MAX + 1];
    snprintf(key, sizeof key, "%d:%s", (int)kind, name);
    struct edge_worker *local = &e->local[w->index];
    struct audience *a = map_get(local->audiences, key);
    if (a != NULL)
        return a;
    a = xcalloc(1, sizeof *a);
    a->magic = AUDIENCE_MAGIC;
    a->edge = e;
    a->worker = w;
    a->cache = &local->cache;
    a->kind = kind;
    a->reader.ops = &reader_ops;
    list_init(&a->newcomers);
    list_init(&a->viewers);
    list_init(&a->owed);
    list_init(&a->late);
    list_init(&a->due);
    timer_init(&a->merge, w, "audience.flush", flush, a);
    timer_init(&a->sweep, w, "audience.sweep", on_sweep, a);
    task_init(&a->close, audience_free, a);
    must(slice_copy(slice_text(key), a->key, sizeof a->key));
    map_put(local->audiences, key, a);
    feed_join(e->hub, w, name, &a->reader);
    return a;
}

void audience_greet(struct audience *a)
{
    int64_t wait_ms = a->worker->config->stream.wait_ms;
    audience_due(a);
    bool is_first = a->newcomers.next->next == &a->newcomers;
    if (!timer_is_set(&a->sweep) || is_first)
        timer_set_ms(&a->sweep, wait_ms < AUDIENCE_SWEEP_MS ? wait_ms : AUDIENCE_SWEEP_MS);
}

int64_t audience_bitrate_bps(const struct audience *a)
{
    return a->reader.feed->bitrate_bps;
}
