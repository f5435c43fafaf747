#include "net/net_test.h"

#include "base/err.h"
#include "cluster/cluster_internal.h"

#include <stdio.h>

#define S 1000000LL

/* One worker that the test turns itself, and one cluster on it. */
struct fixture {
    struct net_fixture net;
    struct cluster *c;
    int owners, fences, closed;
    char name[NAME_STREAM_MAX + 1];
    struct cluster_owner owner;
    uint64_t fenced_epoch;
    bool draining;
};

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct fixture *f = arg;
    f->owners++;
    f->owner = *owner;
    snprintf(f->name, sizeof f->name, "%s", name);
}

static void on_fenced(const char *name, uint64_t epoch, const struct cluster_owner *owner,
                      void *arg)
{
    struct fixture *f = arg;
    f->fences++;
    f->fenced_epoch = epoch;
    f->owner = *owner;
}

static void fill_load(struct cluster_load *load, void *arg)
{
    struct fixture *f = arg;
    *load = (struct cluster_load){.streams = 2, .viewers = 3, .draining = f->draining};
}

static const struct cluster_events events = {
    .on_owner = on_owner, .on_fenced = on_fenced, .fill_load = fill_load};
static const struct cluster_self self = {
    .node = "n1", .instance = 100, .relay_address = "10.0.0.1:7000", .version = "1"};

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed++;
}

static void turns(struct fixture *f)
{
    for (int i = 0; i < 4; i++)
        fixture_turn(&f->net);
}

static void open_one(struct fixture *f)
{
    char error[CONFIG_ERROR_MAX];
    static char name[] = "default";
    memset(f, 0, sizeof *f);
    fixture_open(&f->net);
    f->net.config.cluster.name = name;
    assert_int_equal(cluster_open(&f->c, &f->net.group, &self, &events, f, error), 0);
    assert_false(cluster_is_up(f->c));
    turns(f);
    assert_true(cluster_is_up(f->c));
}

static void close_one(struct fixture *f)
{
    cluster_close(f->c, on_closed, f);
    turns(f);
    assert_int_equal(f->closed, 1);
    cluster_free(&f->c);
    fixture_close(&f->net);
}

struct claimed {
    int count;
    struct cluster_claimed last;
};

static void on_claimed(const struct cluster_claimed *claimed, void *arg)
{
    struct claimed *a = arg;
    a->count++;
    a->last = *claimed;
}

static struct cluster_claim claim_of(const char *session, const char *publisher)
{
    struct cluster_claim claim = {.policy = TAKEOVER_SAME, .name = "live/a", .proto = "rtmp"};
    snprintf(claim.session, sizeof claim.session, "%s", session);
    snprintf(claim.publisher, sizeof claim.publisher, "%s", publisher);
    return claim;
}

static struct cluster_claimed acquire(struct fixture *f, const struct cluster_claim *claim)
{
    struct claimed a = {0};
    cluster_acquire(f->c, f->net.w, claim, on_claimed, &a);
    assert_int_equal(a.count, 0); /* never from inside the call */
    TURN_UNTIL(&f->net, a.count == 1);
    return a.last;
}

static struct cluster_owner found;
static int lookups;

static void on_found(const struct cluster_owner *owner, void *arg)
{
    found = *owner;
    lookups++;
}

static struct cluster_owner lookup(struct fixture *f, const char *name)
{
    int before = lookups;
    cluster_lookup(f->c, f->net.w, name, on_found, NULL);
    assert_int_equal(lookups, before);
    TURN_UNTIL(&f->net, lookups == before + 1);
    return found;
}

static void on_plain(void *arg)
{
    (*(int *)arg)++;
}

