#include "cluster/redis_test.h"

#include "base/err.h"

#define STREAM "sluice:{t}:stream:live/a"
#define MS     1000LL

static struct server server;

static int start_server(void **state)
{
    server.port = free_port();
    server_start(&server);
    return 0;
}

static int stop_server(void **state)
{
    server_kill(&server);
    return 0;
}

static void open_two(struct node *a, struct node *b)
{
    admin(&server, "FLUSHALL");
    node_open(a, &server, "n1", ROLE_NODE, "");
    node_open(b, &server, "n2", ROLE_NODE, "");
    RUN_UNTIL(a, b, node_ready(a) && node_ready(b));
}

static void close_two(struct node *a, struct node *b)
{
    node_close(a);
    node_close(b);
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static void a_claim_is_a_readable_record(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    cluster_watch(b.c, "live/a");
    run_once(&b, NULL);
    struct cluster_claim claim = claim_of("live/a", "s1", "alice");
    struct cluster_claimed got = acquire(&a, &claim);
    assert_int_equal(got.verdict, CLAIM_GRANTED);
    assert_false(got.owner.found);
    assert_int_equal(got.next_msn, CLUSTER_NEXT_NONE);
    char want[512];
    snprintf(want, sizeof want,
             "n1 %016" PRIx64 " s1 alice 10.0.0.9:7000 rtmp %" PRIu64 " live 0 %d", a.self.instance,
             got.epoch, LEASE_MS);
    assert_string_equal(admin(&server,
                              "HMGET %s node instance session publisher addr proto epoch "
                              "state takeovers lease_ms",
                              STREAM),
                        want);
    assert_int_equal(number(admin(&server, "HLEN %s", STREAM)), 14);
    assert_in_range(number(admin(&server, "PTTL %s", STREAM)), 1, LEASE_MS);
    assert_int_equal(number(admin(&server, "GET sluice:{t}:epoch")), got.epoch);

    int64_t told_us = clock_us();
    RUN_FOR_UNTIL(&b, NULL, 500 * MS, b.owners == 1);
    assert_true(clock_us() - told_us < 500 * MS);
    assert_true(b.owner.found);
    assert_int_equal(b.owner.epoch, got.epoch);
    assert_string_equal(b.owner.address, "10.0.0.9:7000");

    struct cluster_owner o = lookup(&b, "live/a");
    assert_true(o.found && o.from_directory && !o.lost);
    assert_int_equal(o.instance, a.self.instance);
    o = lookup(&b, "live/none");
    assert_true(!o.found && o.from_directory);

    cluster_set_next(a.c, "live/a", got.epoch, 17, 3, 2);
    RUN_UNTIL(&a, &b, number(admin(&server, "HGET %s msn", STREAM)) == 17);
    assert_string_equal(admin(&server, "HMGET %s dsn tracks", STREAM), "3 2");
    snprintf(want, sizeof want, "17 3 %" PRIu64, got.epoch);
    assert_string_equal(admin(&server, "HMGET sluice:{t}:next:live/a msn dsn epoch"), want);
    assert_in_range(number(admin(&server, "PTTL sluice:{t}:next:live/a")), 590000, 600000);

    cluster_set_next(a.c, "live/a", got.epoch, 18, 3, 2);
    release(&a, "live/a", got.epoch);
    assert_string_equal(admin(&server, "EXISTS %s", STREAM), "0");
    assert_string_equal(admin(&server, "HGET sluice:{t}:next:live/a msn"), "18");
    RUN_FOR_UNTIL(&b, NULL, 500 * MS, b.owners == 2);
    assert_false(b.owner.found);
    claim = claim_of("live/a", "s2", "");
    got = acquire(&b, &claim);
    assert_int_equal(got.next_msn, 18);
    assert_int_equal(got.next_dsn, 3);
    cluster_unwatch(b.c, "live/a");
    close_two(&a, &b);
}

static void who_may_take_over(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    struct cluster_claim mine = claim_of("live/a", "s1", "alice");
    struct cluster_claim bob = claim_of("live/a", "s2", "bob");
    struct cluster_claim alice = claim_of("live/a", "s3", "alice");
    struct cluster_claim nobody = claim_of("live/b", "s4", "");
    struct cluster_claimed first = acquire(&a, &mine);
    assert_int_equal(acquire(&a, &mine).epoch, first.epoch); /* repeated: the same */

    struct cluster_claimed got = acquire(&b, &bob);
    assert_int_equal(got.verdict, CLAIM_BUSY);
    assert_int_equal(got.owner.epoch, first.epoch);
    assert_string_equal(got.owner.node, "n1");
    assert_in_range(got.wait_ms, 1, LEASE_MS / 2);

    alice.policy = TAKEOVER_REJECT;
    assert_int_equal(acquire(&b, &alice).verdict, CLAIM_BUSY);
    alice.policy = TAKEOVER_SAME;
    got = acquire(&b, &alice);
    assert_int_equal(got.verdict, CLAIM_GRANTED);
    assert_true(got.epoch > first.epoch);
    assert_int_equal(got.owner.instance, a.self.instance);
    assert_string_equal(admin(&server, "HGET %s takeovers", STREAM), "1");
    RUN_FOR_UNTIL(&a, &b, 500 * MS, a.fences == 1);
    assert_int_equal(a.owner.epoch, got.epoch);
    assert_int_equal(cluster_backend_held_count(a.c), 0);

    /* The second displacement is free, the third is held. */
    mine = claim_of("live/a", "s5", "alice");
    assert_int_equal(acquire(&a, &mine).verdict, CLAIM_GRANTED);
    alice = claim_of("live/a", "s6", "alice");
    got = acquire(&b, &alice);
    assert_int_equal(got.verdict, CLAIM_HOLD);
    assert_in_range(got.wait_ms, 3000, 4000);
    assert_string_equal(got.owner.node, "n1");

    /* Unless the owner is gone; that is not counted. */
    alice.owner_gone = true;
    assert_int_equal(acquire(&b, &alice).verdict, CLAIM_GRANTED);
    assert_string_equal(admin(&server, "HGET %s takeovers", STREAM), "2");
    bob.policy = TAKEOVER_REPLACE; /* more than the setting: after asking the owner */
    assert_int_equal(acquire(&a, &bob).verdict, CLAIM_GRANTED);

    assert_int_equal(acquire(&a, &nobody).verdict, CLAIM_GRANTED);
    struct cluster_claim nobody2 = claim_of("live/b", "s7", "");
    assert_int_equal(acquire(&b, &nobody2).verdict, CLAIM_BUSY);
    close_two(&a, &b);
}

static void lost_is_open_to_the_same(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    struct cluster_claim mine = claim_of("live/a", "s1", "alice");
    struct cluster_claim bob = claim_of("live/a", "s2", "bob");
    struct cluster_claim alice = claim_of("live/a", "s3", "alice");
    uint64_t epoch = acquire(&a, &mine).epoch;
    cluster_set_lost(a.c, "live/a", epoch, true);
    RUN_FOR_UNTIL(&a, NULL, 500 * MS, lookup(&b, "live/a").lost); /* now, not at the heartbeat */
    assert_int_equal(acquire(&b, &bob).verdict, CLAIM_BUSY);
    assert_int_equal(acquire(&b, &alice).verdict, CLAIM_GRANTED);
    assert_string_equal(admin(&server, "HGET %s takeovers", STREAM), "0");
    RUN_UNTIL(&a, &b, a.fences == 1);
    close_two(&a, &b);
}

/* Every state is renewed; what Redis has lost comes back with the same epoch. */
static void lost_records_are_restored(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    cluster_watch(b.c, "live/0");
    enum { STREAMS = 120 }; /* three batches */
    uint64_t epochs[STREAMS];
    char name[32];
    for (int i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof name, "live/%d", i);
        struct cluster_claim claim = claim_of(name, "s1", "alice");
        epochs[i] = acquire(&a, &claim).epoch;
    }
    RUN_UNTIL(&b, NULL, b.owners == 1);
    admin(&server, "FLUSHALL");
    int64_t flushed_us = clock_us();
    for (int i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof name, "live/%d", i);
        RUN_UNTIL(&a, &b,
                  number(admin(&server, "HGET sluice:{t}:stream:%s epoch", name)) == epochs[i]);
    }
    assert_true(clock_us() - flushed_us < 4000 * MS);
    assert_string_equal(admin(&server, "HMGET sluice:{t}:stream:live/7 node state publisher"),
                        "n1 live alice");
    RUN_UNTIL(&a, &b, METRIC_GET(a.net.w->metrics.claims_restored_total) == STREAMS);
    assert_int_equal(a.fences, 0);
    assert_true(lookup(&b, "live/0").found);
    RUN_UNTIL(&a, &b, number(admin(&server, "ZCARD sluice:{t}:nodes")) == 2);
    cluster_unwatch(b.c, "live/0");
    close_two(&a, &b);
}

