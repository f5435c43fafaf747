#ifndef SLUICE_ORIGIN_DERIVE_H
#define SLUICE_ORIGIN_DERIVE_H

#include "hub/hub.h"

/*
 * Derived tracks: sound in another codec than the published one, or H.264 without B-frames, made
 * from track 0 at the stream's owner, once in the whole cluster.  A derived track is a stream of
 * its own beside the stream it is made of ("live/cam1;opus", base/name.h), with the same epochs and
 * the same line, and never in that one's log: who does not ask for it is given the same as without
 * it.
 *
 *   live/cam1 ──track 0──▶ deriver ──▶ codec's thread ──▶ deriver ──feed_append──▶ live/cam1;opus
 *
 * The first reader anywhere makes it begin: a node that does not own the stream pulls the derived
 * one like any stream, and at the owner the relay is the reader.  It begins at the newest key frame
 * of its stream, so it is there for all of the group of pictures that a viewer begins with.
 * Without readers it goes on for DERIVE_LINGER_MS.  When the node makes as many as it may
 * (origin/derive_seats.h), it begins as soon as another one has ended.
 */
#define DERIVE_LINGER_MS 5000

struct derive;

/* threads: of codecs; 0: by the number of cores. */
struct derive *derive_new(struct workers *g, struct hub *hub, int threads);
/* The codecs' threads end; after the workers have stopped, before what they posted is run. */
void derive_stop_threads(struct derive *d);
/* Before the hub. */
void derive_free(struct derive **dp);

/* The feed's name is a derived one and its stream is ours: makes it, in the place of another
 * source.  On the feed's (home) worker; harmless when it is being made. */
void derive_start(struct derive *d, struct feed *f);
/* For hub_set_hooks() of a node that serves what it owns and nothing else. */
void derive_hooks(struct derive *d, struct hub_hooks *out);
/* All of the worker's end, on that worker. */
void derive_stop(struct derive *d, struct worker *w);

#endif
