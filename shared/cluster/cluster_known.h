#ifndef SLUICE_CLUSTER_CLUSTER_KNOWN_H
#define SLUICE_CLUSTER_CLUSTER_KNOWN_H

#include "base/list.h"
#include "base/map.h"
#include "cluster/cluster.h"

/*
 * The memory of owners: the highest (epoch, instance) seen for each stream, so that a lower one is
 * told apart even when the directory has forgotten.  Bounded by number and by time; the one touched
 * longest ago goes first.  Who owns the table looks every KNOWN_LOOK_MS for what is too old.
 */
#define KNOWN_STREAMS_MAX 65536
#define KNOWN_KEEP_US     (600LL * 1000000) /* since it was last touched */
#define KNOWN_LOOK_MS     10000
#define KNOWN_LOOK_MAX    1024 /* that go in one look: a fraction of a millisecond */

struct known {
    struct list node; /* oldest first */
    int64_t touched_us;
    bool found, lost;
    bool missing; /* the directory had no record when it was last read */
    uint64_t epoch, instance;
    uint64_t top_epoch, top_instance; /* the highest ever seen: above these after a regression … */
    int64_t regressed_us;             /* … at this time; 0: there was none */
    char node_id[NAME_NODE_MAX + 1];
    char *address;        /* empty: not known yet */
    uint64_t low_epoch;   /* a lower epoch that the directory shows, or 0 */
    int64_t low_since_us; /* since when */
    char name[];
};

struct known_table {
    struct map *map;
    struct list oldest;
};

void known_init(struct known_table *t);
void known_fini(struct known_table *t);

/* The entry, or NULL when there is none or it is too old. */
struct known *known_get(struct known_table *t, const char *name, int64_t now_us);
/* The entry, made when there was none (epoch 0), touched now. */
struct known *known_touch(struct known_table *t, const char *name, int64_t now_us);

void known_drop(struct known_table *t, struct known **kp);
/* Drops what is too old, KNOWN_LOOK_MAX at most; whether more is left. */
bool known_expire(struct known_table *t, int64_t now_us);

/* Below, at or above 0 as the entry is lower than, equal to or higher than (epoch, instance). */
int known_compare(const struct known *k, uint64_t epoch, uint64_t instance);
void known_set(struct known *k, const struct cluster_owner *owner);
void known_owner(const struct known *k, struct cluster_owner *out);

#endif
