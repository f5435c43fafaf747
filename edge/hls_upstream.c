/*
 * What only the owner of the stream knows or has.
 *
 *   request too far ahead of our head ──▶ look-up ──probe──▶ owner's head ──▶ 400, or held on
 *   segment listed here, frames gone  ──▶ look-up ──past───▶ its frames   ──▶ answered
 *
 * One question of each kind and place is under way at a time, and all who wait share its answer.
 */
#include "edge/hls_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "cluster/cluster.h"
#include "core/clock.h"
#include "relay/past.h"
#include "relay/probe.h"

#include <inttypes.h>
#include <stdlib.h>

#define ASK_FRESH_US  300000  /* how long an answer, or that there was none, counts */
#define ASK_MS        500     /* for an answer */
#define FETCHES_MAX   8       /* segments of a stream, coming or kept */
#define FETCH_KEEP_US 5000000 /* how long one is kept, or counts as not to be had */
#define FETCH_SLACK                                                                                \
    (2 * FRAME_BYTES_MAX) /* beyond the segment's payload: frames' heads, one more */

void hls_set_upstream(struct hls *h, struct cluster *c, const struct relay_client *client)
{
    h->cluster = c;
    h->client = client;
}

/* Look-ups, which may outlive the stream. */

struct errand {
    struct hls *hls;
    struct worker *worker;
    /* owner NULL: there is none, or it is us. */
    void (*go)(struct hls_stream *s, const struct cluster_owner *owner, const struct errand *e);
    uint64_t epoch, msn; /* of a fetch */
    char name[NAME_STREAM_MAX + 1];
};

static void on_owner(const struct cluster_owner *owner, void *arg)
{
    struct errand *e = arg;
    struct hls_stream *s = map_get(e->hls->streams[e->worker->index], e->name);
    bool other = owner->found && owner->instance != cluster_self(e->hls->cluster)->instance;
    if (s != NULL)
        e->go(s, other ? owner : NULL, e);
    free(e);
}

static void look_up(struct hls_stream *s, const struct errand *like)
{
    struct errand *e = xmalloc(sizeof *e);
    *e = *like;
    e->hls = s->hls;
    e->worker = s->worker;
    must(slice_copy(slice_text(s->name), e->name, sizeof e->name));
    cluster_lookup(s->hls->cluster, s->worker, s->name, on_owner, e);
}

/* How far the owner is. */

static void told(struct hls_stream *s)
{
    s->ask.busy = false;
    s->ask.told_us = clock_us();
    hls_stream_answer(s, &s->ask.requests);
}

static void on_probed(const struct probe_answer *a, void *arg)
{
    struct hls_stream *s = OBJ_CAST(struct hls_stream, arg, HLS_STREAM_MAGIC);
    const struct run *r = log_newest(s->reader.feed->log);
    s->ask.probe = NULL;
    s->ask.known = a->owns && a->is_cut && r != NULL && r->epoch == a->epoch;
    s->ask.head =
        (struct hls_head){.msn = a->msn, .parts = a->part, .ahead_max = s->view.head.ahead_max};
    told(s);
}

static void ask(struct hls_stream *s, const struct cluster_owner *owner, const struct errand *e)
{
    s->ask.known = false;
    if (!s->ask.busy || s->ask.probe != NULL)
        return;
    if (owner == NULL) {
        told(s);
        return;
    }
    const struct probe_options o = {.client = s->hls->client,
                                    .node = owner->node,
                                    .address = owner->address,
                                    .name = s->name,
                                    .deadline_ms = ASK_MS};
    s->ask.probe = probe_start(s->worker, &o, on_probed, s);
}

enum hls_verdict hls_ask_owner(struct hls_stream *s, const struct hls_request *req)
{
    struct hls_ask *a = &s->ask;
    if (s->hls->client == NULL)
        return HLS_WAIT;
    if (!a->busy && a->told_us != 0 && clock_us() - a->told_us < ASK_FRESH_US) {
        bool too_far = a->known && hls_directives_judge(&req->directives, &a->head) == HLS_TOO_FAR;
        return too_far ? HLS_TOO_FAR : HLS_WAIT;
    }
    hls_stream_keep(s, req, &a->requests);
    if (!a->busy)
        look_up(s, &(struct errand){.go = ask});
    a->busy = true;
    return HLS_READY;
}

/* Frames that have gone here. */

struct hls_fetch {
    struct list node; /* the oldest first */
    struct hls_stream *stream;
    uint64_t epoch, msn;
    uint64_t from, to; /* with the first frame of what follows, … */
    bool is_last;      /* … unless nothing does */
    size_t bytes_max;
    bool busy;
    struct past *past;
    struct list requests;
    struct log *log; /* of just this; NULL: not there, or not to be had */
    int64_t done_us;
};

static void fetch_free(struct hls_fetch *f)
{
    must(list_empty(&f->requests));
    past_cancel(&f->past);
    log_free(&f->log);
    list_remove(&f->node);
    free(f);
}

static struct hls_fetch *find(struct hls_stream *s, uint64_t epoch, uint64_t msn)
{
    struct hls_fetch *f;
    LIST_EACH (f, &s->fetches, node)
        if (f->epoch == epoch && f->msn == msn)
            return f;
    return NULL;
}

static void done(struct hls_fetch *f)
{
    struct hls_stream *s = f->stream;
    f->busy = false;
    f->done_us = clock_us();
    hls_stream_answer(s, &f->requests);
}

