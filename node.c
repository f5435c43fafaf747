/*
 * A node: the way in (origin/) and the way out (edge/) around the hub, and the ports that lead
 * there (node_ports.c).  This file builds and ends them; node_drain.c goes out of service.  Main
 * thread, but where it says otherwise.
 */
#include "node.h"

#include "admin/api.h"
#include "base/err.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/process.h"
#include "core/version.h"
#include "core/watchdog.h"
#include "edge/play_rtmp.h"
#include "net/listener.h"
#include "node_internal.h"
#include "origin/rtmp_publish.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what the parts ask of each other ---- */

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct node *n = node_of(arg);
    if (n->resolve != NULL)
        resolver_on_owner(n->resolve, name, owner);
}

static void on_own_derived(struct feed *f, void *arg)
{
    derive_start(node_of(arg)->derive, f);
}

static void on_fenced(const char *name, uint64_t our_epoch, const struct cluster_owner *owner,
                      void *arg)
{
    struct node *n = node_of(arg);
    ingest_fenced(n->ingest, name, our_epoch, owner);
}

static void on_handed_over(const char *name, struct worker *w, void *arg)
{
    ingest_handed_over(node_of(arg)->ingest, name, w);
}

static void ignore_answer(bool yes, void *arg)
{
}

static void on_request(const char *verb, const char *name, void *arg)
{
    struct node *n = node_of(arg);
    if (strcmp(verb, "kick") == 0)
        ingest_kick(n->ingest, cluster_worker(n->cluster), name, CLOSE_KICKED, ignore_answer, NULL);
    else if (strcmp(verb, "drain") == 0)
        node_set_drain(n, cluster_worker(n->cluster), true, ignore_answer, NULL);
}

static void fill_load(struct cluster_load *load, void *arg)
{
    struct node *n = node_of(arg);
    for (int i = 0; i < n->workers.count; i++) {
        const struct metrics *m = &n->workers.workers[i].metrics;
        load->streams += METRIC_GET(m->publishers);
        int percent = (int)METRIC_GET(m->load_percent);
        if (percent > load->load_percent)
            load->load_percent = percent;
    }
    load->viewers = edge_viewers(n->edge);
    load->draining = atomic_load(&n->draining);
}

static void on_fatal(const char *text, void *arg)
{
    struct node *n = node_of(arg);
    log_error(&n->log, "cluster.refused error=\"%s\"", text);
    atomic_store(&n->fatal, true);
    kill(getpid(), SIGTERM);
}

static const struct api_listen *api_get_listen(void *node)
{
    return &node_of(node)->listen;
}

static bool api_is_draining(void *node)
{
    return atomic_load(&node_of(node)->draining);
}

static void api_drain(void *node, struct worker *caller, bool on, void (*done)(bool ok, void *arg),
                      void *arg)
{
    node_set_drain(node_of(node), caller, on, done, arg);
}

static int64_t api_viewers(void *node)
{
    return edge_viewers(node_of(node)->edge);
}

static void api_kick(void *node, struct worker *caller, const char *name,
                     void (*done)(bool found, void *arg), void *arg)
{
    ingest_kick(node_of(node)->ingest, caller, name, CLOSE_KICKED, done, arg);
}

/* ---- who we are ---- */

static void join_address(char out[CLUSTER_ADDRESS_MAX], const char *host,
                         const struct listener_set *port)
{
    bool is_v6 = strchr(host, ':') != NULL && host[0] != '[';
    out[0] = '\0';
    if (port != NULL)
        snprintf(out, CLUSTER_ADDRESS_MAX, is_v6 ? "[%s]:%u" : "%s:%u", host, listeners_port(port));
}

