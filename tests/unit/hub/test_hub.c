#include "test.h"

#include "base/mem.h"
#include "base/must.h"
#include "hub/hub.h"
#include "media/stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A node of two workers with real threads; the test posts what it wants done and waits for it. */
struct node {
    struct config config;
    struct workers group;
    struct hub *hub;
};

static int setup(void **state)
{
    struct node *n = xcalloc(1, sizeof *n);
    n->config.stream.window_ms = 28000;
    n->config.stream.window_bytes = 64 << 20;
    n->config.stream.linger_ms = 1;
    n->config.stream.memory_bytes = 1 << 30;
    assert_int_equal(workers_init(&n->group, &n->config, 2), 0);
    n->hub = hub_new(&n->group);
    *state = n;
    return 0;
}

static int teardown(void **state)
{
    struct node *n = *state;
    workers_stop(&n->group);
    hub_free(&n->hub);
    workers_fini(&n->group);
    free(n);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

#define ON_WORKER_CONTEXT struct node
#include "on_worker.h"

/* A reader that counts what it is told; the test waits on it. */
struct probe {
    struct feed_reader reader;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t epoch, next, first, instance;
    int64_t shift_ms;
    enum feed_state state;
    bool ended;
};

static void look(struct feed_reader *r)
{
    struct probe *p = container_of(r, struct probe, reader);
    const struct run *run = log_newest(r->feed->log);
    pthread_mutex_lock(&p->mutex);
    p->state = r->feed->state;
    if (run != NULL) {
        p->epoch = run->epoch;
        p->first = run->first;
        p->next = run->next;
        p->shift_ms = run->shift_ms;
        p->instance = run->origin != NULL ? run->origin->instance : 0;
    }
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
}

static void ended(struct feed_reader *r, enum close_reason why)
{
    struct probe *p = container_of(r, struct probe, reader);
    look(r);
    pthread_mutex_lock(&p->mutex);
    p->ended = true;
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
}

static const struct feed_reader_ops probe_ops = {
    .on_frames = look, .on_state = look, .on_end = ended};

/* What it has been told; it may be told more at any time. */
#define TOLD(p, member)                                                                            \
    ({                                                                                             \
        pthread_mutex_lock(&(p).mutex);                                                            \
        __typeof__((p).member) told_ = (p).member;                                                 \
        pthread_mutex_unlock(&(p).mutex);                                                          \
        told_;                                                                                     \
    })

static void probe_init(struct probe *p)
{
    *p = (struct probe){.reader.ops = &probe_ops,
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .cond = PTHREAD_COND_INITIALIZER};
}

static bool saw_state(const struct probe *p, uint64_t want)
{
    return p->state == (enum feed_state)want;
}
static bool saw_next(const struct probe *p, uint64_t want)
{
    return p->next >= want;
}
static bool saw_epoch(const struct probe *p, uint64_t want)
{
    return p->epoch == want;
}
static bool saw_end(const struct probe *p, uint64_t want)
{
    return p->ended;
}

static void wait_until(struct probe *p, bool (*is)(const struct probe *, uint64_t), uint64_t want)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    pthread_mutex_lock(&p->mutex);
    while (!is(p, want))
        if (pthread_cond_timedwait(&p->cond, &p->mutex, &deadline) != 0)
            fail_msg("never saw %d", (int)want);
    pthread_mutex_unlock(&p->mutex);
}

static void join(struct node *n, struct worker *w, void *arg)
{
    struct probe *p = arg;
    feed_join(n->hub, w, "live/a", &p->reader);
}

static void leave(struct node *n, struct worker *w, void *arg)
{
    struct probe *p = arg;
    feed_leave(&p->reader);
}

struct fill {
    uint64_t epoch, from;
    int count;
    bool open;
};

