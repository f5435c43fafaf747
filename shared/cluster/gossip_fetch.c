#include "cluster/gossip_internal.h"

#include "base/err.h"
#include "base/must.h"

#define MS 1000LL

static bool is_behind(const struct gossip_node *n)
{
    if (n->version != n->told_version)
        return n->version < n->told_version;
    return n->has_digest && n->digest != n->told_digest;
}

void fetch_compare(struct gossip *g, struct gossip_node *n)
{
    if (!n->alive || !n->introduced || n->fetching || n->fetch_us != INT64_MAX || !is_behind(n))
        return;
    n->fetch_us = g->now_us + (int64_t)(g->ops.random(g->arg) % (GOSSIP_FETCH_JITTER_MS * MS + 1));
    gossip_wake(g, n->fetch_us);
}

void fetch_told(struct gossip *g, struct gossip_node *n, uint64_t version)
{
    if (version > n->told_version) {
        n->told_version = version;
        n->has_digest = false;
    }
    fetch_compare(g, n);
}

static void fetch_failed(struct gossip *g, struct gossip_node *n)
{
    g->stats.fetch_failures++;
    int64_t ms = (int64_t)FETCH_BACKOFF_MS << n->fetch_fails;
    if (ms < FETCH_BACKOFF_MAX_MS)
        n->fetch_fails++;
    else
        ms = FETCH_BACKOFF_MAX_MS;
    n->fetch_us = g->now_us + gossip_jitter_us(g, ms);
    gossip_wake(g, n->fetch_us);
}

static void fetch_start(struct gossip *g, struct gossip_node *n)
{
    g->fetches[g->fetch_count++] = (struct fetch){.node = n->hash, .instance = n->instance};
    g->stats.fetches++;
    n->fetching = true;
    n->fetch_us = INT64_MAX;
    /* At the same version with another digest only the whole set helps. */
    uint64_t since = n->version < n->told_version ? n->version : 0;
    g->ops.fetch(n->id, n->instance, n->relay, since, g->arg);
}

/* When this node is to be looked at again. */
static int64_t fetch_check(struct gossip *g, struct gossip_node *n)
{
    if (!n->alive || n->fetching || n->fetch_us > g->now_us)
        return n->alive && !n->fetching ? n->fetch_us : INT64_MAX;
    if (!is_behind(n)) {
        n->fetch_us = INT64_MAX;
        n->fetch_fails = 0;
        return INT64_MAX;
    }
    if (n->relay[0] == '\0') {
        fetch_failed(g, n);
        return n->fetch_us;
    }
    if (g->fetch_count < FETCHES_MAX)
        fetch_start(g, n);
    return INT64_MAX;
}

int64_t fetch_run(struct gossip *g)
{
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < g->node_count; i++) {
        int64_t next_us = fetch_check(g, g->nodes[i]);
        due_us = next_us < due_us ? next_us : due_us;
    }
    return due_us;
}

static bool fetch_take(struct gossip *g, uint64_t node, uint64_t instance)
{
    for (size_t i = 0; i < g->fetch_count; i++) {
        if (g->fetches[i].node != node || g->fetches[i].instance != instance)
            continue;
        g->fetches[i] = g->fetches[--g->fetch_count];
        return true;
    }
    return false;
}

static int answer_in(struct gossip *g, struct gossip_node *n, struct slice bytes)
{
    struct gossip_set set;
    if (bytes.p == NULL)
        return ERR_NOT_FOUND;
    int err = gossip_set_read(bytes, GOSSIP_STREAMS_MAX, &set);
    if (err < 0) {
        g->stats.dropped_malformed++;
        return err;
    }
    if (set.instance != n->instance)
        return ERR_REFUSED;
    uint64_t before = n->version;
    struct delta d = {.full = set.full, .since = set.since, .to = set.to, .streams = set.streams};
    if (!owner_apply(g, n, &d))
        return ERR_RANGE;
    /* An answer that brings nothing is one too many. */
    return n->version == before && is_behind(n) ? ERR_RANGE : 0;
}

void gossip_fetched(struct gossip *g, const char *node, uint64_t instance, struct slice bytes,
                    int64_t now_us)
{
    g->now_us = now_us;
    uint64_t hash = gossip_hash("node", node);
    if (!fetch_take(g, hash, instance))
        return;
    /* Others may have waited for its place. */
    gossip_wake(g, now_us);
    struct gossip_node *n = node_find(g, hash);
    if (n == NULL || n->instance != instance || !n->fetching)
        return;
    n->fetching = false;
    if (!n->alive)
        return;
    int err = answer_in(g, n, bytes);
    if (err < 0) {
        log_debug(&g->log, "gossip.fetch_failed node=%s why=%s", n->id, err_text(err));
        fetch_failed(g, n);
        return;
    }
    n->fetch_fails = 0;
    fetch_compare(g, n);
}
