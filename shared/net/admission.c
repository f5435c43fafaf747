#include "net/admission.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/crypto.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 4096 /* chains of the table; a power of two */

struct entry {
    struct entry *next;
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    int64_t half_open, open;
};

struct block {
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    unsigned bits;
};

struct admission {
    int64_t half_open_max, connections_max;
    struct block *trusted;
    size_t trusted_count;
    uint64_t seed; /* so that nobody can aim at one chain */

    pthread_mutex_t mutex; /* guards what follows */
    size_t refs, count;
    struct entry *buckets[BUCKETS];
};

static bool parse_block(const char *text, struct block *out)
{
    struct slice bits;
    bool has_bits;
    struct slice host = slice_cut(slice_text(text), '/', &bits, &has_bits);
    char name[INET6_ADDRSTRLEN], full[INET6_ADDRSTRLEN + 8];
    struct net_address a;
    if (!slice_copy(host, name, sizeof name))
        return false;
    bool v6 = strchr(name, ':') != NULL;
    snprintf(full, sizeof full, v6 ? "[%s]:0" : "%s:0", name);
    if (net_address_parse(full, &a) < 0 || !net_address_key(&a, out->key))
        return false;
    uint64_t n = v6 ? 128 : 32;
    if (has_bits && slice_u64(bits, n, &n) < 0)
        return false;
    out->bits = (unsigned)n + (v6 ? 0 : 96);
    return true;
}

static bool block_has(const struct block *b, const uint8_t *key)
{
    unsigned bytes = b->bits / 8, rest = b->bits % 8;
    if (memcmp(b->key, key, bytes) != 0)
        return false;
    return rest == 0 || (b->key[bytes] ^ key[bytes]) >> (8 - rest) == 0;
}

struct admission *admission_new(int64_t half_open_max, int64_t connections_max,
                                const struct text_list *trusted, const char **bad)
{
    struct admission *a = xcalloc(1, sizeof *a);
    a->half_open_max = half_open_max;
    a->connections_max = connections_max;
    a->seed = crypto_random_u64();
    a->refs = 1;
    must(pthread_mutex_init(&a->mutex, NULL) == 0);
    admission_set_trusted(a, trusted, bad);
    return a;
}

void admission_set_trusted(struct admission *a, const struct text_list *trusted, const char **bad)
{
    if (bad != NULL)
        *bad = NULL;
    struct block *blocks = xcalloc(trusted->count + 1, sizeof *blocks);
    size_t count = 0;
    for (size_t i = 0; i < trusted->count; i++) {
        if (parse_block(trusted->items[i], &blocks[count]))
            count++;
        else if (bad != NULL && *bad == NULL)
            *bad = trusted->items[i];
    }
    pthread_mutex_lock(&a->mutex);
    struct block *old = a->trusted;
    a->trusted = blocks;
    a->trusted_count = count;
    pthread_mutex_unlock(&a->mutex);
    free(old);
}

struct admission *admission_ref(struct admission *a)
{
    pthread_mutex_lock(&a->mutex);
    a->refs++;
    pthread_mutex_unlock(&a->mutex);
    return a;
}

void admission_unref(struct admission **ap)
{
    struct admission *a = *ap;
    if (a == NULL)
        return;
    *ap = NULL;
    pthread_mutex_lock(&a->mutex);
    size_t left = --a->refs;
    pthread_mutex_unlock(&a->mutex);
    if (left > 0)
        return;
    must(a->count == 0);
    pthread_mutex_destroy(&a->mutex);
    free(a->trusted);
    free(a);
}

static bool is_trusted(const struct admission *a, const uint8_t *key)
{
    for (size_t i = 0; i < a->trusted_count; i++) {
        if (block_has(&a->trusted[i], key))
            return true;
    }
    return false;
}

bool admission_trusts(const struct text_list *trusted, const struct net_address *peer)
{
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    struct block block;
    if (net_address_is_loopback(peer) || !net_address_key(peer, key))
        return true;
    for (size_t i = 0; i < trusted->count; i++)
        if (parse_block(trusted->items[i], &block) && block_has(&block, key))
            return true;
    return false;
}

static bool is_mapped(const uint8_t *key)
{
    struct in6_addr v6;
    memcpy(&v6, key, sizeof v6);
    return IN6_IS_ADDR_V4MAPPED(&v6);
}

/* Where the entry for key hangs, or would hang: *found is NULL then. */
static struct entry **find(struct admission *a, const uint8_t *key)
{
    uint64_t h = a->seed;
    for (size_t i = 0; i < NET_ADDRESS_KEY_SIZE; i++)
        h = (h ^ key[i]) * 0x100000001b3U;
    struct entry **e = &a->buckets[(h >> 20) % BUCKETS];
    while (*e != NULL && memcmp((*e)->key, key, NET_ADDRESS_KEY_SIZE) != 0)
        e = &(*e)->next;
    return e;
}

static bool enter_locked(struct admission *a, struct admission_count *c)
{
    struct entry **place = find(a, c->key), *e = *place;
    int64_t half_open = e != NULL ? e->half_open : 0, open = e != NULL ? e->open : 0;
    c->refused = LIMIT_HALF_OPEN;
    if (a->half_open_max > 0 && half_open >= a->half_open_max)
        return false;
    c->refused = LIMIT_ADDRESS;
    if (a->connections_max > 0 && open >= a->connections_max)
        return false;
    if (e == NULL) {
        if (a->count >= ADMISSION_ADDRESSES_MAX)
            return false;
        e = *place = xcalloc(1, sizeof *e);
        memcpy(e->key, c->key, sizeof e->key);
        a->count++;
    }
    c->half_open = a->half_open_max > 0;
    c->open = a->connections_max > 0;
    e->half_open += c->half_open;
    e->open += c->open;
    return true;
}

bool admission_enter(struct admission *a, const struct net_address *peer, struct admission_count *c)
{
    *c = (struct admission_count){0};
    if (a->half_open_max <= 0 && a->connections_max <= 0)
        return true;
    if (net_address_is_loopback(peer) || !net_address_key(peer, c->key))
        return true;
    pthread_mutex_lock(&a->mutex);
    bool ok = is_trusted(a, c->key);
    if (!ok) {
        if (!is_mapped(c->key))
            memset(c->key + 8, 0, 8);
        ok = enter_locked(a, c);
    }
    pthread_mutex_unlock(&a->mutex);
    return ok;
}

static void give_back(struct admission *a, const struct admission_count *c, bool half_open,
                      bool open)
{
    if (!half_open && !open)
        return;
    pthread_mutex_lock(&a->mutex);
    struct entry **place = find(a, c->key), *e = *place;
    must(e != NULL);
    e->half_open -= half_open;
    e->open -= open;
    if (e->half_open == 0 && e->open == 0) {
        *place = e->next;
        a->count--;
        free(e);
    }
    pthread_mutex_unlock(&a->mutex);
}

void admission_established(struct admission *a, struct admission_count *c)
{
    give_back(a, c, c->half_open, false);
    c->half_open = false;
}

void admission_leave(struct admission *a, struct admission_count *c)
{
    give_back(a, c, c->half_open, c->open);
    *c = (struct admission_count){0};
}

size_t admission_addresses(struct admission *a)
{
    pthread_mutex_lock(&a->mutex);
    size_t count = a->count;
    pthread_mutex_unlock(&a->mutex);
    return count;
}
