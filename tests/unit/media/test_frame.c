#include "test.h"

#include "base/err.h"
#include "media/inforce.h"
#include "media/relay_frames.h"

#include <pthread.h>

static void a_frame_is_counted(void **state)
{
    int64_t before = frames_alive(), bytes = frames_alive_bytes();
    struct frame *f = frame_new(FRAME_AUDIO, 100);
    assert_int_equal(frames_alive(), before + 1);
    assert_int_equal(frames_alive_bytes(), bytes + 100);
    struct frame *g = frame_ref(f);
    frame_unref(&f);
    assert_null(f);
    assert_int_equal(frames_alive(), before + 1);
    frame_unref(&g);
    assert_int_equal(frames_alive(), before);
    frame_unref(&g); /* NULL is harmless */
}

static void a_size_over_the_limit_is_refused(void **state)
{
    assert_null(frame_new(FRAME_VIDEO, FRAME_BYTES_MAX + 1));
}

static void records_become_frames(void **state)
{
    static const struct {
        const char *what;
        struct relay_record rec;
        int want;
    } cases[] = {
        {"the largest numbers",
         {.track = 0x100,
          .seq = RELAY_NUMBER_MAX,
          .dts_us = RELAY_TIME_MAX,
          .wire_ms = -RELAY_TIME_MAX},
         0},
        {"no seq", {.seq = 0}, ERR_PROTOCOL},
        {"no such kind", {.seq = 1, .track = 0x300}, ERR_PROTOCOL},
        {"a larger seq", {.seq = RELAY_NUMBER_MAX + 1}, ERR_PROTOCOL},
        {"the largest seq", {.seq = UINT64_MAX}, ERR_PROTOCOL},
        {"a later dts", {.seq = 1, .dts_us = RELAY_TIME_MAX + 1}, ERR_PROTOCOL},
        {"the earliest dts", {.seq = 1, .dts_us = INT64_MIN}, ERR_PROTOCOL},
        {"the latest time", {.seq = 1, .wire_ms = INT64_MAX}, ERR_PROTOCOL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct frame *f;
        int err = relay_frame_new(NULL, &cases[i].rec, &f);
        if (err != cases[i].want)
            fail_msg("%s: %d", cases[i].what, err);
        frame_unref(&f);
    }
    assert_int_equal(frames_alive(), 0);
}

static void *hold_and_drop(void *arg)
{
    struct frame *f = arg;
    for (int i = 0; i < 20000; i++) {
        struct frame *g = frame_ref(f);
        frame_unref(&g);
    }
    frame_unref(&f);
    return NULL;
}

static void threads_share_a_frame(void **state)
{
    int64_t before = frames_alive();
    struct frame *f = frame_new(FRAME_VIDEO, 10);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, frame_ref(f)), 0);
    frame_unref(&f);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(frames_alive(), before);
}

static struct frame *config(enum frame_kind kind, uint8_t track, uint8_t flags, uint8_t byte)
{
    struct frame *f = frame_new(kind, 1);
    f->data[0] = byte;
    f->track = track;
    f->flags = flags;
    return f;
}

static void the_newest_of_a_slot_is_in_force(void **state)
{
    int64_t before = frames_alive();
    struct frame *frames[] = {
        config(FRAME_AUDIO, 0, FRAME_CONFIG, 1), config(FRAME_VIDEO, 0, FRAME_CONFIG, 2),
        config(FRAME_VIDEO, 1, FRAME_CONFIG, 3), config(FRAME_DATA, 0, FRAME_META, 4),
        config(FRAME_VIDEO, 0, FRAME_META, 5),   config(FRAME_VIDEO, 0, FRAME_CONFIG, 6),
    };
    struct inforce *i = NULL;
    for (size_t k = 0; k < COUNT_OF(frames); k++) {
        struct inforce *next = inforce_with(i, frames[k]);
        inforce_unref(&i);
        i = next;
    }
    static const uint8_t want[] = {4, 6, 3, 1, 5}; /* metadata, configurations, track metadata */
    assert_int_equal(i->count, COUNT_OF(want));
    for (size_t k = 0; k < COUNT_OF(want); k++)
        assert_int_equal(i->frames[k]->data[0], want[k]);

    struct frame *same = config(FRAME_VIDEO, 0, FRAME_CONFIG, 6);
    struct frame *other = config(FRAME_VIDEO, 0, FRAME_CONFIG, 7);
    struct inforce *equal = inforce_with(i, same), *differs = inforce_with(i, other);
    assert_true(inforce_equal(i, equal));
    assert_false(inforce_equal(i, differs));
    assert_false(inforce_equal(i, NULL));
    inforce_unref(&equal);
    inforce_unref(&differs);
    inforce_unref(&i);
    frame_unref(&same);
    frame_unref(&other);
    for (size_t k = 0; k < COUNT_OF(frames); k++)
        frame_unref(&frames[k]);
    assert_int_equal(frames_alive(), before);
}

static void more_than_the_limit_is_not_in_force(void **state)
{
    struct inforce *i = NULL;
    for (int k = 0; k < INFORCE_MAX; k++) {
        struct frame *f = config(FRAME_AUDIO, (uint8_t)k, FRAME_CONFIG, 1);
        struct inforce *next = inforce_with(i, f);
        assert_non_null(next);
        inforce_unref(&i);
        frame_unref(&f);
        i = next;
    }
    struct frame *f = config(FRAME_AUDIO, 200, FRAME_CONFIG, 1);
    assert_null(inforce_with(i, f));
    frame_unref(&f);
    inforce_unref(&i);
}

/* More than a few blocks of frames, let go from the middle; then the pool before its last frame. */
static void frames_of_a_pool_outlive_it(void **state)
{
    enum { FRAMES = 1000 };
    static const size_t sizes[] = {0, 1, 15, 16, 300, 5000, 8100, 8192, 40000};
    struct frame *frames[FRAMES];
    struct frame_pool pool = {0};
    int64_t before = frames_alive();
    for (size_t i = 0; i < FRAMES; i++) {
        size_t size = sizes[i % COUNT_OF(sizes)];
        frames[i] = frame_pool_new(&pool, FRAME_VIDEO, size);
        assert_non_null(frames[i]);
        assert_int_equal((uintptr_t)frames[i] % _Alignof(struct frame), 0);
        memset(frames[i]->data, (int)i & 0xff, size);
        if (i % 3 == 2)
            frame_unref(&frames[i - 1]);
    }
    frame_pool_fini(&pool);
    for (size_t i = 0; i < FRAMES; i++)
        for (size_t k = 0; frames[i] != NULL && k < frames[i]->size; k++)
            assert_int_equal(frames[i]->data[k], i & 0xff);
    for (size_t i = 0; i < FRAMES; i++)
        frame_unref(&frames[i]);
    assert_int_equal(frames_alive(), before);
    assert_null(frame_pool_new(&pool, FRAME_VIDEO, FRAME_BYTES_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_counted),
        cmocka_unit_test(a_size_over_the_limit_is_refused),
        cmocka_unit_test(frames_of_a_pool_outlive_it),
        cmocka_unit_test(threads_share_a_frame),
        cmocka_unit_test(the_newest_of_a_slot_is_in_force),
        cmocka_unit_test(more_than_the_limit_is_not_in_force),
        cmocka_unit_test(records_become_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
