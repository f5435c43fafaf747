#include "net/net_test.h"

#include "base/buf.h"
#include "base/err.h"
#include "edge/audience.h"
#include "media/stream.h"
#include "proto/flv.h"

#define STREAM "live/a"

/* A player whose socket is a buffer that takes `room` bytes at a time. */
struct player {
    struct viewer viewer;
    struct buf got;
    size_t room;
    int starts, writes, ends;
    int *clock, first_at, last_at; /* of all players' writes, and when its own were */
    enum close_reason why;
};

static void on_start(void *owner, const struct run *run)
{
    ((struct player *)owner)->starts++;
}

static int on_write(void *owner, struct slice bytes)
{
    return buf_append(&((struct player *)owner)->got, bytes.p, bytes.len);
}

static ssize_t on_writev(void *owner, const struct iovec *iov, int count)
{
    struct player *p = owner;
    size_t taken = 0;
    p->last_at = ++*p->clock;
    if (p->writes++ == 0)
        p->first_at = p->last_at;
    for (int i = 0; i < count && p->room > 0; i++) {
        size_t n = iov[i].iov_len < p->room ? iov[i].iov_len : p->room;
        assert_int_equal(buf_append(&p->got, iov[i].iov_base, n), 0);
        p->room -= n;
        taken += n;
    }
    return (ssize_t)taken;
}

static void on_bitrate(void *owner, int64_t bitrate_bps)
{
}

static void on_end(void *owner, enum close_reason why)
{
    struct player *p = owner;
    p->ends++;
    p->why = why;
}

static const struct viewer_ops ops = {.on_start = on_start,
                                      .write = on_write,
                                      .writev = on_writev,
                                      .on_bitrate = on_bitrate,
                                      .on_end = on_end};

