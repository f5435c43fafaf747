#include "relay_node.h"

#include "edge/pull.h"
#include "edge/upstream.h"

#include <stdio.h>

/* --- what stands for the resolver --- */

struct seen {
    int downs, owners, ends;
    enum pull_end why;
    struct cluster_owner owner;
};

static void on_down(struct pull *p, void *arg)
{
    ((struct seen *)arg)->downs++;
}

static void on_owner(struct pull *p, const struct cluster_owner *owner, void *arg)
{
    struct seen *s = arg;
    s->owners++;
    s->owner = *owner;
}

static void on_end(struct pull *p, enum pull_end why, void *arg)
{
    struct seen *s = arg;
    s->ends++;
    s->why = why;
}

static void on_run(struct pull *p, const struct cluster_owner *owner, void *arg)
{
}

static const struct pull_ops pull_ops = {on_down, on_owner, on_run, on_end};

/* --- a reader on the edge --- */

struct viewer {
    struct feed_reader reader;
    bool ended;
    enum close_reason why;
};

static void viewer_end(struct feed_reader *r, enum close_reason why)
{
    struct viewer *v = container_of(r, struct viewer, reader);
    v->ended = true;
    v->why = why;
}

static const struct feed_reader_ops viewer_ops = {.on_end = viewer_end};

struct world {
    struct net_fixture f;
    struct relay_node a, b, edge;
    struct feed *feed; /* on the edge, held */
    struct pull *pull;
    struct seen seen;
    struct viewer viewers[3];
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    relay_config(&w->f.config);
    node_open(&w->a, &w->f, "o1", 11);
    node_open(&w->b, &w->f, "o2", 12);
    node_open(&w->edge, &w->f, "e1", 21);
    w->feed = feed_hold(w->edge.hub, w->f.w, RELAY_STREAM);
    *state = w;
    return 0;
}

static void join(struct world *w, int i, bool needs_past)
{
    w->viewers[i].reader.ops = &viewer_ops;
    w->viewers[i].reader.needs_past = needs_past;
    feed_join(w->edge.hub, w->f.w, RELAY_STREAM, &w->viewers[i].reader);
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(w->viewers); i++)
        feed_leave(&w->viewers[i].reader);
    pull_free(&w->pull);
    feed_release(&w->feed);
    node_close(&w->edge);
    node_close(&w->b);
    node_close(&w->a);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pulls), 0);
    fixture_close(&w->f);
    free(w);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static struct cluster_owner owner_of(const struct relay_node *n, uint64_t epoch)
{
    struct cluster_owner o = {
        .found = true, .from_directory = true, .epoch = epoch, .instance = n->id.instance};
    slice_copy(slice_text(n->id.node), o.node, sizeof o.node);
    slice_copy(slice_text(n->address), o.address, sizeof o.address);
    return o;
}

static void pull_from(struct world *w, const struct relay_node *n, uint64_t epoch)
{
    struct cluster_owner o = owner_of(n, epoch);
    w->pull = pull_open(w->feed, &w->edge.client, &o, NULL, &pull_ops, &w->seen);
}

static uint64_t last_of(const struct feed *f)
{
    const struct run *run = log_newest(f->log);
    return run != NULL ? run->next - 1 : 0;
}

static uint64_t epoch_of(const struct feed *f)
{
    const struct run *run = log_newest(f->log);
    return run != NULL ? run->epoch : 0;
}

static void assert_same_frames(const struct feed *a, const struct feed *b)
{
    const struct run *from = log_newest(a->log), *to = log_newest(b->log);
    assert_int_equal(from->epoch, to->epoch);
    assert_int_equal(from->next, to->next);
    for (uint64_t seq = to->first; seq < to->next; seq++)
        assert_true(same_frame(run_frame(from, seq), run_frame(to, seq)));
}

