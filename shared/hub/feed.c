/*
 * One stream on one worker.  At its home: source → log → readers and replicas (feed_home.c);
 * elsewhere: messages from home → log → readers (replica.c).  All of it on the feed's worker.
 */
#include "hub/hub_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdlib.h>

#define FEED_REPLICA_IDLE_MS   2000 /* a replica outlives its last reader by this */
#define FEED_RATE_MS           1000
#define FEED_WANT_KEY_EVERY_US 500000

const char *feed_state_name(enum feed_state s)
{
    static const char *const names[] = {"empty", "live", "lost", "ended"};
    return names[s];
}

static void on_notify(void *arg);
static void on_linger(void *arg);
static void on_rate(void *arg);

static struct feed *feed_new(struct hub *h, struct worker *w, const char *name)
{
    struct feed *f = xcalloc(1, sizeof *f);
    const struct config *c = w->config;
    f->magic = FEED_MAGIC;
    f->hub = h;
    f->worker = w;
    f->stream = stream_ref(h, name, w);
    f->name = f->stream->name;
    f->is_home = f->stream->home == w;
    struct log_limits limits = {c->stream.window_ms * 1000, (size_t)c->stream.window_bytes,
                                f->is_home ? &h->account : NULL};
    f->log = log_new(&limits);
    list_init(&f->readers);
    list_init(&f->bridges);
    task_init(&f->notify, on_notify, f);
    timer_init(&f->linger, w, "feed.linger", on_linger, f);
    timer_init(&f->rate, w, "feed.rate", on_rate, f);
    map_put(h->feeds[w->index], name, f);
    METRIC_INC(w->metrics.feeds);
    if (!f->is_home)
        replica_attach(f);
    return f;
}

static void feed_free(struct feed **fp)
{
    struct feed *f = *fp;
    *fp = NULL;
    must(f->reader_count == 0 && f->source == NULL && f->holds == 0 && list_empty(&f->bridges));
    must(!f->attached);
    map_take(f->hub->feeds[f->worker->index], f->name);
    METRIC_ADD(f->worker->metrics.feeds, -1);
    task_cancel(&f->notify);
    timer_fini(&f->linger);
    timer_fini(&f->rate);
    for (size_t i = 0; i < f->batch_count; i++)
        frame_unref(&f->batch[i]);
    free(f->batch);
    log_free(&f->log);
    stream_unref(f->hub, &f->stream);
    OBJ_POISON(f);
    free(f);
}

void feed_abandon(struct feed **fp)
{
    bridges_drop(*fp);
    (*fp)->attached = false;
    feed_free(fp);
}

struct feed *feed_get(struct hub *h, struct worker *w, const char *name)
{
    struct feed *f = feed_find(h, w, name);
    return f != NULL ? f : feed_new(h, w, name);
}

static bool is_in_use(const struct feed *f)
{
    return f->reader_count > 0 || f->source != NULL || f->holds > 0 || !list_empty(&f->bridges);
}

void feed_consider_idle(struct feed *f)
{
    if (is_in_use(f)) {
        timer_stop(&f->linger);
        return;
    }
    if (!f->is_home) {
        /* Once: frames go on coming, and would put it off for ever. */
        if (!f->detaching && !timer_is_set(&f->linger))
            timer_set_ms(&f->linger, FEED_REPLICA_IDLE_MS);
        return;
    }
    const struct config *c = f->worker->config;
    /* Not freed here: the caller may still be using it.  An ended run stays for late relays. */
    bool has_run = log_newest(f->log) != NULL;
    timer_set_ms(&f->linger, has_run ? c->stream.linger_ms + c->stream.window_ms : 0);
}

static void on_linger(void *arg)
{
    struct feed *f = OBJ_CAST(struct feed, arg, FEED_MAGIC);
    if (is_in_use(f))
        return;
    if (f->attached) {
        replica_detach(f);
        return;
    }
    feed_free(&f);
}

static void on_rate(void *arg)
{
    struct feed *f = OBJ_CAST(struct feed, arg, FEED_MAGIC);
    f->bitrate_bps = (int64_t)(f->bytes_in - f->rate_bytes) * 8 * 1000 / FEED_RATE_MS;
    f->rate_bytes = f->bytes_in;
    if (f->state == FEED_LIVE)
        timer_set_ms(&f->rate, FEED_RATE_MS);
}

void feed_notify(struct feed *f)
{
    task_defer(f->worker, &f->notify);
}

/* Calls fn for each reader there was when it began; a reader may leave, or free itself, in its
 * call. */
static void each_reader(struct feed *f, void (*fn)(struct feed_reader *r))
{
    struct list walk;
    list_init(&walk);
    list_splice(&walk, &f->readers);
    f->holds++;
    while (!list_empty(&walk)) {
        struct feed_reader *r = LIST_FIRST(&walk, struct feed_reader, node);
        list_remove(&r->node);
        list_append(&f->readers, &r->node);
        fn(r);
    }
    f->holds--;
}

static void call_frames(struct feed_reader *r)
{
    if (r->ops->on_frames != NULL)
        r->ops->on_frames(r);
}

static void call_state(struct feed_reader *r)
{
    if (r->ops->on_state != NULL)
        r->ops->on_state(r);
}

