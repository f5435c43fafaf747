#include "cluster/gossip_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

uint64_t stream_hash(const char *name, uint64_t epoch, bool lost)
{
    uint8_t bytes[8 + 1 + NAME_STREAM_MAX], hash[SHA256_SIZE];
    struct wr w = wr_init(bytes, sizeof bytes);
    wr_u64(&w, epoch);
    wr_u8(&w, lost ? 1 : 0);
    wr_text(&w, name);
    must(!w.overflow);
    crypto_sha256(wr_slice(&w), hash);
    struct rd r = rd_init(hash, sizeof hash);
    return rd_u64(&r);
}

static void log_change(struct gossip *g, const char *name, const char *why)
{
    struct own_change *c = &g->changes[++g->version % GOSSIP_CHANGES_MAX];
    size_t name_size = strlen(name) + 1;
    size_t why_size = why != NULL ? strlen(why) + 1 : 0;
    free(c->text);
    c->ended = why != NULL;
    c->text = xmalloc(name_size + why_size);
    memcpy(c->text, name, name_size);
    if (why != NULL)
        memcpy(c->text + name_size, why, why_size);
}

void own_describe(const struct own_stream *s, struct gossip_stream *out)
{
    *out = (struct gossip_stream){.state = s->lost ? GOSSIP_LOST : GOSSIP_LIVE,
                                  .version = s->version,
                                  .epoch = s->epoch,
                                  .takeovers = s->takeovers,
                                  .text = slice_text(s->publisher),
                                  .name = slice_text(s->name)};
}

bool own_change_get(const struct gossip *g, uint64_t version, struct gossip_stream *out)
{
    must(version <= g->version && g->version - version < GOSSIP_CHANGES_MAX);
    const struct own_change *c = &g->changes[version % GOSSIP_CHANGES_MAX];
    const struct own_stream *s = map_get(g->own, c->text);
    if (s != NULL) {
        own_describe(s, out);
        return s->version == version;
    }
    if (!c->ended)
        return false;
    const char *why = c->text + strlen(c->text) + 1;
    *out = (struct gossip_stream){.state = GOSSIP_ENDED,
                                  .version = version,
                                  .text = slice_text(why),
                                  .name = slice_text(c->text)};
    return true;
}

static bool is_same(const struct own_stream *s, const struct gossip_claim *claim)
{
    return s->epoch == claim->epoch && s->lost == claim->lost &&
           s->takeovers == (uint8_t)claim->takeovers && strcmp(s->publisher, claim->publisher) == 0;
}

int gossip_announce(struct gossip *g, const struct gossip_claim *claim, int64_t now_us)
{
    g->now_us = now_us;
    struct own_stream *s = map_get(g->own, claim->name);
    if (s != NULL && is_same(s, claim))
        return 0;
    if (s == NULL && map_count(g->own) >= GOSSIP_STREAMS_MAX) {
        gossip_refused(g, "streams");
        return ERR_TOO_MANY;
    }
    if (s == NULL) {
        size_t size = strlen(claim->name) + 1;
        must(size <= NAME_STREAM_MAX + 1);
        s = xcalloc(1, sizeof *s + size);
        memcpy(s->name, claim->name, size);
        map_put(g->own, s->name, s);
    } else {
        g->digest ^= s->hash;
    }
    s->epoch = claim->epoch;
    s->lost = claim->lost;
    s->takeovers = (uint8_t)(claim->takeovers < UINT8_MAX ? claim->takeovers : UINT8_MAX);
    slice_copy(slice_text(claim->publisher), s->publisher, sizeof s->publisher);
    s->hash = stream_hash(s->name, s->epoch, s->lost);
    g->digest ^= s->hash;
    log_change(g, s->name, NULL);
    s->version = g->version;
    announce_changes(g);
    return 0;
}

void gossip_withdraw(struct gossip *g, const char *name, const char *why, int64_t now_us)
{
    g->now_us = now_us;
    struct own_stream *s = map_take(g->own, name);
    if (s == NULL)
        return;
    char reason[GOSSIP_PUBLISHER_MAX + 1];
    if (!slice_copy(slice_text(why != NULL ? why : ""), reason, sizeof reason))
        reason[0] = '\0';
    g->digest ^= s->hash;
    log_change(g, s->name, reason);
    free(s);
    announce_changes(g);
}

static int append_stream(struct buf *out, const struct gossip_stream *s)
{
    size_t size = gossip_stream_size(s);
    uint8_t *dst = buf_reserve(out, size);
    if (dst == NULL)
        return ERR_TOO_LARGE;
    struct wr w = wr_init(dst, size);
    gossip_write_stream(&w, s);
    must(!w.overflow && wr_len(&w) == size);
    buf_commit(out, size);
    return 0;
}

struct append {
    struct buf *out;
    int err;
};

static void append_each(const char *name, void *value, void *arg)
{
    (void)name;
    struct append *a = arg;
    struct gossip_stream s;
    own_describe(value, &s);
    if (a->err == 0)
        a->err = append_stream(a->out, &s);
}

static int append_header(struct buf *out, const struct gossip_set *set)
{
    uint8_t bytes[GOSSIP_SET_HEADER_SIZE];
    struct wr w = wr_init(bytes, sizeof bytes);
    gossip_set_header_write(&w, set);
    must(!w.overflow && wr_len(&w) == sizeof bytes);
    return buf_append(out, bytes, sizeof bytes);
}

static int append_changes(const struct gossip *g, uint64_t since, struct buf *out)
{
    struct gossip_stream s;
    for (uint64_t v = since + 1; v <= g->version; v++) {
        if (!own_change_get(g, v, &s))
            continue;
        int err = append_stream(out, &s);
        if (err < 0)
            return err;
    }
    return 0;
}

static uint32_t count_changes(const struct gossip *g, uint64_t since)
{
    struct gossip_stream s;
    uint32_t n = 0;
    for (uint64_t v = since + 1; v <= g->version; v++)
        n += own_change_get(g, v, &s);
    return n;
}

int gossip_set_write(const struct gossip *g, uint64_t instance, uint64_t since, struct buf *out)
{
    bool full = instance != g->self.instance || since == 0 || since > g->version ||
                g->version - since > GOSSIP_CHANGES_MAX - 1;
    struct gossip_set set = {.full = full,
                             .instance = g->self.instance,
                             .since = full ? 0 : since,
                             .to = g->version,
                             .count = full ? (uint32_t)map_count(g->own) : count_changes(g, since)};
    int err = append_header(out, &set);
    if (err < 0)
        return err;
    if (!full)
        return append_changes(g, since, out);
    struct append a = {.out = out};
    map_each(g->own, append_each, &a);
    return a.err;
}

static void free_each(const char *name, void *value, void *arg)
{
    (void)name;
    (void)arg;
    free(value);
}

void own_free(struct gossip *g)
{
    map_each(g->own, free_each, NULL);
    map_free(&g->own);
    for (uint64_t v = g->version; v > 0 && g->version - v < GOSSIP_CHANGES_MAX; v--)
        free(g->changes[v % GOSSIP_CHANGES_MAX].text);
    free(g->changes);
}
