#include "cluster/gossip_internal.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

static bool is_higher(const struct node_stream *a, const struct node_stream *b)
{
    if (b == NULL || a->epoch != b->epoch)
        return b == NULL || a->epoch > b->epoch;
    return a->node->instance > b->node->instance;
}

static struct node_stream *highest(struct stream_name *name)
{
    struct node_stream *best = NULL, *s;
    LIST_EACH (s, &name->streams, of_name)
        if (is_higher(s, best))
            best = s;
    return best;
}

static void describe(const struct node_stream *s, struct cluster_owner *out)
{
    *out = (struct cluster_owner){.from_directory = true};
    if (s == NULL)
        return;
    out->found = true;
    out->lost = s->lost;
    out->epoch = s->epoch;
    out->instance = s->node->instance;
    memcpy(out->node, s->node->id, sizeof out->node);
    memcpy(out->address, s->node->relay, sizeof out->address);
}

/* Tells who owns the name now, if that is another; frees the name when nobody does. */
static void settle(struct gossip *g, struct stream_name *name)
{
    const struct node_stream *s = highest(name);
    struct told told = {.found = s != NULL};
    if (s != NULL)
        told = (struct told){
            .found = true, .lost = s->lost, .epoch = s->epoch, .instance = s->node->instance};
    if (told.found != name->told.found || told.lost != name->told.lost ||
        told.epoch != name->told.epoch || told.instance != name->told.instance) {
        struct cluster_owner owner;
        describe(s, &owner);
        name->told = told;
        g->ops.on_owner(name->name, &owner, g->arg);
    }
    if (s == NULL) {
        map_take(g->names, name->name);
        free(name);
    }
}

static struct stream_name *name_get(struct gossip *g, struct slice text)
{
    struct stream_name *name = map_get_n(g->names, text.p, text.len);
    if (name != NULL)
        return name;
    name = xcalloc(1, sizeof *name + text.len + 1);
    list_init(&name->streams);
    memcpy(name->name, text.p, text.len);
    map_put(g->names, name->name, name);
    return name;
}

static struct node_stream *stream_find(struct stream_name *name, const struct gossip_node *n)
{
    struct node_stream *s;
    LIST_EACH (s, &name->streams, of_name)
        if (s->node == n)
            return s;
    return NULL;
}

/* Its name has to be settled afterwards. */
static void stream_free(struct gossip *g, struct node_stream *s)
{
    s->node->digest ^= s->hash;
    s->node->stream_count--;
    g->streams_known--;
    list_remove(&s->of_node);
    list_remove(&s->of_name);
    free(s);
}

static struct node_stream *stream_new(struct gossip *g, struct gossip_node *n,
                                      struct stream_name *name, const struct gossip_stream *from)
{
    struct node_stream *s = xcalloc(1, sizeof *s + from->text.len + 1);
    s->node = n;
    s->name = name;
    s->version = from->version;
    s->epoch = from->epoch;
    s->lost = from->state == GOSSIP_LOST;
    s->takeovers = from->takeovers;
    s->seen = true;
    s->hash = stream_hash(name->name, s->epoch, s->lost);
    slice_copy(from->text, s->publisher, from->text.len + 1);
    list_append(&n->streams, &s->of_node);
    list_append(&name->streams, &s->of_name);
    n->digest ^= s->hash;
    n->stream_count++;
    g->streams_known++;
    return s;
}

static void stream_put(struct gossip *g, struct gossip_node *n, const struct gossip_stream *from)
{
    struct stream_name *name = map_get_n(g->names, from->name.p, from->name.len);
    struct node_stream *old = name != NULL ? stream_find(name, n) : NULL;
    if (old != NULL && old->version > from->version) {
        old->seen = true;
        return;
    }
    if (old == NULL && n->stream_count >= GOSSIP_STREAMS_MAX) {
        gossip_refused(g, "streams");
        return;
    }
    if (old != NULL)
        stream_free(g, old);
    name = name_get(g, from->name);
    stream_new(g, n, name, from);
    settle(g, name);
}

static void stream_drop(struct gossip *g, struct node_stream *s)
{
    struct stream_name *name = s->name;
    stream_free(g, s);
    settle(g, name);
}

static void stream_end(struct gossip *g, struct gossip_node *n, const struct gossip_stream *from)
{
    struct stream_name *name = map_get_n(g->names, from->name.p, from->name.len);
    struct node_stream *s = name != NULL ? stream_find(name, n) : NULL;
    if (s != NULL && s->version < from->version)
        stream_drop(g, s);
}

void owner_apply_one(struct gossip *g, struct gossip_node *n, const struct gossip_stream *s)
{
    if (s->state == GOSSIP_ENDED)
        stream_end(g, n, s);
    else
        stream_put(g, n, s);
}

static void apply_full(struct gossip *g, struct gossip_node *n, const struct delta *d)
{
    struct node_stream *s, *tmp;
    struct gossip_stream from;
    LIST_EACH (s, &n->streams, of_node)
        s->seen = false;
    struct rd r = rd_slice(d->streams);
    while (gossip_stream_next(&r, &from) > 0)
        if (from.version <= d->to)
            owner_apply_one(g, n, &from);
    LIST_EACH_SAFE (s, tmp, &n->streams, of_node)
        if (!s->seen && s->version <= d->to)
            stream_drop(g, s);
    n->version = d->to;
}

bool owner_apply(struct gossip *g, struct gossip_node *n, const struct delta *d)
{
    if (d->full && d->to >= n->version) {
        apply_full(g, n, d);
        return true;
    }
    if (d->to <= n->version)
        return true;
    bool whole = n->version >= d->since;
    struct gossip_stream from;
    struct rd r = rd_slice(d->streams);
    while (gossip_stream_next(&r, &from) > 0) {
        if (from.version <= n->version || from.version > d->to)
            continue;
        /* With changes missing before it, an end might be followed by what it ended. */
        if (whole || from.state != GOSSIP_ENDED)
            owner_apply_one(g, n, &from);
    }
    if (whole)
        n->version = d->to;
    return whole;
}

void owner_clear(struct gossip *g, struct gossip_node *n)
{
    struct node_stream *s, *tmp;
    LIST_EACH_SAFE (s, tmp, &n->streams, of_node)
        stream_drop(g, s);
    n->version = 0;
    must(n->digest == 0 && n->stream_count == 0);
}

void gossip_owner(const struct gossip *g, const char *name, int64_t now_us,
                  struct cluster_owner *owner, struct gossip_record *record)
{
    struct stream_name *entry = map_get(g->names, name);
    const struct node_stream *s = entry != NULL ? highest(entry) : NULL;
    describe(s, owner);
    if (record == NULL)
        return;
    *record = (struct gossip_record){0};
    if (s == NULL)
        return;
    slice_copy(slice_text(s->publisher), record->publisher, sizeof record->publisher);
    record->takeovers = s->takeovers;
    record->silent_us = now_us - s->node->heard_us;
}

static void free_each(const char *text, void *value, void *arg)
{
    (void)text;
    (void)arg;
    struct stream_name *name = value;
    struct node_stream *s, *tmp;
    LIST_EACH_SAFE (s, tmp, &name->streams, of_name)
        free(s);
    free(name);
}

void owner_free(struct gossip *g)
{
    map_each(g->names, free_each, NULL);
    map_free(&g->names);
}
