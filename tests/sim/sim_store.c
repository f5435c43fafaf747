/*
 * What Redis keeps, as far as the product uses it: strings, hashes and sorted sets with times to
 * live.  Small and slow, with the answers that Redis gives.
 */
#include "sim.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_TEXT_MAX 512
#define FIELDS_MAX     32

struct pair {
    char *name, *value;
};

/* A string is one pair without a name; a sorted set has its scores as values. */
struct entry {
    struct list node;
    char *key;
    int64_t expires_us; /* 0: never */
    struct pair pairs[FIELDS_MAX];
    int count;
};

struct sim_store {
    struct list entries;
};

struct sim_store *sim_store_new(void)
{
    struct sim_store *s = xcalloc(1, sizeof *s);
    list_init(&s->entries);
    return s;
}

static void entry_clear(struct entry *e)
{
    for (int i = 0; i < e->count; i++) {
        free(e->pairs[i].name);
        free(e->pairs[i].value);
    }
    e->count = 0;
}

static void entry_free(struct entry *e)
{
    list_remove(&e->node);
    entry_clear(e);
    free(e->key);
    free(e);
}

void sim_store_clear(struct sim_store *s)
{
    struct entry *e, *tmp;
    LIST_EACH_SAFE (e, tmp, &s->entries, node)
        entry_free(e);
}

void sim_store_free(struct sim_store **sp)
{
    if (*sp != NULL)
        sim_store_clear(*sp);
    free(*sp);
    *sp = NULL;
}

static struct entry *entry_new(struct sim_store *s, const char *key)
{
    struct entry *e = xcalloc(1, sizeof *e);
    e->key = xstrdup(key);
    list_append(&s->entries, &e->node);
    return e;
}

struct sim_store *sim_store_copy(const struct sim_store *s)
{
    struct sim_store *copy = sim_store_new();
    struct entry *e;
    LIST_EACH (e, &s->entries, node) {
        struct entry *to = entry_new(copy, e->key);
        to->expires_us = e->expires_us;
        for (; to->count < e->count; to->count++) {
            const struct pair *p = &e->pairs[to->count];
            to->pairs[to->count] = (struct pair){xstrdup(p->name), xstrdup(p->value)};
        }
    }
    return copy;
}

void sim_store_expire_leases(struct sim_store *s)
{
    struct entry *e, *tmp;
    LIST_EACH_SAFE (e, tmp, &s->entries, node)
        if (e->expires_us != 0)
            entry_free(e);
}

static struct entry *find(struct sim_store *s, int64_t unix_us, const char *key)
{
    struct entry *e, *tmp;
    LIST_EACH_SAFE (e, tmp, &s->entries, node) {
        if (strcmp(e->key, key) != 0)
            continue;
        if (e->expires_us == 0 || e->expires_us > unix_us)
            return e;
        entry_free(e);
        return NULL;
    }
    return NULL;
}

static struct pair *find_pair(struct entry *e, const char *name)
{
    for (int i = 0; e != NULL && i < e->count; i++)
        if (strcmp(e->pairs[i].name, name) == 0)
            return &e->pairs[i];
    return NULL;
}

static void set_pair(struct entry *e, const char *name, const char *value)
{
    struct pair *p = find_pair(e, name);
    if (p == NULL) {
        must(e->count < FIELDS_MAX);
        p = &e->pairs[e->count++];
        *p = (struct pair){.name = xstrdup(name)};
    }
    free(p->value);
    p->value = xstrdup(value);
}

static void drop_pair(struct entry *e, struct pair *p)
{
    free(p->name);
    free(p->value);
    *p = e->pairs[--e->count];
}

bool sim_store_field(struct sim_store *s, int64_t unix_us, const char *key, const char *field,
                     char *out, size_t room)
{
    const struct pair *p = find_pair(find(s, unix_us, key), field);
    return p != NULL && slice_copy(slice_text(p->value), out, room);
}

/* --- commands --- */

struct command {
    struct sim_store *store;
    int64_t unix_us;
    char words[64][ENTRY_TEXT_MAX]; /* terminated */
    int count;
    struct slice text; /* the last word, whole */
    void (*publish)(struct slice channel, struct slice text);
    struct buf *out;
};

static void add(struct command *c, const char *text)
{
    must(buf_append(c->out, text, strlen(text)) == 0);
}

static void add_head(struct command *c, char kind, int64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%c%" PRId64 "\r\n", kind, n);
    add(c, text);
}

static void add_bulk(struct command *c, const char *text)
{
    if (text == NULL) {
        add(c, "$-1\r\n");
        return;
    }
    add_head(c, '$', (int64_t)strlen(text));
    add(c, text);
    add(c, "\r\n");
}

static struct entry *entry_of(struct command *c)
{
    return find(c->store, c->unix_us, c->words[1]);
}

static struct entry *made_entry(struct command *c)
{
    struct entry *e = entry_of(c);
    return e != NULL ? e : entry_new(c->store, c->words[1]);
}

static void run_time(struct command *c)
{
    char text[32];
    add(c, "*2\r\n");
    snprintf(text, sizeof text, "%" PRId64, c->unix_us / 1000000);
    add_bulk(c, text);
    snprintf(text, sizeof text, "%" PRId64, c->unix_us % 1000000);
    add_bulk(c, text);
}

