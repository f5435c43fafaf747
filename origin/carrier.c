/*
 * The publisher of a carrier, and which origin it goes to.
 */
#include "origin/carrier_internal.h"

#include "base/hex.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <stdlib.h>

#define CARRIER_EPOCH 1 /* of the only run of a carrier's log; the origin has one of its own */

static void look_for_origin(struct carrier *k);

/* --- the end --- */

static void tell_drained(struct carriers *t)
{
    struct claims_drained *d;
    if (!list_empty(&t->carriers))
        return;
    while ((d = LIST_FIRST(&t->drains, struct claims_drained, node)) != NULL) {
        list_remove(&d->node);
        d->on_empty(d);
    }
}

static void carrier_free(struct carrier *k)
{
    carrier_link_fini(k);
    timer_fini(&k->timer);
    task_cancel(&k->reap);
    log_free(&k->log);
    if (k->accepted)
        METRIC_ADD(k->worker->metrics.carried_publishers, -1);
    list_remove(&k->node);
    hub_leave_seat(k->table->hub, &k->seat);
    OBJ_POISON(k);
    free(k);
}

static void on_reap(void *arg)
{
    struct carrier *k = OBJ_CAST(struct carrier, arg, CARRIER_MAGIC);
    struct carriers *t = k->table;
    if (k->listing)
        return;
    carrier_free(k);
    tell_drained(t);
}

static void end(struct carrier *k)
{
    if (k->over)
        return;
    k->over = true;
    carrier_drop_call(k);
    timer_stop(&k->timer);
    if (k->contender != NULL)
        k->contender->carrier = NULL;
    k->contender = NULL;
    task_defer(k->worker, &k->reap);
}

void carrier_tell(struct carrier *k, const struct contender_news *news)
{
    if (k->contender != NULL && !k->told_off)
        k->contender->tell(k->contender, news);
}

/* The last news of the publisher. */
static void tell_off(struct carrier *k, enum close_reason why)
{
    struct contender_news news = {.event = CONTENDER_ENDED, .why = why};
    if (!k->accepted) {
        news.event = CONTENDER_REFUSED;
        news.text = contender_refusal_text(why);
    }
    carrier_tell(k, &news);
    k->told_off = true;
}

void carrier_give_up(struct carrier *k, enum close_reason why)
{
    tell_off(k, why);
    end(k);
}

/* Sends what there is, then the end; without a link there is nobody to tell. */
static void say_goodbye(struct carrier *k, enum close_reason why)
{
    if (!k->up) {
        end(k);
        return;
    }
    k->leaving = true;
    k->leave_why = why;
    timer_set_ms(&k->timer, CARRY_GOODBYE_MS);
    carrier_flush(k);
}

/* --- losing an origin, and trying the next --- */

void carrier_set_full(struct carrier *k, bool full)
{
    if (k->full == full)
        return;
    k->full = full;
    carrier_tell(k, &(struct contender_news){.event = full ? CONTENDER_FULL : CONTENDER_ROOM});
}

static void again(struct carrier *k)
{
    if (clock_us() >= k->give_up_us)
        carrier_give_up(k, CLOSE_NO_ORIGIN);
    else
        timer_set_ms(&k->timer, backoff_next_ms(&k->backoff));
}

void carrier_lose(struct carrier *k, enum close_reason why)
{
    int64_t now_us = clock_us();
    bool was_up = k->up;
    log_info(&k->log_id, "carry.down stream=%s node=%s reason=%s status=%d", k->name, k->origin,
             close_reason_name(why), was_up ? 0 : k->status);
    carrier_drop_call(k);
    if (k->leaving) {
        end(k);
        return;
    }
    carry_failed(&k->failures, k->origin, now_us);
    if (was_up) {
        const struct config *c = k->worker->config;
        k->give_up_us = now_us + (c->stream.lost_ms + CARRY_MORE_MS) * 1000;
        if (now_us - k->up_us > CARRY_STEADY_MS * 1000)
            backoff_reset(&k->backoff);
    }
    carrier_set_full(k, false);
    again(k);
}

/* --- finding an origin --- */

static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct carrier *k = OBJ_CAST(struct carrier, arg, CARRIER_MAGIC);
    const struct config *c = k->worker->config;
    k->listing = false;
    if (k->over) {
        task_defer(k->worker, &k->reap);
        return;
    }
    const struct cluster_node *node =
        carry_choose(nodes, count, k->table->client->self->node,
                     c->node.zone != NULL ? c->node.zone : "", &k->failures, clock_us());
    if (node != NULL)
        carrier_post(k, node);
    else
        again(k);
}

static void look_for_origin(struct carrier *k)
{
    k->listing = true;
    cluster_known_nodes(k->table->cluster, k->worker, on_nodes, k);
}

static void on_timer(void *arg)
{
    struct carrier *k = OBJ_CAST(struct carrier, arg, CARRIER_MAGIC);
    if (k->leaving)
        end(k);
    else if (k->call == NULL)
        look_for_origin(k);
    else if (!k->up && clock_us() >= k->give_up_us)
        carrier_lose(k, CLOSE_TIMEOUT);
    else
        carrier_keep_alive(k);
}

/* --- the publisher --- */

