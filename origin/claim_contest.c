/*
 * Who gets a name: the publishers that wait for it, what the present one here says to that, and the
 * cluster's word.
 *
 *   enter ──▶ waiting ──judge──▶ cluster_acquire ──granted──▶ claim_take
 *                │ ▲                 │ busy, hold
 *                │ └──CLAIM_RETRY_MS─┴──▶ the owner's node is asked ──gone──▶ cluster_acquire
 *                └──CLAIM_HOLD_MS over──▶ refused
 */
#include "origin/claim_internal.h"

#include "base/hex.h"
#include "base/must.h"
#include "base/obj.h"
#include "cluster/takeover.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <inttypes.h>

const char *contender_refusal_text(enum close_reason why)
{
    static const struct {
        enum close_reason why;
        const char *text;
    } texts[] = {
        {CLOSE_NAME_TAKEN, "The stream name is taken by another publisher."},
        {CLOSE_OVERLOAD, "This node has no memory for another stream."},
        {CLOSE_DRAIN, "This node is going out of service."},
        {CLOSE_NO_ORIGIN, "No node of the cluster takes this stream now."},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].why == why)
            return texts[i].text;
    return close_reason_help(why);
}

void contest_refuse(struct contender *c, enum close_reason why)
{
    if (c->claim != NULL)
        claim_part(c);
    c->tell(c, &(struct contender_news){
                   .event = CONTENDER_REFUSED, .why = why, .text = contender_refusal_text(why)});
}

void contest_enter(struct claim *cl, struct contender *c)
{
    if (cl->waiting_count == CLAIM_WAITING_MAX) {
        contest_refuse(c, CLOSE_NAME_TAKEN);
        return;
    }
    c->claim = cl;
    c->retry_us = clock_us();
    c->hold_until_us = c->retry_us + CLAIM_HOLD_MS * 1000;
    list_append(&cl->waiting, &c->wait);
    cl->waiting_count++;
}

enum judgement {
    MAY_ASK,  /* the cluster decides */
    MAY_TAKE, /* so it does, but there is nobody to displace */
    MUST_WAIT,
    MUST_NOT,
};

static enum judgement judge(const struct claim *cl, const struct contender *c, int64_t now_us)
{
    if (cl->table->checking)
        return MUST_WAIT;
    switch (cl->state) {
    case CLAIM_NONE:
        return MAY_ASK;
    case CLAIM_LOST:
        return MAY_TAKE;
    case CLAIM_OPEN:
    case CLAIM_LIVE:
        break;
    }
    if (claim_is_silent(cl, now_us))
        return MAY_TAKE;
    switch (cl->table->worker->config->cluster.takeover) {
    case TAKEOVER_REPLACE:
        return MAY_ASK;
    case TAKEOVER_SAME:
        return takeover_same(c->identity, cl->owner->identity) ? MAY_ASK : MUST_WAIT;
    case TAKEOVER_REJECT:
        break;
    }
    return MUST_NOT;
}

/* --- asking --- */

static void on_answer(const struct cluster_claimed *a, void *arg);

static uint64_t floor_of(const struct claim *cl)
{
    const struct run *newest = log_newest(cl->feed->log);
    uint64_t seen = newest != NULL ? newest->epoch : 0;
    return seen > cl->epoch ? seen : cl->epoch;
}

static void new_session(char out[CLUSTER_SESSION_MAX])
{
    uint8_t bytes[(CLUSTER_SESSION_MAX - 1) / 2];
    crypto_random(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, out);
}

static void ask_cluster(struct claim *cl, struct contender *c, bool owner_gone)
{
    struct claims *t = cl->table;
    struct cluster_claim claim = {.floor = floor_of(cl),
                                  .policy = t->worker->config->cluster.takeover,
                                  .owner_gone = owner_gone};
    must(slice_copy(slice_text(cl->name), claim.name, sizeof claim.name));
    must(slice_copy(slice_text(c->identity), claim.publisher, sizeof claim.publisher));
    must(slice_copy(slice_text(c->proto), claim.proto, sizeof claim.proto));
    new_session(claim.session);
    cl->is_asking = true;
    cl->asking = c;
    cl->asked_gone = owner_gone;
    cl->pending++;
    cluster_acquire(t->cluster, t->worker, &claim, on_answer, cl);
}

