/*
 * Going out of service: no new connections, publishers and viewers told, claims released, and the
 * node gone from the cluster, each step before the next.  Main thread; what the workers have to do
 * is posted to them.
 */
#include "node_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <inttypes.h>
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

/* A second signal: nothing is waited for any more. */
static bool must_stop_now(struct node *n, int64_t look_ms)
{
    sigset_t again;
    sigemptyset(&again);
    sigaddset(&again, SIGTERM);
    sigaddset(&again, SIGINT);
    const struct timespec look = {0, look_ms * 1000000L};
    if (!n->stop_now && sigtimedwait(&again, NULL, &look) > 0) {
        n->stop_now = true;
        log_warn(&n->log, "node.stop_now");
    }
    return n->stop_now;
}

/* Returns when all answers have come, or it is time to go on without them. */
static void await(struct node *n, int64_t deadline_us)
{
    pthread_mutex_lock(&n->mutex);
    while (n->waiting > 0 && clock_us() < deadline_us && !must_stop_now(n, 0)) {
        int64_t until_us = clock_wall_us() + DRAIN_LOOK_MS * 1000;
        struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
        pthread_cond_timedwait(&n->cond, &n->mutex, &until);
    }
    pthread_mutex_unlock(&n->mutex);
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
}

static void end_http(struct node *n, struct worker *w)
{
    http_server_drain(n->public_http, w);
    http_server_drain(n->cluster_http, w);
    http_server_drain(n->admin_http, w);
}

static void drop_pulls(struct node *n, struct worker *w)
{
    if (n->resolve != NULL)
        resolver_stop(n->resolve, w);
}

/* Links to other nodes are none: those follow a lost stream for as long as we are there. */
static int64_t sessions_open(const struct node *n)
{
    int64_t open = 0;
    for (int i = 0; i < n->workers.count; i++) {
        const struct metrics *m = &n->workers.workers[i].metrics;
        open +=
            METRIC_GET(m->publishers) + METRIC_GET(m->viewers_rtmp) + METRIC_GET(m->viewers_flv);
    }
    return open;
}

static int64_t connections_open(const struct node *n)
{
    int64_t open = 0;
    for (int i = 0; i < n->workers.count; i++)
        open += METRIC_GET(n->workers.workers[i].metrics.connections_open);
    return open;
}

static void await_none(struct node *n, int64_t (*open)(const struct node *n), int64_t deadline_us)
{
    while (open(n) > 0 && clock_us() < deadline_us && !must_stop_now(n, DRAIN_LOOK_MS))
        ;
}

static void leave_cluster(struct node *n, int64_t deadline_us)
{
    expect(n, 1);
    cluster_close(n->cluster, answer, n);
    await(n, deadline_us);
}

static void end_publishers(struct node *n, int64_t deadline_us)
{
    expect(n, 1);
    ingest_drain(n->ingest, answer, n);
    await(n, deadline_us);
}

static void close_ports(struct node *n)
{
    listeners_close(n->http_port);
    listeners_close(n->admin_port);
    if (n->cluster_port != NULL)
        listeners_close(n->cluster_port);
}

void node_drain(struct node *n)
{
    int64_t start_us = clock_us(), deadline_us = start_us + n->config->node.drain_s * 1000000;
    atomic_store(&n->draining, true);
    log_info(&n->log, "node.drain connections=%" PRId64 " viewers=%" PRId64, connections_open(n),
             edge_viewers(n->edge));
    listeners_close(n->rtmp_port);
    end_publishers(n, deadline_us);
    node_on_workers(n, end_players, deadline_us);
    node_on_workers(n, drop_pulls, deadline_us);
    leave_cluster(n, deadline_us);
    /* Until the last session has gone, health checks are told that this node takes no more. */
    await_none(n, sessions_open, deadline_us);
    close_ports(n);
    node_on_workers(n, end_http, deadline_us);
    await_none(n, connections_open, deadline_us);
    log_info(&n->log, "node.drained ms=%" PRId64 " connections=%" PRId64,
             (clock_us() - start_us) / 1000, connections_open(n));
}
