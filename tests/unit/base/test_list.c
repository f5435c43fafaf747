#include "test.h"

#include "base/list.h"

struct item {
    int value;
    struct list node;
};

static int digits(struct list *head)
{
    int n = 0;
    struct item *i;
    LIST_EACH (i, head, node)
        n = n * 10 + i->value;
    return n;
}

static void items_go_in_and_out_at_both_ends(void **state)
{
    struct list head = LIST_INIT(head);
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    assert_true(list_empty(&head));
    assert_null(LIST_FIRST(&head, struct item, node));
    list_append(&head, &b.node);
    list_append(&head, &c.node);
    list_prepend(&head, &a.node);
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(LIST_FIRST(&head, struct item, node), &a);
    assert_ptr_equal(LIST_LAST(&head, struct item, node), &c);
    list_remove(&b.node);
    list_remove(&b.node); /* it is in no list: nothing happens */
    assert_int_equal(digits(&head), 13);
}

static void a_list_is_moved_behind_another(void **state)
{
    struct list to = LIST_INIT(to), from = LIST_INIT(from);
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    list_splice(&to, &from);
    assert_true(list_empty(&to));
    list_append(&to, &items[0].node);
    for (size_t i = 1; i < COUNT_OF(items); i++)
        list_append(&from, &items[i].node);
    list_splice(&to, &from);
    assert_int_equal(digits(&to), 1234);
    assert_true(list_empty(&from));
}

static void the_current_item_may_go_while_all_are_walked(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[5];
    for (int i = 0; i < 5; i++) {
        items[i].value = i + 1;
        list_append(&head, &items[i].node);
    }
    struct item *i, *tmp;
    LIST_EACH_SAFE (i, tmp, &head, node)
        if (i->value % 2 == 0)
            list_remove(&i->node);
    assert_int_equal(digits(&head), 135);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_go_in_and_out_at_both_ends),
        cmocka_unit_test(a_list_is_moved_behind_another),
        cmocka_unit_test(the_current_item_may_go_while_all_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
