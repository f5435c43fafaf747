#ifndef SLUICE_NET_RESOLVE_HOST_H
#define SLUICE_NET_RESOLVE_HOST_H

#include "core/worker.h"
#include "net/io.h"

/*
 * One look-up of "HOST:PORT" without blocking the worker: numeric hosts at once, names through the
 * hosts file and the name servers of resolv.conf, read anew each time so that a changed one is
 * seen. Everything happens on the worker it was started on.
 */
struct host_lookup;

/* `found` is NULL when there is no such host or no answer.  Called once, never from inside the
 * start; the look-up has freed itself before. */
typedef void host_lookup_done(const struct net_address *found, void *arg);
struct host_lookup *host_lookup_start(struct worker *w, const char *address, host_lookup_done *done,
                                      void *arg);
/* The same for all addresses of a name, at most HOST_ADDRESSES_MAX. */
#define HOST_ADDRESSES_MAX 64
typedef void host_lookup_all_done(const struct net_address *found, size_t count, void *arg);
struct host_lookup *host_lookup_all_start(struct worker *w, const char *address,
                                          host_lookup_all_done *done, void *arg);
/* Ends either without a callback. */
void host_lookup_cancel(struct host_lookup **hp);

#endif
