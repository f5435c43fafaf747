#include "base/map.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

/* What uthash's macros expand to is long. */
/* NOLINTBEGIN(readability-function-size) */

struct entry {
    UT_hash_handle hh;
    void *value;
    char key[];
};

struct map {
    struct entry *entries;
};

struct map *map_new(void)
{
    return xcalloc(1, sizeof(struct map));
}

void map_free(struct map **mp)
{
    struct map *m = *mp;
    *mp = NULL;
    if (m == NULL)
        return;
    struct entry *e, *tmp;
    HASH_ITER(hh, m->entries, e, tmp)
    {
        HASH_DEL(m->entries, e);
        free(e);
    }
    free(m);
}

size_t map_count(const struct map *m)
{
    return HASH_COUNT(m->entries);
}

static struct entry *find(const struct map *m, const void *key, size_t len)
{
    struct entry *e = NULL;
    HASH_FIND(hh, m->entries, key, len, e);
    return e;
}

void *map_get_n(const struct map *m, const void *key, size_t len)
{
    struct entry *e = find(m, key, len);
    return e != NULL ? e->value : NULL;
}

void *map_get(const struct map *m, const char *key)
{
    return map_get_n(m, key, strlen(key));
}

void *map_put_n(struct map *m, const void *key, size_t len, void *value)
{
    must(value != NULL);
    struct entry *e = find(m, key, len);
    if (e != NULL) {
        void *old = e->value;
        e->value = value;
        return old;
    }
    e = xcalloc(1, sizeof *e + len + 1);
    memcpy(e->key, key, len);
    e->value = value;
    HASH_ADD_KEYPTR(hh, m->entries, e->key, len, e);
    return NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
    return map_put_n(m, key, strlen(key), value);
}

void *map_take_n(struct map *m, const void *key, size_t len)
{
    struct entry *e = find(m, key, len);
    if (e == NULL)
        return NULL;
    void *value = e->value;
    HASH_DEL(m->entries, e);
    free(e);
    return value;
}

void *map_take(struct map *m, const char *key)
{
    return map_take_n(m, key, strlen(key));
}

void map_each(struct map *m, void (*fn)(const char *key, void *value, void *arg), void *arg)
{
    struct entry *e, *tmp;
    HASH_ITER(hh, m->entries, e, tmp)
    fn(e->key, e->value, arg);
}

/* NOLINTEND(readability-function-size) */
