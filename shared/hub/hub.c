/*
 * The name table and the making of feeds.  Threads: the table under its mutex; everything else on
 * the worker that a feed belongs to.
 */
#include "hub/hub_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"

#include <stdlib.h>
#include <string.h>

struct hub *hub_new(struct workers *g)
{
    struct hub *h = xcalloc(1, sizeof *h);
    h->group = g;
    h->account.max = (size_t)g->config->stream.memory_bytes;
    must(pthread_mutex_init(&h->mutex, NULL) == 0);
    h->streams = map_new();
    h->apps = map_new();
    h->account.pressure = &g->memory_level;
    h->feeds = xcalloc((size_t)g->count, sizeof h->feeds[0]);
    for (int i = 0; i < g->count; i++)
        h->feeds[i] = map_new();
    return h;
}

void hub_set_hooks(struct hub *h, const struct hub_hooks *hooks)
{
    h->hooks = *hooks;
}

static void abandon_feed(const char *name, void *value, void *arg)
{
    struct feed *f = OBJ_CAST(struct feed, value, FEED_MAGIC);
    feed_abandon(&f);
}

void hub_free(struct hub **hp)
{
    struct hub *h = *hp;
    *hp = NULL;
    if (h == NULL)
        return;
    for (int i = 0; i < h->group->count; i++)
        map_each(h->feeds[i], abandon_feed, NULL);
    for (int i = 0; i < h->group->count; i++)
        map_free(&h->feeds[i]);
    must(map_count(h->streams) == 0);
    map_free(&h->streams);
    must(map_count(h->apps) == 0 && h->seats == 0);
    map_free(&h->apps);
    pthread_mutex_destroy(&h->mutex);
    free(h->feeds);
    free(h);
}

struct log_account *hub_account(struct hub *h)
{
    return &h->account;
}

bool hub_has_memory(const struct hub *h)
{
    return h->account.max == 0 ||
           atomic_load_explicit(&h->account.bytes, memory_order_relaxed) < h->account.max;
}

struct stream *stream_ref(struct hub *h, const char *name, struct worker *near)
{
    pthread_mutex_lock(&h->mutex);
    struct stream *s = map_get(h->streams, name);
    if (s == NULL) {
        s = xcalloc(1, sizeof *s);
        s->home = near;
        must(slice_copy(slice_text(name), s->name, sizeof s->name));
        map_put(h->streams, name, s);
    }
    s->refs++;
    pthread_mutex_unlock(&h->mutex);
    return s;
}

void stream_unref(struct hub *h, struct stream **sp)
{
    struct stream *s = *sp;
    *sp = NULL;
    pthread_mutex_lock(&h->mutex);
    must(s->refs > 0);
    bool last = --s->refs == 0;
    if (last)
        map_take(h->streams, s->name);
    pthread_mutex_unlock(&h->mutex);
    if (last)
        free(s);
}

struct worker *hub_pin(struct hub *h, const char *name, struct worker *near)
{
    return stream_ref(h, name, near)->home;
}

void hub_unpin(struct hub *h, const char *name)
{
    pthread_mutex_lock(&h->mutex);
    struct stream *s = map_get(h->streams, name);
    pthread_mutex_unlock(&h->mutex);
    must(s != NULL); /* the pin itself keeps it */
    stream_unref(h, &s);
}

struct worker *hub_home(struct hub *h, const char *name)
{
    pthread_mutex_lock(&h->mutex);
    struct stream *s = map_get(h->streams, name);
    struct worker *home = s != NULL ? s->home : NULL;
    pthread_mutex_unlock(&h->mutex);
    return home;
}

struct feed *feed_find(struct hub *h, struct worker *w, const char *name)
{
    return map_get(h->feeds[w->index], name);
}

struct each {
    void (*fn)(struct feed *f, void *arg);
    void *arg;
};

static void each_feed(const char *name, void *value, void *arg)
{
    struct each *e = arg;
    e->fn(OBJ_CAST(struct feed, value, FEED_MAGIC), e->arg);
}

void feed_each(struct hub *h, struct worker *w, void (*fn)(struct feed *f, void *arg), void *arg)
{
    struct each e = {fn, arg};
    map_each(h->feeds[w->index], each_feed, &e);
}
