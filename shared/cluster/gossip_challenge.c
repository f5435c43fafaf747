#include "cluster/gossip_internal.h"

#include <string.h>

#define MS 1000LL

bool address_same(const struct net_address *a, const struct net_address *b)
{
    uint8_t x[NET_ADDRESS_KEY_SIZE], y[NET_ADDRESS_KEY_SIZE];
    return net_address_key(a, x) && net_address_key(b, y) && memcmp(x, y, sizeof x) == 0 &&
           net_address_port(a) == net_address_port(b);
}

static void make_bytes(struct gossip *g, uint8_t out[GOSSIP_CHALLENGE_SIZE])
{
    struct wr w = wr_init(out, GOSSIP_CHALLENGE_SIZE);
    wr_u64(&w, g->ops.random(g->arg));
    wr_u64(&w, g->ops.random(g->arg));
}

static bool is_equal(const uint8_t *a, const uint8_t *b)
{
    return crypto_equal(slice_of(a, GOSSIP_CHALLENGE_SIZE), slice_of(b, GOSSIP_CHALLENGE_SIZE));
}

static void send_bytes(struct gossip *g, enum gossip_type type, const uint8_t *bytes,
                       const struct net_address *to)
{
    struct outgoing out;
    outgoing_begin(g, &out, type);
    gossip_write_challenge(&out.w, bytes);
    outgoing_seal(g, &out);
    outgoing_to(g, &out, to);
    if (type == GOSSIP_CHALLENGE)
        g->stats.challenges++;
}

static struct challenge *challenge_find(struct gossip *g, uint64_t node, uint64_t instance)
{
    for (size_t i = 0; i < g->challenge_count; i++)
        if (g->challenges[i].node == node && g->challenges[i].instance == instance)
            return &g->challenges[i];
    return NULL;
}

/* The one that had the most tries makes room; one that had none yet stays. */
static struct challenge *challenge_slot(struct gossip *g)
{
    if (g->challenge_count < CHALLENGES_MAX)
        return &g->challenges[g->challenge_count++];
    struct challenge *most = &g->challenges[0];
    for (size_t i = 1; i < g->challenge_count; i++)
        if (g->challenges[i].tries > most->tries)
            most = &g->challenges[i];
    return most->tries > 1 ? most : NULL;
}

void challenge_new(struct gossip *g, uint64_t node, uint64_t instance, const struct net_address *to)
{
    struct challenge *c = challenge_find(g, node, instance);
    if (c != NULL) {
        c->to = *to;
        return;
    }
    c = challenge_slot(g);
    if (c == NULL) {
        gossip_refused(g, "challenges");
        return;
    }
    *c = (struct challenge){.to = *to, .node = node, .instance = instance, .due_us = g->now_us};
    make_bytes(g, c->bytes);
    gossip_wake(g, g->now_us);
}

void challenge_probe(struct gossip *g, struct gossip_node *n)
{
    if (!n->probing)
        make_bytes(g, n->probe);
    n->probing = true;
    send_bytes(g, GOSSIP_CHALLENGE, n->probe, &n->address);
}

void challenge_in(struct gossip *g, struct gossip_node *n, const struct gossip_header *h,
                  const struct gossip_message *m, const struct net_address *from)
{
    (void)h;
    if (m->challenge == NULL || !bucket_take(n != NULL ? &n->replies : &g->strangers, g->now_us))
        return;
    send_bytes(g, GOSSIP_RESPONSE, m->challenge, from);
    /* One that asks does not know us, or has not heard us for a while. */
    if (n != NULL && n->alive && bucket_take(&n->replies, g->now_us))
        heartbeat_to(g, n);
}

void challenge_own(struct gossip *g, const struct gossip_message *m)
{
    if (m->challenge == NULL)
        return;
    for (size_t i = 0; i < g->seed_count; i++) {
        struct seed *s = &g->seeds[i];
        if (s->wait_ms > 0 && is_equal(s->bytes, m->challenge))
            s->self = true;
    }
}

/* True when it was an answer to what is open; that is closed then. */
static bool take_answer(struct gossip *g, const struct gossip_header *h, const uint8_t *bytes)
{
    bool found = false;
    for (size_t i = g->challenge_count; i-- > 0;) {
        if (!is_equal(g->challenges[i].bytes, bytes))
            continue;
        g->challenges[i] = g->challenges[--g->challenge_count];
        found = true;
    }
    for (size_t i = 0; i < g->seed_count; i++) {
        struct seed *s = &g->seeds[i];
        if (s->wait_ms == 0 || !is_equal(s->bytes, bytes))
            continue;
        s->node = h->node;
        s->wait_ms = 0;
        found = true;
    }
    return found;
}

