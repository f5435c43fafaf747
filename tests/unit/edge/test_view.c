#include "test.h"

#include "base/mem.h"
#include "core/config.h"
#include "edge/view.h"
#include "proto/flv.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define EPOCH  1000000ULL
#define STREAM "live/a"
#define SOUND  "live/a;aac"
#define PLAIN  "live/a;plain"

/* Reads a feed, and tells the test how far. */
struct probe {
    struct feed_reader reader;
    struct node *node;
    uint64_t next;
    bool ended;
};

/* A node of one worker with a stream, sound that is derived of it, and the view of both. */
struct node {
    struct config config;
    struct workers group;
    struct hub *hub;
    struct views *views;
    struct feed_source stream, derived;
    struct probe plain, sound;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

#define ON_WORKER_CONTEXT struct node
#include "on_worker.h"

static void tell(struct probe *p, bool ended)
{
    const struct run *run = log_newest(p->reader.feed->log);
    pthread_mutex_lock(&p->node->mutex);
    p->next = run != NULL ? run->next : 0;
    p->ended |= ended;
    pthread_cond_broadcast(&p->node->cond);
    pthread_mutex_unlock(&p->node->mutex);
}

static void look(struct feed_reader *r)
{
    tell(container_of(r, struct probe, reader), false);
}

static void on_end(struct feed_reader *r, enum close_reason why)
{
    tell(container_of(r, struct probe, reader), true);
}

static void wait_for(struct node *n, const struct probe *p, uint64_t next, bool ended)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 20;
    pthread_mutex_lock(&n->mutex);
    while (p->next < next || p->ended != ended)
        if (pthread_cond_timedwait(&n->cond, &n->mutex, &deadline) != 0)
            fail_msg("frames up to %d", (int)p->next);
    pthread_mutex_unlock(&n->mutex);
}

static void probe_init(struct probe *p, struct node *n)
{
    static const struct feed_reader_ops ops = {look, look, on_end};
    p->reader.ops = &ops;
    p->node = n;
}

static void source_init(struct feed_source *s)
{
    static const struct feed_source_ops ops = {0};
    s->ops = &ops;
    s->kind = "test";
}

static int setup(void **state)
{
    struct node *n = xcalloc(1, sizeof *n);
    n->config.stream.window_ms = 28000;
    n->config.stream.window_bytes = 64 << 20;
    n->config.stream.linger_ms = 1;
    n->config.stream.memory_bytes = 1 << 30;
    n->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    n->cond = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    probe_init(&n->plain, n);
    probe_init(&n->sound, n);
    source_init(&n->stream);
    source_init(&n->derived);
    assert_int_equal(workers_init(&n->group, &n->config, 1), 0);
    n->hub = hub_new(&n->group);
    n->views = views_new(&n->group, n->hub);
    assert_int_equal(workers_start(&n->group), 0);
    *state = n;
    return 0;
}

static void let_go(struct node *n, struct worker *w, void *arg)
{
    feed_leave(&n->plain.reader);
    feed_leave(&n->sound.reader);
    views_stop(n->views, w);
    feed_detach_source(&n->stream);
    feed_detach_source(&n->derived);
}

static int teardown(void **state)
{
    struct node *n = *state;
    on_worker(n, 0, let_go, NULL);
    workers_stop(&n->group);
    views_free(&n->views);
    hub_free(&n->hub);
    workers_fini(&n->group);
    free(n);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void append(struct feed *f, enum frame_kind kind, uint32_t codec, int64_t dts_us)
{
    struct frame *frame = frame_new(kind, 10);
    memset(frame->data, 0, 10);
    frame->codec = codec;
    frame->flags = kind == FRAME_VIDEO ? FRAME_KEY : 0;
    frame->dts_us = dts_us;
    frame->wire_ms = dts_us / 1000;
    frame->seq = log_newest(f->log)->next;
    feed_append(f, frame);
}

static void begin(struct node *n, struct worker *w, const char *name, struct feed_source *s)
{
    struct feed *f = feed_hold(n->hub, w, name);
    feed_attach_source(f, s);
    feed_open_run(f, EPOCH, 1, 0, NULL);
    feed_release(&f);
}

static void publish(struct node *n, struct worker *w, void *arg)
{
    begin(n, w, STREAM, &n->stream);
    begin(n, w, SOUND, &n->derived);
    append(n->stream.feed, FRAME_VIDEO, FLV_CODEC_AVC, 0);
    append(n->stream.feed, FRAME_AUDIO, FLV_CODEC_OPUS, 1000);
    append(n->derived.feed, FRAME_AUDIO, FLV_CODEC_AAC, 1000);
}

static void watch(struct node *n, struct worker *w, void *arg)
{
    struct feed *f = feed_join(n->hub, w, PLAIN, &n->plain.reader);
    view_start(n->views, f);
    feed_join(n->hub, w, SOUND, &n->sound.reader); /* after the view */
}

static void end_stream(struct node *n, struct worker *w, void *arg)
{
    feed_end(n->stream.feed, CLOSE_UNPUBLISHED);
}

static void more_sound(struct node *n, struct worker *w, void *arg)
{
    append(n->derived.feed, FRAME_AUDIO, FLV_CODEC_AAC, 24000);
}

/* The two come by different connections: derived sound may still come when the stream has ended. */
static void sound_that_comes_after_the_end(void **state)
{
    struct node *n = *state;
    on_worker(n, 0, publish, NULL);
    on_worker(n, 0, watch, NULL);
    wait_for(n, &n->plain, 3, false);
    on_worker(n, 0, more_sound, NULL);
    wait_for(n, &n->plain, 4, false);
    on_worker(n, 0, end_stream, NULL);
    wait_for(n, &n->plain, 4, true);
    on_worker(n, 0, more_sound, NULL);
    wait_for(n, &n->sound, 4, false);
    assert_int_equal(n->plain.next, 4);
}

/* As when its only reader went, and another one came before the view did. */
static void forget_and_publish(struct node *n, struct worker *w, void *arg)
{
    feed_reset(n->stream.feed);
    feed_open_run(n->stream.feed, EPOCH, 1, 0, NULL);
    append(n->stream.feed, FRAME_VIDEO, FLV_CODEC_AVC, 0);
}

static void a_run_that_comes_back(void **state)
{
    struct node *n = *state;
    on_worker(n, 0, publish, NULL);
    on_worker(n, 0, watch, NULL);
    wait_for(n, &n->plain, 3, false);
    on_worker(n, 0, more_sound, NULL);
    wait_for(n, &n->plain, 4, false);
    on_worker(n, 0, end_stream, NULL);
    wait_for(n, &n->plain, 4, true);
    pthread_mutex_lock(&n->mutex);
    n->plain.next = 0;
    n->plain.ended = false;
    pthread_mutex_unlock(&n->mutex);
    on_worker(n, 0, forget_and_publish, NULL);
    wait_for(n, &n->plain, 3, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_that_comes_after_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_that_comes_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
