#include "base/slab.h"

#include "base/mem.h"
#include "base/must.h"

#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>

#define KEPT_SHARE 16 /* of the mappings with objects, so many are kept without … */
#define KEPT_MIN   1  /* … and this many however few there are */

/* At the beginning of each mapping; objects follow. */
struct slab_map {
    struct list node; /* in slab.open while there is room */
    uint32_t used;    /* objects */
    uint32_t fresh;   /* bytes from the beginning on that were given to objects once */
    void *free;       /* those that were given back, each pointing to the next */
};

#define ALIGNMENT  _Alignof(max_align_t)
#define HEAD_BYTES ((uint32_t)((sizeof(struct slab_map) + ALIGNMENT - 1) & ~(ALIGNMENT - 1)))

/* For a few instructions. */
static void lock(struct slab *s)
{
    while (atomic_flag_test_and_set_explicit(&s->locked, memory_order_acquire))
        sched_yield();
}

static void unlock(struct slab *s)
{
    atomic_flag_clear_explicit(&s->locked, memory_order_release);
}

static uint32_t stride(const struct slab *s)
{
    must(s->object_bytes > 0 && s->object_bytes <= SLAB_OBJECT_MAX);
    return (uint32_t)((s->object_bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
}

static struct slab_map *map_of(void *object)
{
    uint8_t *at = object;
    return (struct slab_map *)(void *)(at - ((uintptr_t)at & (SLAB_BYTES - 1)));
}

/* Twice as much has an aligned part in it; the rest goes back. */
static struct slab_map *map_new(void)
{
    uint8_t *p =
        mmap(NULL, 2 * SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED);
    size_t before = -(uintptr_t)p & (SLAB_BYTES - 1);
    if (before > 0)
        munmap(p, before);
    munmap(p + before + SLAB_BYTES, SLAB_BYTES - before);
    struct slab_map *m = (struct slab_map *)(void *)(p + before);
    list_init(&m->node);
    m->fresh = HEAD_BYTES;
    return m;
}

/* The system may know too many mappings to cut one in two; then it gets the pages at least. */
static void map_drop(struct slab_map *m)
{
    ASAN_UNPOISON_MEMORY_REGION(m, SLAB_BYTES);
    if (munmap(m, SLAB_BYTES) < 0)
        madvise(m, SLAB_BYTES, MADV_DONTNEED);
}

static bool has_room(const struct slab *s, const struct slab_map *m)
{
    return m->free != NULL || m->fresh + stride(s) <= SLAB_BYTES;
}

static void *take_from(struct slab *s, struct slab_map *m)
{
    void *object = m->free;
    if (object != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(object, stride(s));
        m->free = *(void **)object;
    } else {
        object = (uint8_t *)m + m->fresh;
        m->fresh += stride(s);
    }
    if (m->used++ == 0)
        s->used++;
    if (!has_room(s, m))
        list_remove(&m->node);
    return object;
}

void *slab_take(struct slab *s)
{
    lock(s);
    if (list_empty(&s->open)) {
        unlock(s);
        struct slab_map *fresh = map_new();
        lock(s);
        list_append(&s->open, &fresh->node);
        s->empty++;
    }
    struct slab_map *m = LIST_FIRST(&s->open, struct slab_map, node);
    if (m->used == 0)
        s->empty--;
    void *object = take_from(s, m);
    unlock(s);
    return object;
}

/* The mapping's last object has gone; the one to drop, or NULL. */
static struct slab_map *map_emptied(struct slab *s, struct slab_map *m)
{
    s->used--;
    list_remove(&m->node);
    if (s->empty >= KEPT_MIN + s->used / KEPT_SHARE)
        return m;
    s->empty++;
    list_append(&s->open, &m->node);
    return NULL;
}

void slab_give(struct slab *s, void *object)
{
    if (object == NULL)
        return;
    struct slab_map *m = map_of(object), *dropped = NULL;
    lock(s);
    bool was_full = !has_room(s, m);
    *(void **)object = m->free;
    m->free = object;
    ASAN_POISON_MEMORY_REGION(object, stride(s)); /* who still reads it is found out */
    must(m->used > 0);
    if (--m->used == 0)
        dropped = map_emptied(s, m);
    else if (was_full)
        list_append(&s->open, &m->node);
    unlock(s);
    if (dropped != NULL)
        map_drop(dropped);
}

void slab_fini(struct slab *s)
{
    must(s->used == 0);
    struct slab_map *m;
    while ((m = LIST_FIRST(&s->open, struct slab_map, node)) != NULL) {
        list_remove(&m->node);
        map_drop(m);
    }
    s->empty = 0;
}
