/*
 * Going out of service: no new connections, publishers and viewers told, claims released, and the
 * node gone from the cluster, each step before the next.  Main thread; what the workers have to do
 * is posted to them.
 */
#include "node_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <signal.h>
#include <stdlib.h>

#define DRAIN_LOOK_MS 20 /* how often the connections that are left are counted */

/* ---- waiting for answers of workers ---- */

static void answer(void *arg)
{
    struct node *n = OBJ_CAST(struct node, arg, NODE_MAGIC);
    pthread_mutex_lock(&n->mutex);
    n->waiting--;
    pthread_cond_signal(&n->cond);
    pthread_mutex_unlock(&n->mutex);
}

static void expect(struct node *n, int answers)
{
    pthread_mutex_lock(&n->mutex);
    n->waiting += answers;
    pthread_mutex_unlock(&n->mutex);
}

/* True when all answers came before the deadline (clock_us). */
static bool await(struct node *n, int64_t deadline_us)
{
    pthread_mutex_lock(&n->mutex);
    while (n->waiting > 0) {
        int64_t left_us = deadline_us - clock_us();
        if (left_us <= 0)
            break;
        int64_t until_us = clock_wall_us() + (left_us < 100000 ? left_us : 100000);
        struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
        pthread_cond_timedwait(&n->cond, &n->mutex, &until);
    }
    bool all = n->waiting == 0;
    pthread_mutex_unlock(&n->mutex);
    return all;
}

struct step {
    struct message m;
    struct node *n;
    struct worker *w;
    void (*run)(struct node *n, struct worker *w);
};

static void run_step(struct message *m)
{
    struct step *s = container_of(m, struct step, m);
    s->run(s->n, s->w);
    answer(s->n);
    free(s);
}

void node_on_workers(struct node *n, void (*run)(struct node *n, struct worker *w),
                     int64_t deadline_us)
{
    expect(n, n->workers.count);
    for (int i = 0; i < n->workers.count; i++) {
        struct step *s = xcalloc(1, sizeof *s);
        *s = (struct step){.m.run = run_step, .n = n, .w = &n->workers.workers[i], .run = run};
        worker_post(s->w, &s->m);
    }
    await(n, deadline_us);
}

/* ---- the steps ---- */

static void end_players(struct node *n, struct worker *w)
{
    edge_drain(n->edge, w);
    rtmp_server_drain(n->rtmp, w);
    http_server_drain(n->public_http, w);
}

static void end_links(struct node *n, struct worker *w)
{
    http_server_drain(n->cluster_http, w);
    http_server_drain(n->admin_http, w);
}

static void drop_pulls(struct node *n, struct worker *w)
{
    if (n->resolve != NULL)
        resolver_stop(n->resolve, w);
}

static int64_t connections_open(const struct node *n)
{
    int64_t open = 0;
    for (int i = 0; i < n->workers.count; i++)
        open += METRIC_GET(n->workers.workers[i].metrics.connections_open);
    return open;
}

/* What was told to go flushes and goes; a second signal does not wait for it. */
static void await_connections(struct node *n, int64_t deadline_us)
{
    sigset_t again;
    sigemptyset(&again);
    sigaddset(&again, SIGTERM);
    sigaddset(&again, SIGINT);
    const struct timespec look = {0, DRAIN_LOOK_MS * 1000000L};
    while (connections_open(n) > 0 && clock_us() < deadline_us) {
        if (sigtimedwait(&again, NULL, &look) < 0)
            continue;
        log_warn(&n->log, "node.stop_now connections=%lld", (long long)connections_open(n));
        return;
    }
}

void node_drain(struct node *n)
{
    int64_t start_us = clock_us(), deadline_us = start_us + n->config->node.drain_s * 1000000;
    atomic_store(&n->draining, true);
    log_info(&n->log, "node.drain connections=%lld viewers=%lld", (long long)connections_open(n),
             (long long)edge_viewers(n->edge));
    listeners_close(n->rtmp_port);
    listeners_close(n->http_port);
    expect(n, 1);
    ingest_drain(n->ingest, answer, n);
    await(n, deadline_us);
    node_on_workers(n, end_players, deadline_us);
    node_on_workers(n, drop_pulls, deadline_us);
    expect(n, 1);
    cluster_close(n->cluster, answer, n);
    await(n, deadline_us);
    if (n->cluster_port != NULL)
        listeners_close(n->cluster_port);
    listeners_close(n->admin_port);
    node_on_workers(n, end_links, deadline_us);
    await_connections(n, deadline_us);
    log_info(&n->log, "node.drained ms=%lld connections=%lld",
             (long long)(clock_us() - start_us) / 1000, (long long)connections_open(n));
}
