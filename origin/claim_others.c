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
    cl->previous.others_left--;
    claim_previous_answered(cl);
}

static void on_probed(const struct probe_answer *a, void *arg)
{
    struct claim_other *o = arg;
    struct claim_previous *p = &o->claim->previous;
    o->probe = NULL;
    bool counts = a->is_cut && a->msn <= CUT_NUMBER_MAX && a->dsn <= CUT_NUMBER_MAX;
    if (counts && a->msn > p->msn)
        p->msn = a->msn;
    if (counts && a->dsn > p->dsn)
        p->dsn = a->dsn;
    if (counts && p->owner.found && a->epoch == p->owner.epoch && a->last_seq > p->best_seq) {
        p->best = o;
        p->best_seq = a->last_seq;
    }
    answered(o->claim);
}

static void ask(struct claim *cl, const struct cluster_node *nodes, size_t count)
{
    struct claim_previous *p = &cl->previous;
    const struct claims *t = cl->table;
    size_t asked = 0;
    for (size_t i = 0; i < count && asked < CLAIM_OTHERS_MAX; i++) {
        if (strcmp(nodes[i].id, cluster_self(t->cluster)->node) == 0 ||
            (p->owner.found && strcmp(nodes[i].id, p->owner.node) == 0))
            continue;
        struct claim_other *o = &p->others[asked++];
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
        p->others_left++;
    }
}

/* The list itself is one of those that are waited for. */
static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    cl->pending--;
    if (cl->previous.asking && !cl->previous.others_listed && cl->previous.others_left > 0) {
        cl->previous.others_listed = true;
        ask(cl, nodes, count);
        answered(cl);
    }
    claim_settle(cl);
}

void claim_others_ask(struct claim *cl)
{
    const struct claims *t = cl->table;
    cl->pending++;
    cl->previous.others_left = 1;
    cl->previous.others_listed = false;
    if (cluster_is_up(t->cluster))
        cluster_nodes(t->cluster, t->worker, on_nodes, cl);
    else
        cluster_known_nodes(t->cluster, t->worker, on_nodes, cl);
}

void claim_others_drop(struct claim *cl)
{
    for (size_t i = 0; i < CLAIM_OTHERS_MAX; i++)
        probe_cancel(&cl->previous.others[i].probe);
    cl->previous.others_left = 0;
    cl->previous.best = cl->previous.holder = NULL;
}
