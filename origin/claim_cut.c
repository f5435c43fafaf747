/*
 * The numbers of a claim's runs: a run goes on from the one before, when that is here and nothing
 * came between; else it jumps beyond whatever may have been used.  On the home worker.
 */
#include "origin/claim_internal.h"

#include <inttypes.h>

static struct cut_plan settings_of(const struct claim *cl)
{
    const struct config *c = cl->table->worker->config;
    return (struct cut_plan){.segment_ms = (uint32_t)c->hls.segment_ms,
                             .part_ms = (uint32_t)c->hls.part_ms,
                             .window_segments = (uint32_t)c->hls.window_segments};
}

/* The newest run with segments: one that ended before its first left no trace. */
static const struct run *last_cut(const struct log *l)
{
    const struct run *r = log_newest(l);
    while (r != NULL && r->origin == NULL && run_newest_part(r) == NULL)
        r = log_before(l, r);
    return r;
}

/* The run before was ours, and what it was cut to is what playlists may go on with. */
static bool is_clean(const struct claim *cl, const struct run *before, const struct cut_plan *plan)
{
    if (before == NULL || before->origin != NULL)
        return false;
    const struct run *newest = log_newest(cl->feed->log);
    if (cl->next.msn != CLUSTER_NEXT_NONE && cl->next.epoch > newest->epoch)
        return false;
    return before->plan.segment_ms == plan->segment_ms && before->plan.part_ms == plan->part_ms;
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

static void go_on_from(const struct claim *cl, const struct run *before, struct cut_plan *plan,
                       struct segmenter_options *o)
{
    const struct cut *last = &run_newest_part(before)->cut;
    o->msn = last->msn + 1;
    o->dsn = last->dsn + 1;
    plan->previous_epoch = before->epoch;
    plan->previous_last_seq = before->next - 1;
    plan->base_msn = oldest_msn(cl->feed->log, before);
}

static void jump(const struct claim *cl, const struct run *before, struct cut_plan *plan,
                 struct segmenter_options *o)
{
    uint64_t msn = cl->next.msn > 0 ? (uint64_t)cl->next.msn : 0;
    uint64_t dsn = cl->next.dsn > 0 ? (uint64_t)cl->next.dsn : 0;
    const struct log_part *last = before != NULL ? run_newest_part(before) : NULL;
    if (last != NULL && last->cut.msn > msn)
        msn = last->cut.msn;
    if (last != NULL && last->cut.dsn > dsn)
        dsn = last->cut.dsn;
    o->msn = plan->base_msn = cut_jump(cl->epoch, msn);
    o->dsn = cut_jump_dsn(cl->epoch, dsn);
}

void claim_cut_begin(struct claim *cl, int64_t wall_us, struct cut_plan *plan)
{
    const struct run *before = last_cut(cl->feed->log);
    *plan = settings_of(cl);
    struct segmenter_options o = {
        .segment_ms = plan->segment_ms, .part_ms = plan->part_ms, .wall_us = wall_us};
    if (is_clean(cl, before, plan))
        go_on_from(cl, before, plan, &o);
    else
        jump(cl, before, plan, &o);
    segmenter_fini(&cl->segmenter);
    segmenter_init(&cl->segmenter, &o);
    log_info(&cl->log,
             "claim.numbers stream=%s epoch=%" PRIu64 " msn=%" PRIu64 " previous=%" PRIu64,
             cl->name, cl->epoch, o.msn, plan->previous_epoch);
}

void claim_cut_take(struct claim *cl, struct frame *f)
{
    segmenter_take(&cl->segmenter, f);
}

static void tell_cluster(const struct claim *cl)
{
    cluster_set_next(cl->table->cluster, cl->name, cl->epoch,
                     (int64_t)segmenter_next_msn(&cl->segmenter),
                     (int64_t)segmenter_next_dsn(&cl->segmenter), (int)cl->tracks);
}

static void declare(struct claim *cl, const struct run *run)
{
    const struct segmenter_declared *d = &cl->segmenter.declared;
    if (!d->known || run->plan.peak_bps != 0)
        return;
    struct cut_plan plan = run->plan;
    plan.peak_bps = d->peak_bps;
    plan.average_bps = d->average_bps;
    plan.frame_rate_milli = d->frame_rate_milli;
    feed_set_plan(cl->feed, &plan);
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
