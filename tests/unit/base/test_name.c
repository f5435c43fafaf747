#include "test.h"

#include "base/err.h"
#include "base/name.h"

#include <string.h>

static void names_are_accepted_or_refused(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"live/cam1", true},
        {"a/b", true},
        {"_x/-y", true},
        {"live/cam.1-x_y", true},
        {"live/0", true},
        {"cam1", false},
        {"", false},
        {"/", false},
        {"live/", false},
        {"/cam1", false},
        {"live/cam1/x", false},
        {"live/.cam", false},
        {".live/cam", false},
        {"live/a..b", false},
        {"live/..", false},
        {"live/a b", false},
        {"live/a%20b", false},
        {"live/a\nb", false},
        {"live/caf\xc3\xa9", false},
        {"live/a{b}", false},
        {"live/a*", false},
        {"api/x", false},
        {"rtc/x", false},
        {"relay/x", false},
        {"apix/x", true},
        {"live/api", true},
        {"live/x.flv", false},
        {"live/x.m3u8", false},
        {"live/x.flv2", true},
        {"live/a?b", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[NAME_STREAM_MAX + 1];
        int err = name_stream_of(slice_text(cases[i].text), out);
        if ((err == 0) != cases[i].ok || (err < 0 && (err != ERR_NAME || out[0] != '\0')))
            fail_msg("\"%s\": %d", cases[i].text, err);
        if (cases[i].ok)
            assert_string_equal(out, cases[i].text);
    }
}

static void parts_have_a_length(void **state)
{
    char longest[NAME_PART_MAX + 2];
    memset(longest, 'x', sizeof longest);
    char out[NAME_STREAM_MAX + 1];
    struct slice ok = slice_of(longest, NAME_PART_MAX), over = slice_of(longest, NAME_PART_MAX + 1);
    assert_int_equal(name_stream(ok, ok, out), 0);
    assert_int_equal(strlen(out), NAME_STREAM_MAX - NAME_DERIVED_MAX);
    assert_int_equal(name_stream(over, ok, out), ERR_NAME);
    assert_int_equal(name_stream(ok, over, out), ERR_NAME);
}

static void derived_names(void **state)
{
    char out[NAME_STREAM_MAX + 1], base[NAME_STREAM_MAX + 1];
    const char *d;
    for (size_t i = 0; (d = name_derivation_at(i)) != NULL; i++) {
        name_derive("live/cam1", d, out);
        assert_string_equal(name_derivation(out), d);
        name_base(out, base);
        assert_string_equal(base, "live/cam1");
        struct slice stream, app = slice_cut(slice_text(out), '/', &stream, NULL);
        assert_int_equal(name_stream_or_derived(app, stream, base), 0);
        assert_string_equal(base, out);
        assert_int_equal(name_stream(app, stream, base), ERR_NAME);
        assert_true(strlen(d) < NAME_DERIVED_MAX);
    }
    struct slice app = slice_text("live");
    assert_int_equal(name_stream_or_derived(app, slice_text("cam1"), out), 0);
    assert_null(name_derivation(out));
    static const char *const bad[] = {"cam1;", "cam1;mp3", ";opus", "cam1;opus;aac", "a/b;opus"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(name_stream_or_derived(app, slice_text(bad[i]), out), ERR_NAME);
}

static void nodes_have_names(void **state)
{
    assert_true(name_node_ok(slice_text("o1")));
    assert_true(name_node_ok(slice_text(".a_b-C.9")));
    assert_false(name_node_ok(slice_text("")));
    assert_false(name_node_ok(slice_text("a/b")));
    assert_false(name_node_ok(slice_text("a b")));
    char over[NAME_NODE_MAX + 1];
    memset(over, 'n', sizeof over);
    assert_false(name_node_ok(slice_of(over, sizeof over)));
    assert_true(name_node_ok(slice_of(over, NAME_NODE_MAX)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_accepted_or_refused),
        cmocka_unit_test(parts_have_a_length),
        cmocka_unit_test(derived_names),
        cmocka_unit_test(nodes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
