#include "edge/audience.h"

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define AUDIENCE_MAGIC     0x61756469
#define AUDIENCE_KEY_MAX   (NAME_STREAM_MAX + 4)
#define AUDIENCE_SWEEP_MS  1000                  /* how often blocked players are looked at */
#define VIEWER_TURN_BYTES  (4 * WIRE_SPAN_BYTES) /* to one player before the next gets its turn */
#define PREAMBLE_BYTES_MAX (INFORCE_MAX * 64 * 1024)

/* The part of the edge that one worker has for itself. */
struct edge_worker {
    struct map *audiences; /* by kind and name */
    struct wire_cache cache;
    struct log_limit open_limit, close_limit;
};

struct edge {
    struct workers *group;
    struct hub *hub;
    struct edge_worker *local;
    atomic_int_least64_t viewers;
    atomic_bool draining;
};

struct audience {
    uint32_t magic;
    struct edge *edge;
    struct worker *worker;
    struct wire_cache *cache;
    enum wire_kind kind;
    struct feed_reader reader;
    struct list newcomers; /* wait for their first frame; joined first, first */
    struct list viewers;
    uint32_t count;
    struct timer merge, sweep;
    struct task greet, close;
    int64_t told_bitrate_bps;
    char key[AUDIENCE_KEY_MAX + 1];
};

static enum viewer_kind viewer_kind_of(enum wire_kind kind)
{
    return kind == WIRE_FLV || kind == WIRE_FLV_BASIC ? VIEWER_FLV : VIEWER_RTMP;
}

static int64_t *gauge_of(struct audience *a)
{
    struct metrics *m = &a->worker->metrics;
    return viewer_kind_of(a->kind) == VIEWER_FLV ? &m->viewers_flv : &m->viewers_rtmp;
}

int64_t merge_wait_ms(int64_t setting, int load_percent)
{
    if (setting != MERGE_AUTO)
        return setting;
    if (load_percent <= MERGE_LOAD_LOW)
        return 0;
    if (load_percent >= MERGE_LOAD_HIGH)
        return MERGE_MS_MAX;
    return (int64_t)MERGE_MS_MAX * (load_percent - MERGE_LOAD_LOW) /
           (MERGE_LOAD_HIGH - MERGE_LOAD_LOW);
}

/* ---- one player ---- */

static void viewer_remove(struct viewer *v)
{
    struct audience *a = v->audience;
    v->audience = NULL;
    list_remove(&v->node);
    cursor_fini(&v->cursor);
    a->count--;
    a->reader.feed->viewers[viewer_kind_of(a->kind)]--;
    METRIC_ADD(*gauge_of(a), -1);
    atomic_fetch_sub_explicit(&a->edge->viewers, 1, memory_order_relaxed);
    if (a->count == 0)
        task_defer(a->worker, &a->close);
}

static void viewer_end(struct viewer *v, enum close_reason why)
{
    viewer_remove(v);
    v->ops->on_end(v->owner, why);
}

static void set_blocked(struct viewer *v)
{
    v->blocked = true;
    v->blocked_us = clock_us();
}

/* What is in force where the cursor stands, if the player does not have it.  False when the player
 * had to go. */
static bool tell_in_force(struct viewer *v)
{
    struct audience *a = v->audience;
    const struct log *l = a->reader.feed->log;
    const struct log_key *key = cursor_key(&v->cursor, l);
    if (key == NULL || !cursor_tell(&v->cursor, key->inforce))
        return true;
    struct buf b;
    buf_init(&b, PREAMBLE_BYTES_MAX);
    const struct run *r = log_find(l, v->cursor.epoch);
    int err = wire_preamble(a->kind, key->inforce, key->wire_ms, r->shift_ms, &b);
    if (err == 0 && buf_len(&b) > 0)
        err = v->ops->write(v->owner, buf_slice(&b));
    buf_fini(&b);
    if (err < 0 && v->audience != NULL)
        viewer_end(v, CLOSE_TOO_SLOW);
    return err == 0;
}

static bool viewer_start(struct viewer *v)
{
    struct audience *a = v->audience;
    const struct feed *f = a->reader.feed;
    if (f->state == FEED_ENDED || !cursor_join(&v->cursor, f->log))
        return false;
    v->started = true;
    list_remove(&v->node);
    list_append(&a->viewers, &v->node);
    METRIC_INC(a->worker->metrics.play_total);
    v->ops->on_start(v->owner, log_newest(f->log));
    return v->audience != NULL && tell_in_force(v);
}

