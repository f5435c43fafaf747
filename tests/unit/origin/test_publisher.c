#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "origin/publisher.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * A node of two workers with real threads and no cluster.  The test posts what it wants done, and
 * waits for what comes of it, at most GIVE_UP_S.
 */
#define GIVE_UP_S  20
#define NAME       "live/cam1"
#define FRAMES_MAX 4096
#define MEGABYTE   (1024 * 1024)

static struct node {
    struct config config;
    struct workers group;
    struct hub *hub;
    struct cluster *cluster;
    struct ingest *ingest;
} node;

/* Everything below that threads share is under this. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

#define WAIT_FOR(cond)                                                                             \
    do {                                                                                           \
        struct timespec until_;                                                                    \
        clock_gettime(CLOCK_REALTIME, &until_);                                                    \
        until_.tv_sec += GIVE_UP_S;                                                                \
        int err_ = 0;                                                                              \
        pthread_mutex_lock(&mutex);                                                                \
        while (!(cond) && err_ != ETIMEDOUT)                                                       \
            err_ = pthread_cond_timedwait(&changed, &mutex, &until_);                              \
        pthread_mutex_unlock(&mutex);                                                              \
        if (err_ == ETIMEDOUT)                                                                     \
            fail_msg("still not: %s", #cond);                                                      \
    } while (0)

static int setup(void **state)
{
    node = (struct node){.config.stream = {.window_ms = 600000,
                                           .window_bytes = 64 * MEGABYTE,
                                           .publisher_timeout_ms = 60000,
                                           .lost_ms = 60000,
                                           .linger_ms = 1,
                                           .memory_bytes = 1 << 30}};
    char error[CONFIG_ERROR_MAX];
    struct cluster_self self = {.node = "n1", .instance = 1};
    struct cluster_events events = {0};
    log_setup(LOG_ERROR, false);
    assert_int_equal(workers_init(&node.group, &node.config, 2), 0);
    node.hub = hub_new(&node.group);
    assert_int_equal(cluster_open(&node.cluster, &node.group, &self, &events, NULL, error), 0);
    node.ingest = ingest_new(&node.group, node.hub, node.cluster);
    assert_int_equal(workers_start(&node.group), 0);
    return 0;
}

static void stop_node(void)
{
    workers_stop(&node.group);
    assert_int_equal(node.group.workers[0].metrics.publishers, 0);
    assert_int_equal(node.group.workers[1].metrics.publishers, 0);
    ingest_free(&node.ingest);
    hub_free(&node.hub);
    cluster_free(&node.cluster);
    workers_fini(&node.group);
    assert_int_equal(frames_alive(), 0);
}

static struct worker *worker(int index)
{
    return &node.group.workers[index];
}

/* Runs fn on a worker and waits until it has. */
struct call {
    struct message m;
    void (*fn)(void *arg);
    void *arg;
    bool done;
};

static void run_call(struct message *m)
{
    struct call *c = container_of(m, struct call, m);
    c->fn(c->arg);
    lock();
    c->done = true;
    unlock();
}

static void on_worker(int index, void (*fn)(void *arg), void *arg)
{
    struct call c = {.m.run = run_call, .fn = fn, .arg = arg};
    worker_post(worker(index), &c.m);
    WAIT_FOR(c.done);
}

/* --- a publisher --- */

struct source {
    int on; /* the worker of its connection */
    const char *name, *identity;
    struct publisher *p;
    bool accepted, over;
    enum close_reason why;
    int wanted_keys, fills, drains;
    bool clean; /* how do_close() is to close it */
};

static void on_accepted(void *owner, uint64_t epoch)
{
    struct source *s = owner;
    lock();
    must(!s->accepted && !s->over && worker_is_current(worker(s->on)));
    s->accepted = true;
    unlock();
}

static void told_off(struct source *s, enum close_reason why)
{
    lock();
    must(!s->over && worker_is_current(worker(s->on)));
    s->over = true;
    s->why = why;
    unlock();
}

static void on_refused(void *owner, enum close_reason why, const char *text)
{
    must(text != NULL && !((struct source *)owner)->accepted);
    told_off(owner, why);
}

static void on_ended(void *owner, enum close_reason why)
{
    must(((struct source *)owner)->accepted);
    told_off(owner, why);
}

