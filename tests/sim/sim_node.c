#include "sim_node.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "net/relay_call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A node that still holds the higher run may show it once more after that. */
#define REGRESSED_US     5000000
#define VIEWER_AGAIN_US  500000
#define ENCODER_FRAME_US 200000

const char *const sim_stream_names[SIM_STREAMS] = {"live/a", "live/b", "live/c"};
struct sim_cluster sim_cluster;
struct sim_node sim_nodes[SIM_NODES];
struct sim_encoder sim_encoders[SIM_ENCODERS];

static struct sim_node *node_of(void *arg)
{
    return arg;
}

/* --- what the cluster tells the node, as in node.c --- */

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct sim_node *n = node_of(arg);
    resolver_on_owner(n->resolve, name, owner);
}

static void on_fenced(const char *name, uint64_t our_epoch, const struct cluster_owner *owner,
                      void *arg)
{
    ingest_fenced(node_of(arg)->ingest, name, our_epoch, owner);
}

static void on_fatal(const char *text, void *arg)
{
    sim_violation("%s was refused for good: %s", node_of(arg)->id, text);
}

/* --- viewers --- */

static bool is_behind(const struct sim_viewer *v, const struct run *run, uint64_t owner)
{
    if (run->epoch != v->epoch)
        return run->epoch < v->epoch;
    return owner != v->instance ? owner < v->instance : run->next < v->next;
}

/* Only the steady word of the directory takes a viewer back. */
static void check_place(struct sim_viewer *v, const struct run *run, uint64_t owner)
{
    const struct sim_node *n = &sim_nodes[v->node];
    uint64_t regressions = METRIC_GET(n->workers.workers[0].metrics.epoch_regress_total);
    if (regressions != v->regressions)
        v->regressed_us = clock_us();
    bool regressed = v->regressed_us != 0 && clock_us() - v->regressed_us < REGRESSED_US;
    if (is_behind(v, run, owner) && !regressed)
        sim_violation("viewer of %s at %s went back from %" PRIu64 ".%" PRIu64 " of %016" PRIx64
                      " to %" PRIu64 ".%" PRIu64 " of %016" PRIx64,
                      sim_stream_names[v->stream], n->id, v->epoch, v->next, v->instance,
                      run->epoch, run->next, owner);
    v->epoch = run->epoch;
    v->instance = owner;
    v->next = run->next;
    v->regressions = regressions;
}

/* A frame names the process it was published to, or 0 when it is carried from there: in a run there
 * are those of its owner only. */
static void check_newest(const struct sim_viewer *v, const struct run *run, uint64_t owner)
{
    const struct frame *f = run->first < run->next ? run_frame(run, run->next - 1) : NULL;
    uint64_t made;
    if (f == NULL || f->size < sizeof made)
        return;
    memcpy(&made, f->data + f->size - sizeof made, sizeof made);
    if (made != 0 && made != owner)
        sim_violation("%s at %s: a frame of %016" PRIx64 " in run %" PRIu64 " of %016" PRIx64,
                      sim_stream_names[v->stream], sim_nodes[v->node].id, made, run->epoch, owner);
}

static void on_frames(struct feed_reader *r)
{
    struct sim_viewer *v = container_of(r, struct sim_viewer, reader);
    const struct run *run = log_newest(r->feed->log);
    if (run == NULL || r->feed->state == FEED_ENDED)
        return;
    uint64_t ours = sim_nodes[v->node].identity.instance;
    uint64_t owner = run->origin != NULL ? run->origin->instance : ours;
    check_place(v, run, owner);
    check_newest(v, run, owner);
}

static void on_again(void *arg)
{
    struct sim_viewer *v = arg;
    v->again = NULL;
    sim_viewer_join(v->node, v->stream);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    struct sim_viewer *v = container_of(r, struct sim_viewer, reader);
    v->joined = false;
    feed_leave(r);
    v->again = sim_after(v->node, VIEWER_AGAIN_US, on_again, v);
}

static const struct feed_reader_ops viewer_ops = {.on_frames = on_frames, .on_end = on_end};

void sim_viewer_join(int node, int stream)
{
    struct sim_node *n = &sim_nodes[node];
    struct sim_viewer *v = &n->viewers[stream];
    if (v->joined || !n->alive)
        return;
    sim_cancel(&v->again);
    int before = sim_enter(node);
    v->joined = true;
    v->next = 0; /* who comes anew may be given what it has seen */
    v->reader = (struct feed_reader){.ops = &viewer_ops};
    feed_join(n->hub, n->workers.workers, sim_stream_names[stream], &v->reader);
    sim_leave(before);
}

