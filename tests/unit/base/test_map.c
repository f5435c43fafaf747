#include "test.h"

#include "base/map.h"

#include <stdio.h>

static void keys_find_their_values(void **state)
{
    struct map *m = map_new();
    int one = 1, two = 2;
    assert_null(map_put(m, "a", &one));
    assert_ptr_equal(map_put(m, "a", &two), &one);
    assert_ptr_equal(map_get(m, "a"), &two);
    assert_ptr_equal(map_get_n(m, "abc", 1), &two);
    assert_null(map_get(m, "ab"));
    assert_int_equal(map_count(m), 1);
    assert_ptr_equal(map_take(m, "a"), &two);
    assert_null(map_take(m, "a"));
    assert_int_equal(map_count(m), 0);
    map_free(&m);
    assert_null(m);
    map_free(&m);
}

static void keys_may_be_any_bytes(void **state)
{
    struct map *m = map_new();
    int one = 1, two = 2;
    assert_null(map_put_n(m, "a\0b", 3, &one));
    assert_null(map_put_n(m, "a\0c", 3, &two));
    assert_null(map_get(m, "a"));
    assert_ptr_equal(map_get_n(m, "a\0b", 3), &one);
    assert_ptr_equal(map_take_n(m, "a\0c", 3), &two);
    assert_int_equal(map_count(m), 1);
    map_free(&m);
}

struct walk {
    struct map *m;
    int seen;
};

static void take_it(const char *key, void *value, void *arg)
{
    struct walk *w = arg;
    char want[16];
    snprintf(want, sizeof want, "k%d", w->seen++);
    assert_string_equal(key, want); /* in order of insertion */
    assert_ptr_equal(map_take(w->m, want), value);
}

static void an_entry_may_go_while_all_are_walked(void **state)
{
    struct walk w = {map_new(), 0};
    int values[500];
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        map_put(w.m, key, &values[i]);
    }
    map_each(w.m, take_it, &w);
    assert_int_equal(w.seen, 500);
    assert_int_equal(map_count(w.m), 0);
    map_free(&w.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_find_their_values),
        cmocka_unit_test(keys_may_be_any_bytes),
        cmocka_unit_test(an_entry_may_go_while_all_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
