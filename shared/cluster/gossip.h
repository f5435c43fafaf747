#ifndef SLUICE_CLUSTER_GOSSIP_H
#define SLUICE_CLUSTER_GOSSIP_H

#include "base/buf.h"
#include "cluster/cluster.h"
#include "net/io.h"

/*
 * The directory without Redis: every node tells the others what it is and which streams it owns, in
 * authenticated datagrams (proto/gossip.h), and repairs what was lost over TCP.  Each node is the
 * only writer of its own set of streams, so what a node knows is one set per other node; the owner
 * of a name is the highest (epoch, instance) among the sets of the nodes that live.
 *
 * This is the whole protocol without a socket and without a clock: datagrams, answers and times
 * come in by calls, what is to be sent goes out by `ops`.  Everything on one thread; no call of ops
 * may call back into the engine, except that gossip_fetched() may be called later.
 *
 * Over a group a datagram goes to all at once; by unicast (static peers) it goes to every peer that
 * is known, seeds included, and what one node knows of others spreads with its heartbeats.
 */
struct gossip;

#define GOSSIP_NODES_MAX    256   /* other nodes that are remembered, dead ones included */
#define GOSSIP_STREAMS_MAX  10000 /* streams of one node */
#define GOSSIP_CHANGES_MAX  4096  /* changes of our set that a peer can catch up on */
#define GOSSIP_HEARTBEAT_MS 1000  /* ± 10 % */
#define GOSSIP_FANOUT       32    /* peers that one round of unicast heartbeats goes to */
#define GOSSIP_DEAD_MS                                                                             \
    3500                          /* silence after which a node without a link is dead; by         \
                                     unicast 3 x the longest interval + 500 ms if longer */
#define GOSSIP_REMEMBER_MS 600000 /* a dead node's last instance and sequence number are kept */
#define GOSSIP_PACKETS_PER_S                                                                       \
    50                             /* datagrams of ours per second and destination; changes        \
                                      that would pass it wait and go together */
#define GOSSIP_FETCH_JITTER_MS 200 /* before a difference is repaired; one fetch a node */

struct gossip_options {
    const struct cluster_self *self; /* copied */
    const char *role, *zone;         /* "node", "origin", "edge"; zone may be NULL; copied */
    const char *cluster;             /* cluster.name; copied */
    struct slice secret;             /* copied */
    struct slice secret_previous; /* accepted as well while secrets are exchanged; may be empty */
    bool unicast;                 /* peers instead of a group */
    const struct net_address *seeds; /* may be added later: gossip_seed() */
    size_t seed_count;
    struct log_id log;
};

struct gossip_ops {
    /* `to` NULL: to the group. */
    void (*send)(const struct net_address *to, struct slice datagram, void *arg);
    /* Ask the node for its set: GET /cluster/v1/set?instance=I&since=V at its relay address.
     * gossip_fetched() follows exactly once, later. */
    void (*fetch)(const char *node, uint64_t instance, const char *address, uint64_t since,
                  void *arg);
    /* The highest owner of a name is another one, or lost, or found again; found false: nobody has
     * it.  Not called for changes of our own set. */
    void (*on_owner)(const char *name, const struct cluster_owner *owner, void *arg);
    /* A node came, went, or says something new of itself. */
    void (*on_nodes)(void *arg);
    /* True while a link delivers media from or to this node: it lives whatever its datagrams say.
     */
    bool (*is_linked)(const char *node, void *arg);
    void (*fill_load)(struct cluster_load *load, void *arg);
    /* Random bits: jitter, challenges. */
    uint64_t (*random)(void *arg);
};

struct gossip *gossip_new(const struct gossip_options *o, const struct gossip_ops *ops, void *arg);
void gossip_free(struct gossip **gp);

/* Another seed, or a seed's address by another name; harmless when it is known. */
void gossip_seed(struct gossip *g, const struct net_address *seed);

/* What is due: heartbeats, repeated announcements, challenges, deaths.  Returns when to call again
 * (monotonic microseconds); any other call may make it sooner: see gossip_due(). */
int64_t gossip_run(struct gossip *g, int64_t now_us);
int64_t gossip_due(const struct gossip *g);

/* A datagram from a socket.  0, or a negative enum err when it was dropped (forged, replayed, of
 * another cluster, malformed); counted in the stats. */
int gossip_input(struct gossip *g, const struct net_address *from, struct slice datagram,
                 int64_t now_us);

/* What the directory keeps of a stream of ours. */
struct gossip_claim {
    const char *name;
    uint64_t epoch;
    bool lost;
    const char *publisher; /* identity as in struct cluster_claim */
    int takeovers;
};
/* Puts into our set, or changes there, or takes out; the others are told at once (0, 50, 200 ms).
 */
int gossip_announce(struct gossip *g, const struct gossip_claim *claim, int64_t now_us);
void gossip_withdraw(struct gossip *g, const char *name, const char *why, int64_t now_us);
/* The node's own state changed (drain): a heartbeat now. */
void gossip_touch(struct gossip *g, int64_t now_us);
/* Others are asked for a name that is not known here; their answer comes as on_owner. */
void gossip_ask(struct gossip *g, const char *name, int64_t now_us);
/* We leave: the others forget us at once.  Nothing is sent afterwards. */
void gossip_leave(struct gossip *g, int64_t now_us);

/* The highest live owner among the others; NULL-safe: found false.  `record` (may be NULL) is what
 * decides about a takeover. */
struct gossip_record {
    char publisher[CLUSTER_PUBLISHER_MAX];
    int takeovers;
    int64_t silent_us; /* since its node was last heard */
};
void gossip_owner(const struct gossip *g, const char *name, int64_t now_us,
                  struct cluster_owner *owner, struct gossip_record *record);
/* The live nodes, ourselves not included; at most `room`. */
size_t gossip_nodes(const struct gossip *g, int64_t now_us, struct cluster_node *out, size_t room);

/* Our set as the answer to a peer's fetch: from `since` when the changes are still held and
 * `instance` is ours, else whole.  The bytes are appended to `out`. */
int gossip_set_write(const struct gossip *g, uint64_t instance, uint64_t since, struct buf *out);
/* The answer of another node, or NULL bytes when it could not be had. */
void gossip_fetched(struct gossip *g, const char *node, uint64_t instance, struct slice bytes,
                    int64_t now_us);

struct gossip_stats {
    uint64_t sent, received;
    uint64_t dropped_forged, dropped_replayed, dropped_foreign, dropped_malformed;
    uint64_t fetches, fetch_failures, challenges;
    uint64_t refused; /* what a bound left out */
    size_t nodes_alive, streams_known;
};
void gossip_stats(const struct gossip *g, struct gossip_stats *out);

#endif
