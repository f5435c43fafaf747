#include "media/cut.h"

#include <string.h>

#define JUMP_SEGMENTS 16 /* how far beyond what is known a jump goes */
#define US_PER_S      1000000

_Static_assert(sizeof(struct cut_plan) == 4 * 4 + 5 * 8, "plans are compared as bytes");

bool cut_plan_equal(const struct cut_plan *a, const struct cut_plan *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

uint64_t cut_jump(uint64_t epoch_us, uint64_t last_msn)
{
    uint64_t by_time = epoch_us / US_PER_S;
    return (by_time > last_msn ? by_time : last_msn) + JUMP_SEGMENTS;
}
