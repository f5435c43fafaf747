#ifndef SLUICE_EDGE_PARENT_H
#define SLUICE_EDGE_PARENT_H

#include "relay/probe.h"

/*
 * Which node of our zone becomes the upstream.  All nodes put the others in the same order for a
 * stream (rendezvous hashing), so that they ask the same ones and no two wait for each other.
 *
 * Why no ring forms: who starts or has lost its way takes a node that is fed, and no node that is
 * fed has its frames through one that is not; who waits takes one that waits only when it is before
 * itself in the order; who asks the owner moves only below another that does and is before itself;
 * who has a parent moves only to a node that is nearer to the owner than its parent is.  Of two
 * that choose at the same moment at most one can choose the other.  What races with old answers
 * leave is found by the path in the relay's state, which breaks the ring.
 */
enum parent_mood {
    PARENT_START,   /* nothing comes yet */
    PARENT_MOVE,    /* the owner is asked, and a parent would be better */
    PARENT_SHORTEN, /* a parent is asked, and one nearer to the owner would be better */
    PARENT_ANY,     /* the owner cannot be reached */
};

struct parent_wish {
    enum parent_mood mood;
    const char *self; /* our node id */
    const char *name; /* of the stream */
    uint64_t epoch;   /* of the owner: what is lower is of no use */
    int hops_max;     /* links between the owner and the parent, at most RELAY_HOPS_MAX - 1 */
};

struct parent_candidate {
    const char *node;
    const struct probe_answer *answer;
};

/* The node's place in the order of a stream: lower is before; equal only by chance. */
uint64_t parent_rank(const char *name, const char *node);
/* True when a is before b. */
bool parent_before(const char *name, const char *a, const char *b);

/* Nodes that a path names, or -1 when one of them is `node`. */
int parent_path_nodes(const char *path, const char *node);

/* The index of the best, or -1. */
int parent_choose(const struct parent_wish *w, const struct parent_candidate *list, size_t count);

#endif
