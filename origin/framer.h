#ifndef SLUICE_ORIGIN_FRAMER_H
#define SLUICE_ORIGIN_FRAMER_H

#include "media/frame.h"
#include "media/log.h"
#include "media/timeline.h"
#include "proto/flv.h"

/*
 * A publisher's messages become frames: bodies are taken apart (proto/flv.h), placed on the run's
 * line (media/timeline.h) and copied once, into the frame.  No I/O and no clock.
 */

/* Bytes of an onMetaData, data or configuration message; every joining viewer is sent some of
 * these. */
#define FRAMER_PREAMBLE_MAX (64 * 1024)
/* How many times its own size a message may grow by when each of its tracks gets the headers they
 * share. */
#define FRAMER_GROWTH_MAX   2
#define FRAMER_GROWTH_SLACK 1024 /* bytes on top of it: short messages are mostly headers */
/* What a composition time is cut to, either way: it has to fit frame.cts_us. */
#define FRAMER_CTS_MAX_MS 2000000

struct framer {
    struct timeline timeline;
    struct frame_pool pool;
    uint64_t passed_over; /* frames of tracks beyond LOG_TRACKS_MAX */
    uint32_t track_count;
    uint16_t tracks[LOG_TRACKS_MAX]; /* as frame_track_number() */
};

/*
 * The frames of one message of type 8, 9 or 18, each held once by the caller; none has a seq yet.
 * Several for a Multitrack message, all with its time.  The number of frames, 0 when the message
 * holds nothing to keep, or
 *   ERR_PROTOCOL     not what its type says
 *   ERR_UNSUPPORTED  another type, a reserved codec or packet, data without a name
 *   ERR_TOO_LARGE    over one of the bounds above, or over FRAME_BYTES_MAX
 *   ERR_TOO_MANY     more than FLV_PACKETS_MAX tracks in one message
 *   ERR_NOMEM
 * An all-zero framer is a new one; framer_fini() at its end.
 */
int framer_take(struct framer *fr, uint8_t type, uint32_t timestamp_ms, struct slice body,
                struct frame *out[FLV_PACKETS_MAX]);
void framer_fini(struct framer *fr);

#endif
