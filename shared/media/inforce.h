#ifndef SLUICE_MEDIA_INFORCE_H
#define SLUICE_MEDIA_INFORCE_H

#include "media/frame.h"

/*
 * The configuration and metadata frames in force at one place of a run: what a viewer who joins
 * there must be given first.  Immutable and counted; a change makes a new snapshot, so key-frame
 * indexes and viewers share them freely across threads.
 */
#define INFORCE_MAX                                                                                \
    48 /* 16 tracks with configuration and metadata each, onMetaData, and some room */

struct inforce {
    atomic_uint refs;
    uint32_t count;
    struct frame *frames[]; /* onMetaData first, then configurations, then track metadata */
};

/*
 * A snapshot that is `old` (NULL: nothing) with f in the place of the frame of the same kind, track
 * and sort.  Holds f once more.  NULL when INFORCE_MAX would be passed.
 */
struct inforce *inforce_with(const struct inforce *old, struct frame *f);
struct inforce *inforce_ref(struct inforce *i); /* NULL stays NULL */
void inforce_unref(struct inforce **ip);

/* Same frames, or frames with the same bytes: nothing to tell a viewer again. */
bool inforce_equal(const struct inforce *a, const struct inforce *b);

#endif
