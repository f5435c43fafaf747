/*
 * The connection's side of a publisher: messages become frames (framer.h), a read's frames become a
 * batch, and news from the home worker become calls of the owner.  On the connection's worker but
 * for what is marked as the home worker's.
 *
 * A publisher is freed by the last of its messages: leave, sent by publisher_close() behind all
 * batches, is sent back by the home worker behind all news.
 */
#include "origin/ingest.h"

#include "origin/framer.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"

#include <inttypes.h>
#include <stdlib.h>

#define PUBLISHER_MAGIC    0x7075626c
#define PUBLISHER_PEER_MAX 80
#define BATCH_ROOM_MIN     16 /* frames */

enum publisher_state { PUBLISHER_ASKING, PUBLISHER_ACCEPTED, PUBLISHER_TOLD_OFF };

struct publisher {
    uint32_t magic;
    struct ingest *ingest;
    struct worker *worker, *home;
    enum publisher_state state;
    bool counted; /* in the gauge of publishers */
    bool closed, clean;
    bool full;
    struct batch *batch; /* what was pushed since the last flush */
    struct framer framer;

    struct contender contender; /* the home worker's */
    atomic_size_t in_flight;
    struct message enter, leave;
    const struct publisher_ops *ops;
    void *owner;
    struct log_id log;
    char peer[PUBLISHER_PEER_MAX];
};

/* Frames on their way to the home worker. */
struct batch {
    struct message m;
    struct publisher *from;
    bool answered; /* comes back when its frames are in the log */
    size_t bytes, count, room;
    struct frame *frames[];
};

struct publisher_news {
    struct message m;
    struct publisher *to;
    struct contender_news news;
};

static struct publisher *publisher_of(struct contender *c)
{
    struct publisher *p = container_of(c, struct publisher, contender);
    OBJ_CHECK(p, PUBLISHER_MAGIC);
    return p;
}

/* --- news from the home worker --- */

static void on_accepted(struct publisher *p, const struct contender_news *news)
{
    p->state = PUBLISHER_ACCEPTED;
    p->counted = true;
    METRIC_INC(p->worker->metrics.publish_total);
    METRIC_INC(p->worker->metrics.publishers);
    log_info(&p->log, "publish.start stream=%s proto=%s peer=%s epoch=%" PRIu64, p->contender.name,
             p->contender.proto, p->peer, news->epoch);
    p->ops->on_accepted(p->owner, news->epoch);
}

static void on_refused(struct publisher *p, const struct contender_news *news)
{
    p->state = PUBLISHER_TOLD_OFF;
    METRIC_INC(p->worker->metrics.publish_refused_total);
    log_info(&p->log, "publish.refused stream=%s proto=%s peer=%s why=%s", p->contender.name,
             p->contender.proto, p->peer, close_reason_name(news->why));
    p->ops->on_refused(p->owner, news->why, news->text);
}

static void on_ended(struct publisher *p, const struct contender_news *news)
{
    p->state = PUBLISHER_TOLD_OFF;
    if (news->why == CLOSE_FENCED)
        METRIC_INC(p->worker->metrics.fenced_total);
    log_info(&p->log, "publish.ended stream=%s peer=%s why=%s", p->contender.name, p->peer,
             close_reason_name(news->why));
    p->ops->on_ended(p->owner, news->why);
}

static void on_want_key(struct publisher *p, const struct contender_news *news)
{
    if (p->state == PUBLISHER_ACCEPTED && p->ops->on_want_key != NULL)
        p->ops->on_want_key(p->owner);
}

static void on_full(struct publisher *p, const struct contender_news *news)
{
    if (p->state == PUBLISHER_ACCEPTED && p->ops->on_full != NULL)
        p->ops->on_full(p->owner, news->event == CONTENDER_FULL);
}

