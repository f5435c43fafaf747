#include "base/must.h"
#include "proto/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct slice raw)
{
    char text[64];
    ssize_t n = url_path_decode(raw, text, sizeof text);
    must(n < (ssize_t)sizeof text && strlen(text) == (n > 0 ? (size_t)n : 0));
    if (n <= 0)
        return;
    must(text[0] == '/' && strstr(text, "//") == NULL && strstr(text, "/../") == NULL);
    for (ssize_t i = 0; i < n; i++)
        must(text[i] > ' ' && text[i] < 0x7f && text[i] != '\\');
    struct slice captures[3];
    int count = url_match("/*/*.flv", slice_of(text, (size_t)n), captures, 3);
    must(count < 0 || count == 2);
    for (int i = 0; i < count; i++)
        must(captures[i].len > 0 && memchr(captures[i].p, '/', captures[i].len) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size), instance, query, key, value;
    check_path(all);
    struct slice name = url_rtmp_app(all, &instance, &query);
    must(name.len + instance.len + query.len <= size);
    char text[32];
    while (url_query_next(&query, &key, &value)) {
        ssize_t n = url_value_decode(value, text, sizeof text);
        must(n < 0 || strlen(text) == (size_t)n);
    }
    url_query_get(all, "token", text, sizeof text);
    return 0;
}
