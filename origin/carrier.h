#ifndef SLUICE_ORIGIN_CARRIER_H
#define SLUICE_ORIGIN_CARRIER_H

#include "net/relay_call.h"
#include "origin/claim.h"

/*
 * Publishers on a node that owns no streams (role edge): each is carried on to a node that does.
 * The carrier stands where the claim stands otherwise: behind the publisher, with the same
 * contender.
 *
 *   publisher ─frames─▶ LOG (newest key frame and after) ─relay records─▶ POST …/publish ─▶ origin
 *            ◀─news──── accepted, want-key, keepalive, end ◀──────────── its answer
 *
 * When the origin dies, hangs or leaves, the newest key frame and what follows go to another one
 * while the publisher stays connected; the identity it is posted with lets it take over at once.
 *
 *            listed, posted            accepted              link lost, origin leaves
 *   FINDING ───────────────▶ ASKING ───────────▶ UP ─────────────────────┐
 *      ▲                        │ failed                                 │
 *      └────────────────────────┴────────────────────────────────────────┘
 *                           (until CARRY_FIRST_MS, or stream.lost_ms + CARRY_MORE_MS)
 *
 * Everything of a carrier is on its publisher's worker.
 */
#define CARRY_FIRST_MS   5000  /* a new publisher waits so long for an origin that takes it */
#define CARRY_MORE_MS    10000 /* on top of stream.lost_ms: how long one that had one waits */
#define CARRY_STEP_MS    100   /* first wait between tries */
#define CARRY_WAIT_MS    1000  /* longest one */
#define CARRY_HEAD_MS    2000  /* host look-up, connection and head of the answer */
#define CARRY_DEAD_MS    2000  /* silence on a link with keepalives every 500 ms */
#define CARRY_STEADY_MS  2000  /* an origin that stayed so long is lost, not failing */
#define CARRY_GOODBYE_MS 3000  /* for the last frames and the end of a stream to get through */
#define CARRY_KEEP_MS    5000 /* of media, besides the newest key frame and after, for short jams */
#define CARRY_UNSENT_MAX                                                                           \
    (8 * 1024 * 1024) /* bytes that wait for a slow link: more are not read                        \
                       */

/* All carriers of one worker. */
struct carriers {
    struct worker *worker;
    struct hub *hub; /* its bound on memory counts for carried streams, too */
    struct cluster *cluster;
    const struct relay_client *client;
    struct list contenders; /* from carrier_enter() to carrier_leave() */
    struct list carriers;   /* struct carrier; some outlive their contender for a moment */
    struct list drains;     /* struct claims_drained, waiting */
    struct timer grace;     /* of a drain: publishers that are still there are ended */
    bool draining;
};
void carriers_init(struct carriers *t, struct worker *w, struct hub *hub, struct cluster *cluster,
                   const struct relay_client *client);
/* After the workers have stopped; must(): no contenders and no drains. */
void carriers_fini(struct carriers *t);

/* As claims_enter(), contender_frames(), contender_leave() and contender_forget(). */
void carrier_enter(struct carriers *t, struct contender *c);
void carrier_frames(struct contender *c, struct frame **frames, size_t count);
void carrier_leave(struct contender *c, bool clean);
void carrier_forget(struct contender *c);
/* As claims_drain(): the streams are lost, not over, for their publishers may go to another node.
 */
void carriers_drain(struct carriers *t, int64_t grace_ms);
void carriers_undrain(struct carriers *t);
/* As claims_await_empty(): the origins have been told, too. */
void carriers_await_empty(struct carriers *t, struct claims_drained *d);

#endif
