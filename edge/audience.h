#ifndef SLUICE_EDGE_AUDIENCE_H
#define SLUICE_EDGE_AUDIENCE_H

#include "hub/hub.h"
#include "media/cursor.h"

/*
 * The players of one stream in one wire form on one worker: one reader of the feed's log, one
 * decision when to write, and a cursor per player.  A player costs a struct viewer and its socket;
 * what is written comes straight out of the log through spans that all of them share.
 *
 *   feed ─on_frames─▶ audience ─merge timer─▶ flush: for each viewer, one writev of the shared span
 *
 * Those who play come first.  Who lacks more than goes into one turn, as everybody does who begins,
 * is late: served in rounds, for a share of each turn, so that a crowd that joins stops neither the
 * players that are there nor its own first frames.
 *
 * Everything here belongs to the worker of its feed.
 */
struct edge; /* what all players of a node share */
struct audience;

struct edge *edge_new(struct workers *g, struct hub *hub);
/* After the workers have stopped. */
void edge_free(struct edge **ep);
/* Players of all workers now; any thread. */
int64_t edge_viewers(const struct edge *e);
/* Whether a player may begin that never joins (HLS); it is counted by who serves it.  0 or as
 * viewer_join(). */
int edge_admits(const struct edge *e, struct worker *w);
/* Refuses new players on this worker and ends those it has with DRAIN, spread evenly over
 * spread_ms: who comes back elsewhere does not come with all others. */
void edge_drain(struct edge *e, struct worker *w, int64_t spread_ms);
/* Takes players again; those that have not been ended stay. */
void edge_undrain(struct edge *e, struct worker *w);

/*
 * What every player needs, whatever it plays: a seat, which is counted (viewer.max) and which the
 * drain asks back.  All zero: none.
 */
struct edge_seat {
    struct list node;      /* of its worker's, the oldest first */
    struct worker *worker; /* NULL: no seat */
    /* The node is going out of service: ends the player, which leaves its seat. */
    void (*on_drain)(struct edge_seat *s);
};
/* 0, or ERR_TOO_MANY (viewer.max, limits.loop_lag_ms), ERR_CLOSED (draining). */
int edge_take_seat(struct edge *e, struct worker *w, struct edge_seat *s);
/* Harmless without one. */
void edge_leave_seat(struct edge *e, struct edge_seat *s);

/* True when a line about a player that comes or goes may be written now (log_limit_pass). */
bool edge_may_log(struct edge *e, struct worker *w, bool opening, const struct log_id *id);

struct viewer_ops {
    /* The stream is there: whatever the protocol sends before the first frame.  `run` is where it
     * begins. */
    void (*on_start)(void *owner, const struct run *run);
    /* A new publisher continues the stream; may be NULL. */
    void (*on_resumed)(void *owner);
    int (*write)(void *owner, struct slice bytes);
    ssize_t (*writev)(void *owner, const struct iovec *iov, int count);
    /* Bytes per second the stream has now, for the send buffer. */
    void (*on_bitrate)(void *owner, int64_t bitrate_bps);
    /* The last call; the viewer has left the audience.  NOT_FOUND, UNPUBLISHED, TOO_SLOW, STALLED …
     * It may come from inside viewer_writable() and viewer_pause(): the viewer's memory stays until
     * the end of the turn. */
    void (*on_end)(void *owner, enum close_reason why);
};

#define VIEWER_AHEAD 3 /* cache lines */

/* One player, embedded in what serves it. */
struct viewer {
    struct list node;          /* of its audience */
    struct audience *audience; /* NULL: not in one */
    const struct viewer_ops *ops;
    void *owner;
    /* What writing to it reads elsewhere, NULL where there is no more: it is fetched into the cache
     * while the player before is served. */
    const void *ahead[VIEWER_AHEAD];
    uint8_t mute; /* 1 << kind of what the player does not want */
    bool started, late, blocked, paused, ending;
    bool plain_sound; /* it plays AAC and MP3: other sound is made into one of them (edge/view.h) */
    struct cursor cursor;
    /* So far, and with the first half of the cursor, what is looked at in each flush. */
    struct edge_seat seat;
    int64_t joined_us, blocked_us; /* since when the socket takes nothing */
    int64_t ending_us;             /* since when it only gets the rest of what was published */
    enum close_reason ending_why;
};
#define VIEWER_HOT_BYTES (offsetof(struct viewer, cursor.skips))

/* Joins; answers come through ops, never from inside this call.  0, or ERR_TOO_MANY (viewer.max,
 * limits.loop_lag_ms), ERR_CLOSED (draining). */
int viewer_join(struct edge *e, struct worker *w, const char *name, enum wire_kind kind,
                struct viewer *v);
/* Leaves without a call of on_end; harmless when it has left. */
void viewer_leave(struct viewer *v);
/* The socket takes bytes again. */
void viewer_writable(struct viewer *v);
void viewer_pause(struct viewer *v, bool paused);
void viewer_mute(struct viewer *v, bool audio, bool video);

/* The present bit rate of the stream; 0 while it is not known. */
int64_t audience_bitrate_bps(const struct audience *a);

/*
 * How long to wait for more frames before writing, milliseconds: the fixed setting, or, with
 * MERGE_AUTO, by the load: nothing up to MERGE_LOAD_LOW percent, then up to MERGE_MS_UNSEEN, which
 * takes most of the cost away and which nobody sees, and from MERGE_LOAD_MIDDLE on, up to
 * MERGE_MS_MAX.  The load is that of the last second or so; when a crowd joins, the time that the
 * last flush took says sooner that they are many.
 */
#define MERGE_LOAD_LOW    30
#define MERGE_LOAD_MIDDLE 75
#define MERGE_LOAD_HIGH   95
#define MERGE_MS_UNSEEN   40
#define MERGE_FLUSHES     2 /* times as long as the last flush */
int64_t merge_wait_ms(int64_t setting, int load_percent, int64_t flushed_us);

#endif
