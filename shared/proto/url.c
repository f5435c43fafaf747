#include "proto/url.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/must.h"

#include <stdint.h>

#define PERCENT_SIZE 3 /* bytes of "%2f" */

/* The byte at the start of s, decoded: bytes of s it takes, or ERR_PROTOCOL. */
static int decode_byte(struct slice s, uint8_t *out)
{
    *out = s.p[0];
    if (s.p[0] != '%')
        return 1;
    int hi = s.len >= PERCENT_SIZE ? hex_digit(s.p[1]) : -1;
    int lo = s.len >= PERCENT_SIZE ? hex_digit(s.p[2]) : -1;
    if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
        return ERR_PROTOCOL;
    *out = (uint8_t)(hi << 4 | lo);
    return PERCENT_SIZE;
}

/* What a decoded byte of a path may not be; `encoded` says that it was written with a percent. */
static bool path_byte_ok(uint8_t c, bool encoded)
{
    if (c <= ' ' || c >= 0x7f || c == '\\')
        return false;
    return encoded ? c != '/' : c != '?' && c != '#';
}

static bool path_segments_ok(struct slice path)
{
    struct slice left = slice_of(path.p + 1, path.len - 1);
    while (left.len > 0) {
        struct slice rest;
        struct slice segment = slice_cut(left, '/', &rest, NULL);
        if (segment.len == 0 || slice_is(segment, ".") || slice_is(segment, ".."))
            return false;
        left = rest;
    }
    return true;
}

static ssize_t decode_path(struct slice raw, char *out, size_t room)
{
    size_t n = 0;
    while (raw.len > 0) {
        uint8_t c;
        int used = decode_byte(raw, &c);
        if (used < 0)
            return used;
        if (!path_byte_ok(c, used > 1))
            return ERR_NAME;
        if (n + 1 >= room)
            return ERR_TOO_LARGE;
        out[n++] = (char)c;
        raw = slice_of(raw.p + used, raw.len - (size_t)used);
    }
    out[n] = '\0';
    return path_segments_ok(slice_of(out, n)) ? (ssize_t)n : ERR_NAME;
}

ssize_t url_path_decode(struct slice raw, char *out, size_t room)
{
    must(room > 0);
    ssize_t n = raw.len > 0 && raw.p[0] == '/' ? decode_path(raw, out, room) : ERR_PROTOCOL;
    if (n < 0)
        out[0] = '\0';
    return n;
}

bool url_query_next(struct slice *query, struct slice *key, struct slice *value)
{
    while (query->len > 0) {
        struct slice rest;
        struct slice pair = slice_cut(*query, '&', &rest, NULL);
        *query = rest;
        if (pair.len == 0)
            continue;
        *key = slice_cut(pair, '=', value, NULL);
        if (value->p == NULL)
            *value = slice_of(pair.p + pair.len, 0);
        return true;
    }
    return false;
}

struct slice url_query_find(struct slice query, const char *key)
{
    struct slice k, v;
    while (url_query_next(&query, &k, &v)) {
        if (slice_is(k, key))
            return v;
    }
    return slice_of(NULL, 0);
}

static ssize_t decode_value(struct slice raw, char *out, size_t room)
{
    size_t n = 0;
    while (raw.len > 0) {
        uint8_t c;
        int used = decode_byte(raw, &c);
        if (used < 0)
            return used;
        if (c < ' ' || c == 0x7f)
            return ERR_NAME;
        if (n + 1 >= room)
            return ERR_TOO_LARGE;
        out[n++] = (char)c;
        raw = slice_of(raw.p + used, raw.len - (size_t)used);
    }
    out[n] = '\0';
    return (ssize_t)n;
}

ssize_t url_value_decode(struct slice raw, char *out, size_t room)
{
    must(room > 0);
    ssize_t n = decode_value(raw, out, room);
    if (n < 0)
        out[0] = '\0';
    return n;
}

ssize_t url_query_get(struct slice query, const char *key, char *out, size_t room)
{
    must(room > 0);
    struct slice raw = url_query_find(query, key);
    if (raw.p != NULL)
        return url_value_decode(raw, out, room);
    out[0] = '\0';
    return ERR_NOT_FOUND;
}

struct slice url_cut_query(struct slice text, struct slice *query)
{
    return slice_cut(text, '?', query, NULL);
}

struct slice url_rtmp_app(struct slice app, struct slice *instance, struct slice *query)
{
    return slice_cut(url_cut_query(app, query), '/', instance, NULL);
}

/* What the star before `after` stands for, at least a byte, up to the end of its segment; the
 * segment's length, or 0. */
static size_t match_star(const char *after, size_t after_len, struct slice rest,
                         struct slice *captured)
{
    size_t len = 0;
    while (len < rest.len && rest.p[len] != '/')
        len++;
    must(memchr(after, '*', after_len) == NULL);
    if (len < after_len + 1 || memcmp(rest.p + len - after_len, after, after_len) != 0)
        return 0;
    *captured = slice_of(rest.p, len - after_len);
    return len;
}

int url_match(const char *pattern, struct slice path, struct slice *captures, size_t room)
{
    size_t count = 0, at = 0;
    while (*pattern != '\0') {
        if (*pattern != '*') {
            if (at == path.len || path.p[at++] != (uint8_t)*pattern++)
                return ERR_NOT_FOUND;
            continue;
        }
        size_t after_len = strcspn(++pattern, "/");
        must(count < room);
        size_t len = match_star(pattern, after_len, slice_of(path.p + at, path.len - at),
                                &captures[count++]);
        if (len == 0)
            return ERR_NOT_FOUND;
        pattern += after_len;
        at += len;
    }
    return at == path.len ? (int)count : ERR_NOT_FOUND;
}
