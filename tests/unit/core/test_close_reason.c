#include "test.h"

#include "core/close_reason.h"

#include <string.h>

static void test_words_are_unique_labels(void **state)
{
    for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
        const char *name = close_reason_name((enum close_reason)i);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        assert_true(strlen(close_reason_help((enum close_reason)i)) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, close_reason_name((enum close_reason)j));
    }
}

static void test_rows(void **state)
{
    assert_string_equal(close_reason_name(CLOSE_PEER_CLOSED), "peer_closed");
    assert_string_equal(close_reason_name(CLOSE_INTERNAL), "internal");
    assert_int_equal(close_reason_is_fault(CLOSE_PEER_CLOSED), 0);
    assert_int_equal(close_reason_is_fault(CLOSE_BAD_INPUT), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_unique_labels),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