/* A stream of 25 frames on a, followed by the edge. */
static void start(struct world *w)
{
    node_publish(&w->a, 100);
    node_frames(&w->a, 25);
    join(w, 0, false);
    pull_from(w, &w->a, 100);
    TURN_UNTIL(&w->f, last_of(w->feed) == 25);
}

static void frames_arrive_as_published(void **state)
{
    struct world *w = *state;
    start(w);
    node_frames(&w->a, 20);
    TURN_UNTIL(&w->f, last_of(w->feed) == 45);
    assert_same_frames(w->a.feed, w->feed);
    const struct run *run = log_newest(w->feed->log);
    assert_int_equal(run->first, 22);
    assert_int_equal(run->wall_us, 1700000000000000);
    assert_int_equal(run_newest_key(run)->inforce->count, 1);
    assert_int_equal(run->origin->instance, 11);
    assert_string_equal(run->origin->path, "o1");
    assert_int_equal(run->plan.segment_ms, 2000);
    assert_int_equal(w->feed->state, FEED_LIVE);
    assert_int_equal(METRIC_GET(w->f.w->metrics.frames_pulled_total), 24);
    assert_true(pull_is_linked(w->pull));
}

static void one_pull_serves_many_readers(void **state)
{
    struct world *w = *state;
    start(w);
    join(w, 1, false);
    join(w, 2, false);
    node_frames(&w->a, 5);
    TURN_UNTIL(&w->f, last_of(w->feed) == 30);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pulls_total), 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pulls), 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relays), 1);
}

static void a_dead_link_heals_without_a_hole(void **state)
{
    struct world *w = *state;
    start(w);
    node_shut(&w->a);
    TURN_UNTIL(&w->f, w->feed->state == FEED_LOST);
    node_frames(&w->a, 30);
    TURN_UNTIL(&w->f, w->seen.downs >= 3); /* it is refused a few times */
    assert_false(pull_is_linked(w->pull));
    node_listen(&w->a);
    TURN_UNTIL(&w->f, last_of(w->feed) == 55);
    assert_int_equal(w->feed->state, FEED_LIVE);
    assert_int_equal(log_newest(w->feed->log)->first, 22);
    assert_same_frames(w->a.feed, w->feed);
    assert_false(w->viewers[0].ended);
    assert_true(METRIC_GET(w->f.w->metrics.pull_reconnects_total) >= 2);
}

static void a_hole_restarts_the_run(void **state)
{
    struct world *w = *state;
    start(w);
    uint64_t change = w->feed->log->change;
    feed_restart(w->a.feed, 102, log_newest(w->a.feed->log)->inforce);
    node_frames(&w->a, 12); /* 102 is a key frame */
    TURN_UNTIL(&w->f, last_of(w->feed) == 113);
    const struct run *run = log_newest(w->feed->log);
    assert_true(w->feed->log->change > change);
    assert_true(run->first >= 102);
    assert_int_equal(run->epoch, 100);
    assert_int_equal(run_newest_key(run)->inforce->count, 1);
    assert_same_frames(w->a.feed, w->feed);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relay_gaps_total), 1);
}

static void the_end_ends_the_feed(void **state)
{
    static const struct {
        enum close_reason why, told;
    } table[] = {
        {CLOSE_UNPUBLISHED, CLOSE_UNPUBLISHED},
        {CLOSE_KICKED, CLOSE_KICKED},
        {CLOSE_SOURCE_LOST, CLOSE_SOURCE_LOST},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        node_publish(&w->a, 100 + i);
        node_frames(&w->a, 3);
        w->viewers[0].ended = false;
        join(w, 0, false);
        pull_from(w, &w->a, 100 + i);
        TURN_UNTIL(&w->f, epoch_of(w->feed) == 100 + i && last_of(w->feed) == 3);
        feed_end(w->a.feed, table[i].why);
        TURN_UNTIL(&w->f, w->seen.ends == (int)i + 1);
        assert_int_equal(w->seen.why, PULL_STREAM_ENDED);
        assert_int_equal(w->feed->state, FEED_ENDED);
        assert_true(w->viewers[0].ended);
        assert_int_equal(w->viewers[0].why, table[i].told);
        pull_free(&w->pull);
        feed_leave(&w->viewers[0].reader);
    }
}