/* A node that stood still for half a lease may be displaced by anybody, and learns it at once. */
static void who_stands_still_is_displaced(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    struct cluster_claim mine = claim_of("live/a", "s1", "alice");
    struct cluster_claim bob = claim_of("live/a", "s2", "bob");
    struct cluster_claimed got;
    acquire(&a, &mine);
    int64_t start_us = clock_us();
    int busy = 0;
    while ((got = acquire(&b, &bob)).verdict == CLAIM_BUSY) {
        busy++;
        poll(NULL, 0, 20);
    }
    assert_int_equal(got.verdict, CLAIM_GRANTED);
    assert_true(busy > 0);
    assert_in_range((clock_us() - start_us) / MS, LEASE_MS / 2 - 100, LEASE_MS);
    assert_int_equal(a.fences, 0);
    RUN_UNTIL(&a, &b, a.fences == 1);
    assert_int_equal(a.owner.epoch, got.epoch);
    assert_int_equal(lookup(&a, "live/a").epoch, got.epoch);
    close_two(&a, &b);
}

static void a_dead_node_disappears(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    struct cluster_claim mine = claim_of("live/a", "s1", "alice");
    acquire(&a, &mine);
    assert_true(lookup(&b, "live/a").found);
    struct answer list = {0};
    cluster_nodes(b.c, b.net.w, on_listed, &list);
    RUN_UNTIL(&b, NULL, list.count == 1);
    assert_int_equal(list.node_count, 2);
    /* a is not turned any more. */
    RUN_UNTIL(&b, NULL, !lookup(&b, "live/a").found);
    RUN_UNTIL(&b, NULL, strcmp(admin(&server, "EXISTS sluice:{t}:node:n1"), "0") == 0);
    list = (struct answer){0};
    cluster_nodes(b.c, b.net.w, on_listed, &list);
    RUN_UNTIL(&b, NULL, list.count == 1);
    assert_int_equal(list.node_count, 1);
    assert_string_equal(list.nodes[0].id, "n2");
    assert_string_equal(admin(&server, "ZRANGE sluice:{t}:nodes 0 -1"), "n2");
    close_two(&a, &b);
}

