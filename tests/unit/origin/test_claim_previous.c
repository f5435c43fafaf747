#include "test.h"

#include "core/clock.h"
#include "origin/claim_internal.h"
#include "proto/flv.h"
#include "relay_node.h"

/*
 * A claim here, and what it learns of the owner before: `b` is that node, `e` another one of the
 * cluster.  The cluster says what the test wants it to.
 */
#define EPOCH 1700000000000000ULL /* ours */
#define JUMP  1700000016ULL       /* where it jumps to when nothing is known */

static struct world {
    struct net_fixture f;
    struct relay_node here, b, e;
    struct claims claims;
    struct cluster_self self;
    struct cluster_node nodes[2];
    size_t node_count;
    cluster_claim_done *claimed;
    void *claimed_arg;
    cluster_nodes_done *listed;
    void *listed_arg;
    void (*released)(void *arg);
    void *released_arg;
    int lists;
    struct contender c;
    bool has_left;
} world;

const struct cluster_self *cluster_self(const struct cluster *c)
{
    return &world.self;
}

const char *claim_verdict_name(enum claim_verdict v)
{
    return "said";
}

void cluster_acquire(struct cluster *c, struct worker *caller, const struct cluster_claim *claim,
                     cluster_claim_done *done, void *arg)
{
    world.claimed = done;
    world.claimed_arg = arg;
}

void cluster_set_lost(struct cluster *c, const char *name, uint64_t epoch, bool lost)
{
}

void cluster_set_next(struct cluster *c, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                      int tracks)
{
}

void cluster_release(struct cluster *c, const char *name, uint64_t epoch, const char *why,
                     struct worker *caller, void (*done)(void *arg), void *arg)
{
    world.released = done;
    world.released_arg = arg;
}

void cluster_revalidate(struct cluster *c, struct worker *caller, void (*done)(void *arg),
                        void *arg)
{
}

void cluster_known_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done,
                         void *arg)
{
    world.listed = done;
    world.listed_arg = arg;
    world.lists++;
}

void cluster_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done, void *arg)
{
    cluster_known_nodes(c, caller, done, arg);
}

bool cluster_is_up(const struct cluster *c)
{
    return true;
}

static void answer_list(struct world *w)
{
    cluster_nodes_done *done = w->listed;
    w->listed = NULL;
    done(w->nodes, w->node_count, w->listed_arg);
}

static int setup(void **state)
{
    struct world *w = *state = &world;
    memset(w, 0, sizeof *w);
    fixture_open(&w->f);
    relay_config(&w->f.config);
    w->f.config.stream.lost_ms = w->f.config.stream.publisher_timeout_ms = 60000;
    w->f.config.cluster.backend = CLUSTER_STATIC;
    node_open(&w->here, &w->f, "here", 1);
    node_open(&w->b, &w->f, "b", 2);
    node_open(&w->e, &w->f, "e", 3);
    w->self = (struct cluster_self){.node = "here", .instance = 1};
    claims_init(&w->claims, w->f.w, w->here.hub, NULL);
    w->claims.client = &w->here.client;
    return 0;
}

static void tell(struct contender *c, const struct contender_news *news)
{
}

static struct feed *feed(struct world *w)
{
    return feed_find(w->here.hub, w->f.w, RELAY_STREAM);
}

static const struct run *ours(struct world *w)
{
    return log_newest(feed(w)->log);
}

static bool is_decided(struct world *w)
{
    return ours(w)->plan.segment_ms != 0;
}

static struct cluster_owner owner_of(const struct relay_node *n, uint64_t epoch)
{
    struct cluster_owner o = {.found = true, .epoch = epoch, .instance = n->id.instance};
    assert_true(slice_copy(slice_text(n->id.node), o.node, sizeof o.node) &&
                slice_copy(slice_text(n->address), o.address, sizeof o.address));
    return o;
}

static void send_sound(struct world *w, int64_t from_ms, int64_t to_ms)
{
    static const uint8_t config[] = {0xaf, 0, 0x12, 0x10};
    for (int64_t ms = from_ms; ms < to_ms; ms += 20) {
        struct frame *f = frame_new(FRAME_AUDIO, sizeof config);
        memcpy(f->data, ms == 0 ? config : (const uint8_t *)"\xaf\1\0\0", sizeof config);
        f->flags = ms == 0 ? FRAME_CONFIG : 0;
        f->codec = FLV_CODEC_AAC;
        f->dts_us = ms * 1000;
        f->wire_ms = ms;
        contender_frames(&w->c, &f, 1);
    }
}

