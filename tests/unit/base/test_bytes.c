#include "test.h"

#include "base/bytes.h"

static void numbers_are_read_as_written(void **state)
{
    uint8_t room[64];
    struct wr w = wr_init(room, sizeof room);
    wr_u8(&w, 0xab);
    wr_u16(&w, 0x1234);
    wr_u24(&w, 0x56789a);
    wr_u32(&w, 0xdeadbeef);
    wr_u32le(&w, 0xdeadbeef);
    wr_u64(&w, 0x0123456789abcdefULL);
    wr_f64(&w, -2.5);
    wr_u24(&w, (uint32_t)-7 & 0xffffff);
    wr_text(&w, "end");
    assert_false(w.overflow);
    static const uint8_t head[] = {0xab, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xde,
                                   0xad, 0xbe, 0xef, 0xef, 0xbe, 0xad, 0xde};
    assert_memory_equal(room, head, sizeof head);

    struct rd r = rd_slice(wr_slice(&w));
    assert_int_equal(rd_u8(&r), 0xab);
    assert_int_equal(rd_u16(&r), 0x1234);
    assert_int_equal(rd_u24(&r), 0x56789a);
    assert_int_equal(rd_u32(&r), 0xdeadbeef);
    assert_int_equal(rd_u32le(&r), 0xdeadbeef);
    assert_true(rd_u64(&r) == 0x0123456789abcdefULL);
    assert_true(rd_f64(&r) == -2.5);
    assert_int_equal(rd_s24(&r), -7);
    assert_true(slice_is(rd_rest(&r), "end"));
    assert_false(r.underrun);
    assert_int_equal(rd_u8(&r), 0);
    assert_true(r.underrun);
}

static void a_read_past_the_end_yields_nothing_and_sticks(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct rd r = rd_init(bytes, sizeof bytes);
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.underrun);
    assert_int_equal(rd_left(&r), 0);
    struct rd s = rd_init(bytes, sizeof bytes);
    assert_null(rd_take(&s, SIZE_MAX));
    struct rd none = rd_init(NULL, 0);
    assert_int_equal(rd_rest(&none).len, 0);
    assert_false(none.underrun);
}

static void a_number_is_written_whole_or_not_at_all(void **state)
{
    uint8_t room[8] = {0};
    struct wr w = wr_init(room, 7);
    wr_u32(&w, 0x11111111);
    wr_u32(&w, 0x22222222);
    assert_true(w.overflow);
    assert_int_equal(wr_len(&w), 4);
    assert_int_equal(room[4], 0);
    wr_u8(&w, 1); /* it sticks: what follows would be in the wrong place */
    assert_int_equal(wr_len(&w), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_written),
        cmocka_unit_test(a_read_past_the_end_yields_nothing_and_sticks),
        cmocka_unit_test(a_number_is_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