static void call_end(struct feed_reader *r)
{
    if (r->ops->on_end != NULL)
        r->ops->on_end(r, r->feed->why);
}

/* Frames before the state: who ends has had everything. */
static void on_notify(void *arg)
{
    struct feed *f = OBJ_CAST(struct feed, arg, FEED_MAGIC);
    feed_send_batch(f);
    bool frames = f->frames_pending, state = f->state_pending, end = f->end_pending;
    f->frames_pending = f->state_pending = f->end_pending = false;
    f->holds++;
    if (state && !end)
        each_reader(f, call_state);
    if (frames)
        each_reader(f, call_frames);
    if (end)
        each_reader(f, call_end);
    f->holds--;
    if (!is_in_use(f))
        feed_consider_idle(f);
}

bool feed_is_wanted(const struct feed *f)
{
    return f->wanted;
}

void feed_update_wanted(struct feed *f)
{
    if (!f->is_home)
        return;
    bool wanted = f->reader_count > 0 || !list_empty(&f->bridges);
    if (wanted == f->wanted)
        return;
    f->wanted = wanted;
    f->holds++;
    const struct hub_hooks *hooks = &f->hub->hooks;
    if (f->source != NULL && f->source->ops->on_wanted != NULL)
        f->source->ops->on_wanted(f->source, wanted);
    if (wanted && f->source == NULL && hooks->on_wanted != NULL)
        hooks->on_wanted(f, hooks->arg);
    if (!wanted && hooks->on_unwanted != NULL)
        hooks->on_unwanted(f, hooks->arg);
    f->holds--;
}

static void want_past(struct feed *f)
{
    if (!f->is_home)
        replica_want_past(f);
    else if (f->source != NULL && f->source->ops->on_want_past != NULL)
        f->source->ops->on_want_past(f->source);
}

struct feed *feed_join(struct hub *h, struct worker *w, const char *name, struct feed_reader *r)
{
    struct feed *f = feed_get(h, w, name);
    r->feed = f;
    list_append(&f->readers, &r->node);
    f->reader_count++;
    timer_stop(&f->linger);
    feed_update_wanted(f);
    if (r->needs_past)
        want_past(f);
    f->frames_pending = f->state_pending = true;
    feed_notify(f);
    return f;
}

void feed_leave(struct feed_reader *r)
{
    struct feed *f = r->feed;
    if (f == NULL)
        return;
    r->feed = NULL;
    list_remove(&r->node);
    f->reader_count--;
    feed_update_wanted(f);
    feed_consider_idle(f);
}

struct feed *feed_hold(struct hub *h, struct worker *w, const char *name)
{
    struct feed *f = feed_get(h, w, name);
    must(f->is_home);
    f->holds++;
    timer_stop(&f->linger);
    return f;
}

void feed_release(struct feed **fp)
{
    struct feed *f = *fp;
    *fp = NULL;
    if (f == NULL)
        return;
    must(f->holds > 0);
    f->holds--;
    feed_consider_idle(f);
}

void feed_attach_source(struct feed *f, struct feed_source *s)
{
    must(f->is_home && f->source == NULL);
    f->source = s;
    s->feed = f;
    timer_stop(&f->linger);
    if (s->ops->on_wanted != NULL && f->wanted)
        s->ops->on_wanted(s, true);
    struct feed_reader *r;
    LIST_EACH (r, &f->readers, node) {
        if (r->needs_past && s->ops->on_want_past != NULL) {
            s->ops->on_want_past(s);
            break;
        }
    }
}

void feed_detach_source(struct feed_source *s)
{
    struct feed *f = s->feed;
    if (f == NULL)
        return;
    must(f->source == s);
    f->source = NULL;
    s->feed = NULL;
    if (f->wanted && f->hub->hooks.on_wanted != NULL) {
        f->holds++;
        f->hub->hooks.on_wanted(f, f->hub->hooks.arg);
        f->holds--;
    }
    feed_consider_idle(f);
}

void feed_displace(struct feed *f, enum close_reason why)
{
    struct feed_source *s = f->source;
    if (s == NULL)
        return;
    f->source = NULL; /* first: the hooks must not look for another source in between */
    s->feed = NULL;
    f->holds++;
    s->ops->on_displaced(s, why);
    f->holds--;
    feed_consider_idle(f);
}

void feed_set_state(struct feed *f, enum feed_state state, enum close_reason why)
{
    if (f->state == state)
        return;
    f->state = state;
    f->why = why;
    f->ended_us = clock_us();
    if (state == FEED_ENDED)
        f->end_pending = true;
    else
        f->state_pending = true;
    feed_notify(f);
    if (state == FEED_LIVE) {
        f->rate_bytes = f->bytes_in; /* not what a replica got at once */
        timer_set_ms(&f->rate, FEED_RATE_MS);
    }
}

void feed_want_key(struct feed *f)
{
    int64_t now_us = clock_us();
    if (now_us - f->last_want_key_us < FEED_WANT_KEY_EVERY_US)
        return;
    f->last_want_key_us = now_us;
    if (!f->is_home)
        replica_want_key(f);
    else if (f->source != NULL && f->source->ops->on_want_key != NULL)
        f->source->ops->on_want_key(f->source);
}
