/*
 * One stream on one worker: follows the feed, holds requests until what they ask for is there, and
 * goes when nobody asks any more.
 *
 *   EMPTY ──frames──▶ view ready ──part──▶ part … ──end, linger_ms──▶ over (ENDLIST) ──▶ left
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "edge/audience_internal.h"
#include "edge/hls_internal.h"

#include <stdlib.h>

static void hold_free_if_empty(struct hls_hold *h)
{
    if (!list_empty(&h->requests))
        return;
    list_remove(&h->node);
    free(h);
}

/* Requests. */

static void request_free(struct hls_request *req)
{
    list_remove(&req->node);
    free(req);
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct hls_request *req = owner;
    METRIC_ADD(req->stream->worker->metrics.hls_held, -1);
    request_free(req);
}

static const struct http_exchange_ops exchange_ops = {.on_gone = on_gone};

void hls_stream_keep(struct hls_stream *s, const struct hls_request *req, struct list *to)
{
    struct hls_request *kept = xmalloc(sizeof *kept);
    *kept = *req;
    list_append(to, &kept->node);
    http_exchange_watch(kept->exchange, &exchange_ops, kept);
    METRIC_INC(s->worker->metrics.hls_held);
}

static struct hls_hold *hold_new(struct list *to, uint64_t msn, uint32_t parts)
{
    struct hls_hold *h = xcalloc(1, sizeof *h);
    h->msn = msn;
    h->parts = parts;
    list_init(&h->requests);
    list_append(to, &h->node);
    return h;
}

static struct hls_hold *hold_for(struct hls_stream *s, uint64_t msn, uint32_t parts)
{
    struct hls_hold *h;
    LIST_EACH (h, &s->holds, node)
        if (h->msn == msn && h->parts == parts)
            return h;
    return hold_new(&s->holds, msn, parts);
}

void hls_stream_hold(struct hls_stream *s, const struct hls_request *req, uint64_t msn,
                     uint32_t parts)
{
    hls_stream_keep(s, req, &hold_for(s, msn, parts)->requests);
}

void hls_stream_wait(struct hls_stream *s, const struct hls_request *req)
{
    hls_stream_keep(s, req, &s->waiting);
}

/* Not held any more: a copy, for the answer. */
static struct hls_request take(struct hls_stream *s, struct hls_request *req)
{
    struct hls_request now = *req;
    http_exchange_watch(req->exchange, NULL, NULL);
    METRIC_ADD(s->worker->metrics.hls_held, -1);
    request_free(req);
    return now;
}

/* Answers those of the list that are on it now, or holds them again for something else; false when
 * the time was over before. */
static bool answer_until(struct hls_stream *s, struct list *requests, int64_t until_us)
{
    struct list end; /* who is held again comes behind it */
    list_init(&end);
    list_append(requests, &end);
    for (size_t n = 1; requests->next != &end; n++) {
        struct hls_request taken = take(s, container_of(requests->next, struct hls_request, node));
        hls_answer(s, &taken);
        if (n % HLS_RELEASE_STEP == 0 && clock_us() >= until_us)
            break;
    }
    bool done = requests->next == &end;
    list_remove(&end);
    return done;
}

/* All who wait for one part get the same bytes, one after the other. */
static void release(void *arg)
{
    struct hls_stream *s = OBJ_CAST(struct hls_stream, arg, HLS_STREAM_MAGIC);
    int64_t until_us = clock_us() + HLS_RELEASE_US;
    struct hls_hold *h;
    bool done = true;
    while (done && (h = LIST_FIRST(&s->ready, struct hls_hold, node)) != NULL) {
        done = answer_until(s, &h->requests, until_us);
        hold_free_if_empty(h);
    }
    if (!list_empty(&s->ready))
        task_defer(s->worker, &s->release);
}

static bool is_there(const struct hls_stream *s, const struct hls_hold *h)
{
    const struct hls_head *head = &s->view.head;
    return s->view.ended || head->msn > h->msn || (head->msn == h->msn && head->parts >= h->parts);
}

static void hold_ready(struct hls_stream *s, struct list *requests)
{
    struct hls_hold *h = hold_new(&s->ready, 0, 0);
    list_splice(&h->requests, requests);
}

void hls_stream_answer(struct hls_stream *s, struct list *requests)
{
    if (list_empty(requests))
        return;
    hold_ready(s, requests);
    release(s);
}

