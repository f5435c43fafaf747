/*
 * What nodes remember of each other's signed requests: nonces and clock offsets.  Both are shared
 * by all workers under a lock; between nodes there are few requests.
 */
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "net/relay_sign.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS     16384 /* chains of the nonce table; a power of two */
#define OFFSETS_MAX 4096  /* nodes whose clock offset is kept */

struct seen {
    uint8_t nonce[RELAY_NONCE_SIZE];
    int64_t until_ms;
    uint32_t next; /* index + 1 in its chain; 0: the end */
};

/* The entries are a ring in order of arrival, which is the order they expire in. */
struct relay_guard {
    pthread_mutex_t mutex;
    struct seen *ring;
    uint32_t first, count;
    uint32_t buckets[BUCKETS]; /* index + 1; 0: empty */
};

struct relay_guard *relay_guard_new(void)
{
    struct relay_guard *g = xcalloc(1, sizeof *g);
    g->ring = xcalloc(NONCES_MAX, sizeof *g->ring);
    must(pthread_mutex_init(&g->mutex, NULL) == 0);
    return g;
}

void relay_guard_free(struct relay_guard **gp)
{
    struct relay_guard *g = *gp;
    if (g == NULL)
        return;
    *gp = NULL;
    pthread_mutex_destroy(&g->mutex);
    free(g->ring);
    free(g);
}

static uint32_t *bucket_of(struct relay_guard *g, const uint8_t *nonce)
{
    uint32_t h; /* nonces are random, and only nodes with the secret get here */
    memcpy(&h, nonce, sizeof h);
    return &g->buckets[h % BUCKETS];
}

static bool has(struct relay_guard *g, const uint8_t *nonce)
{
    for (uint32_t i = *bucket_of(g, nonce); i != 0; i = g->ring[i - 1].next) {
        if (memcmp(g->ring[i - 1].nonce, nonce, RELAY_NONCE_SIZE) == 0)
            return true;
    }
    return false;
}

static void drop_first(struct relay_guard *g)
{
    struct seen *s = &g->ring[g->first];
    uint32_t *link = bucket_of(g, s->nonce);
    while (*link != g->first + 1)
        link = &g->ring[*link - 1].next;
    *link = s->next;
    g->first = (g->first + 1) % NONCES_MAX;
    g->count--;
}

static bool admit(struct relay_guard *g, const uint8_t *nonce, int64_t now_ms)
{
    while (g->count > 0 && g->ring[g->first].until_ms <= now_ms)
        drop_first(g);
    if (g->count == NONCES_MAX || has(g, nonce))
        return false;
    uint32_t at = (g->first + g->count) % NONCES_MAX;
    uint32_t *bucket = bucket_of(g, nonce);
    struct seen *s = &g->ring[at];
    memcpy(s->nonce, nonce, RELAY_NONCE_SIZE);
    s->until_ms = now_ms + NONCE_KEEP_MS;
    s->next = *bucket;
    *bucket = at + 1;
    g->count++;
    return true;
}

bool relay_guard_admit(struct relay_guard *g, const uint8_t nonce[RELAY_NONCE_SIZE], int64_t now_ms)
{
    pthread_mutex_lock(&g->mutex);
    bool ok = admit(g, nonce, now_ms);
    pthread_mutex_unlock(&g->mutex);
    return ok;
}

struct relay_offsets {
    pthread_mutex_t mutex;
    struct map *by_node; /* of int64_t, ours */
    int64_t max_ms;
};

struct relay_offsets *relay_offsets_new(void)
{
    struct relay_offsets *o = xcalloc(1, sizeof *o);
    o->by_node = map_new();
    must(pthread_mutex_init(&o->mutex, NULL) == 0);
    return o;
}

static void free_offset(const char *key, void *value, void *arg)
{
    free(value);
}

void relay_offsets_free(struct relay_offsets **op)
{
    struct relay_offsets *o = *op;
    if (o == NULL)
        return;
    *op = NULL;
    map_each(o->by_node, free_offset, NULL);
    map_free(&o->by_node);
    pthread_mutex_destroy(&o->mutex);
    free(o);
}

int64_t relay_offset_get(struct relay_offsets *o, const char *peer)
{
    pthread_mutex_lock(&o->mutex);
    const int64_t *offset = map_get(o->by_node, peer);
    int64_t ms = offset != NULL ? *offset : 0;
    pthread_mutex_unlock(&o->mutex);
    return ms;
}

static void take_max(const char *key, void *value, void *arg)
{
    int64_t *max = arg, ms = *(const int64_t *)value;
    if (ms < 0)
        ms = -ms;
    if (ms > *max)
        *max = ms;
}

void relay_offset_set(struct relay_offsets *o, const char *peer, int64_t offset_ms)
{
    pthread_mutex_lock(&o->mutex);
    int64_t *offset = map_get(o->by_node, peer);
    if (offset == NULL && map_count(o->by_node) < OFFSETS_MAX) {
        offset = xcalloc(1, sizeof *offset);
        map_put(o->by_node, peer, offset);
    }
    if (offset != NULL)
        *offset = offset_ms;
    o->max_ms = 0;
    map_each(o->by_node, take_max, &o->max_ms);
    pthread_mutex_unlock(&o->mutex);
}

int64_t relay_offsets_max(struct relay_offsets *o)
{
    pthread_mutex_lock(&o->mutex);
    int64_t ms = o->max_ms;
    pthread_mutex_unlock(&o->mutex);
    return ms;
}
