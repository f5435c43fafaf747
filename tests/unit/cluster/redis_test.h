#ifndef SLUICE_TESTS_REDIS_TEST_H
#define SLUICE_TESTS_REDIS_TEST_H

#include "net/net_test.h"

#include "cluster/cluster_internal.h"
#include "cluster/redis_internal.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

/*
 * A real redis-server on a free port of loopback, and nodes whose loops the test turns itself, so
 * that a node can also be left standing.  A missing redis-server fails the test.
 */
#define LEASE_MS       2000
#define HEARTBEAT_MS   400
#define SERVER_WAIT_US 10000000LL

struct server {
    pid_t pid;
    uint16_t port;
    redisContext *admin;
};

static inline uint16_t free_port(void)
{
    uint16_t port;
    close(tcp_listen(&port));
    return port;
}

static inline void server_connect(struct server *s)
{
    int64_t give_up_us = clock_us() + SERVER_WAIT_US;
    for (;;) {
        s->admin = redisConnect("127.0.0.1", s->port);
        assert_non_null(s->admin);
        redisReply *r = s->admin->err == 0 ? redisCommand(s->admin, "PING") : NULL;
        bool up = r != NULL && r->type == REDIS_REPLY_STATUS;
        if (r != NULL)
            freeReplyObject(r);
        if (up)
            return;
        redisFree(s->admin);
        assert_true(clock_us() < give_up_us);
        poll(NULL, 0, 5);
    }
}

static inline void server_start(struct server *s)
{
    char port[8];
    snprintf(port, sizeof port, "%u", s->port);
    char *argv[] = {(char[]){"redis-server"},
                    (char[]){"--port"},
                    port,
                    (char[]){"--bind"},
                    (char[]){"127.0.0.1"},
                    (char[]){"--save"},
                    (char[]){""},
                    (char[]){"--loglevel"},
                    (char[]){"warning"},
                    NULL};
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawnp(&s->pid, argv[0], &quiet, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&quiet);
    server_connect(s);
}

static inline void server_kill(struct server *s)
{
    redisFree(s->admin);
    s->admin = NULL;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

/* The answer as text: a status, string or number; "" for nil and anything else. */
static inline const char *admin(struct server *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline const char *admin(struct server *s, const char *format, ...)
{
    static char text[4096];
    va_list ap;
    va_start(ap, format);
    redisReply *r = redisvCommand(s->admin, format, ap);
    va_end(ap);
    assert_non_null(r);
    text[0] = '\0';
    if (r->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof text, "%lld", r->integer);
    else if (r->str != NULL)
        snprintf(text, sizeof text, "%s", r->str);
    for (size_t i = 0; i < r->elements; i++)
        if (r->element[i]->str != NULL)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? " " : "",
                     r->element[i]->str);
    freeReplyObject(r);
    return text;
}

struct node {
    struct net_fixture net;
    struct cluster_self self;
    struct cluster_events events;
    struct cluster *c;
    char url[128];
    int owners, fences, fatals, requests, closed;
    char name[NAME_STREAM_MAX + 1], verb[32], fatal[512];
    struct cluster_owner owner;
    bool draining;
};

static inline void node_on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct node *n = arg;
    n->owners++;
    n->owner = *owner;
    snprintf(n->name, sizeof n->name, "%s", name);
}

static inline void node_on_fenced(const char *name, uint64_t epoch,
                                  const struct cluster_owner *owner, void *arg)
{
    struct node *n = arg;
    n->fences++;
    n->owner = *owner;
}

static inline void node_on_request(const char *verb, const char *name, void *arg)
{
    struct node *n = arg;
    n->requests++;
    snprintf(n->verb, sizeof n->verb, "%s", verb);
    snprintf(n->name, sizeof n->name, "%s", name);
}

static inline void node_fill_load(struct cluster_load *load, void *arg)
{
    struct node *n = arg;
    *load = (struct cluster_load){
        .streams = 3, .viewers = 4, .load_percent = 5, .draining = n->draining};
}

static inline void node_on_fatal(const char *text, void *arg)
{
    struct node *n = arg;
    n->fatals++;
    snprintf(n->fatal, sizeof n->fatal, "%s", text);
}

static inline void node_on_closed(void *arg)
{
    ((struct node *)arg)->closed++;
}

