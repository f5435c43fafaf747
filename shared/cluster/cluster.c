/*
 * The cluster's front: any worker asks, the cluster's worker does.
 *
 *   caller's worker        cluster's worker                         caller's worker
 *   cluster_verb()  --->   request->run() -> backend -> answer --->  request->finish() -> done()
 *
 * Each request is one heap object that is posted there and back, so its callback comes exactly once
 * and never from inside the call.  This file: lifetime, requests on their way, messages to nodes.
 */
#include "cluster/cluster_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const verdict_names[] = {
    [CLAIM_GRANTED] = "granted",
    [CLAIM_UNREGISTERED] = "unregistered",
    [CLAIM_BUSY] = "busy",
    [CLAIM_HOLD] = "hold",
};

const char *claim_verdict_name(enum claim_verdict v)
{
    return verdict_names[v];
}

void cluster_request_free(struct cluster_request **rp)
{
    struct cluster_request *r = *rp;
    *rp = NULL;
    if (r == NULL)
        return;
    free(r->nodes);
    free(r);
}

static void arrive_cluster(struct message *m)
{
    struct cluster_request *r = container_of(m, struct cluster_request, message);
    OBJ_CHECK(r->cluster, CLUSTER_MAGIC);
    r->run(r);
}

static void arrive_caller(struct message *m)
{
    struct cluster_request *r = container_of(m, struct cluster_request, message);
    r->finish(r);
    cluster_request_free(&r);
}

struct cluster_request *cluster_request_new(struct cluster *c, const char *name,
                                            void (*run)(struct cluster_request *r))
{
    struct cluster_request *r = xcalloc(1, sizeof *r);
    r->message.run = arrive_cluster;
    r->cluster = c;
    r->run = run;
    if (name != NULL)
        must(slice_copy(slice_text(name), r->claim.name, sizeof r->claim.name));
    return r;
}

void cluster_request_send(struct cluster_request *r)
{
    worker_post(r->cluster->worker, &r->message);
}

void cluster_request_answer(struct cluster_request *r)
{
    if (r->caller == NULL) {
        cluster_request_free(&r);
        return;
    }
    r->message.run = arrive_caller;
    worker_post(r->caller, &r->message);
}

/* --- lifetime --- */

static const struct cluster_backend *backend_of(enum cluster_backend_kind kind)
{
    switch (kind) {
    case CLUSTER_REDIS:
        return &cluster_backend_redis;
    case CLUSTER_NONE:
        return &cluster_backend_none;
    case CLUSTER_MULTICAST:
        return &cluster_backend_multicast;
    case CLUSTER_STATIC:
        return &cluster_backend_static;
    }
    panic("cluster backend %d", (int)kind);
}

static void on_known_look(void *arg)
{
    struct cluster *c = OBJ_CAST(struct cluster, arg, CLUSTER_MAGIC);
    bool more = known_expire(&c->known, clock_us());
    timer_set_ms(&c->known_look, more ? 0 : KNOWN_LOOK_MS);
}

static void run_start(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    cluster_request_free(&r);
    log_info(&c->log, "cluster.start backend=%s name=%s node=%s instance=%016llx addr=%s",
             c->backend->name, c->worker->config->cluster.name, c->self.node,
             (unsigned long long)c->self.instance, c->self.relay_address);
    if (c->closing)
        return;
    timer_set_ms(&c->known_look, KNOWN_LOOK_MS);
    c->backend->start(c->state);
}

int cluster_open(struct cluster **out, struct workers *g, const struct cluster_self *self,
                 const struct cluster_events *events, void *arg, char error[CONFIG_ERROR_MAX])
{
    const struct cluster_backend *backend = backend_of(g->config->cluster.backend);
    struct cluster *c = xcalloc(1, sizeof *c);
    c->magic = CLUSTER_MAGIC;
    c->worker = &g->workers[0];
    c->log = (struct log_id){.kind = "cluster", .worker = c->worker->index};
    c->self = *self;
    if (events != NULL)
        c->events = *events;
    c->arg = arg;
    c->backend = backend;
    known_init(&c->known);
    timer_init(&c->known_look, c->worker, "cluster.known", on_known_look, c);
    c->watched = map_new();
    cluster_held_init(c);
    cluster_revalidate_init(c);
    int err = backend->open(c, &c->state, error);
    if (err < 0) {
        cluster_free(&c);
        return err;
    }
    cluster_request_send(cluster_request_new(c, NULL, run_start));
    *out = c;
    return 0;
}

