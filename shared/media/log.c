#include "media/log_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

#define RING_ROOM_MIN 64
#define KEYS_ROOM_MIN 8
#define DROP_AHEAD    4  /* frames: those that go next are fetched into the cache meanwhile */
#define TRIM_SHARE    64 /* of the window, by which it is exceeded before frames go */

_Static_assert((RING_ROOM_MIN & (RING_ROOM_MIN - 1)) == 0, "rings are indexed by a mask");
_Static_assert((LOG_FRAMES_MAX & (LOG_FRAMES_MAX - 1)) == 0, "and so is the largest one");

struct log *log_new(const struct log_limits *limits)
{
    struct log *l = xcalloc(1, sizeof *l);
    l->limits = *limits;
    list_init(&l->runs);
    return l;
}

static size_t bytes_of(const struct frame *f)
{
    return sizeof *f + f->size;
}

static void add_bytes(struct log *l, struct run *r, size_t n)
{
    l->bytes += n;
    r->bytes += n;
    if (l->limits.account != NULL)
        atomic_fetch_add_explicit(&l->limits.account->bytes, n, memory_order_relaxed);
}

static void take_bytes(struct log *l, struct run *r, size_t n)
{
    l->bytes -= n;
    r->bytes -= n;
    if (l->limits.account != NULL)
        atomic_fetch_sub_explicit(&l->limits.account->bytes, n, memory_order_relaxed);
}

static void drop_first_key(struct run *r)
{
    inforce_unref(&r->keys[0].inforce);
    r->key_count--;
    memmove(r->keys, r->keys + 1, r->key_count * sizeof r->keys[0]);
}

static void drop_first_frame(struct log *l, struct run *r)
{
    struct frame **slot = &r->ring[r->first & r->ring_mask];
    __builtin_prefetch(r->ring[(r->first + DROP_AHEAD) & r->ring_mask]);
    take_bytes(l, r, bytes_of(*slot));
    frame_unref(slot);
    r->first++;
    while (r->key_count > 0 && r->keys[0].seq < r->first)
        drop_first_key(r);
}

static void run_free(struct log *l, struct run **rp)
{
    struct run *r = *rp;
    *rp = NULL;
    must(r != NULL);
    while (r->first < r->next)
        drop_first_frame(l, r);
    while (r->key_count > 0)
        drop_first_key(r);
    must(r->bytes == 0);
    log_parts_clear(r);
    inforce_unref(&r->inforce);
    run_origin_unref(&r->origin);
    list_remove(&r->node);
    l->run_count--;
    free(r->keys);
    free(r->ring);
    free(r);
}

struct run *log_oldest(const struct log *l)
{
    return LIST_FIRST(&l->runs, struct run, node);
}

void log_free(struct log **lp)
{
    struct log *l = *lp;
    *lp = NULL;
    if (l == NULL)
        return;
    log_clear(l);
    free(l);
}

void log_clear(struct log *l)
{
    for (struct run *r; (r = log_oldest(l)) != NULL;)
        run_free(l, &r);
    must(l->bytes == 0 && l->run_count == 0);
    l->change++;
}

struct run *log_newest(const struct log *l)
{
    return LIST_LAST(&l->runs, struct run, node);
}

struct run *log_find(const struct log *l, uint64_t epoch)
{
    struct run *r;
    LIST_EACH (r, &l->runs, node)
        if (r->epoch == epoch)
            return r;
    return NULL;
}

struct run *log_after(const struct log *l, const struct run *r)
{
    return r->node.next == &l->runs ? NULL : container_of(r->node.next, struct run, node);
}

struct run *log_before(const struct log *l, const struct run *r)
{
    return r->node.prev == &l->runs ? NULL : container_of(r->node.prev, struct run, node);
}

void log_end_run(struct log *l, struct run *r)
{
    r->ended = true;
    l->change++;
}

static struct run *run_new(uint64_t epoch, uint64_t first_seq, struct inforce *inforce)
{
    struct run *r = xcalloc(1, sizeof *r);
    r->epoch = epoch;
    r->first = r->next = first_seq;
    r->inforce = inforce_ref(inforce);
    r->ring = xcalloc(RING_ROOM_MIN, sizeof(struct frame *));
    r->ring_mask = RING_ROOM_MIN - 1;
    return r;
}

