#ifndef SLUICE_ORIGIN_PUBLISHER_H
#define SLUICE_ORIGIN_PUBLISHER_H

#include "base/slice.h"
#include "cluster/cluster.h"
#include "core/worker.h"
#include "hub/hub.h"

/*
 * A publisher of one stream, whatever protocol it speaks: the claim on the name, then its messages
 * as frames in the log.  The publisher lives on its connection's worker; its claim and the feed it
 * fills live on the stream's home worker, and batches of frames travel between the two as messages.
 *
 *   connection ─message─▶ publisher ─frames─▶ claim (home worker) ─▶ feed_append
 */
struct ingest; /* what all publishers of a node share */
struct publisher;

struct ingest *ingest_new(struct workers *g, struct hub *hub, struct cluster *cluster);
/* After the workers have stopped and every publisher was closed; before the hub and its hooks. */
void ingest_free(struct ingest **ip);
/*
 * Publishers are not owned here but carried on to a node that owns streams (origin/carrier.h).
 * Before the workers start; `client` outlives it.
 */
struct relay_client;
void ingest_carry(struct ingest *i, const struct relay_client *client);
/* Publishers are refused for a drain; w is the caller's worker. */
bool ingest_is_draining(struct ingest *i, const struct worker *w);
/*
 * How to ask the node of `owner` whether it still has a live publisher of the name; done(gone) once
 * on w, never from inside, within some 300 ms.  No answer and a refused connection are the asker's
 * to judge.  Without one only the directory is asked.  Before the workers start.
 */
typedef void ingest_asker(struct worker *w, const char *name, const struct cluster_owner *owner,
                          void (*done)(bool gone, void *arg), void *done_arg, void *arg);
void ingest_set_asker(struct ingest *i, ingest_asker *ask, void *arg);
/* Another owner has what its run of the name goes on from; from any worker. */
void ingest_handed_over(struct ingest *i, const char *name, struct worker *w);
/* With which other nodes are asked for what they had of a stream; before the workers start. */
void ingest_set_client(struct ingest *i, const struct relay_client *client);
/* The other side of it: done(true) when no publisher of the name is here, or none that has sent
 * media in the last second.  From any worker; done on `caller`. */
void ingest_yields(struct ingest *i, struct worker *caller, const char *name,
                   void (*done)(bool yields, void *arg), void *arg);
/* From the cluster's events, on its worker: our claim on the name lost to a higher epoch. */
void ingest_fenced(struct ingest *i, const char *name, uint64_t our_epoch,
                   const struct cluster_owner *owner);
/* Ends the local publisher of the name; from any worker.  done(found) on `caller`. */
void ingest_kick(struct ingest *i, struct worker *caller, const char *name, enum close_reason why,
                 void (*done)(bool found, void *arg), void *arg);
/* No new publishers for streams at home on w; ends the present ones with DRAIN (claims released)
 * after grace_ms, in which they may go by themselves.  On w. */
void ingest_drain(struct ingest *i, struct worker *w, int64_t grace_ms);
/* Takes publishers again.  On w. */
void ingest_undrain(struct ingest *i, struct worker *w);
/* `done` on worker 0 when no claim is left on the node.  Any thread. */
void ingest_await_empty(struct ingest *i, void (*done)(void *arg), void *arg);

/* Called on the connection's worker, never from inside publisher_open or publisher_push. */
struct publisher_ops {
    void (*on_accepted)(void *owner, uint64_t epoch);
    /* The last calls; the owner then closes the publisher. */
    void (*on_refused)(void *owner, enum close_reason why, const char *text);
    /* FENCED, KICKED, DRAIN, NO_MEDIA, NAME_TAKEN */
    void (*on_ended)(void *owner, enum close_reason why);
    void (*on_want_key)(void *owner); /* may be NULL */
    /* May be NULL.  true, from inside publisher_flush: PUBLISHER_IN_FLIGHT_MAX is passed, read no
     * more until false. */
    void (*on_full)(void *owner, bool full);
};

/* Bytes of frames under way to the home worker. */
#define PUBLISHER_IN_FLIGHT_MAX (8 * 1024 * 1024)

struct publisher_options {
    const char *name; /* APP/STREAM, checked */
    /* Hash of the authenticated subject or of the credentials; "" none. */
    const char *identity;
    const char *proto; /* "rtmp", "whip" */
    const char *peer;  /* address text, for log lines only */
    const struct publisher_ops *ops;
    void *owner;
};

struct publisher *publisher_open(struct ingest *i, struct worker *w,
                                 const struct publisher_options *o);

/*
 * One message: type 8, 9 or 18 as in RTMP and FLV, its 32-bit timestamp and body (an (Enhanced) FLV
 * tag body; data: AMF0, without "@setDataFrame").  Multitrack messages become one frame per track.
 * 0, or negative when the message cannot be used (framer.h): ERR_UNSUPPORTED, ERR_TOO_MANY and
 * ERR_TOO_LARGE may be passed over; with the others the caller decides whether the connection ends.
 * must(): only after on_accepted.
 */
int publisher_push(struct publisher *p, uint8_t type, uint32_t timestamp_ms, struct slice body);
/* The same with a frame that is one already (of another node): takes its reference by clearing *f.
 * It is dropped unless the publisher is accepted. */
void publisher_push_frame(struct publisher *p, struct frame **f);
/* Sends what was pushed to the home worker; at the end of a read. */
void publisher_flush(struct publisher *p);
/*
 * Flushes.  clean: the publisher said goodbye (the stream ends at once); else its transport was
 * lost (the claim goes to state lost for stream.lost_ms).  No more calls follow.
 */
void publisher_close(struct publisher **pp, bool clean);

#endif
