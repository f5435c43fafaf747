#ifndef SLUICE_CLUSTER_REDIS_ERROR_H
#define SLUICE_CLUSTER_REDIS_ERROR_H

#include "cluster/redis_reply.h"

#include <stdbool.h>

/*
 * What an error of Redis means for us: one table for all commands (docs/redis.md, "When Redis says
 * no").  None of them ends a node that runs.
 */
enum redis_error_kind {
    REDIS_ERROR_NONE,    /* not an error, or no answer */
    REDIS_ERROR_RELOAD,  /* the script is not there: load it and call again */
    REDIS_ERROR_MOVE,    /* this connection is of no use: drop it and look for the master */
    REDIS_ERROR_LATER,   /* of the moment: go on without, try again with the next heartbeat */
    REDIS_ERROR_REFUSED, /* about us (rights, password, anything unknown): fatal at the start */
};

enum redis_error_kind redis_error_kind(const redisReply *r);

/* True when the connection that answered so cannot be kept. */
bool redis_error_ends_connection(const redisReply *r);

#endif
