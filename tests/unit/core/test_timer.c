#include "test.h"

#include "core/clock.h"
#include "core/timer.h"

#include <stdlib.h>
#include <string.h>

/* The loop of a worker without a thread is turned by the test. */
static int set_up(void **state)
{
    struct workers *g = calloc(1, sizeof *g);
    *state = g;
    return workers_init(g, NULL, 1);
}

static int tear_down(void **state)
{
    struct workers *g = *state;
    workers_fini(g);
    free(g);
    return 0;
}

struct probe {
    struct timer timer;
    int fired, again;
    int64_t at_us;
};

static void on_time(void *arg)
{
    struct probe *p = arg;
    p->fired++;
    p->at_us = clock_us();
    if (p->again-- > 0)
        timer_set_us(&p->timer, 0);
}

static void turn(struct worker *w)
{
    event_base_loop(w->base, EVLOOP_ONCE);
}

static void test_fires_once_and_not_early(void **state)
{
    struct worker *w = ((struct workers *)*state)->workers;
    struct probe p = {0};
    timer_init(&p.timer, w, "probe", on_time, &p);
    assert_false(timer_is_set(&p.timer));
    int64_t start_us = clock_us();
    timer_set_ms(&p.timer, 5);
    assert_true(timer_is_set(&p.timer));
    while (p.fired == 0)
        turn(w);
    assert_true(p.at_us - start_us >= 5000);
    assert_false(timer_is_set(&p.timer));
    timer_fini(&p.timer);
}

static void test_callback_sets_it_again(void **state)
{
    struct worker *w = ((struct workers *)*state)->workers;
    struct probe p = {.again = 3};
    timer_init(&p.timer, w, "probe", on_time, &p);
    timer_set_us(&p.timer, 0);
    while (p.fired < 4)
        turn(w);
    event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_int_equal(p.fired, 4);
    timer_fini(&p.timer);
}

static void test_setting_replaces_and_stopping_stops(void **state)
{
    struct worker *w = ((struct workers *)*state)->workers;
    struct probe late = {0}, stopped = {0};
    timer_init(&late.timer, w, "probe", on_time, &late);
    timer_init(&stopped.timer, w, "probe", on_time, &stopped);
    timer_set_ms(&late.timer, 3600 * 1000);
    timer_set_us(&late.timer, 0);
    timer_set_us(&stopped.timer, 0);
    timer_stop(&stopped.timer);
    assert_false(timer_is_set(&stopped.timer));
    while (late.fired == 0)
        turn(w);
    assert_int_equal(stopped.fired, 0);
    timer_fini(&late.timer);
    timer_fini(&stopped.timer);
}

static void free_itself(void *arg)
{
    struct probe *p = arg;
    timer_fini(&p->timer);
    free(p);
}

static void test_callback_may_free_it(void **state)
{
    struct worker *w = ((struct workers *)*state)->workers;
    struct probe *p = calloc(1, sizeof *p);
    timer_init(&p->timer, w, "probe", free_itself, p);
    timer_set_us(&p->timer, 0);
    turn(w);
}

static void test_fini_of_zeroes(void **state)
{
    struct timer t;
    memset(&t, 0, sizeof t);
    timer_fini(&t);
}

static void be_slow(void *arg)
{
    int64_t until_us = clock_us() + HANDLER_SLOW_US + 1000;
    while (clock_us() < until_us) {
    }
}

static void test_slow_handler_is_counted(void **state)
{
    struct worker *w = ((struct workers *)*state)->workers;
    struct timer t;
    log_set_level(LOG_ERROR);
    timer_init(&t, w, "probe", be_slow, NULL);
    timer_set_us(&t, 0);
    turn(w);
    log_set_level(LOG_INFO);
    assert_int_equal(METRIC_GET(w->metrics.loop_slow_total), 1);
    timer_fini(&t);
}

static void test_backoff(void **state)
{
    static const int64_t base_ms[] = {0, 100, 200, 400, 800, 1600, 2000, 2000};
    struct backoff b;
    backoff_init(&b, 100, 2000);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(base_ms); i++) {
            int64_t ms = backoff_next_ms(&b);
            assert_in_range(ms, base_ms[i] * 8 / 10, base_ms[i] * 12 / 10);
        }
        backoff_reset(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fires_once_and_not_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_callback_sets_it_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_setting_replaces_and_stopping_stops, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_callback_may_free_it, set_up, tear_down),
        cmocka_unit_test(test_fini_of_zeroes),
        cmocka_unit_test_setup_teardown(test_slow_handler_is_counted, set_up, tear_down),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