static void on_want_key(void *owner)
{
    lock();
    ((struct source *)owner)->wanted_keys++;
    unlock();
}

static void on_full(void *owner, bool full)
{
    struct source *s = owner;
    lock();
    s->fills += full;
    s->drains += !full;
    unlock();
}

static const struct publisher_ops ops = {.on_accepted = on_accepted,
                                         .on_refused = on_refused,
                                         .on_ended = on_ended,
                                         .on_want_key = on_want_key,
                                         .on_full = on_full};

static void do_open(void *arg)
{
    struct source *s = arg;
    s->p = publisher_open(node.ingest, worker(s->on),
                          &(struct publisher_options){.name = s->name,
                                                      .identity = s->identity,
                                                      .proto = "rtmp",
                                                      .peer = "127.0.0.1:1",
                                                      .ops = &ops,
                                                      .owner = s});
    must(!s->accepted && !s->over);
}

static void source_open(struct source *s, int on, const char *name, const char *identity)
{
    *s = (struct source){.on = on, .name = name, .identity = identity};
    on_worker(on, do_open, s);
}

static void source_accepted(struct source *s, int on, const char *name, const char *identity)
{
    source_open(s, on, name, identity);
    WAIT_FOR(s->accepted);
}

static void do_close(void *arg)
{
    struct source *s = arg;
    publisher_close(&s->p, s->clean);
    must(s->p == NULL);
}

static void source_close(struct source *s, bool clean)
{
    s->clean = clean;
    on_worker(s->on, do_close, s);
}

struct pushes {
    struct source *s;
    int count, flush_every;
    size_t size;
};

/* Message n: a key frame every 25, its number in the bytes. */
static size_t make_body(int n, size_t size, uint8_t *body)
{
    memset(body, n & 0xff, size);
    memcpy(body, n % 25 == 0 ? "\x17\x01\0\0\0" : "\x27\x01\0\0\0", 5);
    memcpy(body + 5, &n, sizeof n);
    return size;
}

static void do_push(void *arg)
{
    struct pushes *p = arg;
    uint8_t *body = xmalloc(p->size);
    for (int n = 0; n < p->count; n++) {
        size_t len = make_body(n, p->size, body);
        must(publisher_push(p->s->p, 9, (uint32_t)n * 40, slice_of(body, len)) == 0);
        if (n % p->flush_every == p->flush_every - 1)
            publisher_flush(p->s->p);
    }
    publisher_flush(p->s->p);
    free(body);
}

/* --- a reader on any worker, which keeps what it sees --- */

static struct collector {
    struct feed_reader reader;
    int on;
    uint64_t epoch, next;
    struct frame *frames[FRAMES_MAX];
    size_t count;
    enum feed_state state;
    bool ended;
    enum close_reason why;
} collector;

static void collect(struct feed_reader *r)
{
    struct collector *c = container_of(r, struct collector, reader);
    const struct run *run = log_newest(r->feed->log);
    lock();
    c->state = r->feed->state;
    if (run != NULL && run->epoch != c->epoch) {
        c->epoch = run->epoch;
        c->next = run->first;
    }
    for (; run != NULL && c->next < run->next && c->count < FRAMES_MAX; c->next++)
        c->frames[c->count++] = frame_ref(run_frame(run, c->next));
    unlock();
}

static void collect_end(struct feed_reader *r, enum close_reason why)
{
    struct collector *c = container_of(r, struct collector, reader);
    lock();
    c->state = r->feed->state;
    c->ended = true;
    c->why = why;
    unlock();
}

static const struct feed_reader_ops collect_ops = {
    .on_frames = collect, .on_state = collect, .on_end = collect_end};

static void do_join(void *arg)
{
    feed_join(node.hub, worker(collector.on), NAME, &collector.reader);
}

static void do_leave(void *arg)
{
    feed_leave(&collector.reader);
}

static void collector_join(int on)
{
    collector = (struct collector){.on = on, .reader.ops = &collect_ops};
    on_worker(on, do_join, NULL);
}

static void collector_leave(void)
{
    on_worker(collector.on, do_leave, NULL);
    for (size_t i = 0; i < collector.count; i++)
        frame_unref(&collector.frames[i]);
    collector.count = 0;
}

