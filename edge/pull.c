/*
 * What the links say becomes what the feed is told.  A run opens with its first frame: only then
 * its first seq is known.
 */
#include "edge/pull_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const end_names[] = {
    [PULL_STREAM_ENDED] = "ended", [PULL_HEARSAY_END] = "ended_on_the_way", [PULL_LOST] = "lost",
    [PULL_IDLE] = "idle",          [PULL_DISPLACED] = "displaced",
};

const char *pull_end_name(enum pull_end why)
{
    return end_names[why];
}

/* --- ending --- */

static void release(struct pull *p)
{
    upstream_close(&p->current);
    upstream_close(&p->coming);
    past_cancel(&p->past);
    relay_call_cancel(&p->want);
    timer_stop(&p->idle);
    timer_stop(&p->hold);
    timer_stop(&p->doubt);
}

static void end(struct pull *p, enum pull_end why)
{
    if (p->ended)
        return;
    p->ended = true;
    p->why = why;
    release(p);
    log_info(&p->log, "pull.end stream=%s reason=%s", p->feed->name, pull_end_name(why));
    task_defer(p->worker, &p->end);
}

static void on_end_task(void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    p->ops->on_end(p, p->why, p->arg);
}

static void on_idle(void *arg)
{
    end(OBJ_CAST(struct pull, arg, PULL_MAGIC), PULL_IDLE);
}

static void on_hold(void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    feed_end(p->feed, CLOSE_SOURCE_LOST);
    end(p, PULL_LOST);
}

/* --- frames --- */

int pull_compare(const struct upstream *u, const struct run *run)
{
    uint64_t ours =
        run->origin != NULL ? run->origin->instance : u->client->self->instance; /* our claim's */
    if (u->run.epoch != run->epoch)
        return u->run.epoch < run->epoch ? -1 : 1;
    return (u->run.origin->instance > ours) - (u->run.origin->instance < ours);
}

/* A run lower than the feed's is taken only on the directory's steady word, one lower than the
 * owner's never. */
static bool is_stale(const struct pull *p, const struct upstream *u)
{
    const struct run *run = log_newest(p->feed->log);
    if (u->run.epoch != u->owner.epoch ? u->run.epoch < u->owner.epoch
                                       : u->run.origin->instance < u->owner.instance)
        return true;
    return run != NULL && pull_compare(u, run) < 0 && u->owner.regressed_us <= run->opened_us;
}

/* The owner decides how long it waits for its publisher, but not for ever: it may have been fenced
 * and know no better. */
static void tell_lost(struct pull *p, const struct upstream *u)
{
    const struct config *c = p->worker->config;
    timer_stop(&p->hold);
    if (!u->run.lost) {
        feed_resumed(p->feed);
        return;
    }
    feed_lost(p->feed);
    timer_set_ms(&p->hold, c->stream.lost_ms + c->viewer.hold_ms);
}

/* By the state that came with it: its owner may be nodes away. */
static void tell_run(struct pull *p, const struct upstream *u)
{
    const struct run_origin *o = u->run.origin;
    struct cluster_owner owner = {
        .found = true, .lost = u->run.lost, .epoch = u->run.epoch, .instance = o->instance};
    struct slice rest, node = slice_cut(slice_text(o->path), ',', &rest, NULL);
    if (slice_copy(node, owner.node, sizeof owner.node))
        p->ops->on_run(p, &owner, p->arg);
}

static void open_run(struct pull *p, const struct upstream *u, uint64_t seq)
{
    feed_open_run(p->feed, u->run.epoch, seq, u->run.wall_us, u->run.inforce);
    feed_set_origin(p->feed, u->run.origin);
    feed_set_plan(p->feed, &u->run.plan);
    feed_set_last(p->feed, u->run.last_seq);
    tell_run(p, u);
    log_info(&p->log, "pull.run stream=%s node=%s epoch=%" PRIu64 " seq=%" PRIu64, p->feed->name,
             u->peer.node, u->run.epoch, seq);
}

static void take_numbers(struct pull *p, const struct upstream *u)
{
    const struct run *run = log_newest(p->feed->log);
    if (!run_origin_equal(run->origin, u->run.origin))
        feed_set_origin(p->feed, u->run.origin);
    if (!cut_plan_equal(&run->plan, &u->run.plan))
        pull_look_at_past(p);
    feed_set_plan(p->feed, &u->run.plan);
    feed_set_last(p->feed, u->run.last_seq);
}

static void lose_place(struct pull *p, const struct upstream *u, uint64_t seq)
{
    feed_restart(p->feed, seq, u->run.inforce);
}

