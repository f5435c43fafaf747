#include "cluster/gossip_internal.h"

#include "base/must.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static uint32_t fit_u32(int64_t v)
{
    return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static uint8_t fit_percent(int v)
{
    return v < 0 ? 0 : v > UINT8_MAX ? UINT8_MAX : (uint8_t)v;
}

static void write_hello(struct gossip *g, struct wr *w)
{
    struct cluster_load load = {0};
    g->ops.fill_load(&load, g->arg);
    const struct gossip_hello h = {.node = slice_text(g->self.node),
                                   .relay = slice_text(g->self.relay_address),
                                   .http = slice_text(g->self.http_address),
                                   .role = slice_text(g->role),
                                   .zone = slice_text(g->zone),
                                   .software = slice_text(g->self.version),
                                   .draining = load.draining,
                                   .load_percent = fit_percent(load.load_percent),
                                   .streams = fit_u32(load.streams),
                                   .viewers = fit_u32(load.viewers)};
    gossip_write_hello(w, &h);
    const struct gossip_summary s = {
        .version = g->version, .digest = g->digest, .count = (uint32_t)map_count(g->own)};
    gossip_write_summary(w, &s);
}

static void write_peer(const struct gossip_node *n, struct wr *w)
{
    static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};
    struct gossip_peer p = {.node = n->hash,
                            .instance = n->instance,
                            .version = n->version,
                            .port = net_address_port(&n->address)};
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    if (!net_address_key(&n->address, key))
        return;
    bool v4 = memcmp(key, v4_prefix, sizeof v4_prefix) == 0;
    p.host_len = v4 ? 4 : 16;
    memcpy(p.host, v4 ? key + 12 : key, p.host_len);
    gossip_write_peer(w, &p);
}

#define PEER_ENTRY_SIZE (GOSSIP_FIELD_HEADER + 3 * 8 + 2 + 16) /* bytes at most */

/* Others that we hear directly, some in each heartbeat. */
static void write_peers(struct gossip *g, struct outgoing *out)
{
    size_t written = 0;
    for (size_t i = 0; i < g->node_count && written < GOSSIP_PEERS_MAX; i++) {
        const struct gossip_node *n = g->nodes[g->peer_cursor++ % g->node_count];
        if (outgoing_room(out) < PEER_ENTRY_SIZE)
            return;
        if (!n->alive)
            continue;
        write_peer(n, &out->w);
        written++;
    }
}

static void write_heartbeat(struct gossip *g, struct outgoing *out)
{
    outgoing_begin(g, out, GOSSIP_HEARTBEAT);
    write_hello(g, &out->w);
    if (g->unicast)
        write_peers(g, out);
    outgoing_seal(g, out);
}

void heartbeat_to(struct gossip *g, struct gossip_node *n)
{
    struct outgoing out;
    write_heartbeat(g, &out);
    outgoing_to(g, &out, &n->address);
}

static void heartbeat_round(struct gossip *g)
{
    struct outgoing out;
    write_heartbeat(g, &out);
    if (!g->unicast) {
        outgoing_to(g, &out, NULL);
        return;
    }
    size_t left = heartbeat_fanout(g);
    for (size_t i = 0; i < g->node_count && left > 0; i++) {
        const struct gossip_node *n = g->nodes[g->heartbeat_cursor++ % g->node_count];
        if (!n->alive)
            continue;
        outgoing_to(g, &out, &n->address);
        left--;
    }
}

int64_t heartbeat_run(struct gossip *g)
{
    if (g->heartbeat_us <= g->now_us) {
        heartbeat_round(g);
        g->heartbeat_us = g->now_us + gossip_jitter_us(g, GOSSIP_HEARTBEAT_MS);
    }
    return g->heartbeat_us;
}

void gossip_touch(struct gossip *g, int64_t now_us)
{
    g->now_us = now_us;
    g->heartbeat_us = now_us;
    gossip_wake(g, now_us);
}

static bool copy_changed(struct slice s, char *dst, size_t room)
{
    if (slice_is(s, dst))
        return false;
    slice_copy(s, dst, room);
    return true;
}

/* True when something of it is new. */
static bool read_hello(struct gossip_node *n, const struct gossip_hello *h)
{
    bool changed = !n->introduced || n->draining != h->draining ||
                   n->load_percent != h->load_percent || n->stream_total != h->streams ||
                   n->viewers != h->viewers;
    n->introduced = true;
    n->draining = h->draining;
    n->load_percent = h->load_percent;
    n->stream_total = h->streams;
    n->viewers = h->viewers;
    changed |= copy_changed(h->node, n->id, sizeof n->id);
    changed |= copy_changed(h->relay, n->relay, sizeof n->relay);
    changed |= copy_changed(h->http, n->http, sizeof n->http);
    changed |= copy_changed(h->role, n->role, sizeof n->role);
    changed |= copy_changed(h->zone, n->zone, sizeof n->zone);
    changed |= copy_changed(h->software, n->software, sizeof n->software);
    return changed;
}

static void peer_address(const struct gossip_peer *p, struct net_address *out)
{
    *out = (struct net_address){0};
    if (p->host_len == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(p->port)};
        memcpy(&v4.sin_addr, p->host, sizeof v4.sin_addr);
        memcpy(&out->sa, &v4, sizeof v4);
        out->len = sizeof v4;
        return;
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(p->port)};
    memcpy(&v6.sin6_addr, p->host, sizeof v6.sin6_addr);
    memcpy(&out->sa, &v6, sizeof v6);
    out->len = sizeof v6;
}

/* What another node knows of a third: where it may be found, how far its set has come. */
static void peer_in(struct gossip *g, const struct gossip_peer *p)
{
    if (p->node == g->hash || p->port == 0)
        return;
    struct gossip_node *n = node_find(g, p->node);
    if (n != NULL && n->alive) {
        if (n->instance == p->instance)
            fetch_told(g, n, p->version);
        return;
    }
    if (n != NULL && (n->left || n->instance != p->instance))
        return;
    struct net_address address;
    peer_address(p, &address);
    challenge_new(g, p->node, p->instance, &address);
}

static bool is_of(const struct gossip_node *n, struct slice id)
{
    char text[NAME_NODE_MAX + 1];
    return id.len > 0 && slice_copy(id, text, sizeof text) && gossip_hash("node", text) == n->hash;
}

void heartbeat_in(struct gossip *g, struct gossip_node *n, uint64_t seq,
                  const struct gossip_message *m)
{
    node_heard(g, n);
    if (seq <= n->heartbeat_seq || !is_of(n, m->hello.node))
        return;
    n->heartbeat_seq = seq;
    bool first = !n->introduced;
    if (read_hello(n, &m->hello))
        g->ops.on_nodes(g->arg);
    if (first)
        log_debug(&g->log, "gossip.node node=%s relay=%s state=%s", n->id, n->relay, "up");
    if (m->has_set && (m->set.version >= n->told_version || seq > n->told_seq)) {
        n->told_version = m->set.version;
        n->told_digest = m->set.digest;
        n->told_seq = seq;
        n->has_digest = true;
        fetch_compare(g, n);
    }
    for (size_t i = 0; i < m->peer_count && g->unicast; i++)
        peer_in(g, &m->peers[i]);
}
