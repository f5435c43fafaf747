#ifndef SLUICE_CLUSTER_MESH_H
#define SLUICE_CLUSTER_MESH_H

#include "cluster/cluster_backend.h"
#include "cluster/gossip.h"

/*
 * The gossip engine with its sockets, its timer and its calls to other nodes.  The backends
 * multicast and static stand on it; redis has one beside it when static peers are given.
 *
 *   udp ──datagram──▶ gossip ──on_owner, on_nodes──▶ (end of the turn) ──▶ the backend
 *   udp ◀────────────    │
 *   relay_call ◀──fetch──┘
 *
 * Everything on the cluster's worker.
 */
struct mesh;

enum mesh_kind { MESH_MULTICAST, MESH_STATIC };

struct mesh_events {
    /* As of gossip_ops, but at the end of a turn: never from inside a call of the mesh. */
    void (*on_owner)(const char *name, const struct cluster_owner *owner, void *arg);
    /* The live nodes have changed, or what they say of themselves; likewise. */
    void (*on_nodes)(void *arg);
    /* The sockets were opened (again), or the network is away and they will be;
     * the mesh may not be called. */
    void (*on_open)(bool open, void *arg);
    /* The answer of mesh_confirm(); likewise.  May be NULL. */
    void (*on_confirmed)(void *arg);
};

/* Before the loops run.  0, or negative with `error` filled when another program has the port. */
int mesh_open(struct mesh **out, struct cluster *c, enum mesh_kind kind,
              const struct mesh_events *events, void *arg, char error[CONFIG_ERROR_MAX]);
void mesh_start(struct mesh *m);
/* Says goodbye and falls silent. */
void mesh_leave(struct mesh *m);
void mesh_free(struct mesh **mp);

/* The functions of the engine (gossip.h), now. */
void mesh_announce(struct mesh *m, const struct cluster_held *held);
void mesh_withdraw(struct mesh *m, const char *name, const char *why);
void mesh_ask(struct mesh *m, const char *name);
void mesh_touch(struct mesh *m);
void mesh_owner(const struct mesh *m, const char *name, struct cluster_owner *owner,
                struct gossip_record *record);
size_t mesh_nodes(const struct mesh *m, struct cluster_node *out, size_t room);
int mesh_write_set(const struct mesh *m, uint64_t instance, uint64_t since, struct buf *out);

/* After a time in which others may have taken us for dead: asks them for what we hold.
 * on_confirmed follows when one of them was heard since, or within the call when there is none;
 * their answers are told before. */
void mesh_confirm(struct mesh *m);

/* What a claim of that name is to be answered, decided here and now; *takeovers for the new record.
 * GRANTED is not announced yet. */
void mesh_judge(const struct mesh *m, const struct cluster_claim *claim,
                struct cluster_claimed *answer, int *takeovers);

/* A request to a node that is known to live; others are dropped. */
void mesh_send(struct mesh *m, const char *node, const char *verb, const char *name);

#endif
