#ifndef SLUICE_HUB_HUB_H
#define SLUICE_HUB_HUB_H

#include "base/name.h"
#include "core/config.h"
#include "core/timer.h"
#include "core/worker.h"
#include "media/log.h"

/*
 * The node's streams.  A stream has one home worker, chosen when its name first appears on the node
 * and kept until the last feed of it is gone; the home's feed holds the log that a source fills.
 * Each other worker with readers has a feed with a replica of that log (counted pointers to the
 * same frames), to which the home posts every batch.  The name table is the one structure under a
 * lock, taken when a feed is made or freed and never on the path of a frame.
 *
 *   publisher or pull ──feed_append──▶ home feed ──batch──▶ replica feeds
 *                                        │ readers             │ readers
 *
 * A feed belongs to its worker; every function below is called on that worker's thread unless it
 * says otherwise.
 */
struct hub;
struct feed;

enum feed_state {
    FEED_EMPTY, /* no source has been seen: readers wait */
    FEED_LIVE,  /* a run is open and fed */
    FEED_LOST,  /* the source is gone and may come back: readers are held */
    FEED_ENDED, /* the source ended the stream, or did not come back in time */
};
const char *feed_state_name(enum feed_state s);

enum viewer_kind { VIEWER_RTMP, VIEWER_FLV, VIEWER_HLS, VIEWER_WHEP, VIEWER_RELAY, VIEWER_KINDS };

/* What reads a feed's log: a group of players, a relay link.  Called on the feed's worker; a reader
 * may leave in any of them.  Each may be NULL. */
struct feed_reader;
struct feed_reader_ops {
    void (*on_frames)(
        struct feed_reader *r); /* the log has changed; at most once a turn of the loop */
    void (*on_state)(struct feed_reader *r); /* feed->state has changed (not to ENDED) */
    void (*on_end)(struct feed_reader *r,
                   enum close_reason why); /* the stream has ended: leave soon */
};
struct feed_reader {
    struct list node;
    const struct feed_reader_ops *ops;
    struct feed *feed;
    bool needs_past; /* wants what the owner holds before the newest key frame, too */
};

/* What fills a home feed: a local publisher or a pull.  Called on the home worker. */
struct feed_source;
struct feed_source_ops {
    /* Another source takes the feed (FENCED, NAME_TAKEN), an operator or the drain ends it.  The
     * source detaches, now or later, and appends nothing more. */
    void (*on_displaced)(struct feed_source *s, enum close_reason why);
    /* The feed has got its first reader (true) or lost its last (false). */
    void (*on_wanted)(struct feed_source *s, bool wanted);
    /* A reader needs a key frame soon (asked at most every 500 ms). */
    void (*on_want_key)(struct feed_source *s);
    /* A reader with needs_past has come. */
    void (*on_want_past)(struct feed_source *s);
};
struct feed_source {
    const struct feed_source_ops *ops;
    const char *kind; /* "publish" or "pull": the API says so */
    struct feed *feed;
};

struct feed {
    uint32_t magic;
    enum feed_state state;
    struct worker *worker;
    struct log *log;
    bool is_home;
    /* hub.c and feed.c only */
    bool frames_pending, state_pending, end_pending, attached, detaching, wanted;
    uint32_t holds;
    int64_t last_append_us;
    size_t batch_count, batch_room;
    struct frame **batch;
    struct list bridges;
    struct task notify;

    struct list readers;
    uint32_t reader_count;
    enum close_reason why;      /* of ENDED */
    struct feed_source *source; /* home only */
    uint64_t bytes_in;          /* payload appended, for the bit rate */
    int64_t bitrate_bps;        /* over the last second */
    const char *name;           /* APP/STREAM */
    struct stream *stream;
    struct hub *hub;
    uint32_t viewers[VIEWER_KINDS]; /* by kind, on this worker: whoever serves them counts */
    int64_t ended_us;               /* clock_us of it */
    int64_t since_us;               /* clock_us of the first run */

    /* hub.c and feed.c only */
    struct list node;
    struct timer linger, rate;
    uint64_t rate_bytes;
    int64_t last_want_key_us;
};

/* What the node does when a home feed without a source is wanted (edge: look the stream up and
 * pull). */
struct hub_hooks {
    void (*on_wanted)(struct feed *f, void *arg); /* readers and no source */
    void (*on_unwanted)(struct feed *f,
                        void *arg); /* the last reader has left; a source may be there */
    void *arg;
};

