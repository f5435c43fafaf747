/*
 * One claim: the publisher that has the name, the run its frames go into, and how that ends.  On
 * the home worker.
 */
#include "origin/claim_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdlib.h>

/* A silence that is noticed this late was not one of the publisher's: the loop was away, and what
 * came in meanwhile is looked at first. */
#define WATCH_LATE_US  1000000
#define WATCH_GRACE_MS 1000

static const char *const state_names[] = {
    [CLAIM_NONE] = "none",
    [CLAIM_OPEN] = "open",
    [CLAIM_LIVE] = "live",
    [CLAIM_LOST] = "lost",
};

const char *claim_state_name(enum claim_state s)
{
    return state_names[s];
}

static const struct feed_source_ops source_ops;
static void on_watch(void *arg);

static void on_retry(void *arg)
{
    claim_settle(OBJ_CAST(struct claim, arg, CLAIM_MAGIC));
}

struct claim *claim_new(struct claims *t, const char *name)
{
    struct claim *cl = xcalloc(1, sizeof *cl);
    cl->magic = CLAIM_MAGIC;
    cl->table = t;
    cl->log = (struct log_id){"claim", t->worker->index, log_new_id()};
    cl->feed = feed_hold(t->hub, t->worker, name);
    cl->name = cl->feed->name;
    cl->source.ops = &source_ops;
    cl->source.kind = "publish";
    list_init(&cl->waiting);
    timer_init(&cl->watch, t->worker, "claim.watch", on_watch, cl);
    timer_init(&cl->retry, t->worker, "claim.retry", on_retry, cl);
    claim_previous_init(cl);
    map_put(t->by_name, name, cl);
    hub_take_seat(t->hub, name, true, &cl->seat);
    return cl;
}

void claim_free(struct claim **clp)
{
    struct claim *cl = *clp;
    *clp = NULL;
    must(cl->owner == NULL && list_empty(&cl->waiting));
    claim_drop_kept(cl);
    map_take(cl->table->by_name, cl->name);
    hub_leave_seat(cl->table->hub, &cl->seat);
    segmenter_fini(&cl->segmenter);
    claim_previous_fini(cl);
    timer_fini(&cl->watch);
    timer_fini(&cl->retry);
    feed_detach_source(&cl->source);
    feed_release(&cl->feed);
    OBJ_POISON(cl);
    free(cl);
}

void claim_settle(struct claim *cl)
{
    struct claims *t = cl->table;
    contest_go_on(cl);
    if (cl->state != CLAIM_NONE || !list_empty(&cl->waiting) || cl->pending > 0)
        return;
    claim_free(&cl);
    claims_tell_drained(t);
}

static void set_state(struct claim *cl, enum claim_state state)
{
    log_debug(&cl->log, "claim.state stream=%s from=%s to=%s epoch=%" PRIu64, cl->name,
              claim_state_name(cl->state), claim_state_name(state), cl->epoch);
    cl->state = state;
}

void claim_part(struct contender *c)
{
    struct claim *cl = c->claim;
    c->claim = NULL;
    if (cl->owner == c)
        cl->owner = NULL;
    if (cl->asking == c)
        cl->asking = NULL;
    if (list_empty(&c->wait))
        return;
    list_remove(&c->wait);
    cl->waiting_count--;
}

static void on_released(void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    cl->pending--;
    claim_settle(cl);
}

void claim_release_epoch(struct claim *cl, uint64_t epoch, const char *why)
{
    struct claims *t = cl->table;
    cl->pending++;
    cluster_release(t->cluster, cl->name, epoch, why, t->worker, on_released, cl);
}

static void end_owner(struct claim *cl, enum close_reason why)
{
    struct contender *c = cl->owner;
    if (c == NULL)
        return;
    claim_part(c);
    c->tell(c, &(struct contender_news){.event = CONTENDER_ENDED, .why = why});
}

