/*
 * A deriver reads its stream on the derived feed's home worker, and is that feed's source.
 *
 *   WAITING ──first sound made──▶ LIVE ──stream lost──▶ LOST ──▶ LIVE …
 *      each: stream ended, owned elsewhere, displaced, unread for long ──▶ gone
 *      each: nothing can be made of this run ──▶ the feed ends, and the next run is waited for
 */
#include "origin/derive.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "origin/derive_recipe.h"
#include "origin/derive_seats.h"
#include "origin/derive_threads.h"
#include "proto/flv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DERIVER_MAGIC 0x64657276U
#define AWAY_MS       1000
#define SEAT_MS       1000 /* a seat is asked for so often */

struct derive_local;

struct derive {
    struct workers *group;
    struct hub *hub;
    struct derive_threads *threads; /* NULL: none could be started, or they have ended */
    struct derive_local *locals;    /* by worker index; each touched by its worker only */
    struct derive_seats seats;
};

struct derive_local {
    struct list derivers;
    bool stopped;
};

struct deriver {
    uint32_t magic;
    struct list node;
    struct derive *derive;
    struct worker *worker;
    struct log_id log;
    struct feed_source source; /* of the derived feed */
    struct feed_reader reader; /* of the stream's */
    struct timer linger, away;
    struct timer seat; /* runs while there is none for the run */
    const struct derive_recipe *recipe;
    struct derive_job *job; /* of the run `epoch`; has a seat */
    uint64_t epoch, seq;    /* the next frame to look at */
    int64_t wall_us;        /* of the run */
    int64_t wire_us;        /* published time minus decoding time, at the newest frame */
    uint64_t left_out;      /* frames for which the codec was too slow */
    bool waits_for_key;
    struct task end;       /* frees it, at the end of the turn */
    enum close_reason why; /* of it */
};

static void end_job(struct deriver *v)
{
    timer_stop(&v->seat);
    if (v->job == NULL)
        return;
    derive_job_cancel(&v->job);
    derive_seat_leave(&v->derive->seats, v->recipe->kind);
}

static void deriver_free(struct deriver *v)
{
    end_job(v);
    feed_leave(&v->reader);
    timer_fini(&v->linger);
    timer_fini(&v->away);
    timer_fini(&v->seat);
    task_cancel(&v->end);
    list_remove(&v->node);
    OBJ_POISON(v);
    free(v);
}

/* The derived feed looks for another source, and waits for it when the stream goes on. */
static void leave(struct deriver *v, enum close_reason why)
{
    struct feed *f = v->source.feed;
    log_info(&v->log, "derive.end stream=%s reason=%s left_out=%" PRIu64, f->name,
             close_reason_name(why), v->left_out);
    if (why == CLOSE_FENCED || why == CLOSE_IDLE || why == CLOSE_DRAIN)
        feed_lost(f);
    else
        feed_end(f, why);
    feed_detach_source(&v->source);
    deriver_free(v);
}

static void on_end_task(void *arg)
{
    struct deriver *v = OBJ_CAST(struct deriver, arg, DERIVER_MAGIC);
    if (v->why == CLOSE_REFUSED)
        feed_end(v->source.feed, v->why);
    else
        leave(v, v->why);
}

/* Not from inside of a callback of the feed that it reads. */
static void end_soon(struct deriver *v, enum close_reason why)
{
    v->why = why;
    task_defer(v->worker, &v->end);
}

/* --- what has been made --- */

/*
 * The number of a run's first frame here.  Who was here before, and may hold frames of the same run
 * that are forgotten here, must not meet the same number again: there are fewer frames than
 * milliseconds.
 */
static uint64_t first_seq(int64_t dts_us)
{
    return (uint64_t)(dts_us / 1000) + 1;
}

/* The derived feed's run, open; NULL: it has had a later one. */
static const struct run *open_run(struct deriver *v, const struct frame *first)
{
    struct feed *f = v->source.feed;
    const struct run *run = log_newest(f->log);
    if (run != NULL && (run->epoch > v->epoch || (run->epoch == v->epoch && run->ended)))
        return NULL;
    if (run == NULL || run->epoch < v->epoch) {
        feed_open_run(f, v->epoch, first_seq(first->dts_us), v->wall_us, NULL);
        log_info(&v->log, "derive.run stream=%s epoch=%" PRIu64 " dts_ms=%" PRId64, f->name,
                 v->epoch, first->dts_us / 1000);
    } else if (run->origin != NULL) {
        feed_set_origin(f, NULL); /* pulled until the stream came here */
    }
    feed_resumed(f);
    return log_newest(f->log);
}

