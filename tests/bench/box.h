#ifndef SLUICE_TESTS_BENCH_BOX_H
#define SLUICE_TESTS_BENCH_BOX_H

#include "base/bytes.h"
#include "base/fourcc.h"
#include "base/slice.h"

#include <stdbool.h>

/* Boxes of MP4 (ISO/IEC 14496-12, 4.2). */
#define BOX_HEADER      8
#define BOX_FULL_HEADER 4 /* version and flags of some */

struct box {
    uint32_t type;
    struct slice body;
};

/* The next box of *rest; false at the end, or when it is none. */
static inline bool box_next(struct slice *rest, struct box *out)
{
    struct rd r = rd_init(rest->p, rest->len);
    uint32_t size = rd_u32(&r);
    out->type = rd_u32(&r);
    if (rest->len < BOX_HEADER || size < BOX_HEADER || size > rest->len)
        return false;
    out->body = slice_of(rest->p + BOX_HEADER, size - BOX_HEADER);
    *rest = slice_of(rest->p + size, rest->len - size);
    return true;
}

/* The first box of that type, of length 0 when there is none. */
static inline struct slice box_find(struct slice in, uint32_t type)
{
    for (struct box b; box_next(&in, &b);)
        if (b.type == type)
            return b.body;
    return (struct slice){0};
}

#endif
