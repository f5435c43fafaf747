/*
 * known nodes ──probe──▶ how far each has the stream before us ──▶ the highest numbers,
 *                                                                  who has most of its last run
 *
 * On the home worker.
 */
#include "origin/claim_internal.h"

#include "base/must.h"
#include "base/obj.h"

#include <string.h>

static void answered(struct claim *cl)
{
    cl->previous.search->others_left--;
    claim_previous_answered(cl);
}

static void on_probed(const struct probe_answer *a, void *arg)
{
    struct claim_other *o = arg;
    struct claim_previous *p = &o->claim->previous;
    struct claim_search *s = p->search;
    o->probe = NULL;
    bool counts = a->is_cut && a->msn <= CUT_NUMBER_MAX && a->dsn <= CUT_NUMBER_MAX;
    if (counts && a->msn > p->msn)
        p->msn = a->msn;
    if (counts && a->dsn > p->dsn)
        p->dsn = a->dsn;
    if (counts && p->found && a->epoch == s->owner.epoch && a->last_seq > s->best_seq) {
        s->best = o;
        s->best_seq = a->last_seq;
    }
    answered(o->claim);
}

static void ask(struct claim *cl, const struct cluster_node *nodes, size_t count)
{
    const struct claim_previous *p = &cl->previous;
    struct claim_search *s = p->search;
    const struct claims *t = cl->table;
    size_t asked = 0;
    for (size_t i = 0; i < count && asked < CLAIM_OTHERS_MAX; i++) {
        if (strcmp(nodes[i].id, cluster_self(t->cluster)->node) == 0 ||
            (p->found && strcmp(nodes[i].id, s->owner.node) == 0))
            continue;
        struct claim_other *o = &s->others[asked++];
        o->claim = cl;
        must(slice_copy(slice_text(nodes[i].id), o->node, sizeof o->node) &&
             slice_copy(slice_text(nodes[i].address), o->address, sizeof o->address));
        const struct probe_options options = {.client = t->client,
                                              .node = o->node,
                                              .address = o->address,
                                              .name = cl->name,
                                              .before = cl->epoch,
                                              .deadline_ms = CLAIM_PREVIOUS_MS};
        o->probe = probe_start(t->worker, &options, on_probed, o);
        s->others_left++;
    }
}

/* The list itself is one of those that are waited for. */
static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    struct claim_search *s = cl->previous.search;
    cl->pending--;
    if (cl->previous.asking && !s->others_listed && s->others_left > 0) {
        s->others_listed = true;
        ask(cl, nodes, count);
        answered(cl);
    }
    claim_settle(cl);
}

void claim_others_ask(struct claim *cl)
{
    const struct claims *t = cl->table;
    cl->pending++;
    cl->previous.search->others_left = 1;
    cl->previous.search->others_listed = false;
    if (cluster_is_up(t->cluster))
        cluster_nodes(t->cluster, t->worker, on_nodes, cl);
    else
        cluster_known_nodes(t->cluster, t->worker, on_nodes, cl);
}

void claim_others_drop(struct claim_search *s)
{
    for (size_t i = 0; i < CLAIM_OTHERS_MAX; i++)
        probe_cancel(&s->others[i].probe);
    s->others_left = 0;
    s->best = s->holder = NULL;
}