static void fill(struct node *n, struct worker *w, void *arg)
{
    const struct fill *fi = arg;
    struct feed *f = feed_hold(n->hub, w, "live/a");
    if (fi->open)
        feed_open_run(f, fi->epoch, 1, 0, NULL);
    for (int i = 0; i < fi->count; i++) {
        uint64_t seq = fi->from + (uint64_t)i;
        feed_append(f, make_frame(FRAME_VIDEO, (seq - 1) % 25 == 0 ? FRAME_KEY : 0, seq,
                                  (int64_t)(seq - 1) * 40, 100));
    }
    feed_release(&f);
}

static void lose(struct node *n, struct worker *w, void *arg)
{
    struct feed *f = feed_hold(n->hub, w, "live/a");
    feed_lost(f);
    feed_release(&f);
}

static void finish(struct node *n, struct worker *w, void *arg)
{
    struct feed *f = feed_hold(n->hub, w, "live/a");
    feed_end(f, CLOSE_UNPUBLISHED);
    feed_release(&f);
}

static void a_name_has_one_home(void **state)
{
    struct node *n = *state;
    assert_int_equal(workers_start(&n->group), 0);
    struct worker *w0 = &n->group.workers[0], *w1 = &n->group.workers[1];
    assert_ptr_equal(hub_pin(n->hub, "live/a", w1), w1);
    assert_ptr_equal(hub_pin(n->hub, "live/a", w0), w1);
    hub_unpin(n->hub, "live/a");
    hub_unpin(n->hub, "live/a");
    assert_ptr_equal(hub_pin(n->hub, "live/a", w0), w0);
    hub_unpin(n->hub, "live/a");
}

static void a_replica_follows_its_home(void **state)
{
    struct node *n = *state;
    assert_int_equal(workers_start(&n->group), 0);
    struct probe home, early, late;
    probe_init(&home);
    probe_init(&early);
    probe_init(&late);
    on_worker(n, 0, join, &home);
    on_worker(n, 1, join, &early);
    on_worker(n, 0, fill, &(struct fill){1000, 1, 30, true});
    wait_until(&home, saw_next, 31);
    wait_until(&early, saw_next, 31);
    assert_int_equal(TOLD(early, first), 1);
    assert_int_equal(TOLD(early, state), FEED_LIVE);
    on_worker(n, 1, join, &late);
    wait_until(&late, saw_next, 31);
    on_worker(n, 0, fill, &(struct fill){1000, 31, 200, false});
    wait_until(&early, saw_next, 231);
    wait_until(&late, saw_next, 231);

    on_worker(n, 0, lose, NULL);
    wait_until(&early, saw_state, FEED_LOST);
    on_worker(n, 0, fill, &(struct fill){2000, 1, 3, true});
    wait_until(&early, saw_epoch, 2000);
    wait_until(&early, saw_next, 4);
    /* Continuous viewers go on after the last of the old run, not at 0. */
    assert_true(TOLD(early, shift_ms) >= 230 * 40);
    wait_until(&home, saw_epoch, 2000);
    wait_until(&home, saw_next, 4);
    assert_int_equal(TOLD(early, shift_ms), TOLD(home, shift_ms));

    on_worker(n, 0, finish, NULL);
    wait_until(&home, saw_end, 0);
    wait_until(&early, saw_end, 0);
    wait_until(&late, saw_end, 0);
    on_worker(n, 0, leave, &home);
    on_worker(n, 1, leave, &early);
    on_worker(n, 1, leave, &late);
}

static void a_replica_holds_no_more_than_its_home(void **state)
{
    struct node *n = *state;
    n->config.stream.memory_bytes = 1;
    hub_free(&n->hub);
    n->hub = hub_new(&n->group);
    assert_int_equal(workers_start(&n->group), 0);
    struct probe home, replica;
    probe_init(&home);
    probe_init(&replica);
    on_worker(n, 0, join, &home);
    on_worker(n, 1, join, &replica);
    on_worker(n, 0, fill, &(struct fill){1000, 1, 40, true});
    on_worker(n, 0, fill, &(struct fill){1000, 41, 40, false});
    wait_until(&home, saw_next, 81);
    wait_until(&replica, saw_next, 81);
    assert_int_equal(TOLD(home, first), 76);
    assert_int_equal(TOLD(replica, first), 76);
    on_worker(n, 0, finish, NULL);
    wait_until(&home, saw_end, 0);
    wait_until(&replica, saw_end, 0);
    on_worker(n, 0, leave, &home);
    on_worker(n, 1, leave, &replica);
}