static void a_lost_publisher_is_told_on(void **state)
{
    struct world *w = *state;
    w->f.config.viewer.hold_ms = 1;
    w->f.config.stream.lost_ms = 5000;
    start(w);
    feed_lost(w->a.feed);
    TURN_UNTIL(&w->f, w->feed->state == FEED_LOST);
    feed_resumed(w->a.feed);
    TURN_UNTIL(&w->f, w->feed->state == FEED_LIVE);
    assert_int_equal(w->seen.ends, 0); /* the owner decides how long it waits for its publisher */
    assert_int_equal(w->seen.downs, 0);
    w->f.config.stream.lost_ms = 50;
    feed_lost(w->a.feed); /* but it may not wait for ever */
    TURN_UNTIL(&w->f, w->seen.ends == 1);
    assert_int_equal(w->seen.why, PULL_LOST);
    assert_int_equal(w->feed->state, FEED_ENDED);
}

static void an_owner_that_stays_away_ends_it(void **state)
{
    struct world *w = *state;
    w->f.config.viewer.hold_ms = 50;
    start(w);
    int64_t start_us = clock_us();
    node_shut(&w->a);
    TURN_UNTIL(&w->f, w->seen.ends == 1);
    assert_true(clock_us() - start_us >= 50000);
    assert_int_equal(w->seen.why, PULL_LOST);
    TURN_UNTIL(&w->f, w->viewers[0].ended);
    assert_int_equal(w->viewers[0].why, CLOSE_SOURCE_LOST);
    node_listen(&w->a);

    /* It is back, and so is a viewer: the run that was given up here lives on there. */
    pull_free(&w->pull);
    node_frames(&w->a, 5);
    pull_from(w, &w->a, 100);
    TURN_UNTIL(&w->f, last_of(w->feed) == 30);
    assert_int_equal(w->feed->state, FEED_LIVE);
}

static void the_past_comes_when_it_is_needed(void **state)
{
    struct world *w = *state;
    start(w);
    assert_int_equal(log_newest(w->feed->log)->first, 22);
    join(w, 1, true);
    TURN_UNTIL(&w->f, log_newest(w->feed->log)->first == 1);
    assert_same_frames(w->a.feed, w->feed);
    const struct run *run = log_newest(w->feed->log);
    assert_int_equal(run->key_count, 3);
    assert_int_equal(run->part_count, 3);
    assert_int_equal(run_segment_extent(run, run_first_part(run)).duration_us, 400000);
    assert_true(cut_plan_equal(&run->plan, &log_newest(w->a.feed->log)->plan));
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, last_of(w->feed) == 26);
}

/* Runs that playlists go on from come as well, as far back as they are listed. */
static void runs_before_come_with_the_past(void **state)
{
    struct world *w = *state;
    node_publish(&w->a, 90);
    node_frames(&w->a, 25);
    for (uint64_t epoch = 100; epoch <= 110; epoch += 10) {
        struct cut_plan plan = log_newest(w->a.feed->log)->plan;
        uint64_t last = log_newest(w->a.feed->log)->next - 1;
        uint64_t msn = run_newest_part(log_newest(w->a.feed->log))->cut.msn;
        node_publish(&w->a, epoch);
        plan.previous_epoch = epoch - 10;
        plan.previous_last_seq = last;
        feed_set_plan(w->a.feed, &plan);
        for (uint64_t seq = 1; seq <= 25; seq++) {
            struct frame *f = test_frame(seq, 100);
            if (f->cut != NULL)
                f->cut->msn = ++msn;
            feed_append(w->a.feed, f);
        }
    }
    join(w, 1, true);
    pull_from(w, &w->a, 110);
    TURN_UNTIL(&w->f, w->feed->log->run_count == 3);
    const struct log *l = w->feed->log;
    const struct run *r = log_newest(l), *older = log_previous(l, r);
    assert_int_equal(older->epoch, 100);
    assert_int_equal(older->part_count, 3);
    assert_int_equal(older->wall_us, r->wall_us);
    assert_true(older->ended);
    assert_int_equal(log_previous(l, older)->epoch, 90);
    assert_int_equal(older->origin->instance, r->origin->instance);
    TURN_UNTIL(&w->f, log_newest(w->feed->log)->first == 1);
}

