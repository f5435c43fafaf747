#include "edge/hls_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>

#define SEGMENTS_MAX 2048    /* of a playlist */
#define PAST_US      2000000 /* that older segments are waited for after the first look */

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

static bool has_part(const struct run *r)
{
    const struct log_part *p = first_segment(r, 0);
    return p != NULL && complete_parts(r, p) > 0;
}

/* The newest run, unless nothing of it is complete while there is another. */
static const struct run *choose_run(const struct log *l, const struct run **coming)
{
    const struct run *newest = log_newest(l), *r = newest;
    *coming = NULL;
    if (r == NULL || has_part(r))
        return r;
    while (r != NULL && !has_part(r))
        r = r->node.prev != &l->runs ? container_of(r->node.prev, struct run, node) : NULL;
    if (r != NULL && log_previous(l, newest) == r && first_segment(newest, 0) != NULL)
        *coming = newest;
    return r;
}

static void set_head(struct hls_view *v, const struct run *coming)
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
    v->epoch = coming != NULL ? coming->epoch : last->epoch;
    v->has_hint = coming != NULL || !last->complete;
}

/* So many segments, and three targets at least. */
static uint64_t oldest_listed(const struct run *r, uint64_t newest_msn, const struct hls_view *v)
{
    uint64_t oldest = run_oldest_listed_msn(r, newest_msn);
    int64_t least_us = (int64_t)v->target_s * M3U8_WINDOW_TARGETS * 1000000, sum_us = 0;
    const struct log_part *newest = run_part(r, newest_msn, 0);
    for (const struct log_part *p = run_part(r, oldest, 0); p != NULL && p != newest;
         p = run_next_segment(r, p))
        sum_us += run_segment_extent(r, p).duration_us;
    while (sum_us < least_us && oldest > r->plan.base_msn) {
        const struct log_part *p = run_part(r, oldest - 1, 0);
        if (p == NULL)
            break;
        sum_us += run_segment_extent(r, p).duration_us;
        oldest--;
    }
    return oldest;
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

static void fill(struct gather *g, const struct run *r, const struct run *coming)
{
    const struct run *runs[LOG_RUNS_MAX];
    struct hls_view *v = g->v;
    size_t n = chain(g->log, r, runs);
    for (size_t i = 0; i < n; i++)
        g->part_room += runs[i]->part_count;
    g->segment_room = g->part_room < SEGMENTS_MAX ? g->part_room : SEGMENTS_MAX;
    v->segments = xcalloc(g->segment_room, sizeof v->segments[0]);
    v->parts = xcalloc(g->part_room, sizeof v->parts[0]);
    v->has = xcalloc(g->part_room, sizeof v->has[0]);
    for (size_t i = 0; i < n; i++)
        add_run(g, runs[i]);
    /* An open segment without a part is only a hint. */
    if (v->count > 1 && v->segments[v->count - 1].part_count == 0)
        v->count--;
    if (v->count == 0)
        return;
    set_head(v, coming);
    if (coming == NULL && v->segments[v->count - 1].complete && !r->ended)
        v->has_hint = true;
    v->ready = v->segments[0].complete;
}

static bool same_place(const struct hls_view *a, const struct hls_view *b)
{
    return a->ready == b->ready && a->ended == b->ended && a->count == b->count &&
           a->first_msn == b->first_msn && a->epoch == b->epoch && a->has_hint == b->has_hint &&
           a->head.msn == b->head.msn && a->head.parts == b->head.parts &&
           cut_plan_equal(&a->plan, &b->plan);
}

bool hls_view_update(struct hls_stream *s)
{
    struct hls_view old = s->view, *v = &s->view;
    const struct run *coming, *r = choose_run(s->reader.feed->log, &coming);
    struct gather g = {.log = s->reader.feed->log, .v = v};
    *v = (struct hls_view){.ended = s->over};
    if (r != NULL && r->plan.segment_ms > 0 && run_newest_part(r) != NULL) {
        set_plan(v, r);
        g.oldest_msn = oldest_listed(r, run_newest_part(r)->cut.msn, v);
        fill(&g, r, coming);
        bool is_short = v->count > 0 && v->first_msn > g.oldest_msn;
        v->ready = v->ready && (r->plan.part_target_us > 0 || r->ended) &&
                   (!is_short || clock_us() - s->opened_us > PAST_US);
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