struct world {
    struct net_fixture f;
    struct hub *hub;
    struct edge *edge;
    struct feed *feed; /* held */
    struct player players[3];
    int clock;
    uint64_t seq;
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    struct config *c = &w->f.config;
    c->stream.window_ms = 28000;
    c->stream.window_bytes = 64 << 20;
    c->stream.linger_ms = 1;
    c->stream.memory_bytes = 1 << 30;
    c->stream.wait_ms = 50;
    c->viewer.behind_ms = 3000;
    c->viewer.stalled_ms = 60000;
    w->hub = hub_new(&w->f.group);
    w->edge = edge_new(&w->f.group, w->hub);
    w->feed = feed_hold(w->hub, w->f.w, STREAM);
    w->seq = 1;
    for (size_t i = 0; i < COUNT_OF(w->players); i++) {
        struct player *p = &w->players[i];
        p->viewer.ops = &ops;
        p->viewer.owner = p;
        p->room = SIZE_MAX;
        p->clock = &w->clock;
        buf_init(&p->got, 64 << 20);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(w->players); i++) {
        viewer_leave(&w->players[i].viewer);
        buf_fini(&w->players[i].got);
    }
    feed_release(&w->feed);
    for (int i = 0; i < 5; i++)
        fixture_turn(&w->f);
    assert_int_equal(edge_viewers(w->edge), 0);
    assert_int_equal(METRIC_GET(w->f.w->metrics.viewers_flv), 0);
    edge_free(&w->edge);
    hub_free(&w->hub);
    fixture_close(&w->f);
    free(w);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void publish(struct world *w, uint64_t epoch)
{
    feed_open_run(w->feed, epoch, 1, 0, NULL);
    w->seq = 1;
}

static void frames(struct world *w, int count)
{
    for (int i = 0; i < count; i++, w->seq++)
        feed_append(w->feed, make_frame(FRAME_VIDEO, (w->seq - 1) % 25 == 0 ? FRAME_KEY : 0, w->seq,
                                        (int64_t)(w->seq - 1) * 40, 500));
}

static void config_frame(struct world *w, uint8_t byte)
{
    struct frame *f = make_frame(FRAME_VIDEO, FRAME_CONFIG, w->seq, (int64_t)(w->seq - 1) * 40, 5);
    f->data[4] = byte;
    feed_append(w->feed, f);
    w->seq++;
}

static void join(struct world *w, int i)
{
    assert_int_equal(viewer_join(w->edge, w->f.w, STREAM, WIRE_FLV, &w->players[i].viewer), 0);
}

/* Takes the next tag out of what the player has; its time, or -1 when there is none. */
static int64_t take_tag(struct player *p, struct flv_tag *tag)
{
    struct slice in = buf_slice(&p->got);
    ssize_t n = flv_tag_read(in.p, in.len, 1 << 20, tag);
    assert_true(n >= 0);
    if (n == 0)
        return -1;
    int64_t ms = tag->timestamp_ms;
    buf_consume(&p->got, (size_t)n);
    return ms;
}

static int tags_left(struct player *p)
{
    struct flv_tag tag;
    int n = 0;
    while (take_tag(p, &tag) >= 0)
        n++;
    return n;
}

static void a_newcomer_gets_what_is_in_force_and_the_newest_group(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    struct flv_tag tag;
    publish(w, 10);
    config_frame(w, 7);
    frames(w, 40); /* seq 2 to 41: the newest key frame is seq 26 */
    join(w, 0);
    assert_int_equal(p->starts, 0); /* never from inside the join */
    TURN_UNTIL(&w->f, p->starts == 1 && p->writes > 0);
    assert_int_equal(take_tag(p, &tag), 25 * 40);
    assert_int_equal(tag.body.len, 5);
    assert_int_equal(tag.body.p[4], 7);
    assert_int_equal(take_tag(p, &tag), 25 * 40);
    assert_int_equal(tags_left(p), 15);
    assert_int_equal(p->writes, 1);
    frames(w, 2);
    TURN_UNTIL(&w->f, p->writes == 2); /* both in one write */
    assert_int_equal(tags_left(p), 2);
}

static void who_waits_too_long_is_told(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    int64_t start_us = clock_us();
    join(w, 0);
    TURN_UNTIL(&w->f, p->ends == 1);
    assert_int_equal(p->why, CLOSE_NOT_FOUND);
    assert_true(clock_us() - start_us >= 50000);
    assert_null(p->viewer.audience);
}

static void a_stream_without_a_key_frame_is_waited_for(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    publish(w, 10);
    config_frame(w, 1);
    join(w, 0);
    int64_t until_us = clock_us() + 120000;
    TURN_UNTIL(&w->f, clock_us() > until_us);
    assert_int_equal(p->ends, 0);
    feed_append(w->feed, make_frame(FRAME_VIDEO, FRAME_KEY, w->seq++, 40, 10));
    TURN_UNTIL(&w->f, p->starts == 1);
}

static void merging_puts_writes_off_but_not_the_first(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    w->f.config.rtmp.merge_ms = 4 * TEST_GIVE_UP_US / 1000; /* longer than anything is waited for */
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    TURN_UNTIL(&w->f, p->writes == 1);
    frames(w, 1);
    fixture_turn(&w->f);
    frames(w, 1);
    fixture_turn(&w->f);
    assert_int_equal(p->writes, 1);
}

static void what_was_put_off_goes_in_one_write(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    w->f.config.rtmp.merge_ms = 40;
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    TURN_UNTIL(&w->f, p->writes == 1);
    int64_t first_us = clock_us();
    frames(w, 2);
    TURN_UNTIL(&w->f, p->writes == 2);
    assert_true(clock_us() - first_us >= 30000);
    assert_int_equal(tags_left(p), 3);
}

static void who_plays_comes_first_then_who_begins_then_the_rest(void **state)
{
    struct world *w = *state;
    struct player *plays = &w->players[0];
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    TURN_UNTIL(&w->f, plays->writes == 1);
    for (int i = 0; i < 20; i++, w->seq++)
        feed_append(w->feed, make_frame(FRAME_VIDEO, i == 0 ? FRAME_KEY : 0, w->seq,
                                        (int64_t)(w->seq - 1) * 40, 50000));
    join(w, 1);
    join(w, 2);
    for (int i = 0; i < 3; i++)
        TURN_UNTIL(&w->f, buf_len(&w->players[i].got) > 20 * 50000);
    for (int i = 1; i < 3; i++) {
        struct player *p = &w->players[i], *other = &w->players[3 - i];
        assert_true(p->first_at < other->last_at);
        assert_in_range(p->writes, 6, 8); /* of 128 KiB and the rest of a frame */
        assert_int_equal(tags_left(p), 20);
    }
    assert_int_equal(tags_left(plays), 21);
}

static void a_full_socket_goes_on_where_it_stopped(void **state)
{
    struct world *w = *state;
    struct player *slow = &w->players[0], *quick = &w->players[1];
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    join(w, 1);
    slow->room = 100;
    TURN_UNTIL(&w->f, quick->writes == 1);
    frames(w, 20);
    TURN_UNTIL(&w->f, quick->writes == 2);
    assert_int_equal(buf_len(&slow->got), 100);
    for (int i = 0; i < 200 && slow->viewer.blocked; i++) {
        slow->room = 77;
        viewer_writable(&slow->viewer);
    }
    slow->room = SIZE_MAX;
    viewer_writable(&slow->viewer);
    assert_true(slice_eq(buf_slice(&slow->got), buf_slice(&quick->got)));
}

static void who_takes_nothing_is_given_up(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    w->f.config.viewer.stalled_ms = 100;
    publish(w, 10);
    frames(w, 1);
    p->room = 0;
    join(w, 0);
    TURN_UNTIL(&w->f, p->ends == 1);
    assert_int_equal(p->why, CLOSE_STALLED);
}

static void the_end_comes_after_the_last_frame(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    TURN_UNTIL(&w->f, p->writes == 1);
    p->room = 10;
    frames(w, 3);
    feed_end(w->feed, CLOSE_UNPUBLISHED);
    TURN_UNTIL(&w->f, p->writes == 2);
    assert_int_equal(p->ends, 0); /* the rest is still on its way */
    p->room = SIZE_MAX;
    viewer_writable(&p->viewer);
    assert_int_equal(p->ends, 1);
    assert_int_equal(p->why, CLOSE_UNPUBLISHED);
    assert_int_equal(tags_left(p), 4);
}

static void clocks_do_not_go_back_with_a_new_publisher(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    struct flv_tag tag;
    publish(w, 10);
    config_frame(w, 1);
    frames(w, 50);
    join(w, 0);
    TURN_UNTIL(&w->f, p->writes > 0);
    int64_t last_ms = 0;
    for (int64_t ms; (ms = take_tag(p, &tag)) >= 0;)
        last_ms = ms;
    feed_lost(w->feed);
    fixture_turn(&w->f);
    publish(w, 11);
    config_frame(w, 2);
    feed_append(w->feed, make_frame(FRAME_VIDEO, FRAME_KEY, w->seq++, 40, 10));
    TURN_UNTIL(&w->f, buf_len(&p->got) > 0);
    assert_true(take_tag(p, &tag) > last_ms);
    assert_int_equal(tag.body.p[4], 2); /* the new configuration first */
    assert_true(take_tag(p, &tag) > last_ms);
    assert_int_equal(p->ends, 0);
}

static void a_muted_kind_stays_away(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0];
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    TURN_UNTIL(&w->f, p->writes == 1);
    tags_left(p);
    viewer_mute(&p->viewer, true, false);
    frames(w, 5);
    feed_append(w->feed, make_frame(FRAME_AUDIO, 0, w->seq++, 300, 20));
    TURN_UNTIL(&w->f, buf_len(&p->got) > 0);
    assert_int_equal(tags_left(p), 1);
}

