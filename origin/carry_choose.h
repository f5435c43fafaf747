#ifndef SLUICE_ORIGIN_CARRY_CHOOSE_H
#define SLUICE_ORIGIN_CARRY_CHOOSE_H

#include "cluster/cluster.h"

/* Which node a publisher is carried on to. */
#define CARRY_FAILED_MAX 8 /* nodes remembered as failed, by one carrier */
#define CARRY_FAILED_KEEP_US                                                                       \
    15000000               /* for so long: a node that is gone leaves the list by then             \
                            */
#define CARRY_LOAD_STEP 10 /* percent; loads that differ by less are the same */

/* Nodes that have just failed; starts as all zero. */
struct carry_failures {
    struct {
        char node[NAME_NODE_MAX + 1];
        int64_t at_us; /* clock_us; 0: an empty row */
    } rows[CARRY_FAILED_MAX];
};
void carry_failed(struct carry_failures *f, const char *node, int64_t now_us);

/*
 * Of the nodes that own streams and are not going out of service: those that have not failed, of
 * our zone if there is any, with the least load, then with the fewest streams; a random one among
 * equals.  When all have failed, the one whose failure is longest ago.  NULL when there is none.
 */
const struct cluster_node *carry_choose(const struct cluster_node *nodes, size_t count,
                                        const char *self, const char *zone,
                                        const struct carry_failures *f, int64_t now_us);

#endif
