#include "media/frame_block.h"

#include "base/mem.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HELD_SHARE  16 /* a block is at most this part of what its pool holds, or the smallest */
#define FRAME_SHARE 4  /* a frame is at most this part of a block */
#define KEPT_SHARE  32 /* of the blocks in use, so many empty ones are kept */
#define USERS_OPEN  (1U << 31) /* more than any block has frames */

static const struct {
    uint32_t bytes, kept; /* however few are in use */
} classes[] = {{64 * 1024, 2}, {256 * 1024, 0}, {1024 * 1024, 0}};

#define CLASSES (sizeof classes / sizeof classes[0])

/* The process's, as the heap is. */
static struct {
    atomic_flag locked;
    struct {
        struct frame_block *empty;
        uint32_t empty_count, used_count;
    } by_class[CLASSES];
} store = {.locked = ATOMIC_FLAG_INIT};

/* For a few instructions, some hundred times a second. */
static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&store.locked, memory_order_acquire))
        sched_yield();
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&store.locked, memory_order_release);
}

static uint32_t class_for(size_t held_bytes)
{
    uint32_t c = 0;
    while (c + 1 < CLASSES && (size_t)classes[c + 1].bytes * HELD_SHARE <= held_bytes)
        c++;
    return c;
}

static size_t held_bytes(struct frame_held *held)
{
    return atomic_load_explicit(&held->bytes, memory_order_relaxed);
}

size_t frame_block_largest(struct frame_held *held)
{
    return classes[class_for(held_bytes(held))].bytes / FRAME_SHARE;
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

static struct frame_block *pop(uint32_t c)
{
    struct frame_block *b = store.by_class[c].empty;
    if (b == NULL)
        return NULL;
    store.by_class[c].empty = b->next;
    store.by_class[c].empty_count--;
    return b;
}

static struct frame_block *take(uint32_t c)
{
    lock();
    struct frame_block *b = pop(c);
    store.by_class[c].used_count++;
    unlock();
    if (b != NULL)
        return b;
    b = map(classes[c].bytes);
    if (b != NULL)
        return b;
    lock();
    store.by_class[c].used_count--;
    unlock();
    return NULL;
}

/* The system may know too many mappings to cut one in two; then it gets the pages at least. */
static void unmap(void *p, size_t bytes)
{
    if (munmap(p, bytes) < 0)
        madvise(p, bytes, MADV_DONTNEED);
}

static bool too_many(uint32_t c)
{
    return store.by_class[c].empty_count >
           classes[c].kept + store.by_class[c].used_count / KEPT_SHARE;
}

static void give_back(struct frame_block *b)
{
    uint32_t c = b->size_class;
    lock();
    b->next = store.by_class[c].empty;
    store.by_class[c].empty = b;
    store.by_class[c].empty_count++;
    store.by_class[c].used_count--;
    struct frame_block *surplus = NULL;
    while (too_many(c)) {
        b = pop(c);
        b->next = surplus;
        surplus = b;
    }
    unlock();
    while ((b = surplus) != NULL) {
        surplus = b->next;
        unmap(b, classes[c].bytes);
    }
}

struct frame_held *frame_held_new(void)
{
    struct frame_held *h = xcalloc(1, sizeof *h);
    atomic_init(&h->users, 1);
    return h;
}

void frame_held_unref(struct frame_held **hp)
{
    struct frame_held *h = *hp;
    *hp = NULL;
    if (h != NULL && atomic_fetch_sub_explicit(&h->users, 1, memory_order_acq_rel) == 1)
        free(h);
}

static void begin(struct frame_block *b, struct frame_held *held, uint32_t bytes, unsigned users)
{
    b->bytes_all = bytes;
    b->room = bytes - (uint32_t)sizeof *b;
    b->held = held;
    atomic_init(&b->users, users);
    atomic_fetch_add_explicit(&held->users, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&held->bytes, bytes, memory_order_relaxed);
}

struct frame_block *frame_block_new(struct frame_held *held, size_t need)
{
    uint32_t c = class_for(held_bytes(held));
    while (need > classes[c].bytes / FRAME_SHARE && c + 1 < CLASSES)
        c++; /* less is held than when the frame was looked at */
    struct frame_block *b = take(c);
    if (b == NULL)
        return NULL;
    b->size_class = c;
    begin(b, held, classes[c].bytes, USERS_OPEN);
    return b;
}

struct frame_block *frame_block_new_alone(struct frame_held *held, size_t need)
{
    size_t bytes = sizeof(struct frame_block) + need;
    struct frame_block *b = map(bytes);
    if (b == NULL)
        return NULL;
    b->size_class = CLASSES;
    begin(b, held, (uint32_t)bytes, 1);
    return b;
}

static void let_go(struct frame_block *b, unsigned users)
{
    if (atomic_fetch_sub_explicit(&b->users, users, memory_order_acq_rel) != users)
        return;
    atomic_fetch_sub_explicit(&b->held->bytes, b->bytes_all, memory_order_relaxed);
    frame_held_unref(&b->held);
    if (b->size_class < CLASSES)
        give_back(b);
    else
        unmap(b, b->bytes_all);
}

/* Its frames were not counted one by one when they came. */
void frame_block_retire(struct frame_block **bp, uint32_t handed)
{
    struct frame_block *b = *bp;
    *bp = NULL;
    if (b != NULL)
        let_go(b, USERS_OPEN - handed);
}

void frame_block_leave(struct frame_block *b)
{
    let_go(b, 1);
}
