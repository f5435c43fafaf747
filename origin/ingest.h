#ifndef SLUICE_ORIGIN_INGEST_H
#define SLUICE_ORIGIN_INGEST_H

#include "origin/carrier.h"

/* What ingest.c and publisher.c share: the claims of the node, or its carriers, a table for each
 * worker. */
struct ingest {
    struct workers *group;
    struct hub *hub;
    struct cluster *cluster;
    struct claims *tables;     /* by worker index */
    struct carriers *carriers; /* the same; NULL: publishers claim their names here */
};

static inline struct claims *ingest_table(struct ingest *i, const struct worker *home)
{
    return &i->tables[home->index];
}

/* Frees a publisher that was closed, and whose messages are no longer run. */
void publisher_discard(struct contender *c);

#endif
