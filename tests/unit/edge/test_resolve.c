#include "relay_node.h"

#include "edge/negative.h"
#include "edge/resolve.h"

#include <stdio.h>

/* --- a cluster that says what the test tells it to --- */

struct cluster {
    struct worker *w;
    bool up;
    struct cluster_owner owner; /* what a look-up finds */
    int lookups, watches, learned;
    struct cluster_node nodes[4];
    size_t node_count;
};

bool cluster_owner_higher(const struct cluster_owner *a, const struct cluster_owner *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->instance > b->instance;
}

struct answer {
    struct message m;
    struct cluster *c;
    cluster_lookup_done *looked_up;
    cluster_nodes_done *nodes;
    void *arg;
};

static void run_answer(struct message *m)
{
    struct answer *a = container_of(m, struct answer, m);
    struct cluster_owner owner = a->c->owner;
    owner.from_directory = a->c->up;
    if (a->looked_up != NULL)
        a->looked_up(&owner, a->arg);
    else
        a->nodes(a->c->nodes, a->c->node_count, a->arg);
    free(a);
}

static struct answer *answer_new(struct cluster *c, void *arg)
{
    struct answer *a = xcalloc(1, sizeof *a);
    a->m.run = run_answer;
    a->c = c;
    a->arg = arg;
    return a;
}

void cluster_lookup(struct cluster *c, struct worker *caller, const char *name,
                    cluster_lookup_done *done, void *arg)
{
    struct answer *a = answer_new(c, arg);
    assert_string_equal(name, RELAY_STREAM);
    c->lookups++;
    a->looked_up = done;
    worker_post(caller, &a->m);
}

void cluster_known_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done,
                         void *arg)
{
    struct answer *a = answer_new(c, arg);
    a->nodes = done;
    worker_post(caller, &a->m);
}

void cluster_watch(struct cluster *c, const char *name)
{
    c->watches++;
}

void cluster_unwatch(struct cluster *c, const char *name)
{
    c->watches--;
}

void cluster_saw(struct cluster *c, const char *name, const struct cluster_owner *owner)
{
}

void cluster_report(struct cluster *c, struct worker *caller, const char *name,
                    const struct cluster_owner *owner, cluster_lookup_done *done, void *arg)
{
    done(owner, arg);
}

void cluster_learn(struct cluster *c, const char *name, const struct cluster_owner *owner)
{
    c->learned++;
}

bool cluster_is_up(const struct cluster *c)
{
    return c->up;
}

/* --- the world --- */

struct world {
    struct net_fixture f;
    struct relay_node a, b, edge;
    struct cluster cluster;
    struct resolver *resolver;
    struct feed_reader readers[3];
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    relay_config(&w->f.config);
    node_open(&w->a, &w->f, "o1", 11);
    node_open(&w->b, &w->f, "o2", 12);
    node_open(&w->edge, &w->f, "e1", 21);
    w->cluster.w = w->f.w;
    w->cluster.up = true;
    const struct resolver_options o = {.workers = &w->f.group,
                                       .hub = w->edge.hub,
                                       .cluster = &w->cluster,
                                       .client = &w->edge.client};
    w->resolver = resolver_new(&o);
    struct hub_hooks hooks;
    resolver_hooks(w->resolver, &hooks);
    hub_set_hooks(w->edge.hub, &hooks);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    resolver_stop(w->resolver, w->f.w);
    assert_int_equal(w->cluster.watches, 0);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pulls), 0);
    for (size_t i = 0; i < COUNT_OF(w->readers); i++)
        feed_leave(&w->readers[i]);
    node_close(&w->edge);
    node_close(&w->b);
    node_close(&w->a);
    resolver_free(&w->resolver);
    fixture_close(&w->f);
    free(w);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static struct feed *join(struct world *w, int i)
{
    static const struct feed_reader_ops ops = {0};
    w->readers[i].ops = &ops;
    return feed_join(w->edge.hub, w->f.w, RELAY_STREAM, &w->readers[i]);
}

static struct cluster_owner owner_of(const struct relay_node *n, uint64_t epoch)
{
    struct cluster_owner o = {
        .found = true, .from_directory = true, .epoch = epoch, .instance = n->id.instance};
    slice_copy(slice_text(n->id.node), o.node, sizeof o.node);
    slice_copy(slice_text(n->address), o.address, sizeof o.address);
    return o;
}

static void publish(struct relay_node *n, uint64_t epoch)
{
    node_publish(n, epoch);
    node_frames(n, 5);
}

static uint64_t epoch_of(const struct feed *f)
{
    const struct run *run = log_newest(f->log);
    return run != NULL && run->next > run->first ? run->epoch : 0;
}

static void settle(struct world *w)
{
    for (int i = 0; i < 20; i++)
        fixture_turn(&w->f);
}

