#include "test.h"

#include "base/err.h"
#include "media/show.h"

#include <stdlib.h>

/* Two tracks, 25 pictures a second, segments of 2 s and parts of 200 ms. */
static void play(struct show *s, int64_t from_ms, int64_t to_ms)
{
    if (from_ms == 0) {
        show_config(s, FRAME_VIDEO, 0, 0, SHOW_AVC);
        show_config(s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    }
    for (int64_t ms = from_ms; ms < to_ms; ms += 20) {
        if (ms % 40 == 0)
            show_video(s, ms, ms % 1000 == 0, 0);
        show_audio(s, 0, ms);
    }
}

static void assert_same_parts(const struct run *a, const struct run *b)
{
    const struct log_part *p = run_first_part(a), *q = run_first_part(b);
    for (; p != NULL && q != NULL; p = run_next_part(a, p), q = run_next_part(b, q)) {
        assert_memory_equal(&p->cut, &q->cut, sizeof p->cut);
        assert_int_equal(p->seq, q->seq);
        assert_int_equal(p->bytes, q->bytes);
        assert_memory_equal(&p->has, &q->has, sizeof p->has);
        assert_true(inforce_equal(p->inforce, q->inforce));
    }
    assert_null(p);
    assert_null(q);
}

static void units_are_found_by_number(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 5000);
    const struct run *r = s.run;
    const struct log_part *p = run_part(r, SHOW_MSN + 1, 3);
    assert_int_equal(p->cut.start_us, 2600000);
    struct log_extent e = run_part_extent(r, p);
    assert_true(e.complete && e.held);
    assert_int_equal(e.duration_us, 200000);
    assert_int_equal(e.bytes, 5 * 1000 + 10 * 200);
    assert_int_equal(e.to, run_next_part(r, p)->seq);
    assert_int_equal(p->has.keys, 0);
    assert_int_equal(run_part(r, SHOW_MSN + 1, 0)->has.keys, 1);
    assert_int_equal(run_part(r, SHOW_MSN + 1, 5)->has.keys, 1); /* the key frame of 3 s */
    assert_null(run_part(r, SHOW_MSN + 1, 10));
    assert_null(run_part(r, SHOW_MSN + 3, 0));
    assert_null(run_part(r, SHOW_MSN - 1, 0));
    p = run_part(r, SHOW_MSN + 1, 0);
    e = run_segment_extent(r, p);
    assert_int_equal(e.duration_us, 2000000);
    assert_int_equal(run_next_segment(r, p)->cut.msn, SHOW_MSN + 2);
    assert_int_equal(p->inforce->count, 2);
    show_close(&s);
}

static void the_open_unit_lasts_as_long_as_its_frames(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 2100);
    struct log_extent e = run_segment_extent(s.run, run_part(s.run, SHOW_MSN + 1, 0));
    assert_false(e.complete);
    assert_int_equal(e.duration_us, 120000);
    assert_int_equal(e.to, s.run->next);
    log_end_run(s.log, s.run);
    assert_false(run_segment_extent(s.run, run_part(s.run, SHOW_MSN + 1, 0)).complete);
    log_set_last(s.log, s.run, s.run->next);
    assert_false(run_segment_extent(s.run, run_part(s.run, SHOW_MSN + 1, 0)).complete);
    log_set_last(s.log, s.run, s.run->next - 1);
    e = run_segment_extent(s.run, run_part(s.run, SHOW_MSN + 1, 0));
    assert_true(e.complete);
    assert_int_equal(e.duration_us, 120000);
    show_close(&s);
}

static void what_is_listed_follows_from_the_head(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    assert_int_equal(run_oldest_listed_msn(s.run, SHOW_MSN), SHOW_MSN);
    assert_int_equal(run_oldest_listed_msn(s.run, SHOW_MSN + 6), SHOW_MSN);
    assert_int_equal(run_oldest_listed_msn(s.run, SHOW_MSN + 7), SHOW_MSN + 1);
    show_close(&s);
}

static void units_outlive_their_frames(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    s.log->limits.window_bytes = 400000;
    play(&s, 0, 60000);
    const struct run *r = s.run;
    uint64_t head = run_newest_part(r)->cut.msn;
    uint64_t oldest = run_oldest_listed_msn(r, head);
    const struct log_part *p = run_part(r, oldest, 0);
    assert_true(p->seq < r->first);
    assert_false(run_segment_extent(r, p).held);
    assert_int_equal(run_segment_extent(r, p).duration_us, 2000000);
    assert_true(run_segment_extent(r, run_part(r, head, 0)).held);
    assert_int_equal(run_first_part(r)->cut.msn, head - 2 * 6 - 2);
    show_close(&s);
}

static void frames_stay_as_long_as_segments_are_long(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    s.log->limits.window_us = 1000000;
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    for (int64_t ms = 0; ms < 90000; ms += 40)
        show_video(&s, ms, ms % 3000 == 0, 0);
    int64_t held_us = s.run->newest_dts_us - run_frame(s.run, s.run->first)->dts_us;
    const int64_t window_us = 14 * 3000000;
    assert_true(held_us >= window_us - 40000 && held_us <= window_us + window_us / 64 + 40000);
    show_close(&s);
}

