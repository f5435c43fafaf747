#include "net/rate_limit.h"

#include "base/mem.h"
#include "core/crypto.h"

#include <stdlib.h>

#define SETS 256 /* of addresses that share places */
#define WAYS 4   /* places of a set */

/* What an address has left, in millionths of a request, at a time. */
struct bucket {
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    int64_t left, since_us;
};

struct rate_limit {
    int64_t full, per_s;
    uint64_t seed; /* so that nobody can aim at a set */
    struct bucket buckets[SETS][WAYS];
};

#define WHOLE 1000000 /* one request */

struct rate_limit *rate_limit_new(int64_t burst, int64_t per_s)
{
    struct rate_limit *l = xcalloc(1, sizeof *l);
    l->full = burst * WHOLE;
    l->per_s = per_s;
    l->seed = crypto_random_u64();
    for (size_t i = 0; i < SETS * WAYS; i++)
        l->buckets[i / WAYS][i % WAYS].left = l->full;
    return l;
}

void rate_limit_free(struct rate_limit **lp)
{
    free(*lp);
    *lp = NULL;
}

static struct bucket *set_of(struct rate_limit *l, const uint8_t *key)
{
    uint64_t h = l->seed;
    for (size_t i = 0; i < NET_ADDRESS_KEY_SIZE; i++)
        h = (h ^ key[i]) * 0x100000001b3U;
    return l->buckets[(h >> 20) % SETS];
}

static void refill(const struct rate_limit *l, struct bucket *b, int64_t now_us)
{
    int64_t missing = l->full - b->left, passed_us = now_us - b->since_us;
    bool is_full = passed_us >= missing / l->per_s;
    b->left = is_full ? l->full : b->left + passed_us * l->per_s;
    b->since_us = now_us;
}

/* The address's own place, else that of who has asked for the least, as new. */
static struct bucket *find(struct rate_limit *l, const uint8_t *key, int64_t now_us)
{
    struct bucket *set = set_of(l, key), *best = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        refill(l, &set[i], now_us);
        if (memcmp(set[i].key, key, NET_ADDRESS_KEY_SIZE) == 0)
            return &set[i];
        if (set[i].left > best->left)
            best = &set[i];
    }
    memcpy(best->key, key, NET_ADDRESS_KEY_SIZE);
    best->left = l->full;
    return best;
}

bool rate_limit_take(struct rate_limit *l, const struct net_address *peer, int64_t now_us)
{
    struct net_address plain = *peer;
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    net_address_unmap(&plain);
    if (!net_address_key(&plain, key))
        return true;
    if (plain.sa.ss_family == AF_INET6)
        memset(key + 8, 0, 8);
    struct bucket *b = find(l, key, now_us);
    if (b->left < WHOLE)
        return false;
    b->left -= WHOLE;
    return true;
}
