#include "test.h"

#include "base/base64.h"
#include "base/err.h"

static const struct {
    const char *text, *bytes;
    int n;
} rows[] = {
    {"", "", 0},
    {"Zg==", "f", 1},
    {"Zm8=", "fo", 2},
    {"Zm9v", "foo", 3},
    {"Zm9vYg==", "foob", 4},
    {"Zg", "f", 1},
    {"Zm8", "fo", 2},
    {"Zm9vYmFy", "foobar", 6},
    {"+/+/", "\xfb\xff\xbf", 3},
    {"Zm9vYmFyZg==", NULL, ERR_TOO_LARGE},
    {"Z", NULL, ERR_TYPE},
    {"Zm9vY", NULL, ERR_TYPE},
    {"Zg=", NULL, ERR_TYPE},
    {"====", NULL, ERR_TYPE},
    {"Zm 9", NULL, ERR_TYPE},
    {"Zm-_", NULL, ERR_TYPE},
    {"=Zg=", NULL, ERR_TYPE},
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t out[6];
        int n = base64_decode(slice_text(rows[i].text), out, sizeof out);
        if (n != rows[i].n)
            fail_msg("%s: %d, not %d", rows[i].text, n, rows[i].n);
        if (n > 0)
            assert_memory_equal(out, rows[i].bytes, (size_t)n);
    }
}

/* Of every length the bytes come back, and one byte less of room is refused. */
static void test_room(void **state)
{
    static const char text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    uint8_t out[24];
    for (size_t len = 0; len < sizeof text; len++) {
        if (len % 4 == 1)
            continue;
        size_t n = len * 6 / 8;
        assert_int_equal(base64_decode(slice_of(text, len), out, n), n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(out[i], i);
        if (n > 0)
            assert_int_equal(base64_decode(slice_of(text, len), out, n - 1), ERR_TOO_LARGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