static void denied(struct claim *cl)
{
    if (cl->asking != NULL)
        cl->asking->retry_us = clock_us() + CLAIM_RETRY_MS * 1000;
    cl->is_asking = false;
    cl->asking = NULL;
    claim_settle(cl);
}

static void on_owner_asked(bool gone, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    cl->pending--;
    if (gone && cl->asking != NULL)
        ask_cluster(cl, cl->asking, true);
    else
        denied(cl);
}

/* Another node has the name, and was not asked yet whether its publisher is alive. */
static bool may_ask_owner(const struct claim *cl, const struct cluster_owner *owner)
{
    const struct claims *t = cl->table;
    return t->ask != NULL && cl->asking != NULL && !cl->asked_gone && owner->found &&
           owner->instance != cluster_self(t->cluster)->instance;
}

static void on_denied(struct claim *cl, const struct cluster_claimed *a)
{
    struct claims *t = cl->table;
    log_debug(&cl->log, "claim.denied stream=%s verdict=%s by=%s epoch=%" PRIu64, cl->name,
              claim_verdict_name(a->verdict), a->owner.node, a->owner.epoch);
    if (!may_ask_owner(cl, &a->owner)) {
        denied(cl);
        return;
    }
    cl->pending++;
    t->ask(t->worker, cl->name, &a->owner, on_owner_asked, cl, t->ask_arg);
}

static bool keeps_no_numbers(const struct claim *cl, const struct cluster_claimed *a)
{
    return a->verdict == CLAIM_UNREGISTERED ||
           cl->table->worker->config->cluster.backend != CLUSTER_REDIS;
}

static void on_granted(struct claim *cl, const struct cluster_claimed *a)
{
    struct contender *c = cl->asking;
    log_info(&cl->log, "claim.granted stream=%s verdict=%s epoch=%" PRIu64, cl->name,
             claim_verdict_name(a->verdict), a->epoch);
    cl->is_asking = false;
    cl->asking = NULL;
    cl->next = (struct claim_next){a->next_msn, a->next_dsn, a->next_epoch};
    claim_take(cl, c, a->epoch);
    if (cl->state == CLAIM_OPEN && cl->epoch == a->epoch)
        claim_previous_ask(cl, &a->previous, keeps_no_numbers(cl, a));
    claim_settle(cl);
}

static void on_answer(const struct cluster_claimed *a, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, arg, CLAIM_MAGIC);
    cl->pending--;
    switch (a->verdict) {
    case CLAIM_GRANTED:
    case CLAIM_UNREGISTERED:
        on_granted(cl, a);
        break;
    case CLAIM_BUSY:
    case CLAIM_HOLD:
        on_denied(cl, a);
        break;
    }
}

/* --- waiting --- */

static void look_at(struct claim *cl, struct contender *c, int64_t now_us)
{
    if (now_us >= c->hold_until_us) {
        contest_refuse(c, CLOSE_NAME_TAKEN);
        return;
    }
    enum judgement j = judge(cl, c, now_us);
    switch (j) {
    case MAY_ASK:
    case MAY_TAKE:
        if (!cl->is_asking && now_us >= c->retry_us)
            ask_cluster(cl, c, j == MAY_TAKE);
        break;
    case MUST_WAIT:
        break;
    case MUST_NOT:
        contest_refuse(c, CLOSE_NAME_TAKEN);
        break;
    }
}

void contest_go_on(struct claim *cl)
{
    int64_t now_us = clock_us();
    int64_t next_us = now_us + CLAIM_RETRY_MS * 1000;
    struct contender *c, *tmp;
    LIST_EACH_SAFE (c, tmp, &cl->waiting, wait) {
        if (c == cl->asking)
            continue;
        if (c->hold_until_us > now_us && c->hold_until_us < next_us)
            next_us = c->hold_until_us;
        look_at(cl, c, now_us);
    }
    if (list_empty(&cl->waiting))
        timer_stop(&cl->retry);
    else
        timer_set_us(&cl->retry, next_us - now_us);
}
