#ifndef SLUICE_TESTS_UNIT_ADMIN_NODE_H
#define SLUICE_TESTS_UNIT_ADMIN_NODE_H

#include "test.h"

#include "admin/api.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "hub/hub.h"
#include "media/frame.h"
#include "net/listener.h"

#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A node as far as the api sees it: two workers with real threads, a hub, and the three servers on
 * free ports of loopback.  The test's own thread is the client, and posts what it wants done.
 */
#define TEST_GIVE_UP_S 10
#define TEST_WORKERS   2
#define TEST_SECRET    "0123456789abcdef0123"

struct test_node {
    struct config *config;
    struct workers group;
    struct hub *hub;
    struct cluster *cluster;
    struct relay_identity identity;
    struct relay_guard *guard;
    struct relay_offsets *offsets;
    struct relay_client client;
    struct api *api;
    struct api_listen listen;
    struct http_server *http, *admin, *internal;
    struct listener_set *http_port, *admin_port, *internal_port;
    atomic_bool draining, ending;
    atomic_int kicks;
};

static inline const struct api_listen *node_listen(void *arg)
{
    return &((struct test_node *)arg)->listen;
}

static inline bool node_draining(void *arg)
{
    return atomic_load(&((struct test_node *)arg)->draining);
}

static inline void node_drain(void *arg, struct worker *caller, bool on,
                              void (*done)(bool ok, void *arg), void *done_arg)
{
    struct test_node *n = arg;
    bool ok = on || !atomic_load(&n->ending);
    if (ok)
        atomic_store(&n->draining, on);
    done(ok, done_arg);
}

static inline int64_t node_viewers(void *arg)
{
    return 42;
}

/* live/here is the one that is published on the node; told from another message, as a node does. */
struct kick {
    struct message m;
    struct test_node *n;
    bool found;
    void (*done)(bool found, void *arg);
    void *arg;
};

static inline void kick_done(struct message *m)
{
    struct kick *k = container_of(m, struct kick, m);
    k->done(k->found, k->arg);
    free(k);
}

static inline void node_kick(void *arg, struct worker *caller, const char *name,
                             void (*done)(bool found, void *arg), void *done_arg)
{
    struct kick *k = xcalloc(1, sizeof *k);
    k->m.run = kick_done;
    k->n = arg;
    k->found = strcmp(name, "live/here") == 0;
    k->done = done;
    k->arg = done_arg;
    atomic_fetch_add(&k->n->kicks, k->found ? 1 : 0);
    worker_post(caller, &k->m);
}

static inline struct http_server *node_server(struct test_node *n, struct listener_set **port,
                                              const struct http_route *routes, size_t count,
                                              bool token)
{
    struct http_server *s = http_server_new(
        &(struct http_server_options){.name = "test",
                                      .routes = routes,
                                      .route_count = count,
                                      .arg = n->api,
                                      .on_request = token ? api_admin_authorize : NULL});
    const struct listener_options o = {
        .name = "test", .address = "127.0.0.1:0", .on_accept = http_server_accept, .arg = s};
    assert_int_equal(listeners_open(port, &n->group, &o), 0);
    return s;
}

