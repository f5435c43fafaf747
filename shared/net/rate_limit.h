#ifndef SLUICE_NET_RATE_LIMIT_H
#define SLUICE_NET_RATE_LIMIT_H

#include "net/io.h"

/*
 * How often something may be asked for, per address (an IPv6 host counts by its /64): a burst, then
 * so many a second.  On one worker.  Its memory is fixed: among very many addresses the one that
 * has asked for the least is forgotten first.
 */
struct rate_limit;

struct rate_limit *rate_limit_new(int64_t burst, int64_t per_s);
void rate_limit_free(struct rate_limit **lp);
/* Takes one; false when there is none left.  now_us by clock_us(). */
bool rate_limit_take(struct rate_limit *l, const struct net_address *peer, int64_t now_us);

#endif
