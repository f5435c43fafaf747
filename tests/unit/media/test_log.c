#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "media/stream.h"

#include <stdlib.h>

static const struct log_limits roomy = {.window_us = 10000000, .window_bytes = 64 << 20};

static int nothing_is_left(void **state)
{
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void frames_stay_in_order_and_in_the_window(void **state)
{
    struct log_limits limits = roomy;
    limits.window_us = 3000000;
    struct log *l = log_new(&limits);
    struct run *r = log_open_run(l, 7, 1, NULL);
    uint64_t seq = 1;
    append_video(l, &seq, 250);
    assert_int_equal(r->next, 251);
    /* Some more than the window: frames do not go one by one. */
    int64_t held_us = r->newest_dts_us - run_frame(r, r->first)->dts_us;
    assert_true(held_us >= 3000000 && held_us <= 3000000 + 3000000 / 64 + 40000);
    for (uint64_t s = r->first; s < r->next; s++)
        assert_int_equal(run_frame(r, s)->seq, s);
    assert_int_equal(run_newest_key(r)->seq, 226);
    assert_int_equal(run_key_from(r, 202)->seq, 226);
    assert_int_equal(run_key_from(r, 201)->seq, 201);
    assert_null(run_key_from(r, 227));
    assert_int_equal(run_behind_us(r, 240), 400000);
    log_free(&l);
}

static void the_newest_key_frame_stays_whatever_the_window_says(void **state)
{
    struct log_limits limits = roomy;
    limits.window_us = 100000;
    struct log *l = log_new(&limits);
    struct run *r = log_open_run(l, 1, 1, NULL);
    uint64_t seq = 1;
    append_video(l, &seq, 24);
    assert_int_equal(r->first, 1);
    append_video(l, &seq, 6);
    assert_int_equal(r->first, 26);
    log_free(&l);
}

static void bytes_are_bounded_even_without_a_key_frame(void **state)
{
    struct log_limits limits = roomy;
    limits.window_bytes = 20000;
    struct log *l = log_new(&limits);
    struct run *r = log_open_run(l, 1, 1, NULL);
    for (uint64_t s = 1; s <= 100; s++)
        log_append(l, make_frame(FRAME_VIDEO, s == 1 ? FRAME_KEY : 0, s, (int64_t)s * 40, 1000));
    assert_true(l->bytes <= 20000);
    assert_null(run_newest_key(r)); /* joiners wait for the next one */
    log_free(&l);
}

static void a_node_out_of_memory_keeps_what_joiners_need(void **state)
{
    struct log_account account = {.max = 30000};
    struct log_limits limits = roomy;
    limits.account = &account;
    struct log *l = log_new(&limits);
    struct run *r = log_open_run(l, 1, 1, NULL);
    uint64_t seq = 1;
    append_video(l, &seq, 80);
    assert_true(account.bytes <= account.max);
    assert_true(r->first > 30 && r->first <= 76);
    assert_int_equal(run_newest_key(r)->seq, 76);
    assert_int_equal(account.bytes, l->bytes);
    log_free(&l);
    assert_int_equal(account.bytes, 0);
}

static void memory_that_is_tight_shrinks_logs(void **state)
{
    static const size_t most[] = {30000, 15000, 7500};
    for (int pressure = 0; pressure < (int)COUNT_OF(most); pressure++) {
        struct log_account account = {.max = 30000, .pressure = &pressure};
        struct log_limits limits = roomy;
        limits.account = &account;
        struct log *l = log_new(&limits);
        uint64_t seq = 1;
        log_open_run(l, 1, 1, NULL);
        append_video(l, &seq, 80);
        assert_true(account.bytes <= most[pressure]);
        assert_true(account.bytes > most[pressure] / 3);
        log_free(&l);
    }
}

static void runs_follow_each_other(void **state)
{
    struct log *l = log_new(&roomy);
    for (uint64_t epoch = 1; epoch <= LOG_RUNS_MAX + 2; epoch++) {
        uint64_t seq = 1;
        log_open_run(l, epoch * 10, 1, NULL);
        append_video(l, &seq, 30);
    }
    assert_int_equal(l->run_count, LOG_RUNS_MAX);
    assert_null(log_find(l, 20));
    struct run *old = log_find(l, 30);
    assert_true(old->ended);
    assert_int_equal(log_after(l, old)->epoch, 40);
    assert_false(log_newest(l)->ended);
    assert_null(log_after(l, log_newest(l)));
    /* Ended runs go whole once the newest fills the window. */
    uint64_t seq = 31;
    append_video(l, &seq, 300);
    assert_int_equal(l->run_count, 1);
    log_free(&l);
}

static struct frame *config_frame(uint64_t seq, int64_t dts_ms, uint8_t byte)
{
    struct frame *f = make_frame(FRAME_VIDEO, FRAME_CONFIG, seq, dts_ms, 4);
    f->data[3] = byte;
    return f;
}

static void a_key_knows_what_is_in_force_there(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    log_append(l, config_frame(1, 0, 1));
    log_append(l, make_frame(FRAME_VIDEO, FRAME_KEY, 2, 0, 10));
    log_append(l, config_frame(3, 40, 2));
    log_append(l, make_frame(FRAME_VIDEO, FRAME_KEY, 4, 40, 10));
    assert_int_equal(run_key_from(r, 2)->inforce->frames[0]->data[3], 1);
    assert_int_equal(run_key_from(r, 4)->inforce->frames[0]->data[3], 2);
    log_free(&l);
}

static void audio_alone_is_joinable_after_a_second(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    for (uint64_t s = 1; s <= 200; s++) {
        log_append(l, make_frame(FRAME_AUDIO, 0, s, (int64_t)(s - 1) * 20, 10));
        assert_int_equal(r->key_count, (s - 1) * 20 / 1000);
    }
    log_free(&l);
}

static void audio_beside_video_is_not_joinable(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    log_append(l, make_frame(FRAME_VIDEO, 0, 1, 0, 10));
    for (uint64_t s = 2; s <= 200; s++)
        log_append(l, make_frame(FRAME_AUDIO, 0, s, (int64_t)s * 20, 10));
    assert_int_equal(r->key_count, 0);
    log_free(&l);
}

static void tracks_are_counted_and_bounded(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    for (uint64_t s = 1; s <= 40; s++) {
        struct frame *f = make_frame(FRAME_AUDIO, 0, s, (int64_t)s * 20, 10);
        f->track = (uint8_t)(s % 20);
        log_append(l, f);
    }
    assert_int_equal(r->track_count, LOG_TRACKS_MAX);
    assert_int_equal(r->tracks[0].frames, 2);
    log_free(&l);
}

/* Frames [from, to) as a block for log_prepend. */
static struct frame **block(uint64_t from, uint64_t to)
{
    struct frame **frames = xcalloc(to - from, sizeof frames[0]);
    for (uint64_t s = from; s < to; s++)
        frames[s - from] = make_frame(FRAME_VIDEO, (s - 1) % 25 == 0 ? FRAME_KEY : 0, s,
                                      (int64_t)(s - 1) * 40, 1000);
    return frames;
}

static void the_past_goes_in_front(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 76, NULL);
    uint64_t seq = 76;
    append_video(l, &seq, 30);
    struct frame **past = block(26, 76);
    assert_int_equal(log_prepend(l, r, NULL, past, 50), 0);
    free(past);
    assert_int_equal(r->first, 26);
    assert_int_equal(r->key_count, 4);
    for (uint64_t s = r->first; s < r->next; s++)
        assert_int_equal(run_frame(r, s)->seq, s);
    assert_int_equal(run_key_from(r, 27)->seq, 51);

    past = block(1, 20); /* a hole before 26 */
    assert_int_equal(log_prepend(l, r, NULL, past, 19), ERR_RANGE);
    free(past);
    assert_int_equal(r->first, 26);
    log_free(&l);
}

