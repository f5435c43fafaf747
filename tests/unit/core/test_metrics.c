#include "test.h"

#include "base/err.h"
#include "core/metrics.h"
#include "core/process.h"

#include <string.h>
#include <sys/resource.h>

#define TEXT_MAX 65536

static char *printed(const struct metrics *m, char text[TEXT_MAX])
{
    static const struct metric_extra extra[] = {{"frames_alive", "Frames in memory", 12}};
    struct buf out;
    buf_init(&out, TEXT_MAX);
    assert_int_equal(metrics_print(m, extra, COUNT_OF(extra), &out), 0);
    assert_true(slice_copy(buf_slice(&out), text, TEXT_MAX));
    buf_fini(&out);
    return text;
}

static void test_sum(void **state)
{
    struct metrics a = {0}, b = {0}, sum = {0};
    METRIC_ADD(a.bytes_in_total, 100);
    METRIC_INC(b.bytes_in_total);
    METRIC_SET(a.connections_open, 3);
    METRIC_SET(b.connections_open, 4);
    METRIC_SET(a.load_percent, 20);
    METRIC_SET(b.load_percent, 10);
    METRIC_SET(b.clock_offset_ms_max, 9);
    METRIC_INC(a.closed[CLOSE_TOO_SLOW]);
    METRIC_INC(b.closed[CLOSE_TOO_SLOW]);
    metrics_add(&sum, &a);
    metrics_add(&sum, &b);
    assert_int_equal(sum.bytes_in_total, 101);
    assert_int_equal(sum.connections_open, 7);
    assert_int_equal(sum.load_percent, 20);
    assert_int_equal(sum.clock_offset_ms_max, 9);
    assert_int_equal(sum.closed[CLOSE_TOO_SLOW], 2);
}

static void test_text(void **state)
{
    static const char *const wanted[] = {
        "# HELP sluice_bytes_in_total Bytes read from peers\n# TYPE sluice_bytes_in_total counter\n"
        "sluice_bytes_in_total 7\n",
        "# TYPE sluice_pulls gauge\nsluice_pulls -1\n",
        "# TYPE sluice_closed_total counter\nsluice_closed_total{reason=\"peer_closed\"} 0\n",
        "\nsluice_closed_total{reason=\"stalled\"} 2\n",
        "# HELP sluice_frames_alive Frames in memory\n# TYPE sluice_frames_alive gauge\n"
        "sluice_frames_alive 12\n",
        "\nprocess_resident_memory_bytes ",
        "\nprocess_open_fds ",
        "\nprocess_start_time_seconds ",
        "\nsluice_build_info{version=\"",
    };
    char text[TEXT_MAX];
    struct metrics m = {.bytes_in_total = 7, .pulls = -1};
    m.closed[CLOSE_STALLED] = 2;
    printed(&m, text);
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        if (strstr(text, wanted[i]) == NULL)
            fail_msg("missing: %s", wanted[i]);
}

/* Every family has its two comment lines and every other line is "name value" or "name{…} value".
 */
static void test_lines(void **state)
{
    char text[TEXT_MAX];
    struct metrics m = {0};
    char *rest = printed(&m, text);
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        if (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0)
            continue;
        const char *space = strrchr(line, ' ');
        assert_non_null(space);
        assert_true(strspn(line, "abcdefghijklmnopqrstuvwxyz_") > 4);
        assert_int_equal(strspn(space + 1, "-0123456789"), strlen(space + 1));
    }
}

static void test_too_small(void **state)
{
    struct metrics m = {0};
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(metrics_print(&m, NULL, 0, &out), ERR_TOO_LARGE);
    buf_fini(&out);
}

static void test_process_values(void **state)
{
    const char *what;
    struct rlimit files;
    assert_true(process_rss_bytes() > 100000);
    assert_true(process_open_fds() >= 3);
    assert_true(process_start_unix_s() > 1600000000);
    assert_true(process_memory_limit() > 1 << 20);
    assert_int_equal(process_check_libraries(&what), 0);
    assert_null(what);
    process_setup();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_true(files.rlim_cur == files.rlim_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_process_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