/* The link to its owner broke before its end, and it was joined in the middle: all of it is had
 * from who goes on from it. */
static void a_run_before_that_is_held_in_part_comes_whole(void **state)
{
    struct world *w = *state;
    node_publish(&w->a, 90);
    node_frames(&w->a, 25);
    join(w, 0, true);
    pull_from(w, &w->a, 90);
    TURN_UNTIL(&w->f, last_of(w->feed) == 25);
    node_publish(&w->b, 90); /* the same frames and more: fetched by the next owner */
    node_frames(&w->b, 27);
    node_shut(&w->a);
    struct cut_plan plan = log_newest(w->b.feed->log)->plan;
    plan.first_msn = 3;
    plan.previous_epoch = 90;
    plan.previous_last_seq = 27;
    node_publish(&w->b, 100);
    feed_set_plan(w->b.feed, &plan);
    node_frames(&w->b, 12);
    struct cluster_owner o = owner_of(&w->b, 100);
    pull_offer(w->pull, &o);
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 100 &&
                          log_previous(w->feed->log, log_newest(w->feed->log)) != NULL);
    const struct run *before = log_previous(w->feed->log, log_newest(w->feed->log));
    assert_int_equal(before->first, 1);
    assert_int_equal(before->next, 28);
    assert_true(run_is_whole(before));
    node_listen(&w->a);
}

static void an_end_of_a_run_is_told(void **state)
{
    struct world *w = *state;
    start(w);
    assert_false(run_is_whole(log_newest(w->feed->log)));
    feed_set_last(w->a.feed, last_of(w->a.feed));
    TURN_UNTIL(&w->f, run_is_whole(log_newest(w->feed->log)));
    assert_int_equal(w->feed->state, FEED_LIVE);
}

static void the_past_comes_for_who_was_first(void **state)
{
    struct world *w = *state;
    join(w, 1, true);
    start(w);
    TURN_UNTIL(&w->f, log_newest(w->feed->log)->first == 1);
    assert_same_frames(w->a.feed, w->feed);
}

static void nobody_feeds_himself(void **state)
{
    struct world *w = *state;
    struct run_origin *from = run_origin_new(21, slice_text("o9,e1"));
    node_publish(&w->a, 100);
    feed_set_origin(w->a.feed, from);
    run_origin_unref(&from);
    node_frames(&w->a, 5);
    join(w, 0, false);
    pull_from(w, &w->a, 100);
    TURN_UNTIL(&w->f, w->seen.downs >= 1);
    assert_int_equal(w->feed->state, FEED_EMPTY);
}

static void a_lower_run_is_refused(void **state)
{
    struct world *w = *state;
    node_publish(&w->a, 100);
    node_frames(&w->a, 5);
    join(w, 0, false);
    pull_from(w, &w->a, 200); /* the directory knows better */
    TURN_UNTIL(&w->f, w->seen.downs >= 2);
    assert_int_equal(w->feed->state, FEED_EMPTY);
    node_publish(&w->a, 300); /* and the owner better still */
    node_frames(&w->a, 5);
    TURN_UNTIL(&w->f, last_of(w->feed) == 5);
    assert_int_equal(epoch_of(w->feed), 300);
    assert_int_equal(w->seen.owners, 1);
    assert_int_equal(w->seen.owner.epoch, 300);
    assert_int_equal(w->seen.owner.instance, 11);
}