static void claims_of_one_node(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_claim a = claim_of("s1", "alice"), b = claim_of("s2", "bob");
    struct cluster_claimed got = acquire(&f, &a);
    assert_int_equal(got.verdict, CLAIM_GRANTED);
    assert_false(got.owner.found);
    assert_int_equal(got.next_msn, CLUSTER_NEXT_NONE);
    uint64_t first = got.epoch;
    assert_in_range(first, (uint64_t)(clock_wall_us() - 10 * S), (uint64_t)clock_wall_us());

    got = acquire(&f, &a);
    assert_int_equal(got.epoch, first); /* a repeated request is harmless */
    got = acquire(&f, &b);
    assert_int_equal(got.verdict, CLAIM_BUSY);
    assert_int_equal(got.owner.epoch, first);

    cluster_set_next(f.c, "live/a", first, 41, 7, 2);
    struct cluster_claim a2 = claim_of("s3", "alice");
    got = acquire(&f, &a2);
    assert_int_equal(got.verdict, CLAIM_GRANTED);
    assert_true(got.epoch > first);
    assert_int_equal(got.next_msn, 41);
    assert_int_equal(got.next_dsn, 7);
    assert_int_equal(got.next_epoch, first);

    cluster_set_lost(f.c, "live/a", first, true); /* of the claim before: nothing */
    assert_false(lookup(&f, "live/a").lost);
    cluster_set_lost(f.c, "live/a", got.epoch, true);
    assert_true(lookup(&f, "live/a").lost);

    int released = 0;
    cluster_release(f.c, "live/a", first, "unpublished", f.net.w, on_plain, &released);
    TURN_UNTIL(&f.net, released == 1);
    assert_true(lookup(&f, "live/a").found);
    cluster_release(f.c, "live/a", got.epoch, "unpublished", f.net.w, on_plain, &released);
    TURN_UNTIL(&f.net, released == 2);
    assert_false(lookup(&f, "live/a").found);
    close_one(&f);
}

static void the_floor_and_the_memory_raise_the_epoch(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_claim a = claim_of("s1", "");
    a.floor = (uint64_t)clock_wall_us() + 3600 * S;
    struct cluster_claimed got = acquire(&f, &a);
    assert_true(got.epoch > a.floor && got.epoch <= a.floor + EPOCH_SPREAD);
    cluster_release(f.c, "live/a", got.epoch, "unpublished", NULL, NULL, NULL);
    struct cluster_claim b = claim_of("s2", "");
    struct cluster_claimed next = acquire(&f, &b);
    assert_true(next.epoch > got.epoch && next.epoch <= got.epoch + EPOCH_SPREAD);
    close_one(&f);
}

static struct cluster_owner other(uint64_t epoch, uint64_t instance, const char *address)
{
    struct cluster_owner o = {.found = true, .epoch = epoch, .instance = instance, .node = "n2"};
    snprintf(o.address, sizeof o.address, "%s", address);
    return o;
}

static void learn(struct fixture *f, const struct cluster_owner *o)
{
    cluster_learn(f->c, "live/a", o);
    turns(f);
}

static void only_higher_is_news(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_owner o = other(500, 5, "h:1");
    learn(&f, &o);
    assert_int_equal(f.owners, 0); /* nobody watches */
    cluster_watch(f.c, "live/a");
    turns(&f);
    assert_int_equal(f.owners, 1); /* what was heard before the watch */
    learn(&f, &o);
    assert_int_equal(f.owners, 1);
    struct cluster_owner lower = other(499, 9, "h:2"), lower2 = other(500, 4, "h:2");
    learn(&f, &lower);
    learn(&f, &lower2);
    assert_int_equal(f.owners, 1);
    struct cluster_owner higher = other(500, 6, "h:3");
    learn(&f, &higher);
    assert_int_equal(f.owners, 2);
    assert_string_equal(f.owner.address, "h:3");
    assert_int_equal(METRIC_GET(f.net.w->metrics.takeover_total), 1);

    struct cluster_owner end = higher;
    end.found = false;
    end.epoch = 499;
    learn(&f, &end);
    assert_int_equal(f.owners, 2); /* the end of a run that is over anyway */
    end.epoch = 500;
    learn(&f, &end);
    assert_int_equal(f.owners, 3);
    assert_false(f.owner.found);
    learn(&f, &end);
    learn(&f, &higher); /* was under way before the end */
    assert_int_equal(f.owners, 3);
    cluster_unwatch(f.c, "live/a");
    turns(&f);
    struct cluster_owner next = other(501, 1, "h:4");
    learn(&f, &next);
    assert_int_equal(f.owners, 3);
    close_one(&f);
}

static void watches_are_counted(void **state)
{
    struct fixture f;
    open_one(&f);
    cluster_watch(f.c, "live/a");
    cluster_watch(f.c, "live/a");
    cluster_unwatch(f.c, "live/a");
    turns(&f);
    struct cluster_owner o = other(500, 5, "h:1");
    learn(&f, &o);
    assert_int_equal(f.owners, 1);
    cluster_unwatch(f.c, "live/a");
    close_one(&f);
}

static void a_record_that_came_back_is_told_again(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_owner o = other(500, 5, "h:1"), none = {0};
    cluster_watch(f.c, "live/a");
    learn(&f, &o);
    assert_int_equal(f.owners, 1);
    cluster_backend_news(f.c, "live/a", &none, CLUSTER_NEWS_READ);
    assert_int_equal(f.owners, 1); /* an expired key ends nothing */
    learn(&f, &o);
    assert_int_equal(f.owners, 2);
    cluster_unwatch(f.c, "live/a");
    close_one(&f);
}