/* Published here with some segments, after `previous`. */
static void publish(struct world *w, const struct cluster_owner *previous)
{
    w->c = (struct contender){.proto = "rtmp", .tell = tell, .name = RELAY_STREAM};
    claims_enter(&w->claims, &w->c);
    struct cluster_claimed a = {.verdict = CLAIM_GRANTED,
                                .epoch = EPOCH,
                                .next_msn = CLUSTER_NEXT_NONE,
                                .next_dsn = CLUSTER_NEXT_NONE};
    if (previous != NULL)
        a.previous = *previous;
    w->claimed(&a, w->claimed_arg);
    send_sound(w, 0, 6000);
    if (w->listed != NULL)
        answer_list(w);
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (!w->has_left)
        contender_leave(&w->c, true);
    if (w->released != NULL)
        w->released(w->released_arg);
    for (int i = 0; i < 10; i++)
        fixture_turn(&w->f);
    assert_int_equal(map_count(w->claims.by_name), 0);
    claims_fini(&w->claims);
    node_close(&w->here);
    node_close(&w->b);
    node_close(&w->e);
    fixture_close(&w->f);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

/* Segments 500 to 502, seqs 1 to 25. */
static void publish_at(struct relay_node *n, uint64_t epoch)
{
    node_publish(n, epoch);
    node_frames(n, 25);
}

static void assert_goes_on(struct world *w, uint64_t epoch, uint64_t msn, uint64_t base_msn)
{
    const struct run *r = ours(w);
    assert_int_equal(r->plan.first_msn, msn);
    assert_int_equal(r->plan.first_dsn, 4);
    assert_int_equal(r->plan.previous_epoch, epoch);
    assert_int_equal(r->plan.previous_last_seq, 25);
    assert_int_equal(r->plan.base_msn, base_msn);
    assert_int_equal(run_first_part(r)->cut.msn, msn);
    assert_non_null(log_previous(feed(w)->log, r));
}

static void assert_jumped(struct world *w, uint64_t msn)
{
    const struct run *r = ours(w);
    assert_int_equal(r->plan.first_msn, msn);
    assert_int_equal(r->plan.base_msn, msn);
    assert_int_equal(r->plan.previous_epoch, 0);
    assert_int_equal(run_first_part(r)->cut.msn, msn);
}

/* Its own frames are there at once. */
static void the_run_before_is_fetched(void **state)
{
    struct world *w = *state;
    publish_at(&w->b, 100);
    feed_set_last(w->b.feed, 25);
    const struct cluster_owner b = owner_of(&w->b, 100);
    publish(w, &b);
    assert_false(is_decided(w));
    assert_true(ours(w)->next > 100 && ours(w)->part_count > 2);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_goes_on(w, 100, 503, 500);
    assert_int_equal(log_find(feed(w)->log, 100)->first, 1);
    assert_int_equal(log_find(feed(w)->log, 100)->origin->instance, 2);
}

static void one_that_is_not_over_is_waited_for(void **state)
{
    struct world *w = *state;
    publish_at(&w->b, 100);
    const struct cluster_owner b = owner_of(&w->b, 100);
    publish(w, &b);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 1);
    for (int i = 0; i < 20; i++)
        fixture_turn(&w->f);
    assert_false(is_decided(w));
    feed_set_last(w->b.feed, 25);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_goes_on(w, 100, 503, 500);
}

static void but_not_for_ever(void **state)
{
    struct world *w = *state;
    publish_at(&w->b, 100);
    const struct cluster_owner b = owner_of(&w->b, 100);
    int64_t from_us = clock_us();
    publish(w, &b);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_true(clock_us() - from_us >= CLAIM_PREVIOUS_MS * 1000);
    assert_jumped(w, JUMP);
}