/* Sends the rest of a half-sent frame: 1 done, 0 blocked, negative failed. */
static int send_rest(struct viewer *v)
{
    struct cursor *c = &v->cursor;
    if (c->offset == 0)
        return 1;
    struct wire_form form;
    struct iovec iov[WIRE_SPAN_IOV];
    int n = wire_rest(v->audience->kind, c->held, c->held_shift_ms, c->offset, &form, iov,
                      WIRE_SPAN_IOV);
    must(n > 0);
    ssize_t sent = v->ops->writev(v->owner, iov, n);
    if (sent <= 0)
        return (int)sent;
    cursor_advance_held(c, &form, (size_t)sent);
    return c->offset == 0;
}

/* Applies the judge's word: true to go on sending. */
static bool pass_judge(struct viewer *v)
{
    struct audience *a = v->audience;
    struct viewer_limits limits = {a->worker->config->viewer.behind_ms * 1000};
    uint64_t skipped = 0;
    switch (cursor_judge(&v->cursor, a->reader.feed->log, &limits, clock_us(), &skipped)) {
    case CURSOR_KEEP:
        return true;
    case CURSOR_SKIPPED:
        METRIC_INC(a->worker->metrics.cursor_skips_total);
        METRIC_ADD(a->worker->metrics.frames_skipped_total, skipped);
        return tell_in_force(v);
    case CURSOR_TOO_SLOW:
        viewer_end(v, CLOSE_TOO_SLOW);
        return false;
    case CURSOR_EVICTED:
        return false;
    }
    return false;
}

/* Steps to the run of a new owner or publisher; true when there is one. */
static bool enter_next_run(struct viewer *v)
{
    if (!cursor_next_run(&v->cursor, v->audience->reader.feed->log))
        return false;
    if (v->ops->on_resumed != NULL)
        v->ops->on_resumed(v->owner);
    return v->audience != NULL && tell_in_force(v);
}

/* One span: bytes sent, 0 nothing to send now, negative failed or gone. */
static ssize_t send_span(struct viewer *v)
{
    struct audience *a = v->audience;
    struct cursor *c = &v->cursor;
    const struct log *l = a->reader.feed->log;
    const struct run *r = log_find(l, c->epoch);
    if (r == NULL)
        return 0;
    struct wire_place at = {l, r, c->seq, a->kind, v->mute};
    const struct wire_span *span = wire_span_get(a->cache, &at);
    if (span->to == span->from)
        return !v->ending && enter_next_run(v) ? 1 : v->audience != NULL ? 0 : ERR_CLOSED;
    ssize_t sent = span->bytes > 0 ? v->ops->writev(v->owner, span->iov, span->iov_count) : 0;
    if (sent < 0)
        return sent;
    cursor_advance(c, span, r, (size_t)sent);
    if ((size_t)sent < span->bytes)
        set_blocked(v);
    return v->blocked ? 0 : sent > 0 ? sent : 1;
}

/* Sends what the socket takes, and no more than a turn's share: the rest follows behind the others.
 */
static void send_some(struct viewer *v)
{
    if (v->paused || v->blocked || (!v->started && !viewer_start(v)))
        return;
    for (size_t budget = VIEWER_TURN_BYTES;;) {
        int rest = send_rest(v);
        if (rest == 0)
            set_blocked(v);
        if (rest <= 0 || !pass_judge(v))
            return;
        ssize_t sent = send_span(v);
        if (sent <= 0)
            return;
        if ((size_t)sent >= budget) {
            timer_set_ms(&v->audience->merge, 0);
            return;
        }
        budget -= (size_t)sent;
    }
}

static bool has_rest(const struct viewer *v)
{
    return v->started && cursor_has_more(&v->cursor, v->audience->reader.feed->log);
}

/* The player may have left when it returns. */
static void viewer_pump(struct viewer *v)
{
    send_some(v);
    if (v->audience != NULL && v->ending && !has_rest(v))
        viewer_end(v, v->ending_why);
}

/* ---- all players of a kind ---- */

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

static void greet(void *arg)
{
    struct audience *a = OBJ_CAST(struct audience, arg, AUDIENCE_MAGIC);
    each_of(&a->newcomers, viewer_pump);
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
    each_of(&a->viewers, tell_bitrate);
}

static void flush(void *arg)
{
    struct audience *a = OBJ_CAST(struct audience, arg, AUDIENCE_MAGIC);
    each_of(&a->viewers, viewer_pump);
    each_of(&a->newcomers, viewer_pump);
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
    each_of(&a->viewers, sweep_viewer);
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
    int64_t wait_ms = merge_wait_ms(a->worker->config->rtmp.merge_ms, a->worker->load_percent);
    METRIC_SET(a->worker->metrics.merge_ms, wait_ms);
    if (wait_ms == 0) {
        timer_stop(&a->merge);
        flush(a);
        return;
    }
    greet(a); /* a first flush is never put off */
    if (!timer_is_set(&a->merge))
        timer_set_ms(&a->merge, wait_ms);
}

