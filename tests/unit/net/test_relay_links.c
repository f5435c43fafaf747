#include "test.h"

#include "net/relay_links.h"

static void test_counted(void **state)
{
    struct relay_links *l = relay_links_new();
    assert_false(relay_is_linked(l, "a"));
    relay_linked(l, "a", true);
    relay_linked(l, "a", true);
    relay_linked(l, "b", true);
    relay_linked(l, "a", false);
    assert_true(relay_is_linked(l, "a"));
    relay_linked(l, "a", false);
    assert_false(relay_is_linked(l, "a"));
    assert_true(relay_is_linked(l, "b")); /* freed with the table */
    relay_links_free(&l);
    assert_null(l);
}

static void test_without_a_table(void **state)
{
    struct relay_links *none = NULL;
    relay_linked(none, "a", true);
    assert_false(relay_is_linked(none, "a"));
    relay_links_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted),
        cmocka_unit_test(test_without_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
