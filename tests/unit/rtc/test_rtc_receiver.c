#include "test.h"

#include "rtc_sender_sim.h"

#define SECOND 1000000LL

static struct sim *start(uint64_t seed, struct sim_network net)
{
    struct sim *s = sim_new_sender(seed, &net);
    sim_open(s);
    return s;
}

static void a_good_network_changes_nothing(void **state)
{
    struct sim *s = start(1, (struct sim_network){.delay_us = 20000});
    sim_run(s, 30 * SECOND);
    const struct rtc_receiver_stats *stats = rtc_receiver_stats(s->r);
    assert_true(s->videos >= 898 && s->audios >= 1498);
    assert_int_equal(s->skipped, 0);
    assert_int_equal(s->plis, 0);
    assert_int_equal(s->nacks, 0);
    assert_int_equal(s->keys, 1);
    assert_int_equal(stats->lost + stats->useless + stats->unknown + stats->broken, 0);
    /* Times are exact: the first arrival, and no correction. */
    assert_in_range(s->offset_max_us[0] - s->offset_min_us[0], 0, 30);
    assert_in_range(s->offset_us[0], 19900, 20100);
    /* Once a second a report and a cap; ten times a second the times of arrival. */
    assert_in_range(s->reports, 56, 60);
    assert_in_range(s->rembs, 28, 30);
    assert_in_range(s->twccs, 200, 300);
    assert_int_equal(s->twcc_lost, 0);
    assert_int_equal(s->report.lost, 0);
    assert_int_equal(s->report.fraction_lost, 0);
    assert_true(s->report.lsr != 0);
    assert_in_range(s->report.dlsr, 1, 65536);
    sim_close(s);
}

static void losses_are_repaired(void **state)
{
    for (int no_rtx = 0; no_rtx < 2; no_rtx++) {
        struct sim *s = sim_new_sender(2, &(struct sim_network){.loss = 50, .delay_us = 20000});
        s->no_rtx = no_rtx != 0;
        sim_open(s);
        sim_run(s, 60 * SECOND);
        const struct rtc_receiver_stats *stats = rtc_receiver_stats(s->r);
        uint64_t lost = stats->lost - (s->audio_id - s->audios); /* which is not repaired here */
        assert_true(lost > 300);
        assert_true(stats->repaired >= lost * 9 / 10);
        /* What a retry does not reach in 140 ms costs a key frame. */
        assert_true(s->skipped <= s->videos / 20);
        assert_in_range(stats->rtt_us, 40000, 60000);
        assert_true(s->audios > 2750);
        if (!s->no_rtx)
            assert_true(s->report.lost > 0);
        sim_close(s);
    }
}

static void packets_overtake_each_other(void **state)
{
    struct sim *s = start(3, (struct sim_network){.delay_us = 10000, .jitter_us = 8000});
    sim_run(s, 20 * SECOND);
    assert_int_equal(s->skipped, 0);
    assert_int_equal(s->nacks, 0);
    assert_true(s->videos > 590);
    sim_close(s);
}

static void doubles_are_dropped(void **state)
{
    struct sim *s =
        start(4, (struct sim_network){.delay_us = 10000, .twice = 500, .jitter_us = 5000});
    sim_run(s, 10 * SECOND);
    assert_int_equal(s->skipped, 0);
    assert_true(rtc_receiver_stats(s->r)->useless > 500);
    sim_close(s);
}

static void without_repair_a_key_frame_is_asked_for(void **state)
{
    struct sim *s = sim_new_sender(5, &(struct sim_network){.loss = 10, .delay_us = 20000});
    s->no_nack = true;
    sim_open(s);
    sim_run(s, 60 * SECOND);
    assert_int_equal(s->nacks, 0);
    assert_true(s->plis > 10 && s->keys > 10 && s->skipped > 0);
    for (unsigned i = 1; i < s->plis && i < SIM_PLIS_MAX; i++)
        assert_true(s->pli_us[i] - s->pli_us[i - 1] >= 499000);
    assert_true(s->videos > 600);
    sim_close(s);
}