static void a_higher_epoch_fences(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_claim a = claim_of("s1", "");
    uint64_t epoch = acquire(&f, &a).epoch;
    struct cluster_owner lower = other(epoch, 99, "h:1"), higher = other(epoch, 101, "h:1");
    learn(&f, &lower);
    assert_int_equal(f.fences, 0);
    learn(&f, &higher);
    assert_int_equal(f.fences, 1);
    assert_int_equal(f.fenced_epoch, epoch);
    assert_string_equal(f.owner.node, "n2");
    assert_int_equal(cluster_backend_held_count(f.c), 0);
    /* The next claim is above it. */
    struct cluster_claim b = claim_of("s2", "");
    assert_true(acquire(&f, &b).epoch > epoch);
    close_one(&f);
}

/* The escape: the directory shows a lower epoch, steadily. */
static void a_lower_epoch_is_believed_after_15_s(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_owner high = other(900, 5, "h:1"), low = other(500, 6, "h:2");
    cluster_watch(f.c, "live/a");
    learn(&f, &high);
    cluster_backend_news(f.c, "live/a", &low, CLUSTER_NEWS_READ);
    struct known *k = known_get(&f.c->known, "live/a", clock_us());
    k->low_since_us -= 14 * S;
    cluster_backend_news(f.c, "live/a", &low, CLUSTER_NEWS_READ);
    assert_int_equal(f.owners, 1);
    learn(&f, &high); /* somebody is still linked to the higher one: from the start */
    cluster_backend_news(f.c, "live/a", &low, CLUSTER_NEWS_READ);
    k->low_since_us -= 14 * S;
    cluster_backend_news(f.c, "live/a", &low, CLUSTER_NEWS_READ);
    assert_int_equal(f.owners, 1);
    k->low_since_us -= 2 * S;
    cluster_backend_news(f.c, "live/a", &low, CLUSTER_NEWS_EVENT); /* events are only hints */
    assert_int_equal(f.owners, 1);
    cluster_backend_news(f.c, "live/a", &low, CLUSTER_NEWS_READ);
    assert_int_equal(f.owners, 2);
    assert_true(f.owner.regressed_us > 0);
    assert_int_equal(f.owner.epoch, 500);
    assert_int_equal(METRIC_GET(f.net.w->metrics.epoch_regress_total), 1);
    cluster_unwatch(f.c, "live/a");
    close_one(&f);
}

static void the_memory_is_bounded(void **state)
{
    struct known_table t;
    char name[32];
    known_init(&t);
    for (int i = 0; i < KNOWN_STREAMS_MAX + 1000; i++) {
        snprintf(name, sizeof name, "a/%d", i);
        known_touch(&t, name, 1 + i);
    }
    assert_int_equal(map_count(t.map), KNOWN_STREAMS_MAX);
    assert_null(known_get(&t, "a/999", 1000));
    assert_non_null(known_get(&t, "a/1000", 1000));
    assert_null(known_get(&t, "a/1000", 1001 + KNOWN_KEEP_US + 1));
    known_fini(&t);
}

static void what_is_too_old_goes_by_the_clock(void **state)
{
    struct known_table t;
    char name[32];
    known_init(&t);
    for (int i = 0; i < KNOWN_LOOK_MAX + 100; i++) {
        snprintf(name, sizeof name, "a/%d", i);
        known_touch(&t, name, i);
    }
    known_touch(&t, "a/7", KNOWN_KEEP_US);
    assert_false(known_expire(&t, KNOWN_KEEP_US));
    assert_int_equal(map_count(t.map), KNOWN_LOOK_MAX + 100);
    assert_false(known_expire(&t, KNOWN_KEEP_US + 10));
    assert_int_equal(map_count(t.map), KNOWN_LOOK_MAX + 100 - 9);
    /* Some at a time; what was touched since stays. */
    assert_true(known_expire(&t, 2 * KNOWN_KEEP_US));
    assert_false(known_expire(&t, 2 * KNOWN_KEEP_US));
    assert_int_equal(map_count(t.map), 1);
    assert_non_null(known_get(&t, "a/7", 2 * KNOWN_KEEP_US));
    assert_false(known_expire(&t, 2 * KNOWN_KEEP_US + 1));
    assert_int_equal(map_count(t.map), 0);
    known_fini(&t);
}

static struct cluster_node node;
static size_t node_count;
static int node_answers;

static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    node = nodes[0];
    node_count = count;
    node_answers++;
}

