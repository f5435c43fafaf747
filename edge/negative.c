#include "edge/negative.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct list node; /* in order of arrival, which is the order they expire in */
    int64_t until_us;
    char name[];
};

struct negative {
    struct map *map;
    struct list oldest;
    size_t max;
    int64_t keep_us;
};

struct negative *negative_new(size_t max, int64_t keep_us)
{
    struct negative *n = xcalloc(1, sizeof *n);
    n->map = map_new();
    list_init(&n->oldest);
    n->max = max;
    n->keep_us = keep_us;
    return n;
}

static void drop(struct negative *n, struct entry *e)
{
    map_take(n->map, e->name);
    list_remove(&e->node);
    free(e);
}

static void drop_old(struct negative *n, int64_t now_us)
{
    struct entry *e;
    while ((e = LIST_FIRST(&n->oldest, struct entry, node)) != NULL && e->until_us <= now_us)
        drop(n, e);
}

void negative_free(struct negative **np)
{
    struct negative *n = *np;
    *np = NULL;
    if (n == NULL)
        return;
    drop_old(n, INT64_MAX);
    map_free(&n->map);
    free(n);
}

void negative_put(struct negative *n, const char *name, int64_t now_us)
{
    drop_old(n, now_us);
    struct entry *e = map_get(n->map, name);
    if (e != NULL)
        drop(n, e);
    struct entry *oldest = LIST_FIRST(&n->oldest, struct entry, node);
    if (oldest != NULL && map_count(n->map) >= n->max)
        drop(n, oldest);
    size_t len = strlen(name) + 1;
    e = xcalloc(1, sizeof *e + len);
    memcpy(e->name, name, len);
    e->until_us = now_us + n->keep_us;
    list_append(&n->oldest, &e->node);
    map_put(n->map, e->name, e);
}

bool negative_has(struct negative *n, const char *name, int64_t now_us, int64_t *until_us)
{
    drop_old(n, now_us);
    const struct entry *e = map_get(n->map, name);
    if (e == NULL)
        return false;
    *until_us = e->until_us;
    return true;
}
