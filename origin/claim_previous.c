/*
 *   grant ──?before=EPOCH──▶ owner before ──its last runs──▶ decide: go on
 *                               └──refused, silent──▶ decide: jump
 *
 * Our own frames go out meanwhile.  On the home worker.
 */
#include "origin/claim_internal.h"

#include "base/obj.h"

#include <inttypes.h>

static void on_late(void *arg);
static void on_nobody(void *arg);

void claim_previous_init(struct claim *cl)
{
    timer_init(&cl->hand_over, cl->table->worker, "claim.hand_over", on_nobody, cl);
    timer_init(&cl->previous.by, cl->table->worker, "claim.previous", on_late, cl);
}

static void drop(struct claim *cl)
{
    struct claim_previous *p = &cl->previous;
    past_cancel(&p->past);
    timer_stop(&p->by);
    claim_others_drop(cl);
    for (size_t i = 0; i < p->count; i++)
        past_block_fini(&p->blocks[i]);
    p->count = 0;
    p->epoch = p->msn = p->dsn = p->best_seq = 0;
    p->asking = false;
}

void claim_previous_fini(struct claim *cl)
{
    drop(cl);
    timer_fini(&cl->previous.by);
    timer_fini(&cl->hand_over);
}

static void finish(struct claim *cl)
{
    struct claim_previous *p = &cl->previous;
    past_cancel(&p->past);
    timer_stop(&p->by);
    claim_others_drop(cl);
    p->asking = false;
    p->epoch = p->count > 0 ? p->blocks[0].epoch : 0;
    log_info(&cl->log, "claim.previous stream=%s node=%s epoch=%" PRIu64 " runs=%zu", cl->name,
             p->owner.node, p->epoch, p->count);
    claim_cut_decide(cl);
}

static void on_late(void *arg)
{
    finish(OBJ_CAST(struct claim, arg, CLAIM_MAGIC));
}

void claim_previous_give_up(struct claim *cl)
{
    if (cl->previous.asking)
        finish(cl);
}

/* Segments that begin in the block. */
static uint64_t segments_of(const struct past_block *b)
{
    uint64_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        n += b->frames[i]->cut != NULL && b->frames[i]->cut->part == 0;
    return n;
}

/* The run before is wanted, too: what has come is less than what stays fetchable. */
static bool wants_more(const struct claim_previous *p)
{
    const struct cut_plan *plan = &p->blocks[p->count - 1].plan;
    uint64_t segments = 0;
    for (size_t i = 0; i < p->count; i++)
        segments += segments_of(&p->blocks[i]);
    return plan->previous_epoch != 0 && p->count < LOG_RUNS_MAX - 1 &&
           segments < log_kept_segments(plan);
}

static void on_block(struct past_block *block, void *arg);

static void ask(struct claim *cl, const struct past_options *what)
{
    struct claim_previous *p = &cl->previous;
    struct past_options o = *what;
    o.client = cl->table->client;
    o.node = p->holder != NULL ? p->holder->node : p->owner.node;
    o.address = p->holder != NULL ? p->holder->address : p->owner.address;
    o.name = cl->name;
    o.bytes_max = cl->feed->log->limits.window_bytes;
    p->past = past_start(cl->table->worker, &o, on_block, cl);
}

static void ask_more(struct claim *cl, const struct cut_plan *plan)
{
    ask(cl, &(struct past_options){.epoch = plan->previous_epoch, .to = plan->previous_last_seq});
}

static void on_block(struct past_block *block, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    struct claim_previous *p = &cl->previous;
    bool came = block->count > 0;
    p->past = NULL;
    if (came)
        past_block_take(&p->blocks[p->count++], block);
    if (came && wants_more(p))
        ask_more(cl, &p->blocks[p->count - 1].plan);
    else
        claim_previous_answered(cl);
}

void claim_previous_answered(struct claim *cl)
{
    struct claim_previous *p = &cl->previous;
    if (!p->asking || p->past != NULL || (p->others_left > 0 && p->count == 0))
        return;
    if (p->count > 0 || p->best == NULL || p->holder != NULL) {
        finish(cl);
        return;
    }
    p->holder = p->best;
    ask(cl, &(struct past_options){.epoch = p->owner.epoch, .to = p->best_seq});
}

/* All of it is here already, by its owner's word. */
static bool is_held(const struct claim *cl, const struct cluster_owner *owner)
{
    const struct run *run = claim_cut_last(cl);
    return run != NULL && run->epoch == owner->epoch && run_is_whole(run);
}

static void on_known(struct past_block *block, void *arg)
{
    OBJ_CAST(struct claim, arg, CLAIM_MAGIC)->previous.past = NULL;
}

/* Nothing is needed of it, which a node that leaves waits to hear. */
static void let_go(struct claim *cl)
{
    struct claim_previous *p = &cl->previous;
    const struct past_options o = {.client = cl->table->client,
                                   .node = p->owner.node,
                                   .address = p->owner.address,
                                   .name = cl->name,
                                   .before = cl->epoch};
    p->past = past_start(cl->table->worker, &o, on_known, cl);
}

/* Our own run was the last. */
static bool is_back(const struct claim *cl, const struct cluster_owner *owner)
{
    return owner->found && owner->instance == cluster_self(cl->table->cluster)->instance &&
           claim_cut_last(cl) != NULL;
}

void claim_previous_ask(struct claim *cl, const struct cluster_owner *owner, bool is_forgotten)
{
    struct claim_previous *p = &cl->previous;
    struct claims *t = cl->table;
    drop(cl);
    p->owner = *owner;
    p->owner.found = owner->found && owner->instance != cluster_self(t->cluster)->instance;
    if (p->owner.found && is_held(cl, owner)) {
        p->epoch = owner->epoch;
        if (t->client != NULL)
            let_go(cl);
    }
    if (p->epoch != 0 || t->client == NULL || is_back(cl, owner) ||
        (!p->owner.found && !is_forgotten))
        return;
    p->asking = true;
    timer_set_ms(&p->by, CLAIM_PREVIOUS_MS);
    claim_others_ask(cl);
    if (p->owner.found)
        ask(cl, &(struct past_options){.before = cl->epoch});
}

void claim_previous_adopt(struct claim *cl)
{
    struct claim_previous *p = &cl->previous;
    for (size_t i = 0; i < p->count; i++) {
        const struct log_older older = past_block_older(&p->blocks[i]);
        if (older.count > 0)
            (void)feed_adopt(cl->feed, &older);
        p->blocks[i].count = 0;
        past_block_fini(&p->blocks[i]);
    }
    p->count = 0;
}

/* The claim stays until then, and with it the node. */
void claim_hand_over(struct claim *cl)
{
    const struct run *run = log_newest(cl->feed->log);
    bool is_cut = run != NULL && run->origin == NULL && run_newest_part(run) != NULL;
    if (!is_cut || cl->table->client == NULL || timer_is_set(&cl->hand_over))
        return;
    cl->pending++;
    timer_set_ms(&cl->hand_over, cl->table->worker->config->stream.lost_ms);
}

void claim_handed_over(struct claim *cl)
{
    if (!timer_is_set(&cl->hand_over))
        return;
    timer_stop(&cl->hand_over);
    cl->pending--;
    claim_settle(cl);
}

static void on_nobody(void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    cl->pending--;
    claim_settle(cl);
}
