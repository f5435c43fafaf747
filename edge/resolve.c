/*
 *   hub: wanted ──▶ resolution ──watch, look up──▶ cluster ──owner──▶ pull
 *                       ▲  ├─ directory away ─▶ ask_nodes ──┤ ▲
 *                       │  └─ owner far, or not reached: ask_zone ─ its parent
 *                       └──────── cluster events ──────────
 *
 * A resolution lives on the name's home worker from the first reader until nobody reads and the
 * pull has been idle for its time.  It holds the feed.
 */
#include "edge/resolve.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "edge/ask_nodes.h"
#include "edge/ask_zone.h"
#include "edge/negative.h"
#include "edge/pull.h"
#include "edge/view.h"

#include <stdlib.h>
#include <string.h>

#define RESOLVER_MAGIC   0x7265736fU
#define RESOLUTION_MAGIC 0x7265736eU

/* What one worker has; only that worker touches it. */
struct local {
    struct map *resolutions; /* by name */
    struct negative *negative;
    bool stopped;
};

struct resolver {
    uint32_t magic;
    struct resolver_options o;
    struct local *locals; /* by worker index */
};

struct resolution {
    uint32_t magic;
    struct resolver *resolver;
    struct worker *worker;
    struct feed *feed;               /* held */
    char owned[NAME_STREAM_MAX + 1]; /* the name that somebody owns: without a derivation */
    struct log_id log;
    struct pull *pull;
    struct ask *ask;
    struct zone_ask *zone_ask;
    struct cluster_owner owner; /* whom the zone is asked about */
    struct timer again, hold;
    struct timer tier;     /* while there is a pull: looks for a better upstream */
    int64_t not_before_us; /* no look-up before this */
    bool wanted, looking;
    bool told_by_owner; /* that the run which the feed holds has ended */
};

static void look_up(struct resolution *s);
static void consider(struct resolution *s, const struct cluster_owner *owner);
static bool is_over(const struct resolution *s, const struct cluster_owner *owner);

static struct local *local_of(const struct resolver *r, const struct worker *w)
{
    return &r->locals[w->index];
}

static struct resolution *find(const struct resolver *r, const struct worker *w, const char *name)
{
    return map_get(local_of(r, w)->resolutions, name);
}

static bool needs_source(const struct resolution *s)
{
    return s->wanted && s->feed->source == NULL;
}

/* The name goes out of the table first: a hook that comes from here must not find it. */
static void drop(struct resolution *s)
{
    map_take(local_of(s->resolver, s->worker)->resolutions, s->feed->name);
    cluster_unwatch(s->resolver->o.cluster, s->owned);
    ask_cancel(&s->ask);
    zone_ask_cancel(&s->zone_ask);
    timer_fini(&s->tier);
    timer_fini(&s->again);
    timer_fini(&s->hold);
    pull_free(&s->pull);
    feed_release(&s->feed);
    OBJ_POISON(s);
    free(s);
}

static void drop_if_unused(struct resolution *s)
{
    if (!s->wanted && s->pull == NULL)
        drop(s);
}

/* --- the pull --- */

static void on_pull_down(struct pull *p, void *arg)
{
    look_up(OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC));
}

static void on_pull_owner(struct pull *p, const struct cluster_owner *owner, void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    cluster_learn(s->resolver->o.cluster, s->owned, owner);
}

static void on_pull_run(struct pull *p, const struct cluster_owner *owner, void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    cluster_saw(s->resolver->o.cluster, s->owned, owner);
}

static void on_pull_end(struct pull *p, enum pull_end why, void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    /* What would be kept grows old: who comes next must not be given it. */
    if (why == PULL_IDLE)
        feed_reset(s->feed);
    else
        s->not_before_us = clock_us() + RESOLVE_AGAIN_MS * 1000;
    s->told_by_owner = why == PULL_STREAM_ENDED;
    timer_stop(&s->tier);
    zone_ask_cancel(&s->zone_ask);
    pull_free(&s->pull);
    drop_if_unused(s);
}

static bool has_tiers(const struct resolution *s)
{
    return s->worker->config->cluster.tiers;
}

static void plan_tier(struct resolution *s)
{
    if (has_tiers(s))
        timer_set_ms(&s->tier,
                     RESOLVE_TIER_MS + (int64_t)(crypto_random_u64() % RESOLVE_SPREAD_MS));
}

