#include "test.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/config.h"
#include "origin/derive.h"
#include "origin/sound.h"
#include "proto/flv.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPOCH   1000000ULL
#define STREAM  "live/a"
#define DERIVED "live/a;opus"

/* A node of two workers that owns one stream, at home on the first; a reader of what is derived of
 * it on the second. */
struct node {
    struct config config;
    struct workers group;
    struct hub *hub;
    struct derive *derive;
    struct feed_source source;
    struct publisher sound;
    uint64_t epoch;

    struct feed_reader reader;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    /* what the reader has seen */
    uint64_t seen_epoch, seen_first, seen_frames;
    int64_t first_us, last_us, first_wire_ms;
    bool configured, uneven, ended;
    enum feed_state state;
};

#define ON_WORKER_CONTEXT struct node
#include "on_worker.h"

static void look(struct feed_reader *r)
{
    struct node *n = container_of(r, struct node, reader);
    const struct run *run = log_newest(r->feed->log);
    pthread_mutex_lock(&n->mutex);
    n->state = r->feed->state;
    if (run != NULL && run->epoch != n->seen_epoch) {
        n->seen_epoch = run->epoch;
        n->seen_first = run->first;
        n->seen_frames = 0;
        n->configured = false;
    }
    for (; run != NULL && n->seen_first + n->seen_frames < run->next; n->seen_frames++) {
        const struct frame *f = run_frame(run, n->seen_first + n->seen_frames);
        n->configured = n->configured || (f->flags & FRAME_CONFIG) != 0;
        if (n->seen_frames == 0)
            n->first_us = f->dts_us, n->first_wire_ms = f->wire_ms;
        else if (n->seen_frames > 1 && f->dts_us - n->last_us != 20000 && n->last_us > 0)
            n->uneven = true;
        must(f->codec == FLV_CODEC_OPUS && f->kind == FRAME_AUDIO);
        n->last_us = f->dts_us;
    }
    pthread_cond_broadcast(&n->cond);
    pthread_mutex_unlock(&n->mutex);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    struct node *n = container_of(r, struct node, reader);
    look(r);
    pthread_mutex_lock(&n->mutex);
    n->ended = true;
    pthread_cond_broadcast(&n->cond);
    pthread_mutex_unlock(&n->mutex);
}

static bool saw_sound(const struct node *n)
{
    return n->seen_epoch == n->epoch && n->configured && n->seen_frames > 30;
}
static bool saw_end(const struct node *n)
{
    return n->ended;
}
static bool saw_lost(const struct node *n)
{
    return n->state == FEED_LOST;
}

static void wait_until(struct node *n, bool (*is)(const struct node *n))
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 20;
    pthread_mutex_lock(&n->mutex);
    while (!is(n))
        if (pthread_cond_timedwait(&n->cond, &n->mutex, &deadline) != 0)
            fail_msg("%d frames of %d", (int)n->seen_frames, (int)n->seen_epoch);
    pthread_mutex_unlock(&n->mutex);
}

static int setup(void **state)
{
    static const struct feed_reader_ops reader_ops = {look, look, on_end};
    static const struct feed_source_ops source_ops = {0};
    struct node *n = xcalloc(1, sizeof *n);
    struct hub_hooks hooks;
    n->config.stream.window_ms = 28000;
    n->config.stream.window_bytes = 64 << 20;
    n->config.stream.linger_ms = 1;
    n->config.stream.memory_bytes = 1 << 30;
    n->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    n->cond = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    n->reader.ops = &reader_ops;
    n->source.ops = &source_ops;
    n->source.kind = "publish";
    assert_int_equal(workers_init(&n->group, &n->config, 2), 0);
    n->hub = hub_new(&n->group);
    n->derive = derive_new(&n->group, n->hub, 1);
    hub_pin(n->hub, STREAM, &n->group.workers[0]);
    derive_hooks(n->derive, &hooks);
    hub_set_hooks(n->hub, &hooks);
    publisher_open(&n->sound, AV_CODEC_ID_AAC, 1);
    assert_int_equal(workers_start(&n->group), 0);
    *state = n;
    return 0;
}

static void let_go(struct node *n, struct worker *w, void *arg)
{
    if (w->index == 1)
        feed_leave(&n->reader);
    else
        feed_detach_source(&n->source);
    derive_stop(n->derive, w);
}

