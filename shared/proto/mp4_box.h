#ifndef SLUICE_PROTO_MP4_BOX_H
#define SLUICE_PROTO_MP4_BOX_H

#include "base/bytes.h"
#include "base/fourcc.h"

/* Boxes of ISO/IEC 14496-12: opened, filled, closed with the size that they got. */

#define MP4_BOX_HEADER_SIZE      8  /* bytes: size and type */
#define MP4_FULL_BOX_HEADER_SIZE 12 /* the same with version and flags */

/* Begins a box; the value goes to mp4_box_close(). */
static inline size_t mp4_box_open(struct wr *w, uint32_t type)
{
    size_t at = wr_len(w);
    wr_u32(w, 0);
    wr_u32(w, type);
    return at;
}

static inline size_t mp4_full_box_open(struct wr *w, uint32_t type, uint8_t version, uint32_t flags)
{
    size_t at = mp4_box_open(w, type);
    wr_u8(w, version);
    wr_u24(w, flags);
    return at;
}

static inline void mp4_box_close(struct wr *w, size_t at)
{
    if (!w->overflow)
        put_u32(w->start + at, (uint32_t)(wr_len(w) - at));
}

static inline void wr_zeros(struct wr *w, size_t n)
{
    uint8_t *p = wr_room(w, n);
    if (p != NULL && n > 0)
        memset(p, 0, n);
}

#endif