static int open_cluster(struct node *n)
{
    struct cluster_self self = {.instance = n->identity.instance,
                                .since_us = clock_wall_us(),
                                .client = &n->client,
                                .guard = n->guard};
    char host[256], error[CONFIG_ERROR_MAX];
    if (!node_advertise(n->config, host, sizeof host))
        log_warn(&n->log, "node.unreachable addr=%s help=\"no network yet; set node.advertise\"",
                 host);
    snprintf(self.node, sizeof self.node, "%s", n->config->node.id);
    snprintf(self.version, sizeof self.version, "%s", version_text());
    join_address(self.relay_address, host, n->cluster_port);
    join_address(self.http_address, host, n->http_port);
    const struct cluster_events events = {.on_owner = on_owner,
                                          .on_fenced = on_fenced,
                                          .on_request = on_request,
                                          .fill_load = fill_load,
                                          .on_fatal = on_fatal};
    int err = cluster_open(&n->cluster, &n->workers, &self, &events, n, error);
    if (err < 0) {
        log_error(&n->log, "cluster.failed error=\"%s\"", error);
        atomic_store(&n->fatal, true);
    }
    return err;
}

/* ---- life ---- */

static void build_rtmp(struct node *n)
{
    enum node_role role = n->config->node.role;
    n->rtmp = rtmp_server_new(
        &n->workers, &(struct rtmp_server_options){
                         .publish = node_takes_publishers(n->config) ? &rtmp_publish_handler : NULL,
                         .publish_arg = n->ingest,
                         .publish_refusal = "this node takes players only: publish to an origin",
                         .play = role_serves(role) ? &play_rtmp_handler : NULL,
                         .play_arg = n->edge,
                         .play_refusal = "this node takes publishers only: play from an edge"});
}

static void build_api(struct node *n)
{
    n->api = api_new(&(struct api_options){.workers = &n->workers,
                                           .config = n->config,
                                           .hub = n->hub,
                                           .cluster = n->cluster,
                                           .identity = &n->identity,
                                           .guard = n->guard,
                                           .client = &n->client,
                                           .node = n,
                                           .listen = api_get_listen,
                                           .is_draining = api_is_draining,
                                           .drain = api_drain,
                                           .viewers = api_viewers,
                                           .kick = api_kick});
}

static int node_build(struct node *n)
{
    const struct config *c = n->config;
    int err = workers_init(&n->workers, c, (int)c->node.workers);
    if (err < 0)
        return err;
    n->hub = hub_new(&n->workers);
    n->guard = relay_guard_new();
    n->offsets = relay_offsets_new();
    n->links = relay_links_new();
    if (c->cluster.tls && c->cluster.backend != CLUSTER_NONE)
        n->cluster_tls = tls_secret_new(c->cluster.secret, c->cluster.name);
    n->client = (struct relay_client){&n->identity, n->offsets, n->links, n->cluster_tls};
    err = node_open_tls(n);
    if (err == 0)
        err = node_open_ports(n);
    if (err == 0)
        err = node_open_rtc_ports(n);
    if (err == 0)
        err = open_cluster(n);
    if (err == 0)
        err = node_confine(n); /* all ports are open, and no thread runs */
    if (err < 0)
        return err;
    n->edge = edge_new(&n->workers, n->hub);
    n->hls = hls_new(&n->workers, n->hub, n->edge);
    if (c->cluster.backend != CLUSTER_NONE)
        hls_set_upstream(n->hls, n->cluster, &n->client);
    n->ingest = ingest_new(&n->workers, n->hub, n->cluster);
    n->relay = relay_server_new(&(struct relay_options){.hub = n->hub,
                                                        .identity = &n->identity,
                                                        .guard = n->guard,
                                                        .links = n->links,
                                                        .on_handed_over = on_handed_over,
                                                        .arg = n});
    n->yield = (struct yield){n->ingest, n->relay, &n->client};
    ingest_set_asker(n->ingest, yield_ask, &n->yield);
    if (c->cluster.backend != CLUSTER_NONE)
        ingest_set_client(n->ingest, &n->client);
    n->carried = (struct carried_server){n->ingest, n->relay};
    if (!role_ingests(c->node.role))
        ingest_carry(n->ingest, &n->client);
    n->derive = derive_new(&n->workers, n->hub, 0);
    n->views = views_new(&n->workers, n->hub);
    if (role_serves(c->node.role))
        n->resolve = resolver_new(&(struct resolver_options){.workers = &n->workers,
                                                             .hub = n->hub,
                                                             .cluster = n->cluster,
                                                             .client = &n->client,
                                                             .on_own_derived = on_own_derived,
                                                             .arg = n,
                                                             .views = n->views});
    struct hub_hooks hooks;
    if (n->resolve != NULL)
        resolver_hooks(n->resolve, &hooks);
    else
        derive_hooks(n->derive, &hooks);
    hub_set_hooks(n->hub, &hooks);
    build_api(n);
    build_rtmp(n);
    node_build_rtc(n);
    n->www = www_new();
    node_build_http(n);
    return 0;
}

