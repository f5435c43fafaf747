/*
 * Going out of service, by a signal or by an operator's word.
 *
 *   draining: who comes is refused; publishers are asked to go and ended after a third of
 *             node.drain_s, players are ended spread over time; that may be taken back
 *   the end:  claims released, links to other nodes gone, the node gone from the cluster, ports and
 *             connections closed, each before the next
 *
 * The first is worker 0's word and the workers' timers; the second is the main thread's.
 */
#include "node_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#define DRAIN_LOOK_MS   20      /* how often the connections that are left are counted */
#define DRAIN_SPREAD_MS 10000   /* over which players are told to go, if that is not too long */
#define DRAIN_LAST_US   2000000 /* of the time, for what follows when sessions and links are gone */

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

static void post_steps(struct node *n, void (*run)(struct node *n, struct worker *w))
{
    expect(n, n->workers.count);
    for (int i = 0; i < n->workers.count; i++) {
        struct step *s = xcalloc(1, sizeof *s);
        *s = (struct step){.m.run = run_step, .n = n, .w = &n->workers.workers[i], .run = run};
        worker_post(s->w, &s->m);
    }
}

void node_on_workers(struct node *n, void (*run)(struct node *n, struct worker *w),
                     int64_t deadline_us)
{
    post_steps(n, run);
    await(n, deadline_us);
}

static int64_t connections_open(const struct node *n)
{
    int64_t open = 0;
    for (int i = 0; i < n->workers.count; i++)
        open += METRIC_GET(n->workers.workers[i].metrics.connections_open);
    return open;
}

/* ---- out of service, and back ---- */

/* Publishers have a third of the time to go by themselves, and are ended then.  What is left of it
 * is for their streams to begin elsewhere, and for the last bytes. */
static int64_t grace_ms(const struct node *n)
{
    return n->config->node.drain_s * 1000 / 3;
}

static int64_t spread_ms(const struct node *n)
{
    int64_t ms = grace_ms(n);
    return ms < DRAIN_SPREAD_MS ? ms : DRAIN_SPREAD_MS;
}

static void begin(struct node *n, struct worker *w)
{
    rtmp_server_ask_reconnect(n->rtmp, w);
    ingest_drain(n->ingest, w, grace_ms(n));
    edge_drain(n->edge, w, spread_ms(n));
    http_server_retire(n->public_http, w, true);
}

static void come_back(struct node *n, struct worker *w)
{
    ingest_undrain(n->ingest, w);
    edge_undrain(n->edge, w);
    http_server_retire(n->public_http, w, false);
}

/* Goes to worker 0, which has them one after the other, and back to who asked. */
struct change {
    struct message m;
    struct node *n;
    bool on, ending;
    bool ok;
    struct worker *caller; /* NULL: the main thread, by answer() */
    void (*done)(bool ok, void *arg);
    void *arg;
};

static void answer_change(struct message *m)
{
    struct change *c = container_of(m, struct change, m);
    c->done(c->ok, c->arg);
    free(c);
}

static void set_drain(struct node *n, bool on)
{
    if (atomic_exchange(&n->draining, on) == on)
        return;
    if (on)
        log_info(&n->log, "node.drain connections=%" PRId64 " viewers=%" PRId64,
                 connections_open(n), edge_viewers(n->edge));
    else
        log_info(&n->log, "node.undrain");
    post_steps(n, on ? begin : come_back);
    cluster_self_changed(n->cluster);
}

static void run_change(struct message *m)
{
    struct change *c = container_of(m, struct change, m);
    struct node *n = c->n;
    c->ok = c->on || !n->ending;
    n->ending = n->ending || c->ending;
    if (c->ok)
        set_drain(n, c->on);
    if (c->caller != NULL) {
        c->m.run = answer_change;
        worker_post(c->caller, &c->m);
        return;
    }
    answer(n);
    free(c);
}

static void send_change(const struct change *like)
{
    struct change *c = xcalloc(1, sizeof *c);
    *c = *like;
    c->m.run = run_change;
    worker_post(&c->n->workers.workers[0], &c->m);
}

void node_set_drain(struct node *n, struct worker *caller, bool on,
                    void (*done)(bool ok, void *arg), void *arg)
{
    send_change(&(struct change){.n = n, .on = on, .caller = caller, .done = done, .arg = arg});
}