/* `settings` is YAML behind the node's id. */
static inline void node_open(struct test_node *n, const char *id, const char *settings)
{
    char text[512], error[CONFIG_ERROR_MAX];
    size_t count;
    memset(n, 0, sizeof *n);
    log_setup(LOG_ERROR, false);
    int len = snprintf(text, sizeof text, "node: { id: %s }\n%s", id, settings);
    assert_int_equal(config_parse(&n->config, "test", text, (size_t)len, error), 0);
    assert_int_equal(workers_init(&n->group, n->config, TEST_WORKERS), 0);
    n->hub = hub_new(&n->group);
    n->guard = relay_guard_new();
    n->offsets = relay_offsets_new();
    n->client = (struct relay_client){.self = &n->identity, .offsets = n->offsets};
    n->identity = (struct relay_identity){n->config->node.id, 0xabcdef, TEST_SECRET};
    n->api = api_new(&(struct api_options){.workers = &n->group,
                                           .config = n->config,
                                           .hub = n->hub,
                                           .identity = &n->identity,
                                           .guard = n->guard,
                                           .client = &n->client,
                                           .node = n,
                                           .listen = node_listen,
                                           .is_draining = node_draining,
                                           .drain = node_drain,
                                           .viewers = node_viewers,
                                           .kick = node_kick});
    const struct http_route *routes = api_public_routes(&count);
    n->http = node_server(n, &n->http_port, routes, count, false);
    routes = api_admin_routes(&count);
    n->admin = node_server(n, &n->admin_port, routes, count, true);
    routes = api_cluster_routes(&count);
    n->internal = node_server(n, &n->internal_port, routes, count, false);
    listeners_address_text(n->http_port, n->listen.http);
    listeners_address_text(n->admin_port, n->listen.admin);
    listeners_address_text(n->internal_port, n->listen.cluster);
}

static inline void node_start(struct test_node *n)
{
    assert_int_equal(workers_start(&n->group), 0);
}

/* After workers_stop; the caller frees the cluster in between. */
static inline void node_close_servers(struct test_node *n)
{
    workers_stop(&n->group);
    http_server_free(&n->http);
    http_server_free(&n->admin);
    http_server_free(&n->internal);
    listeners_free(&n->http_port);
    listeners_free(&n->admin_port);
    listeners_free(&n->internal_port);
}

static inline void node_close(struct test_node *n)
{
    api_free(&n->api);
    hub_free(&n->hub);
    relay_guard_free(&n->guard);
    relay_offsets_free(&n->offsets);
    workers_fini(&n->group);
    config_free(&n->config);
}

/* --- work on a worker --- */

#define ON_WORKER_CONTEXT struct test_node
#include "on_worker.h"

/* --- streams --- */

static inline void displaced(struct feed_source *s, enum close_reason why)
{
}

static const struct feed_source_ops quiet_source = {.on_displaced = displaced};
static const struct feed_reader_ops quiet_reader;

/* A stream that the test publishes; on one worker. */
struct test_stream {
    const char *name, *kind, *path; /* path: of another node's, else NULL */
    uint64_t epoch;
    uint32_t rtmp_viewers;
    struct feed *feed;
    struct feed_source source;
};

static inline void append(struct feed *f, enum frame_kind kind, uint32_t codec, uint64_t seq)
{
    struct frame *frame = frame_new(kind, 100);
    must(frame != NULL);
    memset(frame->data, 0x17, 100);
    frame->flags = kind == FRAME_VIDEO ? FRAME_KEY : 0;
    frame->codec = codec;
    frame->seq = seq;
    feed_append(f, frame);
}

static inline void publish(struct test_node *n, struct worker *w, void *arg)
{
    struct test_stream *s = arg;
    s->feed = feed_hold(n->hub, w, s->name);
    s->source = (struct feed_source){.ops = &quiet_source, .kind = s->kind};
    feed_attach_source(s->feed, &s->source);
    feed_open_run(s->feed, s->epoch, 1, clock_wall_us(), NULL);
    if (s->path != NULL) {
        struct run_origin *origin = run_origin_new(7, slice_text(s->path));
        feed_set_origin(s->feed, origin);
        run_origin_unref(&origin);
    }
    append(s->feed, FRAME_VIDEO, 0x61766331 /* avc1 */, 1);
    append(s->feed, FRAME_AUDIO, 0x6d703461 /* mp4a */, 2);
    s->feed->viewers[VIEWER_RTMP] = s->rtmp_viewers;
    s->feed->viewers[VIEWER_RELAY] = 3;
}