/* What a replica gets: the newest frames, and later what was before. */
static void the_past_completes_the_index(void **state)
{
    struct show s;
    show_open(&s, 2000, 300); /* key frames within parts */
    play(&s, 0, 7300);
    for (size_t k = 0; k < s.run->key_count; k++) {
        const struct log_key *key = &s.run->keys[k];
        struct log *l = log_new(&s.log->limits);
        struct run *r = log_open_run(l, SHOW_EPOCH, key->seq, key->inforce);
        r->plan = s.run->plan;
        for (uint64_t seq = key->seq; seq < s.run->next; seq++)
            log_append(l, frame_ref(run_frame(s.run, seq)));
        size_t count = key->seq - 1;
        struct frame **past = calloc(count, sizeof *past);
        for (size_t i = 0; i < count; i++)
            past[i] = frame_ref(run_frame(s.run, i + 1));
        assert_int_equal(log_prepend(l, r, NULL, past, count), 0);
        free(past);
        assert_same_parts(s.run, r);
        assert_int_equal(r->longest_segment_us, 2000000);
        log_free(&l);
    }
    show_close(&s);
}

static void after_a_hole_nothing_is_known(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 3000);
    log_restart(s.log, s.run->next + 10, NULL);
    assert_null(run_first_part(s.run));
    play(&s, 3000, 5000);
    assert_int_equal(run_first_part(s.run)->cut.msn, SHOW_MSN + 1);
    show_close(&s);
}

static void numbers_that_do_not_rise_are_left_out(void **state)
{
    static const struct {
        uint64_t msn;
        uint32_t part;
        int64_t start_us;
    } lies[] = {{SHOW_MSN, 0, 9000000}, {SHOW_MSN + 1, 1, 9000000}, {SHOW_MSN + 9, 0, 1}};
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 3000);
    struct cut before = run_newest_part(s.run)->cut;
    uint32_t count = s.run->part_count;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct frame *f = make_frame(FRAME_AUDIO, 0, s.run->next, 3000, 10);
        struct cut lie = before;
        lie.msn = lies[i].msn;
        lie.part = lies[i].part;
        lie.start_us = lies[i].start_us;
        frame_set_cut(f, &lie);
        log_append(s.log, f);
        assert_int_equal(s.run->part_count, count);
    }
    show_close(&s);
}

static struct frame *cut_frame(uint64_t seq, uint64_t msn, int64_t start_us)
{
    struct frame *f = make_frame(FRAME_AUDIO, 0, seq, 0, 10);
    const struct cut cut = {.msn = msn, .start_us = start_us};
    frame_set_cut(f, &cut);
    return f;
}

static void a_past_of_lies_is_not_indexed(void **state)
{
    static const struct log_limits limits = {.window_us = 1000000, .window_bytes = 1 << 20};
    struct log *l = log_new(&limits);
    struct run *r = log_open_run(l, 1, 2, NULL);
    struct frame *past = cut_frame(1, CUT_NUMBER_MAX + 1, 0);
    assert_int_equal(log_prepend(l, r, NULL, &past, 1), 0);
    assert_int_equal(r->part_count, 0);
    log_free(&l);
}

/* The window is a number all the same. */
static void segments_may_be_said_to_last_for_ever(void **state)
{
    static const struct log_limits limits = {.window_us = 1000000, .window_bytes = 1 << 20};
    const int64_t most_us = 1LL << 53;
    struct log *l = log_new(&limits);
    struct run *r = log_open_run(l, 1, 1, NULL);
    const struct cut_plan plan = {.segment_ms = UINT32_MAX, .window_segments = UINT32_MAX};
    log_set_plan(l, r, &plan);
    for (uint64_t i = 0; i < 3; i++)
        log_append(l, cut_frame(1 + i, i, (int64_t)i * most_us - most_us));
    assert_int_equal(r->longest_segment_us, most_us);
    assert_int_equal(r->next - r->first, 3);
    log_free(&l);
}

static void a_run_goes_on_from_one_that_is_whole(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 3000);
    uint64_t last = s.run->next - 1;
    struct run *after = log_open_run(s.log, SHOW_EPOCH + 1, 1, NULL);
    assert_null(log_previous(s.log, after));
    after->plan.previous_epoch = SHOW_EPOCH;
    after->plan.previous_last_seq = last + 1;
    assert_null(log_previous(s.log, after));
    after->plan.previous_last_seq = last;
    assert_ptr_equal(log_previous(s.log, after), s.run);
    show_close(&s);
}

