/*
 * The node's way in: requests about a stream that come from anywhere (the cluster, the API, other
 * nodes) hop to the stream's home worker and back.
 */
#include "origin/ingest.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

struct ingest *ingest_new(struct workers *g, struct hub *hub, struct cluster *cluster)
{
    struct ingest *i = xcalloc(1, sizeof *i);
    i->group = g;
    i->hub = hub;
    i->cluster = cluster;
    i->tables = xcalloc((size_t)g->count, sizeof i->tables[0]);
    for (int k = 0; k < g->count; k++)
        claims_init(&i->tables[k], &g->workers[k], hub, cluster);
    return i;
}

void ingest_set_asker(struct ingest *i, ingest_asker *ask, void *arg)
{
    for (int k = 0; k < i->group->count; k++) {
        i->tables[k].ask = ask;
        i->tables[k].ask_arg = arg;
    }
}

void ingest_set_client(struct ingest *i, const struct relay_client *client)
{
    for (int k = 0; k < i->group->count; k++)
        i->tables[k].client = client;
}

void ingest_carry(struct ingest *i, const struct relay_client *client)
{
    struct workers *g = i->group;
    must(i->carriers == NULL);
    i->carriers = xcalloc((size_t)g->count, sizeof i->carriers[0]);
    for (int k = 0; k < g->count; k++)
        carriers_init(&i->carriers[k], &g->workers[k], i->hub, i->cluster, client);
}

bool ingest_is_draining(struct ingest *i, const struct worker *w)
{
    return ingest_table(i, w)->draining;
}

/* --- about one stream --- */

struct inquiry {
    struct message m;
    struct ingest *ingest;
    struct worker *home, *caller; /* caller NULL: nobody waits */
    bool (*look)(struct claims *t, const struct inquiry *q);
    bool found;
    void (*done)(bool found, void *arg);
    void *arg;
    enum close_reason why;
    uint64_t epoch;
    char name[NAME_STREAM_MAX + 1];
};

static void answer_inquiry(struct message *m)
{
    struct inquiry *q = container_of(m, struct inquiry, m);
    q->done(q->found, q->arg);
    free(q);
}

static void run_inquiry(struct message *m)
{
    struct inquiry *q = container_of(m, struct inquiry, m);
    struct ingest *i = q->ingest;
    q->found = q->look(ingest_table(i, q->home), q);
    hub_unpin(i->hub, q->name);
    if (q->caller == NULL) {
        free(q);
        return;
    }
    q->m.run = answer_inquiry;
    worker_post(q->caller, &q->m);
}

static void send_inquiry(const struct inquiry *template, struct worker *near, const char *name)
{
    struct inquiry *q = xcalloc(1, sizeof *q);
    *q = *template;
    q->m.run = run_inquiry;
    must(slice_copy(slice_text(name), q->name, sizeof q->name));
    q->home = hub_pin(q->ingest->hub, name, near); /* so that it stays there meanwhile */
    worker_post(q->home, &q->m);
}

static bool look_fenced(struct claims *t, const struct inquiry *q)
{
    claims_fenced(t, q->name, q->epoch);
    return true;
}

void ingest_fenced(struct ingest *i, const char *name, uint64_t our_epoch,
                   const struct cluster_owner *owner)
{
    struct inquiry q = {.ingest = i, .look = look_fenced, .epoch = our_epoch};
    send_inquiry(&q, cluster_worker(i->cluster), name);
}

static bool look_handed_over(struct claims *t, const struct inquiry *q)
{
    claims_handed_over(t, q->name);
    return true;
}

void ingest_handed_over(struct ingest *i, const char *name, struct worker *w)
{
    struct inquiry q = {.ingest = i, .look = look_handed_over};
    send_inquiry(&q, w, name);
}

static bool look_kick(struct claims *t, const struct inquiry *q)
{
    return claims_kick(t, q->name, q->why);
}

void ingest_kick(struct ingest *i, struct worker *caller, const char *name, enum close_reason why,
                 void (*done)(bool found, void *arg), void *arg)
{
    struct inquiry q = {.ingest = i,
                        .look = look_kick,
                        .why = why,
                        .caller = done != NULL ? caller : NULL,
                        .done = done,
                        .arg = arg};
    send_inquiry(&q, caller, name);
}

static bool look_yields(struct claims *t, const struct inquiry *q)
{
    return claims_yields(t, q->name);
}

