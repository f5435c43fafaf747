#ifndef SLUICE_PROTO_BITS_H
#define SLUICE_PROTO_BITS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A bounded cursor over bits, most significant first, with the Exp-Golomb codes of H.264 and H.265.
 * A read past the end yields 0 and sets `underrun`, which sticks; so does a code that is longer
 * than 32 bits.
 */
struct bits {
    const uint8_t *p, *end;
    uint8_t byte;  /* the one that is being read */
    uint8_t left;  /* bits of it that were not read yet */
    uint8_t zeros; /* bytes of 0 that were just read, at most 2 */
    bool nal;      /* the bytes are a NAL unit: emulation prevention bytes are left out */
    bool underrun;
};

struct bits bits_of(struct slice s);

/* Of a NAL unit (ISO/IEC 14496-10, 7.4.1). */
struct bits bits_of_nal(struct slice nal);

/* The next `count` bits, at most 32. */
uint32_t bits_u(struct bits *b, unsigned count);
bool bits_flag(struct bits *b);
void bits_skip(struct bits *b, unsigned count);

/* ue(v) and se(v). */
uint32_t bits_ue(struct bits *b);
int32_t bits_se(struct bits *b);

/* Bits that are left; emulation prevention bytes count. */
static inline size_t bits_left(const struct bits *b)
{
    return (size_t)(b->end - b->p) * 8 + b->left;
}

#endif
