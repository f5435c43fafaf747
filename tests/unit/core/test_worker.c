#include "test.h"

#include "base/err.h"
#include "core/clock.h"
#include "core/timer.h"
#include "core/worker.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WORKER_COUNT  4
#define POSTER_COUNT  4
#define MESSAGE_COUNT 5000 /* of one poster to one worker */
#define DEADLINE_US   20000000

static void wait_for(const int *counter, int want)
{
    int64_t until_us = clock_us() + DEADLINE_US;
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < want && clock_us() < until_us)
        sched_yield();
    assert_int_equal(__atomic_load_n(counter, __ATOMIC_ACQUIRE), want);
}

#define COUNT(counter) __atomic_add_fetch(&(counter), 1, __ATOMIC_ACQ_REL)

/* ---- many threads to many workers: everything arrives, in order per sender, on the right thread
 * ---- */

struct tally {
    struct worker *worker;
    int last[POSTER_COUNT]; /* worker's thread only */
    int arrived, wrong;
};

struct numbered {
    struct message message;
    struct tally *tally;
    int poster, number;
};

static void on_numbered(struct message *m)
{
    struct numbered *n = container_of(m, struct numbered, message);
    struct tally *t = n->tally;
    if (!worker_is_current(t->worker) || n->number != t->last[n->poster] + 1)
        COUNT(t->wrong);
    t->last[n->poster] = n->number;
    free(n);
    COUNT(t->arrived);
}

struct poster {
    struct tally *tallies;
    int index;
};

static void *post_many(void *arg)
{
    const struct poster *p = arg;
    for (int i = 1; i <= MESSAGE_COUNT; i++) {
        for (int w = 0; w < WORKER_COUNT; w++) {
            struct numbered *n = calloc(1, sizeof *n);
            *n = (struct numbered){{NULL, on_numbered}, &p->tallies[w], p->index, i};
            worker_post(p->tallies[w].worker, &n->message);
        }
    }
    return NULL;
}

