#ifndef SLUICE_EDGE_ASK_NODES_H
#define SLUICE_EDGE_ASK_NODES_H

#include "cluster/cluster.h"
#include "net/relay_call.h"

/*
 * Who has a stream, asked of the nodes themselves while the directory is away: at most
 * ASK_NODES_MAX that take publishers, all at once; the highest (epoch, instance) wins.
 */
#define ASK_NODES_MAX 16
#define ASK_NODES_MS  300 /* for all of them together */

struct ask;

/* owner->found is false when nobody said yes.  Called once; ask has been freed. */
typedef void ask_done(const struct cluster_owner *owner, void *arg);

/* On w, and never from inside the start. */
struct ask *ask_nodes(struct worker *w, struct cluster *cluster, const struct relay_client *client,
                      const char *name, ask_done *done, void *arg);
void ask_cancel(struct ask **ap);

#endif