static void get_bit_rate(struct node *n, struct worker *w, void *arg)
{
    *(int64_t *)arg = feed_find(n->hub, w, "live/a")->bitrate_bps;
}

/* Send buffers follow it on every worker. */
static void a_replica_knows_the_bit_rate(void **state)
{
    struct node *n = *state;
    assert_int_equal(workers_start(&n->group), 0);
    struct probe replica;
    int64_t bps = 0;
    probe_init(&replica);
    on_worker(n, 0, fill, &(struct fill){1000, 1, 40, true});
    on_worker(n, 1, join, &replica);
    for (uint64_t seq = 41; bps == 0; seq++) {
        assert_true(seq < 1000000);
        on_worker(n, 1, get_bit_rate, &bps);
        on_worker(n, 0, fill, &(struct fill){1000, seq, 1, false});
        wait_until(&replica, saw_next, seq + 1);
    }
    on_worker(n, 1, leave, &replica);
}

static void a_replica_comes_and_goes(void **state)
{
    struct node *n = *state;
    assert_int_equal(workers_start(&n->group), 0);
    struct probe keep;
    probe_init(&keep);
    on_worker(n, 0, join, &keep);
    on_worker(n, 0, fill, &(struct fill){1000, 1, 60, true});
    for (int i = 0; i < 200; i++) {
        struct probe p;
        probe_init(&p);
        on_worker(n, 1, join, &p);
        if (i % 2 == 0)
            wait_until(&p, saw_next, 61);
        on_worker(n, 1, leave, &p);
    }
    on_worker(n, 0, leave, &keep);
}

static void pull_from(struct node *n, struct worker *w, void *arg)
{
    struct run_origin *origin = run_origin_new(7, slice_text(arg));
    struct feed *f = feed_hold(n->hub, w, "live/a");
    feed_set_origin(f, origin);
    run_origin_unref(&origin);
    feed_release(&f);
}

static void restart(struct node *n, struct worker *w, void *arg)
{
    struct feed *f = feed_hold(n->hub, w, "live/a");
    feed_restart(f, *(const uint64_t *)arg, NULL);
    feed_release(&f);
}

static void reset(struct node *n, struct worker *w, void *arg)
{
    struct feed *f = feed_hold(n->hub, w, "live/a");
    feed_reset(f);
    feed_release(&f);
}

static bool saw_first(const struct probe *p, uint64_t want)
{
    return p->first == want;
}
static bool saw_instance(const struct probe *p, uint64_t want)
{
    return p->instance == want;
}

static void what_a_pull_does_reaches_replicas(void **state)
{
    struct node *n = *state;
    assert_int_equal(workers_start(&n->group), 0);
    struct probe home, far, late;
    probe_init(&home);
    probe_init(&far);
    probe_init(&late);
    on_worker(n, 0, join, &home);
    on_worker(n, 1, join, &far);
    on_worker(n, 0, fill, &(struct fill){1000, 1, 30, true});
    on_worker(n, 0, pull_from, (char[]){"o1"});
    wait_until(&home, saw_instance, 7);
    wait_until(&far, saw_instance, 7);
    on_worker(n, 0, restart, &(uint64_t){101});
    on_worker(n, 0, fill, &(struct fill){1000, 101, 30, false});
    wait_until(&far, saw_next, 131);
    wait_until(&far, saw_first, 101);
    on_worker(n, 0, reset, NULL);
    wait_until(&far, saw_state, FEED_EMPTY);
    on_worker(n, 0, fill, &(struct fill){500, 1, 30, true}); /* a lower one, even */
    wait_until(&far, saw_epoch, 500);
    wait_until(&far, saw_instance, 0);
    on_worker(n, 0, pull_from, (char[]){"o1"});
    on_worker(n, 1, leave, &far);
    on_worker(n, 1, join, &late); /* by the snapshot, if the replica has gone */
    wait_until(&late, saw_instance, 7);
    on_worker(n, 0, leave, &home);
    on_worker(n, 1, leave, &late);
}

