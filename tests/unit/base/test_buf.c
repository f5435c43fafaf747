#include "test.h"

#include "base/buf.h"
#include "base/err.h"

#include <string.h>

static void bytes_come_out_as_they_went_in(void **state)
{
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(buf_append(&b, "abc", 3), 0);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(buf_printf(&b, "-%d-", 42), 0);
    assert_true(slice_is(buf_slice(&b), "abc-42-"));
    buf_consume(&b, 4);
    assert_true(slice_is(buf_slice(&b), "42-"));
    assert_int_equal(buf_append(&b, "x", 1), 0);
    assert_true(slice_is(buf_slice(&b), "42-x"));
    buf_consume(&b, 4);
    assert_null(b.data); /* an empty buffer holds nothing */
    buf_fini(&b);
}

static void the_bound_holds_and_nothing_is_lost(void **state)
{
    struct buf b;
    buf_init(&b, 8);
    assert_int_equal(buf_append(&b, "12345", 5), 0);
    assert_int_equal(buf_append(&b, "6789", 4), ERR_TOO_LARGE);
    assert_int_equal(buf_printf(&b, "%s", "too long"), ERR_TOO_LARGE);
    assert_true(slice_is(buf_slice(&b), "12345"));
    assert_null(buf_reserve(&b, 4));
    assert_int_equal(buf_append(&b, "678", 3), 0);
    assert_true(slice_is(buf_slice(&b), "12345678"));
    buf_fini(&b);
}

static void it_moves_and_grows_as_a_queue(void **state)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    uint8_t in = 0, out = 0;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < round % 37; i++, in++)
            assert_int_equal(buf_append(&b, &in, 1), 0);
        for (int i = 0; i < round % 29 && buf_len(&b) > 0; i++, out++) {
            assert_int_equal(buf_slice(&b).p[0], out);
            buf_consume(&b, 1);
        }
    }
    assert_int_equal(buf_len(&b) & 0xff, (uint8_t)(in - out));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(the_bound_holds_and_nothing_is_lost),
        cmocka_unit_test(it_moves_and_grows_as_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
