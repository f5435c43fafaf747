#include "media/cut.h"

#include <string.h>

#define JUMP_SEGMENTS 16 /* how far beyond what is known a jump goes */
#define JUMP_DSN      16
#define US_PER_S      1000000
#define DSN_BEGAN_S   1767225600 /* 2026-01-01 */

_Static_assert(sizeof(struct cut_rate) == 12 &&
                   sizeof(struct cut_plan) ==
                       6 * 4 + 7 * 8 + CUT_TRACKS_MAX * sizeof(struct cut_rate),
               "plans are compared as bytes");

bool cut_plan_equal(const struct cut_plan *a, const struct cut_plan *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

uint64_t cut_jump(uint64_t epoch_us, uint64_t last_msn)
{
    uint64_t by_time = epoch_us / US_PER_S;
    return (by_time > last_msn ? by_time : last_msn) + JUMP_SEGMENTS;
}

uint64_t cut_jump_dsn(uint64_t epoch_us, uint64_t last_dsn)
{
    uint64_t epoch_s = epoch_us / US_PER_S;
    uint64_t by_time = epoch_s > DSN_BEGAN_S ? (epoch_s - DSN_BEGAN_S) / CUT_DSN_SPAN_S : 0;
    return (by_time > last_dsn ? by_time : last_dsn) + JUMP_DSN;
}