struct hub *hub_new(struct workers *g);
void hub_set_hooks(struct hub *h, const struct hub_hooks *hooks); /* before the workers start */
/* After the workers have stopped: frees what is left. */
void hub_free(struct hub **hp);
struct log_account *hub_account(struct hub *h);
/* False when stream.memory_bytes is used up.  Any thread. */
bool hub_has_memory(const struct hub *h);

/* A stream that this node publishes or pulls, as the limits count it; all zero: none.  Derived ones
 * do not count. */
struct hub_app;
struct hub_seat {
    struct hub_app *app; /* of a published one */
    bool taken;
};
/* May one more come?  When not, the limit that stands against it has been told: memory,
 * limits.streams, limits.publishers_per_app.  On w. */
bool hub_admits(struct hub *h, struct worker *w, const char *name, bool publishes);
/* It has come, and has gone.  Any thread. */
void hub_take_seat(struct hub *h, const char *name, bool publishes, struct hub_seat *s);
void hub_leave_seat(struct hub *h, struct hub_seat *s);

/* The home worker of a name, which is `near` when the name is new; keeps the name alive until
 * hub_unpin().  Any thread. */
struct worker *hub_pin(struct hub *h, const char *name, struct worker *near);
void hub_unpin(struct hub *h, const char *name);
/* The home worker of a name that the node knows (pinned, or with a feed on any worker), else NULL;
 * keeps nothing alive.  Any thread. */
struct worker *hub_home(struct hub *h, const char *name);

/* Attaches a reader to the worker's feed of the name, making it when needed.  on_frames and
 * on_state follow (never from inside).  One that joins an ENDED feed waits for the stream to come
 * back or looks at the run that is left; on_end is only told to those who were there. */
struct feed *feed_join(struct hub *h, struct worker *w, const char *name, struct feed_reader *r);
void feed_leave(struct feed_reader *r);

/* The worker's feed of the name if there is one (home or replica), else NULL. */
struct feed *feed_find(struct hub *h, struct worker *w, const char *name);
/* Walks the worker's feeds; fn must not make or free feeds. */
void feed_each(struct hub *h, struct worker *w, void (*fn)(struct feed *f, void *arg), void *arg);

/* The home feed of the name on its home worker, held until feed_release(). */
struct feed *feed_hold(struct hub *h, struct worker *w, const char *name);
void feed_release(struct feed **fp);

/* Sources.  must(): no other source is attached (feed_displace the old one first). */
void feed_attach_source(struct feed *f, struct feed_source *s);
void feed_detach_source(struct feed_source *s);
/* Tells the present source, if there is one, that it is displaced, and detaches it. */
void feed_displace(struct feed *f, enum close_reason why);

/* Opens a run (design: log) and makes the feed LIVE.  `inforce` is referenced once more. */
void feed_open_run(struct feed *f, uint64_t epoch, uint64_t first_seq, int64_t wall_us,
                   struct inforce *inforce);
/* Appends a frame whose seq is run->next; takes over the reference.  Readers hear of it at the end
 * of the turn. */
void feed_append(struct feed *f, struct frame *frame);
/* Older frames in front of the newest run (log_prepend), here and on all replicas. */
int feed_prepend(struct feed *f, struct inforce *inforce, struct frame **frames, size_t count);
/* A run before the newest (log_adopt), here and on all replicas. */
int feed_adopt(struct feed *f, const struct log_older *older);
/* The source is gone but may come back. */
void feed_lost(struct feed *f);
/* It is back with the same run (an edge's link that healed). */
void feed_resumed(struct feed *f);
/* The stream has ended: readers are told; the log stays for stream.linger_ms and one window. */
void feed_end(struct feed *f, enum close_reason why);

/* What the upstream said of the newest run (referenced once more), here and on all replicas;
 * readers hear of it by on_state. */
void feed_set_origin(struct feed *f, struct run_origin *origin);
/* How the newest run is cut, here and on all replicas; readers hear of it by on_state. */
void feed_set_plan(struct feed *f, const struct cut_plan *plan);
/* The newest run's last frame is this one, by its owner's word (log_set_last), here and on all
 * replicas; readers hear of it by on_frames. */
void feed_set_last(struct feed *f, uint64_t last_seq);
/* The newest run goes on at a later seq (log_restart), here and on all replicas. */
void feed_restart(struct feed *f, uint64_t next_seq, struct inforce *inforce);
/* Forgets all runs, here and on all replicas: the feed is EMPTY. */
void feed_reset(struct feed *f);

/* Somebody reads the home feed, here or on another worker. */
bool feed_is_wanted(const struct feed *f);

/* Asks the source for a key frame, from any worker's feed. */
void feed_want_key(struct feed *f);

#endif
