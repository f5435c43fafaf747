#include "core/json.h"

#include "base/err.h"

/* Levels of arrays and objects; jansson itself descends by recursion and would allow 2048. */
#define JSON_DEPTH_MAX 32

static bool depth_ok(struct slice text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > JSON_DEPTH_MAX)
            return false;
        else if (!in_string && (c == ']' || c == '}'))
            depth--;
    }
    return true;
}

json_t *json_parse(struct slice text)
{
    if (text.len == 0 || text.len > JSON_INPUT_MAX || !depth_ok(text))
        return NULL;
    return json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
}

int json_print(const json_t *j, struct buf *out)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t len = json_dumpb(j, NULL, 0, flags);
    if (len == 0)
        return ERR_TYPE;
    if (len > out->max - buf_len(out))
        return ERR_TOO_LARGE;
    char *dst = (char *)buf_reserve(out, len);
    if (dst == NULL)
        return ERR_NOMEM;
    if (json_dumpb(j, dst, len, flags) != len)
        return ERR_NOMEM;
    buf_commit(out, len);
    return 0;
}
