/*
 * One player of an audience: where it stands, what it is told, what its socket takes.
 *
 *   newcomer ─stream is there─▶ started ─┬─▶ send_rest ─▶ pass_judge ─▶ send_span ─┐
 *                                        └──────────────── more ◀─────────────────┘
 */
#include "edge/audience_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"

#define VIEWER_TURN_BYTES  (4 * WIRE_SPAN_BYTES) /* to one player before the next gets its turn */
#define PREAMBLE_BYTES_MAX (INFORCE_MAX * 64 * 1024)

static enum viewer_kind viewer_kind_of(enum wire_kind kind)
{
    return kind == WIRE_FLV || kind == WIRE_FLV_BASIC ? VIEWER_FLV : VIEWER_RTMP;
}

static int64_t *gauge_of(struct audience *a)
{
    struct metrics *m = &a->worker->metrics;
    return viewer_kind_of(a->kind) == VIEWER_FLV ? &m->viewers_flv : &m->viewers_rtmp;
}

static void viewer_remove(struct viewer *v)
{
    struct audience *a = v->audience;
    v->audience = NULL;
    struct edge_worker *local = &a->edge->local[a->worker->index];
    list_remove(&v->node);
    list_remove(&v->local_node);
    local->viewer_count--;
    cursor_fini(&v->cursor);
    a->count--;
    a->reader.feed->viewers[viewer_kind_of(a->kind)]--;
    METRIC_ADD(*gauge_of(a), -1);
    atomic_fetch_sub_explicit(&a->edge->viewers, 1, memory_order_relaxed);
    if (a->count == 0)
        task_defer(a->worker, &a->close);
}

void viewer_end(struct viewer *v, enum close_reason why)
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
    LEFT_AS_IT_IS struct iovec iov[WIRE_SPAN_IOV];
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

void viewer_pump(struct viewer *v)
{
    send_some(v);
    if (v->audience != NULL && v->ending && !has_rest(v))
        viewer_end(v, v->ending_why);
}

void viewer_finish(struct viewer *v, enum close_reason why)
{
    if (v->ending)
        return;
    v->ending = true;
    v->ending_us = clock_us();
    v->ending_why = why;
    viewer_pump(v);
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
    if (!is_late(w))
        return 0;
    METRIC_INC(w->metrics.viewers_shed_total);
    return ERR_TOO_MANY;
}

int edge_admits(const struct edge *e, struct worker *w)
{
    int64_t max = w->config->viewer.max;
    int err = judge_new(&e->local[w->index], w);
    return err == 0 && max > 0 && edge_viewers(e) >= max ? ERR_TOO_MANY : err;
}

int viewer_join(struct edge *e, struct worker *w, const char *name, enum wire_kind kind,
                struct viewer *v)
{
    struct edge_worker *local = &e->local[w->index];
    int64_t max = w->config->viewer.max;
    int err = judge_new(local, w);
    if (err < 0)
        return err;
    if (atomic_fetch_add_explicit(&e->viewers, 1, memory_order_relaxed) >= max && max > 0) {
        atomic_fetch_sub_explicit(&e->viewers, 1, memory_order_relaxed);
        return ERR_TOO_MANY;
    }
    struct audience *a = audience_get(e, w, name, kind);
    v->audience = a;
    v->joined_us = clock_us();
    list_append(&a->newcomers, &v->node);
    list_append(&local->viewers, &v->local_node);
    local->viewer_count++;
    a->count++;
    a->reader.feed->viewers[viewer_kind_of(kind)]++;
    METRIC_INC(*gauge_of(a));
    audience_greet(a);
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
