#include "media/frame.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

static atomic_int_least64_t alive, alive_bytes;

struct frame *frame_new(enum frame_kind kind, size_t size)
{
    if (size > FRAME_BYTES_MAX)
        return NULL;
    struct frame *f = malloc(sizeof *f + size);
    if (f == NULL)
        return NULL;
    *f = (struct frame){.kind = (uint8_t)kind, .size = (uint32_t)size};
    atomic_init(&f->refs, 1);
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&alive_bytes, (int64_t)size, memory_order_relaxed);
    return f;
}

struct frame *frame_ref(struct frame *f)
{
    unsigned before = atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    must(before > 0);
    return f;
}

void frame_unref(struct frame **fp)
{
    struct frame *f = *fp;
    *fp = NULL;
    /* acq_rel: the last holder must see every write made before the others let go. */
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&alive_bytes, (int64_t)f->size, memory_order_relaxed);
    free(f->cut);
    free(f);
}

void frame_set_cut(struct frame *f, const struct cut *cut)
{
    must(f->cut == NULL);
    f->cut = xmalloc(sizeof *f->cut);
    *f->cut = *cut;
}

int64_t frames_alive(void)
{
    return atomic_load_explicit(&alive, memory_order_relaxed);
}

int64_t frames_alive_bytes(void)
{
    return atomic_load_explicit(&alive_bytes, memory_order_relaxed);
}