void ingest_yields(struct ingest *i, struct worker *caller, const char *name,
                   void (*done)(bool yields, void *arg), void *arg)
{
    struct inquiry q = {
        .ingest = i, .look = look_yields, .caller = caller, .done = done, .arg = arg};
    send_inquiry(&q, caller, name);
}

/* --- drain --- */

struct drain_part {
    struct message m;
    struct claims_drained drained;
    struct claims *table;
    struct carriers *carriers; /* NULL: it has none */
    struct drain *drain;
};

struct drain {
    struct message m; /* to worker 0 */
    struct worker *back;
    atomic_int left; /* workers that still have claims */
    void (*done)(void *arg);
    void *arg;
    struct drain_part parts[];
};

static void run_done(struct message *m)
{
    struct drain *d = container_of(m, struct drain, m);
    if (d->done != NULL)
        d->done(d->arg);
    free(d);
}

static void on_empty(struct claims_drained *drained)
{
    struct drain *d = container_of(drained, struct drain_part, drained)->drain;
    if (atomic_fetch_sub_explicit(&d->left, 1, memory_order_acq_rel) == 1)
        worker_post(d->back, &d->m);
}

static void run_await(struct message *m)
{
    struct drain_part *part = container_of(m, struct drain_part, m);
    if (part->carriers != NULL)
        carriers_await_empty(part->carriers, &part->drained);
    else
        claims_await_empty(part->table, &part->drained);
}

void ingest_await_empty(struct ingest *i, void (*done)(void *arg), void *arg)
{
    int count = i->group->count;
    struct drain *d = xcalloc(1, sizeof *d + (size_t)count * sizeof d->parts[0]);
    d->m.run = run_done;
    d->back = &i->group->workers[0];
    d->done = done;
    d->arg = arg;
    atomic_init(&d->left, count);
    for (int k = 0; k < count; k++) {
        struct drain_part *part = &d->parts[k];
        *part = (struct drain_part){
            .m.run = run_await, .drained.on_empty = on_empty, .table = &i->tables[k], .drain = d};
        if (i->carriers != NULL)
            part->carriers = &i->carriers[k];
        list_init(&part->drained.node);
    }
    /* The last part may finish, and free it all, once it is posted. */
    for (int k = 0; k < count; k++)
        worker_post(&i->group->workers[k], &d->parts[k].m);
}

void ingest_drain(struct ingest *i, struct worker *w, int64_t grace_ms)
{
    if (i->carriers != NULL)
        carriers_drain(&i->carriers[w->index], grace_ms);
    claims_drain(ingest_table(i, w), grace_ms);
}

void ingest_undrain(struct ingest *i, struct worker *w)
{
    if (i->carriers != NULL)
        carriers_undrain(&i->carriers[w->index]);
    claims_undrain(ingest_table(i, w));
}

/* --- the end --- */

/* Nobody runs messages any more, so a drain that did not finish is not told. */
static void drop_drains(struct list *drains)
{
    struct claims_drained *drained;
    while ((drained = LIST_FIRST(drains, struct claims_drained, node)) != NULL) {
        struct drain *d = container_of(drained, struct drain_part, drained)->drain;
        list_remove(&drained->node);
        if (atomic_fetch_sub_explicit(&d->left, 1, memory_order_acq_rel) == 1)
            free(d);
    }
}

static void free_claims(struct claims *t)
{
    struct contender *c;
    while ((c = LIST_FIRST(&t->contenders, struct contender, node)) != NULL) {
        contender_forget(c);
        publisher_discard(c);
    }
    drop_drains(&t->drains);
    claims_fini(t);
}

static void free_carriers(struct carriers *t)
{
    struct contender *c;
    while ((c = LIST_FIRST(&t->contenders, struct contender, node)) != NULL) {
        carrier_forget(c);
        publisher_discard(c);
    }
    drop_drains(&t->drains);
    carriers_fini(t);
}

void ingest_free(struct ingest **ip)
{
    struct ingest *i = *ip;
    *ip = NULL;
    if (i == NULL)
        return;
    for (int k = 0; k < i->group->count; k++) {
        if (i->carriers != NULL)
            free_carriers(&i->carriers[k]);
        free_claims(&i->tables[k]);
    }
    free(i->carriers);
    free(i->tables);
    free(i);
}
