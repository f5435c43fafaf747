#include "test.h"

#include "edge/parent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "live/cam"

static void the_order_is_the_same_for_all_and_differs_by_stream(void **state)
{
    int before = 0;
    char name[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "live/%d", i);
        assert_true(parent_before(name, "e1", "e2") != parent_before(name, "e2", "e1"));
        assert_false(parent_before(name, "e1", "e1"));
        before += parent_before(name, "e1", "e2");
    }
    assert_in_range(before, 400, 600);
    assert_int_not_equal(parent_rank("a", "bc"), parent_rank("ab", "c"));
    /* It is part of what nodes of different versions agree on. */
    assert_int_equal(parent_rank(NAME, "e1"), 0x92cbb348101ad639U);
}

static void paths_are_counted(void **state)
{
    assert_int_equal(parent_path_nodes("", "e1"), 0);
    assert_int_equal(parent_path_nodes("o1", "e1"), 1);
    assert_int_equal(parent_path_nodes("o1,e11,1e", "e1"), 3);
    assert_int_equal(parent_path_nodes("o1,e1", "e1"), -1);
    assert_int_equal(parent_path_nodes("e1", "e1"), -1);
}

/* Names such that first is before self, and self before last. */
static const char *names[3];

static void order_names(void)
{
    static const char *const all[] = {"e1", "e2", "e3"};
    memcpy(names, all, sizeof all);
    for (int i = 0; i < 3; i++)
        for (int j = i + 1; j < 3; j++)
            if (parent_before(NAME, names[j], names[i])) {
                const char *swap = names[i];
                names[i] = names[j];
                names[j] = swap;
            }
}

static void the_best_is_chosen(void **state)
{
    order_names();
    const char *first = names[0], *self = names[1], *last = names[2];
    char through_us[64];
    snprintf(through_us, sizeof through_us, "o1,%s,x", self);
#define FED(where)                                                                                 \
    {                                                                                              \
        .held = true, .fed = true, .epoch = 7, .path = where                                       \
    }
    const struct probe_answer nothing = {0}, waits = {.wanted = true}, near = FED("o1,x"),
                              deep = FED("o1,a,x"), deepest = FED("o1,a,b,x"),
                              too_deep = FED("o1,a,b,c,x"), silent = FED(""),
                              lost = {.held = true, .epoch = 7, .path = "o1,x"},
                              old = {.held = true, .fed = true, .epoch = 6, .path = "o1,x"};
    struct probe_answer ring = {.held = true, .fed = true, .epoch = 7};
    memcpy(ring.path, through_us, sizeof through_us);
    const struct {
        enum parent_mood mood;
        const struct probe_answer *first, *last;
        const char *chosen;
    } table[] = {
        {PARENT_START, &nothing, &nothing, NULL}, {PARENT_START, &nothing, &near, last},
        {PARENT_START, &near, &near, first},      {PARENT_START, &deep, &near, last},
        {PARENT_START, &waits, &deepest, last},   {PARENT_START, &waits, &nothing, first},
        {PARENT_START, &nothing, &waits, NULL},   {PARENT_START, &too_deep, &nothing, NULL},
        {PARENT_START, &ring, &nothing, NULL},    {PARENT_START, &lost, &old, NULL},
        {PARENT_START, &silent, &nothing, NULL},  {PARENT_MOVE, &near, &nothing, first},
        {PARENT_MOVE, &nothing, &near, NULL},     {PARENT_MOVE, &waits, &near, NULL},
        {PARENT_MOVE, &ring, &nothing, NULL},     {PARENT_SHORTEN, &nothing, &near, last},
        {PARENT_SHORTEN, &ring, &lost, NULL},     {PARENT_ANY, &nothing, &near, last},
        {PARENT_ANY, &waits, &nothing, NULL},     {PARENT_ANY, &lost, &deep, last},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct parent_wish wish = {table[i].mood, self, NAME, 7, RELAY_HOPS_MAX - 1};
        const struct parent_candidate list[] = {{last, table[i].last}, {first, table[i].first}};
        int at = parent_choose(&wish, list, 2);
        const char *chosen = at < 0 ? NULL : list[at].node;
        if (chosen != table[i].chosen)
            fail_msg("row %zu: %s", i, chosen != NULL ? chosen : "none");
    }
}

/* --- many nodes that choose --- */

#define NODES 8
enum { OWNER = -1, NOBODY = -2 };

struct zone {
    char ids[NODES][8];
    int parent[NODES]; /* NOBODY: does not want the stream */
    bool cut[NODES];   /* the owner cannot be reached from there */
    unsigned seed;
};

static int random_of(struct zone *z, int n)
{
    z->seed = z->seed * 1103515245 + 12345;
    return (int)(z->seed >> 16) % n;
}

/* Links up to the owner, -1 without a way there; a ring fails the test. */
static int depth(const struct zone *z, int i)
{
    int links = 1;
    for (; z->parent[i] >= 0; links++) {
        i = z->parent[i];
        assert_true(links <= NODES);
    }
    return z->parent[i] == OWNER && !z->cut[i] ? links : -1;
}

