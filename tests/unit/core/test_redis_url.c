#include "test.h"

#include "core/redis_url.h"

#include <string.h>

static void takes_what_is_documented(void **state)
{
    static const struct {
        const char *text, *host, *user, *password;
        int port, db;
        bool tls;
    } cases[] = {
        {"redis://127.0.0.1:6379/0", "127.0.0.1", "", "", 6379, 0, false},
        {"redis://h", "h", "", "", 6379, 0, false},
        {"redis://h/", "h", "", "", 6379, 0, false},
        {"redis://:pw@h:1/15", "h", "", "pw", 1, 15, false},
        {"redis://origin:p%40ss%3a@h.example:65535", "h.example", "origin", "p@ss:", 65535, 0,
         false},
        {"redis://[::1]:7000/3", "::1", "", "", 7000, 3, false},
        {"redis://[fe80::1]", "fe80::1", "", "", 6379, 0, false},
        {"rediss://h:6380", "h", "", "", 6380, 0, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct redis_url u;
        const char *why;
        print_message("%s\n", cases[i].text);
        assert_int_equal(redis_url_parse(cases[i].text, &u, &why), 0);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.user, cases[i].user);
        assert_string_equal(u.password, cases[i].password);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.db, cases[i].db);
        assert_int_equal(u.tls, cases[i].tls);
    }
}

static void refuses_and_names_the_part(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "scheme"},
        {"http://h", "scheme"},
        {"redis:/h", "scheme"},
        {"redis://", "host"},
        {"redis://a b", "host"},
        {"redis://[::1", "host"},
        {"redis://[::1]x", "host"},
        {"redis://h:0", "port"},
        {"redis://h:65536", "port"},
        {"redis://h:", "port"},
        {"redis://h:+1", "port"},
        {"redis://h/16", "database"},
        {"redis://h/x", "database"},
        {"redis://user@h", "password"},
        {"redis://u:@h", "password"},
        {"redis://u:%zz@h", "password"},
        {"redis://u:%0@h", "password"},
        {"redis://u:a%00b@h", "password"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct redis_url u;
        const char *why;
        print_message("%s\n", cases[i].text);
        assert_true(redis_url_parse(cases[i].text, &u, &why) < 0);
        assert_non_null(strstr(why, cases[i].why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_documented),
        cmocka_unit_test(refuses_and_names_the_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