static void a_paused_player_gets_nothing_until_it_goes_on(void **state)
{
    struct world *w = *state;
    struct player *p = &w->players[0], *other = &w->players[1];
    publish(w, 10);
    frames(w, 1);
    join(w, 0);
    join(w, 1);
    TURN_UNTIL(&w->f, other->writes == 1);
    viewer_pause(&p->viewer, true);
    frames(w, 3);
    TURN_UNTIL(&w->f, other->writes == 2);
    assert_int_equal(p->writes, 1);
    viewer_pause(&p->viewer, false);
    assert_int_equal(tags_left(p), 4);
}

static void a_node_takes_as_many_as_it_may(void **state)
{
    struct world *w = *state;
    w->f.config.viewer.max = 2;
    join(w, 0);
    join(w, 1);
    assert_int_equal(viewer_join(w->edge, w->f.w, STREAM, WIRE_FLV, &w->players[2].viewer),
                     ERR_TOO_MANY);
    viewer_leave(&w->players[0].viewer);
    join(w, 2);
    edge_drain(w->edge, w->f.w, 0);
    assert_int_equal(w->players[1].why, CLOSE_DRAIN);
    assert_int_equal(w->players[2].why, CLOSE_DRAIN);
    assert_int_equal(viewer_join(w->edge, w->f.w, STREAM, WIRE_FLV, &w->players[0].viewer),
                     ERR_CLOSED);
}

