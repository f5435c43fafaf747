#include "net/net_test.h"

#include "cluster/cluster_internal.h"
#include "net/relay_call.h"

#include <stdio.h>

/* Two nodes without Redis that are each other's static peers, over loopback; the test turns both
 * loops, so nothing is heard before it does. */
struct node {
    struct net_fixture net;
    struct relay_identity id;
    struct relay_client client;
    struct cluster_self self;
    struct cluster *c;
    char listen[32], peer_text[32], *peers[1];
    int fences, owners, closed, claims, lookups;
    struct cluster_owner fenced_by, owner, found;
    struct cluster_claimed claimed;
    size_t node_count;
};

#define SECRET "0123456789abcdef"
#define LEASE  10000

static uint16_t relay_port = 9; /* of nodes that are opened; nobody is at the first */

static uint16_t free_port(void)
{
    struct net_address a = loopback(0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a.sa, a.len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.len), 0);
    close(fd);
    return net_address_port(&a);
}

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct node *n = arg;
    n->owners++;
    n->owner = *owner;
}

static void on_fenced(const char *name, uint64_t epoch, const struct cluster_owner *owner,
                      void *arg)
{
    struct node *n = arg;
    n->fences++;
    n->fenced_by = *owner;
}

static void on_closed(void *arg)
{
    ((struct node *)arg)->closed++;
}

static void node_open(struct node *n, const char *id, uint64_t instance, uint16_t port,
                      uint16_t peer)
{
    static char name[] = "t", zone[] = "", secret[] = SECRET;
    static const struct cluster_events events = {.on_owner = on_owner, .on_fenced = on_fenced};
    char error[CONFIG_ERROR_MAX];
    memset(n, 0, sizeof *n);
    fixture_open(&n->net);
    struct config *c = &n->net.config;
    snprintf(n->listen, sizeof n->listen, "127.0.0.1:%u", port);
    snprintf(n->peer_text, sizeof n->peer_text, "127.0.0.1:%u", peer);
    n->peers[0] = n->peer_text;
    c->cluster.backend = CLUSTER_STATIC;
    c->cluster.name = name;
    c->node.zone = zone;
    c->cluster.secret = secret;
    c->cluster.lease_ms = LEASE;
    c->cluster.takeover = TAKEOVER_SAME;
    c->cluster.static_peers.listen = n->listen;
    c->cluster.static_peers.peers.items = n->peers;
    c->cluster.static_peers.peers.count = 1;
    n->id = (struct relay_identity){id, instance, SECRET};
    n->client = (struct relay_client){.self = &n->id, .offsets = relay_offsets_new()};
    n->self.instance = instance;
    n->self.since_us = clock_wall_us();
    n->self.client = &n->client;
    snprintf(n->self.node, sizeof n->self.node, "%s", id);
    snprintf(n->self.relay_address, sizeof n->self.relay_address, "127.0.0.1:%u", relay_port);
    assert_int_equal(cluster_open(&n->c, &n->net.group, &n->self, &events, n, error), 0);
}

static void turn(struct node *a, struct node *b)
{
    fixture_turn(&a->net);
    if (b != NULL)
        fixture_turn(&b->net);
    poll(NULL, 0, 1);
}

#define RUN_UNTIL(a, b, cond)                                                                      \
    do {                                                                                           \
        int64_t until_us = clock_us() + TEST_GIVE_UP_US;                                           \
        while (!(cond)) {                                                                          \
            if (clock_us() > until_us)                                                             \
                fail_msg("not in time: %s", #cond);                                                \
            turn(a, b);                                                                            \
        }                                                                                          \
    } while (0)

static void node_leave(struct node *n)
{
    cluster_close(n->c, on_closed, n);
    RUN_UNTIL(n, NULL, n->closed == 1);
}

static void node_free(struct node *n)
{
    cluster_free(&n->c);
    relay_offsets_free(&n->client.offsets);
    fixture_close(&n->net);
}

static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    ((struct node *)arg)->node_count = count;
}

static size_t count_nodes(struct node *n, struct node *other)
{
    n->node_count = 0;
    cluster_nodes(n->c, n->net.w, on_nodes, n);
    RUN_UNTIL(n, other, n->node_count > 0);
    return n->node_count;
}

