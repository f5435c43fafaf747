/*
 * Static peers.  One given by name stands for all its addresses (a headless service), is looked up
 * again for ever, and may appear late.
 */
#include "cluster/mesh_internal.h"

#include "base/mem.h"

#include <stdlib.h>

static void on_found(const struct net_address *found, size_t count, void *arg)
{
    struct mesh_seed *s = arg;
    s->lookup = NULL;
    for (size_t i = 0; i < count; i++) {
        struct net_address a = found[i];
        net_address_unmap(&a);
        gossip_seed(s->mesh->gossip, &a);
    }
    mesh_rearm(s->mesh);
    if (count > 0)
        backoff_reset(&s->backoff);
    int64_t wait_ms = backoff_next_ms(&s->backoff);
    timer_set_ms(&s->again, count > 0 ? MESH_SEED_KEEP_MS : wait_ms);
}

static void on_again(void *arg)
{
    struct mesh_seed *s = arg;
    s->lookup = host_lookup_all_start(s->mesh->worker, s->address, on_found, s);
}

void mesh_seeds_init(struct mesh *m)
{
    const struct text_list *peers = &m->config->cluster.static_peers.peers;
    if (m->kind != MESH_STATIC || peers->count == 0)
        return;
    m->seed_count = peers->count;
    m->seeds = xcalloc(m->seed_count, sizeof *m->seeds);
    for (size_t i = 0; i < m->seed_count; i++) {
        struct mesh_seed *s = &m->seeds[i];
        s->mesh = m;
        s->address = peers->items[i];
        backoff_init(&s->backoff, MESH_SEED_MS, MESH_SEED_MAX_MS);
        timer_init(&s->again, m->worker, "gossip.seed", on_again, s);
    }
}

void mesh_seeds_start(struct mesh *m)
{
    for (size_t i = 0; i < m->seed_count; i++)
        on_again(&m->seeds[i]);
}

void mesh_seeds_fini(struct mesh *m)
{
    for (size_t i = 0; i < m->seed_count; i++) {
        host_lookup_cancel(&m->seeds[i].lookup);
        timer_fini(&m->seeds[i].again);
    }
    m->seed_count = 0;
    free(m->seeds);
    m->seeds = NULL;
}
