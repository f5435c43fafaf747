#include "test.h"

#include "cluster/gossip_sim.h"

#include "base/err.h"
#include "core/logline.h"

static void joins_in_any_order(void **state)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct sim s;
        sim_init(&s, seed % 2, 6, seed);
        for (int i = 0; i < 6; i++) {
            sim_start(&s, (int)((unsigned)(i * 5) + seed) % 6, 0);
            sim_run(&s, (int64_t)(sim_random(&s) % 2) * S);
        }
        int64_t took_us = sim_until(&s, 3 * S, sim_all_met, NULL);
        assert_true(took_us >= 0);
        sim_fini(&s);
    }
}

static void a_chain_becomes_a_mesh(void **state)
{
    struct sim s;
    sim_init(&s, true, 12, 7);
    for (int i = 0; i < 12; i++)
        sim_start(&s, i, i < 11 ? i + 1 : 10);
    int64_t took_us = sim_until(&s, 15 * S, sim_all_met, NULL);
    print_message("chain of 12: %lld ms\n", (long long)(took_us / MS));
    assert_true(took_us >= 0);
    sim_announce(&s, 0, "live/a", 5);
    assert_in_range(sim_agree_within(&s, S, "live/a", "n0"), 0, 20 * MS);
    sim_fini(&s);
}

static void owners_come_and_go(void **state)
{
    for (int unicast = 0; unicast < 2; unicast++) {
        struct sim s;
        sim_init(&s, unicast, 4, 3);
        for (int i = 0; i < 4; i++)
            sim_start(&s, i, 0);
        assert_true(sim_until(&s, 5 * S, sim_all_met, NULL) >= 0);
        sim_announce(&s, 1, "live/a", 100);
        assert_in_range(sim_agree_within(&s, S, "live/a", "n1"), 0, 20 * MS);
        sim_announce(&s, 2, "live/a", 101);
        assert_true(sim_owner_is(&s, 2, "live/a", "n1"));
        sim_run(&s, 20 * MS);
        assert_true(sim_owner_is(&s, 0, "live/a", "n2"));
        assert_true(sim_owner_is(&s, 1, "live/a", "n2"));
        gossip_withdraw(s.nodes[2].g, "live/a", "unpublished", s.now_us);
        assert_in_range(sim_agree_within(&s, S, "live/a", "n1"), 0, 20 * MS);
        sim_kill(&s, 1);
        int64_t took_us = sim_agree_within(&s, 10 * S, "live/a", NULL);
        print_message("killed: %lld ms\n", (long long)(took_us / MS));
        assert_in_range(took_us, 1 * S, 4 * S);
        assert_true(sim_all_met(&s, NULL));
        sim_start(&s, 1, 0);
        assert_true(sim_until(&s, 3 * S, sim_all_met, NULL) >= 0);
        sim_announce(&s, 1, "live/a", 102);
        assert_in_range(sim_agree_within(&s, S, "live/a", "n1"), 0, 20 * MS);
        gossip_leave(s.nodes[1].g, s.now_us);
        sim_run(&s, 5 * MS);
        sim_kill(&s, 1);
        assert_in_range(sim_agree_within(&s, S, "live/a", NULL), 0, 1);
        sim_fini(&s);
    }
}

int main(void)
{
    log_setup(LOG_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_in_any_order),
        cmocka_unit_test(a_chain_becomes_a_mesh),
        cmocka_unit_test(owners_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
