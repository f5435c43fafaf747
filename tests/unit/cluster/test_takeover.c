#include "test.h"

#include "cluster/takeover.h"

#include <string.h>

#define S 1000000LL

static void judges(void **state)
{
    static const struct {
        const char *what, *old, *new;
        bool lost, stale, gone;
        enum takeover_policy policy;
        int before;
        int64_t age_s;
        enum claim_verdict want;
        int after;
        int64_t wait_ms;
    } cases[] = {
        {"another publisher stays out", "a", "b", 0, 0, 0, TAKEOVER_SAME, 0, 5, CLAIM_BUSY, 0, 0},
        {"the same enters at once", "a", "a", 0, 0, 0, TAKEOVER_SAME, 0, 5, CLAIM_GRANTED, 1, 0},
        {"nobody is not nobody", "", "", 0, 0, 0, TAKEOVER_SAME, 0, 5, CLAIM_BUSY, 0, 0},
        {"reject is for the same too", "a", "a", 0, 0, 0, TAKEOVER_REJECT, 0, 5, CLAIM_BUSY, 0, 0},
        {"replace takes any", "a", "b", 0, 0, 0, TAKEOVER_REPLACE, 0, 5, CLAIM_GRANTED, 1, 0},
        {"lost: the same, not counted", "a", "a", 1, 0, 0, TAKEOVER_REJECT, 3, 1, CLAIM_GRANTED, 3,
         0},
        {"lost: nobody else", "a", "b", 1, 0, 0, TAKEOVER_SAME, 0, 5, CLAIM_BUSY, 0, 0},
        {"lost: nobody is not nobody", "", "", 1, 0, 0, TAKEOVER_SAME, 0, 5, CLAIM_BUSY, 0, 0},
        {"stale is free", "a", "b", 0, 1, 0, TAKEOVER_REJECT, 5, 1, CLAIM_GRANTED, 5, 0},
        {"gone is free and not counted", "a", "b", 0, 0, 1, TAKEOVER_REJECT, 5, 1, CLAIM_GRANTED, 5,
         0},
        {"the second is free", "a", "a", 0, 0, 0, TAKEOVER_SAME, 1, 0, CLAIM_GRANTED, 2, 0},
        {"the third waits 4 s", "a", "a", 0, 0, 0, TAKEOVER_SAME, 2, 1, CLAIM_HOLD, 2, 3000},
        {"and goes then", "a", "a", 0, 0, 0, TAKEOVER_SAME, 2, 4, CLAIM_GRANTED, 3, 0},
        {"then 8 s", "a", "a", 0, 0, 0, TAKEOVER_SAME, 3, 4, CLAIM_HOLD, 3, 4000},
        {"at most 128 s", "a", "a", 0, 0, 0, TAKEOVER_SAME, 40, 0, CLAIM_HOLD, 40, 128000},
        {"forgotten after 150 s", "a", "a", 0, 0, 0, TAKEOVER_SAME, 40, 151, CLAIM_GRANTED, 1, 0},
        {"damping is for replace too", "a", "b", 0, 0, 0, TAKEOVER_REPLACE, 2, 1, CLAIM_HOLD, 2,
         3000},
        {"a record of the future is new", "a", "a", 0, 0, 0, TAKEOVER_SAME, 2, -5, CLAIM_HOLD, 2,
         4000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct takeover_record r = {.lost = cases[i].lost,
                                    .stale = cases[i].stale,
                                    .publisher = cases[i].old,
                                    .takeovers = cases[i].before,
                                    .since_us = 1000 * S};
        struct cluster_claim claim = {.policy = cases[i].policy, .owner_gone = cases[i].gone};
        slice_copy(slice_text(cases[i].new), claim.publisher, sizeof claim.publisher);
        int after;
        int64_t wait_ms;
        print_message("%s\n", cases[i].what);
        assert_int_equal(takeover_judge(&r, &claim, (1000 + cases[i].age_s) * S, &after, &wait_ms),
                         cases[i].want);
        assert_int_equal(after, cases[i].after);
        assert_int_equal(wait_ms, cases[i].wait_ms);
    }
}

/* Two encoders that never give up: the switches of five minutes can be counted on two hands. */
static void two_that_fight_slow_down(void **state)
{
    struct takeover_record r = {.publisher = "a"};
    struct cluster_claim claim = {.policy = TAKEOVER_SAME, .publisher = "a"};
    int switches = 0;
    for (int64_t now_us = S; now_us < 300 * S; now_us += S / 10) {
        int takeovers;
        int64_t wait_ms;
        if (takeover_judge(&r, &claim, now_us, &takeovers, &wait_ms) != CLAIM_GRANTED)
            continue;
        r.takeovers = takeovers;
        r.since_us = now_us;
        switches++;
    }
    assert_int_equal(switches, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges),
        cmocka_unit_test(two_that_fight_slow_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
