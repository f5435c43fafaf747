#include "test.h"

#include "origin/carry_choose.h"

#include <stdio.h>
#include <string.h>

#define NOW_US 1000000000

struct row {
    const char *id, *role, *state, *zone;
    int load;
    int64_t streams;
};

static void nodes_of(const struct row *rows, size_t count, struct cluster_node *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct cluster_node){.load_percent = rows[i].load, .streams = rows[i].streams};
        snprintf(out[i].id, sizeof out[i].id, "%s", rows[i].id);
        snprintf(out[i].role, sizeof out[i].role, "%s", rows[i].role);
        snprintf(out[i].state, sizeof out[i].state, "%s", rows[i].state);
        snprintf(out[i].zone, sizeof out[i].zone, "%s", rows[i].zone);
        snprintf(out[i].address, sizeof out[i].address, "10.0.0.%zu:1", i);
        if (rows[i].id[0] == 'x')
            out[i].address[0] = '\0';
    }
}

static void who_is_chosen(void **state)
{
    static const struct {
        const char *what;
        struct row rows[4];
        const char *failed, *chosen; /* chosen NULL: nobody */
    } cases[] = {
        {"nobody else", {{"e1", "node", "up", "", 0, 0}}, NULL, NULL},
        {"edges own nothing", {{"a", "edge", "up", "", 0, 0}}, NULL, NULL},
        {"leaving", {{"a", "origin", "drain", "", 0, 0}}, NULL, NULL},
        {"no address", {{"x", "origin", "up", "", 0, 0}}, NULL, NULL},
        {"a node owns, too", {{"a", "node", "up", "", 90, 9}}, NULL, "a"},
        {"less load", {{"a", "node", "up", "", 31, 0}, {"b", "node", "up", "", 12, 5}}, NULL, "b"},
        {"about the same load, fewer streams",
         {{"a", "node", "up", "", 11, 3}, {"b", "node", "up", "", 19, 2}},
         NULL,
         "b"},
        {"our zone, whatever the load",
         {{"a", "node", "up", "far", 0, 0}, {"b", "node", "up", "near", 80, 50}},
         NULL,
         "b"},
        {"nobody in our zone",
         {{"a", "node", "up", "far", 50, 0}, {"b", "node", "up", "", 20, 50}},
         NULL,
         "b"},
        {"failed, for all its zone",
         {{"a", "node", "up", "far", 90, 9}, {"b", "node", "up", "near", 0, 0}},
         "b",
         "a"},
        {"failed, but alone", {{"b", "node", "up", "near", 0, 0}}, "b", "b"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cluster_node nodes[4];
        struct carry_failures f = {0};
        size_t count = 1;
        while (count < 4 && cases[i].rows[count].id != NULL)
            count++;
        nodes_of(cases[i].rows, count, nodes);
        if (cases[i].failed != NULL)
            carry_failed(&f, cases[i].failed, NOW_US - 1000000);
        const struct cluster_node *n = carry_choose(nodes, count, "e1", "near", &f, NOW_US);
        if (cases[i].chosen == NULL)
            assert_null(n);
        else if (n == NULL || strcmp(n->id, cases[i].chosen) != 0)
            fail_msg("%s: %s", cases[i].what, n != NULL ? n->id : "nobody");
    }
}

static void equals_take_turns(void **state)
{
    static const struct row rows[] = {{"a", "node", "up", "", 0, 0},
                                      {"b", "node", "up", "", 0, 0},
                                      {"c", "node", "up", "", 0, 0}};
    struct cluster_node nodes[3];
    struct carry_failures f = {0};
    int seen[3] = {0};
    nodes_of(rows, 3, nodes);
    for (int i = 0; i < 300; i++)
        seen[carry_choose(nodes, 3, "e1", "", &f, NOW_US) - nodes]++;
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 40, 200);
}

static void failures_are_kept_for_a_while(void **state)
{
    static const struct row rows[] = {{"a", "node", "up", "", 0, 0},
                                      {"b", "node", "up", "", 99, 9}};
    struct cluster_node nodes[2];
    struct carry_failures f = {0};
    nodes_of(rows, 2, nodes);
    carry_failed(&f, "a", NOW_US);
    assert_string_equal(carry_choose(nodes, 2, "e1", "", &f, NOW_US + 1)->id, "b");
    carry_failed(&f, "b", NOW_US + 2); /* both: the longest ago */
    assert_string_equal(carry_choose(nodes, 2, "e1", "", &f, NOW_US + 3)->id, "a");
    carry_failed(&f, "a", NOW_US + 4);
    assert_string_equal(carry_choose(nodes, 2, "e1", "", &f, NOW_US + 5)->id, "b");
    assert_string_equal(carry_choose(nodes, 2, "e1", "", &f, NOW_US + CARRY_FAILED_KEEP_US + 4)->id,
                        "a");

    for (int i = 0; i < 2 * CARRY_FAILED_MAX; i++) { /* the oldest go */
        char id[8];
        snprintf(id, sizeof id, "n%d", i);
        carry_failed(&f, id, NOW_US + 10 + i);
    }
    assert_string_equal(carry_choose(nodes, 2, "e1", "", &f, NOW_US + 100)->id, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_chosen),
        cmocka_unit_test(equals_take_turns),
        cmocka_unit_test(failures_are_kept_for_a_while),
    };
    return cmocka_run_group_tests_name("carry_choose", tests, NULL, NULL);
}