static void one_node_is_all(void **state)
{
    struct fixture f;
    open_one(&f);
    node_answers = 0;
    f.draining = true;
    cluster_known_nodes(f.c, f.net.w, on_nodes, NULL);
    cluster_nodes(f.c, f.net.w, on_nodes, NULL);
    TURN_UNTIL(&f.net, node_answers == 2);
    assert_int_equal(node_count, 1);
    assert_string_equal(node.id, "n1");
    assert_string_equal(node.role, "node");
    assert_string_equal(node.state, "drain");
    assert_int_equal(node.streams, 2);
    assert_int_equal(cluster_send(f.c, "n2", "kick", "live/a"), ERR_NOT_FOUND);
    close_one(&f);
}

static void after_closing_every_request_is_answered(void **state)
{
    struct fixture f;
    open_one(&f);
    struct cluster_claim a = claim_of("s1", ""), b = claim_of("s2", "");
    uint64_t epoch = acquire(&f, &a).epoch;
    cluster_close(f.c, on_closed, &f);
    turns(&f);
    assert_int_equal(f.closed, 1);
    assert_int_equal(acquire(&f, &b).verdict, CLAIM_BUSY);
    assert_false(lookup(&f, "live/b").found);
    int released = 0;
    cluster_release(f.c, "live/a", epoch, "drain", f.net.w, on_plain, &released);
    TURN_UNTIL(&f.net, released == 1);
    cluster_free(&f.c);
    fixture_close(&f.net);
}

/* --- on threads --- */

struct threaded {
    struct workers g;
    struct cluster *c;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int granted, closed;
    bool right_thread;
    struct message ask;
};

static void on_claimed_there(const struct cluster_claimed *claimed, void *arg)
{
    struct threaded *t = arg;
    pthread_mutex_lock(&t->mutex);
    t->granted += claimed->verdict == CLAIM_GRANTED;
    t->right_thread = worker_is_current(&t->g.workers[1]);
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->mutex);
}

static void ask_there(struct message *m)
{
    struct threaded *t = container_of(m, struct threaded, ask);
    struct cluster_claim claim = claim_of("s1", "");
    for (int i = 0; i < 100; i++) {
        snprintf(claim.name, sizeof claim.name, "live/%d", i);
        cluster_watch(t->c, claim.name);
        cluster_acquire(t->c, &t->g.workers[1], &claim, on_claimed_there, t);
        cluster_unwatch(t->c, claim.name);
    }
}

static void on_closed_there(void *arg)
{
    struct threaded *t = arg;
    pthread_mutex_lock(&t->mutex);
    t->closed++;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->mutex);
}

static void callbacks_come_on_the_callers_worker(void **state)
{
    static char name[] = "default";
    struct config config = {.cluster.name = name};
    struct threaded t = {.ask.run = ask_there};
    char error[CONFIG_ERROR_MAX];
    pthread_mutex_init(&t.mutex, NULL);
    pthread_cond_init(&t.changed, NULL);
    log_setup(LOG_ERROR, false);
    assert_int_equal(workers_init(&t.g, &config, 2), 0);
    assert_int_equal(cluster_open(&t.c, &t.g, &self, NULL, NULL, error), 0);
    assert_int_equal(workers_start(&t.g), 0);
    worker_post(&t.g.workers[1], &t.ask);
    pthread_mutex_lock(&t.mutex);
    while (t.granted < 100)
        pthread_cond_wait(&t.changed, &t.mutex);
    assert_true(t.right_thread);
    cluster_close(t.c, on_closed_there, &t);
    while (t.closed == 0)
        pthread_cond_wait(&t.changed, &t.mutex);
    pthread_mutex_unlock(&t.mutex);
    workers_stop(&t.g);
    cluster_free(&t.c);
    workers_fini(&t.g);
    pthread_cond_destroy(&t.changed);
    pthread_mutex_destroy(&t.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_of_one_node),
        cmocka_unit_test(the_floor_and_the_memory_raise_the_epoch),
        cmocka_unit_test(only_higher_is_news),
        cmocka_unit_test(watches_are_counted),
        cmocka_unit_test(a_record_that_came_back_is_told_again),
        cmocka_unit_test(a_higher_epoch_fences),
        cmocka_unit_test(a_lower_epoch_is_believed_after_15_s),
        cmocka_unit_test(the_memory_is_bounded),
        cmocka_unit_test(what_is_too_old_goes_by_the_clock),
        cmocka_unit_test(one_node_is_all),
        cmocka_unit_test(after_closing_every_request_is_answered),
        cmocka_unit_test(callbacks_come_on_the_callers_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