static void what_came_before_is_forgotten(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    log_open_run(l, 1, 1, NULL);
    append_video(l, &seq, 30);
    seq = 1;
    struct run *r = log_open_run(l, 2, 1, NULL);
    append_video(l, &seq, 60);
    uint64_t change = l->change;
    log_forget(l, 1, 10);
    assert_int_equal(l->run_count, 2);
    assert_int_equal(log_oldest(l)->first, 10);
    log_forget(l, 2, 27);
    assert_int_equal(l->run_count, 1);
    assert_int_equal(r->first, 27);
    assert_int_equal(run_key_from(r, 0)->seq, 51);
    assert_true(l->change > change);
    log_forget(l, 2, 1000);
    assert_int_equal(r->first, r->next);
    log_forget(l, 2, 1000);
    log_forget(l, 3, 1);
    assert_ptr_equal(log_newest(l), r);
    log_free(&l);
}

static void a_run_goes_on_after_a_hole(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    uint64_t seq = 1;
    append_video(l, &seq, 60);
    uint64_t change = l->change;
    log_restart(l, 101, NULL);
    assert_true(l->change > change);
    assert_int_equal(r->first, 101);
    assert_int_equal(r->next, 101);
    assert_int_equal(r->key_count, 0);
    assert_int_equal(l->bytes, 0);
    seq = 101;
    append_video(l, &seq, 30);
    assert_int_equal(run_newest_key(r)->seq, 126);
    assert_int_equal(run_frame(r, 101)->seq, 101);
    log_clear(l);
    assert_null(log_newest(l));
    log_open_run(l, 1, 1, NULL); /* whatever the epoch was */
    log_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(frames_stay_in_order_and_in_the_window, nothing_is_left),
        cmocka_unit_test_teardown(the_newest_key_frame_stays_whatever_the_window_says,
                                  nothing_is_left),
        cmocka_unit_test_teardown(bytes_are_bounded_even_without_a_key_frame, nothing_is_left),
        cmocka_unit_test_teardown(a_node_out_of_memory_keeps_what_joiners_need, nothing_is_left),
        cmocka_unit_test_teardown(memory_that_is_tight_shrinks_logs, nothing_is_left),
        cmocka_unit_test_teardown(runs_follow_each_other, nothing_is_left),
        cmocka_unit_test_teardown(a_key_knows_what_is_in_force_there, nothing_is_left),
        cmocka_unit_test_teardown(audio_alone_is_joinable_after_a_second, nothing_is_left),
        cmocka_unit_test_teardown(audio_beside_video_is_not_joinable, nothing_is_left),
        cmocka_unit_test_teardown(tracks_are_counted_and_bounded, nothing_is_left),
        cmocka_unit_test_teardown(the_past_goes_in_front, nothing_is_left),
        cmocka_unit_test_teardown(what_came_before_is_forgotten, nothing_is_left),
        cmocka_unit_test_teardown(a_run_goes_on_after_a_hole, nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
