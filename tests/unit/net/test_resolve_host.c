#include "net_test.h"

#include "net/resolve_host.h"

struct answer {
    int count;
    bool found;
    char text[NET_ADDRESS_TEXT_MAX];
};

static void on_done(const struct net_address *found, void *arg)
{
    struct answer *a = arg;
    a->count++;
    a->found = found != NULL;
    if (found != NULL)
        net_address_text(found, a->text);
}

static void addresses_become_numbers(void **state)
{
    static const struct {
        const char *address, *text; /* NULL: nothing is found */
    } table[] = {
        {"127.0.0.1:7000", "127.0.0.1:7000"},
        {"[::1]:7001", "[::1]:7001"},
        {"localhost", NULL},
        {"localhost:", NULL},
        {"localhost:65536", NULL},
        {"", NULL},
    };
    struct net_fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct answer a = {0};
        host_lookup_start(f.w, table[i].address, on_done, &a);
        assert_int_equal(a.count, 0); /* never from inside */
        TURN_UNTIL(&f, a.count == 1);
        assert_int_equal(a.found, table[i].text != NULL);
        if (a.found)
            assert_string_equal(a.text, table[i].text);
    }
    fixture_close(&f);
}

static void names_of_the_hosts_file_are_found(void **state)
{
    struct net_fixture f;
    struct answer a = {0};
    fixture_open(&f);
    host_lookup_start(f.w, "localhost:7000", on_done, &a);
    TURN_UNTIL(&f, a.count == 1);
    assert_true(a.found);
    assert_true(strcmp(a.text, "127.0.0.1:7000") == 0 || strcmp(a.text, "[::1]:7000") == 0);
    fixture_close(&f);
}

struct all {
    int calls;
    size_t count;
    uint16_t port;
};

static void on_all(const struct net_address *found, size_t count, void *arg)
{
    struct all *a = arg;
    a->calls++;
    a->count = count;
    for (size_t i = 0; i < count; i++)
        a->port = net_address_port(&found[i]);
}

static void all_addresses_are_found(void **state)
{
    static const struct {
        const char *address;
        size_t least; /* 0: none */
    } table[] = {{"127.0.0.1:7000", 1}, {"[::1]:7000", 1}, {"localhost:7000", 1}, {"", 0}};
    struct net_fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct all a = {0};
        host_lookup_all_start(f.w, table[i].address, on_all, &a);
        assert_int_equal(a.calls, 0);
        TURN_UNTIL(&f, a.calls == 1);
        assert_true(table[i].least == 0 ? a.count == 0 : a.count >= table[i].least);
        assert_int_equal(a.port, table[i].least > 0 ? 7000 : 0);
    }
    struct all a = {0};
    struct host_lookup *h = host_lookup_all_start(f.w, "localhost:7000", on_all, &a);
    host_lookup_cancel(&h);
    for (int turn = 0; turn < 20; turn++)
        fixture_turn(&f);
    assert_int_equal(a.calls, 0);
    fixture_close(&f);
}

static void who_cancels_hears_nothing(void **state)
{
    static const char *const table[] = {"127.0.0.1:7000", "localhost:7000", "nobody.invalid:7000"};
    struct net_fixture f;
    struct answer a = {0};
    fixture_open(&f);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct host_lookup *h = host_lookup_start(f.w, table[i], on_done, &a);
        host_lookup_cancel(&h);
        assert_null(h);
        host_lookup_cancel(&h);
        for (int turn = 0; turn < 20; turn++)
            fixture_turn(&f);
    }
    assert_int_equal(a.count, 0);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_become_numbers),
        cmocka_unit_test(names_of_the_hosts_file_are_found),
        cmocka_unit_test(all_addresses_are_found),
        cmocka_unit_test(who_cancels_hears_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