static void players_go_one_after_the_other(void **state)
{
    struct world *w = *state;
    publish(w, 1);
    frames(w, 3);
    for (int i = 0; i < 3; i++)
        join(w, i);
    int64_t start_us = clock_us();
    edge_drain(w->edge, w->f.w, 300);
    for (int i = 0; i < 3; i++) {
        struct player *p = &w->players[i];
        TURN_UNTIL(&w->f, p->ends == 1);
        assert_int_equal(p->why, CLOSE_DRAIN);
        assert_true(edge_viewers(w->edge) <= 2 - i);
        assert_true(clock_us() - start_us >= i * 100 * 1000);
    }
    edge_undrain(w->edge, w->f.w);
    join(w, 0);
    join(w, 1);
    edge_drain(w->edge, w->f.w, 30000);
    edge_undrain(w->edge, w->f.w);
    join(w, 2);
    assert_int_equal(w->players[1].ends, 1);
}

static void merging_follows_the_load(void **state)
{
    static const struct {
        int64_t setting;
        int load;
        int64_t flushed_us, want_ms;
    } cases[] = {
        {MERGE_AUTO, 0, 0, 0},
        {MERGE_AUTO, 30, 0, 0},
        {MERGE_AUTO, 53, 0, 20},
        {MERGE_AUTO, 75, 0, 40},
        {MERGE_AUTO, 85, 0, 195},
        {MERGE_AUTO, 95, 0, 350},
        {MERGE_AUTO, 100, 0, 350},
        {MERGE_AUTO, 0, 499, 0},
        {MERGE_AUTO, 0, 5000, 10},
        {MERGE_AUTO, 0, 1 << 30, 40},
        {MERGE_AUTO, 95, 5000, 350},
        {0, 100, 50000, 0},
        {50, 0, 0, 50},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(merge_wait_ms(cases[i].setting, cases[i].load, cases[i].flushed_us),
                         cases[i].want_ms);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_newcomer_gets_what_is_in_force_and_the_newest_group),
        TEST(who_waits_too_long_is_told),
        TEST(a_stream_without_a_key_frame_is_waited_for),
        TEST(merging_puts_writes_off_but_not_the_first),
        TEST(what_was_put_off_goes_in_one_write),
        TEST(who_plays_comes_first_then_who_begins_then_the_rest),
        TEST(a_full_socket_goes_on_where_it_stopped),
        TEST(who_takes_nothing_is_given_up),
        TEST(the_end_comes_after_the_last_frame),
        TEST(clocks_do_not_go_back_with_a_new_publisher),
        TEST(a_muted_kind_stays_away),
        TEST(a_paused_player_gets_nothing_until_it_goes_on),
        TEST(a_node_takes_as_many_as_it_may),
        TEST(players_go_one_after_the_other),
        cmocka_unit_test(merging_follows_the_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