/* Makes the feed's newest run the link's, with room for `seq` or a later one next. */
static int begin_run(struct pull *p, const struct upstream *u, uint64_t seq)
{
    const struct run *run = log_newest(p->feed->log);
    if (is_stale(p, u))
        return ERR_RANGE;
    int order = run != NULL ? pull_compare(u, run) : 1;
    bool same = order == 0 && !run->ended;
    bool on_trial = u == p->coming && p->coming_is == COMING_TRIAL && p->current->up;
    if (on_trial && (!same || seq > run->next))
        return ERR_RANGE; /* it would make a hole, and nothing is wrong */
    /* What the log cannot go on with: a lower run, the same number by another process, or a run
     * that was given up here and lives on there. */
    if (run != NULL && !same && u->run.epoch <= run->epoch) {
        past_cancel(&p->past);
        feed_reset(p->feed);
    }
    if (!same)
        open_run(p, u, seq);
    else if (seq > run->next)
        lose_place(p, u, seq);
    if (same)
        take_numbers(p, u);
    p->asked = (struct pull_asked){0};
    pull_look_at_past(p);
    tell_lost(p, u);
    return 0;
}

/* The first frame of the coming link: from now on it is the source. */
static void promote(struct pull *p, struct upstream *u)
{
    if (u != p->coming)
        return;
    log_info(&p->log, "pull.switch stream=%s from=%s to=%s", p->feed->name, p->current->peer.node,
             u->peer.node);
    upstream_close(&p->current);
    p->current = p->coming;
    p->coming = NULL;
}

static int on_frame(struct upstream *u, struct frame **f, void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    if (u->fresh) {
        int err = begin_run(p, u, (*f)->seq);
        if (err < 0)
            return err;
        promote(p, u);
        pull_judge(p);
    }
    const struct run *run = log_newest(p->feed->log);
    if ((*f)->seq > run->next)
        return ERR_PROTOCOL;
    if ((*f)->seq < run->next)
        return 0; /* held already: the link began before our place */
    feed_append(p->feed, *f);
    *f = NULL;
    pull_ask_past(p);
    return 0;
}

/* --- states --- */

/* Told by the owner itself, not by a node between. */
static void tell_owner(struct pull *p, struct upstream *u)
{
    const struct run_origin *o = u->run.origin;
    struct cluster_owner owner = u->owner;
    if (u->via)
        return;
    owner.epoch = u->run.epoch;
    owner.instance = o->instance;
    owner.found = true;
    owner.lost = u->run.lost;
    owner.from_directory = false;
    owner.regressed_us = 0;
    if (strcmp(o->path, owner.node) != 0 || !cluster_owner_higher(&owner, &u->owner))
        return;
    u->owner.epoch = owner.epoch;
    u->owner.instance = owner.instance;
    if (cluster_owner_higher(&owner, &p->owner))
        p->owner = owner;
    p->ops->on_owner(p, &owner, p->arg);
}

static int on_state(struct upstream *u, void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    struct run *run = log_newest(p->feed->log);
    if (is_stale(p, u))
        return ERR_RANGE;
    tell_owner(p, u);
    if (u != p->current) {
        (void)pull_judge_coming(p);
        return 0;
    }
    timer_stop(&p->hold);
    if (run != NULL && !run->ended && pull_compare(u, run) == 0) {
        take_numbers(p, u);
        tell_lost(p, u);
    }
    pull_judge(p);
    return 0;
}

/* --- losing the link --- */

/* The present link is of no use: a coming one takes its place before it has delivered, and a parent
 * is left for the owner. */
static void give_way(struct pull *p)
{
    if (p->coming == NULL && !p->current->via)
        return;
    upstream_close(&p->current);
    p->current = p->coming != NULL ? p->coming : pull_link(p, NULL);
    p->coming = NULL;
    timer_stop(&p->doubt);
}

static void hold_viewers(struct pull *p)
{
    feed_lost(p->feed);
    if (p->feed->state == FEED_LOST && !timer_is_set(&p->hold))
        timer_set_ms(&p->hold, p->worker->config->viewer.hold_ms);
}

static void on_down(struct upstream *u, enum close_reason why, void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    if (u == p->coming && pull_give_up_trial(p))
        return;
    if (u == p->current) {
        give_way(p);
        hold_viewers(p);
    }
    p->ops->on_down(p, p->arg);
}

static enum close_reason end_reason(enum relay_end_reason reason, struct slice text)
{
    if (reason == RELAY_END_KICKED)
        return CLOSE_KICKED;
    return slice_is(text, close_reason_name(CLOSE_SOURCE_LOST)) ? CLOSE_SOURCE_LOST
                                                                : CLOSE_UNPUBLISHED;
}

/* A parent's word for the end counts when it is the owner's: not that it lost sight of the stream,
 * nor that a run is over which has a successor. */
static bool has_moved(const struct pull *p, const struct upstream *u, enum relay_end_reason reason,
                      struct slice text)
{
    if (reason == RELAY_END_MOVED || reason == RELAY_END_DRAIN)
        return true;
    return u->via && (end_reason(reason, text) == CLOSE_SOURCE_LOST || pull_is_behind(p, u));
}

/* True when the run is the sender's own. */
static bool is_owners(const struct upstream *u)
{
    return u->run.origin != NULL && strcmp(u->run.origin->path, u->peer.node) == 0;
}

