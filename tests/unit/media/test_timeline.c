#include "test.h"

#include "media/timeline.h"

static void published_times_become_a_line(void **state)
{
    static const struct {
        const char *what;
        struct {
            uint32_t published_ms;
            int64_t wire_ms, dts_ms;
            bool discontinuity;
        } steps[6];
        size_t count;
    } cases[] = {
        {"starts at zero wherever it starts", {{1000, 1000, 0, false}, {1040, 1040, 40, false}}, 2},
        {"audio a little before video",
         {{100, 100, 0, false}, {80, 80, -20, false}, {140, 140, 40, false}},
         3},
        {"wraps after 49 days",
         {{0xffffffd8, 0xffffffd8LL, 0, false},
          {0, 0x100000000LL, 40, false},
          {40, 0x100000028LL, 80, false}},
         3},
        {"wraps back for a late frame",
         {{0xfffffff0, 0xfffffff0LL, 0, false},
          {10, 0x10000000aLL, 26, false},
          {0xfffffff8, 0xfffffff8LL, 8, false}},
         3},
        {"back by a second is no step", {{5000, 5000, 0, false}, {4000, 4000, -1000, false}}, 2},
        {"back by more is one",
         {{5000, 5000, 0, false}, {3999, 3999, 40, true}, {4039, 4039, 80, false}},
         3},
        {"forward by ten seconds is none", {{0, 0, 0, false}, {10000, 10000, 10000, false}}, 2},
        {"forward by more is one",
         {{0, 0, 0, false}, {10001, 10001, 40, true}, {10041, 10041, 80, false}},
         3},
        {"tracks move together",
         {{90000, 90000, 0, false},
          {0, 0, 40, true},
          {90010, 90010, 10, false},
          {20, 20, 60, false},
          {40, 40, 80, false}},
         5},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct timeline t = {0};
        for (size_t k = 0; k < cases[i].count; k++) {
            struct timestamp at = timeline_place(&t, cases[i].steps[k].published_ms);
            if (at.wire_ms != cases[i].steps[k].wire_ms ||
                at.dts_us != cases[i].steps[k].dts_ms * 1000 ||
                at.discontinuity != cases[i].steps[k].discontinuity)
                fail_msg("%s, step %zu: wire %lld dts_us %lld%s", cases[i].what, k,
                         (long long)at.wire_ms, (long long)at.dts_us,
                         at.discontinuity ? " step" : "");
            assert_int_equal((uint32_t)at.wire_ms, cases[i].steps[k].published_ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_times_become_a_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