/* The state of a node as n remembers it, "none" when it is not in the list. */
static const char *known_state(struct node *n, const char *id)
{
    static struct answer list;
    list = (struct answer){0};
    cluster_known_nodes(n->c, n->net.w, on_listed, &list);
    RUN_UNTIL(n, NULL, list.count == 1);
    for (size_t i = 0; i < list.node_count; i++)
        if (strcmp(list.nodes[i].id, id) == 0)
            return list.nodes[i].state;
    return "none";
}

static void nodes_come_drain_and_go(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    char want[256];
    snprintf(want, sizeof want,
             "%016" PRIx64 " 10.0.0.9:7000 10.0.0.9:8080 node z1 1.2 1 1 up 3 4 5 1234567",
             a.self.instance);
    assert_string_equal(admin(&server, "HMGET sluice:{t}:node:n1 instance addr http role zone "
                                       "version pv_min pv_max state streams viewers load since"),
                        want);
    assert_int_equal(number(admin(&server, "HLEN sluice:{t}:node:n1")), 13);
    assert_in_range(number(admin(&server, "PTTL sluice:{t}:node:n1")), 1, LEASE_MS);
    uint64_t score = number(admin(&server, "ZSCORE sluice:{t}:nodes n1"));
    assert_in_range(score, (uint64_t)clock_wall_us() / 1000 - 3000,
                    (uint64_t)clock_wall_us() / 1000 + 100);

    a.draining = true;
    RUN_UNTIL(&a, &b, strcmp(known_state(&b, "n1"), "drain") == 0);
    assert_string_equal(known_state(&b, "n2"), "up");
    node_close(&a);
    assert_string_equal(admin(&server, "EXISTS sluice:{t}:node:n1"), "0");
    assert_string_equal(admin(&server, "ZRANGE sluice:{t}:nodes 0 -1"), "n2");
    RUN_FOR_UNTIL(&b, NULL, 500 * MS, strcmp(known_state(&b, "n1"), "none") == 0);
    node_close(&b);
}