/* ---- the end of the process ---- */

static void begin_end(struct node *n, int64_t deadline_us)
{
    expect(n, 1);
    send_change(&(struct change){.n = n, .on = true, .ending = true});
    await(n, deadline_us);
}

/* Nobody publishes or plays; who has only connected is left. */
static void end_sessions(struct node *n, struct worker *w)
{
    rtmp_server_drain(n->rtmp, w);
}

static void end_http(struct node *n, struct worker *w)
{
    http_server_drain(n->public_http, w);
    http_server_drain(n->cluster_http, w);
    http_server_drain(n->admin_http, w);
}

static void leave_relays(struct node *n, struct worker *w)
{
    relay_server_leave(n->relay, w);
}

static void end_links(struct node *n, struct worker *w)
{
    relay_server_drain(n->relay, w);
    views_stop(n->views, w);
    derive_stop(n->derive, w);
    if (n->resolve != NULL)
        resolver_stop(n->resolve, w);
}

static int64_t sessions_open(const struct node *n)
{
    int64_t open = 0;
    for (int i = 0; i < n->workers.count; i++) {
        const struct metrics *m = &n->workers.workers[i].metrics;
        open += METRIC_GET(m->publishers) + METRIC_GET(m->viewers_rtmp) +
                METRIC_GET(m->viewers_flv) + METRIC_GET(m->viewers_whep);
    }
    return open;
}

static int64_t hls_viewers(const struct node *n)
{
    int64_t viewers = 0;
    for (int i = 0; i < n->workers.count; i++)
        viewers += METRIC_GET(n->workers.workers[i].metrics.viewers_hls);
    return viewers;
}

static int64_t relays_open(const struct node *n)
{
    int64_t open = 0;
    for (int i = 0; i < n->workers.count; i++)
        open += METRIC_GET(n->workers.workers[i].metrics.relays);
    return open;
}

static void await_none(struct node *n, int64_t (*open)(const struct node *n), int64_t deadline_us)
{
    while (open(n) > 0 && clock_us() < deadline_us && !must_stop_now(n, DRAIN_LOOK_MS))
        ;
}

static void await_released(struct node *n, int64_t deadline_us)
{
    expect(n, 1);
    ingest_await_empty(n->ingest, answer, n);
    await(n, deadline_us);
}

static void leave_cluster(struct node *n, int64_t deadline_us)
{
    expect(n, 1);
    cluster_close(n->cluster, answer, n);
    await(n, deadline_us);
}

static void close_ports(struct node *n)
{
    listeners_close(n->rtmp_port);
    listeners_close(n->http_port);
    if (n->rtmps_port != NULL)
        listeners_close(n->rtmps_port);
    if (n->https_port != NULL)
        listeners_close(n->https_port);
    listeners_close(n->admin_port);
    if (n->cluster_port != NULL)
        listeners_close(n->cluster_port);
}

void node_drain(struct node *n)
{
    int64_t start_us = clock_us(), all_us = n->config->node.drain_s * 1000000;
    int64_t deadline_us = start_us + all_us;
    int64_t last_us = all_us / 5 < DRAIN_LAST_US ? all_us / 5 : DRAIN_LAST_US;
    begin_end(n, deadline_us);
    /* Until the last session has gone the ports stay open: health checks are told that this node
     * takes no more, and so is who comes nevertheless. */
    await_none(n, sessions_open, deadline_us - last_us);
    /* HLS players have no session that could be ended.  Other nodes have the same for them, but
     * some time passes until a balancer sends them there. */
    await_none(n, hls_viewers, start_us + spread_ms(n) * 1000);
    await_released(n, deadline_us - last_us);
    node_on_workers(n, leave_relays, deadline_us);
    await_none(n, relays_open, deadline_us - last_us);
    node_on_workers(n, end_links, deadline_us);
    node_on_workers(n, end_sessions, deadline_us);
    leave_cluster(n, deadline_us);
    close_ports(n);
    node_on_workers(n, end_http, deadline_us);
    await_none(n, connections_open, deadline_us);
    log_info(&n->log, "node.drained ms=%" PRId64 " connections=%" PRId64,
             (clock_us() - start_us) / 1000, connections_open(n));
}
