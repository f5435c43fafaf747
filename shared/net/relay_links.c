#include "net/relay_links.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

struct count {
    int64_t links;
};

struct relay_links {
    pthread_mutex_t mutex;
    struct map *nodes; /* id -> struct count */
};

struct relay_links *relay_links_new(void)
{
    struct relay_links *l = xcalloc(1, sizeof *l);
    pthread_mutex_init(&l->mutex, NULL);
    l->nodes = map_new();
    return l;
}

static void free_count(const char *node, void *value, void *arg)
{
    free(value);
}

void relay_links_free(struct relay_links **lp)
{
    struct relay_links *l = *lp;
    *lp = NULL;
    if (l == NULL)
        return;
    map_each(l->nodes, free_count, NULL);
    map_free(&l->nodes);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

static void add(struct map *nodes, const char *node, int change)
{
    struct count *c = map_get(nodes, node);
    if (c == NULL) {
        c = xcalloc(1, sizeof *c);
        map_put(nodes, node, c);
    }
    c->links += change;
    must(c->links >= 0);
    if (c->links == 0)
        free(map_take(nodes, node));
}

void relay_linked(struct relay_links *l, const char *node, bool up)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->mutex);
    add(l->nodes, node, up ? 1 : -1);
    pthread_mutex_unlock(&l->mutex);
}

bool relay_is_linked(struct relay_links *l, const char *node)
{
    if (l == NULL)
        return false;
    pthread_mutex_lock(&l->mutex);
    bool linked = map_get(l->nodes, node) != NULL;
    pthread_mutex_unlock(&l->mutex);
    return linked;
}
