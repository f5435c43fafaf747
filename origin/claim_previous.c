/*
 *   grant ──?before=EPOCH──▶ owner before ──its last runs──▶ decide: go on
 *                               └──refused, silent──▶ decide: jump
 *
 * Our own frames go out meanwhile.  On the home worker.
 */
#include "origin/claim_internal.h"

#include "base/mem.h"
#include "base/obj.h"

#include <inttypes.h>
#include <stdlib.h>

static void on_late(void *arg);
static void on_nobody(void *arg);

void claim_previous_init(struct claim *cl)
{
    timer_init(&cl->hand_over, cl->table->worker, "claim.hand_over", on_nobody, cl);
}

static struct claim_search *search_new(struct claim *cl, const struct cluster_owner *owner)
{
    struct claim_search *s = xcalloc(1, sizeof *s);
    s->owner = *owner;
    timer_init(&s->by, cl->table->worker, "claim.previous", on_late, cl);
    return s;
}

static void search_free(struct claim_search **sp)
{
    struct claim_search *s = *sp;
    *sp = NULL;
    if (s == NULL)
        return;
    past_cancel(&s->past);
    timer_fini(&s->by);
    claim_others_drop(s);
    for (size_t i = 0; i < s->count; i++)
        past_block_fini(&s->blocks[i]);
    free(s);
}

/* Nothing is under way, and nothing waits for our run. */
static void drop_idle(struct claim_previous *p)
{
    if (p->search != NULL && !p->asking && p->search->past == NULL && p->search->count == 0)
        search_free(&p->search);
}

void claim_previous_fini(struct claim *cl)
{
    search_free(&cl->previous.search);
    timer_fini(&cl->hand_over);
}

static void finish(struct claim *cl)
{
    struct claim_previous *p = &cl->previous;
    struct claim_search *s = p->search;
    past_cancel(&s->past);
    timer_stop(&s->by);
    claim_others_drop(s);
    p->asking = false;
    p->epoch = s->count > 0 ? s->blocks[0].epoch : 0;
    log_info(&cl->log, "claim.previous stream=%s node=%s epoch=%" PRIu64 " runs=%zu", cl->name,
             s->owner.node, p->epoch, s->count);
    claim_cut_decide(cl);
    drop_idle(p);
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
static bool wants_more(const struct claim_search *s)
{
    const struct cut_plan *plan = &s->blocks[s->count - 1].plan;
    uint64_t segments = 0;
    for (size_t i = 0; i < s->count; i++)
        segments += segments_of(&s->blocks[i]);
    return plan->previous_epoch != 0 && s->count < LOG_RUNS_MAX - 1 &&
           segments < log_kept_segments(plan);
}

static void on_block(struct past_block *block, void *arg);

static void ask(struct claim *cl, const struct past_options *what)
{
    struct claim_search *s = cl->previous.search;
    struct past_options o = *what;
    o.client = cl->table->client;
    o.node = s->holder != NULL ? s->holder->node : s->owner.node;
    o.address = s->holder != NULL ? s->holder->address : s->owner.address;
    o.name = cl->name;
    o.bytes_max = cl->feed->log->limits.window_bytes;
    s->past = past_start(cl->table->worker, &o, on_block, cl);
}

static void ask_more(struct claim *cl, const struct cut_plan *plan)
{
    ask(cl, &(struct past_options){.epoch = plan->previous_epoch, .to = plan->previous_last_seq});
}

static void on_block(struct past_block *block, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    struct claim_search *s = cl->previous.search;
    bool came = block->count > 0;
    s->past = NULL;
    if (came)
        past_block_take(&s->blocks[s->count++], block);
    if (came && wants_more(s))
        ask_more(cl, &s->blocks[s->count - 1].plan);
    else
        claim_previous_answered(cl);
}

void claim_previous_answered(struct claim *cl)
{
    struct claim_search *s = cl->previous.search;
    if (!cl->previous.asking || s->past != NULL || (s->others_left > 0 && s->count == 0))
        return;
    if (s->count > 0 || s->best == NULL || s->holder != NULL) {
        finish(cl);
        return;
    }
    s->holder = s->best;
    ask(cl, &(struct past_options){.epoch = s->owner.epoch, .to = s->best_seq});
}

/* All of it is here already, by its owner's word. */
static bool is_held(const struct claim *cl, const struct cluster_owner *owner)
{
    const struct run *run = claim_cut_last(cl);
    return run != NULL && run->epoch == owner->epoch && run_is_whole(run);
}

static void on_known(struct past_block *block, void *arg)
{
    struct claim_previous *p = &OBJ_CAST(struct claim, arg, CLAIM_MAGIC)->previous;
    p->search->past = NULL;
    drop_idle(p);
}

/* Nothing is needed of it, which a node that leaves waits to hear. */
static void let_go(struct claim *cl, const struct cluster_owner *owner)
{
    struct claim_search *s = search_new(cl, owner);
    const struct past_options o = {.client = cl->table->client,
                                   .node = s->owner.node,
                                   .address = s->owner.address,
                                   .name = cl->name,
                                   .before = cl->epoch};
    s->past = past_start(cl->table->worker, &o, on_known, cl);
    cl->previous.search = s;
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
    search_free(&p->search);
    *p = (struct claim_previous){.found = owner->found &&
                                          owner->instance != cluster_self(t->cluster)->instance};
    if (p->found && is_held(cl, owner)) {
        p->epoch = owner->epoch;
        if (t->client != NULL)
            let_go(cl, owner);
    }
    if (p->epoch != 0 || t->client == NULL || is_back(cl, owner) || (!p->found && !is_forgotten))
        return;
    p->asking = true;
    p->search = search_new(cl, owner);
    timer_set_ms(&p->search->by, CLAIM_PREVIOUS_MS);
    claim_others_ask(cl);
    if (p->found)
        ask(cl, &(struct past_options){.before = cl->epoch});
}

void claim_previous_adopt(struct claim *cl)
{
    struct claim_search *s = cl->previous.search;
    for (size_t i = 0; s != NULL && i < s->count; i++) {
        const struct log_older older = past_block_older(&s->blocks[i]);
        if (older.count > 0)
            (void)feed_adopt(cl->feed, &older);
        s->blocks[i].count = 0;
        past_block_fini(&s->blocks[i]);
    }
    if (s != NULL)
        s->count = 0;
    drop_idle(&cl->previous);
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