static void requests_reach_one_node(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    assert_int_equal(cluster_send(a.c, "n2", "kick", "live/a"), 0);
    RUN_UNTIL(&a, &b, b.requests == 1);
    assert_string_equal(b.verb, "kick");
    assert_string_equal(b.name, "live/a");
    assert_int_equal(a.requests, 0);
    admin(&server, "PUBLISH sluice:{t}:to:n2 not-json");
    admin(&server, "PUBLISH sluice:{t}:events {}");
    assert_int_equal(cluster_send(a.c, "n2", "drain", ""), 0);
    RUN_UNTIL(&a, &b, b.requests == 2);
    close_two(&a, &b);
}

/* Redis dies and comes back empty, while a stream is published and another begins. */
static void without_redis_everything_goes_on(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    cluster_watch(b.c, "live/a");
    cluster_watch(b.c, "live/b");
    struct cluster_claim first = claim_of("live/a", "s1", "alice");
    uint64_t epoch = acquire(&a, &first).epoch;
    RUN_UNTIL(&a, &b, b.owners == 1);
    struct answer list = {0};
    cluster_nodes(b.c, b.net.w, on_listed, &list);
    RUN_UNTIL(&a, &b, list.count == 1);

    server_kill(&server);
    RUN_UNTIL(&a, &b, !cluster_is_up(a.c) && !cluster_is_up(b.c));
    assert_int_equal(METRIC_GET(a.net.w->metrics.redis_up), 0);
    struct cluster_claim second = claim_of("live/b", "s2", "bob");
    int64_t start_us = clock_us();
    struct cluster_claimed got = acquire(&a, &second);
    assert_true(clock_us() - start_us < 100 * MS);
    assert_int_equal(got.verdict, CLAIM_UNREGISTERED);
    assert_in_range(got.epoch, (uint64_t)(clock_wall_us() - 5000 * MS), (uint64_t)clock_wall_us());
    struct cluster_owner o = lookup(&b, "live/a");
    assert_true(o.found && !o.from_directory);
    assert_int_equal(o.epoch, epoch);
    assert_false(lookup(&b, "live/c").found);
    list = (struct answer){0};
    cluster_nodes(b.c, b.net.w, on_listed, &list);
    RUN_UNTIL(&b, NULL, list.count == 1);
    assert_int_equal(list.node_count, 2);
    assert_int_equal(a.fences + a.fatals + b.fatals, 0);
    assert_int_equal(b.owners, 1);

    server_start(&server);
    RUN_FOR_UNTIL(&a, &b, 5000 * MS,
                  number(admin(&server, "HGET sluice:{t}:stream:live/b epoch")) == got.epoch &&
                      number(admin(&server, "HGET %s epoch", STREAM)) == epoch);
    RUN_UNTIL(&a, &b, b.owner.epoch == got.epoch); /* told by event or by reading */
    RUN_UNTIL(&a, &b, node_ready(&a) && node_ready(&b));
    RUN_UNTIL(&a, &b, METRIC_GET(a.net.w->metrics.claims_restored_total) == 1);
    assert_true(METRIC_GET(a.net.w->metrics.redis_reconnects_total) >= 2);
    struct cluster_claim third = claim_of("live/d", "s3", "");
    assert_int_equal(acquire(&b, &third).verdict, CLAIM_GRANTED);
    cluster_unwatch(b.c, "live/a");
    cluster_unwatch(b.c, "live/b");
    close_two(&a, &b);
}

/* Redis stops, gets an acquire, and works it off after its caller has gone on by itself. */
static void a_late_acquire_does_nothing(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    struct cluster_claim claim = claim_of("live/a", "s1", "alice");
    assert_int_equal(acquire(&a, &claim).verdict, CLAIM_GRANTED); /* the script is loaded */
    claim = claim_of("live/b", "s2", "alice");
    kill(server.pid, SIGSTOP);
    int64_t start_us = clock_us();
    struct cluster_claimed got = acquire(&a, &claim);
    assert_in_range((clock_us() - start_us) / MS, 500, REDIS_COMMAND_MS + 300);
    assert_int_equal(got.verdict, CLAIM_UNREGISTERED);
    kill(server.pid, SIGCONT);
    RUN_UNTIL(&a, &b, number(admin(&server, "HGET sluice:{t}:stream:live/b epoch")) == got.epoch);
    for (int i = 0; i < 100; i++)
        run_once(&a, &b);
    assert_int_equal(number(admin(&server, "HGET sluice:{t}:stream:live/b epoch")), got.epoch);
    assert_int_equal(a.fences, 0);
    close_two(&a, &b);
}