static void a_lower_run_is_taken_on_the_directorys_steady_word(void **state)
{
    struct world *w = *state;
    start(w);
    struct cluster_owner o = owner_of(&w->b, 50);
    o.regressed_us = clock_us();
    node_publish(&w->b, 50);
    node_frames(&w->b, 5);
    pull_offer(w->pull, &o); /* not while the higher one delivers */
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, last_of(w->feed) == 26);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pulls_total), 1);
    node_shut(&w->a);
    TURN_UNTIL(&w->f, w->seen.downs >= 1);
    pull_offer(w->pull, &o);
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 50 && last_of(w->feed) == 5);
    assert_int_equal(w->feed->state, FEED_LIVE);
    node_listen(&w->a);
}

static void the_old_owner_sends_until_the_new_one_does(void **state)
{
    struct world *w = *state;
    start(w);
    struct cluster_owner o = owner_of(&w->b, 200);
    w->b.feed = feed_hold(w->b.hub, w->f.w, RELAY_STREAM); /* claimed, nothing sent yet */
    pull_offer(w->pull, &o);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 2);
    node_frames(&w->a, 5);
    TURN_UNTIL(&w->f, last_of(w->feed) == 30);
    node_publish(&w->b, 200);
    node_frames(&w->b, 12);
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 200 && last_of(w->feed) == 12);
    assert_int_equal(log_newest(w->feed->log)->first,
                     1); /* all of it, not from its newest key frame */
    assert_same_frames(w->b.feed, w->feed);
    node_frames(&w->a, 5); /* nobody listens any more */
    node_frames(&w->b, 5);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 1 && last_of(w->feed) == 17);
    assert_int_equal(w->feed->log->run_count, 2);
    assert_int_equal(w->feed->state, FEED_LIVE);
    assert_int_equal(w->seen.downs, 0);
    assert_false(w->viewers[0].ended);
}

static void an_owner_that_moved_is_waited_for(void **state)
{
    struct world *w = *state;
    start(w);
    feed_end(w->a.feed, CLOSE_FENCED);
    TURN_UNTIL(&w->f, w->seen.downs >= 1);
    assert_int_equal(w->feed->state, FEED_LOST);
    assert_int_equal(w->seen.ends, 0);
    node_publish(&w->b, 200);
    node_frames(&w->b, 5);
    struct cluster_owner o = owner_of(&w->b, 200);
    pull_offer(w->pull, &o);
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 200 && last_of(w->feed) == 5);
    assert_int_equal(w->feed->state, FEED_LIVE);
}

static void a_publisher_that_is_back_keeps_the_link(void **state)
{
    struct world *w = *state;
    start(w);
    struct cluster_owner o = owner_of(&w->a, 200);
    pull_offer(w->pull, &o);
    node_publish(&w->a, 200);
    node_frames(&w->a, 5);
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 200 && last_of(w->feed) == 5);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pulls_total), 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.pull_reconnects_total), 0);
}

static void without_readers_it_ends(void **state)
{
    struct world *w = *state;
    w->f.config.stream.idle_pull_ms = 40;
    start(w);
    int64_t start_us = clock_us();
    feed_leave(&w->viewers[0].reader);
    join(w, 0, false); /* back in time */
    feed_leave(&w->viewers[0].reader);
    TURN_UNTIL(&w->f, w->seen.ends == 1);
    assert_true(clock_us() - start_us >= 40000);
    assert_int_equal(w->seen.why, PULL_IDLE);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 0);
}

