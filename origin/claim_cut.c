/*
 * The numbers of a claim's runs: a run goes on from the one before, when all of that is here and
 * nothing came between; else it jumps beyond whatever may have been used.  The run may be open for
 * a while before that is known: its cuts count from its first segment.  On the home worker.
 */
#include "origin/claim_internal.h"

#include <inttypes.h>
#include <string.h>

static struct cut_plan settings_of(const struct claim *cl)
{
    const struct config *c = cl->table->worker->config;
    return (struct cut_plan){.segment_ms = (uint32_t)c->hls.segment_ms,
                             .part_ms = (uint32_t)c->hls.part_ms,
                             .window_segments = (uint32_t)c->hls.window_segments};
}

const struct run *claim_cut_last(const struct claim *cl)
{
    const struct log *l = cl->feed->log;
    const struct run *r = log_newest(l);
    while (r != NULL &&
           (r->epoch >= cl->epoch || (r->origin == NULL && run_newest_part(r) == NULL)))
        r = log_before(l, r);
    return r;
}

/* Nobody had the stream between that run and ours. */
static bool is_last(const struct claim *cl, const struct run *before)
{
    const struct claim_previous *p = &cl->previous;
    if (p->found)
        return before->epoch == p->epoch;
    return before->origin == NULL &&
           (cl->next.msn == CLUSTER_NEXT_NONE || cl->next.epoch <= cl->last_epoch);
}

/* What it was cut to is what playlists may go on with. */
/* What its owner told is what we could have told ourselves. */
static bool is_sound(const struct run *before, const struct cut_plan *plan)
{
    const struct cut_plan *had = &before->plan;
    const struct cut *last = &run_newest_part(before)->cut;
    int64_t target_us = had->part_target_us;
    bool fits = target_us == 0 || (target_us >= (int64_t)plan->part_ms * 1000 &&
                                   target_us <= (int64_t)plan->segment_ms * 2000);
    return had->segment_ms == plan->segment_ms && had->part_ms == plan->part_ms && fits &&
           last->msn <= CUT_NUMBER_BEGIN && last->dsn <= CUT_NUMBER_BEGIN;
}

static bool is_clean(const struct claim *cl, const struct run *before, const struct cut_plan *plan)
{
    if (before == NULL || !run_is_whole(before) || run_newest_part(before) == NULL ||
        !is_last(cl, before))
        return false;
    return is_sound(before, plan);
}

/* The oldest segment of the run and of those that it goes on from, as many as a log will hold with
 * one more. */
static uint64_t oldest_msn(const struct log *l, const struct run *run)
{
    uint64_t msn = run_newest_part(run)->cut.msn;
    for (int i = 1; run != NULL && i < LOG_RUNS_MAX; i++) {
        const struct log_part *first = run_first_part(run);
        if (first == NULL)
            break;
        msn = first->cut.part == 0 ? first->cut.msn : first->cut.msn + 1;
        run = log_previous(l, run);
    }
    return msn;
}

static void go_on_from(struct claim *cl, const struct run *before, struct cut_plan *plan)
{
    const struct cut *last = &run_newest_part(before)->cut;
    plan->first_msn = last->msn + 1;
    plan->first_dsn = last->dsn + 1;
    plan->previous_epoch = before->epoch;
    plan->previous_last_seq = before->next - 1;
    plan->base_msn = oldest_msn(cl->feed->log, before);
    plan->peak_bps = before->plan.peak_bps;
    plan->average_bps = before->plan.average_bps;
    plan->frame_rate_milli = before->plan.frame_rate_milli;
    plan->part_target_us = before->plan.part_target_us;
    plan->rate_count = before->plan.rate_count;
    memcpy(plan->rates, before->plan.rates, sizeof plan->rates);
    if (plan->part_target_us > 0)
        cl->segmenter.part_target_us = plan->part_target_us;
}

/* Other nodes' numbers count as far as anybody could go on from them. */
static void raise(uint64_t *to, uint64_t number)
{
    if (number > *to && number <= CUT_NUMBER_BEGIN)
        *to = number;
}

