#include "base/must.h"
#include "cluster/gossip.h"
#include "cluster/gossip_seal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * What another node that has the secret may say: each piece of the input, `type | u16 length |
 * fields`, is put into a datagram with a proper tag and given to an engine that knows its sender.
 */
struct peer {
    struct gossip_keys keys;
    struct gossip_header header;
    struct net_address address;
    uint8_t challenge[GOSSIP_CHALLENGE_SIZE];
    bool challenged;
};

/* Linked in place of the real one, which would take most of the time: what is looked at is behind
 * the tag. */
void __wrap_crypto_hmac_sha256(struct slice key, const struct slice *parts, size_t count,
                               uint8_t out[SHA256_SIZE]);
void __wrap_crypto_hmac_sha256(struct slice key, const struct slice *parts, size_t count,
                               uint8_t out[SHA256_SIZE])
{
    uint64_t sum = 0xcbf29ce484222325;
    for (size_t i = 0; i < key.len; i++)
        sum = (sum ^ key.p[i]) * 0x100000001b3;
    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; at < parts[i].len; at++)
            sum = (sum ^ parts[i].p[at]) * 0x100000001b3;
    for (size_t i = 0; i < SHA256_SIZE / sizeof sum; i++, sum *= 0x100000001b3)
        memcpy(out + i * sizeof sum, &sum, sizeof sum);
}

static void on_send(const struct net_address *to, struct slice datagram, void *arg)
{
    struct peer *p = arg;
    struct gossip_header h;
    struct gossip_message m;
    struct slice body;
    must(gossip_header_read(datagram, &h, &body) == 0 && gossip_message_read(body, &m) == 0);
    if (h.type != GOSSIP_CHALLENGE)
        return;
    memcpy(p->challenge, m.challenge, sizeof p->challenge);
    p->challenged = true;
}

static void on_fetch(const char *node, uint64_t instance, const char *address, uint64_t since,
                     void *arg)
{
}

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    must(name[0] != '\0');
}

static void on_nodes(void *arg)
{
}

static bool is_linked(const char *node, void *arg)
{
    return false;
}

static void fill_load(struct cluster_load *load, void *arg)
{
}

static uint64_t next_random(void *arg)
{
    return UINT64_C(0x123456789abcdef);
}

static const struct gossip_ops ops = {on_send,   on_fetch,  on_owner,   on_nodes,
                                      is_linked, fill_load, next_random};

static void say(struct gossip *g, struct peer *p, uint8_t type, struct slice fields, int64_t now_us)
{
    uint8_t bytes[GOSSIP_DATAGRAM_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    p->header.type = type;
    p->header.seq++;
    gossip_seal_begin(&p->keys, &p->header, &w);
    wr_put(&w, fields);
    gossip_seal(&p->keys, &w);
    if (!w.overflow)
        gossip_input(g, &p->address, wr_slice(&w), now_us);
}

/* Heard, asked, answered. */
static void introduce(struct gossip *g, struct peer *p)
{
    uint8_t bytes[GOSSIP_BODY_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    const struct gossip_hello hello = {.node = slice_text("peer"), .relay = slice_text("a:1")};
    gossip_write_hello(&w, &hello);
    say(g, p, GOSSIP_HEARTBEAT, wr_slice(&w), 1);
    gossip_run(g, 1);
    must(p->challenged);
    struct wr answer = wr_init(bytes + 512, 64);
    gossip_write_challenge(&answer, p->challenge);
    say(g, p, GOSSIP_RESPONSE, wr_slice(&answer), 1);
    say(g, p, GOSSIP_HEARTBEAT, wr_slice(&w), 1);
    struct cluster_node node;
    must(gossip_nodes(g, 1, &node, 1) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cluster_self self = {.node = "self", .instance = 1, .relay_address = "b:1"};
    struct gossip_options o = {
        .self = &self, .role = "node", .cluster = "c", .secret = slice_text("s"), .unicast = true};
    struct peer p = {.header = {.cluster = gossip_hash("cluster", "c"),
                                .node = gossip_hash("node", "peer"),
                                .instance = 2,
                                .start_us = 3}};
    gossip_keys_add(&p.keys, o.secret);
    net_address_parse("10.0.0.2:7946", &p.address);
    o.log.kind = "gossip";
    struct gossip *g = gossip_new(&o, &ops, &p);
    introduce(g, &p);
    const struct gossip_claim claim = {.name = "live/a", .epoch = 5, .publisher = "p"};
    gossip_announce(g, &claim, 1);
    struct rd r = rd_init(data, size);
    for (int64_t now_us = 2; rd_left(&r) > 3; now_us += 100000) {
        uint8_t type = rd_u8(&r);
        size_t len = rd_u16(&r);
        len = len < rd_left(&r) ? len : rd_left(&r);
        say(g, &p, type, rd_slice_of(&r, len), now_us);
        if (gossip_due(g) <= now_us)
            must(gossip_run(g, now_us) > now_us);
    }
    gossip_free(&g);
    return 0;
}
