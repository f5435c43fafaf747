#ifndef SLUICE_ORIGIN_PUBLISHER_H
#define SLUICE_ORIGIN_PUBLISHER_H

#include "base/slice.h"
#include "cluster/cluster.h"
#include "core/worker.h"
#include "hub/hub.h"

/*
 * A publisher of one stream, whatever protocol it speaks: the claim on the name, then its messages
 * as frames in the log.  The publisher lives on its connection's worker; its claim and the feed it fills
 * live on the stream's home worker, and batches of frames travel between the two as messages.
 *
 *   connection ─message─▶ publisher ─frames─▶ claim (home worker) ─▶ feed_append
 */
struct ingest;    /* what all publishers of a node share */
struct publisher;

struct ingest *ingest_new(struct workers *g, struct hub *hub, struct cluster *cluster);
void ingest_free(struct ingest **ip);
/* From the cluster's events, on its worker: our claim on the name lost to a higher epoch. */
void ingest_fenced(struct ingest *i, const char *name, uint64_t our_epoch, const struct cluster_owner *owner);
/* Ends the local publisher of the name; from any worker.  done(found) on `caller`. */
void ingest_kick(struct ingest *i, struct worker *caller, const char *name, enum close_reason why,
                 void (*done)(bool found, void *arg), void *arg);
/* No new publishers; ends the present ones with DRAIN (claims released).  Any thread; `done` on worker 0
 * when the last claim of the node is gone. */
void ingest_drain(struct ingest *i, void (*done)(void *arg), void *arg);

/* Called on the connection's worker, never from inside publisher_open or publisher_push. */
struct publisher_ops {
    void (*on_accepted)(void *owner);
    /* The last calls; the owner then closes the publisher. */
    void (*on_refused)(void *owner, enum close_reason why, const char *text);
    void (*on_ended)(void *owner, enum close_reason why); /* FENCED, KICKED, DRAIN, NO_MEDIA, OVERLOAD, NAME_TAKEN */
    void (*on_want_key)(void *owner);                     /* may be NULL */
};

struct publisher_options {
    const char *name;     /* APP/STREAM, checked */
    const char *identity; /* hash of the authenticated subject or of the credentials; "" none */
    const char *proto;    /* "rtmp", "whip" */
    const char *peer;     /* address text, for log lines only */
    const struct publisher_ops *ops;
    void *owner;
};

struct publisher *publisher_open(struct ingest *i, struct worker *w, const struct publisher_options *o);

/*
 * One message: type 8, 9 or 18 as in RTMP and FLV, its 32-bit timestamp and body (an (Enhanced) FLV tag body; data: AMF0).
 * Multitrack messages become one frame per track.  0, or negative when the message cannot be used
 * (ERR_PROTOCOL …; the caller decides whether that ends the connection; ERR_UNSUPPORTED is to be passed over).
 * must(): only after on_accepted.
 */
int publisher_push(struct publisher *p, uint8_t type, uint32_t timestamp_ms, struct slice body);
/* Sends what was pushed to the home worker; at the end of a read. */
void publisher_flush(struct publisher *p);
/* clean: the publisher said goodbye (the stream ends at once); else its transport was lost (the claim
 * goes to state lost for stream.lost_ms). */
void publisher_close(struct publisher **pp, bool clean);

#endif