void sim_viewer_leave(int node, int stream)
{
    struct sim_viewer *v = &sim_nodes[node].viewers[stream];
    sim_cancel(&v->again);
    if (!v->joined)
        return;
    int before = sim_enter(node);
    v->joined = false;
    feed_leave(&v->reader);
    sim_leave(before);
}

/* --- encoders --- */

static void on_tick(void *arg)
{
    struct sim_encoder *e = arg;
    static const uint8_t key[] = {0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65};
    uint8_t body[sizeof key + sizeof(uint64_t)];
    e->tick = sim_after(e->node, ENCODER_FRAME_US, on_tick, e);
    e->timestamp_ms += ENCODER_FRAME_US / 1000;
    if (!e->accepted || e->silent)
        return;
    memcpy(body, key, sizeof key);
    uint64_t owner = e->node < SIM_ORIGINS ? sim_nodes[e->node].identity.instance : 0;
    memcpy(body + sizeof key, &owner, sizeof owner);
    must(publisher_push(e->publisher, 9, e->timestamp_ms, slice_of(body, sizeof body)) == 0);
    publisher_flush(e->publisher);
}

static void close_encoder(struct sim_encoder *e, bool clean)
{
    sim_cancel(&e->tick);
    e->accepted = false;
    publisher_close(&e->publisher, clean);
}

static void on_accepted(void *owner, uint64_t epoch)
{
    struct sim_encoder *e = owner;
    e->accepted = true;
}

static void on_refused(void *owner, enum close_reason why, const char *text)
{
    close_encoder(owner, false);
}

static void on_ended(void *owner, enum close_reason why)
{
    close_encoder(owner, false);
}

static const struct publisher_ops encoder_ops = {
    .on_accepted = on_accepted, .on_refused = on_refused, .on_ended = on_ended};

void sim_encoder_publish(int encoder, int node, int stream)
{
    struct sim_encoder *e = &sim_encoders[encoder];
    struct sim_node *n = &sim_nodes[node];
    if (e->publisher != NULL || !n->alive)
        return;
    int before = sim_enter(node);
    e->node = node;
    e->stream = stream;
    e->silent = false;
    e->publisher = publisher_open(n->ingest, n->workers.workers,
                                  &(struct publisher_options){.name = sim_stream_names[stream],
                                                              .identity = e->identity,
                                                              .proto = "rtmp",
                                                              .peer = "encoder",
                                                              .ops = &encoder_ops,
                                                              .owner = e});
    e->tick = sim_after(node, ENCODER_FRAME_US, on_tick, e);
    sim_leave(before);
}

/* The node hears of it like of everything else, unless it is frozen: then its socket fills. */
void sim_encoder_leave(int encoder, bool clean)
{
    struct sim_encoder *e = &sim_encoders[encoder];
    if (e->publisher == NULL || sim_is_frozen(e->node))
        return;
    int before = sim_enter(e->node);
    close_encoder(e, clean);
    sim_leave(before);
}

void sim_encoders_drop_node(int node)
{
    for (int i = 0; i < SIM_ENCODERS; i++)
        if (sim_encoders[i].publisher != NULL && sim_encoders[i].node == node)
            close_encoder(&sim_encoders[i], false);
}

/* --- life --- */

static void configure(struct sim_node *n)
{
    static const char *const backends[] = {"redis", "multicast", "static", "redis"};
    char text[1024], peers[128] = "", error[CONFIG_ERROR_MAX];
    /* Each names two others; what one knows spreads. */
    if (sim_cluster.backend == SIM_BY_PEERS || sim_cluster.backend == SIM_BY_REDIS_AND_PEERS)
        snprintf(peers, sizeof peers, ", static: {peers: ['10.0.0.%d:7946', '10.0.0.%d:7946']}",
                 (n->index + 1) % SIM_NODES + 1, (n->index + 2) % SIM_NODES + 1);
    int len = snprintf(text, sizeof text,
                       "node: {id: %s, role: %s, zone: %s}\n"
                       "cluster: {backend: %s, secret: 0123456789abcdef, tiers: %s%s}\n"
                       "stream: {idle_pull_ms: 2000, lost_ms: 4000, linger_ms: 500, "
                       "memory_bytes: 1000000000}\n"
                       "viewer: {hold_ms: 12000}\n",
                       n->id, n->index < SIM_ORIGINS ? "node" : "edge", n->index < 2 ? "a" : "b",
                       backends[sim_cluster.backend], sim_cluster.tiers ? "true" : "false", peers);
    if (config_parse(&n->config, "sim", text, (size_t)len, error) < 0)
        panic("%s", error);
}