static void open_pair(struct node *a, struct node *b)
{
    uint16_t port_a = free_port(), port_b = free_port();
    node_open(a, "a", 1, port_a, port_b);
    node_open(b, "b", 2, port_b, port_a);
    RUN_UNTIL(a, b, count_nodes(a, b) == 2 && count_nodes(b, a) == 2);
    assert_true(cluster_is_up(a->c) && cluster_is_up(b->c));
}

static void close_pair(struct node *a, struct node *b)
{
    if (a->closed == 0)
        node_leave(a);
    node_leave(b);
    node_free(a);
    node_free(b);
}

static void on_claimed(const struct cluster_claimed *claimed, void *arg)
{
    struct node *n = arg;
    n->claims++;
    n->claimed = *claimed;
}

static struct cluster_claim claim_of(const char *session, const char *publisher)
{
    struct cluster_claim c = {.policy = TAKEOVER_SAME, .name = "live/a", .proto = "rtmp"};
    snprintf(c.session, sizeof c.session, "%s", session);
    snprintf(c.publisher, sizeof c.publisher, "%s", publisher);
    return c;
}

/* Without a look at the socket. */
static void acquire_deaf(struct node *n, const struct cluster_claim *claim)
{
    int before = n->claims;
    cluster_acquire(n->c, n->net.w, claim, on_claimed, n);
    workers_drain(&n->net.group);
    assert_int_equal(n->claims, before + 1);
}

/* The other node hears nothing of it yet. */
static void acquire_alone(struct node *n, const struct cluster_claim *claim)
{
    int before = n->claims;
    cluster_acquire(n->c, n->net.w, claim, on_claimed, n);
    RUN_UNTIL(n, NULL, n->claims > before);
}

static void on_found(const struct cluster_owner *owner, void *arg)
{
    struct node *n = arg;
    n->lookups++;
    n->found = *owner;
}

static bool looks_up(struct node *n, struct node *other, const char *owner)
{
    int before = n->lookups;
    cluster_lookup(n->c, n->net.w, "live/a", on_found, n);
    RUN_UNTIL(n, other, n->lookups > before);
    return owner == NULL ? !n->found.found : n->found.found && strcmp(n->found.node, owner) == 0;
}

static void test_claim_and_release(void **state)
{
    struct node a, b;
    open_pair(&a, &b);
    cluster_watch(b.c, "live/a");
    struct cluster_claim claim = claim_of("s1", "p");
    acquire_alone(&a, &claim);
    assert_int_equal(a.claimed.verdict, CLAIM_GRANTED);
    uint64_t epoch = a.claimed.epoch;
    acquire_alone(&a, &claim); /* an answer that was lost */
    assert_int_equal(a.claimed.verdict, CLAIM_GRANTED);
    assert_int_equal(a.claimed.epoch, epoch);
    RUN_UNTIL(&a, &b, b.owners > 0);
    assert_true(b.owner.found && b.owner.epoch == epoch);
    assert_string_equal(b.owner.node, "a");
    assert_true(looks_up(&b, &a, "a") && b.found.from_directory);
    cluster_release(a.c, "live/a", epoch, "unpublished", NULL, NULL, NULL);
    RUN_UNTIL(&a, &b, looks_up(&b, &a, NULL));
    assert_true(looks_up(&a, &b, NULL));
    cluster_unwatch(b.c, "live/a");
    close_pair(&a, &b);
}

