#include "cluster/gossip_internal.h"

#include "base/mem.h"

#include <stdlib.h>

#define MS 1000LL

struct gossip_node *node_find(const struct gossip *g, uint64_t hash)
{
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i]->hash == hash)
            return g->nodes[i];
    return NULL;
}

bool node_gives_way(const struct gossip_node *n, const struct gossip_header *h)
{
    if (!n->alive)
        return true;
    if (h->start_us != n->start_us)
        return h->start_us > n->start_us;
    return h->instance > n->instance;
}

size_t nodes_alive(const struct gossip *g)
{
    size_t count = 0;
    for (size_t i = 0; i < g->node_count; i++)
        count += g->nodes[i]->alive;
    return count;
}

static void forget(struct gossip *g, size_t i)
{
    free(g->nodes[i]);
    g->nodes[i] = g->nodes[--g->node_count];
}

/* Room for one more, if need be that of the node that is dead for the longest time. */
static bool make_room(struct gossip *g)
{
    if (g->node_count < GOSSIP_NODES_MAX)
        return true;
    size_t oldest = g->node_count;
    for (size_t i = 0; i < g->node_count; i++) {
        if (g->nodes[i]->alive)
            continue;
        if (oldest == g->node_count || g->nodes[i]->died_us < g->nodes[oldest]->died_us)
            oldest = i;
    }
    if (oldest == g->node_count) {
        gossip_refused(g, "nodes");
        return false;
    }
    forget(g, oldest);
    return true;
}

static void tell_state(struct gossip *g, const struct gossip_node *n, const char *why)
{
    char address[NET_ADDRESS_TEXT_MAX];
    net_address_text(&n->address, address);
    log_debug(&g->log, "gossip.node node=%s address=%s state=%s", n->id, address, why);
    g->ops.on_nodes(g->arg);
}

static void node_end(struct gossip *g, struct gossip_node *n, const char *why)
{
    if (!n->alive)
        return;
    n->alive = false;
    n->probing = false;
    n->died_us = g->now_us;
    n->probe_us = g->now_us + gossip_jitter_us(g, DEAD_RETRY_MS);
    owner_clear(g, n);
    if (n->introduced)
        tell_state(g, n, why);
}

/* A new instance: what was known of the one before goes, its name stays. */
static void node_reset(struct gossip *g, struct gossip_node *n, const struct gossip_header *h)
{
    node_end(g, n, "restarted");
    n->instance = h->instance;
    n->start_us = h->start_us;
    /* What it said before was heard by others, and may have been captured. */
    gossip_window_start(&n->window, h->seq);
    n->left = n->introduced = n->fetching = n->has_digest = false;
    n->heartbeat_seq = n->told_seq = n->told_version = n->told_digest = 0;
    n->fetch_fails = 0;
    n->fetch_us = INT64_MAX;
}

static struct gossip_node *node_new(struct gossip *g, const struct gossip_header *h)
{
    if (!make_room(g))
        return NULL;
    struct gossip_node *n = xcalloc(1, sizeof *n);
    n->hash = h->node;
    n->replies.per_s = REPLIES_PER_S;
    list_init(&n->streams);
    g->nodes[g->node_count++] = n;
    node_reset(g, n, h);
    return n;
}

struct gossip_node *node_adopt(struct gossip *g, const struct gossip_header *h,
                               const struct net_address *from)
{
    struct gossip_node *n = node_find(g, h->node);
    if (n == NULL)
        n = node_new(g, h);
    else if (n->instance != h->instance)
        node_reset(g, n, h);
    if (n == NULL)
        return NULL;
    if (!n->alive || g->now_us - n->address_us > ADDRESS_MOVED_MS * MS) {
        n->address = *from;
        n->address_us = g->now_us;
    }
    bool was_alive = n->alive;
    node_heard(g, n);
    if (!was_alive)
        heartbeat_to(g, n);
    return n;
}

void node_heard(struct gossip *g, struct gossip_node *n)
{
    n->heard_us = g->now_us;
    n->probing = false;
    if (n->alive)
        return;
    n->alive = true;
    if (n->introduced)
        tell_state(g, n, "back");
    gossip_wake(g, g->now_us);
}

void node_left(struct gossip *g, struct gossip_node *n)
{
    node_end(g, n, "left");
    n->left = true;
    /* Its seed is asked again. */
    gossip_wake(g, g->now_us);
}