static int64_t pulls_total(const struct world *w)
{
    return (int64_t)METRIC_GET(w->f.w->metrics.pulls_total);
}

static void what_the_directory_has_is_pulled_once(void **state)
{
    struct world *w = *state;
    publish(&w->a, 100);
    w->cluster.owner = owner_of(&w->a, 100);
    struct feed *f = join(w, 0);
    join(w, 1);
    join(w, 2);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    assert_int_equal(f->state, FEED_LIVE);
    assert_string_equal(f->source->kind, "pull");
    assert_int_equal(w->cluster.lookups, 1);
    assert_int_equal(w->cluster.watches, 1);
    assert_int_equal(pulls_total(w), 1);
}

static void what_nobody_has_is_waited_for(void **state)
{
    struct world *w = *state;
    struct feed *f = join(w, 0);
    settle(w);
    assert_int_equal(w->cluster.lookups, 1);
    assert_null(f->source);
    publish(&w->a, 100);
    struct cluster_owner o = owner_of(&w->a, 100);
    resolver_on_owner(w->resolver, "live/other", &o);
    resolver_on_owner(w->resolver, RELAY_STREAM, &o);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
}

static void a_missing_source_is_looked_for_again(void **state)
{
    struct world *w = *state;
    struct feed *f = join(w, 0);
    settle(w);
    publish(&w->a, 100);
    w->cluster.owner = owner_of(&w->a, 100); /* no event */
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    assert_int_equal(w->cluster.lookups, 2);
}

static void unknown_names_are_answered_from_memory(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5; i++) {
        join(w, 0);
        settle(w);
        feed_leave(&w->readers[0]);
        settle(w);
    }
    assert_int_equal(w->cluster.lookups, 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.lookup_negative_hits_total), 4);
    assert_int_equal(w->cluster.watches, 0);
    int64_t start_us = clock_us();
    join(w, 0); /* for a while only */
    TURN_UNTIL(&w->f, w->cluster.lookups == 2);
    assert_true(clock_us() - start_us <= RESOLVE_NEGATIVE_MS * 1000 + 200000);
}

static void our_own_stream_is_not_pulled(void **state)
{
    struct world *w = *state;
    w->cluster.owner = owner_of(&w->edge, 100);
    struct feed *f = join(w, 0);
    settle(w);
    assert_null(f->source);
    assert_int_equal(pulls_total(w), 0);
    w->cluster.owner.instance = 99; /* of our life before */
    resolver_on_owner(w->resolver, RELAY_STREAM, &w->cluster.owner);
    settle(w);
    assert_int_equal(pulls_total(w), 0);
}

static void nobody_left_is_no_pull_left(void **state)
{
    struct world *w = *state;
    w->f.config.stream.idle_pull_ms = 20;
    publish(&w->a, 100);
    w->cluster.owner = owner_of(&w->a, 100);
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    feed_leave(&w->readers[0]);
    assert_int_equal(w->cluster.watches, 1);
    TURN_UNTIL(&w->f, w->cluster.watches == 0);
    TURN_UNTIL(&w->f, hub_home(w->edge.hub, RELAY_STREAM) == NULL); /* the old frames, too */
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 0);
    f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
}

static void who_is_higher_is_followed(void **state)
{
    struct world *w = *state;
    publish(&w->a, 100);
    publish(&w->b, 200);
    w->cluster.owner = owner_of(&w->a, 100);
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    struct cluster_owner gone = {.found = false};
    resolver_on_owner(w->resolver, RELAY_STREAM, &gone); /* a key that expired: nothing */
    settle(w);
    assert_int_equal(f->state, FEED_LIVE);
    struct cluster_owner o = owner_of(&w->b, 200);
    resolver_on_owner(w->resolver, RELAY_STREAM, &o);
    TURN_UNTIL(&w->f, epoch_of(f) == 200);
    o = owner_of(&w->a, 100);
    resolver_on_owner(w->resolver, RELAY_STREAM, &o);
    node_frames(&w->b, 1);
    TURN_UNTIL(&w->f, log_newest(f->log)->next == 7);
    assert_int_equal(epoch_of(f), 200);
    assert_int_equal(pulls_total(w), 2);
    o.regressed_us = clock_us(); /* the directory insists, but the higher one lives */
    resolver_on_owner(w->resolver, RELAY_STREAM, &o);
    settle(w);
    assert_int_equal(w->cluster.learned, 1);
    assert_int_equal(epoch_of(f), 200);
}

