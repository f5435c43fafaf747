#ifndef SLUICE_CLUSTER_GOSSIP_INTERNAL_H
#define SLUICE_CLUSTER_GOSSIP_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "cluster/gossip.h"
#include "cluster/gossip_seal.h"
#include "core/logline.h"

/*
 * The parts of the engine:
 *
 *   gossip.c            datagrams in: opened, told apart, handed out; what is due
 *   gossip_send.c       datagrams out: sealed, to all or to one, how many
 *   gossip_own.c        our set of streams and the log of its changes
 *   gossip_announce.c   its changes as datagrams; questions and answers about one stream
 *   gossip_node.c       the other nodes: adopted, heard of, dead, forgotten
 *   gossip_challenge.c  nodes that must show that they live; seeds
 *   gossip_heartbeat.c  heartbeats out and in, entries about others
 *   gossip_fetch.c      whether what we hold of a node is what it says, and repair
 *   gossip_owner.c      streams of others by name, and the highest owner of each
 */

/* Bounds besides those of gossip.h. */
#define SEEDS_MAX            256
#define CHALLENGES_MAX       128 /* nodes not adopted that are asked at a time */
#define CHALLENGE_TRIES      5   /* then the next datagram of that node starts again */
#define CHALLENGE_MS         150 /* the first interval; doubled each time */
#define SEED_RETRY_MS        250 /* the first interval; doubled up to … */
#define SEED_RETRY_MAX_MS    2000
#define DEAD_RETRY_MS        5000 /* unicast: a dead node's address is asked whether it is back */
#define PROBE_MS             100  /* a silent node is asked this often before it is dead */
#define LINKED_PROBE_MS      1000 /* … and this often while only its link shows that it lives */
#define LATE_MS              500  /* a run that comes so late has not heard what it should have */
#define PROBE_AFTER_MS       1250 /* of silence; by unicast 5/4 of the interval */
#define DEAD_MARGIN_MS       500
#define NAMESAKE_MS          10000 /* between two warnings of two nodes with one id */
#define ADDRESS_MOVED_MS     2500  /* silence at the old address before a new one is tried */
#define FETCHES_MAX          16    /* under way at a time */
#define FETCH_BACKOFF_MS     500   /* after a failure; doubled up to … */
#define FETCH_BACKOFF_MAX_MS 8000
#define BURSTS_MAX           16  /* ranges of changes that are being announced */
#define BURST_CHANGES_MAX    512 /* more changes than this at once are left to a fetch */
#define BURST_ROUNDS         3   /* a change is told at 0, 50 and 200 ms */
#define ALL_PER_S            35  /* of GOSSIP_PACKETS_PER_S: what goes to all … */
#define REPLIES_PER_S        15  /* … and what goes to one, for each */
#define STRANGERS_PER_S      200 /* challenges and responses to nodes not adopted, together */
#define ASKS_PER_S           20  /* of ALL_PER_S: questions for a name */

/* How many may go: `per_s` a second, and as many at once. */
struct bucket {
    int per_s;
    int64_t credit_us; /* time that is not yet used up, at most a second */
    int64_t last_us;
};
bool bucket_take(struct bucket *b, int64_t now_us);
/* When one may go, if none may now. */
int64_t bucket_due(const struct bucket *b, int64_t now_us);

/* A stream of ours. */
struct own_stream {
    uint64_t version, epoch, hash;
    bool lost;
    uint8_t takeovers;
    char publisher[CLUSTER_PUBLISHER_MAX];
    char name[];
};

/* A change of our set: change v is at [v % GOSSIP_CHANGES_MAX]. */
struct own_change {
    bool ended;
    char *text; /* the name and, of an end, why, with a 0 after each */
};

/* Changes after `since` up to `to` on their way to the others. */
struct burst {
    uint64_t since, to;
    uint64_t told; /* how far this round has come */
    int round;
    int64_t due_us;
};

struct node_stream;