static void start_pull(struct resolution *s, const struct cluster_owner *owner,
                       const struct upstream_peer *parent)
{
    static const struct pull_ops ops = {on_pull_down, on_pull_owner, on_pull_run, on_pull_end};
    if (!hub_admits(s->resolver->o.hub, s->feed->worker, s->feed->name, false))
        return;
    timer_stop(&s->again);
    timer_stop(&s->hold);
    s->pull = pull_open(s->feed, s->resolver->o.client, owner, parent, &ops, s);
    plan_tier(s);
}

/* --- tiers --- */

/* The most hops of a parent that would be better than what there is. */
static int hops_wanted(const struct resolution *s, enum parent_mood mood)
{
    const struct run *run = log_newest(s->feed->log);
    if (mood == PARENT_MOVE)
        return 1;
    if (mood != PARENT_SHORTEN)
        return RELAY_HOPS_MAX - 1;
    if (run == NULL || run->origin == NULL)
        return 0;
    return parent_path_nodes(run->origin->path, s->resolver->o.client->self->node) - 2;
}

static void ask_zone(struct resolution *s, const struct cluster_owner *owner, enum parent_mood mood,
                     zone_ask_done *done)
{
    const char *zone = s->worker->config->node.zone;
    const struct zone_ask_options o = {.cluster = s->resolver->o.cluster,
                                       .client = s->resolver->o.client,
                                       .name = s->owned,
                                       .zone = zone != NULL ? zone : "",
                                       .owner = owner,
                                       .mood = mood,
                                       .hops_max = hops_wanted(s, mood)};
    zone_ask_cancel(&s->zone_ask);
    s->zone_ask = zone_ask_start(s->worker, &o, done, s);
}

static void on_zone_start(const struct zone_found *found, void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    s->zone_ask = NULL;
    if (s->pull == NULL && needs_source(s) && !is_over(s, &s->owner))
        start_pull(s, &s->owner, found->has_parent ? &found->parent : NULL);
}

/* A parent, or a better one, for a far owner; the owner again for one that has a parent and is
 * near. */
static void on_zone_move(const struct zone_found *found, void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    s->zone_ask = NULL;
    if (s->pull == NULL)
        return;
    if (found->has_parent)
        pull_move(s->pull, &found->parent);
    else if (pull_has_parent(s->pull) && found->owner_is == ZONE_NEAR)
        pull_move(s->pull, NULL);
}

static void on_tier(void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    if (s->pull == NULL)
        return;
    plan_tier(s);
    if (s->zone_ask == NULL && pull_is_linked(s->pull))
        ask_zone(s, pull_owner(s->pull), pull_has_parent(s->pull) ? PARENT_SHORTEN : PARENT_MOVE,
                 on_zone_move);
}

/* The owner's link does not come about: whoever of the zone has the stream. */
static void consider_parent(struct resolution *s)
{
    if (has_tiers(s) && s->pull != NULL && s->zone_ask == NULL && pull_is_stuck(s->pull))
        ask_zone(s, pull_owner(s->pull), PARENT_ANY, on_zone_move);
}

static void begin(struct resolution *s, const struct cluster_owner *owner)
{
    if (!has_tiers(s)) {
        start_pull(s, owner, NULL);
    } else if (s->zone_ask == NULL || cluster_owner_higher(owner, &s->owner)) {
        s->owner = *owner;
        ask_zone(s, owner, PARENT_START, on_zone_start);
    }
}

/* --- who has it --- */

static bool is_self(const struct resolution *s, const struct cluster_owner *owner)
{
    const struct relay_identity *self = s->resolver->o.client->self;
    return owner->instance == self->instance || strcmp(owner->node, self->node) == 0;
}

/* Lower than what we have had, or the very run that its owner ended. */
static bool is_over(const struct resolution *s, const struct cluster_owner *owner)
{
    const struct feed *f = s->feed;
    const struct run *run = log_newest(f->log);
    if (run == NULL || owner->regressed_us > run->opened_us)
        return false;
    const struct cluster_owner had = {.epoch = run->epoch,
                                      .instance = run->origin != NULL
                                                      ? run->origin->instance
                                                      : s->resolver->o.client->self->instance};
    if (cluster_owner_higher(owner, &had))
        return false;
    return cluster_owner_higher(&had, owner) ||
           (f->state == FEED_ENDED && f->why != CLOSE_SOURCE_LOST && s->told_by_owner);
}

