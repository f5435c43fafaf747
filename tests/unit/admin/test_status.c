#include "test.h"

#include "admin/status.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static char *print(const char *nodes, const char *streams)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    json_t *n = json_loads(nodes, 0, NULL), *s = json_loads(streams, 0, NULL);
    assert_true(out != NULL && n != NULL && s != NULL);
    status_print(out, n, s, false);
    fclose(out);
    json_decref(n);
    json_decref(s);
    return text;
}

#define NODE(id, more)                                                                             \
    "{\"id\":\"" id "\",\"role\":\"edge\",\"zone\":\"b\",\"state\":\"up\",\"addr\":\"10.0.0.1:7\"" \
    ",\"streams\":1,\"viewers\":2,\"load\":3,\"age_ms\":65000" more "}"
#define PART(id, path, viewers)                                                                    \
    "{\"id\":\"" id "\",\"path\":[" path "],\"viewers\":{\"rtmp\":" viewers "}}"

static void the_cluster_as_a_table(void **state)
{
    char *text = print(
        "{\"nodes\":[" NODE("o1", "") "," NODE("edge-17", ",\"new\":1") "]}",
        "{\"partial\":true,\"missing\":[\"edge-17\"],\"streams\":[{\"name\":\"live/"
        "cam1\",\"owner\":"
        "\"o1\",\"epoch\":\"1795404426681057\",\"tracks\":[{\"codec\":\"h264\"},{\"codec\":\"aac\""
        "}],\"viewers\":{\"rtmp\":16,\"flv\":1},\"bitrate_bps\":2500000,\"age_ms\":1500,\"nodes\":"
        "[" PART("e3", "\"o1\",\"e1\",\"e3\"", "4") "," PART("e2", "\"o1\",\"e2\"", "0") "," PART(
            "o1", "\"o1\"", "0") "," PART("e1", "\"o1\",\"e1\"",
                                          "12") "," PART("e4", "\"o1\",\"e1\",\"e4\"",
                                                         "1") "," PART("e6", "\"o1\",\"e5\",\"e6\"",
                                                                       "1") "]}]}");
    assert_string_equal(
        text, "NODE     ROLE  ZONE  STATE      ADDRESS     STREAMS  VIEWERS  LOAD  AGE\n"
              "edge-17  edge  b     no answer  10.0.0.1:7  1        2        3 %   1m05s\n"
              "o1       edge  b     up         10.0.0.1:7  1        2        3 %   1m05s\n"
              "\n"
              "STREAM     OWNER  EPOCH     CODECS    BITRATE     AGE    VIEWERS\n"
              "live/cam1  o1     …6681057  h264 aac  2.5 Mbit/s  1.5 s  rtmp 16, flv 1\n"
              "  o1 → e1(12) → e3(4)\n"
              "              → e4(1)\n"
              "     → e2\n"
              "     → e5(?) → e6(1)\n"
              "\n"
              "partial: no answer from edge-17\n");
    free(text);
}

static void nothing_is_trusted(void **state)
{
    static const struct {
        const char *nodes, *streams, *has;
    } table[] = {
        {"{}", "{}", "no streams"},
        {"{\"nodes\":7}", "{\"streams\":\"x\"}", "no streams"},
        {"{\"nodes\":[1,null,{}]}", "{\"streams\":[3,{\"nodes\":[4,{}]}]}", "STREAM"},
        {"{\"nodes\":[{\"id\":\"a\\u001b[31mb\\u0085c\"}]}", "{}", "a?[31mb?c "},
        {"{\"nodes\":[{\"zone\":\"zürich\"}]}", "{}", "zürich  "},
        {"{}", "{\"partial\":true}", "the directory"},
        {"{}",
         "{\"streams\":[{\"nodes\":[{\"id\":\"e1\",\"viewers\":{\"rtmp\":9223372036854775807,"
         "\"flv\":9223372036854775807,\"hls\":-9223372036854775808}}]}]}",
         "e1(4294967294)"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *text = print(table[i].nodes, table[i].streams);
        assert_non_null(strstr(text, table[i].has));
        assert_null(strchr(text, '\033'));
        free(text);
    }
}

static void addresses_that_are_none_are_refused(void **state)
{
    static const char *const urls[] = {
        "https://127.0.0.1", "http://",     "http://:80",    "http://a:0", "http://a:x",
        "http://a:65536",    "http://[::1", "http://[::1]x", "ftp://a",    ""};
    char error[STATUS_ERROR_MAX];
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        bool usage = false;
        const struct status_options o = {.url = urls[i]};
        assert_null(status_fetch(&o, "/x", error, &usage));
        assert_true(usage);
        assert_true(strlen(error) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cluster_as_a_table),
        cmocka_unit_test(nothing_is_trusted),
        cmocka_unit_test(addresses_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
