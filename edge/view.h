#ifndef SLUICE_EDGE_VIEW_H
#define SLUICE_EDGE_VIEW_H

#include "hub/hub.h"

/*
 * A view is a stream with its sound in another codec: the frames of the stream but for sound 0, and
 * those of a derived track, in the order in which they come.  It is a feed of its own
 * ("live/cam1;plain"), for players who cannot play what was published; each node makes it for its
 * own players, and frames are shared with the stream's.
 *
 *   live/cam1 ─────────┬─▶ view ──feed_append──▶ live/cam1;plain ──▶ players
 *   live/cam1;aac ─────┘
 *
 * A run begins at a key frame, when the sound that belongs to it is there, at latest after
 * VIEW_WAIT_MS.
 */
#define VIEW_PLAIN   "plain"
#define VIEW_WAIT_MS 1000
#define VIEW_IDLE_MS 2000 /* it outlives its last reader by this */

struct views;

struct views *views_new(struct workers *g, struct hub *hub);
/* Before the hub, after the workers have stopped. */
void views_free(struct views **vp);

/* The feed's name is that of a view. */
bool view_is(const char *name);
/* Fills the feed; on its (home) worker.  Harmless when that is done already. */
void view_start(struct views *v, struct feed *f);
/* All of the worker's end, on that worker. */
void views_stop(struct views *v, struct worker *w);

/* A player who announced nothing cannot play the sound of this run. */
bool view_is_needed(const struct run *r);

#endif