struct asked {
    int wanted, unwanted;
};

static void on_wanted(struct feed *f, void *arg)
{
    ((struct asked *)arg)->wanted++;
}
static void on_unwanted(struct feed *f, void *arg)
{
    ((struct asked *)arg)->unwanted++;
}

struct fake_source {
    struct feed_source source;
    int displaced, wanted, unwanted, keys;
};

static void source_displaced(struct feed_source *s, enum close_reason why)
{
    container_of(s, struct fake_source, source)->displaced++;
}
static void source_wanted(struct feed_source *s, bool wanted)
{
    struct fake_source *f = container_of(s, struct fake_source, source);
    (void)(wanted ? f->wanted++ : f->unwanted++);
}
static void source_key(struct feed_source *s)
{
    container_of(s, struct fake_source, source)->keys++;
}
static const struct feed_source_ops source_ops = {
    .on_displaced = source_displaced, .on_wanted = source_wanted, .on_want_key = source_key};

static void attach(struct node *n, struct worker *w, void *arg)
{
    struct fake_source *s = arg;
    struct feed *f = feed_hold(n->hub, w, "live/a");
    s->source.ops = &source_ops;
    feed_attach_source(f, &s->source);
    feed_release(&f);
}
static void detach(struct node *n, struct worker *w, void *arg)
{
    feed_detach_source(&((struct fake_source *)arg)->source);
}
static void displace(struct node *n, struct worker *w, void *arg)
{
    feed_displace(feed_find(n->hub, w, "live/a"), CLOSE_DRAIN);
}
static void want_key(struct node *n, struct worker *w, void *arg)
{
    feed_want_key(((struct probe *)arg)->reader.feed);
}

static void a_wanted_stream_looks_for_a_source(void **state)
{
    struct node *n = *state;
    struct asked asked = {0};
    hub_set_hooks(n->hub, &(struct hub_hooks){on_wanted, on_unwanted, &asked});
    assert_int_equal(workers_start(&n->group), 0);
    struct probe a, b;
    struct fake_source s = {0};
    probe_init(&a);
    probe_init(&b);
    on_worker(n, 0, join, &a);
    on_worker(n, 0, join, &b);
    assert_int_equal(asked.wanted, 1); /* however many wait */
    on_worker(n, 0, attach, &s);
    assert_int_equal(s.wanted, 1);
    on_worker(n, 0, want_key, &a);
    on_worker(n, 0, want_key, &b);
    assert_int_equal(s.keys, 1); /* collapsed */
    on_worker(n, 0, detach, &s);
    assert_int_equal(asked.wanted, 2); /* it went, and is wanted still */
    on_worker(n, 0, attach, &s);
    on_worker(n, 0, leave, &a);
    assert_int_equal(s.unwanted, 0);
    on_worker(n, 0, leave, &b);
    assert_int_equal(s.unwanted, 1);
    assert_int_equal(asked.unwanted, 1);
    on_worker(n, 0, displace, NULL);
    assert_int_equal(s.displaced, 1);
    assert_null(s.source.feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_has_one_home, setup, teardown),
        cmocka_unit_test_setup_teardown(a_replica_follows_its_home, setup, teardown),
        cmocka_unit_test_setup_teardown(a_replica_holds_no_more_than_its_home, setup, teardown),
        cmocka_unit_test_setup_teardown(a_replica_knows_the_bit_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(a_replica_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_pull_does_reaches_replicas, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wanted_stream_looks_for_a_source, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
