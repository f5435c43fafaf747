#include "cluster/gossip_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

void gossip_wake(struct gossip *g, int64_t at_us)
{
    if (at_us < g->due_us)
        g->due_us = at_us;
}

int64_t gossip_jitter_us(struct gossip *g, int64_t ms)
{
    return ms * 900 + (int64_t)(g->ops.random(g->arg) % (uint64_t)(ms * 200 + 1));
}

void gossip_refused(struct gossip *g, const char *what)
{
    g->stats.refused++;
    if (log_limit_pass(&g->noise, g->now_us, &g->log))
        log_warn(&g->log, "gossip.limit what=%s", what);
}

struct gossip *gossip_new(const struct gossip_options *o, const struct gossip_ops *ops, void *arg)
{
    struct gossip *g = xcalloc(1, sizeof *g);
    g->self = *o->self;
    slice_copy(slice_text(o->role), g->role, sizeof g->role);
    slice_copy(slice_text(o->zone != NULL ? o->zone : ""), g->zone, sizeof g->zone);
    g->cluster = gossip_hash("cluster", o->cluster);
    g->hash = gossip_hash("node", g->self.node);
    gossip_keys_add(&g->keys, o->secret);
    if (o->secret_previous.len > 0)
        gossip_keys_add(&g->keys, o->secret_previous);
    g->unicast = o->unicast;
    g->log = o->log;
    g->ops = *ops;
    g->arg = arg;
    g->all.per_s = ALL_PER_S;
    g->strangers.per_s = STRANGERS_PER_S;
    g->asks.per_s = ASKS_PER_S;
    g->own = map_new();
    g->names = map_new();
    g->changes = xcalloc(GOSSIP_CHANGES_MAX, sizeof *g->changes);
    for (size_t i = 0; i < o->seed_count; i++)
        gossip_seed(g, &o->seeds[i]);
    return g;
}

void gossip_free(struct gossip **gp)
{
    struct gossip *g = *gp;
    *gp = NULL;
    if (g == NULL)
        return;
    owner_free(g);
    own_free(g);
    for (size_t i = 0; i < g->node_count; i++)
        free(g->nodes[i]);
    free(g);
}

int64_t gossip_due(const struct gossip *g)
{
    return g->due_us;
}