struct run *log_open_run(struct log *l, uint64_t epoch, uint64_t first_seq, struct inforce *inforce)
{
    struct run *before = log_newest(l);
    must(first_seq > 0 && (before == NULL || before->epoch < epoch));
    if (before != NULL)
        log_end_run(l, before);
    if (l->run_count == LOG_RUNS_MAX) {
        struct run *oldest = log_oldest(l);
        run_free(l, &oldest);
    }
    struct run *r = run_new(epoch, first_seq, inforce);
    list_append(&l->runs, &r->node);
    l->run_count++;
    l->change++;
    return r;
}

/* Room for one more frame at either end. */
static void ring_grow(struct run *r)
{
    uint32_t room = r->ring_mask + 1;
    if (r->next - r->first < room)
        return;
    struct frame **ring = xcalloc((size_t)room * 2, sizeof(struct frame *));
    for (uint64_t seq = r->first; seq < r->next; seq++)
        ring[seq & (room * 2 - 1)] = r->ring[seq & r->ring_mask];
    free(r->ring);
    r->ring = ring;
    r->ring_mask = room * 2 - 1;
}

static void key_insert(struct run *r, uint32_t at, const struct frame *f, struct inforce *inforce)
{
    if (r->key_count == LOG_KEYS_MAX) {
        if (at == 0)
            return;
        drop_first_key(r);
        at--;
    }
    if (r->key_count == r->key_room) {
        r->key_room = r->key_room > 0 ? r->key_room * 2 : KEYS_ROOM_MIN;
        r->keys = xrealloc(r->keys, r->key_room * sizeof r->keys[0]);
    }
    memmove(r->keys + at + 1, r->keys + at, (r->key_count - at) * sizeof r->keys[0]);
    r->keys[at] = (struct log_key){f->seq, f->dts_us, f->wire_ms, inforce_ref(inforce)};
    r->key_count++;
}

/* A viewer may join at a key frame of video 0, or, in a stream without video, at audio 0. */
static bool is_joinable(const struct run *r, const struct frame *f, const struct log_key *before)
{
    if (!frame_is_media(f) || f->track != 0)
        return false;
    if (f->kind == FRAME_VIDEO)
        return (f->flags & FRAME_KEY) != 0;
    if (r->video_seen)
        return false;
    int64_t since_us = before != NULL ? before->dts_us : 0;
    return f->dts_us - since_us >= LOG_AUDIO_KEY_US;
}

static struct log_track *track_of(struct run *r, const struct frame *f)
{
    for (uint32_t i = 0; i < r->track_count; i++)
        if (r->tracks[i].kind == f->kind && r->tracks[i].id == f->track)
            return &r->tracks[i];
    if (f->kind == FRAME_DATA || r->track_count == LOG_TRACKS_MAX)
        return NULL;
    struct log_track *t = &r->tracks[r->track_count++];
    *t = (struct log_track){.kind = f->kind, .id = f->track};
    return t;
}

static void note_track(struct run *r, const struct frame *f)
{
    struct log_track *t = track_of(r, f);
    if (t == NULL)
        return;
    if (f->codec != 0)
        t->codec = f->codec;
    if (!frame_is_media(f))
        return;
    t->frames++;
    t->newest_dts_us = f->dts_us;
}

struct inforce *log_inforce_after(struct inforce *held, struct frame *f)
{
    if ((f->flags & (FRAME_CONFIG | FRAME_META)) == 0)
        return held;
    struct inforce *now = inforce_with(held, f);
    if (now == NULL)
        return held;
    inforce_unref(&held);
    return now;
}

static bool over_budget(const struct log *l)
{
    const struct log_account *a = l->limits.account;
    if (a == NULL || a->max == 0)
        return false;
    int pressure = a->pressure != NULL ? __atomic_load_n(a->pressure, __ATOMIC_RELAXED) : 0;
    return atomic_load_explicit(&a->bytes, memory_order_relaxed) > a->max >> pressure;
}

/* As long as asked for, and as HLS needs: segments may be longer than they should. */
static int64_t window_us(const struct log *l, const struct run *r)
{
    int64_t hls_us = log_parts_window_us(r);
    return hls_us > l->limits.window_us ? hls_us : l->limits.window_us;
}