static void an_older_run_is_adopted(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 3000);
    struct log *l = log_new(&s.log->limits);
    struct frame *frames[8];
    struct log_older o = {
        .epoch = SHOW_EPOCH, .wall_us = 5, .plan = s.run->plan, .frames = frames, .count = 8};
    static const struct {
        uint64_t newest, second; /* epochs of the log */
        uint64_t hole;           /* before this index */
        size_t window_bytes;
        int want;
    } cases[] = {
        {0, 0, 8, 1 << 20, ERR_RANGE},
        {SHOW_EPOCH, 0, 8, 1 << 20, ERR_RANGE},
        {SHOW_EPOCH - 1, 0, 8, 1 << 20, ERR_RANGE},
        {SHOW_EPOCH + 1, 0, 5, 1 << 20, ERR_RANGE},
        {SHOW_EPOCH + 1, 0, 8, 1000, ERR_TOO_LARGE},
        {SHOW_EPOCH + 1, SHOW_EPOCH, 8, 1 << 20, 0},
        {SHOW_EPOCH + 1, SHOW_EPOCH - 1, 8, 1 << 20, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        log_clear(l);
        l->limits.window_bytes = cases[i].window_bytes;
        if (cases[i].second != 0)
            log_open_run(l, cases[i].second, 1, NULL);
        if (cases[i].newest != 0)
            log_open_run(l, cases[i].newest, 1, NULL);
        for (uint64_t k = 0; k < 8; k++)
            frames[k] = frame_ref(run_frame(s.run, 3 + k + (k >= cases[i].hole ? 1 : 0)));
        assert_int_equal(log_adopt(l, &o), cases[i].want);
    }
    const struct run *r = log_find(l, SHOW_EPOCH);
    assert_int_equal(log_newest(l)->epoch, SHOW_EPOCH + 1);
    assert_ptr_equal(log_before(l, log_newest(l)), r);
    assert_int_equal(log_before(l, r)->epoch, SHOW_EPOCH - 1);
    assert_true(r->ended && r->wall_us == 5 && r->first == 3 && r->next == 11);
    assert_int_equal(run_first_part(r)->cut.msn, SHOW_MSN);
    log_free(&l);
    show_close(&s);
}

/* Some frames of it are held: what has more takes their place, what has not does not. */
static void a_run_held_in_part_is_replaced(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 3000);
    struct frame *frames[8];
    struct log_older o = {.epoch = SHOW_EPOCH, .plan = s.run->plan, .frames = frames, .count = 8};
    static const struct {
        uint64_t held_from, held_to; /* of frames 3 to 10 */
        int want;
    } cases[] = {{3, 10, ERR_RANGE}, {2, 10, ERR_RANGE}, {2, 9, 0}, {4, 10, 0}, {4, 11, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct log *l = log_new(&s.log->limits);
        log_open_run(l, SHOW_EPOCH, cases[i].held_from, NULL)->shift_ms = 77;
        for (uint64_t seq = cases[i].held_from; seq <= cases[i].held_to; seq++)
            log_append(l, frame_ref(run_frame(s.run, seq)));
        log_open_run(l, SHOW_EPOCH + 1, 1, NULL);
        for (uint64_t k = 0; k < 8; k++)
            frames[k] = frame_ref(run_frame(s.run, 3 + k));
        assert_int_equal(log_adopt(l, &o), cases[i].want);
        const struct run *r = log_find(l, SHOW_EPOCH);
        assert_int_equal(r->first, cases[i].want == 0 ? 3 : cases[i].held_from);
        assert_int_equal(r->next, cases[i].want == 0 ? 11 : cases[i].held_to + 1);
        assert_int_equal(r->shift_ms, 77);
        assert_int_equal(run_is_whole(r), cases[i].want == 0);
        log_free(&l);
    }
    show_close(&s);
}

/* Frames come before it is known what their run's first segment is called. */
static void numbers_are_told_later(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    play(&s, 0, 3000);
    struct cut_plan plan = s.run->plan;
    uint64_t parts = s.run->part_count;
    plan.first_msn = 1000;
    plan.first_dsn = 7;
    log_set_plan(s.log, s.run, &plan);
    assert_int_equal(run_first_part(s.run)->cut.msn, SHOW_MSN + 1000);
    assert_int_equal(run_first_part(s.run)->cut.dsn, SHOW_DSN + 7);
    play(&s, 3000, 6000);
    assert_true(s.run->part_count > parts);
    assert_int_equal(run_newest_part(s.run)->cut.msn, SHOW_MSN + 1002);
    assert_non_null(run_part(s.run, SHOW_MSN + 1001, 2));
    show_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_found_by_number),
        cmocka_unit_test(the_open_unit_lasts_as_long_as_its_frames),
        cmocka_unit_test(what_is_listed_follows_from_the_head),
        cmocka_unit_test(units_outlive_their_frames),
        cmocka_unit_test(frames_stay_as_long_as_segments_are_long),
        cmocka_unit_test(the_past_completes_the_index),
        cmocka_unit_test(after_a_hole_nothing_is_known),
        cmocka_unit_test(numbers_that_do_not_rise_are_left_out),
        cmocka_unit_test(a_past_of_lies_is_not_indexed),
        cmocka_unit_test(segments_may_be_said_to_last_for_ever),
        cmocka_unit_test(a_run_goes_on_from_one_that_is_whole),
        cmocka_unit_test(an_older_run_is_adopted),
        cmocka_unit_test(a_run_held_in_part_is_replaced),
        cmocka_unit_test(numbers_are_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
