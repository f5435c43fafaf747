#include "proto/bits.h"

#include "base/must.h"

#define EMULATION_PREVENTION 3  /* the byte after two zero bytes */
#define EXP_GOLOMB_ZEROS_MAX 31 /* of a value with 32 bits */

struct bits bits_of(struct slice s)
{
    return (struct bits){.p = s.p, .end = s.len > 0 ? s.p + s.len : s.p};
}

struct bits bits_of_nal(struct slice nal)
{
    struct bits b = bits_of(nal);
    b.nal = true;
    return b;
}

static bool next_byte(struct bits *b)
{
    if (b->nal && b->zeros == 2 && b->p < b->end && *b->p == EMULATION_PREVENTION) {
        b->p++;
        b->zeros = 0;
    }
    if (b->p == b->end) {
        b->underrun = true;
        return false;
    }
    b->byte = *b->p++;
    b->left = 8;
    if (b->byte != 0)
        b->zeros = 0;
    else if (b->zeros < 2)
        b->zeros++;
    return true;
}

uint32_t bits_u(struct bits *b, unsigned count)
{
    must(count <= 32);
    uint32_t v = 0;
    for (unsigned i = 0; i < count; i++) {
        if (b->underrun || (b->left == 0 && !next_byte(b)))
            return 0;
        b->left--;
        v = v << 1 | (b->byte >> b->left & 1U);
    }
    return v;
}

bool bits_flag(struct bits *b)
{
    return bits_u(b, 1) != 0;
}

void bits_skip(struct bits *b, unsigned count)
{
    for (; count > 32; count -= 32)
        bits_u(b, 32);
    bits_u(b, count);
}

uint32_t bits_ue(struct bits *b)
{
    unsigned zeros = 0;
    while (!bits_flag(b)) {
        if (b->underrun || ++zeros > EXP_GOLOMB_ZEROS_MAX) {
            b->underrun = true;
            return 0;
        }
    }
    return (uint32_t)((1ULL << zeros) - 1) + bits_u(b, zeros);
}

int32_t bits_se(struct bits *b)
{
    uint32_t k = bits_ue(b);
    return (k & 1) != 0 ? (int32_t)(k / 2 + 1) : -(int32_t)(k / 2);
}
