#include "edge/hls_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>

#define SEGMENTS_MAX 2048    /* of a playlist */
#define PAST_US      2000000 /* that older segments are waited for */

/* What a view is made of. */
struct gather {
    const struct log *log;
    struct hls_view *v;
    uint64_t oldest_msn;
    size_t part_room, part_count, segment_room;
};

void hls_view_fini(struct hls_view *v)
{
    free(v->segments);
    free(v->parts);
    free(v->has);
    v->segments = NULL;
    v->parts = NULL;
    v->has = NULL;
    v->count = 0;
}

static uint32_t complete_parts(const struct run *r, const struct log_part *first)
{
    uint32_t n = 0;
    const struct log_part *p = first;
    for (; p != NULL && p->cut.msn == first->cut.msn; p = run_next_part(r, p))
        n += run_part_extent(r, p).complete;
    return n;
}

static void add_parts(struct gather *g, const struct run *r, const struct log_part *first,
                      struct m3u8_segment *to)
{
    size_t from = g->part_count;
    const struct log_part *p = first;
    for (; p != NULL && p->cut.msn == first->cut.msn; p = run_next_part(r, p)) {
        const struct log_extent e = run_part_extent(r, p);
        if (!e.complete || to->part_count > HLS_PART_MAX || g->part_count == g->part_room)
            break;
        g->v->has[g->part_count] = p->has;
        g->v->parts[g->part_count++] = (struct m3u8_part){.duration_us = e.duration_us};
        to->part_count++;
    }
    to->parts = g->v->parts + from;
}

static void add_segment(struct gather *g, const struct run *r, const struct log_part *first)
{
    struct hls_view *v = g->v;
    const struct log_extent e = run_segment_extent(r, first);
    if (v->count > 0 && v->first_msn + v->count != first->cut.msn) {
        v->count = 0; /* a peer that leaves numbers out: only what is behind can be listed */
        g->part_count = 0;
    }
    if (v->count == g->segment_room)
        return;
    if (v->count == 0)
        v->first_msn = first->cut.msn;
    struct m3u8_segment *to = &v->segments[v->count++];
    *to = (struct m3u8_segment){.epoch = r->epoch,
                                .dsn = first->cut.dsn,
                                .wall_us = first->cut.wall_us,
                                .duration_us = e.duration_us,
                                .complete = e.complete};
    add_parts(g, r, first, to);
}

static const struct log_part *first_segment(const struct run *r, uint64_t oldest_msn)
{
    const struct log_part *p = run_first_part(r);
    if (p != NULL && p->cut.part != 0)
        p = run_next_segment(r, p);
    while (p != NULL && (p->cut.msn < oldest_msn || p->cut.part != 0))
        p = run_next_segment(r, p);
    return p;
}

static void add_run(struct gather *g, const struct run *r)
{
    const struct log_part *p = first_segment(r, g->oldest_msn);
    for (; p != NULL && p->cut.part == 0; p = run_next_segment(r, p))
        add_segment(g, r, p);
}

/* The runs that are numbered without a jump up to r, the oldest first. */
static size_t chain(const struct log *l, const struct run *r, const struct run *out[LOG_RUNS_MAX])
{
    size_t n = 0;
    const struct run *found[LOG_RUNS_MAX];
    for (; r != NULL && n < LOG_RUNS_MAX; r = log_previous(l, r))
        found[n++] = r;
    for (size_t i = 0; i < n; i++)
        out[i] = found[n - 1 - i];
    return n;
}

/* Something of it may be listed: a part behind what it goes on from, else a segment. */
static bool is_listable(const struct log *l, const struct run *r)
{
    const struct log_part *p = first_segment(r, 0);
    if (r->plan.segment_ms == 0 || (r->plan.part_target_us == 0 && !r->ended) || p == NULL)
        return false;
    return log_previous(l, r) != NULL ? complete_parts(r, p) > 0
                                      : run_segment_extent(r, p).complete;
}

/* The newest run, unless nothing of it may be listed while there is another; not one before what
 * was shown already. */