static void a_killed_subscription_is_made_again(void **state)
{
    struct node a, b;
    open_two(&a, &b);
    cluster_watch(b.c, "live/a");
    admin(&server, "CLIENT KILL TYPE pubsub");
    struct cluster_claim claim = claim_of("live/a", "s1", "");
    uint64_t epoch = acquire(&a, &claim).epoch; /* the event is heard by nobody */
    RUN_FOR_UNTIL(&a, &b, 2500 * MS, b.owners == 1 && b.owner.epoch == epoch);
    RUN_UNTIL(&a, &b, node_ready(&a) && node_ready(&b));
    cluster_unwatch(b.c, "live/a");
    close_two(&a, &b);
}

/* A subscription that says nothing any more is found by not hearing ourselves. */
static void a_deaf_subscription_is_left(void **state)
{
    struct node a;
    admin(&server, "FLUSHALL");
    node_open(&a, &server, "n1", ROLE_NODE, "");
    RUN_UNTIL(&a, NULL, node_ready(&a));
    struct redis *r = a.c->state;
    RUN_UNTIL(&a, NULL, r->ping_heard);
    uint64_t made = METRIC_GET(a.net.w->metrics.redis_reconnects_total);
    snprintf(r->to_self, sizeof r->to_self, "sluice:{t}:to:elsewhere");
    timer_set_us(&r->ping, 0);
    /* Counted: one turn of the loop may see it go and come back. */
    RUN_UNTIL(&a, NULL, METRIC_GET(a.net.w->metrics.redis_reconnects_total) == made + 1);
    assert_true(cluster_is_up(a.c));
    RUN_UNTIL(&a, NULL, node_ready(&a) && r->ping_heard); /* there it hears itself */
    node_close(&a);
}

static void redis_may_come_later(void **state)
{
    struct node a;
    struct server late = {.port = free_port()};
    node_open(&a, &late, "n1", ROLE_NODE, "");
    struct cluster_claim claim = claim_of("live/a", "s1", "");
    struct cluster_claimed got = acquire(&a, &claim);
    assert_int_equal(got.verdict, CLAIM_UNREGISTERED);
    server_start(&late);
    RUN_UNTIL(&a, NULL, node_ready(&a));
    RUN_UNTIL(&a, NULL, number(admin(&late, "HGET %s epoch", STREAM)) == got.epoch);
    assert_int_equal(METRIC_GET(a.net.w->metrics.claims_restored_total), 0);
    assert_int_equal(a.fatals, 0);
    node_close(&a);
    server_kill(&late);
}

#define ORIGIN_RULES                                                                               \
    "resetkeys ~sluice:{t}:* resetchannels &sluice:{t}:* -@all +hello +auth +ping "                \
    "+client|setname +client|id +info +role +time +evalsha +script|load +zadd +zrange +zrem "      \
    "+zremrangebyscore +hset +hmget +hgetall +get +set +del +incr +pexpire +pttl +publish "        \
    "+subscribe +unsubscribe +reset +quit"
#define EDGE_RULES                                                                                 \
    "resetkeys %%R~sluice:{t}:* %%RW~sluice:{t}:node:* %%RW~sluice:{t}:nodes resetchannels "       \
    "&sluice:{t}:events &sluice:{t}:to:* -@all +hello +auth +ping +client|setname +info +role "    \
    "+time +hmget +hgetall +get +mget +pttl +hset +pexpire +del +zadd +zrange +zrem "              \
    "+zremrangebyscore +publish +subscribe +unsubscribe +reset +quit"

