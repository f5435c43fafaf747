#include "media/inforce.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/* Frames with equal slots replace each other; slots in the order in which a viewer needs them. */
static uint32_t slot_of(const struct frame *f)
{
    uint32_t sort = f->kind == FRAME_DATA ? 0 : (f->flags & FRAME_CONFIG) != 0 ? 1 : 2;
    return sort << 16 | (uint32_t)f->kind << 8 | f->track;
}

struct inforce *inforce_with(const struct inforce *old, struct frame *f)
{
    uint32_t count = old != NULL ? old->count : 0;
    if (count >= INFORCE_MAX)
        return NULL;
    struct inforce *i = xmalloc(sizeof *i + (count + 1) * sizeof i->frames[0]);
    atomic_init(&i->refs, 1);
    i->count = 0;
    bool placed = false;
    for (uint32_t k = 0; k < count; k++) {
        struct frame *o = old->frames[k];
        if (!placed && slot_of(o) >= slot_of(f)) {
            i->frames[i->count++] = frame_ref(f);
            placed = true;
        }
        if (slot_of(o) != slot_of(f))
            i->frames[i->count++] = frame_ref(o);
    }
    if (!placed)
        i->frames[i->count++] = frame_ref(f);
    return i;
}

struct inforce *inforce_ref(struct inforce *i)
{
    if (i != NULL)
        must(atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed) > 0);
    return i;
}

void inforce_unref(struct inforce **ip)
{
    struct inforce *i = *ip;
    *ip = NULL;
    if (i == NULL || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t k = 0; k < i->count; k++)
        frame_unref(&i->frames[k]);
    free(i);
}

static bool same_bytes(const struct frame *a, const struct frame *b)
{
    return a == b || (slot_of(a) == slot_of(b) && slice_eq(frame_payload(a), frame_payload(b)));
}

bool inforce_equal(const struct inforce *a, const struct inforce *b)
{
    if (a == b)
        return true;
    if (a == NULL || b == NULL || a->count != b->count)
        return false;
    for (uint32_t k = 0; k < a->count; k++)
        if (!same_bytes(a->frames[k], b->frames[k]))
            return false;
    return true;
}
