#ifndef SLUICE_TESTS_UNIT_CLUSTER_GOSSIP_SIM_H
#define SLUICE_TESTS_UNIT_CLUSTER_GOSSIP_SIM_H

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "cluster/gossip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Any number of engines in one process: a clock that jumps from event to event, and a network that
 * loses, doubles and reorders as its seed says.
 */
#define SIM_NODES_MAX 128
#define MS            1000LL
#define S             1000000LL

struct sim;

struct sim_node {
    struct sim *sim;
    int index;
    char id[32];
    struct gossip *g; /* NULL while it is down */
    struct net_address address;
    int life; /* how often it was started */
    bool linked, cut, has_set;
    uint64_t owner_calls, node_calls, datagrams_in, bytes_in, bytes_out, datagrams_out;
    struct map *told; /* what on_owner said last, by name */
};

struct sim_event {
    int64_t at_us;
    uint64_t order;
    int from, to, life;
    bool is_fetch;
    uint64_t instance, since;
    size_t len;
    uint8_t *bytes;
};

struct sim {
    int64_t wall_step_us; /* of the clocks of nodes that start */
    bool unicast;
    const char *cluster, *secret;
    int loss_percent, double_percent;
    int64_t delay_us, delay_spread_us;
    int64_t now_us;
    uint64_t random, order;
    size_t count, event_count, event_room;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_event *events;
    struct cluster_node *listed;
    /* Sees each datagram as it is sent; may be NULL. */
    void (*tap)(struct sim *s, int from, const struct net_address *to, struct slice bytes);
    void *tap_arg;
};

static inline uint64_t sim_random(struct sim *s)
{
    uint64_t z = (s->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline bool sim_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static inline void sim_swap(struct sim *s, size_t a, size_t b)
{
    struct sim_event e = s->events[a];
    s->events[a] = s->events[b];
    s->events[b] = e;
}

static inline void sim_push(struct sim *s, struct sim_event e)
{
    if (s->event_count == s->event_room) {
        s->event_room = s->event_room * 2 + 1024;
        s->events = xrealloc(s->events, s->event_room * sizeof *s->events);
    }
    e.order = ++s->order;
    size_t i = s->event_count++;
    s->events[i] = e;
    for (; i > 0 && sim_before(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        sim_swap(s, i, (i - 1) / 2);
}

static inline struct sim_event sim_pop(struct sim *s)
{
    struct sim_event e = s->events[0];
    s->events[0] = s->events[--s->event_count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < s->event_count; k++)
            if (sim_before(&s->events[k], &s->events[least]))
                least = k;
        if (least == i)
            return e;
        sim_swap(s, i, least);
        i = least;
    }
}

static inline void sim_deliver(struct sim *s, int from, int to, struct slice bytes)
{
    int copies = 1 + ((int)(sim_random(s) % 100) < s->double_percent);
    for (int i = 0; i < copies; i++) {
        if ((int)(sim_random(s) % 100) < s->loss_percent)
            continue;
        int64_t spread =
            s->delay_spread_us > 0 ? (int64_t)(sim_random(s) % (uint64_t)s->delay_spread_us) : 0;
        struct sim_event e = {.at_us = s->now_us + s->delay_us + spread,
                              .from = from,
                              .to = to,
                              .len = bytes.len,
                              .bytes = xmalloc(bytes.len)};
        memcpy(e.bytes, bytes.p, bytes.len);
        sim_push(s, e);
    }
}

static inline void sim_on_send(const struct net_address *to, struct slice datagram, void *arg)
{
    struct sim_node *n = arg;
    struct sim *s = n->sim;
    must(datagram.len <= 1200);
    n->datagrams_out++;
    n->bytes_out += datagram.len;
    if (s->tap != NULL)
        s->tap(s, n->index, to, datagram);
    if (to == NULL) {
        for (size_t i = 0; i < s->count; i++)
            sim_deliver(s, n->index, (int)i, datagram);
        return;
    }
    for (size_t i = 0; i < s->count; i++)
        if (net_address_port(to) == net_address_port(&s->nodes[i].address))
            sim_deliver(s, n->index, (int)i, datagram);
}

static inline void sim_on_fetch(const char *node, uint64_t instance, const char *address,
                                uint64_t since, void *arg)
{
    struct sim_node *n = arg;
    struct sim *s = n->sim;
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->nodes[i].id, node) != 0)
            continue;
        must(strstr(address, ":1935") != NULL);
        sim_push(s, (struct sim_event){.at_us = s->now_us + 5 * MS,
                                       .from = (int)i,
                                       .to = n->index,
                                       .life = n->life,
                                       .is_fetch = true,
                                       .instance = instance,
                                       .since = since});
        return;
    }
    must(false);
}