static void the_documented_users_are_enough(void **state)
{
    struct node origin, edge;
    admin(&server, "FLUSHALL");
    admin(&server, "ACL LOG RESET");
    assert_string_equal(admin(&server, "ACL SETUSER origin on >o " ORIGIN_RULES), "OK");
    assert_string_equal(admin(&server, "ACL SETUSER edge on >e " EDGE_RULES), "OK");
    node_open(&origin, &server, "o1", ROLE_ORIGIN, "origin:o@");
    node_open(&edge, &server, "e1", ROLE_EDGE, "edge:e@");
    RUN_UNTIL(&origin, &edge, node_ready(&origin) && node_ready(&edge));
    cluster_watch(edge.c, "live/a");
    struct cluster_claim claim = claim_of("live/a", "s1", "alice");
    uint64_t epoch = acquire(&origin, &claim).epoch;
    RUN_UNTIL(&origin, &edge, edge.owners == 1);
    assert_true(lookup(&edge, "live/a").found);
    struct answer list = {0};
    cluster_nodes(edge.c, edge.net.w, on_listed, &list);
    RUN_UNTIL(&origin, &edge, list.count == 1);
    assert_int_equal(list.node_count, 2);
    const struct redis *r = edge.c->state;
    RUN_UNTIL(&origin, &edge, r->ping_heard);
    release(&origin, "live/a", epoch);
    RUN_UNTIL(&origin, &edge, edge.owners == 2);
    cluster_unwatch(edge.c, "live/a");
    node_close(&edge);
    node_close(&origin);
    assert_int_equal(origin.fatals + edge.fatals, 0);
    assert_string_equal(admin(&server, "ACL LOG 1"), "");
    admin(&server, "ACL DELUSER origin edge");
}

static void refusals_at_the_start_are_fatal(void **state)
{
    static const struct {
        const char *what, *credentials, *says;
        enum node_role role;
    } cases[] = {
        {"wrong password", "origin:wrong@", "WRONGPASS", ROLE_NODE},
        {"no such user", "who:o@", "WRONGPASS", ROLE_EDGE},
        {"an origin that may not publish", "mute:m@", "ACL SETUSER origin", ROLE_NODE},
        {"an origin with an edge's rights", "edge:e@", "ACL SETUSER origin", ROLE_NODE},
        {"an edge that may not write", "reader:r@", "ACL SETUSER edge", ROLE_EDGE},
        {"an edge that may not hear", "deaf:d@", "subscribe refused", ROLE_EDGE},
    };
    admin(&server, "FLUSHALL");
    admin(&server, "ACL SETUSER origin on >o " ORIGIN_RULES);
    admin(&server, "ACL SETUSER mute on >m " ORIGIN_RULES " -publish");
    admin(&server, "ACL SETUSER edge on >e " EDGE_RULES);
    admin(&server, "ACL SETUSER reader on >r " EDGE_RULES " -hset");
    admin(&server, "ACL SETUSER deaf on >d " EDGE_RULES " resetchannels");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct node n;
        print_message("%s\n", cases[i].what);
        node_open(&n, &server, "n1", cases[i].role, cases[i].credentials);
        RUN_UNTIL(&n, NULL, n.fatals > 0);
        assert_non_null(strstr(n.fatal, cases[i].says));
        assert_non_null(strstr(n.fatal, "docs/redis.md"));
        assert_null(strstr(n.fatal, ":wrong"));
        for (int j = 0; j < 300; j++)
            run_once(&n, NULL);
        assert_int_equal(n.fatals, 1);
        node_close(&n);
    }
    admin(&server, "ACL DELUSER origin mute edge reader deaf");
}

/* Its own channel is for checking the subscription only. */
static void an_edge_without_its_channel_runs(void **state)
{
    struct node edge;
    admin(&server, "FLUSHALL");
    admin(&server, "ACL SETUSER edge on >e " EDGE_RULES " resetchannels &sluice:{t}:events -time");
    node_open(&edge, &server, "e1", ROLE_EDGE, "edge:e@");
    const struct redis *r = edge.c->state;
    RUN_UNTIL(&edge, NULL, r->events_on && r->accepted && r->subscribe_answers == 2);
    assert_false(r->to_on);
    RUN_UNTIL(&edge, NULL, number(admin(&server, "ZCARD sluice:{t}:nodes")) == 1);
    node_close(&edge);
    assert_int_equal(edge.fatals, 0);
    admin(&server, "ACL DELUSER edge");
}