/* Nothing is appended to our run any more: who has all of it may say so. */
static void finish_run(struct claim *cl)
{
    const struct run *run = log_newest(cl->feed->log);
    claim_previous_give_up(cl);
    if (run != NULL && run->origin == NULL && run->next > 1)
        feed_set_last(cl->feed, run->next - 1);
}

/* Readers have seen something of the stream, so they need to be told of its end. */
static bool is_shown(const struct claim *cl)
{
    return cl->feed->state == FEED_LIVE || cl->feed->state == FEED_LOST;
}

void claim_end(struct claim *cl, const struct claim_end *end)
{
    must(cl->state != CLAIM_NONE);
    uint64_t epoch = cl->epoch;
    claim_drop_kept(cl);
    end_owner(cl, end->why);
    timer_stop(&cl->watch);
    finish_run(cl);
    set_state(cl, CLAIM_NONE);
    cl->epoch = 0;
    if (!end->over)
        feed_lost(cl->feed);
    else if (is_shown(cl))
        feed_end(cl->feed, CLOSE_UNPUBLISHED);
    if (end->word != NULL)
        claim_release_epoch(cl, epoch, end->word);
    if (cl->table->draining && !end->over)
        claim_hand_over(cl);
    /* Last: who is asked for another source must find the name released. */
    feed_detach_source(&cl->source);
}

/* The publisher is gone without a word. */
static void lose(struct claim *cl)
{
    struct claims *t = cl->table;
    /* It does not come back to a node that takes no publishers. */
    if (t->draining || !is_shown(cl)) {
        claim_end(cl, &(struct claim_end){CLOSE_SOURCE_LOST, "lost", false});
        return;
    }
    finish_run(cl);
    set_state(cl, CLAIM_LOST);
    cluster_set_lost(t->cluster, cl->name, cl->epoch, true);
    feed_lost(cl->feed);
    timer_set_ms(&cl->watch, t->worker->config->stream.lost_ms);
}

/* --- taking the name --- */

/* The feed got a run of another owner that is not lower than our grant, while that was under way.
 */
static bool is_behind_log(const struct claim *cl, uint64_t epoch)
{
    const struct run *newest = log_newest(cl->feed->log);
    return newest != NULL && newest->epoch >= epoch;
}

static bool take_name(struct claim *cl, uint64_t epoch)
{
    if (cl->state != CLAIM_NONE)
        return true;
    if (is_behind_log(cl, epoch)) {
        claim_release_epoch(cl, epoch, "superseded");
        return false;
    }
    feed_displace(cl->feed, CLOSE_NAME_TAKEN);
    feed_attach_source(cl->feed, &cl->source);
    return true;
}

void claim_take(struct claim *cl, struct contender *c, uint64_t epoch)
{
    if (c == NULL && cl->state == CLAIM_NONE) {
        claim_release_epoch(cl, epoch, "unpublished");
        return;
    }
    if (!take_name(cl, epoch))
        return;
    claim_drop_kept(cl);
    end_owner(cl, CLOSE_NAME_TAKEN);
    finish_run(cl);
    cl->epoch = epoch;
    if (c == NULL) {
        lose(cl);
        return;
    }
    list_remove(&c->wait);
    cl->waiting_count--;
    cl->owner = c;
    cl->media_seen = false;
    cl->last_media_us = clock_us();
    set_state(cl, CLAIM_OPEN);
    timer_set_ms(&cl->watch, CLAIM_FIRST_MEDIA_MS);
    c->tell(c, &(struct contender_news){.event = CONTENDER_ACCEPTED, .epoch = epoch});
}

/* --- frames --- */

static void note_media(struct claim *cl)
{
    cl->last_media_us = worker_now_us(cl->table->worker);
    if (cl->media_seen)
        return;
    cl->media_seen = true;
    timer_set_ms(&cl->watch, cl->table->worker->config->stream.publisher_timeout_ms);
}

static void open_run(struct claim *cl)
{
    int64_t wall_us = clock_wall_us();
    claim_cut_begin(cl, wall_us);
    feed_open_run(cl->feed, cl->epoch, 1, wall_us, NULL);
    cl->tracks = 0;
    claim_cut_decide(cl);
}