static inline void sim_on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct sim_node *n = arg;
    n->owner_calls++;
    struct cluster_owner *old = map_take(n->told, name);
    /* Only real changes are told. */
    if (old == NULL)
        must(owner->found);
    else
        must(old->found != owner->found || old->epoch != owner->epoch ||
             old->instance != owner->instance || old->lost != owner->lost);
    free(old);
    if (!owner->found)
        return;
    struct cluster_owner *copy = xmalloc(sizeof *copy);
    *copy = *owner;
    map_put(n->told, name, copy);
}

static inline void sim_on_nodes(void *arg)
{
    ((struct sim_node *)arg)->node_calls++;
}

static inline bool sim_is_linked(const char *node, void *arg)
{
    (void)node;
    return ((struct sim_node *)arg)->linked;
}

static inline void sim_fill_load(struct cluster_load *load, void *arg)
{
    (void)arg;
    load->load_percent = 7;
}

static inline uint64_t sim_node_random(void *arg)
{
    return sim_random(((struct sim_node *)arg)->sim);
}

static inline void sim_address(int index, struct net_address *out)
{
    char text[64];
    snprintf(text, sizeof text, "10.0.0.1:%d", 5000 + index);
    must(net_address_parse(text, out) == 0);
}

static inline void sim_init(struct sim *s, bool unicast, size_t count, uint64_t seed)
{
    *s = (struct sim){.unicast = unicast,
                      .cluster = "test",
                      .secret = "a secret of the cluster",
                      .delay_us = 200,
                      .delay_spread_us = 300,
                      .now_us = 1000 * S,
                      .random = seed,
                      .count = count};
    must(count <= SIM_NODES_MAX);
    s->listed = xcalloc(SIM_NODES_MAX, sizeof *s->listed);
    for (size_t i = 0; i < count; i++) {
        struct sim_node *n = &s->nodes[i];
        n->sim = s;
        n->index = (int)i;
        n->told = map_new();
        snprintf(n->id, sizeof n->id, "n%zu", i);
        sim_address((int)i, &n->address);
    }
}

/* The wall clock of the nodes is not the same. */
static inline void sim_start_with(struct sim *s, int i, const char *secret, const char *cluster,
                                  int seed)
{
    static const struct gossip_ops ops = {.send = sim_on_send,
                                          .fetch = sim_on_fetch,
                                          .on_owner = sim_on_owner,
                                          .on_nodes = sim_on_nodes,
                                          .is_linked = sim_is_linked,
                                          .fill_load = sim_fill_load,
                                          .random = sim_node_random};
    struct sim_node *n = &s->nodes[i];
    must(n->g == NULL);
    n->life++;
    struct cluster_self self = {.instance = sim_random(s) | 1,
                                .since_us =
                                    s->now_us + (int64_t)(i % 7) * 3600 * S + s->wall_step_us};
    snprintf(self.node, sizeof self.node, "%s", n->id);
    snprintf(self.relay_address, sizeof self.relay_address, "10.0.0.%d:1935", i);
    snprintf(self.http_address, sizeof self.http_address, "10.0.0.%d:8080", i);
    snprintf(self.version, sizeof self.version, "1.0");
    struct net_address address;
    if (seed >= 0)
        sim_address(seed, &address);
    const struct gossip_options o = {.self = &self,
                                     .role = "node",
                                     .zone = "z1",
                                     .cluster = cluster,
                                     .secret = slice_text(secret),
                                     .unicast = s->unicast,
                                     .seeds = &address,
                                     .seed_count = seed >= 0,
                                     .log = {"gossip", -1, 0}};
    n->g = gossip_new(&o, &ops, n);
}

static inline void sim_start(struct sim *s, int i, int seed)
{
    sim_start_with(s, i, s->secret, s->cluster, seed);
}

static inline void sim_free_each(const char *name, void *value, void *arg)
{
    (void)name;
    (void)arg;
    free(value);
}

static inline void sim_forget_told(struct sim_node *n)
{
    map_each(n->told, sim_free_each, NULL);
    map_free(&n->told);
    n->told = map_new();
}

/* Gone without a word. */
static inline void sim_kill(struct sim *s, int i)
{
    gossip_free(&s->nodes[i].g);
    sim_forget_told(&s->nodes[i]);
}

static inline void sim_fini(struct sim *s)
{
    for (size_t i = 0; i < s->count; i++) {
        sim_kill(s, (int)i);
        map_free(&s->nodes[i].told);
    }
    for (size_t i = 0; i < s->event_count; i++)
        free(s->events[i].bytes);
    free(s->events);
    free(s->listed);
}