static void on_backend_closed(void *arg)
{
    struct cluster *c = OBJ_CAST(struct cluster, arg, CLUSTER_MAGIC);
    if (c->on_closed != NULL)
        c->on_closed(c->on_closed_arg);
}

static void run_close(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    must(!c->closing);
    c->closing = true;
    c->on_closed = r->done.plain;
    c->on_closed_arg = r->arg;
    cluster_request_free(&r);
    cluster_backend_revalidated(c);
    c->backend->close(c->state, on_backend_closed, c);
}

void cluster_close(struct cluster *c, void (*on_closed)(void *arg), void *arg)
{
    struct cluster_request *r = cluster_request_new(c, NULL, run_close);
    r->done.plain = on_closed;
    r->arg = arg;
    cluster_request_send(r);
}

void cluster_stop(struct cluster *c)
{
    cluster_backend_revalidated(c);
    c->closing = true; /* what was posted before the loops ended may start nothing any more */
    if (c->backend->stop != NULL)
        c->backend->stop(c->state);
}

static void free_watch(const char *name, void *value, void *arg)
{
    free(value);
}

void cluster_free(struct cluster **cp)
{
    struct cluster *c = *cp;
    *cp = NULL;
    if (c == NULL)
        return;
    OBJ_CHECK(c, CLUSTER_MAGIC);
    if (c->state != NULL)
        c->backend->free(&c->state);
    known_fini(&c->known);
    timer_fini(&c->known_look);
    timer_fini(&c->revalidate);
    cluster_held_fini(c);
    map_each(c->watched, free_watch, NULL);
    map_free(&c->watched);
    free(c->nodes);
    OBJ_POISON(c);
    free(c);
}

const struct cluster_self *cluster_self(const struct cluster *c)
{
    return &c->self;
}

struct worker *cluster_worker(const struct cluster *c)
{
    return c->worker;
}

struct tls_context *cluster_tls(const struct cluster *c)
{
    return c->backend->tls != NULL ? c->backend->tls(c->state) : NULL;
}

bool cluster_is_up(const struct cluster *c)
{
    return atomic_load_explicit(&c->up, memory_order_relaxed);
}

/* --- what backends tell --- */

void cluster_backend_set_up(struct cluster *c, bool up)
{
    atomic_store_explicit(&c->up, up, memory_order_relaxed);
}

const struct log_id *cluster_backend_log(const struct cluster *c)
{
    return &c->log;
}

void cluster_backend_request(struct cluster *c, const char *verb, const char *name)
{
    if (c->events.on_request != NULL)
        c->events.on_request(verb, name, c->arg);
}

void cluster_backend_fatal(struct cluster *c, const char *text)
{
    log_error(&c->log, "cluster.refused error=\"%s\"", text);
    if (c->fatal_told || c->events.on_fatal == NULL)
        return;
    c->fatal_told = true;
    c->events.on_fatal(text, c->arg);
}

void cluster_backend_fill_load(struct cluster *c, struct cluster_load *load)
{
    *load = (struct cluster_load){0};
    if (c->events.fill_load != NULL)
        c->events.fill_load(load, c->arg);
}

/* --- messages to nodes --- */

static void run_send(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    if (!c->closing)
        c->backend->send(c->state, r->node, r->word, r->claim.name);
    cluster_request_free(&r);
}

int cluster_send(struct cluster *c, const char *node, const char *verb, const char *name)
{
    if (c->backend->send == NULL || !name_node_ok(slice_text(node)))
        return ERR_NOT_FOUND;
    struct cluster_request *r = cluster_request_new(c, name, run_send);
    must(slice_copy(slice_text(verb), r->word, sizeof r->word));
    must(slice_copy(slice_text(node), r->node, sizeof r->node));
    cluster_request_send(r);
    return 0;
}