static void release_what_came(struct hls_stream *s)
{
    struct hls_hold *h, *next;
    LIST_EACH_SAFE (h, next, &s->holds, node) {
        if (!is_there(s, h))
            continue;
        list_remove(&h->node);
        list_append(&s->ready, &h->node);
    }
    if (!list_empty(&s->waiting) && (s->view.ready || s->gone))
        hold_ready(s, &s->waiting);
    release(s);
}

/* Viewers: how much of the last seconds was asked for, which no identity is needed for.  A player
 * with low latency asks once in each part, another one once in each segment. */

static void publish_count(struct hls_stream *s, uint32_t now)
{
    int64_t change = (int64_t)now - s->counted;
    struct feed *f = s->reader.feed;
    s->counted = now;
    f->viewers[VIEWER_HLS] = (uint32_t)((int64_t)f->viewers[VIEWER_HLS] + change);
    METRIC_ADD(s->worker->metrics.viewers_hls, change);
    atomic_fetch_add_explicit(&s->hls->edge->viewers, change, memory_order_relaxed);
}

static void count_step(struct hls_stream *s)
{
    int64_t now_s = clock_us() / 1000000, sum_us = 0;
    for (int64_t t = s->count_s + 1; t <= now_s && t <= s->count_s + HLS_COUNT_SLOTS; t++)
        s->covered_us[t % HLS_COUNT_SLOTS] = 0;
    if (s->count_s == now_s)
        return;
    s->count_s = now_s;
    for (int i = 0; i < HLS_COUNT_SLOTS; i++)
        sum_us += i != now_s % HLS_COUNT_SLOTS ? s->covered_us[i] : 0;
    int64_t seconds_us = (HLS_COUNT_SLOTS - 1) * 1000000LL;
    publish_count(s, (uint32_t)((sum_us + seconds_us / 2) / seconds_us));
}

void hls_stream_count(struct hls_stream *s, int64_t cover_us)
{
    count_step(s);
    s->covered_us[s->count_s % HLS_COUNT_SLOTS] += cover_us;
}

/* Following the feed. */

static void refresh(struct hls_stream *s)
{
    if (!hls_view_update(s))
        return;
    hls_texts_drop(s);
    release_what_came(s);
}

static void on_frames(struct feed_reader *r)
{
    refresh(container_of(r, struct hls_stream, reader));
}

static void on_state(struct feed_reader *r)
{
    struct hls_stream *s = container_of(r, struct hls_stream, reader);
    if (r->feed->state != FEED_ENDED)
        s->over = s->gone = false;
    refresh(s);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    refresh(container_of(r, struct hls_stream, reader));
}

static const struct feed_reader_ops reader_ops = {
    .on_frames = on_frames, .on_state = on_state, .on_end = on_end};

static void stream_free(struct hls_stream *s)
{
    publish_count(s, 0);
    feed_leave(&s->reader);
    timer_fini(&s->sweep);
    task_cancel(&s->release);
    hls_upstream_fini(s);
    hls_texts_drop(s);
    hls_objects_drop(s);
    hls_view_fini(&s->view);
    map_take(s->hls->streams[s->worker->index], s->name);
    OBJ_POISON(s);
    free(s);
}

/* Time. */

void hls_stream_answer_late(struct hls_stream *s, struct list *requests, int64_t now_us)
{
    struct list all = LIST_INIT(all);
    struct hls_request *req;
    list_splice(&all, requests);
    while ((req = LIST_FIRST(&all, struct hls_request, node)) != NULL) {
        if (req->by_us > now_us) {
            list_remove(&req->node);
            list_append(requests, &req->node);
            continue;
        }
        struct hls_request now = take(s, req);
        hls_answer_late(s, &now);
    }
}

static int64_t idle_us(const struct hls_stream *s)
{
    /* Names that nobody publishes cost nothing once nobody waits. */
    if (s->shown_epoch == 0 && s->reader.feed->state == FEED_EMPTY)
        return 0;
    int64_t targets_us = (int64_t)s->view.target_s * HLS_IDLE_TARGETS * 1000000;
    return targets_us > HLS_IDLE_MS * 1000LL ? targets_us : HLS_IDLE_MS * 1000LL;
}

