#ifndef SLUICE_CLUSTER_CLUSTER_BACKEND_H
#define SLUICE_CLUSTER_CLUSTER_BACKEND_H

#include "cluster/cluster.h"

/*
 * What a backend implements.  Everything runs on the cluster's worker; a backend answers each request
 * exactly once through the cluster_backend_* functions of cluster.c (never from inside the call).
 * `none` is the smallest member.
 */
struct cluster_request; /* an acquire, lookup, nodes or release that waits for its answer */

struct cluster_backend {
    const char *name;
    int (*open)(struct cluster *c, void **state, char error[CONFIG_ERROR_MAX]);
    /* Starts its timers and connections; called on the worker's thread once loops run. */
    void (*start)(void *state);
    void (*acquire)(void *state, const struct cluster_claim *claim, struct cluster_request *r);
    void (*release)(void *state, const char *name, uint64_t epoch, const char *why,
                    struct cluster_request *r);
    void (*claim_changed)(void *state, const char *name); /* lost, msn, tracks: next renewal, or now */
    void (*lookup)(void *state, const char *name, struct cluster_request *r);
    void (*watch)(void *state, const char *name, bool on);
    void (*nodes)(void *state, struct cluster_request *r);
    int (*send)(void *state, const char *node, const char *verb, const char *name);
    bool (*is_up)(void *state);
    void (*close)(void *state, void (*on_closed)(void *arg), void *arg);
    void (*free)(void **state);
};

extern const struct cluster_backend cluster_backend_none;
extern const struct cluster_backend cluster_backend_redis;

#endif
