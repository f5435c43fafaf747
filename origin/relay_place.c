/* Where in a log a flow begins. */
#include "origin/relay_internal.h"

#include "base/err.h"

const struct inforce *relay_newest_inforce(const struct run *run)
{
    const struct log_key *key = run_newest_key(run);
    return key != NULL ? key->inforce : run->inforce;
}

/* The first place of a run from which its frames make sense: its beginning, a key frame, or what
 * comes. */
static struct relay_place begin_at(const struct run *run, const struct log_key *key)
{
    if (key != NULL)
        return (struct relay_place){run, key->seq, key->inforce};
    if (run->first == 1)
        return (struct relay_place){run, 1, NULL};
    return (struct relay_place){run, run->next, run->inforce};
}

struct relay_place relay_place_of_run(const struct run *run)
{
    return run->first == 1 ? (struct relay_place){run, 1, NULL}
                           : begin_at(run, run_key_from(run, 0));
}

struct relay_place relay_place_newest(const struct run *run)
{
    return begin_at(run, run_newest_key(run));
}

/* Segments, and parts, may begin where a viewer cannot. */
static bool begin_at_part(const struct run *run, uint64_t from, struct relay_place *at)
{
    const struct log_part *p = run_part_from_seq(run, from > run->first ? from : run->first);
    const struct inforce *inforce = p != NULL ? run_part_inforce(run, p) : NULL;
    if (inforce == NULL)
        return false;
    *at = (struct relay_place){run, p->seq, inforce};
    return true;
}

/* A run without segments leaves no trace, whoever had it. */
static const struct run *last_cut(const struct log *l, uint64_t before)
{
    const struct run *r = log_newest(l);
    while (r != NULL && (r->epoch >= before || run_newest_part(r) == NULL))
        r = log_before(l, r);
    return r;
}

int relay_place_before(struct relay_request *q, const struct log *l)
{
    const struct run *run = last_cut(l, q->before);
    if (run == NULL)
        return ERR_NOT_FOUND;
    if (!run_is_whole(run))
        return run->ended ? ERR_NOT_FOUND : 0;
    q->epoch = run->epoch;
    q->from = run->first;
    q->to = run->last_seq;
    return 1;
}

bool relay_place_past(const struct relay_request *q, const struct log *l, struct relay_place *at)
{
    const struct run *run = log_find(l, q->epoch);
    if (run == NULL || q->to < run->first || q->to >= run->next)
        return false;
    if (q->from <= 1 && run->first == 1) {
        *at = (struct relay_place){run, 1, NULL};
        return true;
    }
    const struct log_key *key = run_key_from(run, q->from);
    if (begin_at_part(run, q->from, at) && (key == NULL || at->seq < key->seq))
        return at->seq <= q->to;
    if (key == NULL || key->seq > q->to)
        return false;
    *at = (struct relay_place){run, key->seq, key->inforce};
    return true;
}

bool relay_place_live(const struct relay_request *q, const struct log *l, struct relay_place *at)
{
    const struct run *newest = log_newest(l), *run = log_find(l, q->epoch);
    if (newest->epoch < q->epoch)
        return false;
    if (run != NULL && q->from == 1)
        *at = relay_place_of_run(run);
    else if (run != NULL && q->from >= run->first && q->from <= run->next)
        *at = (struct relay_place){run, q->from, relay_newest_inforce(run)};
    else
        *at = relay_place_newest(newest);
    return true;
}