static void an_ended_run_is_not_pulled_again(void **state)
{
    struct world *w = *state;
    publish(&w->a, 100);
    w->cluster.owner = owner_of(&w->a, 100); /* the directory is late, too */
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    feed_end(w->a.feed, CLOSE_UNPUBLISHED);
    TURN_UNTIL(&w->f, f->state == FEED_ENDED && f->source == NULL);
    int lookups = w->cluster.lookups;
    TURN_UNTIL(&w->f, w->cluster.lookups == lookups + 1);
    settle(w);
    assert_null(f->source);
    assert_int_equal(pulls_total(w), 1);
    publish(&w->b, 200);
    struct cluster_owner o = owner_of(&w->b, 200);
    resolver_on_owner(w->resolver, RELAY_STREAM, &o);
    TURN_UNTIL(&w->f, epoch_of(f) == 200);
    assert_int_equal(f->state, FEED_LIVE);
}

static void add_node(struct world *w, const struct relay_node *n, const char *role)
{
    struct cluster_node *node = &w->cluster.nodes[w->cluster.node_count++];
    slice_copy(slice_text(n->id.node), node->id, sizeof node->id);
    slice_copy(slice_text(n->address), node->address, sizeof node->address);
    slice_copy(slice_text(role), node->role, sizeof node->role);
}

static void without_a_directory_the_nodes_are_asked(void **state)
{
    struct world *w = *state;
    w->cluster.up = false;
    add_node(w, &w->a, "node");
    add_node(w, &w->b, "origin");
    add_node(w, &w->edge, "edge");
    publish(&w->a, 100);
    publish(&w->b, 200);
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 200);
    assert_int_equal(pulls_total(w), 1);
}

static void without_anybody_it_is_asked_again(void **state)
{
    struct world *w = *state;
    w->cluster.up = false;
    add_node(w, &w->a, "node");
    add_node(w, &w->b, "node");
    node_shut(&w->b); /* known, but not there */
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, w->cluster.lookups == 2);
    publish(&w->a, 100);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    node_listen(&w->b);
}

static void a_last_known_owner_that_is_gone_is_no_obstacle(void **state)
{
    struct world *w = *state;
    w->cluster.up = false;
    add_node(w, &w->a, "node");
    add_node(w, &w->b, "node");
    w->cluster.owner = owner_of(&w->b, 100);
    node_shut(&w->b);
    publish(&w->a, 200);
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 200);
    node_listen(&w->b);
}

static void a_local_publisher_needs_no_one(void **state)
{
    static const struct feed_source_ops ops = {0};
    struct feed_source source = {.ops = &ops, .kind = "publish"};
    struct world *w = *state;
    w->edge.feed = feed_hold(w->edge.hub, w->f.w, RELAY_STREAM);
    feed_attach_source(w->edge.feed, &source);
    publish(&w->edge, 100);
    struct feed *f = join(w, 0);
    publish(&w->b, 200);
    struct cluster_owner o = owner_of(&w->b, 200);
    resolver_on_owner(w->resolver, RELAY_STREAM, &o);
    settle(w);
    assert_int_equal(w->cluster.lookups, 0);
    w->cluster.owner = o;
    feed_detach_source(&source); /* fenced: its viewers stay and see the new owner */
    TURN_UNTIL(&w->f, epoch_of(f) == 200);
}

static void names_not_found_are_bounded(void **state)
{
    struct negative *n = negative_new(3, 100);
    char name[8];
    int64_t until_us;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "a/%d", i);
        negative_put(n, name, i);
    }
    assert_false(negative_has(n, "a/1", 5, &until_us));
    assert_true(negative_has(n, "a/2", 5, &until_us));
    assert_int_equal(until_us, 102);
    negative_put(n, "a/2", 50);
    assert_true(negative_has(n, "a/2", 149, &until_us));
    assert_false(negative_has(n, "a/4", 149, &until_us));
    assert_false(negative_has(n, "a/2", 150, &until_us));
    negative_free(&n);
}

/* --- tiers --- */

/* o1 far away with the stream, o2 (a whole node) in our zone. */
static void zones(struct world *w)
{
    static char east[] = "east";
    w->f.config.cluster.tiers = true;
    w->f.config.node.zone = east;
    add_node(w, &w->a, "origin");
    add_node(w, &w->b, "node");
    add_node(w, &w->edge, "edge");
    strcpy(w->cluster.nodes[0].zone, "west"); /* NOLINT: it fits */
    strcpy(w->cluster.nodes[1].zone, "east"); /* NOLINT: it fits */
    strcpy(w->cluster.nodes[2].zone, "east"); /* NOLINT: it fits */
    publish(&w->a, 100);
    w->cluster.owner = owner_of(&w->a, 100);
}

/* o2 as one that passes the run of o1 on. */
static void pass_on(struct relay_node *n, struct feed_source *source)
{
    struct run_origin *from = run_origin_new(11, slice_text("o1"));
    publish(n, 100);
    feed_set_origin(n->feed, from);
    feed_attach_source(n->feed, source);
    run_origin_unref(&from);
}