size_t heartbeat_fanout(const struct gossip *g)
{
    size_t third = (nodes_alive(g) + 2) / 3;
    return third > GOSSIP_FANOUT ? third : GOSSIP_FANOUT;
}

int64_t heartbeat_interval_ms(const struct gossip *g)
{
    if (!g->unicast)
        return GOSSIP_HEARTBEAT_MS;
    size_t fanout = heartbeat_fanout(g), alive = nodes_alive(g);
    size_t rounds = alive > fanout ? (alive + fanout - 1) / fanout : 1;
    return (int64_t)rounds * GOSSIP_HEARTBEAT_MS;
}

static int64_t dead_after_us(int64_t interval_ms)
{
    int64_t ms = 3 * interval_ms + DEAD_MARGIN_MS;
    return (ms > GOSSIP_DEAD_MS ? ms : GOSSIP_DEAD_MS) * MS;
}

static bool is_dead(const struct gossip *g, const struct gossip_node *n, int64_t interval_ms)
{
    return g->now_us - n->heard_us >= dead_after_us(interval_ms) &&
           !(n->introduced && g->ops.is_linked(n->id, g->arg));
}

/* When to look again at one that is alive. */
static int64_t check_alive(struct gossip *g, struct gossip_node *n, int64_t interval_ms)
{
    int64_t silent_us = g->now_us - n->heard_us;
    int64_t probe_after_us = interval_ms * PROBE_AFTER_MS * MS / GOSSIP_HEARTBEAT_MS;
    if (silent_us < probe_after_us)
        return n->heard_us + probe_after_us;
    if (!n->probing || g->now_us >= n->probe_us) {
        challenge_probe(g, n);
        bool linked_only = silent_us >= dead_after_us(interval_ms);
        n->probe_us = g->now_us + gossip_jitter_us(g, linked_only ? LINKED_PROBE_MS : PROBE_MS);
    }
    return n->probe_us;
}

/* A network that was in two parts: there may be no seed on the other side. */
static int64_t check_dead(struct gossip *g, struct gossip_node *n)
{
    int64_t forget_us = n->died_us + GOSSIP_REMEMBER_MS * MS;
    if (!g->unicast || n->left)
        return forget_us;
    if (g->now_us >= n->probe_us) {
        challenge_probe(g, n);
        n->probe_us = g->now_us + gossip_jitter_us(g, DEAD_RETRY_MS);
    }
    return n->probe_us < forget_us ? n->probe_us : forget_us;
}

void nodes_excuse(struct gossip *g, int64_t late_us)
{
    for (size_t i = 0; i < g->node_count; i++) {
        int64_t excused_us = g->nodes[i]->heard_us + late_us;
        g->nodes[i]->heard_us = excused_us < g->now_us ? excused_us : g->now_us;
    }
}

int64_t gossip_node_run(struct gossip *g)
{
    int64_t due_us = INT64_MAX;
    int64_t interval_ms = heartbeat_interval_ms(g);
    for (size_t i = g->node_count; i-- > 0;) {
        struct gossip_node *n = g->nodes[i];
        if (n->alive && is_dead(g, n, interval_ms))
            node_end(g, n, "dead");
        int64_t next_us = n->alive ? check_alive(g, n, interval_ms) : check_dead(g, n);
        if (!n->alive && g->now_us >= n->died_us + GOSSIP_REMEMBER_MS * MS)
            forget(g, i);
        else if (next_us < due_us)
            due_us = next_us;
    }
    return due_us;
}

static void describe(const struct gossip_node *n, int64_t now_us, struct cluster_node *out)
{
    *out = (struct cluster_node){.instance = n->instance,
                                 .streams = n->stream_total,
                                 .viewers = n->viewers,
                                 .age_ms = (now_us - n->heard_us) / MS,
                                 .load_percent = n->load_percent};
    memcpy(out->id, n->id, sizeof out->id);
    memcpy(out->address, n->relay, sizeof out->address);
    memcpy(out->http, n->http, sizeof out->http);
    memcpy(out->role, n->role, sizeof out->role);
    memcpy(out->zone, n->zone, sizeof out->zone);
    memcpy(out->version, n->software, sizeof out->version);
    slice_copy(slice_text(n->draining ? "drain" : "up"), out->state, sizeof out->state);
}

size_t gossip_nodes(const struct gossip *g, int64_t now_us, struct cluster_node *out, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < g->node_count && count < room; i++)
        if (g->nodes[i]->alive && g->nodes[i]->introduced)
            describe(g->nodes[i], now_us, &out[count++]);
    return count;
}
