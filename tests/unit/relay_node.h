#ifndef SLUICE_TESTS_UNIT_RELAY_NODE_H
#define SLUICE_TESTS_UNIT_RELAY_NODE_H

#include "net/net_test.h"

#include "hub/hub.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/relay_call.h"
#include "origin/relay_server.h"

/*
 * Nodes of a cluster in one process: each has a hub of its own and serves relay requests on
 * loopback; all share the one worker, whose loop the test turns.
 */
#define RELAY_SECRET    "0123456789abcdef"
#define RELAY_STREAM    "live/cam"
#define RELAY_NODE_MORE 1 /* routes that a test may add */

struct relay_node {
    struct net_fixture *f;
    struct hub *hub;
    struct relay_identity id;
    struct relay_client client;
    struct relay_guard *guard;
    struct relay_server *relay;
    struct http_server *http;
    struct http_route routes[RELAY_ROUTES + RELAY_NODE_MORE];
    size_t more; /* routes behind the relay's */
    struct listener_set *listen;
    char address[NET_ADDRESS_TEXT_MAX]; /* kept when it is closed and opened again */
    struct feed *feed;                  /* of RELAY_STREAM, held, when something is published */
};

static inline void relay_config(struct config *c)
{
    c->hls.segment_ms = 2000;
    c->hls.part_ms = 200;
    c->hls.window_segments = 6;
    c->stream.window_ms = 28000;
    c->stream.window_bytes = 64 << 20;
    c->stream.memory_bytes = 1 << 30;
    c->stream.linger_ms = 1;
    c->stream.idle_pull_ms = 10000;
    c->viewer.hold_ms = 30000;
}

static inline void node_listen(struct relay_node *n)
{
    const struct http_server_options http = {
        .name = "cluster", .routes = n->routes, .route_count = RELAY_ROUTES + n->more};
    relay_server_routes(n->relay, n->routes);
    n->http = http_server_new(&http);
    const struct listener_options listen = {.name = "cluster",
                                            .address = n->address,
                                            .essential = true,
                                            .on_accept = http_server_accept,
                                            .arg = n->http};
    assert_int_equal(listeners_open(&n->listen, &n->f->group, &listen), 0);
    listeners_address_text(n->listen, n->address);
}

/* The node vanishes from the network, connections and all. */
static inline void node_shut(struct relay_node *n)
{
    listeners_free(&n->listen);
    http_server_free(&n->http);
}

static inline void node_open(struct relay_node *n, struct net_fixture *f, const char *id,
                             uint64_t instance)
{
    memset(n, 0, sizeof *n);
    n->f = f;
    n->hub = hub_new(&f->group);
    n->id = (struct relay_identity){id, instance, RELAY_SECRET};
    n->guard = relay_guard_new();
    n->client = (struct relay_client){.self = &n->id, .offsets = relay_offsets_new()};
    const struct relay_options o = {.hub = n->hub, .identity = &n->id, .guard = n->guard};
    n->relay = relay_server_new(&o);
    strcpy(n->address, "127.0.0.1:0"); /* NOLINT: it fits */
    node_listen(n);
}

static inline void node_close(struct relay_node *n)
{
    node_shut(n);
    feed_release(&n->feed);
    for (int i = 0; i < 10; i++)
        fixture_turn(n->f);
    relay_server_free(&n->relay);
    hub_free(&n->hub);
    relay_guard_free(&n->guard);
    relay_offsets_free(&n->client.offsets);
}

/* --- a made-up stream: 25 frames a second, configuration first, a key frame every 10 --- */

#define TEST_KEY_EVERY 10

static inline struct frame *test_frame(uint64_t seq, size_t size)
{
    bool config = seq == 1, key = !config && (seq - 2) % TEST_KEY_EVERY == 0;
    struct frame *f = frame_new(FRAME_VIDEO, size < 5 ? 5 : size);
    assert_non_null(f);
    for (size_t i = 5; i < f->size; i++)
        f->data[i] = (uint8_t)(seq * 7 + i);
    memcpy(f->data, config ? "\x17\0\0\0\0" : key ? "\x17\1\0\0\0" : "\x27\1\0\0\0", 5);
    f->flags = config ? FRAME_CONFIG : key ? FRAME_KEY : 0;
    f->seq = seq;
    f->codec = 0x61766331;
    f->wire_ms = 5000 + (int64_t)seq * 40;
    f->dts_us = (int64_t)seq * 40000;
    f->cts_us = (int32_t)seq;
    if (key) {
        struct cut cut = {.msn = 500 + seq / TEST_KEY_EVERY, .dsn = 3, .init = 1};
        cut.start_us = f->dts_us;
        cut.wall_us = 1700000000000000 + f->dts_us;
        cut.independent = true;
        cut.track_count = 1;
        frame_set_cut(f, &cut);
    }
    return f;
}

static inline void node_publish(struct relay_node *n, uint64_t epoch)
{
    if (n->feed == NULL)
        n->feed = feed_hold(n->hub, n->f->w, RELAY_STREAM);
    feed_open_run(n->feed, epoch, 1, 1700000000000000, NULL);
    feed_set_plan(n->feed, &(struct cut_plan){.segment_ms = 2000,
                                              .part_ms = 200,
                                              .window_segments = 6,
                                              .frame_rate_milli = 25000,
                                              .peak_bps = 1200,
                                              .average_bps = 1000,
                                              .base_msn = 500});
}

static inline void node_frames_of(struct relay_node *n, int count, size_t size)
{
    for (int i = 0; i < count; i++)
        feed_append(n->feed, test_frame(log_newest(n->feed->log)->next, size));
}

static inline void node_frames(struct relay_node *n, int count)
{
    node_frames_of(n, count, 100);
}

static inline bool same_cut(const struct cut *a, const struct cut *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->msn == b->msn && a->dsn == b->dsn && a->part == b->part && a->init == b->init &&
           a->start_us == b->start_us && a->wall_us == b->wall_us && a->clock == b->clock &&
           a->independent == b->independent && a->track_count == b->track_count &&
           memcmp(a->tracks, b->tracks, sizeof a->tracks) == 0;
}

static inline bool same_frame(const struct frame *a, const struct frame *b)
{
    return a->kind == b->kind && a->track == b->track && a->flags == b->flags &&
           a->codec == b->codec && a->seq == b->seq && a->cts_us == b->cts_us &&
           a->wire_ms == b->wire_ms && a->dts_us == b->dts_us && same_cut(a->cut, b->cut) &&
           slice_eq(frame_payload(a), frame_payload(b));
}

#endif