int64_t gossip_run(struct gossip *g, int64_t now_us)
{
    g->now_us = now_us;
    if (g->due_us > 0 && now_us - g->due_us > LATE_MS * 1000)
        nodes_excuse(g, now_us - g->due_us);
    g->due_us = INT64_MAX;
    if (g->left)
        return g->due_us;
    static int64_t (*const parts[])(struct gossip *) = {
        announce_run, heartbeat_run, gossip_node_run, challenge_run, fetch_run,
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        gossip_wake(g, parts[i](g));
    return g->due_us;
}

static void warn_namesakes(struct gossip *g, const char *id, const char *kept,
                           const struct net_address *other)
{
    if (g->namesake_us != 0 && g->now_us - g->namesake_us < NAMESAKE_MS * 1000)
        return;
    g->namesake_us = g->now_us;
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_text(other, text);
    log_warn(&g->log, "gossip.duplicate_id node=%s address=%s other=%s", id, kept, text);
}

/* One with our name that is not us: an old capture of ours, or two nodes with one id. */
static int namesake_in(struct gossip *g, const struct gossip_header *h,
                       const struct net_address *from)
{
    g->stats.dropped_replayed++;
    if (h->start_us >= (uint64_t)g->self.since_us)
        warn_namesakes(g, g->self.node, g->self.relay_address, from);
    return ERR_EXISTS;
}

/* Of an instance that is not the node's: an old capture, or two nodes with one id. */
static int outdated_in(struct gossip *g, const struct gossip_node *n,
                       const struct net_address *from)
{
    g->stats.dropped_replayed++;
    char kept[NET_ADDRESS_TEXT_MAX];
    net_address_text(&n->address, kept);
    if (n->alive && !address_same(&n->address, from))
        warn_namesakes(g, n->id, kept, from);
    return ERR_EXISTS;
}

static void stranger_in(struct gossip *g, const struct gossip_header *h,
                        const struct gossip_message *m, const struct net_address *from)
{
    switch (h->type) {
    case GOSSIP_RESPONSE:
        response_in(g, NULL, h, m, from);
        return;
    case GOSSIP_CHALLENGE:
        challenge_in(g, NULL, h, m, from);
        break;
    case GOSSIP_BYE:
        return;
    default:
        break;
    }
    challenge_new(g, h->node, h->instance, from);
}

/* The same instance at another address: it must show that it is there. */
static void check_address(struct gossip *g, struct gossip_node *n, const struct gossip_header *h,
                          const struct net_address *from)
{
    if (address_same(&n->address, from))
        n->address_us = g->now_us;
    else if (g->now_us - n->address_us > ADDRESS_MOVED_MS * 1000)
        challenge_new(g, h->node, h->instance, from);
}

static void known_in(struct gossip *g, struct gossip_node *n, const struct gossip_header *h,
                     struct slice body, const struct gossip_message *m,
                     const struct net_address *from)
{
    check_address(g, n, h, from);
    switch (h->type) {
    case GOSSIP_HEARTBEAT:
        heartbeat_in(g, n, h->seq, m);
        return;
    case GOSSIP_ANNOUNCE:
        announce_in(g, n, body, m);
        return;
    case GOSSIP_REQUEST:
        request_in(g, n, m);
        return;
    case GOSSIP_HAVE:
        have_in(g, n, body);
        return;
    case GOSSIP_CHALLENGE:
        challenge_in(g, n, h, m, from);
        return;
    case GOSSIP_RESPONSE:
        response_in(g, n, h, m, from);
        return;
    case GOSSIP_BYE:
        node_left(g, n);
        return;
    default:
        return;
    }
}

/* Opened and understood: whose is it? */
static int message_in(struct gossip *g, const struct gossip_header *h, struct slice body,
                      const struct gossip_message *m, const struct net_address *from)
{
    if (h->node == g->hash && h->instance == g->self.instance) {
        challenge_own(g, m);
        return 0;
    }
    if (h->node == g->hash)
        return namesake_in(g, h, from);
    struct gossip_node *n = node_find(g, h->node);
    if (n != NULL && n->instance != h->instance && !node_gives_way(n, h))
        return outdated_in(g, n, from);
    if (n == NULL || n->instance != h->instance) {
        stranger_in(g, h, m, from);
        return 0;
    }
    uint64_t top = n->window.top;
    /* What comes late from one that is dead does not bring it back. */
    if (n->left || (!n->alive && h->seq <= top) || !gossip_window_admit(&n->window, h->seq)) {
        g->stats.dropped_replayed++;
        return ERR_EXISTS;
    }
    known_in(g, n, h, body, m, from);
    return 0;
}

int gossip_input(struct gossip *g, const struct net_address *from, struct slice datagram,
                 int64_t now_us)
{
    g->now_us = now_us;
    struct gossip_header h;
    struct gossip_message m;
    struct slice body;
    int err = gossip_header_read(datagram, &h, &body);
    if (err < 0) {
        g->stats.dropped_malformed++;
        return err;
    }
    if (h.cluster != g->cluster) {
        g->stats.dropped_foreign++;
        return ERR_REFUSED;
    }
    if (gossip_unseal(&g->keys, &h, datagram) < 0) {
        g->stats.dropped_forged++;
        return ERR_AUTH;
    }
    err = gossip_message_read(body, &m);
    if (err < 0) {
        g->stats.dropped_malformed++;
        return err;
    }
    g->stats.received++;
    return g->left ? 0 : message_in(g, &h, body, &m, from);
}

void gossip_leave(struct gossip *g, int64_t now_us)
{
    if (g->left)
        return;
    g->now_us = now_us;
    struct outgoing out;
    outgoing_begin(g, &out, GOSSIP_BYE);
    outgoing_to_all(g, &out);
    /* Nothing follows that would repair a loss, but the time-out. */
    outgoing_begin(g, &out, GOSSIP_BYE);
    outgoing_to_all(g, &out);
    g->left = true;
    g->due_us = INT64_MAX;
}

void gossip_stats(const struct gossip *g, struct gossip_stats *out)
{
    *out = g->stats;
    out->nodes_alive = nodes_alive(g);
    out->streams_known = g->streams_known;
}