static int teardown(void **state)
{
    struct node *n = *state;
    on_worker(n, 0, let_go, NULL);
    on_worker(n, 1, let_go, NULL);
    workers_stop(&n->group);
    derive_stop_threads(n->derive);
    workers_drain(&n->group);
    derive_free(&n->derive);
    hub_unpin(n->hub, STREAM);
    hub_free(&n->hub);
    workers_fini(&n->group);
    publisher_close(&n->sound);
    free(n);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void append(struct feed *f, bool config, struct slice payload, int64_t dts_us)
{
    struct frame *frame = frame_new(FRAME_AUDIO, payload.len + 2);
    frame->data[0] = 0xaf;
    frame->data[1] = !config;
    memcpy(frame->data + 2, payload.p, payload.len);
    frame->codec = FLV_CODEC_AAC;
    frame->flags = config ? FRAME_CONFIG : 0;
    frame->dts_us = dts_us;
    frame->wire_ms = dts_us / 1000 + 5000;
    frame->seq = log_newest(f->log)->next;
    feed_append(f, frame);
}

/* Four seconds of sound, in a run of its own when the epoch is new. */
static void publish(struct node *n, struct worker *w, void *arg)
{
    uint64_t *epoch = arg;
    struct feed *f = feed_hold(n->hub, w, STREAM);
    int64_t dts_us;
    if (f->source == NULL)
        feed_attach_source(f, &n->source);
    if (*epoch != n->epoch) {
        n->epoch = *epoch;
        feed_open_run(f, n->epoch, 1, 0, NULL);
        append(f, true, publisher_config(&n->sound), 0);
    }
    for (int64_t until = n->sound.sample + 4 * IN_RATE; n->sound.sample < until;)
        if (publisher_next(&n->sound, &dts_us))
            append(f, false, slice_of(n->sound.packet->data, (size_t)n->sound.packet->size),
                   dts_us > 0 ? dts_us : 0);
    feed_release(&f);
}

static void join(struct node *n, struct worker *w, void *arg)
{
    feed_join(n->hub, w, DERIVED, &n->reader);
}

static void end(struct node *n, struct worker *w, void *arg)
{
    feed_end(n->source.feed, CLOSE_UNPUBLISHED);
}

/* Another node owns the stream from now on. */
static void move_away(struct node *n, struct worker *w, void *arg)
{
    struct run_origin *o = run_origin_new(7, slice_text("o2"));
    feed_set_origin(n->source.feed, o);
    run_origin_unref(&o);
}

static void is_made_while_it_is_read(void **state)
{
    struct node *n = *state;
    uint64_t epoch = EPOCH;
    on_worker(n, 0, publish, &epoch);
    on_worker(n, 1, join, NULL);
    wait_until(n, saw_sound);
    assert_false(n->uneven);
    /* From where a viewer would begin, on the stream's line, and with its published times. */
    assert_in_range(n->first_us, 2000000, 3100000);
    assert_int_equal(n->first_wire_ms, n->first_us / 1000 + 5000);
    on_worker(n, 0, end, NULL);
    wait_until(n, saw_end);
}

static void follows_the_next_run(void **state)
{
    struct node *n = *state;
    uint64_t epoch = EPOCH;
    on_worker(n, 1, join, NULL);
    on_worker(n, 0, publish, &epoch);
    wait_until(n, saw_sound);
    epoch = EPOCH + 1;
    on_worker(n, 0, publish, &epoch);
    wait_until(n, saw_sound);
    assert_false(n->ended);
}

static void leaves_when_the_stream_does(void **state)
{
    struct node *n = *state;
    uint64_t epoch = EPOCH;
    on_worker(n, 0, publish, &epoch);
    on_worker(n, 1, join, NULL);
    wait_until(n, saw_sound);
    on_worker(n, 0, move_away, NULL);
    on_worker(n, 0, publish, &epoch);
    wait_until(n, saw_lost);
}

/* Another stream, of which something is made. */
struct other {
    struct feed_source source;
    struct feed_reader reader;
};

static void take_the_seat(struct node *n, struct worker *w, void *arg)
{
    static const struct feed_source_ops source_ops = {0};
    static const struct feed_reader_ops reader_ops = {0};
    struct other *o = arg;
    struct feed *f = feed_hold(n->hub, w, "live/b");
    o->source = (struct feed_source){.ops = &source_ops, .kind = "publish"};
    o->reader = (struct feed_reader){.ops = &reader_ops};
    feed_attach_source(f, &o->source);
    feed_open_run(f, EPOCH, 1, 0, NULL);
    append(f, true, publisher_config(&n->sound), 0);
    feed_release(&f);
    feed_join(n->hub, w, "live/b;opus", &o->reader);
}

static void leave_the_seat(struct node *n, struct worker *w, void *arg)
{
    struct other *o = arg;
    feed_leave(&o->reader);
    feed_end(o->source.feed, CLOSE_UNPUBLISHED);
    feed_detach_source(&o->source);
}

static uint64_t refusals(const struct node *n)
{
    return METRIC_GET(n->group.workers[0].metrics.limited[LIMIT_DERIVED_SOUNDS]) +
           METRIC_GET(n->group.workers[1].metrics.limited[LIMIT_DERIVED_SOUNDS]);
}

static void nothing(struct node *n, struct worker *w, void *arg)
{
}

/* The one seat is another stream's, until that one's deriver goes. */
static void waits_for_a_seat(void **state)
{
    struct node *n = *state;
    struct other o;
    uint64_t epoch = EPOCH;
    n->config.limits.derived_sounds = 1;
    on_worker(n, 0, publish, &epoch);
    on_worker(n, 0, take_the_seat, &o);
    on_worker(n, 1, join, NULL);
    for (int i = 0; i < 1000000 && refusals(n) == 0; i++)
        on_worker(n, 1, nothing, NULL);
    assert_int_equal(refusals(n), 1);
    assert_int_equal(n->seen_frames, 0);
    on_worker(n, 0, leave_the_seat, &o);
    wait_until(n, saw_sound);
    assert_false(n->uneven);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_made_while_it_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_the_next_run, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_when_the_stream_does, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_a_seat, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