/* It is made here, whoever it was pulled from. */
static void make(struct resolution *s)
{
    const struct resolver_options *o = &s->resolver->o;
    if (name_derivation(s->feed->name) == NULL || o->on_own_derived == NULL || !s->wanted)
        return;
    pull_free(&s->pull);
    timer_stop(&s->hold);
    timer_stop(&s->tier);
    o->on_own_derived(s->feed, o->arg);
}

static void consider(struct resolution *s, const struct cluster_owner *owner)
{
    if (!owner->found)
        return;
    if (is_self(s, owner)) {
        if (owner->instance == s->resolver->o.client->self->instance)
            make(s);
        return;
    }
    if (s->pull != NULL)
        pull_offer(s->pull, owner);
    else if (needs_source(s) && !is_over(s, owner))
        begin(s, owner);
}

/* A question to the cluster, which may outlive the resolution. */
struct lookup {
    struct resolver *resolver;
    struct worker *worker;
    char name[NAME_STREAM_MAX + 1];
};

static struct lookup *lookup_new(const struct resolution *s)
{
    struct lookup *l = xcalloc(1, sizeof *l);
    l->resolver = s->resolver;
    l->worker = s->worker;
    must(slice_copy(slice_text(s->feed->name), l->name, sizeof l->name));
    return l;
}

static void on_reported(const struct cluster_owner *owner, void *arg)
{
    struct lookup *l = arg;
    struct resolution *s = find(l->resolver, l->worker, l->name);
    if (s != NULL)
        consider(s, owner);
    free(l);
}

static void on_asked(const struct cluster_owner *owner, void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    s->ask = NULL;
    if (owner->found)
        cluster_report(s->resolver->o.cluster, s->worker, s->owned, owner, on_reported,
                       lookup_new(s));
}

static void on_looked_up(const struct cluster_owner *owner, void *arg)
{
    struct lookup *l = arg;
    const struct resolver *r = l->resolver;
    struct resolution *s = find(r, l->worker, l->name);
    bool away = !owner->from_directory || !cluster_is_up(r->o.cluster);
    if (!owner->found && !away)
        negative_put(local_of(r, l->worker)->negative, l->name, clock_us());
    if (s != NULL) {
        s->looking = false;
        consider(s, owner);
        consider_parent(s);
        bool unlinked =
            s->pull == NULL ? needs_source(s) && s->zone_ask == NULL : !pull_is_linked(s->pull);
        if (away && unlinked && s->ask == NULL)
            s->ask = ask_nodes(l->worker, r->o.cluster, r->o.client, s->owned, on_asked, s);
    }
    free(l);
}

/* Asks the cluster, but not more often than not_before_us allows; while a source is missing it is
 * asked again and again. */
static void look_up(struct resolution *s)
{
    int64_t wait_us = s->not_before_us - clock_us();
    if (needs_source(s))
        timer_set_us(&s->again, wait_us > 0 ? wait_us : RESOLVE_AGAIN_MS * 1000);
    if (wait_us > 0 || s->looking)
        return;
    s->looking = true;
    cluster_lookup(s->resolver->o.cluster, s->worker, s->owned, on_looked_up, lookup_new(s));
}

static void on_again(void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    if (needs_source(s))
        look_up(s);
}

/* The source that went has no successor; readers are not held for ever. */
static void on_hold(void *arg)
{
    struct resolution *s = OBJ_CAST(struct resolution, arg, RESOLUTION_MAGIC);
    if (needs_source(s) && s->feed->state == FEED_LOST)
        feed_end(s->feed, CLOSE_SOURCE_LOST);
}

/* --- the hub's hooks --- */

static struct resolution *resolution_new(struct resolver *r, struct feed *f)
{
    struct resolution *s = xcalloc(1, sizeof *s);
    struct local *local = local_of(r, f->worker);
    int64_t until_us;
    s->magic = RESOLUTION_MAGIC;
    s->resolver = r;
    s->worker = f->worker;
    s->feed = feed_hold(r->o.hub, f->worker, f->name);
    name_base(f->name, s->owned);
    s->log = (struct log_id){"resolve", f->worker->index, 0};
    timer_init(&s->again, f->worker, "edge.resolve", on_again, s);
    timer_init(&s->hold, f->worker, "edge.hold", on_hold, s);
    timer_init(&s->tier, f->worker, "edge.tier", on_tier, s);
    if (negative_has(local->negative, f->name, clock_us(), &until_us)) {
        METRIC_INC(f->worker->metrics.lookup_negative_hits_total);
        s->not_before_us = until_us;
    }
    map_put(local->resolutions, f->name, s);
    cluster_watch(r->o.cluster, s->owned);
    return s;
}