void response_in(struct gossip *g, struct gossip_node *n, const struct gossip_header *h,
                 const struct gossip_message *m, const struct net_address *from)
{
    if (m->challenge == NULL)
        return;
    if (n != NULL && n->probing && is_equal(n->probe, m->challenge)) {
        node_heard(g, n);
        return;
    }
    if (take_answer(g, h, m->challenge))
        node_adopt(g, h, from);
}

/* When the next one is due, having sent this one if it was. */
static int64_t challenge_send(struct gossip *g, struct challenge *c)
{
    if (c->due_us > g->now_us)
        return c->due_us;
    if (!bucket_take(&g->strangers, g->now_us))
        return bucket_due(&g->strangers, g->now_us);
    send_bytes(g, GOSSIP_CHALLENGE, c->bytes, &c->to);
    c->due_us = g->now_us + gossip_jitter_us(g, (int64_t)CHALLENGE_MS << c->tries++);
    return c->due_us;
}

/* Answered by another way, or never. */
static bool is_over(const struct gossip *g, const struct challenge *c)
{
    const struct gossip_node *n = node_find(g, c->node);
    if (n != NULL && n->instance == c->instance && n->alive && address_same(&n->address, &c->to))
        return true;
    return c->tries == CHALLENGE_TRIES && c->due_us <= g->now_us;
}

static int64_t seed_send(struct gossip *g, struct seed *s)
{
    const struct gossip_node *n = s->node != 0 ? node_find(g, s->node) : NULL;
    if (s->self)
        return INT64_MAX;
    if (n != NULL && n->alive) {
        s->wait_ms = 0;
        return INT64_MAX;
    }
    if (s->wait_ms > 0 && s->due_us > g->now_us)
        return s->due_us;
    if (!bucket_take(&g->strangers, g->now_us))
        return bucket_due(&g->strangers, g->now_us);
    if (s->wait_ms == 0)
        make_bytes(g, s->bytes);
    send_bytes(g, GOSSIP_CHALLENGE, s->bytes, &s->address);
    s->wait_ms = s->wait_ms == 0 ? SEED_RETRY_MS : 2 * s->wait_ms;
    if (s->wait_ms > SEED_RETRY_MAX_MS)
        s->wait_ms = SEED_RETRY_MAX_MS;
    s->due_us = g->now_us + gossip_jitter_us(g, s->wait_ms);
    return s->due_us;
}

int64_t challenge_run(struct gossip *g)
{
    int64_t due_us = INT64_MAX;
    for (size_t i = g->challenge_count; i-- > 0;) {
        struct challenge *c = &g->challenges[i];
        if (is_over(g, c)) {
            *c = g->challenges[--g->challenge_count];
            continue;
        }
        int64_t next_us = challenge_send(g, c);
        due_us = next_us < due_us ? next_us : due_us;
    }
    for (size_t i = 0; i < g->seed_count; i++) {
        int64_t next_us = seed_send(g, &g->seeds[i]);
        due_us = next_us < due_us ? next_us : due_us;
    }
    return due_us;
}

/* Nobody is there, as far as we know. */
static bool is_empty(const struct gossip *g, const struct seed *s)
{
    const struct gossip_node *n = s->node != 0 ? node_find(g, s->node) : NULL;
    return !s->self && s->wait_ms == SEED_RETRY_MAX_MS && (n == NULL || !n->alive);
}

/* Addresses behind a name come and go: the oldest of those where nobody is makes room. */
static struct seed *seed_slot(struct gossip *g)
{
    if (g->seed_count < SEEDS_MAX)
        return &g->seeds[g->seed_count++];
    for (size_t i = 0; i < SEEDS_MAX; i++) {
        if (!is_empty(g, &g->seeds[i]))
            continue;
        memmove(&g->seeds[i], &g->seeds[i + 1], (SEEDS_MAX - i - 1) * sizeof g->seeds[0]);
        return &g->seeds[SEEDS_MAX - 1];
    }
    return NULL;
}

void gossip_seed(struct gossip *g, const struct net_address *seed)
{
    for (size_t i = 0; i < g->seed_count; i++)
        if (address_same(&g->seeds[i].address, seed))
            return;
    struct seed *s = seed_slot(g);
    if (s == NULL) {
        gossip_refused(g, "seeds");
        return;
    }
    *s = (struct seed){.address = *seed};
    gossip_wake(g, g->now_us);
}
