/*
 * Whom to ask: the owner, whoever that is, or a parent that passes the stream on.
 */
#include "edge/pull_internal.h"

#include "base/obj.h"

#include <inttypes.h>
#include <string.h>

void pull_connect(struct pull *p, const struct upstream_peer *parent, enum pull_coming why)
{
    log_info(&p->log, "pull.follow stream=%s owner=%s node=%s epoch=%" PRIu64, p->feed->name,
             p->owner.node, parent != NULL ? parent->node : p->owner.node, p->owner.epoch);
    upstream_close(&p->coming);
    struct upstream *u = pull_link(p, parent);
    if (p->current->up) {
        p->coming = u;
        p->coming_is = why;
        if (why == COMING_TRIAL)
            timer_set_ms(&p->doubt, PULL_TRIAL_MS);
        return;
    }
    upstream_close(&p->current);
    p->current = u;
}

/* --- a parent that is behind --- */

bool pull_is_behind(const struct pull *p, const struct upstream *u)
{
    const struct cluster_owner run = {
        .epoch = u->run.epoch, .instance = u->run.origin != NULL ? u->run.origin->instance : 0};
    return cluster_owner_higher(&p->owner, &run);
}

/* The link gives what its owner is known to have. */
static bool is_abreast(const struct pull *p, const struct upstream *u)
{
    return u->up && !pull_is_behind(p, u) && !u->run.lost;
}

void pull_on_doubt(void *arg)
{
    struct pull *p = OBJ_CAST(struct pull, arg, PULL_MAGIC);
    if (p->ended)
        return;
    if (p->coming != NULL && p->coming_is == COMING_TRIAL && p->current->up)
        upstream_close(&p->coming);
    if (p->coming == NULL && p->current->via && !is_abreast(p, p->current))
        pull_connect(p, NULL, COMING_DOUBT);
}

void pull_judge(struct pull *p)
{
    struct upstream *u = p->current;
    if (!u->via)
        return;
    if (is_abreast(p, u)) {
        timer_stop(&p->doubt);
        if (p->coming != NULL && p->coming_is == COMING_DOUBT)
            upstream_close(&p->coming);
    } else if (u->run.lost && p->coming == NULL) {
        timer_set_ms(&p->doubt, PULL_HEAL_MS);
    }
}

bool pull_judge_coming(struct pull *p)
{
    const struct upstream *u = p->coming;
    if (u == NULL || p->coming_is != COMING_DOUBT || !p->current->up || !u->run.lost ||
        u->run.epoch != p->current->run.epoch)
        return false;
    upstream_close(&p->coming); /* the parent told the truth */
    timer_set_ms(&p->doubt, PULL_LOST_MS);
    return true;
}

bool pull_give_up_trial(struct pull *p)
{
    if (p->coming_is != COMING_TRIAL || !p->current->up)
        return false;
    upstream_close(&p->coming);
    return true;
}

/* --- for the resolver --- */

bool pull_has_parent(const struct pull *p)
{
    return !p->ended && p->current->via;
}

bool pull_is_stuck(const struct pull *p)
{
    return !p->ended && p->coming == NULL && !p->current->via && !p->current->up &&
           p->current->failed;
}

const struct cluster_owner *pull_owner(const struct pull *p)
{
    return &p->owner;
}

void pull_move(struct pull *p, const struct upstream_peer *parent)
{
    if (p->ended || p->coming != NULL)
        return;
    const char *node = parent != NULL ? parent->node : p->owner.node;
    if (strcmp(p->current->peer.node, node) != 0)
        pull_connect(p, parent, COMING_TRIAL);
}

/* The same process has the stream again: the link that we have will tell. */
static bool is_linked_to(const struct upstream *u, const struct cluster_owner *owner)
{
    return u->up && !u->via && u->owner.instance == owner->instance &&
           strcmp(u->owner.node, owner->node) == 0;
}

static void follow_higher(struct pull *p)
{
    if (p->coming != NULL && p->coming_is == COMING_TRIAL)
        upstream_close(&p->coming);
    struct upstream *u = p->coming != NULL ? p->coming : p->current;
    if (is_linked_to(u, &p->owner) || (u->via && is_abreast(p, u)))
        return;
    if (u->via && u->up)
        timer_set_ms(&p->doubt, PULL_FOLLOW_MS);
    else
        pull_connect(p, NULL, COMING_OWNER);
}

/* What is told of the owner that we know already. */
static void take_news(struct pull *p, const struct cluster_owner *owner)
{
    struct upstream *links[] = {p->current, p->coming};
    bool same_node = strcmp(owner->node, p->owner.node) == 0;
    if (!same_node && !owner->from_directory)
        return; /* a node that passes the stream on, as good as the one that we know */
    p->owner = *owner;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        if (links[i] == NULL)
            continue;
        links[i]->via = strcmp(links[i]->peer.node, owner->node) != 0;
        if (links[i]->via)
            continue;
        links[i]->peer = upstream_peer_of(&p->owner);
        if (owner->from_directory && !owner->lost)
            upstream_alive(links[i]);
    }
}

void pull_offer(struct pull *p, const struct cluster_owner *owner)
{
    if (p->ended)
        return;
    if (cluster_owner_higher(owner, &p->owner)) {
        p->owner = *owner;
        follow_higher(p);
    } else if (cluster_owner_higher(&p->owner, owner)) {
        if (owner->regressed_us == 0 || pull_is_linked(p))
            return;
        p->owner = *owner;
        pull_connect(p, NULL, COMING_OWNER);
    } else {
        take_news(p, owner);
    }
}
