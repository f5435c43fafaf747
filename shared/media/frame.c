#include "media/frame.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/slab.h"
#include "media/frame_block.h"

#include <stddef.h>
#include <stdlib.h>

static atomic_int_least64_t alive, alive_bytes;

/* The process's, as the heap is. */
static struct slab cuts = SLAB_INIT(cuts, sizeof(struct cut));

static bool pool_renew(struct frame_pool *pool, size_t need)
{
    struct frame_block *b = frame_block_new(pool->held, need);
    if (b == NULL)
        return false;
    frame_block_retire(&pool->block, pool->handed);
    pool->block = b;
    pool->next = b->bytes;
    pool->left = b->room;
    pool->handed = 0;
    return true;
}

/* Room for so many bytes in the pool's block, or in a new one; NULL when there is no memory. */
static void *pool_take(struct frame_pool *pool, size_t bytes)
{
    bytes = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (bytes > pool->left && !pool_renew(pool, bytes))
        return NULL;
    uint8_t *at = pool->next;
    pool->next += bytes;
    pool->left -= (uint32_t)bytes;
    pool->handed++;
    return at;
}

void frame_pool_fini(struct frame_pool *pool)
{
    frame_block_retire(&pool->block, pool->handed);
    frame_held_unref(&pool->held);
    *pool = (struct frame_pool){0};
}

/* Memory for a frame, and the block that it lies in. */
static struct frame *pool_frame(struct frame_pool *pool, size_t bytes, struct frame_block **block)
{
    if (pool->held == NULL)
        pool->held = frame_held_new();
    if (bytes > frame_block_largest(pool->held)) {
        *block = frame_block_new_alone(pool->held, bytes);
        return *block != NULL ? (struct frame *)(void *)(*block)->bytes : NULL;
    }
    struct frame *f = pool_take(pool, bytes);
    *block = pool->block;
    return f;
}

struct frame *frame_pool_new(struct frame_pool *pool, enum frame_kind kind, size_t size)
{
    if (size > FRAME_BYTES_MAX)
        return NULL;
    struct frame_block *block = NULL;
    struct frame *f =
        pool == NULL ? malloc(sizeof *f + size) : pool_frame(pool, sizeof *f + size, &block);
    if (f == NULL)
        return NULL;
    /* Before it is written: an atomic would wait until its memory has come into the cache. */
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&alive_bytes, (int64_t)size, memory_order_relaxed);
    *f = (struct frame){.kind = (uint8_t)kind, .size = (uint32_t)size, .block = block};
    f->data = f->bytes;
    atomic_init(&f->refs, 1);
    return f;
}

struct frame *frame_new(enum frame_kind kind, size_t size)
{
    return frame_pool_new(NULL, kind, size);
}

struct frame *frame_alias(struct frame *f)
{
    struct frame *a = xmalloc(sizeof *a);
    struct frame *of = f->of != NULL ? f->of : f;
    *a = (struct frame){.kind = f->kind,
                        .track = f->track,
                        .flags = f->flags,
                        .codec = f->codec,
                        .size = f->size,
                        .cts_us = f->cts_us,
                        .wire_ms = f->wire_ms,
                        .dts_us = f->dts_us,
                        .of = frame_ref(of),
                        .data = of->data};
    atomic_init(&a->refs, 1);
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    return a;
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
    if (f == NULL)
        return;
    /* Who holds it alone need not tell anybody. */
    if (atomic_load_explicit(&f->refs, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    if (f->of == NULL)
        atomic_fetch_sub_explicit(&alive_bytes, (int64_t)f->size, memory_order_relaxed);
    frame_unref(&f->of);
    slab_give(&cuts, f->cut);
    if (f->block != NULL)
        frame_block_leave(f->block);
    else
        free(f);
}

void frame_set_cut(struct frame *f, const struct cut *cut)
{
    must(f->cut == NULL);
    f->cut = slab_take(&cuts);
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