static void on_wanted(struct feed *f, void *arg)
{
    struct resolver *r = OBJ_CAST(struct resolver, arg, RESOLVER_MAGIC);
    if (local_of(r, f->worker)->stopped)
        return;
    if (view_is(f->name)) {
        view_start(r->o.views, f);
        return;
    }
    struct resolution *s = find(r, f->worker, f->name);
    if (s == NULL)
        s = resolution_new(r, f);
    s->wanted = true;
    if (f->state == FEED_LOST)
        timer_set_ms(&s->hold, f->worker->config->viewer.hold_ms);
    look_up(s);
}

static void on_unwanted(struct feed *f, void *arg)
{
    struct resolver *r = OBJ_CAST(struct resolver, arg, RESOLVER_MAGIC);
    struct resolution *s = find(r, f->worker, f->name);
    if (s == NULL)
        return;
    s->wanted = false;
    timer_stop(&s->again);
    timer_stop(&s->hold);
    drop_if_unused(s);
}

void resolver_hooks(struct resolver *r, struct hub_hooks *out)
{
    *out = (struct hub_hooks){on_wanted, on_unwanted, r};
}

/* --- the cluster's events --- */

struct news {
    struct message m;
    struct resolver *resolver;
    struct worker *home;
    struct cluster_owner owner;
    char name[NAME_STREAM_MAX + 1];
};

/* Told by the directory while the higher owner still delivers. */
static bool is_refuted(const struct resolution *s, const struct cluster_owner *owner)
{
    return owner->regressed_us != 0 && s->pull != NULL && pull_is_linked(s->pull);
}

static void on_news(struct message *m)
{
    struct news *n = container_of(m, struct news, m);
    struct resolution *s = find(n->resolver, n->home, n->name);
    if (s != NULL && is_refuted(s, &n->owner))
        pull_tell_owner(s->pull);
    else if (s != NULL)
        consider(s, &n->owner);
    free(n);
}

static void tell(struct resolver *r, const char *name, const struct cluster_owner *owner)
{
    struct worker *home = hub_home(r->o.hub, name);
    if (home == NULL)
        return;
    struct news *n = xcalloc(1, sizeof *n);
    n->m.run = on_news;
    n->resolver = r;
    n->home = home;
    n->owner = *owner;
    must(slice_copy(slice_text(name), n->name, sizeof n->name));
    worker_post(home, &n->m);
}

void resolver_on_owner(struct resolver *r, const char *name, const struct cluster_owner *owner)
{
    char derived[NAME_STREAM_MAX + 1];
    const char *d;
    if (!owner->found)
        return; /* an expired key never stops a source that sends */
    tell(r, name, owner);
    for (size_t i = 0; (d = name_derivation_at(i)) != NULL; i++) {
        name_derive(name, d, derived);
        tell(r, derived, owner);
    }
}

/* --- life --- */

struct resolver *resolver_new(const struct resolver_options *o)
{
    struct resolver *r = xcalloc(1, sizeof *r);
    r->magic = RESOLVER_MAGIC;
    r->o = *o;
    r->locals = xcalloc((size_t)o->workers->count, sizeof r->locals[0]);
    for (int i = 0; i < o->workers->count; i++) {
        r->locals[i].resolutions = map_new();
        r->locals[i].negative = negative_new(RESOLVE_NEGATIVE_MAX, RESOLVE_NEGATIVE_MS * 1000);
    }
    return r;
}

static void drop_one(const char *name, void *value, void *arg)
{
    drop(OBJ_CAST(struct resolution, value, RESOLUTION_MAGIC));
}

void resolver_stop(struct resolver *r, struct worker *w)
{
    struct local *local = local_of(r, w);
    local->stopped = true;
    map_each(local->resolutions, drop_one, NULL);
}

void resolver_free(struct resolver **rp)
{
    struct resolver *r = *rp;
    *rp = NULL;
    if (r == NULL)
        return;
    OBJ_CHECK(r, RESOLVER_MAGIC);
    for (int i = 0; i < r->o.workers->count; i++) {
        resolver_stop(r, &r->o.workers->workers[i]);
        map_free(&r->locals[i].resolutions);
        negative_free(&r->locals[i].negative);
    }
    free(r->locals);
    OBJ_POISON(r);
    free(r);
}