static void another_source_takes_the_feed(void **state)
{
    struct world *w = *state;
    start(w);
    feed_displace(w->feed, CLOSE_NAME_TAKEN);
    assert_null(w->feed->source);
    feed_open_run(w->feed, 500, 1, 1, NULL);
    node_frames(&w->a, 5);
    TURN_UNTIL(&w->f, w->seen.ends == 1);
    assert_int_equal(w->seen.why, PULL_DISPLACED);
    assert_int_equal(epoch_of(w->feed), 500);
    assert_int_equal(last_of(w->feed), 0);
    assert_int_equal(w->feed->state, FEED_LIVE);
}

struct wished {
    struct feed_source source;
    int keys;
};

static void on_want_key(struct feed_source *s)
{
    container_of(s, struct wished, source)->keys++;
}

static void on_displaced(struct feed_source *s, enum close_reason why)
{
}

static void a_wish_for_a_key_frame_travels_up(void **state)
{
    static const struct feed_source_ops ops = {.on_displaced = on_displaced,
                                               .on_want_key = on_want_key};
    struct world *w = *state;
    struct wished s = {.source = {.ops = &ops, .kind = "publish"}};
    start(w);
    feed_attach_source(w->a.feed, &s.source);
    feed_want_key(w->feed);
    feed_want_key(w->feed);
    TURN_UNTIL(&w->f, s.keys == 1);
    feed_detach_source(&s.source);
}

static void a_replica_is_served_on(void **state)
{
    struct world *w = *state;
    struct relay_node far;
    struct pull *pull = NULL;
    struct seen seen = {0};
    start(w);
    node_open(&far, &w->f, "e2", 22);
    far.feed = feed_hold(far.hub, w->f.w, RELAY_STREAM);
    struct cluster_owner o = owner_of(&w->edge, 100);
    o.instance = w->a.id.instance;
    pull = pull_open(far.feed, &far.client, &o, NULL, &pull_ops, &seen);
    node_frames(&w->a, 5);
    TURN_UNTIL(&w->f, last_of(far.feed) == 30);
    assert_string_equal(log_newest(far.feed->log)->origin->path, "o1,e1");
    assert_int_equal(log_newest(far.feed->log)->origin->instance, 11);
    assert_same_frames(w->a.feed, far.feed);
    feed_end(w->a.feed, CLOSE_UNPUBLISHED);
    TURN_UNTIL(&w->f, seen.ends == 1);
    pull_free(&pull);
    node_close(&far);
}

/* --- parents --- */

/* e2 passes the stream of o1 on, and the edge asks e2. */
struct tiers {
    struct relay_node parent;
    struct pull *pull; /* the parent's */
    struct seen seen;
};

static struct upstream_peer peer_of(const struct relay_node *n)
{
    struct cluster_owner o = owner_of(n, 1);
    return upstream_peer_of(&o);
}

static void tiers_open(struct world *w, struct tiers *t)
{
    *t = (struct tiers){0};
    node_open(&t->parent, &w->f, "e2", 22);
    node_publish(&w->a, 100);
    node_frames(&w->a, 25);
    struct cluster_owner o = owner_of(&w->a, 100);
    t->parent.feed = feed_hold(t->parent.hub, w->f.w, RELAY_STREAM);
    t->pull = pull_open(t->parent.feed, &t->parent.client, &o, NULL, &pull_ops, &t->seen);
    struct upstream_peer peer = peer_of(&t->parent);
    join(w, 0, false);
    w->pull = pull_open(w->feed, &w->edge.client, &o, &peer, &pull_ops, &w->seen);
    TURN_UNTIL(&w->f, last_of(w->feed) == 25);
    assert_true(pull_has_parent(w->pull));
    assert_string_equal(log_newest(w->feed->log)->origin->path, "o1,e2");
}

static void tiers_close(struct world *w, struct tiers *t)
{
    pull_free(&w->pull); /* of the edge: it may ask the parent */
    pull_free(&t->pull);
    node_close(&t->parent);
}

