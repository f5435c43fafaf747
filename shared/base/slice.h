#ifndef SLUICE_BASE_SLICE_H
#define SLUICE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that somebody else owns; text in it is not terminated.  len 0 may have p NULL. */
struct slice {
    const uint8_t *p;
    size_t len;
};

static inline struct slice slice_of(const void *p, size_t len)
{
    return (struct slice){p, len};
}

static inline struct slice slice_text(const char *text)
{
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool slice_is(struct slice s, const char *text)
{
    return slice_eq(s, slice_text(text));
}

/* ASCII case folded. */
bool slice_is_nocase(struct slice s, const char *text);

/* True when s begins with text. */
bool slice_starts(struct slice s, const char *text);

/* The part of s before the first c, and what follows c in *rest (len 0 when there is no c).
 * *found (may be NULL) says whether there was one. */
struct slice slice_cut(struct slice s, char c, struct slice *rest, bool *found);

/* s without spaces and tabs at either end. */
struct slice slice_trim(struct slice s);

/* An unsigned decimal number, all of s, at most max.  0 or ERR_RANGE / ERR_TYPE. */
int slice_u64(struct slice s, uint64_t max, uint64_t *out);

/* Copies s into a terminated buffer; false (and an empty string) when it does not fit. */
bool slice_copy(struct slice s, char *dst, size_t room);

/* A printf("%.*s") pair. */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).p

#endif
