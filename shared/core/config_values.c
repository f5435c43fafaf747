#include "base/mem.h"
#include "base/must.h"
#include "base/slice.h"
#include "core/config_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One value and its member of struct config: set, compared, freed. */

static void *member(const struct option *o, struct config *c)
{
    return (char *)c + o->offset;
}

static const void *const_member(const struct option *o, const struct config *c)
{
    return (const char *)c + o->offset;
}

static const char *refuse_text(const char *text, size_t len, size_t min, size_t max,
                               char reason[CONFIG_REASON_MAX])
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return "must not hold control characters";
    if (len < min || len > max) {
        snprintf(reason, CONFIG_REASON_MAX, "must be %zu to %zu bytes long", min, max);
        return reason;
    }
    return NULL;
}

static const char *set_text(const struct option *o, struct config *c, const char *text, size_t len,
                            char reason[CONFIG_REASON_MAX])
{
    const char *why = refuse_text(text, len, (size_t)o->min, (size_t)o->max, reason);
    if (why != NULL)
        return why;
    char *copy = xstrndup(text, len);
    why = o->check != NULL ? o->check(copy) : NULL;
    if (why != NULL) {
        free(copy);
        return why;
    }
    char **place = member(o, c);
    free(*place);
    *place = copy;
    return NULL;
}

static const char *set_bool(const struct option *o, struct config *c, struct slice text, bool plain)
{
    bool yes = slice_is(text, "true");
    if (!plain || (!yes && !slice_is(text, "false")))
        return "must be true or false";
    *(bool *)member(o, c) = yes;
    return NULL;
}

static const char *unit_of(const struct option *o)
{
    if (o->type == OPTION_MS)
        return " ms";
    return o->type == OPTION_BYTES ? " bytes" : "";
}

static const char *set_number(const struct option *o, struct config *c, struct slice text,
                              bool plain, char reason[CONFIG_REASON_MAX])
{
    uint64_t v = 0;
    bool digits = text.len > 0;
    if (o->words != NULL && slice_is(text, o->words[0])) {
        *(int64_t *)member(o, c) = MERGE_AUTO;
        return NULL;
    }
    for (size_t i = 0; i < text.len; i++)
        digits = digits && text.p[i] >= '0' && text.p[i] <= '9';
    if (!plain || !digits) {
        snprintf(reason, CONFIG_REASON_MAX, "must be a whole number%s%s",
                 o->words != NULL ? " or " : "", o->words != NULL ? o->words[0] : "");
        return reason;
    }
    if (slice_u64(text, (uint64_t)o->max, &v) != 0 || (int64_t)v < o->min) {
        snprintf(reason, CONFIG_REASON_MAX, "must be %" PRId64 " to %" PRId64 "%s", o->min, o->max,
                 unit_of(o));
        return reason;
    }
    *(int64_t *)member(o, c) = (int64_t)v;
    return NULL;
}

/* Every enum of struct config has this size. */
_Static_assert(sizeof(enum node_role) == sizeof(unsigned), "enums are set as unsigned");

static const char *set_enum(const struct option *o, struct config *c, struct slice text,
                            char reason[CONFIG_REASON_MAX])
{
    for (unsigned i = 0; o->words[i] != NULL; i++) {
        if (slice_is(text, o->words[i])) {
            memcpy(member(o, c), &i, sizeof i);
            return NULL;
        }
    }
    size_t n = (size_t)snprintf(reason, CONFIG_REASON_MAX, "must be one of");
    for (size_t i = 0; o->words[i] != NULL; i++)
        n += (size_t)snprintf(reason + n, CONFIG_REASON_MAX - n, " %s", o->words[i]);
    return reason;
}

const char *option_set_scalar(const struct option *o, struct config *c, const char *text,
                              size_t len, bool plain, char reason[CONFIG_REASON_MAX])
{
    struct slice s = slice_of(text, len);
    switch (o->type) {
    case OPTION_TEXT:
        return set_text(o, c, text, len, reason);
    case OPTION_BOOL:
        return set_bool(o, c, s, plain);
    case OPTION_INT:
    case OPTION_MS:
    case OPTION_BYTES:
        return set_number(o, c, s, plain, reason);
    case OPTION_ENUM:
        return set_enum(o, c, s, reason);
    case OPTION_LIST:
        return "must be a list: [\"…\", \"…\"]";
    }
    panic("option %s: type %d", o->name, (int)o->type);
}

void option_clear_list(const struct option *o, struct config *c)
{
    struct text_list *list = member(o, c);
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){0};
}

const char *option_add_item(const struct option *o, struct config *c, const char *text, size_t len,
                            char reason[CONFIG_REASON_MAX])
{
    struct text_list *list = member(o, c);
    if (list->count >= (size_t)o->max) {
        snprintf(reason, CONFIG_REASON_MAX, "must have at most %" PRId64 " items", o->max);
        return reason;
    }
    const char *why = refuse_text(text, len, 1, OPTION_ITEM_MAX, reason);
    if (why != NULL)
        return why;
    list->items = xrealloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count] = xstrndup(text, len);
    return o->check(list->items[list->count++]);
}

void option_set_default(const struct option *o, struct config *c)
{
    char reason[CONFIG_REASON_MAX];
    if (o->type == OPTION_LIST)
        option_clear_list(o, c);
    else
        must(option_set_scalar(o, c, o->standard, strlen(o->standard), true, reason) == NULL);
}

static void copy_list(const struct option *o, struct config *to, const struct text_list *from)
{
    struct text_list *list = member(o, to);
    option_clear_list(o, to);
    list->items = xcalloc(from->count + 1, sizeof *list->items);
    for (; list->count < from->count; list->count++)
        list->items[list->count] = xstrdup(from->items[list->count]);
}

void option_free(const struct option *o, struct config *c)
{
    if (o->type == OPTION_LIST) {
        option_clear_list(o, c);
    } else if (o->type == OPTION_TEXT) {
        char **text = member(o, c);
        free(*text);
        *text = NULL;
    }
}

void option_copy(const struct option *o, struct config *to, const struct config *from)
{
    const void *x = const_member(o, from);
    switch (o->type) {
    case OPTION_TEXT:
        option_free(o, to);
        *(char **)member(o, to) = xstrdup(*(char *const *)x);
        return;
    case OPTION_BOOL:
        *(bool *)member(o, to) = *(const bool *)x;
        return;
    case OPTION_INT:
    case OPTION_MS:
    case OPTION_BYTES:
        *(int64_t *)member(o, to) = *(const int64_t *)x;
        return;
    case OPTION_ENUM:
        memcpy(member(o, to), x, sizeof(unsigned));
        return;
    case OPTION_LIST:
        copy_list(o, to, x);
        return;
    }
}

static bool lists_equal(const struct text_list *a, const struct text_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

bool option_equal(const struct option *o, const struct config *a, const struct config *b)
{
    const void *x = const_member(o, a), *y = const_member(o, b);
    switch (o->type) {
    case OPTION_TEXT:
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case OPTION_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case OPTION_INT:
    case OPTION_MS:
    case OPTION_BYTES:
        return *(const int64_t *)x == *(const int64_t *)y;
    case OPTION_ENUM:
        return memcmp(x, y, sizeof(unsigned)) == 0;
    case OPTION_LIST:
        return lists_equal(x, y);
    }
    panic("option %s: type %d", o->name, (int)o->type);
}
