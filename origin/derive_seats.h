#ifndef SLUICE_ORIGIN_DERIVE_SEATS_H
#define SLUICE_ORIGIN_DERIVE_SEATS_H

#include "core/worker.h"
#include "media/frame.h"

#include <stdatomic.h>

/*
 * How many derived tracks the node makes at once: limits.derived_sounds, limits.derived_videos;
 * without a setting, what the codecs' threads are good for.  Each holds a codec's memory and its
 * share of a thread, and whoever plays can ask for one of every stream.
 */
#define DERIVE_SOUNDS_PER_THREAD 64
#define DERIVE_VIDEOS_PER_THREAD 4

struct derive_seats {
    int threads; /* of codecs */
    atomic_int sounds, videos;
};

/* One more of the kind; false: the limit is reached.  On w's thread. */
bool derive_seat_take(struct derive_seats *s, struct worker *w, enum frame_kind kind);
void derive_seat_leave(struct derive_seats *s, enum frame_kind kind);
/* Counts, and tells, that `who` waits for a seat. */
void derive_seat_tell(struct worker *w, enum frame_kind kind, const char *who);

#endif