struct gossip_node {
    uint64_t hash, instance, start_us;
    struct net_address address;
    bool alive, left, introduced; /* introduced: a heartbeat was heard */
    int64_t heard_us;             /* the last sign of life */
    int64_t address_us;           /* the last datagram from `address` */
    int64_t died_us;
    struct gossip_window window;
    uint64_t heartbeat_seq; /* of the newest heartbeat */

    struct list streams; /* of struct node_stream */
    size_t stream_count;
    uint64_t version, digest; /* of what we hold */
    uint64_t told_version, told_digest;
    uint64_t told_seq; /* of a datagram after which only newer ones lower what was told */
    bool has_digest;   /* told_digest is of told_version */

    bool fetching;
    int64_t fetch_us; /* when to compare again; INT64_MAX: no need */
    int fetch_fails;

    bool probing;
    uint8_t probe[GOSSIP_CHALLENGE_SIZE];
    int64_t probe_us; /* when the next one may go */
    struct bucket replies;

    bool draining;
    int load_percent;
    int64_t stream_total, viewers;
    char id[NAME_NODE_MAX + 1], role[8], zone[65], software[64];
    char relay[CLUSTER_ADDRESS_MAX], http[CLUSTER_ADDRESS_MAX];
};

/* A stream of another node, in its list and under its name. */
struct stream_name;
struct node_stream {
    struct list of_node, of_name;
    struct gossip_node *node;
    struct stream_name *name;
    uint64_t version, epoch, hash;
    bool lost, seen;
    uint8_t takeovers;
    char publisher[];
};

struct told {
    bool found, lost;
    uint64_t epoch, instance;
};
struct stream_name {
    struct list streams;
    struct told told; /* what on_owner said last */
    char name[];
};

struct challenge {
    struct net_address to;
    uint64_t node, instance; /* who is expected; 0: not known */
    uint8_t bytes[GOSSIP_CHALLENGE_SIZE];
    int tries;
    int64_t due_us;
};

struct seed {
    struct net_address address;
    uint64_t node; /* who answered; 0: nobody */
    bool self;
    uint8_t bytes[GOSSIP_CHALLENGE_SIZE];
    int64_t due_us, wait_ms;
};

struct fetch {
    uint64_t node, instance, target; /* target: the version told when it was asked for */
};

struct gossip {
    struct cluster_self self;
    char role[8], zone[65];
    uint64_t cluster, hash; /* of the names */
    struct gossip_keys keys;
    bool unicast, left;
    struct log_id log;
    struct log_limit noise;
    int64_t namesake_us; /* when two nodes with one id were last told of */
    struct gossip_ops ops;
    void *arg;
    struct gossip_stats stats;
    uint64_t seq;
    int64_t now_us, due_us;
    int64_t heartbeat_us;
    struct bucket all, strangers, asks;
    size_t heartbeat_cursor, peer_cursor;

    struct map *own;
    uint64_t version, digest;
    struct own_change *changes;
    struct burst bursts[BURSTS_MAX];
    size_t burst_count;

    struct gossip_node *nodes[GOSSIP_NODES_MAX];
    size_t node_count;
    struct map *names; /* of struct stream_name */
    size_t streams_known;
    struct challenge challenges[CHALLENGES_MAX];
    size_t challenge_count;
    struct seed seeds[SEEDS_MAX];
    size_t seed_count;
    struct fetch fetches[FETCHES_MAX];
    size_t fetch_count;
};

/* gossip.c: makes the next gossip_run() come no later than at_us. */
void gossip_wake(struct gossip *g, int64_t at_us);
/* ms * (1 ± 10 %), as microseconds. */
int64_t gossip_jitter_us(struct gossip *g, int64_t ms);
/* Something that was left out because a bound was reached; counted, and logged now and then. */
void gossip_refused(struct gossip *g, const char *what);

/* gossip_send.c: a datagram is begun, its fields are written, and it is sent. */
struct outgoing {
    struct wr w;
    uint8_t bytes[GOSSIP_DATAGRAM_MAX];
};
void outgoing_begin(struct gossip *g, struct outgoing *out, enum gossip_type type);
/* Bytes that fields may still have. */
size_t outgoing_room(const struct outgoing *out);
/* Seals it; it may go to several then, or to one. */
void outgoing_seal(struct gossip *g, struct outgoing *out);
void outgoing_to(struct gossip *g, const struct outgoing *out, const struct net_address *to);
/* Seals it and sends it to the group, or to every node that is alive. */
void outgoing_to_all(struct gossip *g, struct outgoing *out);

