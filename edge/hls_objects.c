#include "base/mem.h"
#include "edge/hls_internal.h"
#include "hub/hub.h"

#include <stdlib.h>

#define UNIT_BYTES_MAX (256ULL * 1024 * 1024) /* payload of a segment */

/* Configurations of segments. */

static const struct log_part *find_part(const struct hls_stream *s, uint64_t epoch, uint64_t msn,
                                        uint32_t part, const struct run **run)
{
    *run = log_find(s->reader.feed->log, epoch);
    return *run != NULL ? run_part(*run, msn, part) : NULL;
}

const struct hls_tracks *hls_tracks_get(struct hls_stream *s, uint64_t epoch, uint64_t msn)
{
    const struct run *r;
    const struct log_part *first = find_part(s, epoch, msn, 0, &r);
    if (first == NULL)
        return NULL;
    for (size_t i = 0; i < s->track_sets; i++)
        if (s->tracks[i]->epoch == epoch && s->tracks[i]->init == first->cut.init)
            return s->tracks[i];
    struct hls_tracks *t = hls_tracks_new(r, first);
    if (t == NULL)
        return NULL;
    if (s->track_sets == HLS_INITS_MAX) {
        hls_tracks_free(&s->tracks[0]);
        memmove(s->tracks, s->tracks + 1, --s->track_sets * sizeof(struct hls_tracks *));
    }
    s->tracks[s->track_sets++] = t;
    return t;
}

static void init_free(struct hls_init *i)
{
    list_remove(&i->node);
    free(i->bytes);
    free(i);
}

static bool is_same(struct hls_rendition a, struct hls_rendition b)
{
    return a.kind == b.kind && a.track == b.track;
}

static struct hls_init *init_known(struct hls_stream *s, uint64_t epoch, uint32_t number,
                                   struct hls_rendition r, size_t *count)
{
    struct hls_init *i;
    *count = 0;
    LIST_EACH (i, &s->inits, node) {
        ++*count;
        if (i->epoch == epoch && i->init == number && is_same(i->rendition, r))
            return i;
    }
    return NULL;
}

const struct hls_init *hls_init_get(struct hls_stream *s, uint64_t epoch, uint64_t msn,
                                    struct hls_rendition r)
{
    size_t count;
    const struct hls_tracks *t = hls_tracks_get(s, epoch, msn);
    if (t == NULL)
        return NULL;
    struct hls_init *i = init_known(s, epoch, t->init, r, &count);
    if (i != NULL)
        return i;
    struct hls_init made = {.rendition = r, .epoch = epoch, .init = t->init};
    made.video = r.kind != HLS_AUDIO && hls_tracks_find(t, FRAME_VIDEO, r.track) != NULL;
    if ((made.bytes = hls_init_make(t, r, &made.len, &made.hash)) == NULL)
        return NULL;
    struct hls_init *first = LIST_FIRST(&s->inits, struct hls_init, node);
    if (count >= HLS_INITS_MAX && first != NULL)
        init_free(first);
    i = xcalloc(1, sizeof *i);
    *i = made;
    list_append(&s->inits, &i->node);
    return i;
}

const struct hls_init *hls_init_find(struct hls_stream *s, const struct hls_object *o)
{
    struct hls_init *i;
    const struct hls_view *v = &s->view;
    LIST_EACH (i, &s->inits, node)
        if (i->hash == o->hash && is_same(i->rendition, o->rendition))
            return i;
    /* There may be more of them than are kept. */
    for (size_t n = 0; n < v->count; n++) {
        const struct hls_init *made =
            hls_init_get(s, v->segments[n].epoch, v->first_msn + n, o->rendition);
        if (made != NULL && made->hash == o->hash)
            return made;
    }
    return NULL;
}

/* Segments and parts. */

static bool is_object(const struct hls_object *a, const struct hls_object *b)
{
    return a->kind == b->kind && is_same(a->rendition, b->rendition) && a->epoch == b->epoch &&
           a->msn == b->msn && a->part == b->part;
}

static void count_pinned(const struct hls_stream *s, const struct hls_unit *u, bool add)
{
    struct log_account *a = hub_account(s->hls->hub);
    if (add)
        atomic_fetch_add_explicit(&a->bytes, u->len, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&a->bytes, u->len, memory_order_relaxed);
}