static void open_cluster(struct sim_node *n)
{
    struct cluster_self self = {
        .instance = n->identity.instance, .since_us = clock_wall_us(), .client = &n->client};
    const struct cluster_events events = {
        .on_owner = on_owner, .on_fenced = on_fenced, .on_fatal = on_fatal};
    char error[CONFIG_ERROR_MAX];
    snprintf(self.node, sizeof self.node, "%s", n->id);
    snprintf(self.version, sizeof self.version, "sim");
    snprintf(self.relay_address, sizeof self.relay_address, "%s:7000", n->id);
    snprintf(self.http_address, sizeof self.http_address, "%s:8080", n->id);
    if (cluster_open(&n->cluster, &n->workers, &self, &events, n, error) < 0)
        panic("%s", error);
}

void sim_node_start(int index)
{
    struct sim_node *n = &sim_nodes[index];
    int before = sim_enter(index);
    must(!n->alive);
    n->index = index;
    n->life++;
    snprintf(n->id, sizeof n->id, "n%d", index);
    configure(n);
    sim_building(index);
    must(workers_init(&n->workers, n->config, 1) == 0);
    n->identity = (struct relay_identity){n->id, crypto_random_u64(), n->config->cluster.secret};
    n->client = (struct relay_client){.self = &n->identity};
    n->hub = hub_new(&n->workers);
    open_cluster(n);
    n->ingest = ingest_new(&n->workers, n->hub, n->cluster);
    n->relay = relay_server_new(&(struct relay_options){.hub = n->hub, .identity = &n->identity});
    n->yield = (struct yield){n->ingest, n->relay, &n->client};
    n->carried = (struct carried_server){n->ingest, n->relay};
    ingest_set_asker(n->ingest, yield_ask, &n->yield);
    if (index >= SIM_ORIGINS)
        ingest_carry(n->ingest, &n->client);
    n->resolve = resolver_new(&(struct resolver_options){
        .workers = &n->workers, .hub = n->hub, .cluster = n->cluster, .client = &n->client});
    struct hub_hooks hooks;
    resolver_hooks(n->resolve, &hooks);
    hub_set_hooks(n->hub, &hooks);
    relay_server_routes(n->relay, n->routes);
    yield_routes(&n->yield, n->routes + RELAY_ROUTES);
    carried_routes(&n->carried, n->routes + RELAY_ROUTES + YIELD_ROUTES);
    cluster_serve_routes(n->cluster, n->routes + RELAY_ROUTES + YIELD_ROUTES + CARRIED_ROUTES);
    sim_links_serve(index, n->routes, SIM_ROUTES, n->workers.workers);
    n->alive = true;
    for (int i = 0; i < SIM_STREAMS; i++)
        n->viewers[i] = (struct sim_viewer){.node = index, .stream = i};
    sim_leave(before);
}

void sim_node_kill(int index)
{
    struct sim_node *n = &sim_nodes[index];
    if (!n->alive)
        return;
    int before = sim_enter(index);
    sim_freeze(index, false);
    /* Nothing of what it does from now on reaches anybody. */
    for (int i = 0; i <= SIM_NODES; i++)
        sim_cut(index, i, true);
    n->alive = false;
    for (int i = 0; i < SIM_STREAMS; i++)
        sim_viewer_leave(index, i);
    sim_encoders_drop_node(index);
    resolver_stop(n->resolve, n->workers.workers);
    cluster_stop(n->cluster);
    /* What is answered may ask once more. */
    for (int i = 0; i < 4; i++) {
        sim_links_drop_node(index);
        workers_drain(&n->workers);
    }
    relay_server_free(&n->relay);
    ingest_free(&n->ingest);
    resolver_free(&n->resolve);
    hub_free(&n->hub);
    cluster_free(&n->cluster);
    workers_fini(&n->workers);
    config_free(&n->config);
    for (int i = 0; i <= SIM_NODES; i++)
        sim_cut(index, i, false);
    sim_leave(before);
}
