#include "test.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/slice.h"

static void text_is_cut_trimmed_and_compared(void **state)
{
    struct slice rest;
    bool found;
    assert_true(slice_is(slice_cut(slice_text("a=b=c"), '=', &rest, &found), "a"));
    assert_true(found && slice_is(rest, "b=c"));
    assert_true(slice_is(slice_cut(slice_text("abc"), '=', &rest, &found), "abc"));
    assert_false(found);
    assert_int_equal(rest.len, 0);
    slice_cut(slice_of(NULL, 0), '=', &rest, &found);
    assert_false(found);
    assert_true(slice_is(slice_trim(slice_text(" \t a b\t ")), "a b"));
    assert_int_equal(slice_trim(slice_text("  ")).len, 0);
    assert_true(slice_is_nocase(slice_text("HoSt"), "host"));
    assert_false(slice_is_nocase(slice_text("hos"), "host"));
    assert_true(slice_starts(slice_text("abc"), "ab"));
    assert_false(slice_starts(slice_text("a"), "ab"));
    char out[4];
    assert_true(slice_copy(slice_text("abc"), out, sizeof out));
    assert_string_equal(out, "abc");
    assert_false(slice_copy(slice_text("abcd"), out, sizeof out));
    assert_string_equal(out, "");
}

static void decimal_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        int want;
        uint64_t value;
    } cases[] = {
        {"0", 9, 0, 0},
        {"007", 9, 0, 7},
        {"10", 9, ERR_RANGE, 0},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, ERR_RANGE, 0},
        {"99999999999999999999999", UINT64_MAX, ERR_RANGE, 0},
        {"", 9, ERR_TYPE, 0},
        {"-1", 9, ERR_TYPE, 0},
        {"+1", 9, ERR_TYPE, 0},
        {"1 ", 9, ERR_TYPE, 0},
        {"0x1", 9, ERR_TYPE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t v = 0;
        int err = slice_u64(slice_text(cases[i].text), cases[i].max, &v);
        if (err != cases[i].want || v != cases[i].value)
            fail_msg("\"%s\": %d", cases[i].text, err);
    }
}

static void hexadecimal(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x9f, 0xA5, 0xff};
    char text[9];
    uint8_t back[4];
    hex_encode(bytes, sizeof bytes, text);
    assert_string_equal(text, "009fa5ff");
    assert_int_equal(hex_decode(slice_text("009FA5ff"), back, sizeof back), 0);
    assert_memory_equal(back, bytes, sizeof bytes);
    assert_int_equal(hex_decode(slice_text("009fa5f"), back, sizeof back), ERR_TYPE);
    assert_int_equal(hex_decode(slice_text("009fa5fg"), back, sizeof back), ERR_TYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_trimmed_and_compared),
        cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