void claim_append(struct claim *cl, struct frame **frames, size_t count)
{
    if (cl->state == CLAIM_OPEN) {
        open_run(cl);
        set_state(cl, CLAIM_LIVE);
    }
    struct run *run = log_newest(cl->feed->log);
    bool media = false;
    for (size_t i = 0; i < count; i++) {
        media = media || frame_is_media(frames[i]);
        frames[i]->seq = run->next;
        claim_cut_take(cl, frames[i]);
        feed_append(cl->feed, frames[i]);
        claim_cut_tell(cl, run_frame(run, run->next - 1));
    }
    if (media)
        note_media(cl);
}

void contender_frames(struct contender *c, struct frame **frames, size_t count)
{
    struct claim *cl = c->claim;
    if (cl != NULL && cl->owner == c && count > 0) {
        if (!cl->table->checking || !claim_keep_frames(cl, frames, count))
            claim_append(cl, frames, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        frame_unref(&frames[i]);
}

/* --- the owner's end --- */

void contender_forget(struct contender *c)
{
    list_remove(&c->node);
    if (c->claim != NULL)
        claim_part(c);
}

void claim_left(struct claim *cl, bool clean)
{
    if (clean)
        claim_end(cl, &(struct claim_end){CLOSE_UNPUBLISHED, "unpublished", true});
    else
        lose(cl);
}

void contender_leave(struct contender *c, bool clean)
{
    struct claim *cl = c->claim;
    list_remove(&c->node);
    if (cl == NULL)
        return;
    bool owned = cl->owner == c;
    claim_part(c);
    if (owned && cl->table->checking)
        claim_keep_leave(cl, clean);
    else if (owned)
        claim_left(cl, clean);
    claim_settle(cl);
}

bool claim_is_silent(const struct claim *cl, int64_t now_us)
{
    return now_us - cl->last_media_us >= CLAIM_SILENT_MS * 1000;
}

static int64_t silence_limit_us(const struct claim *cl)
{
    if (!cl->media_seen)
        return CLAIM_FIRST_MEDIA_MS * 1000;
    return cl->table->worker->config->stream.publisher_timeout_ms * 1000;
}

static void watch_owner(struct claim *cl)
{
    int64_t now_us = clock_us();
    int64_t left_us = cl->last_media_us + silence_limit_us(cl) - now_us;
    if (left_us > 0) {
        timer_set_us(&cl->watch, left_us);
        return;
    }
    if (now_us - cl->watch.due_us > WATCH_LATE_US) {
        timer_set_ms(&cl->watch, WATCH_GRACE_MS);
        return;
    }
    end_owner(cl, CLOSE_NO_MEDIA);
    lose(cl);
}

static void on_watch(void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    if (cl->table->checking) {
        timer_set_ms(&cl->watch, CLUSTER_REVALIDATE_MS);
        return;
    }
    switch (cl->state) {
    case CLAIM_NONE:
        break;
    case CLAIM_OPEN:
    case CLAIM_LIVE:
        watch_owner(cl);
        break;
    case CLAIM_LOST:
        claim_end(cl, &(struct claim_end){CLOSE_SOURCE_LOST, "lost", true});
        break;
    }
    claim_settle(cl);
}

/* --- as the feed's source --- */

static void on_displaced(struct feed_source *s, enum close_reason why)
{
    struct claim *cl = container_of(s, struct claim, source);
    const char *word = why == CLOSE_FENCED ? NULL : close_reason_name(why);
    claim_end(cl, &(struct claim_end){why, word, why == CLOSE_KICKED});
    claim_settle(cl);
}

static void on_want_key(struct feed_source *s)
{
    struct contender *c = container_of(s, struct claim, source)->owner;
    if (c != NULL)
        c->tell(c, &(struct contender_news){.event = CONTENDER_WANT_KEY});
}

static const struct feed_source_ops source_ops = {
    .on_displaced = on_displaced,
    .on_want_key = on_want_key,
};