static void a_deaf_sender_is_asked_each_second(void **state)
{
    struct sim *s = start(6, (struct sim_network){.delay_us = 20000});
    s->deaf = true;
    s->key_wanted = false;
    sim_run(s, 10 * SECOND + SECOND / 2);
    assert_int_equal(s->videos, 0);
    assert_in_range(s->plis, 9, 11);
    s->deaf = false;
    sim_run(s, 3 * SECOND);
    assert_true(s->videos > 30);
    sim_close(s);
}

static void viewers_wishes_are_collapsed(void **state)
{
    struct sim *s = start(7, (struct sim_network){.delay_us = 20000});
    sim_run(s, 2 * SECOND);
    assert_int_equal(s->plis, 0);
    for (int i = 0; i < 100; i++) {
        rtc_receiver_want_key(s->r);
        sim_run(s, 10000);
    }
    assert_in_range(s->plis, 2, 3);
    /* The last one is not lost. */
    unsigned before = s->keys;
    sim_run(s, SECOND);
    assert_true(s->keys >= before);
    assert_in_range(s->keys, 3, 4);
    sim_close(s);
}

/* The reports put sound and pictures together although their first packets came 150 ms apart, and
 * although one clock runs faster. */
static void tracks_come_together(void **state)
{
    struct sim *s = start(8, (struct sim_network){.delay_us = 20000});
    s->audio_drift = 200e-6;
    s->arrival_drift = 300e-6;
    s->next_us[1] += 150000;
    s->timestamp0[1] += 1000; /* the sound was captured 21 ms before it seems */
    sim_run(s, 60 * SECOND);
    int64_t apart_us = 0;
    for (int i = 0; i < 600; i++) {
        sim_run(s, SECOND);
        /* audio_id counts from its first packet, 150 ms after the start. */
        apart_us = s->offset_us[1] - 150000 - s->offset_us[0];
        assert_in_range(apart_us + 25000, 0, 50000);
    }
    sim_close(s);
}

static void whatever_the_network_does(void **state)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct sim_network net = {
            .loss = (unsigned)(seed * 37 % 300),
            .twice = (unsigned)(seed * 11 % 200),
            .delay_us = 1000 + (int64_t)(seed * 7919 % 150000),
            .jitter_us = seed % 3 == 0 ? 0 : (int64_t)(seed * 104729 % 60000),
        };
        struct sim *s = sim_new_sender(100 + seed, &net);
        s->no_rtx = seed % 5 == 1;
        s->no_nack = seed % 7 == 3;
        s->packets_max = 1 + (unsigned)(seed % 40);
        sim_open(s);
        sim_run(s, 10 * SECOND);
        s->net.loss = 0;
        sim_run(s, 3 * SECOND);
        /* Once the network is good, pictures flow. */
        assert_true(s->last_video + 20 >= s->video_id);
        assert_true(s->last_audio + 20 >= s->audio_id);
        assert_true(rtc_receiver_stats(s->r)->broken == 0);
        sim_close(s);
    }
}

static void a_long_cut_is_given_up_at_once(void **state)
{
    struct sim *s = start(9, (struct sim_network){.delay_us = 20000});
    s->packets_max = 40;
    sim_run(s, 3 * SECOND);
    s->net.loss = 1000;
    sim_run(s, 2 * SECOND);
    s->net.loss = 0;
    sim_run(s, 2 * SECOND);
    assert_true(s->skipped > 30 && s->keys >= 2);
    assert_true(s->last_video + 10 >= s->video_id);
    assert_true(rtc_receiver_stats(s->r)->nacks < 500);
    sim_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_network_changes_nothing),
        cmocka_unit_test(losses_are_repaired),
        cmocka_unit_test(packets_overtake_each_other),
        cmocka_unit_test(doubles_are_dropped),
        cmocka_unit_test(without_repair_a_key_frame_is_asked_for),
        cmocka_unit_test(a_deaf_sender_is_asked_each_second),
        cmocka_unit_test(viewers_wishes_are_collapsed),
        cmocka_unit_test(tracks_come_together),
        cmocka_unit_test(whatever_the_network_does),
        cmocka_unit_test(a_long_cut_is_given_up_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
