#include "media/run_origin.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

struct run_origin *run_origin_new(uint64_t instance, struct slice path)
{
    struct run_origin *o = xcalloc(1, sizeof *o + path.len + 1);
    atomic_init(&o->refs, 1);
    o->instance = instance;
    must(slice_copy(path, o->path, path.len + 1));
    return o;
}

struct run_origin *run_origin_ref(struct run_origin *o)
{
    if (o != NULL)
        must(atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed) > 0);
    return o;
}

void run_origin_unref(struct run_origin **op)
{
    struct run_origin *o = *op;
    *op = NULL;
    if (o != NULL && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        free(o);
}

bool run_origin_equal(const struct run_origin *a, const struct run_origin *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->instance == b->instance && strcmp(a->path, b->path) == 0;
}
