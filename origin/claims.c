/* The table of one home worker's claims: entering it, and what is done to claims from outside. */
#include "origin/claim_internal.h"

#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

static void on_grace_over(void *arg);

void claims_init(struct claims *t, struct worker *w, struct hub *hub, struct cluster *cluster)
{
    *t = (struct claims){.worker = w, .hub = hub, .cluster = cluster, .by_name = map_new()};
    list_init(&t->contenders);
    list_init(&t->drains);
    worker_watch_gaps(w, &t->gap, claims_after_gap, t);
    timer_init(&t->grace, w, "claims.grace", on_grace_over, t);
}

static void free_claim(const char *name, void *value, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, value, CLAIM_MAGIC);
    claim_free(&cl);
}

void claims_fini(struct claims *t)
{
    must(list_empty(&t->contenders) && list_empty(&t->drains));
    map_each(t->by_name, free_claim, NULL);
    map_free(&t->by_name);
    timer_fini(&t->grace);
    worker_unwatch_gaps(t->worker, &t->gap);
}

static struct claim *find(const struct claims *t, const char *name)
{
    struct claim *cl = map_get(t->by_name, name);
    if (cl != NULL)
        OBJ_CHECK(cl, CLAIM_MAGIC);
    return cl;
}

static bool has_room(const struct claims *t, const struct claim *cl, const char *name)
{
    /* Who comes back brings nothing that was not there before. */
    return cl != NULL || hub_admits(t->hub, t->worker, name, true);
}

void claims_enter(struct claims *t, struct contender *c)
{
    must(worker_is_current(t->worker));
    c->claim = NULL;
    list_init(&c->wait);
    list_append(&t->contenders, &c->node);
    struct claim *cl = find(t, c->name);
    if (t->draining) {
        contest_refuse(c, CLOSE_DRAIN);
        return;
    }
    if (!has_room(t, cl, c->name)) {
        contest_refuse(c, CLOSE_OVERLOAD);
        return;
    }
    if (cl == NULL)
        cl = claim_new(t, c->name);
    contest_enter(cl, c);
    claim_settle(cl);
}

static bool end_claim(struct claim *cl, const struct claim_end *end)
{
    if (cl == NULL || cl->state == CLAIM_NONE)
        return false;
    claim_end(cl, end);
    claim_settle(cl);
    return true;
}

bool claims_kick(struct claims *t, const char *name, enum close_reason why)
{
    return end_claim(find(t, name), &(struct claim_end){why, "kicked", true});
}

void claims_fenced(struct claims *t, const char *name, uint64_t epoch)
{
    struct claim *cl = find(t, name);
    if (cl != NULL && cl->epoch == epoch)
        end_claim(cl, &(struct claim_end){CLOSE_FENCED, NULL, false});
}

void claims_handed_over(struct claims *t, const char *name)
{
    struct claim *cl = find(t, name);
    if (cl != NULL)
        claim_handed_over(cl);
}

bool claims_yields(struct claims *t, const char *name)
{
    const struct claim *cl = find(t, name);
    if (t->draining || cl == NULL || cl->owner == NULL)
        return true;
    return claim_is_silent(cl, clock_us());
}

/* --- drain --- */

void claims_tell_drained(struct claims *t)
{
    struct claims_drained *d;
    if (map_count(t->by_name) > 0)
        return;
    while ((d = LIST_FIRST(&t->drains, struct claims_drained, node)) != NULL) {
        list_remove(&d->node);
        d->on_empty(d);
    }
}

static const struct claim_end drained = {CLOSE_DRAIN, "drain", false};

static void refuse_waiting(struct claim *cl)
{
    struct contender *c;
    while ((c = LIST_FIRST(&cl->waiting, struct contender, wait)) != NULL)
        contest_refuse(c, CLOSE_DRAIN);
}

/* Whoever has the name may stay for now; a name that only waits for its publisher is let go. */
static void begin_drain(const char *name, void *value, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, value, CLAIM_MAGIC);
    refuse_waiting(cl);
    if (cl->state == CLAIM_LOST)
        end_claim(cl, &drained);
    else
        claim_settle(cl);
}

static void drain_claim(const char *name, void *value, void *arg)
{
    end_claim(OBJ_CAST(struct claim, value, CLAIM_MAGIC), &drained);
}

static void on_grace_over(void *arg)
{
    struct claims *t = arg;
    map_each(t->by_name, drain_claim, NULL);
}

void claims_drain(struct claims *t, int64_t grace_ms)
{
    must(worker_is_current(t->worker));
    if (t->draining)
        return;
    t->draining = true;
    map_each(t->by_name, begin_drain, NULL);
    if (grace_ms > 0)
        timer_set_ms(&t->grace, grace_ms);
    else
        on_grace_over(t);
}

void claims_undrain(struct claims *t)
{
    t->draining = false;
    timer_stop(&t->grace);
}

void claims_await_empty(struct claims *t, struct claims_drained *d)
{
    must(worker_is_current(t->worker));
    list_append(&t->drains, &d->node);
    claims_tell_drained(t);
}