static bool first_may_go(const struct log *l, const struct run *r)
{
    if (r->next - r->first <= 1)
        return false;
    if (l->bytes > l->limits.window_bytes || r->next - r->first > LOG_FRAMES_MAX)
        return true;
    const struct log_key *key = run_newest_key(r);
    if (key == NULL || key->seq <= r->first)
        return false;
    return over_budget(l) || r->newest_dts_us - run_frame(r, r->first)->dts_us > window_us(l, r);
}

/* Frames go some at a time, since the oldest are in no cache: each look at one waits for it. */
static bool trim_is_due(const struct log *l, const struct run *r)
{
    return r->newest_dts_us > r->trim_us || l->bytes > l->limits.window_bytes ||
           r->next - r->first > LOG_FRAMES_MAX || over_budget(l);
}

/* Ended runs go whole, once the newest has filled the window or memory is needed. */
static void trim(struct log *l)
{
    struct run *newest = log_newest(l);
    for (struct run *r; (r = log_oldest(l)) != newest;) {
        bool outlived = newest->newest_dts_us > window_us(l, newest);
        if (!outlived && l->bytes <= l->limits.window_bytes && !over_budget(l))
            break;
        run_free(l, &r);
    }
    if (!trim_is_due(l, newest))
        return;
    while (first_may_go(l, newest))
        drop_first_frame(l, newest);
    int64_t kept_us = window_us(l, newest);
    newest->trim_us = run_frame(newest, newest->first)->dts_us + kept_us + kept_us / TRIM_SHARE;
    log_parts_trim(newest);
}

static void append_to(struct log *l, struct run *r, struct frame *f)
{
    ring_grow(r);
    r->ring[f->seq & r->ring_mask] = f;
    r->next++;
    add_bytes(l, r, bytes_of(f));
    if (f->kind == FRAME_VIDEO && f->track == 0)
        r->video_seen = true;
    if (f->dts_us > r->newest_dts_us)
        r->newest_dts_us = f->dts_us;
    r->newest_wire_ms = f->wire_ms;
    note_track(r, f);
    if (is_joinable(r, f, run_newest_key(r)))
        key_insert(r, r->key_count, f, r->inforce);
    log_parts_append(r, f, r->inforce);
    r->inforce = log_inforce_after(r->inforce, f);
}

void log_append(struct log *l, struct frame *f)
{
    struct run *r = log_newest(l);
    must(r != NULL && !r->ended && f->seq == r->next);
    append_to(l, r, f);
    trim(l);
    l->change++;
}

void log_set_plan(struct log *l, struct run *r, const struct cut_plan *plan)
{
    log_parts_renumber(r, plan->first_msn - r->plan.first_msn, plan->first_dsn - r->plan.first_dsn);
    r->plan = *plan;
    r->trim_us = 0; /* the window may be another one */
    struct run *before = log_find(l, plan->previous_epoch);
    if (before != NULL && before != r && before->next == plan->previous_last_seq + 1)
        before->last_seq = plan->previous_last_seq;
    l->change++;
}

void log_set_last(struct log *l, struct run *r, uint64_t last_seq)
{
    r->last_seq = last_seq;
    l->change++;
}

static bool holds(const struct run *r, const struct log_older *o)
{
    return r->first <= o->frames[0]->seq && r->next > o->frames[o->count - 1]->seq;
}

static int adopt_check(const struct log *l, const struct log_older *o)
{
    const struct run *held = log_find(l, o->epoch);
    size_t bytes = held != NULL ? l->bytes - held->bytes : l->bytes;
    const struct run *newest = log_newest(l);
    if (newest == NULL || newest->epoch <= o->epoch ||
        (held != NULL && (held == newest || holds(held, o))))
        return ERR_RANGE;
    if (held == NULL && l->run_count == LOG_RUNS_MAX)
        return ERR_TOO_MANY;
    for (size_t i = 0; i < o->count; i++) {
        if (o->frames[i]->seq != o->frames[0]->seq + i)
            return ERR_RANGE;
        bytes += sizeof *o->frames[i] + o->frames[i]->size;
    }
    return bytes > l->limits.window_bytes || o->count > LOG_FRAMES_MAX ? ERR_TOO_LARGE : 0;
}