static void expect_collected(int count, size_t size)
{
    uint8_t *body = xmalloc(size);
    for (int n = 0; n < count; n++) {
        const struct frame *f = collector.frames[n];
        make_body(n, size, body);
        assert_int_equal(f->seq, n + 1);
        assert_int_equal(f->wire_ms, n * 40);
        assert_int_equal(f->dts_us, n * 40000);
        assert_int_equal(f->flags, n % 25 == 0 ? FRAME_KEY : 0);
        assert_true(slice_eq(frame_payload(f), slice_of(body, size)));
    }
    free(body);
}

static void metric_sum(struct metrics *sum)
{
    *sum = (struct metrics){0};
    metrics_add(sum, &worker(0)->metrics);
    metrics_add(sum, &worker(1)->metrics);
}

/* --- tests --- */

/* Home, connection and reader on either of the workers. */
static void frames_arrive_as_published(void **state)
{
    static const struct {
        int home, connection, reader;
    } rows[] = {{0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {1, 1, 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct source s;
        struct metrics m;
        setup(NULL);
        assert_ptr_equal(hub_pin(node.hub, NAME, worker(rows[i].home)), worker(rows[i].home));
        collector_join(rows[i].reader);
        source_accepted(&s, rows[i].connection, NAME, "");
        struct pushes p = {&s, 2000, 7, 300};
        on_worker(s.on, do_push, &p);
        WAIT_FOR(collector.count == 2000 && collector.state == FEED_LIVE);
        expect_collected(2000, 300);
        source_close(&s, true);
        WAIT_FOR(collector.ended);
        assert_int_equal(collector.why, CLOSE_UNPUBLISHED);
        assert_false(s.over);
        metric_sum(&m);
        assert_int_equal(m.publish_total, 1);
        assert_int_equal(m.frames_in_total, 2000);
        collector_leave();
        hub_unpin(node.hub, NAME);
        stop_node();
    }
}

/* What was pushed and not flushed is not lost by a goodbye. */
static void closing_flushes(void **state)
{
    struct source s;
    setup(NULL);
    hub_pin(node.hub, NAME, worker(0));
    collector_join(0);
    source_accepted(&s, 1, NAME, "");
    uint8_t body[16];
    make_body(0, sizeof body, body);
    assert_int_equal(publisher_push(s.p, 9, 0, slice_of(body, sizeof body)), 0);
    source_close(&s, true);
    WAIT_FOR(collector.ended);
    assert_int_equal(collector.count, 1);
    collector_leave();
    hub_unpin(node.hub, NAME);
    stop_node();
}

static void lost_and_taken_over(void **state)
{
    struct source a, b, c;
    setup(NULL);
    hub_pin(node.hub, NAME, worker(0));
    collector_join(1);
    source_accepted(&a, 1, NAME, "id");
    struct pushes p = {&a, 30, 30, 100};
    on_worker(a.on, do_push, &p);
    WAIT_FOR(collector.count == 30);
    uint64_t first = collector.epoch;
    source_close(&a, false);
    WAIT_FOR(collector.state == FEED_LOST);

    source_accepted(&b, 0, NAME, "id");
    p.s = &b;
    on_worker(b.on, do_push, &p);
    WAIT_FOR(collector.count == 60 && collector.state == FEED_LIVE);
    assert_true(collector.epoch > first);

    source_accepted(&c, 1, NAME, "id");
    WAIT_FOR(b.over);
    assert_int_equal(b.why, CLOSE_NAME_TAKEN);
    on_worker(b.on, do_push, &p); /* in vain */
    p.s = &c;
    on_worker(c.on, do_push, &p);
    WAIT_FOR(collector.count == 90);
    source_close(&b, false);
    source_close(&c, true);
    WAIT_FOR(collector.ended);
    assert_int_equal(collector.count, 90);
    collector_leave();
    hub_unpin(node.hub, NAME);
    stop_node();
}

struct answer {
    bool done, found;
};

static void on_answer(bool found, void *arg)
{
    struct answer *a = arg;
    lock();
    must(worker_is_current(worker(1)));
    a->found = found;
    a->done = true;
    unlock();
}

static bool kick(const char *name)
{
    struct answer a = {0};
    ingest_kick(node.ingest, worker(1), name, CLOSE_KICKED, on_answer, &a);
    WAIT_FOR(a.done);
    return a.found;
}

static bool yields(const char *name)
{
    struct answer a = {0};
    ingest_yields(node.ingest, worker(1), name, on_answer, &a);
    WAIT_FOR(a.done);
    return a.found;
}

static void kicked(void **state)
{
    struct source s;
    setup(NULL);
    hub_pin(node.hub, NAME, worker(0));
    assert_false(kick(NAME));
    assert_true(yields(NAME));
    source_accepted(&s, 1, NAME, "");
    assert_false(kick("live/other"));
    assert_false(yields(NAME));
    assert_true(kick(NAME));
    WAIT_FOR(s.over);
    assert_int_equal(s.why, CLOSE_KICKED);
    source_close(&s, false);
    hub_unpin(node.hub, NAME);
    stop_node();
}

static void do_fence(void *arg)
{
    uint64_t epoch = *(uint64_t *)arg;
    ingest_fenced(node.ingest, NAME, epoch, &(struct cluster_owner){.found = true});
}

static void fenced(void **state)
{
    struct source s;
    struct metrics m;
    setup(NULL);
    collector_join(0);
    source_accepted(&s, 1, NAME, "");
    struct pushes p = {&s, 1, 1, 100};
    on_worker(s.on, do_push, &p);
    WAIT_FOR(collector.count == 1);
    int on = cluster_worker(node.cluster)->index;
    on_worker(on, do_fence, &(uint64_t){collector.epoch + 1});
    assert_false(yields(NAME));
    on_worker(on, do_fence, &(uint64_t){collector.epoch});
    WAIT_FOR(s.over);
    assert_int_equal(s.why, CLOSE_FENCED);
    WAIT_FOR(collector.state == FEED_LOST);
    metric_sum(&m);
    assert_int_equal(m.fenced_total, 1);
    source_close(&s, false);
    collector_leave();
    stop_node();
}

static void on_drained(void *arg)
{
    lock();
    must(worker_is_current(worker(0)));
    *(bool *)arg = true;
    unlock();
}

static void drain_one(void *w)
{
    ingest_drain(node.ingest, w, 0);
}

static void undrain_one(void *w)
{
    ingest_undrain(node.ingest, w);
}

static void drained(void **state)
{
    struct source a, b, c;
    struct metrics m;
    bool done = false, again = false;
    setup(NULL);
    hub_pin(node.hub, "live/a", worker(0));
    hub_pin(node.hub, "live/b", worker(1));
    source_accepted(&a, 1, "live/a", "");
    source_accepted(&b, 1, "live/b", "");
    on_worker(0, drain_one, worker(0));
    on_worker(1, drain_one, worker(1));
    ingest_await_empty(node.ingest, on_drained, &done);
    ingest_await_empty(node.ingest, on_drained, &again);
    WAIT_FOR(a.over && b.over && done && again);
    assert_int_equal(a.why, CLOSE_DRAIN);
    assert_int_equal(b.why, CLOSE_DRAIN);
    source_open(&c, 0, "live/a", "");
    WAIT_FOR(c.over);
    assert_false(c.accepted);
    assert_int_equal(c.why, CLOSE_DRAIN);
    metric_sum(&m);
    assert_int_equal(m.publish_refused_total, 1);
    source_close(&a, false);
    source_close(&b, false);
    source_close(&c, false);

    on_worker(0, undrain_one, worker(0));
    on_worker(1, undrain_one, worker(1));
    source_accepted(&c, 0, "live/a", "");
    source_close(&c, true);
    hub_unpin(node.hub, "live/a");
    hub_unpin(node.hub, "live/b");
    stop_node();
}

/* The home worker stands still while the publisher sends. */
static bool is_standing, may_go;

static void run_standstill(struct message *m)
{
    lock();
    is_standing = true;
    pthread_cond_broadcast(&changed);
    while (!may_go)
        pthread_cond_wait(&changed, &mutex);
    unlock();
}

static void what_is_under_way_is_bounded(void **state)
{
    struct source s;
    struct message standstill = {.run = run_standstill};
    setup(NULL);
    is_standing = may_go = false;
    hub_pin(node.hub, NAME, worker(0));
    source_accepted(&s, 1, NAME, "");
    collector_join(0);
    worker_post(worker(0), &standstill);
    WAIT_FOR(is_standing);

    struct pushes p = {&s, 7, 1, MEGABYTE};
    on_worker(s.on, do_push, &p);
    assert_int_equal(s.fills, 0);
    p.count = 2;
    on_worker(s.on, do_push, &p);
    assert_int_equal(s.fills, 1);
    assert_int_equal(s.drains, 0);
    on_worker(s.on, do_push, &p);
    assert_int_equal(s.fills, 1);

    lock();
    may_go = true;
    unlock();
    WAIT_FOR(s.drains == 1 && collector.count == 11);
    on_worker(s.on, do_push, &p);
    WAIT_FOR(collector.count == 13);
    assert_int_equal(s.fills, 1);
    source_close(&s, true);
    collector_leave();
    hub_unpin(node.hub, NAME);
    stop_node();
}

static void do_want_key(void *arg)
{
    feed_want_key(feed_find(node.hub, worker(1), NAME));
}

static void key_frame_wanted(void **state)
{
    struct source s;
    setup(NULL);
    hub_pin(node.hub, NAME, worker(0));
    source_accepted(&s, 0, NAME, "");
    collector_join(1);
    struct pushes p = {&s, 1, 1, 100};
    on_worker(s.on, do_push, &p);
    WAIT_FOR(collector.count == 1);
    on_worker(1, do_want_key, NULL);
    WAIT_FOR(s.wanted_keys == 1);
    source_close(&s, true);
    collector_leave();
    hub_unpin(node.hub, NAME);
    stop_node();
}

/* Bad messages are the caller's to judge, and leave nothing behind. */
static void do_push_bad(void *arg)
{
    struct source *s = arg;
    must(publisher_push(s->p, 9, 0, slice_text("\x17\x01")) == ERR_PROTOCOL);
    must(publisher_push(s->p, 9, 0, slice_text("\x18")) == ERR_UNSUPPORTED);
    must(publisher_push(s->p, 22, 0, slice_text("x")) == ERR_UNSUPPORTED);
    must(publisher_push(s->p, 9, 0, slice_text("")) == 0);
    publisher_flush(s->p);
}

static void bad_messages(void **state)
{
    struct source s;
    setup(NULL);
    source_accepted(&s, 1, NAME, "");
    on_worker(s.on, do_push_bad, &s);
    source_close(&s, true);
    stop_node();
}

static void do_open_and_close(void *arg)
{
    do_open(arg);
    do_close(arg);
}

/* Nobody is told anything after the close, whatever is under way. */
static void closed_before_the_answer(void **state)
{
    setup(NULL);
    hub_pin(node.hub, NAME, worker(0));
    for (int i = 0; i < 50; i++) {
        struct source s = {.on = 1, .name = NAME, .identity = "id", .clean = i % 2 == 0};
        on_worker(1, do_open_and_close, &s);
        assert_false(s.accepted || s.over);
    }
    struct source last;
    source_accepted(&last, 1, NAME, "id");
    source_close(&last, true);
    hub_unpin(node.hub, NAME);
    stop_node();
}

/* The workers are stopped under a publisher; its session closes it afterwards. */
static void stopped_in_the_middle(void **state)
{
    struct source a, b, lost;
    setup(NULL);
    hub_pin(node.hub, NAME, worker(0));
    source_accepted(&a, 1, NAME, "");
    source_accepted(&lost, 1, "live/lost", "");
    struct pushes p = {&lost, 3, 1, 100};
    on_worker(1, do_push, &p);
    source_close(&lost, false);
    source_open(&b, 1, NAME, ""); /* waits */
    workers_stop(&node.group);
    publisher_close(&a.p, false);
    publisher_close(&b.p, false);
    hub_unpin(node.hub, NAME);
    stop_node();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_arrive_as_published),
        cmocka_unit_test(closing_flushes),
        cmocka_unit_test(lost_and_taken_over),
        cmocka_unit_test(kicked),
        cmocka_unit_test(fenced),
        cmocka_unit_test(drained),
        cmocka_unit_test(what_is_under_way_is_bounded),
        cmocka_unit_test(key_frame_wanted),
        cmocka_unit_test(bad_messages),
        cmocka_unit_test(closed_before_the_answer),
        cmocka_unit_test(stopped_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
