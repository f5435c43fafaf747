#ifndef SLUICE_CLUSTER_REDIS_SENTINEL_H
#define SLUICE_CLUSTER_REDIS_SENTINEL_H

#include "cluster/redis_conn.h"
#include "core/config.h"

/*
 * Where the master is, by Redis Sentinel: one of them is asked for each connection that is to be
 * made, in an order that was drawn at the start, the next when it does not know or what it said was
 * no master (ROLE decides, never Sentinel alone).  One more connection listens to +switch-master,
 * which only makes the others look at once.  Sentinels get no user and no password.  All on the
 * worker's thread.
 */
struct redis_sentinel;

#define REDIS_SENTINELS_MAX      16
#define REDIS_SENTINEL_CONNS_MAX 4 /* connections that look for the master */

struct redis_sentinel_events {
    /* A Sentinel says that the master is at "HOST:PORT" now. */
    void (*on_moved)(const char *address, void *arg);
};

/* `sentinels` (1 to REDIS_SENTINELS_MAX of "HOST:PORT"), `master`, `client`, `log` and `events`
 * must outlive it. */
struct redis_sentinel *redis_sentinel_new(struct worker *w, const struct text_list *sentinels,
                                          const char *master, const char *client,
                                          const struct log_id *log,
                                          const struct redis_sentinel_events *events, void *arg);
/* Sentinels are asked over TLS; before the start. */
void redis_sentinel_set_tls(struct redis_sentinel *s, struct tls_context *tls);
/* Begins to listen to +switch-master. */
void redis_sentinel_start(struct redis_sentinel *s);
/* No connection is answered any more.  May be called again. */
void redis_sentinel_stop(struct redis_sentinel *s);
/* After the connections that look for the master were stopped. */
void redis_sentinel_free(struct redis_sentinel **sp);

/* A redis_find; `arg` is the redis_sentinel. */
void redis_sentinel_find(struct redis_conn *c, bool failed, void *arg);

/* "HOST:PORT" (an IPv6 address in brackets) of what a Sentinel said; false, and out empty, when it
 * cannot be one. */
bool redis_sentinel_address(struct slice host, struct slice port, char *out, size_t room);

#endif