static void who_is_dead_is_not_waited_for(void **state)
{
    struct world *w = *state;
    const struct cluster_owner b = owner_of(&w->b, 100);
    node_shut(&w->b);
    int64_t from_us = clock_us();
    publish(w, &b);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_true(clock_us() - from_us < CLAIM_PREVIOUS_MS * 1000);
    assert_jumped(w, JUMP);
    node_listen(&w->b);
}

static void the_runs_before_that_come_too(void **state)
{
    struct world *w = *state;
    publish_at(&w->b, 90);
    node_publish(&w->b, 100);
    struct cut_plan plan = log_newest(w->b.feed->log)->plan;
    plan.first_msn = 3;
    plan.previous_epoch = 90;
    plan.previous_last_seq = 25;
    feed_set_plan(w->b.feed, &plan);
    node_frames(&w->b, 25);
    feed_set_last(w->b.feed, 25);
    const struct cluster_owner b = owner_of(&w->b, 100);
    publish(w, &b);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_goes_on(w, 100, 506, 500);
    assert_int_equal(feed(w)->log->run_count, 3);
}

static void what_is_here_is_not_asked_for(void **state)
{
    struct world *w = *state;
    struct run_origin *from = run_origin_new(2, slice_text("b"));
    publish_at(&w->here, 100);
    feed_set_origin(w->here.feed, from);
    run_origin_unref(&from);
    feed_set_last(w->here.feed, 25);
    publish_at(&w->b, 100);
    feed_set_last(w->b.feed, 25);
    const struct cluster_owner b = owner_of(&w->b, 100);
    publish(w, &b);
    assert_true(is_decided(w));
    assert_goes_on(w, 100, 503, 500);
    /* But b hears that it may go. */
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays_total) == 1);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 0);
}

/* Held up to where the link broke: the owner has more. */
static void what_is_here_in_part_is_replaced(void **state)
{
    struct world *w = *state;
    struct run_origin *from = run_origin_new(2, slice_text("b"));
    node_publish(&w->here, 100);
    node_frames(&w->here, 15);
    feed_set_origin(w->here.feed, from);
    run_origin_unref(&from);
    publish_at(&w->b, 100);
    feed_set_last(w->b.feed, 25);
    const struct cluster_owner b = owner_of(&w->b, 100);
    publish(w, &b);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_goes_on(w, 100, 503, 500);
    assert_int_equal(log_find(feed(w)->log, 100)->next, 26);
}

static void it_leaves_before_the_answer(void **state)
{
    struct world *w = *state;
    publish_at(&w->b, 100);
    const struct cluster_owner b = owner_of(&w->b, 100);
    publish(w, &b);
    assert_false(is_decided(w));
    contender_leave(&w->c, false);
    assert_jumped(w, JUMP);
    assert_true(run_is_whole(ours(w)));
    assert_true(claims_kick(&w->claims, RELAY_STREAM, CLOSE_KICKED));
    w->has_left = true;
}

/* Nobody keeps numbers, and the owner before is gone: who has seen the stream knows some. */
static void others_know_the_highest_numbers(void **state)
{
    struct world *w = *state;
    const struct relay_node *nodes[] = {&w->here, &w->e};
    for (size_t i = 0; i < 2; i++) {
        struct cluster_node *n = &w->nodes[w->node_count++];
        assert_true(slice_copy(slice_text(nodes[i]->id.node), n->id, sizeof n->id) &&
                    slice_copy(slice_text(nodes[i]->address), n->address, sizeof n->address));
    }
    publish_at(&w->e, 100);
    struct cut_plan plan = log_newest(w->e.feed->log)->plan;
    plan.first_msn = 1900000000;
    plan.first_dsn = 5000000;
    feed_set_plan(w->e.feed, &plan);
    publish(w, NULL);
    TURN_UNTIL(&w->f, is_decided(w));
    assert_jumped(w, 1900000000 + 502 + 16);
    assert_int_equal(ours(w)->plan.first_dsn, 5000003 + 16);
    assert_int_equal(w->lists, 1);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_run_before_is_fetched),
        T(one_that_is_not_over_is_waited_for),
        T(but_not_for_ever),
        T(who_is_dead_is_not_waited_for),
        T(the_runs_before_that_come_too),
        T(what_is_here_is_not_asked_for),
        T(what_is_here_in_part_is_replaced),
        T(it_leaves_before_the_answer),
        T(others_know_the_highest_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