static void on_over(struct upstream *u, enum relay_end_reason reason, struct slice text, void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    bool moved = has_moved(p, u, reason, text);
    if (u == p->coming && pull_give_up_trial(p))
        return;
    if (u == p->current && (moved || p->coming != NULL)) {
        upstream_retry(u);
        on_down(u, CLOSE_FENCED, p);
        return;
    }
    if (u == p->coming && (moved || (p->current != NULL && p->current->up))) {
        upstream_retry(u);
        return;
    }
    if (log_newest(p->feed->log) != NULL)
        feed_end(p->feed, end_reason(reason, text));
    end(p, is_owners(u) ? PULL_STREAM_ENDED : PULL_HEARSAY_END);
}

static bool place(const struct upstream *u, uint64_t *epoch, uint64_t *seq, void *arg)
{
    const struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    const struct run *run = log_newest(p->feed->log);
    uint64_t wanted = u->run.epoch > u->owner.epoch ? u->run.epoch : u->owner.epoch;
    if (run == NULL || run->ended || wanted < run->epoch)
        return false;
    *epoch = wanted;
    *seq = wanted == run->epoch ? run->next : 1; /* a run that follows is wanted whole */
    return true;
}

static const struct upstream_ops upstream_ops = {on_state, on_frame, on_over, on_down, place};

struct upstream *pull_link(struct pull *p, const struct upstream_peer *parent)
{
    struct upstream_peer owner = upstream_peer_of(&p->owner);
    struct upstream *u = upstream_open(p->worker, p->client, p->feed->name, &p->owner,
                                       parent != NULL ? parent : &owner, &upstream_ops, p);
    if (u->via)
        timer_set_ms(&p->doubt, PULL_BEGIN_MS);
    return u;
}

/* --- the feed's wishes --- */

static void on_displaced(struct feed_source *s, enum close_reason why)
{
    struct pull *p = container_of(s, struct pull, source);
    end(p, PULL_DISPLACED);
    p->why = PULL_DISPLACED; /* also of one that has just ended: the feed is another's by now */
}

static void on_wanted(struct feed_source *s, bool wanted)
{
    struct pull *p = container_of(s, struct pull, source);
    if (p->ended)
        return;
    if (wanted)
        timer_stop(&p->idle);
    else
        timer_set_ms(&p->idle, p->worker->config->stream.idle_pull_ms);
}

/* --- for the resolver --- */

struct pull *pull_open(struct feed *f, const struct relay_client *client,
                       const struct cluster_owner *owner, const struct upstream_peer *parent,
                       const struct pull_ops *ops, void *arg)
{
    static const struct feed_source_ops source_ops = {on_displaced, on_wanted, pull_want_key,
                                                      pull_want_past};
    struct pull *p = xcalloc(1, sizeof *p);
    p->magic = PULL_MAGIC;
    p->source = (struct feed_source){.ops = &source_ops, .kind = "pull"};
    p->feed = f;
    p->worker = f->worker;
    p->client = client;
    p->ops = ops;
    p->arg = arg;
    p->owner = *owner;
    p->log = (struct log_id){"pull", p->worker->index, log_new_id()};
    timer_init(&p->idle, p->worker, "pull.idle", on_idle, p);
    timer_init(&p->hold, p->worker, "pull.hold", on_hold, p);
    timer_init(&p->doubt, p->worker, "pull.doubt", pull_on_doubt, p);
    task_init(&p->end, on_end_task, p);
    timer_set_ms(&p->idle, p->worker->config->stream.idle_pull_ms);
    p->current = pull_link(p, parent);
    METRIC_ADD(p->worker->metrics.pulls, 1);
    hub_take_seat(f->hub, f->name, false, &p->seat);
    log_info(&p->log, "pull.start stream=%s owner=%s node=%s addr=%s epoch=%" PRIu64, f->name,
             owner->node, p->current->peer.node, p->current->peer.address, owner->epoch);
    if (f->state == FEED_LIVE || f->state == FEED_LOST)
        hold_viewers(p);
    feed_attach_source(f, &p->source);
    return p;
}

void pull_free(struct pull **pp)
{
    struct pull *p = *pp;
    *pp = NULL;
    if (p == NULL)
        return;
    OBJ_CHECK(p, PULL_MAGIC);
    p->ended = true;
    release(p);
    METRIC_ADD(p->worker->metrics.pulls, -1);
    hub_leave_seat(p->feed->hub, &p->seat);
    timer_fini(&p->idle);
    timer_fini(&p->hold);
    timer_fini(&p->doubt);
    task_cancel(&p->end);
    feed_detach_source(&p->source);
    OBJ_POISON(p);
    free(p);
}

bool pull_is_linked(const struct pull *p)
{
    return !p->ended && (p->current->up || (p->coming != NULL && p->coming->up));
}

void pull_tell_owner(struct pull *p)
{
    if (pull_is_linked(p))
        p->ops->on_owner(p, &p->owner, p->arg);
}
