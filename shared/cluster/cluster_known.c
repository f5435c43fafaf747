#include "cluster/cluster_known.h"

#include "base/mem.h"
#include "base/slice.h"

#include <stdlib.h>
#include <string.h>

void known_init(struct known_table *t)
{
    t->map = map_new();
    list_init(&t->oldest);
}

static void forget(struct known_table *t, struct known *k)
{
    map_take(t->map, k->name);
    list_remove(&k->node);
    free(k->address);
    free(k);
}

void known_fini(struct known_table *t)
{
    struct known *k, *tmp;
    LIST_EACH_SAFE (k, tmp, &t->oldest, node)
        forget(t, k);
    map_free(&t->map);
}

static bool too_old(const struct known *k, int64_t now_us)
{
    return now_us - k->touched_us > KNOWN_KEEP_US;
}

struct known *known_get(struct known_table *t, const char *name, int64_t now_us)
{
    struct known *k = map_get(t->map, name);
    if (k == NULL || !too_old(k, now_us))
        return k;
    forget(t, k);
    return NULL;
}

void known_drop(struct known_table *t, struct known **kp)
{
    forget(t, *kp);
    *kp = NULL;
}

bool known_expire(struct known_table *t, int64_t now_us)
{
    for (int i = 0; i < KNOWN_LOOK_MAX; i++) {
        struct known *k = LIST_FIRST(&t->oldest, struct known, node);
        if (k == NULL || !too_old(k, now_us))
            return false;
        forget(t, k);
    }
    return true;
}

struct known *known_touch(struct known_table *t, const char *name, int64_t now_us)
{
    struct known *k = known_get(t, name, now_us);
    if (k == NULL) {
        struct known *oldest = LIST_FIRST(&t->oldest, struct known, node);
        if (oldest != NULL && map_count(t->map) >= KNOWN_STREAMS_MAX)
            forget(t, oldest);
        size_t len = strlen(name);
        k = xcalloc(1, sizeof *k + len + 1);
        memcpy(k->name, name, len + 1);
        list_init(&k->node);
        map_put(t->map, name, k);
    }
    k->touched_us = now_us;
    list_remove(&k->node);
    list_append(&t->oldest, &k->node);
    return k;
}

int known_compare(const struct known *k, uint64_t epoch, uint64_t instance)
{
    if (k->epoch != epoch)
        return k->epoch < epoch ? -1 : 1;
    if (k->instance == instance)
        return 0;
    return k->instance < instance ? -1 : 1;
}

void known_set(struct known *k, const struct cluster_owner *owner)
{
    k->found = owner->found;
    k->lost = owner->lost;
    k->missing = false;
    k->epoch = owner->epoch;
    k->instance = owner->instance;
    k->low_epoch = 0;
    slice_copy(slice_text(owner->node), k->node_id, sizeof k->node_id);
    free(k->address);
    k->address = xstrdup(owner->address);
    if (known_compare(k, k->top_epoch, k->top_instance) < 0)
        return;
    k->top_epoch = k->epoch;
    k->top_instance = k->instance;
    k->regressed_us = 0;
}

void known_owner(const struct known *k, struct cluster_owner *out)
{
    *out = (struct cluster_owner){.found = k->found && k->address[0] != '\0',
                                  .lost = k->lost,
                                  .regressed_us = k->regressed_us,
                                  .epoch = k->epoch,
                                  .instance = k->instance};
    slice_copy(slice_text(k->node_id), out->node, sizeof out->node);
    if (k->address != NULL)
        slice_copy(slice_text(k->address), out->address, sizeof out->address);
}
