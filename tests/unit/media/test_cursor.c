#include "test.h"

#include "media/cursor.h"
#include "media/stream.h"

static const struct log_limits roomy = {.window_us = 20000000, .window_bytes = 64 << 20};
static const struct viewer_limits three_seconds = {.behind_us = 3000000};

static int nothing_is_left(void **state)
{
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void a_joiner_starts_at_the_newest_key_frame(void **state)
{
    struct log *l = log_new(&roomy);
    struct cursor c = {0};
    assert_false(cursor_join(&c, l));
    uint64_t seq = 1;
    log_open_run(l, 5, 1, NULL);
    assert_false(cursor_join(&c, l));
    append_video(l, &seq, 40);
    assert_true(cursor_join(&c, l));
    assert_int_equal(c.epoch, 5);
    assert_int_equal(c.seq, 26);
    assert_int_equal(c.join_age_us, 14 * 40000);
    assert_true(cursor_has_more(&c, l));
    assert_int_equal(cursor_key(&c, l)->seq, 26);
    cursor_fini(&c);
    log_free(&l);
}

static void one_judge_for_slow_viewers(void **state)
{
    static const struct {
        const char *what;
        uint64_t seq, frames;
        uint32_t offset;
        enum cursor_verdict want;
        uint64_t now_at;
    } cases[] = {
        {"near enough", 60, 100, 0, CURSOR_KEEP, 60},
        {"too far behind", 10, 100, 0, CURSOR_SKIPPED, 76},
        {"in mid-frame", 10, 100, 5, CURSOR_KEEP, 10},
        {"no newer key frame", 76, 99, 0, CURSOR_KEEP, 76},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct log *l = log_new(&roomy);
        uint64_t seq = 1, skipped = 0;
        log_open_run(l, 1, 1, NULL);
        append_video(l, &seq, (int)cases[i].frames);
        struct cursor c = {.epoch = 1, .seq = cases[i].seq, .offset = cases[i].offset};
        enum cursor_verdict v = cursor_judge(&c, l, &three_seconds, 1, &skipped);
        if (v != cases[i].want || c.seq != cases[i].now_at || skipped != c.seq - cases[i].seq)
            fail_msg("%s: verdict %d at %d", cases[i].what, v, (int)c.seq);
        log_free(&l);
    }
}

static void the_age_of_the_first_key_frame_is_allowed(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    log_open_run(l, 1, 1, NULL);
    log_append(l, make_frame(FRAME_VIDEO, FRAME_KEY, seq++, 0, 10));
    for (; seq <= 251; seq++) /* ten seconds without another */
        log_append(l, make_frame(FRAME_VIDEO, 0, seq, (int64_t)(seq - 1) * 40, 10));
    struct cursor c = {0};
    assert_true(cursor_join(&c, l));
    log_append(l, make_frame(FRAME_VIDEO, FRAME_KEY, seq, (int64_t)(seq - 1) * 40, 10));
    c.seq = 3; /* it has begun to read */
    assert_int_equal(cursor_judge(&c, l, &three_seconds, 1, NULL), CURSOR_KEEP);
    cursor_fini(&c);
    log_free(&l);
}

static void who_jumps_too_often_is_given_up(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    log_open_run(l, 1, 1, NULL);
    struct cursor c = {.epoch = 1, .seq = 1};
    int64_t now_us = 50000000;
    for (int i = 0; i < CURSOR_SKIPS_MAX; i++, now_us += 1000000) {
        append_video(l, &seq, 101);
        assert_int_equal(cursor_judge(&c, l, &three_seconds, now_us, NULL), CURSOR_SKIPPED);
    }
    struct cursor patient = c;
    append_video(l, &seq, 101);
    assert_int_equal(cursor_judge(&c, l, &three_seconds, now_us, NULL), CURSOR_TOO_SLOW);
    now_us += CURSOR_SKIPS_WINDOW_US;
    assert_int_equal(cursor_judge(&patient, l, &three_seconds, now_us, NULL), CURSOR_SKIPPED);
    log_free(&l);
}

static void a_burst_is_not_the_viewers_fault(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    int64_t now_us = 50000000;
    log_open_run(l, 1, 1, NULL);
    append_video(l, &seq, 10);
    struct cursor c = {.epoch = 1, .seq = seq};
    assert_int_equal(cursor_judge(&c, l, &three_seconds, now_us, NULL), CURSOR_KEEP);
    append_video(l, &seq, 125); /* five seconds at once */
    struct cursor rested = c;
    cursor_rested(&rested);
    now_us += 60000000; /* the publisher stood still meanwhile */
    assert_int_equal(cursor_judge(&c, l, &three_seconds, now_us, NULL), CURSOR_KEEP);
    assert_int_equal(cursor_judge(&c, l, &three_seconds, now_us + 2999999, NULL), CURSOR_KEEP);
    assert_int_equal(cursor_judge(&c, l, &three_seconds, now_us + 3000000, NULL), CURSOR_SKIPPED);
    assert_int_equal(cursor_judge(&rested, l, &three_seconds, now_us, NULL), CURSOR_SKIPPED);
    log_free(&l);
}

static void a_place_that_left_the_log_is_a_jump_or_a_wait(void **state)
{
    struct log_limits limits = roomy;
    limits.window_us = 1000000;
    struct log *l = log_new(&limits);
    uint64_t seq = 1;
    log_open_run(l, 1, 1, NULL);
    append_video(l, &seq, 200);
    struct cursor c = {.epoch = 1, .seq = 2};
    assert_int_equal(cursor_judge(&c, l, &three_seconds, 1, NULL), CURSOR_SKIPPED);
    assert_int_equal(c.seq, 176);

    struct cursor gone = {.epoch = 1, .seq = 2};
    log_open_run(l, 2, 1, NULL);
    log_forget(l, 2, 1);
    assert_int_equal(cursor_judge(&gone, l, &three_seconds, 1, NULL), CURSOR_EVICTED);
    seq = 1;
    append_video(l, &seq, 1);
    assert_int_equal(cursor_judge(&gone, l, &three_seconds, 1, NULL), CURSOR_SKIPPED);
    assert_int_equal(gone.epoch, 2);
    log_free(&l);
}

static void a_cursor_goes_on_in_the_next_run(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    log_open_run(l, 1, 1, NULL);
    append_video(l, &seq, 10);
    struct cursor c = {.epoch = 1, .seq = 9};
    log_open_run(l, 2, 1, NULL);
    assert_false(cursor_next_run(&c, l)); /* frames of the old one are left */
    c.seq = 11;
    assert_false(cursor_next_run(&c, l)); /* nothing to join yet */
    log_append(l, make_frame(FRAME_AUDIO, 0, 1, 0, 10));
    log_append(l, make_frame(FRAME_VIDEO, FRAME_KEY, 2, 0, 10));
    assert_true(cursor_next_run(&c, l));
    assert_int_equal(c.epoch, 2);
    assert_int_equal(c.seq, 2);
    log_free(&l);
}

static void a_half_sent_frame_is_held(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    struct run *r = log_open_run(l, 1, 1, NULL);
    append_video(l, &seq, 30);
    struct wire_cache cache = {0};
    /* Every split of three frames: the parts add up to the same bytes. */
    struct wire_place at = {l, r, 26, WIRE_RTMP, 0};
    const struct wire_span *span = wire_span_get(&cache, &at);
    size_t total = span->bytes;
    for (size_t n = 0; n <= total; n++) {
        struct cursor c = {.epoch = 1, .seq = 26};
        cursor_advance(&c, wire_span_get(&cache, &at), r, n);
        size_t left = total - n;
        if (c.offset > 0) {
            struct wire_form form;
            struct iovec iov[8];
            int k = wire_rest(WIRE_RTMP, c.held, c.held_shift_ms, c.offset, &form, iov, 8);
            size_t rest = 0;
            for (int i = 0; i < k; i++)
                rest += iov[i].iov_len;
            assert_int_equal(rest, form.total - c.offset);
            cursor_advance_held(&c, &form, rest);
            left -= rest;
        }
        struct wire_place here = {l, r, c.seq, WIRE_RTMP, 0};
        assert_int_equal(c.seq < r->next ? wire_span_get(&cache, &here)->bytes : 0, left);
        cursor_fini(&c);
    }
    wire_cache_fini(&cache);
    log_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_joiner_starts_at_the_newest_key_frame, nothing_is_left),
        cmocka_unit_test_teardown(one_judge_for_slow_viewers, nothing_is_left),
        cmocka_unit_test_teardown(the_age_of_the_first_key_frame_is_allowed, nothing_is_left),
        cmocka_unit_test_teardown(who_jumps_too_often_is_given_up, nothing_is_left),
        cmocka_unit_test_teardown(a_burst_is_not_the_viewers_fault, nothing_is_left),
        cmocka_unit_test_teardown(a_place_that_left_the_log_is_a_jump_or_a_wait, nothing_is_left),
        cmocka_unit_test_teardown(a_cursor_goes_on_in_the_next_run, nothing_is_left),
        cmocka_unit_test_teardown(a_half_sent_frame_is_held, nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
