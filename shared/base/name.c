#include "base/name.h"

#include "base/err.h"
#include "base/must.h"

#include <string.h>

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool all_name_chars(struct slice s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_name_char(s.p[i]))
            return false;
    return true;
}

bool name_part_ok(struct slice s)
{
    if (!all_name_chars(s, NAME_PART_MAX) || s.p[0] == '.')
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (s.p[i] == '.' && s.p[i - 1] == '.')
            return false;
    return true;
}

bool name_node_ok(struct slice s)
{
    return all_name_chars(s, NAME_NODE_MAX);
}

static bool ends_with(struct slice s, const char *text)
{
    size_t n = strlen(text);
    return s.len >= n && memcmp(s.p + s.len - n, text, n) == 0;
}

int name_stream(struct slice app, struct slice stream, char out[NAME_STREAM_MAX + 1])
{
    static const char *const reserved[] = {"api", "rtc", "relay"};
    out[0] = '\0';
    if (!name_part_ok(app) || !name_part_ok(stream))
        return ERR_NAME;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (slice_is(app, reserved[i]))
            return ERR_NAME;
    if (ends_with(stream, ".flv") || ends_with(stream, ".m3u8"))
        return ERR_NAME;
    memcpy(out, app.p, app.len);
    out[app.len] = '/';
    memcpy(out + app.len + 1, stream.p, stream.len);
    out[app.len + 1 + stream.len] = '\0';
    return 0;
}

int name_stream_of(struct slice text, char out[NAME_STREAM_MAX + 1])
{
    struct slice stream;
    struct slice app = slice_cut(text, '/', &stream, NULL);
    return name_stream(app, stream, out);
}

const char *name_derivation_at(size_t index)
{
    static const char *const derivations[] = {"opus", "aac", "ordered"};
    return index < sizeof derivations / sizeof derivations[0] ? derivations[index] : NULL;
}

static const char *find_derivation(struct slice text)
{
    const char *d;
    for (size_t i = 0; (d = name_derivation_at(i)) != NULL; i++)
        if (slice_is(text, d))
            return d;
    return NULL;
}

int name_stream_or_derived(struct slice app, struct slice stream, char out[NAME_STREAM_MAX + 1])
{
    bool derived;
    struct slice derivation;
    struct slice base = slice_cut(stream, ';', &derivation, &derived);
    int err = name_stream(app, base, out);
    if (err < 0 || !derived)
        return err;
    const char *known = find_derivation(derivation);
    if (known == NULL) {
        out[0] = '\0';
        return ERR_NAME;
    }
    size_t len = strlen(out);
    out[len] = ';';
    memcpy(out + len + 1, known, strlen(known) + 1);
    return 0;
}

void name_derive(const char *name, const char *derivation, char out[NAME_STREAM_MAX + 1])
{
    size_t len = strlen(name), more = strlen(derivation);
    must(name_derivation(name) == NULL && len + 1 + more <= NAME_STREAM_MAX);
    memcpy(out, name, len);
    out[len] = ';';
    memcpy(out + len + 1, derivation, more + 1);
}

const char *name_derivation(const char *name)
{
    const char *semicolon = strchr(name, ';');
    return semicolon != NULL ? semicolon + 1 : NULL;
}

void name_base(const char *name, char out[NAME_STREAM_MAX + 1])
{
    struct slice rest, base = slice_cut(slice_text(name), ';', &rest, NULL);
    must(slice_copy(base, out, NAME_STREAM_MAX + 1));
}
