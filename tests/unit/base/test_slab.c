#include "test.h"

#include "base/slab.h"

#include <pthread.h>
#include <string.h>

#define OBJECT_BYTES 72

static struct slab slab = SLAB_INIT(slab, OBJECT_BYTES);

enum { CROWD = 4000 };
static uint8_t *crowd[CROWD];

static void take(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        crowd[i] = slab_take(&slab);
        memset(crowd[i], (int)(i & 0xff), OBJECT_BYTES);
    }
}

static void give(size_t i)
{
    for (size_t k = 0; k < OBJECT_BYTES; k++)
        assert_int_equal(crowd[i][k], i & 0xff);
    slab_give(&slab, crowd[i]);
    crowd[i] = NULL;
}

static size_t held(void)
{
    return slab.used + slab.empty;
}

static void objects_are_their_owners(void **state)
{
    take(0, CROWD);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal((uintptr_t)crowd[i] % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < CROWD; i += 2)
        give(i);
    for (size_t i = 0; i < CROWD; i += 2)
        take(i, i + 1);
    for (size_t i = 0; i < CROWD; i++)
        give(i);
    slab_give(&slab, NULL);
    assert_int_equal(slab.used, 0);
    slab_fini(&slab);
    assert_int_equal(held(), 0);
}

/* Of a crowd one in a hundred stays for a while, on all mappings; then they are replaced one by
 * one, as the media of a stream that goes on is. */
static void what_is_left_gathers(void **state)
{
    take(0, CROWD);
    size_t most = held();
    for (size_t i = 0; i < CROWD; i++)
        if (i % 100 != 0)
            give(i);
    assert_true(slab.used > most / 2);
    for (size_t i = 0; i < CROWD; i += 100) {
        give(i);
        take(i, i + 1);
    }
    assert_true(slab.used <= 2);
    assert_true(held() <= 4);
    for (size_t i = 0; i < CROWD; i += 100)
        give(i);
    assert_true(held() <= 2);
    slab_fini(&slab);
}

static void what_goes_and_comes_needs_no_new_mapping(void **state)
{
    take(0, 1);
    void *first = crowd[0];
    give(0);
    assert_int_equal(slab.empty, 1);
    take(0, 1);
    assert_ptr_equal(crowd[0], first);
    give(0);
    slab_fini(&slab);
}

static void *come_and_go(void *arg)
{
    uint8_t *mine[300];
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < COUNT_OF(mine); i++) {
            mine[i] = slab_take(&slab);
            memset(mine[i], round + *(int *)arg, OBJECT_BYTES);
        }
        for (size_t i = 0; i < COUNT_OF(mine); i++) {
            assert_int_equal(mine[i][0], mine[i][OBJECT_BYTES - 1]);
            slab_give(&slab, mine[i]);
        }
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    pthread_t threads[4];
    int numbers[COUNT_OF(threads)];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        numbers[i] = (int)(i * 50);
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(slab.used, 0);
    slab_fini(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_their_owners),
        cmocka_unit_test(what_is_left_gathers),
        cmocka_unit_test(what_goes_and_comes_needs_no_new_mapping),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