static void run_get(struct command *c)
{
    const struct pair *p = find_pair(entry_of(c), "");
    add_bulk(c, p != NULL ? p->value : NULL);
}

static void run_set(struct command *c)
{
    set_pair(made_entry(c), "", c->words[2]);
    add(c, "+OK\r\n");
}

static void run_incr(struct command *c)
{
    struct entry *e = made_entry(c);
    const struct pair *p = find_pair(e, "");
    int64_t n = (p != NULL ? strtoll(p->value, NULL, 10) : 0) + 1;
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, n);
    set_pair(e, "", text);
    add_head(c, ':', n);
}

static void run_del(struct command *c)
{
    struct entry *e = entry_of(c);
    add_head(c, ':', e != NULL);
    if (e != NULL)
        entry_free(e);
}

static void run_hset(struct command *c)
{
    struct entry *e = made_entry(c);
    for (int i = 2; i + 1 < c->count; i += 2)
        set_pair(e, c->words[i], c->words[i + 1]);
    add_head(c, ':', 0);
}

static void run_hmget(struct command *c)
{
    struct entry *e = entry_of(c);
    add_head(c, '*', c->count - 2);
    for (int i = 2; i < c->count; i++) {
        const struct pair *p = find_pair(e, c->words[i]);
        add_bulk(c, p != NULL ? p->value : NULL);
    }
}

static void run_hgetall(struct command *c)
{
    const struct entry *e = entry_of(c);
    int count = e != NULL ? e->count : 0;
    add_head(c, '*', 2 * count);
    for (int i = 0; i < count; i++) {
        add_bulk(c, e->pairs[i].name);
        add_bulk(c, e->pairs[i].value);
    }
}

static void run_pexpire(struct command *c)
{
    struct entry *e = entry_of(c);
    if (e != NULL)
        e->expires_us = c->unix_us + strtoll(c->words[2], NULL, 10) * 1000;
    add_head(c, ':', e != NULL);
}

static void run_pttl(struct command *c)
{
    const struct entry *e = entry_of(c);
    int64_t left_ms = e == NULL ? -2 : -1;
    if (e != NULL && e->expires_us != 0)
        left_ms = (e->expires_us - c->unix_us) / 1000;
    add_head(c, ':', left_ms);
}

static void run_zadd(struct command *c)
{
    set_pair(made_entry(c), c->words[3], c->words[2]);
    add_head(c, ':', 1);
}

static void run_zrem(struct command *c)
{
    struct entry *e = entry_of(c);
    struct pair *p = find_pair(e, c->words[2]);
    if (p != NULL)
        drop_pair(e, p);
    add_head(c, ':', p != NULL);
}

static void run_zremrangebyscore(struct command *c)
{
    struct entry *e = entry_of(c);
    int64_t max = strtoll(c->words[3], NULL, 10);
    for (int i = e != NULL ? e->count - 1 : -1; i >= 0; i--)
        if (strtoll(e->pairs[i].value, NULL, 10) <= max)
            drop_pair(e, &e->pairs[i]);
    add_head(c, ':', 0);
}

static void run_zrange(struct command *c)
{
    const struct entry *e = entry_of(c);
    int count = e != NULL ? e->count : 0;
    add_head(c, '*', 2 * count);
    for (int i = 0; i < count; i++) {
        add_bulk(c, e->pairs[i].name);
        add_bulk(c, e->pairs[i].value);
    }
}

static void run_publish(struct command *c)
{
    c->publish(slice_text(c->words[1]), c->text);
    add_head(c, ':', 1);
}

static void run_ok(struct command *c)
{
    add(c, "+OK\r\n");
}

static void run_info(struct command *c)
{
    add_bulk(c, "maxmemory_policy:noeviction\r\n");
}

void sim_store_run(struct sim_store *s, int64_t unix_us, const struct slice *words, int count,
                   void (*publish)(struct slice channel, struct slice text), struct buf *out)
{
    static const struct {
        const char *word;
        void (*run)(struct command *c);
        int words;
    } commands[] = {
        {"TIME", run_time, 1},       {"GET", run_get, 2},
        {"SET", run_set, 3},         {"INCR", run_incr, 2},
        {"DEL", run_del, 2},         {"HSET", run_hset, 4},
        {"HMGET", run_hmget, 3},     {"HGETALL", run_hgetall, 2},
        {"PEXPIRE", run_pexpire, 3}, {"PTTL", run_pttl, 2},
        {"ZADD", run_zadd, 4},       {"ZREM", run_zrem, 3},
        {"ZRANGE", run_zrange, 4},   {"PUBLISH", run_publish, 3},
        {"QUIT", run_ok, 1},         {"INFO", run_info, 1},
        {"PING", run_ok, 1},         {"ZREMRANGEBYSCORE", run_zremrangebyscore, 4},
    };
    static struct command c; /* large */
    c = (struct command){.store = s, .unix_us = unix_us, .publish = publish, .out = out};
    for (; c.count < count && c.count < 64; c.count++) {
        struct slice word = words[c.count];
        size_t len = word.len < ENTRY_TEXT_MAX ? word.len : ENTRY_TEXT_MAX - 1;
        memcpy(c.words[c.count], word.p, len);
    }
    c.text = words[count - 1];
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (slice_is(words[0], commands[i].word) && count >= commands[i].words) {
            commands[i].run(&c);
            return;
        }
    add(&c, "-ERR unknown command\r\n");
}