static void test_who_may_take_over(void **state)
{
    static const struct {
        const char *publisher;
        bool lost, owner_gone;
        enum takeover_policy policy;
        enum claim_verdict verdict;
    } cases[] = {
        {"other", false, false, TAKEOVER_SAME, CLAIM_BUSY},
        {"other", true, false, TAKEOVER_SAME, CLAIM_BUSY},
        {"", false, false, TAKEOVER_SAME, CLAIM_BUSY},
        {"p", false, false, TAKEOVER_REJECT, CLAIM_BUSY},
        {"p", true, false, TAKEOVER_REJECT, CLAIM_GRANTED},
        {"p", false, false, TAKEOVER_SAME, CLAIM_GRANTED},
        {"other", false, true, TAKEOVER_SAME, CLAIM_GRANTED},
        {"other", false, false, TAKEOVER_REPLACE, CLAIM_GRANTED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct node a, b;
        open_pair(&a, &b);
        struct cluster_claim claim = claim_of("s1", "p");
        acquire_alone(&a, &claim);
        uint64_t epoch = a.claimed.epoch;
        if (cases[i].lost)
            cluster_set_lost(a.c, "live/a", epoch, true);
        RUN_UNTIL(&a, &b, looks_up(&b, &a, "a") && b.found.lost == cases[i].lost);
        claim = claim_of("s2", cases[i].publisher);
        claim.policy = cases[i].policy;
        claim.owner_gone = cases[i].owner_gone;
        acquire_alone(&b, &claim);
        assert_int_equal(b.claimed.verdict, cases[i].verdict);
        assert_string_equal(b.claimed.owner.node, "a");
        bool granted = cases[i].verdict == CLAIM_GRANTED;
        if (granted) {
            assert_true(b.claimed.epoch > epoch);
            RUN_UNTIL(&a, &b, a.fences == 1);
            assert_string_equal(a.fenced_by.node, "b");
        }
        RUN_UNTIL(&a, &b, looks_up(&a, &b, granted ? "b" : "a"));
        assert_true(looks_up(&b, &a, granted ? "b" : "a"));
        close_pair(&a, &b);
    }
}

/* Both grant it before they hear of each other: the higher (epoch, instance) stays. */
static void test_both_at_once(void **state)
{
    struct node a, b;
    open_pair(&a, &b);
    struct cluster_claim one = claim_of("s1", "p"), two = claim_of("s2", "q");
    acquire_deaf(&a, &one);
    acquire_deaf(&b, &two);
    assert_int_equal(a.claimed.verdict, CLAIM_GRANTED);
    assert_int_equal(b.claimed.verdict, CLAIM_GRANTED);
    bool a_wins = a.claimed.epoch > b.claimed.epoch;
    struct node *loser = a_wins ? &b : &a;
    const char *winner = a_wins ? "a" : "b";
    RUN_UNTIL(&a, &b, loser->fences == 1);
    assert_int_equal(a.fences + b.fences, 1);
    RUN_UNTIL(&a, &b, looks_up(&a, &b, winner) && looks_up(&b, &a, winner));
    close_pair(&a, &b);
}

static void test_leaving(void **state)
{
    struct node a, b;
    open_pair(&a, &b);
    struct cluster_claim claim = claim_of("s1", "p");
    acquire_alone(&a, &claim);
    RUN_UNTIL(&a, &b, looks_up(&b, &a, "a"));
    node_leave(&a);
    RUN_UNTIL(&b, NULL, count_nodes(&b, NULL) == 1);
    assert_true(looks_up(&b, NULL, NULL));
    claim = claim_of("s2", "q"); /* nobody holds it any more */
    acquire_alone(&b, &claim);
    assert_int_equal(b.claimed.verdict, CLAIM_GRANTED);
    close_pair(&a, &b);
}

/* One that gives its set byte by byte does not keep others waiting for ever. */
static void test_a_set_that_never_ends(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n";
    struct node a, b;
    uint16_t port_a = free_port(), port_b = free_port();
    int listener = tcp_listen(&relay_port), fd;
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    node_open(&b, "b", 2, port_b, port_a);
    relay_port = 9;
    struct cluster_claim claim = claim_of("s1", "p");
    acquire_alone(&b, &claim);
    /* Told to nobody, and not told again: who comes later has to ask for it. */
    int64_t told_us = clock_us() + 500000;
    while (clock_us() < told_us)
        turn(&b, NULL);
    node_open(&a, "a", 1, port_a, port_b);
    RUN_UNTIL(&a, &b, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    assert_int_equal(send(fd, head, sizeof head - 1, MSG_NOSIGNAL), sizeof head - 1);
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_US, next_us = 0;
    char request[4096];
    while (recv(fd, request, sizeof request, 0) != 0) {
        turn(&a, &b);
        int64_t now_us = clock_us();
        assert_true(now_us < give_up_us);
        if (now_us < next_us)
            continue;
        next_us = now_us + 200000;
        if (send(fd, "x", 1, MSG_NOSIGNAL) < 0)
            break;
    }
    close(fd);
    close(listener);
    close_pair(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim_and_release),     cmocka_unit_test(test_who_may_take_over),
        cmocka_unit_test(test_both_at_once),          cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_a_set_that_never_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
