#include "test.h"

#include "core/config.h"
#include "core/limit.h"
#include "core/memory_guard.h"
#include "core/worker.h"

#include <poll.h>
#include <string.h>

static void test_every_limit_names_its_setting(void **state)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        const char *setting = limit_setting((enum limit)i);
        assert_true(strncmp(setting, "limits.", 7) == 0 || strcmp(setting, "viewer.max") == 0 ||
                    strcmp(setting, "stream.memory_bytes") == 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(setting, limit_setting((enum limit)k));
    }
}

static void test_reaching_one_is_counted(void **state)
{
    struct workers g;
    assert_int_equal(workers_init(&g, NULL, 1), 0);
    struct worker *w = &g.workers[0];
    for (int i = 0; i < 25; i++)
        limit_reached(w, LIMIT_STREAMS, "live/x");
    limit_reached(w, LIMIT_MEMORY, "viewer");
    assert_int_equal(w->metrics.limited[LIMIT_STREAMS], 25);
    assert_int_equal(w->metrics.limited[LIMIT_MEMORY], 1);
    assert_in_range(w->metrics.log_lines_suppressed_total, 15 - LOG_LIMIT_PER_SECOND, 15);
    workers_fini(&g);
}

static void test_defaults_without_a_configuration(void **state)
{
    struct config none = {0}, some = {.limits.handshake_ms = 7};
    struct worker w = {0};
    assert_int_equal(limit_handshake_ms(&w), LIMIT_HANDSHAKE_MS);
    w.config = &none;
    assert_int_equal(limit_request_ms(&w), LIMIT_REQUEST_MS);
    assert_int_equal(limit_unaccepted_bytes(&w), LIMIT_UNACCEPTED_BYTES);
    w.config = &some;
    assert_int_equal(limit_handshake_ms(&w), 7);
}

static void test_levels_of_memory(void **state)
{
    static const struct {
        const char *what;
        enum memory_level now;
        int64_t rss;
        enum memory_level want;
    } cases[] = {
        {"little", MEMORY_ENOUGH, 100, MEMORY_ENOUGH},
        {"just below", MEMORY_ENOUGH, 849, MEMORY_ENOUGH},
        {"rises", MEMORY_ENOUGH, 850, MEMORY_TIGHT},
        {"stays a little below", MEMORY_TIGHT, 801, MEMORY_TIGHT},
        {"falls", MEMORY_TIGHT, 799, MEMORY_ENOUGH},
        {"out", MEMORY_TIGHT, 950, MEMORY_OUT},
        {"out at once", MEMORY_ENOUGH, 5000, MEMORY_OUT},
        {"stays out", MEMORY_OUT, 901, MEMORY_OUT},
        {"tight again", MEMORY_OUT, 899, MEMORY_TIGHT},
        {"all at once", MEMORY_OUT, 100, MEMORY_ENOUGH},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (memory_level_next(cases[i].now, cases[i].rss, 1000) != cases[i].want)
            fail_msg("%s", cases[i].what);
}

static void wait_level(const struct workers *g, enum memory_level want)
{
    for (int i = 0; i < 2000 && memory_level(g) != want; i++)
        poll(NULL, 0, 10);
    assert_int_equal(memory_level(g), want);
}

static void test_the_guard_tells_all_workers(void **state)
{
    struct workers g;
    assert_int_equal(workers_init(&g, NULL, 1), 0);
    struct memory_guard *m = memory_guard_new(&g, 1 << 20);
    assert_non_null(m);
    wait_level(&g, MEMORY_OUT);
    memory_guard_set_max(m, INT64_C(1) << 50);
    wait_level(&g, MEMORY_ENOUGH);
    memory_guard_free(&m);
    assert_null(m);
    memory_guard_free(&m);
    workers_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_limit_names_its_setting),
        cmocka_unit_test(test_reaching_one_is_counted),
        cmocka_unit_test(test_defaults_without_a_configuration),
        cmocka_unit_test(test_levels_of_memory),
        cmocka_unit_test(test_the_guard_tells_all_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
