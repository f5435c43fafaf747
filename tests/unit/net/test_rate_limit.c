#include "test.h"

#include "net/rate_limit.h"

#include <stdio.h>

#define SECOND 1000000

static bool take(struct rate_limit *l, const char *from, int64_t now_us)
{
    struct net_address a;
    assert_int_equal(net_address_parse(from, &a), 0);
    return rate_limit_take(l, &a, now_us);
}

static void burst_then_rate(void **state)
{
    struct rate_limit *l = rate_limit_new(3, 2);
    int64_t now_us = 5 * SECOND;
    for (int i = 0; i < 3; i++)
        assert_true(take(l, "192.0.2.1:1", now_us));
    assert_false(take(l, "192.0.2.1:2", now_us));
    assert_true(take(l, "192.0.2.2:1", now_us)); /* another one */
    now_us += SECOND / 2 - 1;
    assert_false(take(l, "192.0.2.1:1", now_us));
    now_us += 1;
    assert_true(take(l, "192.0.2.1:1", now_us));
    assert_false(take(l, "192.0.2.1:1", now_us));
    now_us += 3600 * (int64_t)SECOND; /* never more than the burst */
    for (int i = 0; i < 3; i++)
        assert_true(take(l, "192.0.2.1:1", now_us));
    assert_false(take(l, "192.0.2.1:1", now_us));
    rate_limit_free(&l);
    assert_null(l);
}

/* Addresses that mean the same host. */
static void same_host(void **state)
{
    struct rate_limit *l = rate_limit_new(1, 1);
    assert_true(take(l, "192.0.2.1:1", SECOND));
    assert_false(take(l, "[::ffff:192.0.2.1]:1", SECOND));
    assert_true(take(l, "[2001:db8::1]:1", SECOND));
    assert_false(take(l, "[2001:db8::ffff:2]:1", SECOND));
    assert_true(take(l, "[2001:db8:0:1::1]:1", SECOND));
    rate_limit_free(&l);
}

/* However many ask, who asks the most is still known. */
static void many(void **state)
{
    struct rate_limit *l = rate_limit_new(4, 1);
    int taken = 0;
    for (int i = 0; i < 60000; i++) {
        char from[32];
        snprintf(from, sizeof from, "10.%d.%d.%d:1", i >> 16, i >> 8 & 255, i & 255);
        (void)take(l, from, SECOND);
        taken += i % 100 == 0 && take(l, "192.0.2.1:1", SECOND);
    }
    assert_true(taken >= 4 && taken < 60);
    rate_limit_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(same_host),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
