/*
 * What callers ask about streams: claims, owners, the interest set.  Each function posts a request
 * to the cluster's worker; the run_ functions are what it does there, the finish_ functions what
 * comes back on the caller's.
 */
#include "cluster/cluster_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch {
    int64_t count;
};

/* --- claims --- */

static void run_acquire(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    if (c->closing) {
        r->claimed = (struct cluster_claimed){
            .verdict = CLAIM_BUSY, .next_msn = CLUSTER_NEXT_NONE, .next_dsn = CLUSTER_NEXT_NONE};
        cluster_request_answer(r);
        return;
    }
    uint64_t seen = cluster_backend_epoch_seen(c, r->claim.name);
    if (seen > r->claim.floor)
        r->claim.floor = seen;
    c->backend->acquire(c->state, &r->claim, r);
}

static void finish_acquire(struct cluster_request *r)
{
    r->done.claim(&r->claimed, r->arg);
}

void cluster_acquire(struct cluster *c, struct worker *caller, const struct cluster_claim *claim,
                     cluster_claim_done *done, void *arg)
{
    struct cluster_request *r = cluster_request_new(c, NULL, run_acquire);
    r->caller = caller;
    r->finish = finish_acquire;
    r->done.claim = done;
    r->arg = arg;
    r->claim = *claim;
    cluster_request_send(r);
}

/* Somebody may have taken the stream over while our grant was under way. */
static bool overtaken(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    struct known *k = known_get(&c->known, r->claim.name, clock_us());
    if (k == NULL || known_compare(k, r->claimed.epoch, c->self.instance) <= 0)
        return false;
    r->claimed.verdict = CLAIM_BUSY;
    known_owner(k, &r->claimed.owner);
    return true;
}

/* The highest that is known by name. */
static void fill_previous(struct cluster_request *r)
{
    struct known *k = known_get(&r->cluster->known, r->claim.name, clock_us());
    struct cluster_owner *previous = &r->claimed.previous;
    *previous = r->claimed.owner;
    if (k == NULL || k->address == NULL || k->address[0] == '\0' ||
        (previous->found && known_compare(k, previous->epoch, previous->instance) <= 0))
        return;
    known_owner(k, previous);
    previous->found = true;
}

static void grant(struct cluster_request *r, int takeovers)
{
    struct cluster *c = r->cluster;
    if (overtaken(r))
        return;
    fill_previous(r);
    cluster_hold(c, &r->claim, r->claimed.epoch, takeovers, r->claimed.verdict == CLAIM_GRANTED);
    struct cluster_owner self;
    cluster_self_owner(c, r->claimed.epoch, false, &self);
    cluster_backend_news(c, r->claim.name, &self, CLUSTER_NEWS_EVENT);
}

void cluster_backend_answer_claim(struct cluster_request *r, const struct cluster_claimed *claimed,
                                  int takeovers)
{
    r->claimed = *claimed;
    switch (claimed->verdict) {
    case CLAIM_GRANTED:
    case CLAIM_UNREGISTERED:
        grant(r, takeovers);
        break;
    case CLAIM_BUSY:
    case CLAIM_HOLD:
        if (claimed->owner.found)
            cluster_backend_news(r->cluster, r->claim.name, &claimed->owner, CLUSTER_NEWS_READ);
        break;
    }
    cluster_request_answer(r);
}

void cluster_backend_answer_unregistered(struct cluster_request *r, uint64_t floor)
{
    struct cluster *c = r->cluster;
    uint64_t seen = cluster_backend_epoch_seen(c, r->claim.name);
    if (seen > floor)
        floor = seen;
    if (r->claim.floor > floor)
        floor = r->claim.floor;
    struct cluster_claimed claimed = {.verdict = CLAIM_UNREGISTERED,
                                      .epoch = cluster_backend_next_epoch(c, floor),
                                      .next_msn = CLUSTER_NEXT_NONE,
                                      .next_dsn = CLUSTER_NEXT_NONE};
    struct known *k = known_get(&c->known, r->claim.name, clock_us());
    if (k != NULL)
        known_owner(k, &claimed.owner);
    cluster_backend_answer_claim(r, &claimed, 0);
}