static int64_t window_us(const struct hls_stream *s)
{
    const struct hls_view *v = &s->view;
    int64_t targets_us = (int64_t)v->target_s * M3U8_WINDOW_TARGETS * 1000000;
    int64_t meant_us = v->segment_us * v->plan.window_segments;
    return meant_us > targets_us ? meant_us : targets_us;
}

static void look_at_end(struct hls_stream *s, int64_t now_us)
{
    const struct feed *f = s->reader.feed;
    /* Who vanished has been waited for by now. */
    int64_t linger_us =
        f->why == CLOSE_SOURCE_LOST ? 0 : s->worker->config->stream.linger_ms * 1000;
    bool over = f->state == FEED_ENDED && now_us - f->ended_us >= linger_us;
    s->gone = over && now_us - f->ended_us >= linger_us + window_us(s);
    if (over == s->over)
        return;
    s->over = over;
    refresh(s);
}

static void on_sweep(void *arg)
{
    struct hls_stream *s = OBJ_CAST(struct hls_stream, arg, HLS_STREAM_MAGIC);
    int64_t now_us = clock_us();
    struct hls_hold *h, *next;
    look_at_end(s, now_us);
    if (!s->view.ready)
        refresh(s); /* what is waited for may be given up */
    hls_stream_answer_late(s, &s->waiting, now_us);
    LIST_EACH_SAFE (h, next, &s->holds, node) {
        hls_stream_answer_late(s, &h->requests, now_us);
        hold_free_if_empty(h);
    }
    count_step(s);
    hls_units_sweep(s, now_us);
    bool is_held = hls_upstream_sweep(s, now_us) || !list_empty(&s->holds) ||
                   !list_empty(&s->ready) || !list_empty(&s->waiting);
    if (!is_held && (s->gone || now_us - s->used_us > idle_us(s)))
        stream_free(s);
    else
        timer_set_ms(&s->sweep, HLS_SWEEP_MS);
}

struct hls_stream *hls_stream_get(struct hls *h, struct worker *w, const char *name)
{
    struct hls_stream *s = map_get(h->streams[w->index], name);
    if (s != NULL) {
        s->used_us = clock_us();
        return s;
    }
    s = xcalloc(1, sizeof *s);
    s->magic = HLS_STREAM_MAGIC;
    s->hls = h;
    s->worker = w;
    s->reader.ops = &reader_ops;
    s->reader.needs_past = true;
    s->opened_us = s->used_us = clock_us();
    s->count_s = s->opened_us / 1000000;
    list_init(&s->holds);
    list_init(&s->waiting);
    list_init(&s->ready);
    list_init(&s->ask.requests);
    list_init(&s->fetches);
    task_init(&s->release, release, s);
    list_init(&s->texts);
    list_init(&s->inits);
    list_init(&s->units);
    timer_init(&s->sweep, w, "hls.sweep", on_sweep, s);
    must(slice_copy(slice_text(name), s->name, sizeof s->name));
    map_put(h->streams[w->index], name, s);
    feed_join(h->hub, w, name, &s->reader);
    timer_set_ms(&s->sweep, HLS_SWEEP_MS);
    hls_view_update(s);
    look_at_end(s, s->opened_us);
    return s;
}

/* The node's part. */

struct hls *hls_new(struct workers *g, struct hub *hub, struct edge *e)
{
    struct hls *h = xcalloc(1, sizeof *h);
    h->group = g;
    h->hub = hub;
    h->edge = e;
    for (int i = 0; i < g->count; i++)
        h->streams[i] = map_new();
    return h;
}

static void drop_stream(const char *name, void *value, void *arg)
{
    struct hls_stream *s = OBJ_CAST(struct hls_stream, value, HLS_STREAM_MAGIC);
    struct hls_hold *h, *next;
    list_splice(&s->holds, &s->ready);
    LIST_EACH_SAFE (h, next, &s->holds, node)
        hold_free_if_empty(h);
    must(list_empty(&s->holds) && list_empty(&s->waiting));
    stream_free(s);
}

void hls_free(struct hls **hp)
{
    struct hls *h = *hp;
    *hp = NULL;
    if (h == NULL)
        return;
    for (int i = 0; i < h->group->count; i++) {
        map_each(h->streams[i], drop_stream, NULL);
        map_free(&h->streams[i]);
    }
    free(h);
}