/* After the workers have stopped; also of a node that was built in part. */
static void node_free(struct node *n)
{
    rtmp_server_free(&n->rtmp);
    http_server_free(&n->public_http);
    http_server_free(&n->admin_http);
    http_server_free(&n->cluster_http);
    listeners_free(&n->rtmp_port);
    listeners_free(&n->http_port);
    listeners_free(&n->admin_port);
    listeners_free(&n->cluster_port);
    listeners_free(&n->rtmps_port);
    listeners_free(&n->https_port);
    api_free(&n->api);
    www_free(&n->www);
    whip_free(&n->whip);
    relay_server_free(&n->relay);
    /* A feed that one of these leaves may still ask the resolver. */
    views_free(&n->views);
    derive_free(&n->derive);
    ingest_free(&n->ingest);
    hls_free(&n->hls);
    whep_free(&n->whep);
    resolver_free(&n->resolve);
    edge_free(&n->edge);
    rtc_resources_free(&n->rtc); /* after whoever makes its sessions */
    node_free_rtc_ports(n);
    hub_free(&n->hub);
    cluster_free(&n->cluster);
    relay_offsets_free(&n->offsets);
    relay_links_free(&n->links);
    relay_guard_free(&n->guard);
    workers_fini(&n->workers);
    tls_free(&n->cluster_tls);
    tls_free(&n->rtmp_tls);
    tls_free(&n->http_tls);
    free(n->public_routes);
    free(n->admin_routes);
    free(n->cluster_routes);
    config_free(&n->reloaded);
    pthread_mutex_destroy(&n->mutex);
    pthread_cond_destroy(&n->cond);
}

static void take_config(struct node *n, struct worker *w)
{
    w->config = n->reloaded;
}

/* SIGHUP: certificates, log level and access rules change, on every worker between two handlers;
 * the rest stays.
 */
static void reload(struct node *n)
{
    struct config *next = NULL, *old = n->reloaded;
    char error[CONFIG_ERROR_MAX];
    if (config_load(&next, n->path, environ, n->sets, n->set_count, error) < 0) {
        log_error(&n->log, "config.reload_failed error=\"%s\"", error);
        return;
    }
    config_keep(next, n->config, &n->log);
    log_set_level(next->log.level);
    n->reloaded = next;
    node_on_workers(n, take_config, INT64_MAX);
    config_free(&old); /* nobody looks at it any more */
    listeners_set_trusted(n->rtmp_port, &next->limits.trusted);
    listeners_set_trusted(n->http_port, &next->limits.trusted);
    if (n->rtmps_port != NULL)
        listeners_set_trusted(n->rtmps_port, &next->limits.trusted);
    if (n->https_port != NULL)
        listeners_set_trusted(n->https_port, &next->limits.trusted);
    if (n->rtc_ports != NULL)
        rtc_ports_set_trusted(n->rtc_ports, &next->limits.trusted);
    if (n->memory != NULL)
        memory_guard_set_max(n->memory, next->limits.memory_bytes);
    node_reload_tls(n, next);
    log_info(&n->log, "config.reloaded");
}