static void answer_of(const struct zone *z, int i, struct probe_answer *a)
{
    *a = (struct probe_answer){0};
    if (z->parent[i] == NOBODY)
        return;
    int links = depth(z, i);
    a->held = a->fed = links > 0;
    a->wanted = links < 0;
    a->epoch = 7;
    if (links < 0)
        return;
    char path[PROBE_PATH_MAX] = "";
    for (int at = i; at >= 0; at = z->parent[at]) {
        char longer[PROBE_PATH_MAX + 16];
        snprintf(longer, sizeof longer, ",%s%s", z->ids[at], path);
        memcpy(path, longer, sizeof path);
    }
    snprintf(a->path, sizeof a->path, "o1%.*s", (int)sizeof a->path - 4, path);
}

static int choose(const struct zone *z, int self, enum parent_mood mood, int hops_max)
{
    struct probe_answer answers[NODES];
    struct parent_candidate list[NODES];
    int index[NODES];
    size_t count = 0;
    for (int i = 0; i < NODES; i++) {
        if (i == self)
            continue;
        answer_of(z, i, &answers[i]);
        index[count] = i;
        list[count++] = (struct parent_candidate){z->ids[i], &answers[i]};
    }
    const struct parent_wish wish = {mood, z->ids[self], NAME, 7, hops_max};
    int at = parent_choose(&wish, list, count);
    return at < 0 ? NOBODY : index[at];
}

static void leave(struct zone *z, int i)
{
    z->parent[i] = NOBODY;
    for (int child = 0; child < NODES; child++)
        if (z->parent[child] == i)
            z->parent[child] = OWNER;
}

static void move(struct zone *z, int i)
{
    int links = z->parent[i] == NOBODY ? -1 : depth(z, i), chosen = NOBODY;
    if (links == 1)
        chosen = choose(z, i, PARENT_MOVE, 1);
    else if (links > 2)
        chosen = choose(z, i, PARENT_SHORTEN, links - 2);
    if (chosen != NOBODY)
        z->parent[i] = chosen;
}

static void step(struct zone *z)
{
    int i = random_of(z, NODES), chosen;
    switch (random_of(z, 5)) {
    case 0:
        chosen =
            z->parent[i] == NOBODY ? choose(z, i, PARENT_START, RELAY_HOPS_MAX - 1) : z->parent[i];
        z->parent[i] = chosen == NOBODY ? OWNER : chosen;
        break;
    case 1:
        move(z, i);
        break;
    case 2:
        if (z->parent[i] == OWNER && depth(z, i) < 0 &&
            (chosen = choose(z, i, PARENT_ANY, RELAY_HOPS_MAX - 1)) != NOBODY)
            z->parent[i] = chosen;
        break;
    case 3:
        if (random_of(z, 4) == 0)
            leave(z, i);
        break;
    case 4:
        if (random_of(z, 4) == 0)
            z->cut[i] = !z->cut[i];
        break;
    }
}

static void no_ring_forms(void **state)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct zone z = {.seed = seed};
        for (int i = 0; i < NODES; i++) {
            snprintf(z.ids[i], sizeof z.ids[i], "e%u.%d", seed, i);
            z.parent[i] = NOBODY;
        }
        for (int n = 0; n < 1000; n++) {
            step(&z);
            for (int i = 0; i < NODES; i++)
                (void)depth(&z, i);
        }
        /* Nothing fails any more: one of them asks the owner, and the others that one. */
        memset(z.cut, 0, sizeof z.cut);
        for (int i = 0; i < NODES; i++)
            z.parent[i] = z.parent[i] == NOBODY ? OWNER : z.parent[i];
        for (int round = 0; round < NODES; round++)
            for (int i = 0; i < NODES; i++)
                move(&z, i);
        int direct = 0;
        for (int i = 0; i < NODES; i++)
            direct += z.parent[i] == OWNER;
        assert_int_equal(direct, 1);
        for (int i = 0; i < NODES; i++)
            assert_in_range(depth(&z, i), 1, 2);
    }
}

/* All begin in the same moment, and see of each other only that they wait. */
static void who_begin_together_wait_for_one(void **state)
{
    const struct probe_answer waits = {.wanted = true};
    struct parent_candidate list[NODES];
    char ids[NODES][8];
    int owners = 0;
    for (int i = 0; i < NODES; i++) {
        snprintf(ids[i], sizeof ids[i], "e%d", i);
        list[i] = (struct parent_candidate){ids[i], &waits};
    }
    for (int i = 0; i < NODES; i++) {
        const struct parent_wish wish = {PARENT_START, ids[i], NAME, 7, RELAY_HOPS_MAX - 1};
        int at = parent_choose(&wish, list, NODES);
        owners += at < 0;
        assert_true(at < 0 || parent_before(NAME, ids[at], ids[i]));
    }
    assert_int_equal(owners, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_the_same_for_all_and_differs_by_stream),
        cmocka_unit_test(paths_are_counted),
        cmocka_unit_test(the_best_is_chosen),
        cmocka_unit_test(no_ring_forms),
        cmocka_unit_test(who_begin_together_wait_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