static void a_node_of_our_zone_is_asked_first(void **state)
{
    static const struct feed_source_ops ops = {0};
    struct feed_source source = {.ops = &ops, .kind = "pull"};
    static const struct {
        const char *zone, *state, *path;
    } table[] = {
        {"east", "up", "o1,o2"}, {"south", "up", "o1"}, {"", "up", "o1"}, {"east", "drain", "o1"}};
    struct world *w = *state;
    w->f.config.stream.idle_pull_ms = 1;
    zones(w);
    pass_on(&w->b, &source);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        slice_copy(slice_text(table[i].zone), w->cluster.nodes[1].zone, 65);
        slice_copy(slice_text(table[i].state), w->cluster.nodes[1].state, 8);
        struct feed *f = join(w, 0);
        TURN_UNTIL(&w->f, epoch_of(f) == 100);
        assert_string_equal(log_newest(f->log)->origin->path, table[i].path);
        feed_leave(&w->readers[0]);
        TURN_UNTIL(&w->f, hub_home(w->edge.hub, RELAY_STREAM) == NULL);
    }
    feed_detach_source(&source);
}

static void an_owner_that_is_near_is_asked_itself(void **state)
{
    static const struct feed_source_ops ops = {0};
    struct feed_source source = {.ops = &ops, .kind = "pull"};
    struct world *w = *state;
    zones(w);
    pass_on(&w->b, &source);
    strcpy(w->cluster.nodes[0].zone, ""); /* NOLINT: it fits */
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    assert_string_equal(log_newest(f->log)->origin->path, "o1");
    feed_detach_source(&source);
}

static void an_owner_that_cannot_be_reached_is_gone_around(void **state)
{
    static const struct feed_source_ops ops = {0};
    struct feed_source source = {.ops = &ops, .kind = "pull"};
    struct world *w = *state;
    zones(w);
    strcpy(w->cluster.nodes[0].zone, "east"); /* NOLINT: it fits */
    pass_on(&w->b, &source);
    node_shut(&w->a);
    struct feed *f = join(w, 0);
    TURN_UNTIL(&w->f, epoch_of(f) == 100);
    assert_string_equal(log_newest(f->log)->origin->path, "o1,o2");
    node_listen(&w->a);
    TURN_UNTIL(&w->f, strcmp(log_newest(f->log)->origin->path, "o1") == 0 ||
                          (node_frames(&w->a, 1), node_frames(&w->b, 1), false));
    feed_detach_source(&source);
}

/* Its publisher was fenced, and nobody has the stream now. */
static void a_lost_source_without_a_successor_ends_the_stream(void **state)
{
    struct world *w = *state;
    w->f.config.viewer.hold_ms = 30;
    static const struct feed_source_ops ops = {0};
    struct feed_source source = {.ops = &ops, .kind = "publish"};
    struct feed *f = join(w, 0);
    feed_attach_source(f, &source);
    feed_open_run(f, 100, 1, 0, NULL);
    feed_append(f, test_frame(1, 100));
    settle(w);
    int64_t start_us = clock_us();
    feed_lost(f);
    feed_detach_source(&source);
    TURN_UNTIL(&w->f, f->state == FEED_ENDED);
    assert_int_equal(f->why, CLOSE_SOURCE_LOST);
    assert_true(clock_us() - start_us >= 30000);

    feed_attach_source(f, &source);
    feed_open_run(f, 200, 1, 0, NULL);
    feed_lost(f);
    feed_detach_source(&source);
    feed_attach_source(f, &source); /* in time: it decides about its own loss */
    start_us = clock_us();
    while (clock_us() - start_us < 100000)
        fixture_turn(&w->f);
    assert_int_equal(f->state, FEED_LOST);
    feed_detach_source(&source);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_the_directory_has_is_pulled_once),
        T(what_nobody_has_is_waited_for),
        T(a_missing_source_is_looked_for_again),
        T(unknown_names_are_answered_from_memory),
        T(our_own_stream_is_not_pulled),
        T(nobody_left_is_no_pull_left),
        T(who_is_higher_is_followed),
        T(an_ended_run_is_not_pulled_again),
        T(without_a_directory_the_nodes_are_asked),
        T(without_anybody_it_is_asked_again),
        T(a_last_known_owner_that_is_gone_is_no_obstacle),
        T(a_local_publisher_needs_no_one),
        T(a_lost_source_without_a_successor_ends_the_stream),
        T(a_node_of_our_zone_is_asked_first),
        T(an_owner_that_is_near_is_asked_itself),
        T(an_owner_that_cannot_be_reached_is_gone_around),
        cmocka_unit_test(names_not_found_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