/* gossip_own.c */
uint64_t stream_hash(const char *name, uint64_t epoch, bool lost);
/* The change `version`, as it is to be told; false when a later change has replaced it.  Its texts
 * last until the set is changed. */
bool own_change_get(const struct gossip *g, uint64_t version, struct gossip_stream *out);
void own_describe(const struct own_stream *s, struct gossip_stream *out);
void own_free(struct gossip *g);

/* gossip_announce.c */
void announce_changes(struct gossip *g);
int64_t announce_run(struct gossip *g);
void announce_in(struct gossip *g, struct gossip_node *n, struct slice body,
                 const struct gossip_message *m);
void request_in(struct gossip *g, struct gossip_node *n, const struct gossip_message *m);
void have_in(struct gossip *g, struct gossip_node *n, struct slice body);

/* gossip_node.c */
struct gossip_node *node_find(const struct gossip *g, uint64_t hash);
/* The answer to a challenge showed that this instance lives; NULL when it cannot be taken in. */
struct gossip_node *node_adopt(struct gossip *g, const struct gossip_header *h,
                               const struct net_address *from);
/* An instance that is not (or not any more) that of the node: true when it may replace it. */
bool node_gives_way(const struct gossip_node *n, const struct gossip_header *h);
void node_heard(struct gossip *g, struct gossip_node *n);
void node_left(struct gossip *g, struct gossip_node *n);
/* We were held up ourselves: their silence meanwhile says nothing. */
void nodes_excuse(struct gossip *g, int64_t late_us);
int64_t gossip_node_run(struct gossip *g);
size_t nodes_alive(const struct gossip *g);
/* Nodes that one round of heartbeats goes to, and milliseconds between two to the same one. */
size_t heartbeat_fanout(const struct gossip *g);
int64_t heartbeat_interval_ms(const struct gossip *g);

/* gossip_challenge.c */
bool address_same(const struct net_address *a, const struct net_address *b);
void challenge_new(struct gossip *g, uint64_t node, uint64_t instance,
                   const struct net_address *to);
void challenge_probe(struct gossip *g, struct gossip_node *n);
void challenge_in(struct gossip *g, struct gossip_node *n, const struct gossip_header *h,
                  const struct gossip_message *m, const struct net_address *from);
/* A datagram of our own came back. */
void challenge_own(struct gossip *g, const struct gossip_message *m);
void response_in(struct gossip *g, struct gossip_node *n, const struct gossip_header *h,
                 const struct gossip_message *m, const struct net_address *from);
int64_t challenge_run(struct gossip *g);

/* gossip_heartbeat.c */
void heartbeat_to(struct gossip *g, struct gossip_node *n);
void heartbeat_in(struct gossip *g, struct gossip_node *n, uint64_t seq,
                  const struct gossip_message *m);
int64_t heartbeat_run(struct gossip *g);

/* gossip_fetch.c */
/* What the node says (or another says of it) about its set changed; compared after jitter. */
void fetch_compare(struct gossip *g, struct gossip_node *n);
/* Its set is at `version` at least. */
void fetch_told(struct gossip *g, struct gossip_node *n, uint64_t version);
int64_t fetch_run(struct gossip *g);

/* gossip_owner.c: streams (fields) that change the node's set from `since` to `to`. */
struct delta {
    bool full;
    uint64_t since, to;
    struct slice streams;
};
/* True when they were applied; otherwise something before them is missing, and only streams that
 * are new were taken. */
bool owner_apply(struct gossip *g, struct gossip_node *n, const struct delta *d);
void owner_apply_one(struct gossip *g, struct gossip_node *n, const struct gossip_stream *s);
/* The node has no streams any more. */
void owner_clear(struct gossip *g, struct gossip_node *n);
void owner_free(struct gossip *g);

#endif