int log_adopt(struct log *l, const struct log_older *o)
{
    must(o->count > 0);
    int err = adopt_check(l, o);
    for (size_t i = 0; err < 0 && i < o->count; i++)
        frame_unref(&o->frames[i]);
    if (err < 0)
        return err;
    struct run *r = run_new(o->epoch, o->frames[0]->seq, o->inforce), *after;
    struct run *held = log_find(l, o->epoch);
    if (held != NULL) {
        r->shift_ms = held->shift_ms; /* viewers may be in it */
        r->opened_us = held->opened_us;
        run_free(l, &held);
    }
    r->wall_us = o->wall_us;
    r->plan = o->plan;
    r->origin = run_origin_ref(o->origin);
    r->shift_set = r->ended = true;
    LIST_EACH (after, &l->runs, node)
        if (after->epoch > r->epoch)
            break;
    list_append(&after->node, &r->node); /* in a ring, that is before it */
    l->run_count++;
    for (size_t i = 0; i < o->count; i++) {
        append_to(l, r, o->frames[i]);
        o->frames[i] = NULL;
    }
    r->last_seq = r->next - 1;
    trim(l);
    l->change++;
    return 0;
}

void log_restart(struct log *l, uint64_t next_seq, struct inforce *inforce)
{
    struct run *r = log_newest(l);
    must(r != NULL && !r->ended && next_seq >= r->next);
    while (r->first < r->next)
        drop_first_frame(l, r);
    r->first = r->next = next_seq;
    log_parts_clear(r);
    struct inforce *old = r->inforce;
    r->inforce = inforce_ref(inforce);
    inforce_unref(&old);
    l->change++;
}

static int prepend_check(const struct log *l, const struct run *r, struct frame **frames,
                         size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (frames[i]->seq + (count - i) != r->first)
            return ERR_RANGE;
        bytes += sizeof *frames[i] + frames[i]->size;
    }
    if (bytes > l->limits.window_bytes -
                    (l->bytes < l->limits.window_bytes ? l->bytes : l->limits.window_bytes))
        return ERR_TOO_LARGE;
    return r->next - r->first + count > LOG_FRAMES_MAX ? ERR_TOO_LARGE : 0;
}

/* Index entries of frames [first, first + count), which are in the ring already. */
static void index_block(struct run *r, struct inforce *inforce, size_t count)
{
    struct inforce *held = inforce_ref(inforce);
    uint32_t at = 0;
    for (uint64_t seq = r->first; seq < r->first + count; seq++) {
        struct frame *f = run_frame(r, seq);
        if (is_joinable(r, f, at > 0 ? &r->keys[at - 1] : NULL) && r->key_count < LOG_KEYS_MAX)
            key_insert(r, at++, f, held);
        held = log_inforce_after(held, f);
    }
    inforce_unref(&held);
}

int log_prepend(struct log *l, struct run *r, struct inforce *inforce, struct frame **frames,
                size_t count)
{
    int err = prepend_check(l, r, frames, count);
    for (size_t i = count; i-- > 0;) {
        if (err < 0) {
            frame_unref(&frames[i]);
            continue;
        }
        ring_grow(r);
        r->first--;
        r->ring[r->first & r->ring_mask] = frames[i];
        add_bytes(l, r, bytes_of(frames[i]));
        frames[i] = NULL;
    }
    if (err < 0)
        return err;
    r->trim_us = 0;
    index_block(r, inforce, count);
    log_parts_prepend(r, inforce, count);
    l->change++;
    return 0;
}

const struct log_key *run_newest_key(const struct run *r)
{
    return r->key_count > 0 ? &r->keys[r->key_count - 1] : NULL;
}

const struct log_key *run_key_from(const struct run *r, uint64_t seq)
{
    for (uint32_t i = 0; i < r->key_count; i++)
        if (r->keys[i].seq >= seq)
            return &r->keys[i];
    return NULL;
}

int64_t run_behind_us(const struct run *r, uint64_t seq)
{
    if (seq < r->first || seq >= r->next)
        return 0;
    int64_t behind_us = r->newest_dts_us - run_frame(r, seq)->dts_us;
    return behind_us > 0 ? behind_us : 0;
}

void log_forget(struct log *l, uint64_t epoch, uint64_t seq)
{
    struct run *newest = log_newest(l), *r;
    while ((r = log_oldest(l)) != newest && r->epoch < epoch) {
        run_free(l, &r);
        l->change++;
    }
    while (r != NULL && r->epoch == epoch && r->first < seq && r->first < r->next) {
        drop_first_frame(l, r);
        l->change++;
    }
    if (r != NULL)
        log_parts_trim(r);
}