static void on_frame(void *owner, struct frame **fp)
{
    struct deriver *v = OBJ_CAST(struct deriver, owner, DERIVER_MAGIC);
    struct frame *f = *fp;
    const struct run *run = open_run(v, f);
    if (run == NULL)
        return;
    f->seq = run->next;
    f->wire_ms = (f->dts_us + v->wire_us) / 1000;
    *fp = NULL;
    feed_append(v->source.feed, f);
}

static void on_failed(void *owner, int err)
{
    struct deriver *v = OBJ_CAST(struct deriver, owner, DERIVER_MAGIC);
    /* Who wants what the stream has itself does not know its new run yet. */
    LOG_AT(err == ERR_EXISTS ? LOG_INFO : LOG_WARN, &v->log, "derive.failed stream=%s error=\"%s\"",
           v->source.feed->name, err_text(err));
    end_job(v);
    end_soon(v, CLOSE_REFUSED);
}

/* --- the stream --- */

static struct frame *config_in(const struct inforce *i, enum frame_kind kind)
{
    for (uint32_t n = 0; i != NULL && n < i->count; n++) {
        struct frame *f = i->frames[n];
        if (f->kind == kind && f->track == 0 && (f->flags & FRAME_CONFIG) != 0)
            return f;
    }
    return NULL;
}

/* After a picture that was left out, those up to the next key frame are of no use. */
static void push_media(struct deriver *v, struct frame *f)
{
    bool is_key = f->kind == FRAME_AUDIO || (f->flags & FRAME_KEY) != 0;
    v->waits_for_key = v->waits_for_key && !is_key;
    if (v->waits_for_key || !derive_job_push(v->job, f)) {
        v->left_out++;
        v->waits_for_key = f->kind == FRAME_VIDEO;
    }
}

static void push(struct deriver *v, struct frame *f)
{
    bool config = (f->flags & FRAME_CONFIG) != 0;
    if (v->job == NULL || f->kind != v->recipe->kind || f->track != 0 ||
        !(config || frame_is_media(f)))
        return;
    v->wire_us = f->wire_ms * 1000 - f->dts_us;
    if (f->kind == FRAME_AUDIO && f->codec == v->recipe->to)
        on_failed(v, ERR_EXISTS);
    else if (config)
        (void)derive_job_push(v->job, f);
    else
        push_media(v, f);
}

static void begin_job(struct deriver *v)
{
    static const struct derive_job_ops ops = {on_frame, on_failed};
    if (!derive_seat_take(&v->derive->seats, v->worker, v->recipe->kind)) {
        timer_set_ms(&v->seat, SEAT_MS);
        return;
    }
    const struct derive_job_options o = {v->worker, v->recipe->kind, v->recipe->to, &ops, v};
    v->job = derive_job_new(v->derive->threads, &o);
}

/* Without a job until there is a seat. */
static void begin_run(struct deriver *v, const struct run *r)
{
    const struct log_key *key = run_newest_key(r);
    end_job(v);
    begin_job(v);
    v->epoch = r->epoch;
    v->wall_us = r->wall_us;
    v->seq = key != NULL ? key->seq : r->first;
    struct frame *config = key != NULL ? config_in(key->inforce, v->recipe->kind) : NULL;
    if (config != NULL)
        push(v, config);
}

/* The stream is another node's.  Who had it leaves at once; who never had it was told that it is
 * ours, and gives that some time to become true. */
static void stay_away(struct deriver *v)
{
    if (v->epoch != 0)
        end_soon(v, CLOSE_FENCED);
    else if (!timer_is_set(&v->away))
        timer_set_ms(&v->away, AWAY_MS);
}

static void on_away(void *arg)
{
    leave(OBJ_CAST(struct deriver, arg, DERIVER_MAGIC), CLOSE_FENCED);
}

/* Frames that left the log meanwhile are sound that is missing. */
static void follow(struct deriver *v)
{
    const struct run *r = log_newest(v->reader.feed->log);
    if (r == NULL || task_is_queued(&v->end))
        return;
    if (r->origin != NULL) {
        stay_away(v);
        return;
    }
    timer_stop(&v->away);
    if (r->epoch != v->epoch && r->ended)
        return;
    if (r->epoch != v->epoch) {
        begin_run(v, r);
        if (v->job == NULL)
            derive_seat_tell(v->worker, v->recipe->kind, v->source.feed->name);
    }
    if (v->seq < r->first)
        v->seq = r->first;
    for (; v->seq < r->next; v->seq++)
        push(v, run_frame(r, v->seq));
}

