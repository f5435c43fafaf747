#include "base/slice.h"

#include "base/err.h"

#include <strings.h>

bool slice_is_nocase(struct slice s, const char *text)
{
    return s.len == strlen(text) &&
           (s.len == 0 || strncasecmp((const char *)s.p, text, s.len) == 0);
}

bool slice_starts(struct slice s, const char *text)
{
    size_t n = strlen(text);
    return s.len >= n && (n == 0 || memcmp(s.p, text, n) == 0);
}

struct slice slice_cut(struct slice s, char c, struct slice *rest, bool *found)
{
    const uint8_t *at = s.len > 0 ? memchr(s.p, (unsigned char)c, s.len) : NULL;
    if (found != NULL)
        *found = at != NULL;
    if (at == NULL) {
        *rest = slice_of(NULL, 0);
        return s;
    }
    size_t n = (size_t)(at - s.p);
    *rest = slice_of(at + 1, s.len - n - 1);
    return slice_of(s.p, n);
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

int slice_u64(struct slice s, uint64_t max, uint64_t *out)
{
    if (s.len == 0)
        return ERR_TYPE;
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return ERR_TYPE;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return ERR_RANGE;
        v = v * 10 + digit;
    }
    if (v > max)
        return ERR_RANGE;
    *out = v;
    return 0;
}

bool slice_copy(struct slice s, char *dst, size_t room)
{
    if (s.len >= room) {
        if (room > 0)
            dst[0] = '\0';
        return false;
    }
    if (s.len > 0)
        memcpy(dst, s.p, s.len);
    dst[s.len] = '\0';
    return true;
}
