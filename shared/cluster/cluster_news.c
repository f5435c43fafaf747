/*
 * Who has a stream, as far as anybody told: events, records of the directory and relay answers come
 * in here, in any order and more than once; what is lower than the highest (epoch, instance) seen
 * is ignored, what is higher is told to the edge and fences our own claim.  On the cluster's
 * worker.
 */
#include "cluster/cluster_internal.h"

#include "base/obj.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How long the directory must show a lower epoch before it is believed (docs: the escape rule). */
#define REGRESS_US (15LL * 1000000)

bool cluster_owner_higher(const struct cluster_owner *a, const struct cluster_owner *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->instance > b->instance;
}

static void tell(struct cluster *c, const struct known *k, const struct cluster_owner *owner)
{
    if (c->events.on_owner == NULL)
        return;
    struct cluster_owner told = *owner;
    told.regressed_us = k->regressed_us;
    if (cluster_backend_is_watched(c, k->name) || map_get(c->held, k->name) != NULL)
        c->events.on_owner(k->name, &told, c->arg);
}

static void fence(struct cluster *c, struct cluster_held *held, const struct cluster_owner *owner)
{
    cluster_unhold(c, held);
    /* Who has lost its publisher waits for just that. */
    LOG_AT(held->lost ? LOG_INFO : LOG_WARN, &c->log,
           "claim.fenced stream=%s epoch=%" PRIu64 " by=%s higher=%" PRIu64, held->claim.name,
           held->epoch, owner->node, owner->epoch);
    if (c->backend->fenced != NULL)
        c->backend->fenced(c->state, held->claim.name, held->epoch);
    if (c->events.on_fenced != NULL)
        c->events.on_fenced(held->claim.name, held->epoch, owner, c->arg);
    free(held);
}

static void fence_if_lower(struct cluster *c, const char *name, const struct cluster_owner *owner)
{
    struct cluster_held *held = map_get(c->held, name);
    if (held == NULL || owner->instance == c->self.instance)
        return;
    struct cluster_owner ours;
    cluster_self_owner(c, held->epoch, held->lost, &ours);
    if (cluster_owner_higher(owner, &ours))
        fence(c, held, owner);
}

static void on_ended(struct cluster *c, const char *name, const struct cluster_owner *owner,
                     enum cluster_news kind)
{
    int64_t now_us = clock_us();
    if (kind == CLUSTER_NEWS_READ) {
        struct known *k = known_get(&c->known, name, now_us);
        if (k != NULL)
            k->missing = true;
        return;
    }
    struct known *k = known_touch(&c->known, name, now_us);
    int order = known_compare(k, owner->epoch, owner->instance);
    if (order > 0 || (order == 0 && !k->found))
        return;
    known_set(k, owner);
    tell(c, k, owner);
    if (c->backend->is_alone && owner->instance == c->self.instance)
        known_drop(&c->known, &k);
}

static void on_lower(struct cluster *c, struct known *k, const struct cluster_owner *owner,
                     enum cluster_news kind)
{
    if (kind != CLUSTER_NEWS_READ || map_get(c->held, k->name) != NULL)
        return;
    int64_t now_us = clock_us();
    if (k->low_epoch != owner->epoch) {
        k->low_epoch = owner->epoch;
        k->low_since_us = now_us;
        return;
    }
    if (now_us - k->low_since_us < REGRESS_US)
        return;
    log_warn(&c->log, "owner.regress stream=%s epoch=%" PRIu64 " lower=%" PRIu64 " node=%s",
             k->name, k->epoch, owner->epoch, owner->node);
    METRIC_INC(c->worker->metrics.epoch_regress_total);
    known_set(k, owner);
    k->regressed_us = now_us;
    tell(c, k, owner);
}

static bool differs(const struct known *k, const struct cluster_owner *owner)
{
    return k->missing || k->lost != owner->lost || strcmp(k->address, owner->address) != 0;
}

static void on_found(struct cluster *c, const char *name, const struct cluster_owner *owner,
                     enum cluster_news kind)
{
    struct known *k = known_touch(&c->known, name, clock_us());
    int order = known_compare(k, owner->epoch, owner->instance);
    if (order > 0) {
        on_lower(c, k, owner, kind);
        return;
    }
    /* It ended with this very epoch: what says otherwise was under way before the end. */
    if (order == 0 && !k->found)
        return;
    if (order < 0 && k->found)
        METRIC_INC(c->worker->metrics.takeover_total);
    bool news = order < 0 || differs(k, owner);
    known_set(k, owner);
    if (order < 0)
        fence_if_lower(c, name, owner);
    if (news)
        tell(c, k, owner);
}

void cluster_backend_news(struct cluster *c, const char *name, const struct cluster_owner *owner,
                          enum cluster_news kind)
{
    OBJ_CHECK(c, CLUSTER_MAGIC);
    if (owner->found)
        on_found(c, name, owner, kind);
    else
        on_ended(c, name, owner, kind);
}

void cluster_backend_fenced(struct cluster *c, struct cluster_held *held,
                            const struct cluster_owner *owner)
{
    char name[NAME_STREAM_MAX + 1];
    slice_copy(slice_text(held->claim.name), name, sizeof name);
    uint64_t epoch = held->epoch;
    cluster_backend_news(c, name, owner, CLUSTER_NEWS_EVENT);
    /* A record of this very process with a higher epoch does not fence by itself. */
    held = map_get(c->held, name);
    if (held != NULL && held->epoch == epoch)
        fence(c, held, owner);
}

void cluster_settle(struct cluster *c, const char *name, struct cluster_owner *owner)
{
    struct known *k = known_get(&c->known, name, clock_us());
    if (k == NULL || !owner->found || known_compare(k, owner->epoch, owner->instance) < 0)
        return;
    bool equal = known_compare(k, owner->epoch, owner->instance) == 0;
    owner->regressed_us = k->regressed_us;
    if (equal && k->found)
        return;
    known_owner(k, owner);
    owner->from_directory = equal;
}

void cluster_raise(struct cluster *c, const char *name, const struct cluster_owner *owner)
{
    struct known *k = known_touch(&c->known, name, clock_us());
    if (known_compare(k, owner->epoch, owner->instance) >= 0)
        return;
    known_set(k, owner);
    fence_if_lower(c, name, owner);
}

uint64_t cluster_backend_epoch_seen(struct cluster *c, const char *name)
{
    struct known *k = known_get(&c->known, name, clock_us());
    return k != NULL ? k->top_epoch : 0;
}

bool cluster_backend_is_settled(struct cluster *c, const char *name)
{
    const struct known *k = known_get(&c->known, name, clock_us());
    return k != NULL && k->found && !k->lost && !k->missing && k->low_epoch == 0;
}
