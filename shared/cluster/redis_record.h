#ifndef SLUICE_CLUSTER_REDIS_RECORD_H
#define SLUICE_CLUSTER_REDIS_RECORD_H

#include "base/buf.h"
#include "cluster/cluster.h"
#include "cluster/redis_reply.h"

/*
 * What lies in Redis: keys, hashes and events (docs/redis.md), between their text and our structs.
 * Whatever does not have the form of a record is as if it were not there.
 */
#define REDIS_KEY_PREFIX_MAX 192
#define REDIS_EPOCH_MAX      ((UINT64_C(1) << 53) - 1) /* exact in the scripts' doubles */
#define REDIS_PROBE_PREFIX   "_sluice/" /* names of this application are probes, not streams */

/* Key and channel names; a prefix ends before the stream or node. */
struct redis_keys {
    char stream[REDIS_KEY_PREFIX_MAX], next[REDIS_KEY_PREFIX_MAX];
    char node[REDIS_KEY_PREFIX_MAX], to[REDIS_KEY_PREFIX_MAX];
    char nodes[REDIS_KEY_PREFIX_MAX], epoch[REDIS_KEY_PREFIX_MAX];
    char version[REDIS_KEY_PREFIX_MAX], events[REDIS_KEY_PREFIX_MAX];
};
/* 0, or ERR_NAME when the cluster's name cannot be part of a key. */
int redis_keys_init(struct redis_keys *k, const char *cluster_name);

/* The fields that make an owner, for HMGET, ending with NULL. */
extern const char *const redis_owner_fields[];
/* From the reply to that HMGET; false when there is no (proper) record. */
bool redis_owner_parse(const redisReply *reply, struct cluster_owner *out);
/* From single texts; `state` may be empty. */
bool redis_owner_of(struct slice node, struct slice instance, struct slice addr, struct slice epoch,
                    struct slice state, struct cluster_owner *out);

bool redis_epoch_parse(struct slice text, uint64_t *out);
bool redis_instance_parse(struct slice text, uint64_t *out);
/* Not negative, or CLUSTER_NEXT_NONE. */
int64_t redis_next_parse(struct slice text);

/* From HGETALL of a node; `id` is from its key. */
bool redis_node_parse(const redisReply *reply, struct slice id, struct cluster_node *out);

/* An event on the channel of all. */
enum redis_event_kind { REDIS_EVENT_OWN, REDIS_EVENT_END, REDIS_EVENT_NODE, REDIS_EVENT_DRAIN };
struct redis_event {
    enum redis_event_kind kind;
    uint64_t version; /* 0: none given */
    char stream[NAME_STREAM_MAX + 1];
    struct cluster_owner owner;
};
/* False for what is not an event of ours (an unknown kind too). */
bool redis_event_parse(struct slice text, struct redis_event *out);
/* A node's event: t is "node" or "drain". */
int redis_event_print(struct buf *out, uint64_t version, const char *t,
                      const struct cluster_self *self);

/* A request to one node. */
#define REDIS_VERB_MAX 32
struct redis_request {
    char verb[REDIS_VERB_MAX];
    char stream[NAME_STREAM_MAX + 1]; /* may be empty */
    char from[NAME_NODE_MAX + 1];
};
bool redis_request_parse(struct slice text, struct redis_request *out);
int redis_request_print(struct buf *out, const char *verb, const char *stream, const char *from);

#endif