static inline void sim_fetch_event(struct sim *s, const struct sim_event *e)
{
    struct sim_node *asker = &s->nodes[e->to], *owner = &s->nodes[e->from];
    if (asker->g == NULL || asker->life != e->life)
        return;
    struct buf b;
    buf_init(&b, 64U << 20);
    if (owner->g != NULL && !owner->cut && !asker->cut)
        must(gossip_set_write(owner->g, e->instance, e->since, &b) == 0);
    gossip_fetched(asker->g, owner->id, e->instance, buf_slice(&b), s->now_us);
    buf_fini(&b);
}

static inline void sim_event(struct sim *s, struct sim_event *e)
{
    struct sim_node *n = &s->nodes[e->to];
    bool cut = e->from != e->to && (n->cut != s->nodes[e->from].cut);
    if (e->is_fetch) {
        sim_fetch_event(s, e);
    } else if (n->g != NULL && !cut) {
        n->datagrams_in++;
        n->bytes_in += e->len;
        gossip_input(n->g, &s->nodes[e->from].address, slice_of(e->bytes, e->len), s->now_us);
    }
    free(e->bytes);
}

static inline int64_t sim_due(const struct sim *s)
{
    int64_t due_us = s->event_count > 0 ? s->events[0].at_us : INT64_MAX;
    for (size_t i = 0; i < s->count; i++)
        if (s->nodes[i].g != NULL && gossip_due(s->nodes[i].g) < due_us)
            due_us = gossip_due(s->nodes[i].g);
    return due_us;
}

static inline void sim_step(struct sim *s)
{
    while (s->event_count > 0 && s->events[0].at_us <= s->now_us) {
        struct sim_event e = sim_pop(s);
        sim_event(s, &e);
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->nodes[i].g != NULL && gossip_due(s->nodes[i].g) <= s->now_us)
            must(gossip_run(s->nodes[i].g, s->now_us) > s->now_us);
}

static inline void sim_run(struct sim *s, int64_t for_us)
{
    int64_t end_us = s->now_us + for_us;
    for (int64_t due_us; (due_us = sim_due(s)) <= end_us;) {
        s->now_us = due_us > s->now_us ? due_us : s->now_us;
        sim_step(s);
    }
    s->now_us = end_us;
}

typedef bool sim_condition(struct sim *s, void *arg);
/* Runs until it is so; how long that took, or -1. */
static inline int64_t sim_until(struct sim *s, int64_t at_most_us, sim_condition *is_so, void *arg)
{
    int64_t start_us = s->now_us;
    while (!is_so(s, arg)) {
        if (s->now_us - start_us > at_most_us)
            return -1;
        sim_run(s, 5 * MS);
    }
    return s->now_us - start_us;
}

static inline size_t sim_up(const struct sim *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += s->nodes[i].g != NULL;
    return n;
}

static inline size_t sim_seen(struct sim *s, int i)
{
    return gossip_nodes(s->nodes[i].g, s->now_us, s->listed, SIM_NODES_MAX);
}

/* Every node that is up lists all others and no more. */
static inline bool sim_all_met(struct sim *s, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < s->count; i++)
        if (s->nodes[i].g != NULL && sim_seen(s, (int)i) + 1 != sim_up(s))
            return false;
    return true;
}

static inline void sim_announce(struct sim *s, int i, const char *name, uint64_t epoch)
{
    const struct gossip_claim claim = {
        .name = name, .epoch = epoch, .publisher = "p", .takeovers = 1};
    must(gossip_announce(s->nodes[i].g, &claim, s->now_us) == 0);
}

static inline bool sim_owner_is(struct sim *s, int at, const char *name, const char *owner)
{
    struct cluster_owner o;
    gossip_owner(s->nodes[at].g, name, s->now_us, &o, NULL);
    struct cluster_owner *told = map_get(s->nodes[at].told, name);
    must((told != NULL) == o.found);
    must(told == NULL || (told->epoch == o.epoch && strcmp(told->node, o.node) == 0));
    return owner == NULL ? !o.found : o.found && strcmp(o.node, owner) == 0;
}

struct sim_want {
    const char *name, *owner;
    int except;
};
/* All that are up, without the owner itself and `except`, agree. */
static inline bool sim_agreed(struct sim *s, void *arg)
{
    const struct sim_want *w = arg;
    for (size_t i = 0; i < s->count; i++) {
        bool own = w->owner != NULL && strcmp(s->nodes[i].id, w->owner) == 0;
        if (s->nodes[i].g == NULL || own || (int)i == w->except)
            continue;
        if (!sim_owner_is(s, (int)i, w->name, w->owner))
            return false;
    }
    return true;
}

static inline struct gossip_stats sim_stats(const struct sim *s, int i)
{
    struct gossip_stats st;
    gossip_stats(s->nodes[i].g, &st);
    return st;
}

static inline int64_t sim_agree_within(struct sim *s, int64_t us, const char *name,
                                       const char *owner)
{
    struct sim_want w = {.name = name, .owner = owner, .except = -1};
    return sim_until(s, us, sim_agreed, &w);
}

#endif
