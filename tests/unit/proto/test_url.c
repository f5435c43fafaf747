#include "test.h"

#include "base/err.h"
#include "proto/url.h"

#define TEXT_ROOM 32

static void assert_slice(const char *what, struct slice have, const char *want)
{
    if (!slice_is(have, want))
        fail_msg("%s: \"%.*s\", not \"%s\"", what, SLICE_ARG(have), want);
}

static void paths(void **state)
{
    static const struct {
        const char *raw;
        int want; /* 0 or an error */
        const char *text;
    } cases[] = {
        {"/", 0, "/"},
        {"/live/cam1.flv", 0, "/live/cam1.flv"},
        {"/live/cam1/", 0, "/live/cam1/"},
        {"/%6cive/c%61m1", 0, "/live/cam1"},
        {"/a%3Fb%23c", 0, "/a?b#c"},
        {"/a%25b", 0, "/a%b"},
        {"/a+b", 0, "/a+b"},
        {"/a..b/.c/d.", 0, "/a..b/.c/d."},
        {"/...", 0, "/..."},
        {"", ERR_PROTOCOL, ""},
        {"live", ERR_PROTOCOL, ""},
        {"*", ERR_PROTOCOL, ""},
        {"%2f", ERR_PROTOCOL, ""},
        {"/%", ERR_PROTOCOL, ""},
        {"/%4", ERR_PROTOCOL, ""},
        {"/%4g", ERR_PROTOCOL, ""},
        {"/%g4", ERR_PROTOCOL, ""},
        {"/%-1", ERR_PROTOCOL, ""},
        {"/%u0041", ERR_PROTOCOL, ""},
        {"/a%00", ERR_PROTOCOL, ""},
        {"/a%00.flv", ERR_PROTOCOL, ""},
        {"/a%01", ERR_NAME, ""},
        {"/a%0d%0a", ERR_NAME, ""},
        {"/a%7f", ERR_NAME, ""},
        {"/a b", ERR_NAME, ""},
        {"/a%20b", ERR_NAME, ""},
        {"/%c3%a9", ERR_NAME, ""},
        {"/\xc3\xa9", ERR_NAME, ""},
        {"/%c0%ae%c0%ae/", ERR_NAME, ""},
        {"/a\\b", ERR_NAME, ""},
        {"/a%5cb", ERR_NAME, ""},
        {"/a%2fb", ERR_NAME, ""},
        {"/..%2f..%2fetc", ERR_NAME, ""},
        {"/a?b", ERR_NAME, ""},
        {"/a#b", ERR_NAME, ""},
        {"//", ERR_NAME, ""},
        {"//a", ERR_NAME, ""},
        {"/a//b", ERR_NAME, ""},
        {"/a//", ERR_NAME, ""},
        {"/.", ERR_NAME, ""},
        {"/./a", ERR_NAME, ""},
        {"/..", ERR_NAME, ""},
        {"/a/../b", ERR_NAME, ""},
        {"/%2e%2e/a", ERR_NAME, ""},
        {"/.%2e", ERR_NAME, ""},
        {"/a/%2e/b", ERR_NAME, ""},
        {"/456789012345678901234567890123", 0, "/456789012345678901234567890123"},
        {"/4567890123456789012345678901234", ERR_TOO_LARGE, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[TEXT_ROOM];
        ssize_t n = url_path_decode(slice_text(cases[i].raw), text, sizeof text);
        if (n != (cases[i].want < 0 ? cases[i].want : (ssize_t)strlen(cases[i].text)))
            fail_msg("%s: %zd", cases[i].raw, n);
        assert_string_equal(text, cases[i].text);
    }
}

static void queries(void **state)
{
    struct slice query = slice_text("&a=1&&b=&c&d=x=y&a=2&=e&"), key, value;
    static const char *const pairs[][2] = {{"a", "1"},   {"b", ""},  {"c", ""},
                                           {"d", "x=y"}, {"a", "2"}, {"", "e"}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        assert_true(url_query_next(&query, &key, &value));
        assert_slice("key", key, pairs[i][0]);
        assert_slice("value", value, pairs[i][1]);
        assert_non_null(value.p);
    }
    assert_false(url_query_next(&query, &key, &value));

    query = slice_text("token=a%2fb+c&empty&bad=%zz&nul=%00&line=%0a&long=0123456789");
    char text[8];
    assert_int_equal(url_query_get(query, "token", text, sizeof text), 5);
    assert_string_equal(text, "a/b+c");
    assert_int_equal(url_query_get(query, "empty", text, sizeof text), 0);
    assert_int_equal(url_query_get(query, "Token", text, sizeof text), ERR_NOT_FOUND);
    assert_string_equal(text, "");
    assert_int_equal(url_query_get(query, "bad", text, sizeof text), ERR_PROTOCOL);
    assert_int_equal(url_query_get(query, "nul", text, sizeof text), ERR_PROTOCOL);
    assert_int_equal(url_query_get(query, "line", text, sizeof text), ERR_NAME);
    assert_int_equal(url_query_get(query, "long", text, sizeof text), ERR_TOO_LARGE);
    assert_string_equal(text, "");
    assert_slice("raw", url_query_find(query, "token"), "a%2fb+c");
    assert_null(url_query_find(query, "tok").p);
    assert_null(url_query_find(slice_of(NULL, 0), "tok").p);
    assert_int_equal(url_value_decode(slice_text("%C3%a9"), text, sizeof text), 2);
    assert_string_equal(text, "\xc3\xa9");
}

static void rtmp_names(void **state)
{
    static const struct {
        const char *app, *name, *instance, *query;
    } cases[] = {
        {"live", "live", "", ""},
        {"live/", "live", "", ""},
        {"live/inst", "live", "inst", ""},
        {"live/a/b?vhost=v", "live", "a/b", "vhost=v"},
        {"live?token=a/b?c&d=%20", "live", "", "token=a/b?c&d=%20"},
        {"?x", "", "", "x"},
        {"/live", "", "live", ""},
        {"", "", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice instance, query;
        struct slice name = url_rtmp_app(slice_text(cases[i].app), &instance, &query);
        assert_slice(cases[i].app, name, cases[i].name);
        assert_slice(cases[i].app, instance, cases[i].instance);
        assert_slice(cases[i].app, query, cases[i].query);
    }
    struct slice query;
    assert_slice("stream", url_cut_query(slice_text("s1?token=abc&vhost=v.example?"), &query),
                 "s1");
    assert_slice("query", query, "token=abc&vhost=v.example?");
}

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *path;
        int want;
        const char *captures[3];
    } cases[] = {
        {"/", "/", 0, {0}},
        {"/healthz", "/healthz", 0, {0}},
        {"/healthz", "/healthz/", ERR_NOT_FOUND, {0}},
        {"/healthz", "/healthy", ERR_NOT_FOUND, {0}},
        {"/healthz", "/", ERR_NOT_FOUND, {0}},
        {"/healthz", "", ERR_NOT_FOUND, {0}},
        {"/*/*.flv", "/live/cam1.flv", 2, {"live", "cam1"}},
        {"/*/*.flv", "/live/a.flv.flv", 2, {"live", "a.flv"}},
        {"/*/*.flv", "/live/.flv", ERR_NOT_FOUND, {0}},
        {"/*/*.flv", "/live/cam1.flvx", ERR_NOT_FOUND, {0}},
        {"/*/*.flv", "/live/x/cam1.flv", ERR_NOT_FOUND, {0}},
        {"/*/*.flv", "/cam1.flv", ERR_NOT_FOUND, {0}},
        {"/*/*/", "/live/cam1/", 2, {"live", "cam1"}},
        {"/*/*/", "/live/cam1", ERR_NOT_FOUND, {0}},
        {"/*/*", "/live/cam1/", ERR_NOT_FOUND, {0}},
        {"/*/*", "/live/", ERR_NOT_FOUND, {0}},
        {"/relay/v1/*/*/want", "/relay/v1/live/cam1/want", 2, {"live", "cam1"}},
        {"/*/*/v*.m3u8", "/live/cam1/v12.m3u8", 3, {"live", "cam1", "12"}},
        {"/*/*/v*.m3u8", "/live/cam1/v.m3u8", ERR_NOT_FOUND, {0}},
        {"/a*a", "/aa", ERR_NOT_FOUND, {0}},
        {"/a*a", "/aba", 1, {"b"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice captures[3];
        int n = url_match(cases[i].pattern, slice_text(cases[i].path), captures, 3);
        if (n != cases[i].want)
            fail_msg("%s on %s: %d", cases[i].pattern, cases[i].path, n);
        for (int k = 0; k < n; k++)
            assert_slice(cases[i].path, captures[k], cases[i].captures[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(queries),
        cmocka_unit_test(rtmp_names),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