static void on_seat(void *arg)
{
    struct deriver *v = OBJ_CAST(struct deriver, arg, DERIVER_MAGIC);
    const struct run *r = log_newest(v->reader.feed->log);
    if (r != NULL && r->origin == NULL && r->epoch == v->epoch && !r->ended)
        begin_run(v, r);
    follow(v);
}

static struct deriver *of_reader(struct feed_reader *r)
{
    return OBJ_CAST(struct deriver, container_of(r, struct deriver, reader), DERIVER_MAGIC);
}

static void on_frames(struct feed_reader *r)
{
    follow(of_reader(r));
}

static void on_state(struct feed_reader *r)
{
    struct deriver *v = of_reader(r);
    if (r->feed->state == FEED_LOST)
        feed_lost(v->source.feed);
    else if (r->feed->state == FEED_LIVE)
        follow(v);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    end_soon(of_reader(r), why);
}

/* --- the derived feed --- */

static struct deriver *of_source(struct feed_source *s)
{
    return OBJ_CAST(struct deriver, container_of(s, struct deriver, source), DERIVER_MAGIC);
}

static void on_displaced(struct feed_source *s, enum close_reason why)
{
    deriver_free(of_source(s));
}

static void on_wanted(struct feed_source *s, bool wanted)
{
    struct deriver *v = of_source(s);
    if (wanted)
        timer_stop(&v->linger);
    else
        timer_set_ms(&v->linger, DERIVE_LINGER_MS);
}

static void on_linger(void *arg)
{
    leave(OBJ_CAST(struct deriver, arg, DERIVER_MAGIC), CLOSE_IDLE);
}

void derive_start(struct derive *d, struct feed *f)
{
    static const struct feed_source_ops source_ops = {.on_displaced = on_displaced,
                                                      .on_wanted = on_wanted};
    static const struct feed_reader_ops reader_ops = {on_frames, on_state, on_end};
    char base[NAME_STREAM_MAX + 1];
    struct derive_local *local = &d->locals[f->worker->index];
    const struct derive_recipe *recipe = derive_recipe_of(f->name);
    if (recipe == NULL || local->stopped || d->threads == NULL ||
        (f->source != NULL && f->source->ops == &source_ops))
        return;
    feed_displace(f, CLOSE_FENCED);
    struct deriver *v = xcalloc(1, sizeof *v);
    v->magic = DERIVER_MAGIC;
    v->derive = d;
    v->worker = f->worker;
    v->recipe = recipe;
    v->log = (struct log_id){"derive", f->worker->index, log_new_id()};
    v->source.ops = &source_ops;
    v->source.kind = "derive";
    v->reader.ops = &reader_ops;
    timer_init(&v->linger, f->worker, "derive.linger", on_linger, v);
    timer_init(&v->away, f->worker, "derive.away", on_away, v);
    timer_init(&v->seat, f->worker, "derive.seat", on_seat, v);
    task_init(&v->end, on_end_task, v);
    list_append(&local->derivers, &v->node);
    name_base(f->name, base);
    log_info(&v->log, "derive.start stream=%s", f->name);
    feed_join(d->hub, f->worker, base, &v->reader);
    feed_attach_source(f, &v->source);
}

static void on_feed_wanted(struct feed *f, void *arg)
{
    if (name_derivation(f->name) != NULL)
        derive_start(arg, f);
}

void derive_hooks(struct derive *d, struct hub_hooks *out)
{
    *out = (struct hub_hooks){.on_wanted = on_feed_wanted, .arg = d};
}

void derive_stop(struct derive *d, struct worker *w)
{
    struct deriver *v;
    struct derive_local *local = &d->locals[w->index];
    local->stopped = true;
    while ((v = LIST_FIRST(&local->derivers, struct deriver, node)) != NULL)
        leave(v, CLOSE_DRAIN);
}

struct derive *derive_new(struct workers *g, struct hub *hub, int threads)
{
    struct derive *d = xcalloc(1, sizeof *d);
    d->group = g;
    d->hub = hub;
    d->threads = derive_threads_new(threads);
    d->seats.threads = d->threads != NULL ? derive_threads_count(d->threads) : 0;
    d->locals = xcalloc((size_t)g->count, sizeof d->locals[0]);
    for (int i = 0; i < g->count; i++)
        list_init(&d->locals[i].derivers);
    return d;
}

void derive_stop_threads(struct derive *d)
{
    derive_threads_free(&d->threads);
}

void derive_free(struct derive **dp)
{
    struct derive *d = *dp;
    *dp = NULL;
    if (d == NULL)
        return;
    derive_stop_threads(d);
    for (int i = 0; i < d->group->count; i++)
        derive_stop(d, &d->group->workers[i]);
    free(d->locals);
    free(d);
}
