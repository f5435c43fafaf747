#include "origin/carry_choose.h"

#include "base/must.h"
#include "core/crypto.h"

#include <string.h>

void carry_failed(struct carry_failures *f, const char *node, int64_t now_us)
{
    size_t at = 0;
    for (size_t i = 0; i < CARRY_FAILED_MAX; i++) {
        if (strcmp(f->rows[i].node, node) == 0) {
            at = i;
            break;
        }
        if (f->rows[i].at_us < f->rows[at].at_us)
            at = i;
    }
    must(slice_copy(slice_text(node), f->rows[at].node, sizeof f->rows[at].node));
    f->rows[at].at_us = now_us;
}

static int64_t failed_at_us(const struct carry_failures *f, const char *node, int64_t now_us)
{
    for (size_t i = 0; i < CARRY_FAILED_MAX; i++)
        if (strcmp(f->rows[i].node, node) == 0 && now_us - f->rows[i].at_us < CARRY_FAILED_KEEP_US)
            return f->rows[i].at_us;
    return 0;
}

static bool may_own(const struct cluster_node *node, const char *self)
{
    return strcmp(node->id, self) != 0 && strcmp(node->role, "edge") != 0 &&
           strcmp(node->state, "up") == 0 && node->address[0] != '\0';
}

/* What counts, the most important first; lower is better. */
#define WEIGHTS 4
static void weigh(const struct cluster_node *node, const char *zone, int64_t failed_us,
                  int64_t out[WEIGHTS])
{
    out[0] = failed_us;
    out[1] = zone[0] != '\0' && strcmp(node->zone, zone) != 0;
    out[2] = node->load_percent / CARRY_LOAD_STEP;
    out[3] = node->streams;
}

static int compare(const int64_t a[WEIGHTS], const int64_t b[WEIGHTS])
{
    for (int i = 0; i < WEIGHTS; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

const struct cluster_node *carry_choose(const struct cluster_node *nodes, size_t count,
                                        const char *self, const char *zone,
                                        const struct carry_failures *f, int64_t now_us)
{
    const struct cluster_node *best = NULL;
    int64_t best_weights[WEIGHTS] = {0};
    uint64_t equals = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t weights[WEIGHTS];
        if (!may_own(&nodes[i], self))
            continue;
        weigh(&nodes[i], zone, failed_at_us(f, nodes[i].id, now_us), weights);
        int order = best == NULL ? -1 : compare(weights, best_weights);
        equals = order < 0 ? 1 : equals + (order == 0);
        if (order > 0 || (order == 0 && crypto_random_u64() % equals != 0))
            continue;
        best = &nodes[i];
        memcpy(best_weights, weights, sizeof weights);
    }
    return best;
}