/* Rights that go while we run end nothing. */
static void refusals_later_are_not(void **state)
{
    struct node a;
    admin(&server, "FLUSHALL");
    admin(&server, "ACL SETUSER origin on >o " ORIGIN_RULES);
    node_open(&a, &server, "n1", ROLE_NODE, "origin:o@");
    RUN_UNTIL(&a, NULL, node_ready(&a));
    admin(&server, "ACL SETUSER origin -evalsha -hset -publish");
    struct cluster_claim claim = claim_of("live/a", "s1", "");
    struct cluster_claimed got = acquire(&a, &claim);
    assert_int_equal(got.verdict, CLAIM_UNREGISTERED);
    admin(&server, "ACL SETUSER origin resetpass >new");
    admin(&server, "CLIENT KILL USER origin");
    RUN_UNTIL(&a, NULL, !cluster_is_up(a.c));
    for (int i = 0; i < 300; i++)
        run_once(&a, NULL);
    admin(&server, "ACL SETUSER origin resetpass >o +evalsha +hset +publish");
    RUN_UNTIL(&a, NULL, number(admin(&server, "HGET %s epoch", STREAM)) == got.epoch);
    assert_int_equal(a.fatals, 0);
    node_close(&a);
    admin(&server, "ACL DELUSER origin");
}

static void settings_that_cannot_work_are_refused(void **state)
{
    static const struct {
        const char *url, *name, *says;
        int err;
    } cases[] = {
        {"rediss://h:6379", "t", "/no/authority.pem", ERR_TLS},
        {"http://h", "t", "cluster.redis.url", ERR_TYPE},
        {"redis://h", "a{b}", "cluster.name", ERR_NAME},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_fixture net;
        struct cluster_self self = {.node = "n1"};
        struct cluster *c = NULL;
        char error[CONFIG_ERROR_MAX], url[64], name[64], ca[] = "/no/authority.pem";
        fixture_open(&net);
        snprintf(url, sizeof url, "%s", cases[i].url);
        snprintf(name, sizeof name, "%s", cases[i].name);
        net.config.cluster.backend = CLUSTER_REDIS;
        net.config.cluster.redis.url = url;
        net.config.cluster.redis.tls_ca = ca;
        net.config.cluster.name = name;
        assert_int_equal(cluster_open(&c, &net.group, &self, NULL, NULL, error), cases[i].err);
        assert_non_null(strstr(error, cases[i].says));
        assert_null(c);
        fixture_close(&net);
    }
}

/* A second signal: nobody waits for the close, and all the same everybody is answered. */
static void what_waits_at_the_end_is_answered(void **state)
{
    struct node a;
    struct answer looked_up = {0}, listed = {0}, claimed = {0};
    const struct cluster_claim claim = claim_of("live/a", "s1", "p1");
    node_open(&a, &server, "n1", ROLE_NODE, "");
    RUN_UNTIL(&a, NULL, node_ready(&a));
    cluster_lookup(a.c, a.net.w, "live/a", on_looked_up, &looked_up);
    cluster_nodes(a.c, a.net.w, on_listed, &listed);
    cluster_acquire(a.c, a.net.w, &claim, on_claimed, &claimed);
    cluster_close(a.c, node_on_closed, &a);
    workers_drain(&a.net.group); /* asked, and no loop runs that would hear the answers */
    assert_int_equal(looked_up.count + listed.count + claimed.count + a.closed, 0);
    cluster_stop(a.c);
    workers_drain(&a.net.group);
    assert_int_equal(looked_up.count, 1);
    assert_int_equal(listed.count, 1);
    assert_int_equal(claimed.count, 1);
    assert_int_equal(a.closed, 1);
    cluster_free(&a.c);
    fixture_close(&a.net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_that_cannot_work_are_refused),
        cmocka_unit_test(a_claim_is_a_readable_record),
        cmocka_unit_test(who_may_take_over),
        cmocka_unit_test(lost_is_open_to_the_same),
        cmocka_unit_test(lost_records_are_restored),
        cmocka_unit_test(who_stands_still_is_displaced),
        cmocka_unit_test(a_dead_node_disappears),
        cmocka_unit_test(nodes_come_drain_and_go),
        cmocka_unit_test(requests_reach_one_node),
        cmocka_unit_test(without_redis_everything_goes_on),
        cmocka_unit_test(a_late_acquire_does_nothing),
        cmocka_unit_test(a_killed_subscription_is_made_again),
        cmocka_unit_test(a_deaf_subscription_is_left),
        cmocka_unit_test(redis_may_come_later),
        cmocka_unit_test(the_documented_users_are_enough),
        cmocka_unit_test(refusals_at_the_start_are_fatal),
        cmocka_unit_test(an_edge_without_its_channel_runs),
        cmocka_unit_test(refusals_later_are_not),
        cmocka_unit_test(what_waits_at_the_end_is_answered),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
