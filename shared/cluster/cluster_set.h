#ifndef SLUICE_CLUSTER_CLUSTER_SET_H
#define SLUICE_CLUSTER_CLUSTER_SET_H

#include "cluster/gossip.h"

/* What both ends of a call between nodes know. */
#define CLUSTER_SET_PATH     "/cluster/v1/set"
#define CLUSTER_REQUEST_PATH "/cluster/v1/request"
/* Bytes of a node's whole set: a stream's name, epoch, identity and numbers, with room. */
#define CLUSTER_SET_BYTES_MAX ((size_t)GOSSIP_STREAMS_MAX * 512)

#endif