static void run_news(struct message *m)
{
    static void (*const handlers[])(struct publisher *, const struct contender_news *) = {
        [CONTENDER_ACCEPTED] = on_accepted, [CONTENDER_REFUSED] = on_refused,
        [CONTENDER_ENDED] = on_ended,       [CONTENDER_WANT_KEY] = on_want_key,
        [CONTENDER_FULL] = on_full,         [CONTENDER_ROOM] = on_full,
    };
    struct publisher_news *n = container_of(m, struct publisher_news, m);
    struct publisher *p = OBJ_CAST(struct publisher, n->to, PUBLISHER_MAGIC);
    if (!p->closed)
        handlers[n->news.event](p, &n->news);
    free(n);
}

/* On the home worker. */
static void tell(struct contender *c, const struct contender_news *news)
{
    struct publisher *p = publisher_of(c);
    struct publisher_news *n = xcalloc(1, sizeof *n);
    n->m.run = run_news;
    n->to = p;
    n->news = *news;
    worker_post(p->worker, &n->m);
}

/* --- where the frames go: the claim on the name, or a carrier, which lives on our worker --- */

static bool is_carried(const struct publisher *p)
{
    return p->ingest->carriers != NULL;
}

static void enter(struct publisher *p)
{
    if (is_carried(p))
        carrier_enter(&p->ingest->carriers[p->home->index], &p->contender);
    else
        claims_enter(ingest_table(p->ingest, p->home), &p->contender);
}

static void hand_over(struct publisher *p, struct frame **frames, size_t count)
{
    if (is_carried(p))
        carrier_frames(&p->contender, frames, count);
    else
        contender_frames(&p->contender, frames, count);
}

static void leave(struct publisher *p)
{
    if (is_carried(p))
        carrier_leave(&p->contender, p->clean);
    else
        contender_leave(&p->contender, p->clean);
}

/* --- life --- */

static void publisher_free(struct publisher *p)
{
    must(p->closed && p->batch == NULL);
    if (!is_carried(p))
        hub_unpin(p->ingest->hub, p->contender.name);
    framer_fini(&p->framer);
    OBJ_POISON(p);
    free(p);
}

void publisher_discard(struct contender *c)
{
    publisher_free(publisher_of(c));
}

/* On the home worker. */
static void run_enter(struct message *m)
{
    enter(container_of(m, struct publisher, enter));
}

static void run_left(struct message *m)
{
    publisher_free(container_of(m, struct publisher, leave));
}

/* On the home worker. */
static void run_leave(struct message *m)
{
    struct publisher *p = container_of(m, struct publisher, leave);
    leave(p);
    m->run = run_left;
    worker_post(p->worker, m);
}

struct publisher *publisher_open(struct ingest *i, struct worker *w,
                                 const struct publisher_options *o)
{
    struct publisher *p = xcalloc(1, sizeof *p);
    struct contender *c = &p->contender;
    p->magic = PUBLISHER_MAGIC;
    p->ingest = i;
    p->worker = w;
    p->ops = o->ops;
    p->owner = o->owner;
    p->log = (struct log_id){"publish", w->index, log_new_id()};
    slice_copy(slice_text(o->peer), p->peer, sizeof p->peer);
    must(slice_copy(slice_text(o->name), c->name, sizeof c->name));
    must(slice_copy(slice_text(o->identity), c->identity, sizeof c->identity));
    must(slice_copy(slice_text(o->proto), c->proto, sizeof c->proto));
    c->tell = tell;
    p->home = is_carried(p) ? w : hub_pin(i->hub, c->name, w);
    p->enter.run = run_enter;
    p->leave.run = run_leave;
    worker_post(p->home, &p->enter);
    return p;
}

void publisher_close(struct publisher **pp, bool clean)
{
    struct publisher *p = *pp;
    *pp = NULL;
    if (p == NULL)
        return;
    OBJ_CHECK(p, PUBLISHER_MAGIC);
    publisher_flush(p);
    p->closed = true;
    p->clean = clean;
    if (p->counted)
        METRIC_ADD(p->worker->metrics.publishers, -1);
    if (p->state == PUBLISHER_ACCEPTED)
        log_info(&p->log, "publish.end stream=%s peer=%s clean=%d frames_dropped=%" PRIu64,
                 p->contender.name, p->peer, clean, p->framer.passed_over);
    worker_post(p->home, &p->leave);
}