static const struct run *choose_run(const struct log *l, uint64_t shown_epoch)
{
    const struct run *newest = log_newest(l), *r = newest;
    if (r == NULL || is_listable(l, r))
        return r;
    while (r != NULL && !is_listable(l, r))
        r = log_before(l, r);
    if (r != NULL && r->epoch < shown_epoch && newest->epoch >= shown_epoch)
        return NULL;
    return r;
}

static void set_head(struct hls_view *v)
{
    const struct m3u8_segment *last = &v->segments[v->count - 1];
    uint64_t msn = v->first_msn + v->count - 1;
    v->head = (struct hls_head){.msn = last->complete ? msn + 1 : msn,
                                .parts = last->complete ? 0 : last->part_count,
                                .ahead_max = hls_ahead_max(v->part_target_us)};
    if (last->complete)
        v->head.previous_parts = last->part_count;
    else if (v->count > 1)
        v->head.previous_parts = last[-1].part_count;
    v->epoch = last->epoch;
}

/* A segment in one of the chain's first *count runs, which become those up to its own; or NULL. */
static const struct log_part *find_segment(const struct run *const *runs, size_t *count,
                                           uint64_t msn)
{
    for (; *count > 0; --*count) {
        const struct log_part *p = run_part(runs[*count - 1], msn, 0);
        if (p != NULL)
            return p;
    }
    return NULL;
}

/* So many segments, and three targets at least.  *held: all of them are in the index. */
static uint64_t oldest_listed(const struct hls_view *v, const struct run *const *runs, size_t count,
                              bool *held)
{
    const struct run *r = runs[count - 1];
    uint64_t msn = run_newest_part(r)->cut.msn, oldest = run_oldest_listed_msn(r, msn);
    int64_t left_us = (int64_t)v->target_s * M3U8_WINDOW_TARGETS * 1000000;
    *held = true;
    uint64_t least = msn > SEGMENTS_MAX - 1 ? msn - (SEGMENTS_MAX - 1) : 0;
    least = least > r->plan.base_msn ? least : r->plan.base_msn;
    for (; msn > least && (msn > oldest || left_us > 0); msn--) {
        const struct log_part *p = find_segment(runs, &count, msn - 1);
        if (p == NULL) {
            *held = false;
            break;
        }
        left_us -= run_segment_extent(runs[count - 1], p).duration_us;
    }
    return msn;
}

static void set_plan(struct hls_view *v, const struct run *r)
{
    v->plan = r->plan;
    v->target_s = m3u8_target_s(r->plan.segment_ms);
    v->part_target_us = r->plan.part_target_us;
    if (v->part_target_us == 0) /* it ended before that was decided */
        v->part_target_us = m3u8_part_target_us(r->plan.part_ms, 0);
    v->can_skip = m3u8_can_skip(r->plan.segment_ms, r->plan.window_segments);
    v->segment_us = (int64_t)r->plan.segment_ms * 1000;
}

/* An open segment without a part is only a hint, and one that nobody will end is none. */
static bool is_nothing(const struct hls_view *v, const struct m3u8_segment *last)
{
    return !last->complete && (last->part_count == 0 || v->ended);
}

/* A run's end, a part that may be short, is shown with what follows it and until then only hinted
 * at: players take what comes after a complete segment for its continuation, and hls.js gives up
 * when it turns out to be a discontinuity. */
static void hide_end(struct m3u8_segment *last)
{
    last->complete = false;
    if (last->part_count > 0)
        last->part_count--;
}

static void fill(struct gather *g, const struct run *const *runs, size_t n)
{
    struct hls_view *v = g->v;
    for (size_t i = 0; i < n; i++)
        g->part_room += runs[i]->part_count;
    g->segment_room = g->part_room < SEGMENTS_MAX ? g->part_room : SEGMENTS_MAX;
    v->segments = xcalloc(g->segment_room, sizeof v->segments[0]);
    v->parts = xcalloc(g->part_room, sizeof v->parts[0]);
    v->has = xcalloc(g->part_room, sizeof v->has[0]);
    for (size_t i = 0; i < n; i++)
        add_run(g, runs[i]);
    bool waits = run_is_whole(runs[n - 1]) && !v->ended;
    if (waits && v->count > 0)
        hide_end(&v->segments[v->count - 1]);
    if (v->count > 1 && is_nothing(v, &v->segments[v->count - 1]))
        v->count--;
    if (v->count == 0)
        return;
    set_head(v);
    v->has_hint = !runs[n - 1]->ended || waits;
    v->ready = v->segments[0].complete;
}

