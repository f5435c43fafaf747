/*
 * How many streams the node takes: a seat for each that has a source or is about to have one.
 * Under the hub's mutex, at the beginning and the end of a stream.
 */
#include "base/mem.h"
#include "base/must.h"
#include "base/name.h"
#include "core/config.h"
#include "core/limit.h"
#include "core/memory_guard.h"
#include "hub/hub_internal.h"

#include <stdlib.h>

struct hub_app {
    int64_t publishers;
    char name[];
};

static size_t app_length(const char *name)
{
    return strcspn(name, "/");
}

/* What stands against one more; LIMIT_COUNT: nothing. */
static enum limit judge(struct hub *h, const struct worker *w, const char *name, bool publishes)
{
    int64_t streams = w->config->limits.streams, per_app = w->config->limits.publishers_per_app;
    if (memory_level(h->group) == MEMORY_OUT)
        return LIMIT_MEMORY;
    if (!hub_has_memory(h))
        return LIMIT_LOG_MEMORY;
    if (name_derivation(name) != NULL)
        return LIMIT_COUNT;
    pthread_mutex_lock(&h->mutex);
    const struct hub_app *app = map_get_n(h->apps, name, app_length(name));
    bool full = streams > 0 && h->seats >= streams;
    bool app_full = publishes && per_app > 0 && app != NULL && app->publishers >= per_app;
    pthread_mutex_unlock(&h->mutex);
    return full ? LIMIT_STREAMS : app_full ? LIMIT_APP_STREAMS : LIMIT_COUNT;
}

bool hub_admits(struct hub *h, struct worker *w, const char *name, bool publishes)
{
    enum limit which = judge(h, w, name, publishes);
    if (which == LIMIT_COUNT)
        return true;
    limit_reached(w, which, name);
    return false;
}

static struct hub_app *app_get(struct hub *h, const char *name)
{
    size_t len = app_length(name);
    struct hub_app *app = map_get_n(h->apps, name, len);
    if (app != NULL)
        return app;
    app = xcalloc(1, sizeof *app + len + 1);
    memcpy(app->name, name, len);
    map_put_n(h->apps, name, len, app);
    return app;
}

void hub_take_seat(struct hub *h, const char *name, bool publishes, struct hub_seat *s)
{
    must(!s->taken);
    if (name_derivation(name) != NULL)
        return;
    pthread_mutex_lock(&h->mutex);
    s->taken = true;
    h->seats++;
    if (publishes) {
        s->app = app_get(h, name);
        s->app->publishers++;
    }
    pthread_mutex_unlock(&h->mutex);
}

void hub_leave_seat(struct hub *h, struct hub_seat *s)
{
    if (!s->taken)
        return;
    pthread_mutex_lock(&h->mutex);
    h->seats--;
    bool last = s->app != NULL && --s->app->publishers == 0;
    if (last)
        map_take_n(h->apps, s->app->name, strlen(s->app->name));
    pthread_mutex_unlock(&h->mutex);
    if (last)
        free(s->app);
    *s = (struct hub_seat){0};
}