static void log_ready(const struct node *n)
{
    log_info(&n->log,
             "listen.ready rtmp=%s http=%s cluster=%s admin=%s rtmps=%s https=%s "
             "webrtc=%s",
             n->listen.rtmp, n->listen.http, n->listen.cluster, n->listen.admin, n->listen.rtmps,
             n->listen.https, n->listen.webrtc.count > 0 ? n->listen.webrtc.items[0] : "");
}

static void log_start(const struct node *n)
{
    const struct config *c = n->config;
    static const char *const roles[] = {"node", "origin", "edge"};
    log_info(&n->log, "node.start id=%s role=%s version=%s instance=%016" PRIx64 " workers=%d",
             c->node.id, roles[c->node.role], version_text(), n->identity.instance,
             n->workers.count);
    config_log_unused(c, &n->log);
    struct listen_address rtmp;
    bool beyond =
        config_listen_parse(c->rtmp.listen, &rtmp) == 0 && !config_listen_is_loopback(&rtmp);
    if (c->auth.publish_keys.count == 0 && node_takes_publishers(c) && beyond)
        log_warn(&n->log,
                 "auth.open help=\"anybody who reaches %s may publish; set "
                 "auth.publish_keys\"",
                 c->rtmp.listen);
}

/* Signals are taken by this thread only: workers block all of them. */
static void wait_for_signals(struct node *n, const sigset_t *signals)
{
    const struct timespec look = {.tv_sec = NODE_MEMORY_LOOK_S};
    for (;;) {
        int sig = sigtimedwait(signals, NULL, &look);
        if (sig < 0)
            node_memory_return(n);
        else if (sig == SIGHUP)
            reload(n);
        else if (sig == SIGTERM || sig == SIGINT)
            return;
    }
}

static int serve(struct node *n, const sigset_t *signals)
{
    if (node_build(n) < 0)
        return atomic_load(&n->fatal) ? EXIT_CONFIG : EXIT_FAILED;
    log_start(n);
    if (workers_start(&n->workers) < 0)
        return EXIT_FAILED;
    const struct watchdog_options watch = {WATCHDOG_WARN_US, n->config->process.watchdog_ms * 1000};
    n->watchdog = watchdog_new(&n->workers, &watch);
    n->memory = memory_guard_new(&n->workers, n->config->limits.memory_bytes);
    log_ready(n);
    wait_for_signals(n, signals);
    node_drain(n);
    watchdog_free(&n->watchdog);
    memory_guard_free(&n->memory);
    workers_stop(&n->workers);
    cluster_stop(n->cluster);
    derive_stop_threads(n->derive);
    workers_drain(&n->workers);
    return atomic_load(&n->fatal) ? EXIT_CONFIG : EXIT_DRAINED;
}

int node_run(const struct config *config, const char *path, char *const *sets, size_t set_count)
{
    struct node n = {.magic = NODE_MAGIC,
                     .config = config,
                     .path = path,
                     .sets = sets,
                     .set_count = set_count,
                     .log = {"node", -1, 0}};
    const char *library = NULL;
    if (run_as_find(config->process.user, &n.run_as) < 0) {
        log_error(&n.log, "process.user_unknown user=%s", config->process.user);
        return EXIT_CONFIG;
    }
    if (process_check_libraries(&library) < 0) {
        log_error(&n.log, "library.too_old name=%s", library);
        return EXIT_FAILED;
    }
    process_setup();
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_mutex_init(&n.mutex, NULL);
    pthread_cond_init(&n.cond, NULL);
    n.identity =
        (struct relay_identity){n.config->node.id, crypto_random_u64(), n.config->cluster.secret};
    int code = serve(&n, &signals);
    node_free(&n);
    log_info(&n.log, "node.stop code=%d frames=%" PRId64, code, frames_alive());
    return code;
}