/* The held claim that a request is about, or NULL when it is gone or another one by now. */
static struct cluster_held *held_of(struct cluster_request *r)
{
    struct cluster_held *held = cluster_backend_held(r->cluster, r->claim.name);
    return held != NULL && held->epoch == r->epoch ? held : NULL;
}

static void run_set_lost(struct cluster_request *r)
{
    struct cluster_held *held = held_of(r);
    if (held != NULL && held->lost != r->on) {
        held->lost = r->on;
        r->cluster->backend->claim_changed(r->cluster->state, held);
    }
    cluster_request_free(&r);
}

void cluster_set_lost(struct cluster *c, const char *name, uint64_t epoch, bool lost)
{
    struct cluster_request *r = cluster_request_new(c, name, run_set_lost);
    r->epoch = epoch;
    r->on = lost;
    cluster_request_send(r);
}

static void run_set_next(struct cluster_request *r)
{
    struct cluster_held *held = held_of(r);
    if (held != NULL) {
        held->msn = r->msn;
        held->dsn = r->dsn;
        held->tracks = r->tracks;
    }
    cluster_request_free(&r);
}

void cluster_set_next(struct cluster *c, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                      int tracks)
{
    struct cluster_request *r = cluster_request_new(c, name, run_set_next);
    r->epoch = epoch;
    r->msn = msn;
    r->dsn = dsn;
    r->tracks = tracks;
    cluster_request_send(r);
}

static void run_release(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    struct cluster_held *held = held_of(r);
    if (held == NULL) {
        cluster_request_answer(r);
        return;
    }
    cluster_unhold(c, held);
    struct cluster_owner ended;
    cluster_self_owner(c, held->epoch, false, &ended);
    ended.found = false;
    cluster_backend_news(c, r->claim.name, &ended, CLUSTER_NEWS_EVENT);
    if (c->closing)
        cluster_request_answer(r);
    else
        c->backend->release(c->state, held, r->word, r);
    free(held);
}

static void finish_plain(struct cluster_request *r)
{
    r->done.plain(r->arg);
}

void cluster_release(struct cluster *c, const char *name, uint64_t epoch, const char *why,
                     struct worker *caller, void (*done)(void *arg), void *arg)
{
    struct cluster_request *r = cluster_request_new(c, name, run_release);
    r->caller = done != NULL ? caller : NULL;
    r->finish = finish_plain;
    r->done.plain = done;
    r->arg = arg;
    r->epoch = epoch;
    snprintf(r->word, sizeof r->word, "%s", why);
    cluster_request_send(r);
}

void cluster_backend_answer_release(struct cluster_request *r)
{
    cluster_request_answer(r);
}

/* --- owners --- */

static void run_lookup(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    const struct cluster_held *held = cluster_backend_held(c, r->claim.name);
    struct cluster_owner self;
    METRIC_INC(c->worker->metrics.lookups_total);
    if (c->closing) {
        cluster_request_answer(r);
    } else if (held != NULL) {
        cluster_backend_held_owner(c, held, &self);
        cluster_backend_answer_owner(r, &self);
    } else
        c->backend->lookup(c->state, r->claim.name, r);
}

static void finish_lookup(struct cluster_request *r)
{
    r->done.lookup(&r->owner, r->arg);
}

void cluster_lookup(struct cluster *c, struct worker *caller, const char *name,
                    cluster_lookup_done *done, void *arg)
{
    struct cluster_request *r = cluster_request_new(c, name, run_lookup);
    r->caller = caller;
    r->finish = finish_lookup;
    r->done.lookup = done;
    r->arg = arg;
    cluster_request_send(r);
}