/* `credentials` is "", or "user:password@". */
static inline void node_open(struct node *n, const struct server *s, const char *id,
                             enum node_role role, const char *credentials)
{
    static char name[] = "t", zone[] = "z1";
    static uint64_t instance = 0x1000;
    char error[CONFIG_ERROR_MAX];
    memset(n, 0, sizeof *n);
    fixture_open(&n->net);
    log_setup(getenv("REDIS_TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR + 1, false);
    snprintf(n->url, sizeof n->url, "redis://%s127.0.0.1:%u/0", credentials, s->port);
    n->net.config.node.role = role;
    n->net.config.node.zone = zone;
    n->net.config.cluster.backend = CLUSTER_REDIS;
    n->net.config.cluster.name = name;
    n->net.config.cluster.heartbeat_ms = HEARTBEAT_MS;
    n->net.config.cluster.lease_ms = LEASE_MS;
    n->net.config.cluster.redis.url = n->url;
    n->events = (struct cluster_events){.on_owner = node_on_owner,
                                        .on_fenced = node_on_fenced,
                                        .on_request = node_on_request,
                                        .fill_load = node_fill_load,
                                        .on_fatal = node_on_fatal};
    snprintf(n->self.node, sizeof n->self.node, "%s", id);
    snprintf(n->self.relay_address, sizeof n->self.relay_address, "10.0.0.9:7000");
    snprintf(n->self.http_address, sizeof n->self.http_address, "10.0.0.9:8080");
    snprintf(n->self.version, sizeof n->self.version, "1.2");
    n->self.instance = ++instance;
    n->self.since_us = 1234567;
    assert_int_equal(cluster_open(&n->c, &n->net.group, &n->self, &n->events, n, error), 0);
}

/* Turns the loops of both (either may be NULL) until cond. */
#define RUN_FOR_UNTIL(a, b, us, cond)                                                              \
    do {                                                                                           \
        int64_t run_until_us = clock_us() + (us);                                                  \
        while (!(cond)) {                                                                          \
            if (clock_us() > run_until_us)                                                         \
                fail_msg("not in time: %s", #cond);                                                \
            run_once((a), (b));                                                                    \
        }                                                                                          \
    } while (0)
#define RUN_UNTIL(a, b, cond) RUN_FOR_UNTIL(a, b, TEST_GIVE_UP_US, cond)

static inline void run_once(struct node *a, struct node *b)
{
    if (a != NULL)
        fixture_turn(&a->net);
    if (b != NULL)
        fixture_turn(&b->net);
    poll(NULL, 0, 1);
}

static inline void node_close(struct node *n)
{
    cluster_close(n->c, node_on_closed, n);
    RUN_FOR_UNTIL(n, NULL, 1500000, n->closed == 1);
    cluster_free(&n->c);
    fixture_close(&n->net);
}

static inline bool node_ready(struct node *n)
{
    const struct redis *r = n->c->state;
    return cluster_is_up(n->c) && r->accepted && r->events_on && r->to_on && r->clock_known;
}

struct answer {
    int count;
    struct cluster_claimed claimed;
    struct cluster_owner owner;
    struct cluster_node nodes[8];
    size_t node_count;
};

static inline void on_claimed(const struct cluster_claimed *claimed, void *arg)
{
    struct answer *a = arg;
    a->claimed = *claimed;
    a->count++;
}

static inline void on_looked_up(const struct cluster_owner *owner, void *arg)
{
    struct answer *a = arg;
    a->owner = *owner;
    a->count++;
}

static inline void on_listed(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct answer *a = arg;
    a->node_count = count;
    for (size_t i = 0; i < count && i < COUNT_OF(a->nodes); i++)
        a->nodes[i] = nodes[i];
    a->count++;
}

static inline void on_released(void *arg)
{
    ((struct answer *)arg)->count++;
}

static inline struct cluster_claim claim_of(const char *name, const char *session,
                                            const char *publisher)
{
    struct cluster_claim claim = {.policy = TAKEOVER_SAME, .proto = "rtmp"};
    snprintf(claim.name, sizeof claim.name, "%s", name);
    snprintf(claim.session, sizeof claim.session, "%s", session);
    snprintf(claim.publisher, sizeof claim.publisher, "%s", publisher);
    return claim;
}

static inline struct cluster_claimed acquire(struct node *n, const struct cluster_claim *claim)
{
    struct answer a = {0};
    cluster_acquire(n->c, n->net.w, claim, on_claimed, &a);
    RUN_UNTIL(n, NULL, a.count == 1);
    return a.claimed;
}

static inline struct cluster_owner lookup(struct node *n, const char *name)
{
    struct answer a = {0};
    cluster_lookup(n->c, n->net.w, name, on_looked_up, &a);
    RUN_UNTIL(n, NULL, a.count == 1);
    return a.owner;
}

static inline void release(struct node *n, const char *name, uint64_t epoch)
{
    struct answer a = {0};
    cluster_release(n->c, name, epoch, "unpublished", n->net.w, on_released, &a);
    RUN_UNTIL(n, NULL, a.count == 1);
}

#endif