/* Who has no identity gets one for this session: its next post must find itself in the owner. */
static void set_identity(struct carrier *k, const char *identity)
{
    uint8_t session[(CLUSTER_PUBLISHER_MAX - 1) / 2];
    if (identity[0] != '\0') {
        must(slice_copy(slice_text(identity), k->identity, sizeof k->identity));
        return;
    }
    crypto_random(session, sizeof session);
    hex_encode(session, sizeof session, k->identity);
}

static struct carrier *carrier_new(struct carriers *t, struct contender *c)
{
    struct worker *w = t->worker;
    const struct log_limits limits = {.window_us = CARRY_KEEP_MS * 1000,
                                      .window_bytes = (size_t)w->config->stream.window_bytes,
                                      .account = hub_account(t->hub)};
    struct carrier *k = xcalloc(1, sizeof *k);
    k->magic = CARRIER_MAGIC;
    k->table = t;
    k->worker = w;
    k->contender = c;
    k->log_id = (struct log_id){"carry", w->index, log_new_id()};
    must(slice_copy(slice_text(c->name), k->name, sizeof k->name) &&
         slice_copy(slice_text(c->proto), k->proto, sizeof k->proto));
    set_identity(k, c->identity);
    k->log = log_new(&limits);
    log_open_run(k->log, CARRIER_EPOCH, 1, NULL);
    carrier_link_init(k);
    backoff_init(&k->backoff, CARRY_STEP_MS, CARRY_WAIT_MS);
    timer_init(&k->timer, w, "carry.timer", on_timer, k);
    task_init(&k->reap, on_reap, k);
    k->give_up_us = clock_us() + CARRY_FIRST_MS * 1000;
    list_append(&t->carriers, &k->node);
    hub_take_seat(t->hub, k->name, true, &k->seat);
    return k;
}

static void refuse(struct contender *c, enum close_reason why)
{
    c->tell(c, &(struct contender_news){
                   .event = CONTENDER_REFUSED, .why = why, .text = contender_refusal_text(why)});
}

void carrier_enter(struct carriers *t, struct contender *c)
{
    must(worker_is_current(t->worker));
    c->carrier = NULL;
    list_append(&t->contenders, &c->node);
    if (t->draining) {
        refuse(c, CLOSE_DRAIN);
        return;
    }
    if (!hub_admits(t->hub, t->worker, c->name, true)) {
        refuse(c, CLOSE_OVERLOAD);
        return;
    }
    c->carrier = carrier_new(t, c);
    look_for_origin(c->carrier);
}

void carrier_frames(struct contender *c, struct frame **frames, size_t count)
{
    struct carrier *k = c->carrier;
    bool takes = k != NULL && !k->told_off && !k->leaving;
    for (size_t i = 0; i < count; i++) {
        if (!takes) {
            frame_unref(&frames[i]);
            continue;
        }
        frames[i]->seq = log_newest(k->log)->next;
        k->due_bytes += frames[i]->size;
        log_append(k->log, frames[i]);
    }
    if (takes && k->up)
        carrier_flush(k);
}

void carrier_forget(struct contender *c)
{
    list_remove(&c->node);
    if (c->carrier != NULL)
        c->carrier->contender = NULL;
    c->carrier = NULL;
}

void carrier_leave(struct contender *c, bool clean)
{
    struct carrier *k = c->carrier;
    carrier_forget(c);
    if (k != NULL && !k->leaving)
        say_goodbye(k, clean ? CLOSE_UNPUBLISHED : CLOSE_SOURCE_LOST);
}

/* --- the table --- */

static void on_grace_over(void *arg)
{
    struct carriers *t = arg;
    struct carrier *k, *tmp;
    LIST_EACH_SAFE (k, tmp, &t->carriers, node) {
        tell_off(k, CLOSE_DRAIN);
        if (!k->leaving && !k->over)
            say_goodbye(k, CLOSE_DRAIN);
    }
}

void carriers_init(struct carriers *t, struct worker *w, struct hub *hub, struct cluster *cluster,
                   const struct relay_client *client)
{
    *t = (struct carriers){.worker = w, .hub = hub, .cluster = cluster, .client = client};
    list_init(&t->contenders);
    list_init(&t->carriers);
    list_init(&t->drains);
    timer_init(&t->grace, w, "carriers.grace", on_grace_over, t);
}

void carriers_fini(struct carriers *t)
{
    struct carrier *k;
    must(list_empty(&t->contenders) && list_empty(&t->drains));
    timer_fini(&t->grace);
    while ((k = LIST_FIRST(&t->carriers, struct carrier, node)) != NULL)
        carrier_free(k);
}

void carriers_drain(struct carriers *t, int64_t grace_ms)
{
    must(worker_is_current(t->worker));
    if (t->draining)
        return;
    t->draining = true;
    if (grace_ms > 0)
        timer_set_ms(&t->grace, grace_ms);
    else
        on_grace_over(t);
}

void carriers_undrain(struct carriers *t)
{
    t->draining = false;
    timer_stop(&t->grace);
}

void carriers_await_empty(struct carriers *t, struct claims_drained *d)
{
    must(worker_is_current(t->worker));
    list_append(&t->drains, &d->node);
    tell_drained(t);
}