void cluster_backend_answer_owner(struct cluster_request *r, const struct cluster_owner *owner)
{
    struct cluster *c = r->cluster;
    if (owner != NULL) {
        cluster_backend_news(c, r->claim.name, owner, CLUSTER_NEWS_READ);
        r->owner = *owner;
        cluster_settle(c, r->claim.name, &r->owner);
        cluster_request_answer(r);
        return;
    }
    struct known *k = known_get(&c->known, r->claim.name, clock_us());
    if (k != NULL)
        known_owner(k, &r->owner);
    cluster_request_answer(r);
}

static void run_report(struct cluster_request *r)
{
    const struct cluster_owner owner = r->owner;
    cluster_backend_answer_owner(r, &owner);
}

void cluster_report(struct cluster *c, struct worker *caller, const char *name,
                    const struct cluster_owner *owner, cluster_lookup_done *done, void *arg)
{
    struct cluster_request *r = cluster_request_new(c, name, run_report);
    r->caller = caller;
    r->finish = finish_lookup;
    r->done.lookup = done;
    r->arg = arg;
    r->owner = *owner;
    cluster_request_send(r);
}

static void run_learn(struct cluster_request *r)
{
    cluster_backend_news(r->cluster, r->claim.name, &r->owner, CLUSTER_NEWS_EVENT);
    cluster_request_free(&r);
}

void cluster_learn(struct cluster *c, const char *name, const struct cluster_owner *owner)
{
    struct cluster_request *r = cluster_request_new(c, name, run_learn);
    r->owner = *owner;
    cluster_request_send(r);
}

static void run_saw(struct cluster_request *r)
{
    cluster_raise(r->cluster, r->claim.name, &r->owner);
    cluster_request_free(&r);
}

void cluster_saw(struct cluster *c, const char *name, const struct cluster_owner *owner)
{
    struct cluster_request *r = cluster_request_new(c, name, run_saw);
    r->owner = *owner;
    cluster_request_send(r);
}

/* --- the interest set --- */

/* What was heard between the caller's look-up and its watch would otherwise not be told. */
static void tell_known(struct cluster *c, const char *name)
{
    struct known *k = known_get(&c->known, name, clock_us());
    if (k == NULL || !k->found || k->missing || c->events.on_owner == NULL)
        return;
    struct cluster_owner owner;
    known_owner(k, &owner);
    c->events.on_owner(name, &owner, c->arg);
}

static void run_watch(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    const char *name = r->claim.name;
    struct watch *w = map_get(c->watched, name);
    if (r->on && w == NULL) {
        w = xcalloc(1, sizeof *w);
        map_put(c->watched, name, w);
        c->backend->watch(c->state, name, true);
    }
    must(w != NULL);
    w->count += r->on ? 1 : -1;
    if (r->on)
        tell_known(c, name);
    if (w->count == 0) {
        free(map_take(c->watched, name));
        c->backend->watch(c->state, name, false);
    }
    cluster_request_free(&r);
}

static void send_watch(struct cluster *c, const char *name, bool on)
{
    struct cluster_request *r = cluster_request_new(c, name, run_watch);
    r->on = on;
    cluster_request_send(r);
}

void cluster_watch(struct cluster *c, const char *name)
{
    send_watch(c, name, true);
}

void cluster_unwatch(struct cluster *c, const char *name)
{
    send_watch(c, name, false);
}

bool cluster_backend_is_watched(const struct cluster *c, const char *name)
{
    return map_get(c->watched, name) != NULL;
}

struct each_watched {
    void (*fn)(const char *name, void *arg);
    void *arg;
};

static void one_watched(const char *name, void *value, void *arg)
{
    struct each_watched *e = arg;
    e->fn(name, e->arg);
}

void cluster_backend_each_watched(struct cluster *c, void (*fn)(const char *name, void *arg),
                                  void *arg)
{
    map_each(c->watched, one_watched, &(struct each_watched){fn, arg});
}