static void a_parent_that_dies_is_left_for_the_owner(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    node_shut(&t.parent);
    node_frames(&w->a, 5);
    int64_t start_us = clock_us();
    TURN_UNTIL(&w->f, last_of(w->feed) == 30);
    assert_true(clock_us() - start_us < 1000000);
    assert_false(pull_has_parent(w->pull));
    assert_string_equal(log_newest(w->feed->log)->origin->path, "o1");
    assert_int_equal(log_newest(w->feed->log)->first, 22); /* no hole, no new beginning */
    assert_int_equal(w->feed->state, FEED_LIVE);
    node_listen(&t.parent);
    tiers_close(w, &t);
}

static void a_parent_that_has_nothing_is_left_at_once(void **state)
{
    struct world *w = *state;
    struct cluster_owner o = owner_of(&w->a, 100);
    struct upstream_peer peer = peer_of(&w->b);
    node_publish(&w->a, 100);
    node_frames(&w->a, 5);
    join(w, 0, false);
    int64_t start_us = clock_us();
    w->pull = pull_open(w->feed, &w->edge.client, &o, &peer, &pull_ops, &w->seen);
    TURN_UNTIL(&w->f, last_of(w->feed) == 5);
    assert_true(clock_us() - start_us < PULL_BEGIN_MS * 1000);
    pull_free(&w->pull);
    feed_reset(w->feed);
    w->b.feed =
        feed_hold(w->b.hub, w->f.w, RELAY_STREAM); /* it waits, and we with it for a while */
    w->pull = pull_open(w->feed, &w->edge.client, &o, &peer, &pull_ops, &w->seen);
    TURN_UNTIL(&w->f, last_of(w->feed) == 5);
    assert_false(pull_has_parent(w->pull));
}

static void a_parent_that_lost_the_stream_is_left_unless_the_owner_did(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    feed_lost(t.parent.feed);
    TURN_UNTIL(&w->f, w->feed->state == FEED_LOST);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 3); /* the owner is asked, too */
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, last_of(w->feed) == 26);
    tiers_close(w, &t);
}

static void a_publisher_that_is_lost_does_not_part_us(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    feed_lost(w->a.feed);
    TURN_UNTIL(&w->f, w->feed->state == FEED_LOST);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays_total) == 3);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 2); /* the owner says the same */
    feed_resumed(w->a.feed);
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, last_of(w->feed) == 26 && w->feed->state == FEED_LIVE);
    assert_true(pull_has_parent(w->pull));
    tiers_close(w, &t);
}

static void a_parent_that_follows_is_kept(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    struct cluster_owner o = owner_of(&w->b, 200);
    node_publish(&w->b, 200);
    node_frames(&w->b, 5);
    pull_offer(w->pull, &o);
    pull_offer(t.pull, &o);
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 200 && last_of(w->feed) == 5);
    int64_t start_us = clock_us();
    while (clock_us() - start_us < (PULL_FOLLOW_MS + 100) * 1000)
        fixture_turn(&w->f);
    assert_true(pull_has_parent(w->pull));
    assert_string_equal(log_newest(w->feed->log)->origin->path, "o2,e2");
    assert_int_equal(w->seen.downs, 0);
    tiers_close(w, &t);
}

static void a_parent_that_does_not_follow_is_left(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    struct cluster_owner o = owner_of(&w->b, 200);
    node_publish(&w->b, 200);
    node_frames(&w->b, 5);
    pull_offer(w->pull, &o); /* the parent does not hear of it */
    int64_t start_us = clock_us();
    TURN_UNTIL(&w->f, epoch_of(w->feed) == 200 && last_of(w->feed) == 5);
    assert_in_range(clock_us() - start_us, PULL_FOLLOW_MS * 1000 - 50000, 2000000);
    assert_false(pull_has_parent(w->pull));
    assert_int_equal(w->seen.downs, 0);
    tiers_close(w, &t);
}

