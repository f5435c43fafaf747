#include "test.h"

#include "base/err.h"
#include "core/json.h"

#include <stdlib.h>
#include <string.h>

static void test_refusals(void **state)
{
    static const struct {
        const char *what, *text;
        bool ok;
    } cases[] = {
        {"object", "{\"a\":[1,2,{\"b\":null}]}", true},
        {"brackets in a string", "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}", true},
        {"escaped quote in a string", "{\"a\":\"\\\"[\"}", true},
        {"nothing", "", false},
        {"duplicate", "{\"a\":1,\"a\":2}", false},
        {"cut", "{\"a\":1", false},
        {"more after it", "{} {}", false},
        {"not UTF-8", "{\"a\":\"\xff\"}", false},
        {"zero byte", "{\"a\":\"\\u0000\"}", false},
        {"bare value", "1", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *j = json_parse(slice_text(cases[i].text));
        if ((j != NULL) != cases[i].ok)
            fail_msg("%s", cases[i].what);
        json_decref(j);
    }
}

static json_t *parse_nested(size_t depth)
{
    char text[256];
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return json_parse(slice_of(text, 2 * depth));
}

static void test_depth_and_size(void **state)
{
    json_t *deepest = parse_nested(32);
    assert_non_null(deepest);
    json_decref(deepest);
    assert_null(parse_nested(33));

    char *text = malloc(JSON_INPUT_MAX + 1);
    memset(text, ' ', JSON_INPUT_MAX + 1);
    text[0] = '[';
    text[1] = ']';
    json_t *largest = json_parse(slice_of(text, JSON_INPUT_MAX));
    assert_non_null(largest);
    json_decref(largest);
    assert_null(json_parse(slice_of(text, JSON_INPUT_MAX + 1)));
    free(text);
}

static void test_print(void **state)
{
    struct buf out;
    buf_init(&out, 16);
    json_t *j = json_parse(slice_text("{ \"a\": [1, true] }"));
    assert_int_equal(json_print(j, &out), 0);
    assert_int_equal(json_print(j, &out), ERR_TOO_LARGE); /* and nothing more is in it */
    assert_int_equal(buf_len(&out), 14);
    assert_memory_equal(buf_slice(&out).p, "{\"a\":[1,true]}", 14);
    json_decref(j);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_depth_and_size),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