/* --- frames --- */

static void batch_add(struct publisher *p, struct frame **frames, int count)
{
    struct batch *b = p->batch;
    size_t have = b != NULL ? b->count : 0, room = b != NULL ? b->room : 0;
    if (room - have < (size_t)count) {
        room = room > 0 ? room * 2 : BATCH_ROOM_MIN;
        b = xrealloc(b, sizeof *b + room * sizeof b->frames[0]);
        if (p->batch == NULL)
            *b = (struct batch){.from = p};
        b->room = room;
        p->batch = b;
    }
    for (int i = 0; i < count; i++) {
        b->bytes += sizeof *frames[i] + frames[i]->size;
        b->frames[b->count++] = frames[i];
    }
}

_Static_assert(BATCH_ROOM_MIN >= FLV_PACKETS_MAX, "doubling makes room for any message");

static int push_frames(struct publisher *p, uint8_t type, uint32_t timestamp_ms, struct slice body)
{
    LEFT_AS_IT_IS struct frame *frames[FLV_PACKETS_MAX];
    uint64_t before = p->framer.passed_over;
    int count = framer_take(&p->framer, type, timestamp_ms, body, frames);
    if (before == 0 && p->framer.passed_over > 0)
        log_warn(&p->log, "publish.tracks stream=%s max=%d", p->contender.name, LOG_TRACKS_MAX);
    if (count <= 0)
        return count;
    METRIC_ADD(p->worker->metrics.frames_in_total, (uint64_t)count);
    batch_add(p, frames, count);
    return 0;
}

int publisher_push(struct publisher *p, uint8_t type, uint32_t timestamp_ms, struct slice body)
{
    must(p->state != PUBLISHER_ASKING && !p->closed);
    return p->state == PUBLISHER_ACCEPTED ? push_frames(p, type, timestamp_ms, body) : 0;
}

void publisher_push_frame(struct publisher *p, struct frame **f)
{
    must(!p->closed);
    if (p->state != PUBLISHER_ACCEPTED) {
        frame_unref(f);
        return;
    }
    METRIC_INC(p->worker->metrics.frames_in_total);
    batch_add(p, f, 1);
    *f = NULL;
}

static void run_answered(struct message *m)
{
    struct batch *b = container_of(m, struct batch, m);
    struct publisher *p = b->from;
    free(b);
    p->full = false;
    if (!p->closed && p->state == PUBLISHER_ACCEPTED && p->ops->on_full != NULL)
        p->ops->on_full(p->owner, false);
}

/* On the home worker. */
static void run_batch(struct message *m)
{
    struct batch *b = container_of(m, struct batch, m);
    struct publisher *p = b->from;
    hand_over(p, b->frames, b->count);
    atomic_fetch_sub_explicit(&p->in_flight, b->bytes, memory_order_relaxed);
    if (!b->answered) {
        free(b);
        return;
    }
    m->run = run_answered;
    worker_post(p->worker, m);
}

static void post_batch(struct publisher *p, struct batch *b)
{
    size_t before = atomic_fetch_add_explicit(&p->in_flight, b->bytes, memory_order_relaxed);
    bool fills = before + b->bytes > PUBLISHER_IN_FLIGHT_MAX && !p->full;
    b->m.run = run_batch;
    b->answered = fills;
    worker_post(p->home, &b->m);
    if (!fills)
        return;
    p->full = true;
    if (p->ops->on_full != NULL)
        p->ops->on_full(p->owner, true);
}

void publisher_flush(struct publisher *p)
{
    struct batch *b = p->batch;
    if (b == NULL)
        return;
    p->batch = NULL;
    if (p->home != p->worker) {
        post_batch(p, b);
        return;
    }
    hand_over(p, b->frames, b->count);
    free(b);
}