static void unit_drop(struct hls_stream *s, struct hls_cached_unit *c)
{
    list_remove(&c->node);
    s->unit_count--;
    METRIC_ADD(s->worker->metrics.hls_units, -1);
    if (c->pinned)
        count_pinned(s, c->unit, false);
    hls_unit_unref(&c->unit);
    free(c);
}

/* What is being sent stays, so that there is never more than one of each. */
static void make_room(struct hls_stream *s)
{
    struct hls_cached_unit *c, *next;
    LIST_EACH_SAFE (c, next, &s->units, node) {
        if (s->unit_count < HLS_UNITS_MAX)
            return;
        if (c->unit->refs == 1)
            unit_drop(s, c);
    }
}

static bool is_in_log(const struct hls_stream *s, const struct hls_cached_unit *c)
{
    const struct run *r = log_find(s->reader.feed->log, c->object.epoch);
    return r != NULL && c->unit->frames[0]->seq >= r->first;
}

void hls_units_sweep(struct hls_stream *s, int64_t now_us)
{
    struct hls_cached_unit *c, *next;
    LIST_EACH_SAFE (c, next, &s->units, node) {
        bool is_sent = c->unit->refs > 1, in_log = is_in_log(s, c);
        if (!is_sent && (!in_log || now_us - c->used_us > HLS_UNIT_KEEP_US)) {
            unit_drop(s, c);
        } else if (!in_log && !c->pinned) {
            c->pinned = true;
            count_pinned(s, c->unit, true);
        }
    }
}

static struct hls_unit *make(struct hls_stream *s, const struct hls_object *o)
{
    const struct run *r;
    bool whole = o->kind == HLS_SEGMENT;
    const struct log_part *first = find_part(s, o->epoch, o->msn, whole ? 0 : o->part, &r);
    if (first == NULL)
        return NULL;
    if (first->seq < r->first && (r = hls_fetched(s, o->epoch, o->msn)) != NULL)
        first = run_part(r, o->msn, whole ? 0 : o->part);
    if (r == NULL || first == NULL)
        return NULL;
    const struct log_extent e = whole ? run_segment_extent(r, first) : run_part_extent(r, first);
    const struct hls_tracks *t = hls_tracks_get(s, o->epoch, o->msn);
    if (!e.complete || !e.held || e.bytes > UNIT_BYTES_MAX || t == NULL)
        return NULL;
    uint32_t parts = 1;
    for (const struct log_part *p = first;
         whole && (p = run_next_part(r, p)) != NULL && p->cut.msn == o->msn;)
        parts++;
    return hls_unit_new(r, first, parts, t, o->rendition);
}

static struct hls_cached_unit *keep_unit(struct hls_stream *s, const struct hls_object *o,
                                         struct hls_unit *u)
{
    struct hls_cached_unit *c = xcalloc(1, sizeof *c);
    make_room(s);
    c->object = *o;
    c->unit = u;
    list_append(&s->units, &c->node);
    s->unit_count++;
    METRIC_INC(s->worker->metrics.hls_units);
    return c;
}

struct hls_cached_unit *hls_unit_get(struct hls_stream *s, const struct hls_object *o)
{
    struct hls_cached_unit *c, *found = NULL;
    LIST_EACH (c, &s->units, node) {
        if (is_object(&c->object, o)) {
            found = c;
            break;
        }
    }
    if (found == NULL) {
        struct hls_unit *u = hls_view_has(s, o->rendition) ? make(s, o) : NULL;
        if (u == NULL)
            return NULL;
        found = keep_unit(s, o, u);
    }
    found->used_us = s->used_us;
    list_remove(&found->node);
    list_append(&s->units, &found->node);
    return found;
}

void hls_objects_drop(struct hls_stream *s)
{
    struct hls_init *i;
    struct hls_cached_unit *u;
    while ((i = LIST_FIRST(&s->inits, struct hls_init, node)) != NULL)
        init_free(i);
    while (s->track_sets > 0)
        hls_tracks_free(&s->tracks[--s->track_sets]);
    while ((u = LIST_FIRST(&s->units, struct hls_cached_unit, node)) != NULL)
        unit_drop(s, u);
}