static inline void unpublish(struct test_node *n, struct worker *w, void *arg)
{
    struct test_stream *s = arg;
    feed_detach_source(&s->source);
    feed_end(s->feed, CLOSE_UNPUBLISHED);
    feed_release(&s->feed);
}

/* Somebody who reads a stream on one worker. */
struct test_viewer {
    const char *name;
    uint32_t flv_viewers;
    struct feed_reader reader;
};

static inline void view(struct test_node *n, struct worker *w, void *arg)
{
    struct test_viewer *v = arg;
    v->reader.ops = &quiet_reader;
    struct feed *f = feed_join(n->hub, w, v->name, &v->reader);
    f->viewers[VIEWER_FLV] = v->flv_viewers;
}

static inline void leave(struct test_node *n, struct worker *w, void *arg)
{
    struct test_viewer *v = arg;
    v->reader.feed->viewers[VIEWER_FLV] = 0;
    feed_leave(&v->reader);
}

/* --- the client --- */

struct answer {
    int status;
    char *text; /* head and body */
    const char *body;
    json_t *json; /* NULL when it is none */
};

static inline void answer_free(struct answer *a)
{
    json_decref(a->json);
    free(a->text);
    *a = (struct answer){0};
}

static inline int dial(const struct listener_set *port)
{
    struct net_address to;
    const struct timeval limit = {.tv_sec = TEST_GIVE_UP_S};
    assert_int_equal(net_address_parse("127.0.0.1:0", &to), 0);
    net_address_set_port(&to, listeners_port(port));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to.sa, to.len), 0);
    return fd;
}

/* `headers` are whole lines with CR LF. */
static inline void send_request(int fd, const char *method, const char *target, const char *headers)
{
    char text[2048];
    int len =
        snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                 method, target, headers);
    assert_in_range(len, 1, sizeof text - 1);
    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
}

/* Everything until the server closes. */
static inline struct answer read_answer(int fd)
{
    struct answer a = {0};
    size_t len = 0, room = 1 << 16;
    ssize_t n;
    a.text = xmalloc(room + 1);
    while ((n = recv(fd, a.text + len, room - len, 0)) > 0) {
        len += (size_t)n;
        if (len == room)
            a.text = xrealloc(a.text, (room *= 2) + 1);
    }
    assert_int_equal(n, 0);
    a.text[len] = '\0';
    assert_memory_equal(a.text, "HTTP/1.1 ", 9);
    a.status = (int)strtol(a.text + 9, NULL, 10);
    const char *end = strstr(a.text, "\r\n\r\n");
    assert_non_null(end);
    a.body = end + 4;
    a.json = json_loads(a.body, 0, NULL);
    close(fd);
    return a;
}

static inline struct answer ask_with(const struct listener_set *port, const char *method,
                                     const char *target, const char *headers)
{
    int fd = dial(port);
    send_request(fd, method, target, headers);
    return read_answer(fd);
}

static inline struct answer ask(const struct listener_set *port, const char *target)
{
    return ask_with(port, "GET", target, "");
}

/* An answer that was refused with {"error":{"code"}}. */
static inline void assert_refused(const struct listener_set *port, const char *method,
                                  const char *target, int status, const char *code)
{
    struct answer a = ask_with(port, method, target, "");
    assert_int_equal(a.status, status);
    const json_t *error = json_object_get(a.json, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), code);
    assert_true(json_string_length(json_object_get(error, "message")) > 0);
    answer_free(&a);
}

static inline const char *text_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

static inline int64_t number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* The keys of an object, in order, are these. */
static inline void assert_keys(json_t *object, const char *keys)
{
    char have[512] = "";
    const char *key;
    json_t *value;
    size_t len = 0;
    assert_true(json_is_object(object));
    json_object_foreach(object, key, value) len +=
        (size_t)snprintf(have + len, sizeof have - len, "%s%s", len > 0 ? " " : "", key);
    assert_string_equal(have, keys);
}

#endif
