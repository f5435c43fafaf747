#include "cluster/gossip_internal.h"

#include "base/must.h"

#define SECOND_US 1000000LL

static int64_t bucket_credit(const struct bucket *b, int64_t now_us)
{
    int64_t credit = b->last_us == 0 ? SECOND_US : b->credit_us + now_us - b->last_us;
    return credit < SECOND_US ? credit : SECOND_US;
}

bool bucket_take(struct bucket *b, int64_t now_us)
{
    int64_t credit = bucket_credit(b, now_us);
    if (credit < SECOND_US / b->per_s)
        return false;
    b->credit_us = credit - SECOND_US / b->per_s;
    b->last_us = now_us;
    return true;
}

int64_t bucket_due(const struct bucket *b, int64_t now_us)
{
    int64_t missing = SECOND_US / b->per_s - bucket_credit(b, now_us);
    return missing > 0 ? now_us + missing : now_us;
}

void outgoing_begin(struct gossip *g, struct outgoing *out, enum gossip_type type)
{
    struct gossip_header h = {.type = (uint8_t)type,
                              .cluster = g->cluster,
                              .node = g->hash,
                              .instance = g->self.instance,
                              .start_us = (uint64_t)g->self.since_us,
                              .seq = ++g->seq};
    out->w = wr_init(out->bytes, sizeof out->bytes);
    gossip_seal_begin(&g->keys, &h, &out->w);
}

size_t outgoing_room(const struct outgoing *out)
{
    return (size_t)(out->w.end - out->w.p) - GOSSIP_TAG_SIZE;
}

void outgoing_seal(struct gossip *g, struct outgoing *out)
{
    gossip_seal(&g->keys, &out->w);
    must(!out->w.overflow);
}

void outgoing_to(struct gossip *g, const struct outgoing *out, const struct net_address *to)
{
    g->stats.sent++;
    g->ops.send(to, wr_slice(&out->w), g->arg);
}

void outgoing_to_all(struct gossip *g, struct outgoing *out)
{
    outgoing_seal(g, out);
    if (!g->unicast) {
        outgoing_to(g, out, NULL);
        return;
    }
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i]->alive)
            outgoing_to(g, out, &g->nodes[i]->address);
}
