#include "test.h"

#include "base/err.h"
#include "proto/hls_name.h"

#define E "1795404426681057"

static void names_read(void **state)
{
    static const struct {
        const char *text;
        struct hls_object want;
    } cases[] = {
        {"index.m3u8", {.kind = HLS_MULTIVARIANT}},
        {"main.m3u8", {.kind = HLS_PLAYLIST, .rendition = {HLS_MAIN, 0}}},
        {"v0.m3u8", {.kind = HLS_PLAYLIST, .rendition = {HLS_VIDEO, 0}}},
        {"v15.m3u8", {.kind = HLS_PLAYLIST, .rendition = {HLS_VIDEO, 15}}},
        {"a2.m3u8", {.kind = HLS_PLAYLIST, .rendition = {HLS_AUDIO, 2}}},
        {"main-" E "-7.m4s", {HLS_SEGMENT, {HLS_MAIN, 0}, 1795404426681057, 7, 0, 0}},
        {"a1-0-0.m4s", {HLS_SEGMENT, {HLS_AUDIO, 1}, 0, 0, 0, 0}},
        {"v1-18446744073709551615-9007199254740992.1023.m4s",
         {HLS_PART, {HLS_VIDEO, 1}, UINT64_MAX, HLS_MSN_MAX, 1023, 0}},
        {"main-" E "-7.0.m4s", {HLS_PART, {HLS_MAIN, 0}, 1795404426681057, 7, 0, 0}},
        {"main-00ff00000000000a.mp4", {HLS_INIT, {HLS_MAIN, 0}, 0, 0, 0, 0x00ff00000000000a}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hls_object have;
        char text[HLS_NAME_MAX];
        if (hls_name_read(slice_text(cases[i].text), &have) != 0)
            fail_msg("%s is refused", cases[i].text);
        const struct hls_object *want = &cases[i].want;
        assert_int_equal(have.kind, want->kind);
        assert_int_equal(have.rendition.kind, want->rendition.kind);
        assert_int_equal(have.rendition.track, want->rendition.track);
        assert_int_equal(have.epoch, want->epoch);
        assert_int_equal(have.msn, want->msn);
        assert_int_equal(have.part, want->part);
        assert_int_equal(have.hash, want->hash);
        assert_int_equal(hls_name_write(&have, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

static void names_refused(void **state)
{
    static const char *const cases[] = {
        "",
        ".m3u8",
        ".m4s",
        "main",
        "main.m4s",
        "main.mp4",
        "main.M3U8",
        "Main.m3u8",
        "index",
        "index-1-2.m4s",
        "v.m3u8",
        "v16.m3u8",
        "v01.m3u8",
        "b1.m3u8",
        "main1.m3u8",
        "main-.m4s",
        "main-1.m4s",
        "main-1-.m4s",
        "main--1.m4s",
        "main-1-2-3.m4s",
        "main-01-2.m4s",
        "main-1-02.m4s",
        "main-1-2.03.m4s",
        "main-1-2..m4s",
        "main-1-2.3.4.m4s",
        "main-1-2.1024.m4s",
        "main-1-9007199254740993.m4s",
        "main-18446744073709551616-2.m4s",
        "main-+1-2.m4s",
        "main-1-2.m4s ",
        "main-1-2.mp4",
        "main-00FF00000000000A.mp4",
        "main-00ff0000000000.mp4",
        "main-00ff00000000000a0.mp4",
        "main-1111111111111111111111111111111111111111111111111111111111111-2.m4s",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hls_object o;
        if (hls_name_read(slice_text(cases[i]), &o) != ERR_NAME)
            fail_msg("%s is taken", cases[i]);
    }
}

static void directives_read(void **state)
{
    static const struct {
        const char *query;
        int want;
        struct hls_directives d;
    } cases[] = {
        {"", 0, {0}},
        {"token=x&_HLS_msn", ERR_PROTOCOL, {0}},
        {"_HLS_msn=12", 0, {.has_msn = true, .msn = 12}},
        {"token=x&_HLS_msn=12&_HLS_part=3",
         0,
         {.has_msn = true, .has_part = true, .msn = 12, .part = 3}},
        {"_HLS_part=3&_HLS_msn=12&_HLS_skip=YES",
         0,
         {.has_msn = true, .has_part = true, .skip = true, .msn = 12, .part = 3}},
        {"_HLS_skip=v2", 0, {.skip = true}},
        {"_HLS_skip=no", 0, {0}},
        {"_HLS_skip", 0, {0}},
        {"_HLS_push=1", 0, {0}},
        {"_HLS_part=3", ERR_PROTOCOL, {0}},
        {"_HLS_msn=", ERR_PROTOCOL, {0}},
        {"_HLS_msn=-1", ERR_PROTOCOL, {0}},
        {"_HLS_msn=+1", ERR_PROTOCOL, {0}},
        {"_HLS_msn=1x", ERR_PROTOCOL, {0}},
        {"_HLS_msn=%31", ERR_PROTOCOL, {0}},
        {"_HLS_msn=18446744073709551616", ERR_PROTOCOL, {0}},
        {"_HLS_msn=1&_HLS_part=4294967296", ERR_PROTOCOL, {0}},
        {"_HLS_msn=1&_HLS_msn=1", ERR_PROTOCOL, {0}},
        {"_HLS_msn=1&_HLS_part=1&_HLS_part=1", ERR_PROTOCOL, {0}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hls_directives d;
        int err = hls_directives_read(slice_text(cases[i].query), &d);
        if (err != cases[i].want)
            fail_msg("%s: %d", cases[i].query, err);
        if (err < 0)
            continue;
        assert_int_equal(d.has_msn, cases[i].d.has_msn);
        assert_int_equal(d.has_part, cases[i].d.has_part);
        assert_int_equal(d.skip, cases[i].d.skip);
        assert_int_equal(d.msn, cases[i].d.msn);
        assert_int_equal(d.part, cases[i].d.part);
    }
}

#define ANY (-1)

static void requests_are_judged(void **state)
{
    static const struct {
        int64_t msn, part;
        uint32_t parts, previous;
        enum hls_verdict want;
    } cases[] = {
        /* The segment that is written is 100, with `parts`; parts may be asked for 3 ahead. */
        {ANY, ANY, 0, 0, HLS_READY},
        {0, ANY, 0, 10, HLS_READY},
        {0, 900, 0, 10, HLS_READY},
        {99, ANY, 0, 10, HLS_READY},
        {99, 9, 0, 10, HLS_READY},
        {99, 10, 0, 10, HLS_WAIT},
        {99, 10, 1, 10, HLS_READY},
        {99, 900, 0, 10, HLS_WAIT},
        {99, 10, 0, 0, HLS_READY},
        {100, ANY, 0, 10, HLS_WAIT},
        {100, ANY, 5, 10, HLS_WAIT},
        {100, 0, 0, 10, HLS_WAIT},
        {100, 0, 1, 10, HLS_READY},
        {100, 4, 5, 10, HLS_READY},
        {100, 5, 5, 10, HLS_WAIT},
        {100, 7, 5, 10, HLS_WAIT},
        {100, 8, 5, 10, HLS_TOO_FAR},
        {101, ANY, 5, 10, HLS_WAIT},
        {101, 0, 5, 10, HLS_WAIT},
        {101, 3, 5, 10, HLS_TOO_FAR},
        {102, ANY, 5, 10, HLS_TOO_FAR},
        {102, 0, 5, 10, HLS_TOO_FAR},
        {INT64_MAX, ANY, 5, 10, HLS_TOO_FAR},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hls_directives d = {.has_msn = cases[i].msn != ANY,
                                   .has_part = cases[i].part != ANY,
                                   .msn = (uint64_t)cases[i].msn,
                                   .part = (uint32_t)cases[i].part};
        struct hls_head h = {100, cases[i].parts, cases[i].previous, 3};
        enum hls_verdict have = hls_directives_judge(&d, &h);
        if (have != cases[i].want)
            fail_msg("msn %lld part %lld parts %u: %d", (long long)cases[i].msn,
                     (long long)cases[i].part, cases[i].parts, (int)have);
    }
}

static void parts_ahead(void **state)
{
    static const struct {
        int64_t us;
        uint32_t want;
    } cases[] = {{0, 3}, {200000, 15}, {236000, 13}, {999999, 4}, {1000000, 3}, {5000000, 3}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(hls_ahead_max(cases[i].us), cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_read),      cmocka_unit_test(names_refused),
        cmocka_unit_test(directives_read), cmocka_unit_test(requests_are_judged),
        cmocka_unit_test(parts_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
