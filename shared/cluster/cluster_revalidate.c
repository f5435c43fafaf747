/*
 * After a time in which others may have taken us for dead: all who ask wait for one look at the
 * directory, and not for long.  On the cluster's worker.
 */
#include "cluster/cluster_internal.h"

#include "base/obj.h"

void cluster_backend_revalidated(struct cluster *c)
{
    struct cluster_request *r;
    timer_stop(&c->revalidate);
    while ((r = LIST_FIRST(&c->revalidations, struct cluster_request, waiting)) != NULL) {
        list_remove(&r->waiting);
        cluster_request_answer(r);
    }
}

static void on_revalidate_time(void *arg)
{
    struct cluster *c = OBJ_CAST(struct cluster, arg, CLUSTER_MAGIC);
    log_warn(&c->log, "cluster.unconfirmed claims=%zu ms=%d", map_count(c->held),
             CLUSTER_REVALIDATE_MS);
    cluster_backend_revalidated(c);
}

static void run_revalidate(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    if (c->closing || map_count(c->held) == 0) {
        cluster_request_answer(r);
        return;
    }
    bool is_first = list_empty(&c->revalidations);
    list_append(&c->revalidations, &r->waiting);
    if (!is_first)
        return;
    timer_set_ms(&c->revalidate, CLUSTER_REVALIDATE_MS);
    c->backend->revalidate(c->state);
}

static void finish_revalidate(struct cluster_request *r)
{
    r->done.plain(r->arg);
}

void cluster_revalidate(struct cluster *c, struct worker *caller, void (*done)(void *arg),
                        void *arg)
{
    struct cluster_request *r = cluster_request_new(c, NULL, run_revalidate);
    r->caller = caller;
    r->finish = finish_revalidate;
    r->done.plain = done;
    r->arg = arg;
    cluster_request_send(r);
}

void cluster_revalidate_init(struct cluster *c)
{
    list_init(&c->revalidations);
    timer_init(&c->revalidate, c->worker, "cluster.revalidate", on_revalidate_time, c);
}