static void jump(const struct claim *cl, const struct run *before, struct cut_plan *plan)
{
    uint64_t msn = 0, dsn = 0;
    const struct log_part *last = before != NULL ? run_newest_part(before) : NULL;
    if (cl->next.msn > 0)
        raise(&msn, (uint64_t)cl->next.msn);
    if (cl->next.dsn > 0)
        raise(&dsn, (uint64_t)cl->next.dsn);
    if (last != NULL) {
        raise(&msn, last->cut.msn);
        raise(&dsn, last->cut.dsn);
    }
    raise(&msn, cl->previous.msn);
    raise(&dsn, cl->previous.dsn);
    plan->first_msn = plan->base_msn = cut_jump(cl->epoch, msn);
    plan->first_dsn = cut_jump_dsn(cl->epoch, dsn);
}

void claim_cut_begin(struct claim *cl, int64_t wall_us)
{
    const struct cut_plan plan = settings_of(cl);
    const struct segmenter_options o = {
        .segment_ms = plan.segment_ms, .part_ms = plan.part_ms, .wall_us = wall_us};
    const struct run *newest = log_newest(cl->feed->log);
    cl->last_epoch = newest != NULL ? newest->epoch : 0;
    segmenter_fini(&cl->segmenter);
    segmenter_init(&cl->segmenter, &o);
    cl->declared = false;
}

void claim_cut_take(struct claim *cl, struct frame *f)
{
    segmenter_take(&cl->segmenter, f);
}

static void tell_cluster(const struct claim *cl)
{
    const struct cut_plan *plan = &log_newest(cl->feed->log)->plan;
    if (plan->segment_ms == 0)
        return;
    cluster_set_next(cl->table->cluster, cl->name, cl->epoch,
                     (int64_t)(plan->first_msn + segmenter_next_msn(&cl->segmenter)),
                     (int64_t)(plan->first_dsn + segmenter_next_dsn(&cl->segmenter)),
                     (int)cl->tracks);
}

/* All of it is known when the first segment has ended; until then what the run goes on from was
 * declared with holds. */
static void declare(struct claim *cl, const struct run *run)
{
    const struct segmenter_declared *d = &cl->segmenter.declared;
    struct cut_plan plan = run->plan;
    if (d->rate_count == 0 || cl->declared || plan.segment_ms == 0)
        return;
    cl->declared = true;
    plan.peak_bps = d->peak_bps;
    plan.average_bps = d->average_bps;
    plan.frame_rate_milli = d->frame_rate_milli;
    plan.part_target_us = (uint32_t)cl->segmenter.part_target_us;
    plan.rate_count = d->rate_count;
    memcpy(plan.rates, d->rates, sizeof plan.rates);
    feed_set_plan(cl->feed, &plan);
}

void claim_cut_decide(struct claim *cl)
{
    const struct run *run = log_newest(cl->feed->log);
    if (cl->previous.asking || run == NULL || run->epoch != cl->epoch || run->plan.segment_ms != 0)
        return;
    claim_previous_adopt(cl);
    const struct run *before = claim_cut_last(cl);
    struct cut_plan plan = settings_of(cl);
    if (is_clean(cl, before, &plan))
        go_on_from(cl, before, &plan);
    else
        jump(cl, before, &plan);
    feed_set_plan(cl->feed, &plan);
    log_info(&cl->log,
             "claim.numbers stream=%s epoch=%" PRIu64 " msn=%" PRIu64 " previous=%" PRIu64,
             cl->name, cl->epoch, plan.first_msn, plan.previous_epoch);
    if (run_newest_part(run) == NULL)
        return;
    declare(cl, run);
    tell_cluster(cl);
}

void claim_cut_tell(struct claim *cl, const struct frame *f)
{
    const struct run *run = log_newest(cl->feed->log);
    bool segment = f->cut != NULL && f->cut->part == 0;
    if (segment)
        declare(cl, run);
    if (!segment && run->track_count == cl->tracks)
        return;
    cl->tracks = run->track_count;
    tell_cluster(cl);
}
