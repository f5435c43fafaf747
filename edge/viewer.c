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
#include "core/limit.h"
#include "core/memory_guard.h"
#include "edge/view.h"
#include "proto/flv.h"

#define MEMORY_OUT_HASTE   4 /* then who is a quarter of viewer.behind_ms behind has to go */
#define VIEWER_TURN_BYTES  WIRE_SPAN_BYTES /* to one player before the next gets its turn */
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

static void leave_audience(struct viewer *v)
{
    struct audience *a = v->audience;
    v->audience = NULL;
    list_remove(&v->node);
    a->count--;
    a->reader.feed->viewers[viewer_kind_of(a->kind)]--;
    METRIC_ADD(*gauge_of(a), -1);
    if (a->count == 0)
        task_defer(a->worker, &a->close);
}

static void enter_audience(struct viewer *v, struct audience *a)
{
    v->audience = a;
    v->late = false;
    list_append(&a->newcomers, &v->node);
    a->count++;
    a->reader.feed->viewers[viewer_kind_of(a->kind)]++;
    METRIC_INC(*gauge_of(a));
    audience_greet(a);
}

static void viewer_remove(struct viewer *v)
{
    struct edge *e = v->audience->edge;
    leave_audience(v);
    edge_leave_seat(e, &v->seat);
    cursor_fini(&v->cursor);
}

/* To those who get sound that they can play, made of this one. */
static void move_to_plain(struct viewer *v)
{
    struct audience *from = v->audience;
    char name[NAME_STREAM_MAX + 1];
    name_derive(from->reader.feed->name, VIEW_PLAIN, name);
    leave_audience(v);
    enter_audience(v, audience_get(from->edge, from->worker, name, from->kind));
}

static bool needs_plain(const struct viewer *v)
{
    const struct feed *f = v->audience->reader.feed;
    const struct run *r = log_newest(f->log);
    return v->plain_sound && r != NULL && name_derivation(f->name) == NULL && view_is_needed(r);
}

/* Players that announced nothing know no FourCC. */
static bool cannot_play(const struct viewer *v)
{
    const struct run *r = log_newest(v->audience->reader.feed->log);
    for (uint32_t i = 0; v->plain_sound && r != NULL && i < r->track_count; i++)
        if (r->tracks[i].kind == FRAME_VIDEO && flv_codec_needs_webrtc(r->tracks[i].codec))
            return true;
    return false;
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
    if (cannot_play(v)) {
        viewer_end(v, CLOSE_UNSUPPORTED);
        return false;
    }
    if (needs_plain(v)) {
        cursor_fini(&v->cursor);
        v->cursor = (struct cursor){0};
        move_to_plain(v);
        return false;
    }
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
    bool out_of_memory = memory_level(a->worker->group) == MEMORY_OUT;
    struct viewer_limits limits = {a->worker->config->viewer.behind_ms * 1000 /
                                   (out_of_memory ? MEMORY_OUT_HASTE : 1)};
    uint64_t skipped = 0;
    switch (cursor_judge(&v->cursor, a->reader.feed->log, &limits, worker_now_us(a->worker),
                         &skipped)) {
    case CURSOR_KEEP:
        return true;
    case CURSOR_SKIPPED:
        METRIC_INC(a->worker->metrics.cursor_skips_total);
        METRIC_ADD(a->worker->metrics.frames_skipped_total, skipped);
        if (!out_of_memory)
            return tell_in_force(v);
        limit_reached(a->worker, LIMIT_MEMORY, a->reader.feed->name);
        viewer_end(v, CLOSE_OVERLOAD);
        return false;
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
    bool has_all = cursor_is_at_head(c, r) && r == log_newest(l);
    return v->blocked || has_all ? 0 : sent > 0 ? sent : 1;
}

/* True when its turn is over before it has everything. */
static bool send_some(struct viewer *v)
{
    if (v->paused || v->blocked || (!v->started && !viewer_start(v)))
        return false;
    for (size_t budget = VIEWER_TURN_BYTES;;) {
        int rest = v->cursor.offset > 0 ? send_rest(v) : 1;
        if (rest == 0)
            set_blocked(v);
        if (rest <= 0 || !pass_judge(v))
            return false;
        ssize_t sent = send_span(v);
        if (sent <= 0)
            return false;
        if ((size_t)sent >= budget)
            return true;
        budget -= (size_t)sent;
    }
}

static bool has_rest(const struct viewer *v)
{
    return v->started && cursor_has_more(&v->cursor, v->audience->reader.feed->log);
}

static void set_late(struct viewer *v, bool late)
{
    struct audience *a = v->audience;
    if (v->late == late)
        return;
    v->late = late;
    list_remove(&v->node);
    list_append(late ? &a->late : &a->viewers, &v->node);
    if (late)
        audience_due(a);
}

void viewer_pump(struct viewer *v)
{
    bool more = send_some(v);
    if (v->audience == NULL || !v->started)
        return;
    set_late(v, more && has_rest(v));
    if (v->ending && !has_rest(v))
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

static void on_drain(struct edge_seat *s)
{
    viewer_end(container_of(s, struct viewer, seat), CLOSE_DRAIN);
}

int viewer_join(struct edge *e, struct worker *w, const char *name, enum wire_kind kind,
                struct viewer *v)
{
    v->seat.on_drain = on_drain;
    int err = edge_take_seat(e, w, &v->seat);
    if (err < 0)
        return err;
    struct audience *a = audience_get(e, w, name, kind);
    v->joined_us = clock_us();
    enter_audience(v, a);
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