static void test_many_threads_post(void **state)
{
    struct workers g;
    struct tally tallies[WORKER_COUNT] = {0};
    struct poster posters[POSTER_COUNT];
    pthread_t threads[POSTER_COUNT];
    assert_int_equal(workers_init(&g, NULL, WORKER_COUNT), 0);
    for (int i = 0; i < WORKER_COUNT; i++)
        tallies[i].worker = &g.workers[i];
    assert_int_equal(workers_start(&g), 0);
    for (int i = 0; i < POSTER_COUNT; i++) {
        posters[i] = (struct poster){tallies, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    for (int i = 0; i < POSTER_COUNT; i++)
        pthread_join(threads[i], NULL);
    workers_stop(&g);
    for (int i = 0; i < WORKER_COUNT; i++) {
        assert_int_equal(tallies[i].arrived, POSTER_COUNT * MESSAGE_COUNT);
        assert_int_equal(tallies[i].wrong, 0);
    }
    workers_fini(&g);
}

/* ---- workers answer each other, and themselves ---- */

struct ball {
    struct message message;
    struct workers *group;
    int at, hops_left;
    int *done;
};

static void on_ball(struct message *m)
{
    struct ball *b = container_of(m, struct ball, message);
    if (b->hops_left-- == 0) {
        COUNT(*b->done);
        return;
    }
    b->at = (b->at + (b->hops_left % 2)) % b->group->count;
    worker_post(&b->group->workers[b->at], &b->message);
}

static void test_workers_post_to_each_other_and_themselves(void **state)
{
    struct workers g;
    int done = 0;
    assert_int_equal(workers_init(&g, NULL, 2), 0);
    struct ball b = {{NULL, on_ball}, &g, 0, 1000, &done};
    assert_int_equal(workers_start(&g), 0);
    worker_post(&g.workers[0], &b.message);
    wait_for(&done, 1);
    workers_stop(&g);
    workers_fini(&g);
}

/* Stopping runs what is still under way between workers, on this thread. */
static void test_stop_drains(void **state)
{
    struct workers g;
    int done = 0;
    assert_int_equal(workers_init(&g, NULL, 3), 0);
    struct ball b = {{NULL, on_ball}, &g, 0, 5000, &done};
    assert_int_equal(workers_start(&g), 0);
    worker_post(&g.workers[0], &b.message);
    workers_stop(&g);
    assert_int_equal(done, 1);
    assert_true(worker_is_current(&g.workers[2]));
    workers_fini(&g);
}

static void test_stop_of_what_never_started(void **state)
{
    struct workers g;
    assert_int_equal(workers_init(&g, NULL, 1), 0);
    workers_stop(&g);
    workers_fini(&g);
    workers_fini(&g);
    assert_int_equal(workers_init(&g, NULL, WORKERS_MAX + 1), ERR_RANGE);
}

/* ---- tasks ---- */

struct work {
    struct worker *worker;
    struct task task, other;
    struct timer end;
    char trace[16];
    int again;
};

static void trace(struct work *k, char c)
{
    k->trace[strlen(k->trace)] = c;
}

static void run_task(void *arg)
{
    struct work *k = arg;
    trace(k, 't');
    if (k->again-- > 0)
        task_defer(k->worker, &k->task);
}

static void run_other(void *arg)
{
    trace(arg, 'o');
}

static void on_timer(void *arg)
{
    struct work *k = arg;
    trace(k, '<');
    task_defer(k->worker, &k->task);
    task_defer(k->worker, &k->task);
    task_defer(k->worker, &k->other);
    trace(k, '>');
}

static void work_init(struct work *k, struct workers *g)
{
    assert_int_equal(workers_init(g, NULL, 1), 0);
    memset(k, 0, sizeof *k);
    k->worker = &g->workers[0];
    task_init(&k->task, run_task, k);
    task_init(&k->other, run_other, k);
    timer_init(&k->end, k->worker, "test", on_timer, k);
    timer_set_us(&k->end, 0);
}

static void work_fini(struct work *k, struct workers *g)
{
    timer_fini(&k->end);
    workers_fini(g);
}

static void test_tasks_run_once_after_the_handler(void **state)
{
    struct workers g;
    struct work k;
    work_init(&k, &g);
    event_base_loop(k.worker->base, EVLOOP_ONCE);
    assert_string_equal(k.trace, "<>to");
    assert_false(task_is_queued(&k.task));
    work_fini(&k, &g);
}

static void test_a_task_of_a_task_runs_in_the_next_turn(void **state)
{
    struct workers g;
    struct work k;
    work_init(&k, &g);
    k.again = 1;
    event_base_loop(k.worker->base, EVLOOP_ONCE);
    assert_string_equal(k.trace, "<>to");
    assert_true(task_is_queued(&k.task));
    event_base_loop(k.worker->base, EVLOOP_ONCE);
    assert_string_equal(k.trace, "<>tot");
    work_fini(&k, &g);
}

static void cancel_other(void *arg)
{
    struct work *k = arg;
    trace(k, 'c');
    task_cancel(&k->other);
}

static void test_a_cancelled_task_does_not_run(void **state)
{
    struct workers g;
    struct work k;
    work_init(&k, &g);
    task_init(&k.task, cancel_other, &k);
    event_base_loop(k.worker->base, EVLOOP_ONCE);
    assert_string_equal(k.trace, "<>c");
    work_fini(&k, &g);
}

static void test_stop_runs_tasks(void **state)
{
    struct workers g;
    struct work k;
    work_init(&k, &g);
    k.again = 3;
    task_defer(k.worker, &k.task);
    assert_int_equal(workers_start(&g), 0);
    workers_stop(&g);
    assert_false(task_is_queued(&k.task));
    assert_int_equal(k.again, -1);
    work_fini(&k, &g);
}

/* ---- threads ---- */

struct look {
    struct message message;
    char name[32];
    sigset_t blocked;
    int done;
};

static void on_look(struct message *m)
{
    struct look *l = container_of(m, struct look, message);
    pthread_getname_np(pthread_self(), l->name, sizeof l->name);
    pthread_sigmask(SIG_SETMASK, NULL, &l->blocked);
    COUNT(l->done);
}

static void test_threads_are_named_and_take_no_signals(void **state)
{
    struct workers g;
    struct look l = {.message.run = on_look};
    sigset_t mine;
    assert_int_equal(workers_init(&g, NULL, 2), 0);
    assert_true(worker_is_current(&g.workers[1]));
    assert_int_equal(workers_start(&g), 0);
    assert_false(worker_is_current(&g.workers[1]));
    worker_post(&g.workers[1], &l.message);
    wait_for(&l.done, 1);
    assert_string_equal(l.name, "sluice-w1");
    assert_true(sigismember(&l.blocked, SIGTERM) && sigismember(&l.blocked, SIGHUP));
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_false(sigismember(&mine, SIGTERM));
    workers_stop(&g);
    workers_fini(&g);
}

struct burner {
    struct message message;
    struct worker *worker;
    int stop;
};

static void burn(struct message *m)
{
    struct burner *b = container_of(m, struct burner, message);
    int64_t until_us = clock_us() + 2000;
    while (clock_us() < until_us) {
    }
    if (__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE) == 0)
        worker_post(b->worker, m);
}

static void test_load_rises(void **state)
{
    struct workers g;
    struct burner b = {.message.run = burn};
    assert_int_equal(workers_init(&g, NULL, 1), 0);
    b.worker = &g.workers[0];
    assert_int_equal(workers_start(&g), 0);
    worker_post(b.worker, &b.message);
    int64_t until_us = clock_us() + DEADLINE_US;
    while (METRIC_GET(g.workers[0].metrics.load_percent) < 5 && clock_us() < until_us)
        sched_yield();
    int64_t load = METRIC_GET(g.workers[0].metrics.load_percent);
    __atomic_store_n(&b.stop, 1, __ATOMIC_RELEASE);
    workers_stop(&g);
    assert_in_range(load, 5, 100);
    workers_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads_post),
        cmocka_unit_test(test_workers_post_to_each_other_and_themselves),
        cmocka_unit_test(test_stop_drains),
        cmocka_unit_test(test_stop_of_what_never_started),
        cmocka_unit_test(test_tasks_run_once_after_the_handler),
        cmocka_unit_test(test_a_task_of_a_task_runs_in_the_next_turn),
        cmocka_unit_test(test_a_cancelled_task_does_not_run),
        cmocka_unit_test(test_stop_runs_tasks),
        cmocka_unit_test(test_threads_are_named_and_take_no_signals),
        cmocka_unit_test(test_load_rises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
