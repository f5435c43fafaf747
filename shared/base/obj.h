#ifndef SLUICE_BASE_OBJ_H
#define SLUICE_BASE_OBJ_H

#include "base/must.h"

#include <stdint.h>

/*
 * Tagged objects: a struct that crosses a void * begins with `uint32_t magic`, set by its
 * constructor, checked at the boundary, poisoned where it dies.  A stale or wrong pointer stops at
 * once with the type's name.
 */
#define OBJ_DEAD 0xdeaddeadU

#define OBJ_CAST(type, ptr, tag)                                                                   \
    ({                                                                                             \
        type *obj_ = (ptr);                                                                        \
        must(obj_ != NULL && obj_->magic == (tag));                                                \
        obj_;                                                                                      \
    })

#define OBJ_CHECK(ptr, tag) must((ptr) != NULL && (ptr)->magic == (tag))

#define OBJ_POISON(ptr) ((ptr)->magic = OBJ_DEAD)

#endif
