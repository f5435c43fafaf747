/*
 * What readers ask for besides the live flow: a key frame soon, and the past.
 */
#include "edge/pull_internal.h"

#include "base/err.h"
#include "base/obj.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define PULL_WANT_EVERY_US 500000 /* between two requests for a key frame */
#define PULL_WANT_MS       2000   /* how long one may take */

static void ask(struct pull *p, uint64_t epoch, uint64_t to, past_done *done)
{
    const struct past_options o = {
        .client = p->client,
        .node = p->current->peer.node,
        .address = p->current->peer.address,
        .name = p->feed->name,
        .epoch = epoch,
        .to = to,
        .bytes_max = p->feed->log->limits.window_bytes,
    };
    p->past = past_start(p->worker, &o, done, p);
}

struct place {
    uint64_t epoch, last_seq;
};

/* The oldest segment that somebody may ask for: as far back as logs keep frames. */
static uint64_t oldest_wanted(const struct run *newest, const struct log_part *head)
{
    uint64_t kept = log_kept_segments(&newest->plan);
    uint64_t oldest = head->cut.msn > kept ? head->cut.msn - kept : 0;
    return oldest > newest->plan.base_msn ? oldest : newest->plan.base_msn;
}

/* What is wanted is missing before the run's first segment. */
static bool lacks_before(const struct run *r, uint64_t oldest_msn)
{
    const struct log_part *first = run_first_part(r);
    return first != NULL &&
           (first->cut.msn > oldest_msn || (first->cut.msn == oldest_msn && first->cut.part != 0));
}

/* The newest of the runs before that is wanted and not here, or not all of it. */
static bool find_missing(const struct log *l, const struct run *newest, struct place *out)
{
    const struct log_part *head = run_newest_part(newest);
    if (head == NULL)
        return false;
    uint64_t oldest_msn = oldest_wanted(newest, head);
    for (const struct run *r = newest, *before;
         r->plan.previous_epoch != 0 && lacks_before(r, oldest_msn); r = before) {
        *out = (struct place){r->plan.previous_epoch, r->plan.previous_last_seq};
        before = log_previous(l, r);
        if (before == NULL)
            return l->run_count < LOG_RUNS_MAX || log_find(l, out->epoch) != NULL;
        if (before->first > 1 && lacks_before(before, oldest_msn))
            return true;
    }
    return false;
}

static void ask_older(struct pull *p);

static void on_older(struct past_block *block, void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    p->past = NULL;
    if (block->count == 0)
        return;
    const struct log_older older = past_block_older(block);
    block->count = 0;
    int err = feed_adopt(p->feed, &older);
    log_info(&p->log, "pull.older stream=%s epoch=%" PRIu64 " frames=%zu error=\"%s\"",
             p->feed->name, older.epoch, older.count, err_text(err));
    /* What went again at once is too old to be listed. */
    if (err == 0 && log_find(p->feed->log, older.epoch) != NULL)
        ask_older(p);
}

static void ask_older(struct pull *p)
{
    const struct log *l = p->feed->log;
    const struct run *newest = log_newest(l);
    struct place at;
    if (p->ended || newest == NULL || !p->current->up || !find_missing(l, newest, &at) ||
        (p->asked.older != 0 && at.epoch >= p->asked.older))
        return;
    p->asked.older = at.epoch;
    ask(p, at.epoch, at.last_seq, on_older);
}

static void on_past(struct past_block *block, void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    const struct run *run = log_newest(p->feed->log);
    p->past = NULL;
    if (block->count == 0 || run == NULL || run->epoch != block->epoch)
        return;
    size_t count = block->count;
    block->count = 0;
    int err = feed_prepend(p->feed, block->inforce, block->frames, count);
    log_info(&p->log, "pull.past stream=%s frames=%zu error=\"%s\"", p->feed->name, count,
             err_text(err));
    pull_look_at_past(p);
    pull_ask_past(p);
}

void pull_ask_past(struct pull *p)
{
    const struct run *run = log_newest(p->feed->log);
    if (!p->wants_past || p->past != NULL || p->current == NULL || !p->current->up || run == NULL ||
        run->first == run->next || run->epoch != p->current->run.epoch)
        return;
    bool is_asked = p->asked.run == run->epoch && p->asked.first == run->first;
    if (run->first > 1 && !is_asked) {
        p->asked.run = run->epoch;
        p->asked.first = run->first;
        ask(p, run->epoch, run->first - 1, on_past);
    } else if (run_newest_part(run) != NULL && run->plan.segment_ms != 0) {
        ask_older(p);
    } else {
        return;
    }
    p->wants_past = false;
}

void pull_look_at_past(struct pull *p)
{
    p->wants_past = p->past_wanted;
}

static void on_want_end(enum close_reason why, void *owner)
{
    struct pull *p = OBJ_CAST(struct pull, owner, PULL_MAGIC);
    p->want = NULL;
}

void pull_want_key(struct feed_source *s)
{
    static const struct relay_call_ops ops = {.on_end = on_want_end};
    struct pull *p = container_of(s, struct pull, source);
    int64_t now_us = clock_us();
    bool too_soon = p->want_us != 0 && now_us - p->want_us < PULL_WANT_EVERY_US;
    if (p->ended || p->want != NULL || !p->current->up || too_soon)
        return;
    char target[RELAY_CALL_TARGET_MAX];
    snprintf(target, sizeof target, "/relay/v1/%s/want", p->feed->name);
    const struct relay_call_options o = {
        .address = p->current->peer.address,
        .peer = p->current->peer.node,
        .method = "POST",
        .target = target,
        .body = slice_text("{\"key\":true}"),
        .head_deadline_ms = PULL_WANT_MS,
        .idle_ms = PULL_WANT_MS,
    };
    p->want_us = now_us;
    p->want = relay_call_start(p->worker, p->client, &o, &ops, p);
}

void pull_want_past(struct feed_source *s)
{
    struct pull *p = container_of(s, struct pull, source);
    if (p->ended)
        return;
    p->wants_past = p->past_wanted = true;
    pull_ask_past(p);
}
