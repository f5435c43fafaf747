#ifndef SLUICE_BASE_SLAB_H
#define SLUICE_BASE_SLAB_H

#include "base/list.h"

#include <stdatomic.h>
#include <stddef.h>

/*
 * Small objects of one size, side by side in mappings of their own: for those that come and go
 * all the time and are many when much goes on.  Between other allocations each of them would keep a
 * page of the heap from going back.  New ones are put where room was first, so what is left after
 * a crowd gathers in few mappings, and the others go back to the system.  Any thread.
 */
#define SLAB_BYTES (16 * 1024) /* of a mapping, which is aligned to it */

struct slab {
    size_t object_bytes; /* at most SLAB_OBJECT_MAX */
    atomic_flag locked;
    struct list open; /* mappings with room, the one that had it first at the front */
    size_t used;      /* mappings with objects */
    size_t empty;     /* without; in `open` */
};
#define SLAB_OBJECT_MAX 1024 /* bytes */

/* For objects of so many bytes that need no more alignment than malloc() gives. */
#define SLAB_INIT(slab, bytes)                                                                     \
    {                                                                                              \
        .object_bytes = (bytes), .locked = ATOMIC_FLAG_INIT, .open = LIST_INIT((slab).open)        \
    }

/* As xmalloc(); the bytes are what they are. */
void *slab_take(struct slab *s);
/* NULL is harmless. */
void slab_give(struct slab *s, void *object);
/* Gives back what is empty; must(): all of it is. */
void slab_fini(struct slab *s);

#endif
