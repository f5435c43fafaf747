#ifndef SLUICE_CLUSTER_TAKEOVER_H
#define SLUICE_CLUSTER_TAKEOVER_H

#include "cluster/cluster.h"

/*
 * Who may displace the present owner of a stream.  A pure function for the backends that decide
 * themselves; lua/acquire.lua is the same for Redis.
 *
 * Only the displacement of a live publisher counts for damping: two are free, then the present
 * owner is left alone for 4, 8, 16 … 128 s since it took over; the counter begins again after 150 s
 * without one.
 */
#define TAKEOVER_FREE      2 /* displacements without a wait */
#define TAKEOVER_SHIFT_MAX 7 /* the longest wait is 2^this seconds */
#define TAKEOVER_FORGET_S  150

/* What is recorded of the present owner. */
struct takeover_record {
    bool lost;  /* its publisher's transport is gone */
    bool stale; /* half of its lease passed without a renewal */
    const char *publisher;
    int takeovers;
    int64_t since_us; /* when it took over; any clock, that of now_us */
};

/* GRANTED (with *takeovers for the new record), BUSY, or HOLD with *wait_ms. */
enum claim_verdict takeover_judge(const struct takeover_record *r,
                                  const struct cluster_claim *claim, int64_t now_us, int *takeovers,
                                  int64_t *wait_ms);

/* True when both are the same publisher; empty identities never are. */
bool takeover_same(const char *a, const char *b);

#endif