/* A log of its own, with the run's index for these parts. */
static struct log *log_of(const struct hls_fetch *f, struct past_block *b)
{
    const struct log_limits all = {.window_us = INT64_MAX / 2, .window_bytes = SIZE_MAX / 2};
    struct log *l = log_new(&all);
    struct run *r = log_open_run(l, b->epoch, f->from, b->inforce);
    log_set_plan(l, r, &b->plan);
    for (size_t i = 0; i < b->count; i++)
        log_append(l, b->frames[i]);
    b->count = 0;
    if (f->is_last)
        log_set_last(l, r, f->to);
    return l;
}

static void on_past(struct past_block *b, void *arg)
{
    struct hls_fetch *f = arg;
    f->past = NULL;
    if (b->count > 0 && b->frames[0]->seq == f->from)
        f->log = log_of(f, b);
    const struct log_id id = {"hls", f->stream->worker->index, 0};
    log_info(&id, "hls.fetch stream=%s epoch=%" PRIu64 " msn=%" PRIu64 " ok=%d", f->stream->name,
             f->epoch, f->msn, f->log != NULL);
    done(f);
}

static void fetch(struct hls_stream *s, const struct cluster_owner *owner, const struct errand *e)
{
    struct hls_fetch *f = find(s, e->epoch, e->msn);
    if (f == NULL || !f->busy || f->past != NULL)
        return;
    if (owner == NULL) {
        done(f);
        return;
    }
    const struct past_options o = {.client = s->hls->client,
                                   .node = owner->node,
                                   .address = owner->address,
                                   .name = s->name,
                                   .epoch = f->epoch,
                                   .from = f->from,
                                   .to = f->to,
                                   .bytes_max = f->bytes_max};
    f->past = past_start(s->worker, &o, on_past, f);
}

static struct hls_fetch *fetch_new(struct hls_stream *s, const struct run *r,
                                   const struct log_part *first)
{
    const struct log_extent e = run_segment_extent(r, first);
    struct hls_fetch *f = xcalloc(1, sizeof *f);
    f->stream = s;
    f->epoch = r->epoch;
    f->msn = first->cut.msn;
    f->from = e.from;
    f->is_last = run_next_segment(r, first) == NULL;
    f->to = f->is_last ? e.to - 1 : e.to;
    f->bytes_max = (size_t)(e.bytes + (e.to - e.from) * sizeof(struct frame)) + FETCH_SLACK;
    f->busy = true;
    list_init(&f->requests);
    list_append(&s->fetches, &f->node);
    s->fetch_count++;
    return f;
}

/* False when all are under way. */
static bool make_room(struct hls_stream *s)
{
    struct hls_fetch *f, *next;
    LIST_EACH_SAFE (f, next, &s->fetches, node) {
        if (s->fetch_count < FETCHES_MAX)
            break;
        if (f->busy)
            continue;
        fetch_free(f);
        s->fetch_count--;
    }
    return s->fetch_count < FETCHES_MAX;
}

/* Its index knows the segment, and the frames have gone. */
static const struct log_part *find_gone(const struct run *r, uint64_t msn)
{
    const struct log_part *p = r != NULL ? run_part(r, msn, 0) : NULL;
    if (p == NULL)
        return NULL;
    const struct log_extent e = run_segment_extent(r, p);
    return e.complete && !e.held ? p : NULL;
}

bool hls_fetch(struct hls_stream *s, const struct hls_request *req)
{
    const struct hls_object *o = &req->object;
    const struct run *r = log_find(s->reader.feed->log, o->epoch);
    const struct log_part *first = find_gone(r, o->msn);
    struct hls_fetch *f = find(s, o->epoch, o->msn);
    if (s->hls->client == NULL || first == NULL || (f != NULL && !f->busy))
        return false;
    if (f == NULL && !make_room(s)) {
        hls_stream_wait(s, req);
        return true;
    }
    bool is_new = f == NULL;
    if (is_new)
        f = fetch_new(s, r, first);
    hls_stream_keep(s, req, &f->requests);
    if (is_new)
        look_up(s, &(struct errand){.go = fetch, .epoch = o->epoch, .msn = o->msn});
    return true;
}

const struct run *hls_fetched(struct hls_stream *s, uint64_t epoch, uint64_t msn)
{
    struct hls_fetch *f = find(s, epoch, msn);
    return f != NULL && f->log != NULL ? log_newest(f->log) : NULL;
}

/* Of the stream. */

bool hls_upstream_sweep(struct hls_stream *s, int64_t now_us)
{
    struct hls_fetch *f, *next;
    bool is_held = !list_empty(&s->ask.requests);
    hls_stream_answer_late(s, &s->ask.requests, now_us);
    LIST_EACH_SAFE (f, next, &s->fetches, node) {
        hls_stream_answer_late(s, &f->requests, now_us);
        is_held = is_held || f->busy;
        if (f->busy || now_us - f->done_us < FETCH_KEEP_US)
            continue;
        fetch_free(f);
        s->fetch_count--;
    }
    return is_held;
}

void hls_upstream_fini(struct hls_stream *s)
{
    must(list_empty(&s->ask.requests));
    probe_cancel(&s->ask.probe);
    struct hls_fetch *f, *next;
    LIST_EACH_SAFE (f, next, &s->fetches, node)
        fetch_free(f);
}