static bool same_place(const struct hls_view *a, const struct hls_view *b)
{
    return a->ready == b->ready && a->ended == b->ended && a->count == b->count &&
           a->first_msn == b->first_msn && a->epoch == b->epoch && a->has_hint == b->has_hint &&
           a->head.msn == b->head.msn && a->head.parts == b->head.parts &&
           cut_plan_equal(&a->plan, &b->plan);
}

/* What should be listed is waited for, but not for ever: nobody may have it. */
static bool waits_for_past(struct hls_stream *s, bool held)
{
    int64_t now_us = clock_us();
    if (held)
        s->short_us = 0;
    else if (s->short_us == 0)
        s->short_us = now_us;
    return !held && now_us - s->short_us <= PAST_US;
}

static void note_shown(struct hls_stream *s, uint64_t epoch)
{
    if (!s->view.ready)
        return;
    s->shown_msn = s->view.first_msn;
    s->shown_epoch = epoch;
}

bool hls_view_update(struct hls_stream *s)
{
    struct hls_view old = s->view, *v = &s->view;
    const struct run *r = choose_run(s->reader.feed->log, s->shown_epoch);
    struct gather g = {.log = s->reader.feed->log, .v = v};
    *v = (struct hls_view){.ended = s->over};
    if (r != NULL) {
        const struct run *runs[LOG_RUNS_MAX];
        size_t n = chain(g.log, r, runs);
        bool held;
        set_plan(v, r);
        g.oldest_msn = oldest_listed(v, runs, n, &held);
        if (r->epoch >= s->shown_epoch && g.oldest_msn < s->shown_msn)
            g.oldest_msn = s->shown_msn;
        fill(&g, runs, n);
        v->ready = v->ready && !waits_for_past(s, held);
        note_shown(s, r->epoch);
    }
    bool changed = !same_place(&old, v);
    hls_view_fini(&old);
    return changed;
}

static const struct hls_tracks *newest_tracks(struct hls_stream *s)
{
    const struct hls_view *v = &s->view;
    for (size_t i = v->count; i > 0; i--) {
        const struct hls_tracks *t =
            hls_tracks_get(s, v->segments[i - 1].epoch, v->first_msn + i - 1);
        if (t != NULL)
            return t;
    }
    return NULL;
}

/* Video beside the first one needs the first sound on its own. */
size_t hls_view_renditions(struct hls_stream *s, struct hls_rendition out[HLS_RENDITIONS_MAX])
{
    const struct hls_tracks *t = newest_tracks(s);
    size_t n = 0;
    if (t == NULL)
        return 0;
    if (hls_tracks_find(t, FRAME_VIDEO, 0) != NULL || hls_tracks_find(t, FRAME_AUDIO, 0) != NULL)
        out[n++] = (struct hls_rendition){HLS_MAIN, 0};
    bool videos = false;
    for (uint8_t i = 1; i <= HLS_TRACK_MAX; i++) {
        if (hls_tracks_find(t, FRAME_VIDEO, i) == NULL)
            continue;
        out[n++] = (struct hls_rendition){HLS_VIDEO, i};
        videos = true;
    }
    for (uint8_t i = videos ? 0 : 1; i <= HLS_TRACK_MAX; i++)
        if (hls_tracks_find(t, FRAME_AUDIO, i) != NULL)
            out[n++] = (struct hls_rendition){HLS_AUDIO, i};
    return n;
}

bool hls_view_has(struct hls_stream *s, struct hls_rendition r)
{
    struct hls_rendition list[HLS_RENDITIONS_MAX];
    size_t n = hls_view_renditions(s, list);
    for (size_t i = 0; i < n; i++)
        if (list[i].kind == r.kind && list[i].track == r.track)
            return true;
    return false;
}