static void a_move_leaves_no_hole(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    struct upstream_peer peer = peer_of(&t.parent);
    pull_move(w->pull, NULL);
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, !pull_has_parent(w->pull));
    pull_move(w->pull, &peer);
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, pull_has_parent(w->pull));
    node_shut(&t.parent);
    TURN_UNTIL(&w->f, !pull_has_parent(w->pull) && pull_is_linked(w->pull));
    pull_move(w->pull, &peer); /* one that is not there: nothing happens to the present one */
    for (int i = 0; i < 20; i++)
        fixture_turn(&w->f);
    assert_false(pull_has_parent(w->pull));
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, last_of(w->feed) == 28);
    assert_int_equal(log_newest(w->feed->log)->first, 22);
    assert_same_frames(w->a.feed, w->feed);
    node_listen(&t.parent);
    tiers_close(w, &t);
}

/* Each takes the other for its parent in the same moment. */
static void a_ring_breaks(void **state)
{
    struct world *w = *state;
    struct tiers t;
    tiers_open(w, &t);
    pull_move(w->pull, NULL);
    node_frames(&w->a, 1);
    TURN_UNTIL(&w->f, !pull_has_parent(w->pull) && last_of(t.parent.feed) == 26);
    struct upstream_peer to_parent = peer_of(&t.parent), to_edge = peer_of(&w->edge);
    pull_move(w->pull, &to_parent);
    pull_move(t.pull, &to_edge);
    for (int i = 0; i < 5; i++) {
        node_frames(&w->a, 1);
        TURN_UNTIL(&w->f, last_of(w->feed) == last_of(w->a.feed) &&
                              last_of(t.parent.feed) == last_of(w->a.feed));
    }
    assert_false(pull_has_parent(w->pull) && pull_has_parent(t.pull));
    assert_same_frames(w->a.feed, w->feed);
    tiers_close(w, &t);
}

static void too_many_hops_are_refused(void **state)
{
    struct world *w = *state;
    struct run_origin *from = run_origin_new(11, slice_text("o9,x,y,z"));
    node_publish(&w->a, 100);
    feed_set_origin(w->a.feed, from);
    run_origin_unref(&from);
    node_frames(&w->a, 5);
    join(w, 0, false);
    pull_from(w, &w->a, 100);
    TURN_UNTIL(&w->f, w->seen.downs >= 1);
    assert_int_equal(w->feed->state, FEED_EMPTY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(frames_arrive_as_published),
        T(one_pull_serves_many_readers),
        T(a_dead_link_heals_without_a_hole),
        T(a_hole_restarts_the_run),
        T(the_end_ends_the_feed),
        T(a_lost_publisher_is_told_on),
        T(an_owner_that_stays_away_ends_it),
        T(the_past_comes_when_it_is_needed),
        T(runs_before_come_with_the_past),
        T(a_run_before_that_is_held_in_part_comes_whole),
        T(an_end_of_a_run_is_told),
        T(the_past_comes_for_who_was_first),
        T(nobody_feeds_himself),
        T(a_lower_run_is_refused),
        T(a_lower_run_is_taken_on_the_directorys_steady_word),
        T(the_old_owner_sends_until_the_new_one_does),
        T(an_owner_that_moved_is_waited_for),
        T(a_publisher_that_is_back_keeps_the_link),
        T(without_readers_it_ends),
        T(another_source_takes_the_feed),
        T(a_wish_for_a_key_frame_travels_up),
        T(a_replica_is_served_on),
        T(a_parent_that_dies_is_left_for_the_owner),
        T(a_parent_that_has_nothing_is_left_at_once),
        T(a_parent_that_lost_the_stream_is_left_unless_the_owner_did),
        T(a_publisher_that_is_lost_does_not_part_us),
        T(a_parent_that_follows_is_kept),
        T(a_parent_that_does_not_follow_is_left),
        T(a_move_leaves_no_hole),
        T(a_ring_breaks),
        T(too_many_hops_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
