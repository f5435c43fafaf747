#ifndef SLUICE_CLUSTER_MESH_INTERNAL_H
#define SLUICE_CLUSTER_MESH_INTERNAL_H

#include "cluster/mesh.h"
#include "core/timer.h"
#include "net/resolve_host.h"
#include "net/udp.h"

/*
 *   mesh.c          lifetime, the engine's timer, what it tells
 *   mesh_sockets.c  sockets that come and go with the network
 *   mesh_seeds.c    static peers by name, looked up again and again
 *   mesh_calls.c    requests to other nodes: their sets, messages to them
 */
#define MESH_MAGIC         0x6d657368U
#define MESH_REOPEN_MS     100   /* first wait before sockets are opened again */
#define MESH_REOPEN_MAX_MS 2000  /* longest one */
#define MESH_JOIN_MS       5000  /* between two joins of the group */
#define MESH_SEED_MS       1000  /* first wait before a peer's name is looked up again */
#define MESH_SEED_MAX_MS   10000 /* longest one while nobody has it */
#define MESH_SEED_KEEP_MS  30000 /* when it was found: other nodes may have it, too */
#define MESH_CALL_MS       2000  /* head of an answer; silence after it */
#define MESH_CALL_ALL_MS   6000  /* a whole call: who answers slowly keeps nobody else waiting */
#define MESH_CONFIRM_MS    20    /* after a wake-up what is heard may have lain in the socket */
#define MESH_CONFIRM_ASKS  16  /* streams that are asked for by name; a digest tells of the rest */
#define MESH_NEWS_PER_TURN 500 /* streams whose owners changed, before others have their turn */

/* A static peer. */
struct mesh_seed {
    struct mesh *mesh;
    const char *address; /* in the settings */
    struct host_lookup *lookup;
    struct backoff backoff;
    struct timer again;
};

struct mesh {
    uint32_t magic;
    struct cluster *cluster;
    struct worker *worker;
    const struct config *config;
    const struct log_id *log;
    enum mesh_kind kind;
    struct mesh_events events;
    void *arg;
    struct gossip *gossip;
    bool left;

    struct timer timer; /* when the engine is due */
    struct task tell;
    struct list news; /* owners to be told */
    bool nodes_news;
    int64_t confirm_us; /* a node heard from then on confirms us; 0: nobody waits */
    struct map *nodes;  /* id -> struct mesh_node: those that were told of in the log */

    struct udp *own;   /* sends everything; hears what is for us */
    struct udp *group; /* hears the group; NULL: static */
    struct net_address group_address;
    struct timer reopen, join;
    struct backoff reopening;
    bool is_open, reopen_told;

    struct mesh_seed *seeds;
    size_t seed_count;
    struct list calls;
};

/* The engine was called: its timer may be due sooner. */
void mesh_rearm(struct mesh *m);

/* A datagram was taken. */
void mesh_heard(struct mesh *m);

/* 0, or negative with `error` filled when another program has the port; a network that is away is
 * no error. */
int mesh_sockets_init(struct mesh *m, char error[CONFIG_ERROR_MAX]);
void mesh_sockets_start(struct mesh *m);
void mesh_sockets_stop(struct mesh *m);
/* As of gossip_ops. */
void mesh_sockets_send(struct mesh *m, const struct net_address *to, struct slice datagram);

void mesh_seeds_init(struct mesh *m);
void mesh_seeds_start(struct mesh *m);
void mesh_seeds_fini(struct mesh *m);

/* As of gossip_ops. */
void mesh_call_fetch(struct mesh *m, const char *node, uint64_t instance, const char *address,
                     uint64_t since);
void mesh_call_request(struct mesh *m, const struct cluster_node *to, const char *verb,
                       const char *name);
void mesh_calls_stop(struct mesh *m);

#endif
