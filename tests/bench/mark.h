#ifndef SLUICE_TESTS_BENCH_MARK_H
#define SLUICE_TESTS_BENCH_MARK_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The last bytes of a video frame, by which a player tells which connection of which publisher it
 * came over, and whether frames are missing.  A frame without room for it goes unmarked.
 */
#define MARK_SIZE 12 /* bytes: "SLMK" or "SLMT", session, index, both big endian */

struct mark {
    uint32_t session; /* of the publisher; rises with each connection */
    uint32_t index;   /* of the frame in the session, 0 for the first that is marked */
    bool timed;       /* "SLMT": `session` is when it was sent, the low bits of clock_us() */
};

/* Overwrites the end of a body; false when it is too short. */
bool mark_write(uint8_t *body, size_t len, struct mark m);
bool mark_read(struct slice body, struct mark *out);

#endif