static void on_state(struct feed_reader *r)
{
    on_frames(r);
}

/* What was published is sent to its end first. */
static void end_viewer(struct viewer *v)
{
    if (v->ending)
        return;
    v->ending = true;
    v->ending_us = clock_us();
    v->ending_why = v->audience->reader.feed->why;
    viewer_pump(v);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    struct audience *a = container_of(r, struct audience, reader);
    timer_stop(&a->merge);
    each_of(&a->viewers, end_viewer); /* newcomers wait for the stream to come back */
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
    task_cancel(&a->greet);
    task_cancel(&a->close);
    map_take(a->edge->local[a->worker->index].audiences, a->key);
    OBJ_POISON(a);
    free(a);
}

static struct audience *audience_get(struct edge *e, struct worker *w, const char *name,
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
    timer_init(&a->merge, w, "audience.flush", flush, a);
    timer_init(&a->sweep, w, "audience.sweep", on_sweep, a);
    task_init(&a->greet, greet, a);
    task_init(&a->close, audience_free, a);
    must(slice_copy(slice_text(key), a->key, sizeof a->key));
    map_put(local->audiences, key, a);
    feed_join(e->hub, w, name, &a->reader);
    return a;
}

/* ---- what others call ---- */

int viewer_join(struct edge *e, struct worker *w, const char *name, enum wire_kind kind,
                struct viewer *v)
{
    int64_t max = w->config->viewer.max;
    if (atomic_load_explicit(&e->draining, memory_order_relaxed))
        return ERR_CLOSED;
    if (atomic_fetch_add_explicit(&e->viewers, 1, memory_order_relaxed) >= max && max > 0) {
        atomic_fetch_sub_explicit(&e->viewers, 1, memory_order_relaxed);
        return ERR_TOO_MANY;
    }
    struct audience *a = audience_get(e, w, name, kind);
    v->audience = a;
    v->joined_us = clock_us();
    list_append(&a->newcomers, &v->node);
    a->count++;
    a->reader.feed->viewers[viewer_kind_of(kind)]++;
    METRIC_INC(*gauge_of(a));
    task_defer(w, &a->greet);
    if (!timer_is_set(&a->sweep) || a->newcomers.next == &v->node)
        timer_set_ms(&a->sweep, w->config->stream.wait_ms < AUDIENCE_SWEEP_MS
                                    ? w->config->stream.wait_ms
                                    : AUDIENCE_SWEEP_MS);
    return 0;
}

void viewer_leave(struct viewer *v)
{
    if (v->audience != NULL)
        viewer_remove(v);
}

void viewer_writable(struct viewer *v)
{
    v->blocked = false;
    if (v->audience != NULL)
        viewer_pump(v);
}

void viewer_pause(struct viewer *v, bool paused)
{
    v->paused = paused;
    cursor_rested(&v->cursor);
    v->cursor.skips = 0;
    if (!paused && v->audience != NULL)
        viewer_pump(v);
}

void viewer_mute(struct viewer *v, bool audio, bool video)
{
    v->mute = (uint8_t)((audio ? 0 : 1U << FRAME_AUDIO) | (video ? 0 : 1U << FRAME_VIDEO));
}

int64_t audience_bitrate_bps(const struct audience *a)
{
    return a->reader.feed->bitrate_bps;
}

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

bool edge_may_log(struct edge *e, struct worker *w, bool opening, uint32_t *suppressed)
{
    struct edge_worker *local = &e->local[w->index];
    struct log_limit *l = opening ? &local->open_limit : &local->close_limit;
    if (log_limit_pass(l, clock_us(), suppressed))
        return true;
    METRIC_INC(w->metrics.log_lines_suppressed_total);
    return false;
}

int64_t edge_viewers(const struct edge *e)
{
    return atomic_load_explicit(&e->viewers, memory_order_relaxed);
}

static void drain_viewer(struct viewer *v)
{
    viewer_end(v, CLOSE_DRAIN);
}

static void drain_audience(const char *key, void *value, void *arg)
{
    struct audience *a = OBJ_CAST(struct audience, value, AUDIENCE_MAGIC);
    each_of(&a->newcomers, drain_viewer);
    each_of(&a->viewers, drain_viewer);
}

void edge_drain(struct edge *e, struct worker *w)
{
    atomic_store(&e->draining, true);
    map_each(e->local[w->index].audiences, drain_audience, NULL);
}
