/*
 * Memory that streams leave behind goes back to the system.  Frames do so by themselves
 * (media/frame_block.h); of the rest an allocator returns the end of its heap only, and what a
 * stream that has ended had there lies between what others have.
 */
#include "node_internal.h"

#include "core/clock.h"
#include "media/frame.h"

#include <inttypes.h>
#include <malloc.h>

#define RETURN_BYTES (4 * 1024 * 1024) /* of frames freed since the last time … */
#define RETURN_SHARE 16                /* … which are also this part of the most there were */

/* Looks until it is done once more: what was allocated meanwhile lies scattered over what had been
 * free. */
#define RETURN_AGAIN 8

void node_memory_return(struct node *n)
{
    int64_t now_bytes = frames_alive_bytes();
    if (now_bytes > n->frame_bytes_peak)
        n->frame_bytes_peak = now_bytes;
    int64_t freed_bytes = n->frame_bytes_peak - now_bytes;
    bool fell = freed_bytes >= RETURN_BYTES && freed_bytes >= n->frame_bytes_peak / RETURN_SHARE;
    if (fell)
        n->memory_looks = 0;
    else if (n->memory_looks > RETURN_AGAIN || ++n->memory_looks != RETURN_AGAIN)
        return;
    int64_t from_us = clock_us();
    malloc_trim(0);
    n->frame_bytes_peak = now_bytes;
    log_debug(&n->log, "memory.returned freed_mib=%" PRId64 " took_us=%" PRId64,
              freed_bytes / (1024 * 1024), clock_us() - from_us);
}
