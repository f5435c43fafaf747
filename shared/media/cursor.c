#include "media/cursor.h"

#include "base/must.h"

static void drop_held(struct cursor *c)
{
    frame_unref(&c->held);
    c->offset = 0;
}

void cursor_fini(struct cursor *c)
{
    drop_held(c);
    inforce_unref(&c->told);
    c->epoch = 0;
}

static void place(struct cursor *c, const struct run *r, uint64_t seq)
{
    must(c->held == NULL && (c->epoch != r->epoch || seq >= c->seq));
    c->epoch = r->epoch;
    c->seq = seq;
    c->offset = 0;
}

bool cursor_join(struct cursor *c, const struct log *l)
{
    const struct run *r = log_newest(l);
    const struct log_key *key = r != NULL ? run_newest_key(r) : NULL;
    if (key == NULL)
        return false;
    place(c, r, key->seq);
    c->join_age_us = run_behind_us(r, key->seq);
    return true;
}

static enum cursor_verdict count_skip(struct cursor *c, int64_t now_us)
{
    if (now_us - c->skips_since_us > CURSOR_SKIPS_WINDOW_US) {
        c->skips_since_us = now_us;
        c->skips = 0;
    }
    return ++c->skips > CURSOR_SKIPS_MAX ? CURSOR_TOO_SLOW : CURSOR_SKIPPED;
}

static enum cursor_verdict jump(struct cursor *c, const struct run *r, const struct log_key *key,
                                int64_t now_us, uint64_t *skipped)
{
    if (skipped != NULL && c->epoch == r->epoch)
        *skipped += key->seq - c->seq;
    place(c, r, key->seq);
    return count_skip(c, now_us);
}

/* True while what the cursor lacks has only just come. */
static bool in_grace(struct cursor *c, const struct run *r, int64_t behind_us, int64_t now_us)
{
    bool had_all = c->at_head;
    c->at_head = c->seq == r->next;
    if (had_all || c->at_head)
        c->grace_until_us = now_us + behind_us;
    return now_us < c->grace_until_us;
}

void cursor_rested(struct cursor *c)
{
    c->at_head = false;
    c->grace_until_us = 0;
}

enum cursor_verdict cursor_judge(struct cursor *c, const struct log *l,
                                 const struct viewer_limits *limits, int64_t now_us,
                                 uint64_t *skipped)
{
    const struct run *newest = log_newest(l);
    const struct run *r = log_find(l, c->epoch);
    if (c->offset > 0)
        return CURSOR_KEEP;
    if (r == NULL || c->seq < r->first) { /* its run, or its place in it, is gone */
        const struct log_key *key = newest != NULL ? run_newest_key(newest) : NULL;
        if (key == NULL || (newest->epoch == c->epoch && key->seq < c->seq))
            return CURSOR_EVICTED;
        return jump(c, newest, key, now_us, skipped);
    }
    if (in_grace(c, r, limits->behind_us, now_us))
        return CURSOR_KEEP;
    const struct log_key *key = run_newest_key(r);
    int64_t allowed_us = c->join_age_us > limits->behind_us ? c->join_age_us : limits->behind_us;
    if (key == NULL || key->seq <= c->seq || run_behind_us(r, c->seq) <= allowed_us)
        return CURSOR_KEEP;
    return jump(c, r, key, now_us, skipped);
}

bool cursor_next_run(struct cursor *c, const struct log *l)
{
    const struct run *r = log_find(l, c->epoch);
    if (r == NULL || c->offset > 0 || c->seq < r->next)
        return false;
    const struct run *after = log_after(l, r);
    const struct log_key *key = after != NULL ? run_key_from(after, 0) : NULL;
    if (key == NULL)
        return false;
    place(c, after, key->seq);
    return true;
}

bool cursor_has_more(const struct cursor *c, const struct log *l)
{
    const struct run *r = log_find(l, c->epoch);
    return c->offset > 0 || (r != NULL && c->seq < r->next);
}

void cursor_advance(struct cursor *c, const struct wire_span *span, const struct run *r, size_t n)
{
    must(span->epoch == c->epoch && span->from == c->seq && c->offset == 0 && n <= span->bytes);
    if (n == span->bytes) {
        c->seq = span->to;
        c->at_head = c->seq == r->next;
        return;
    }
    size_t i = 0;
    while (n >= span->totals[i])
        n -= span->totals[i++];
    c->seq = span->from + i;
    if (n == 0)
        return;
    c->offset = (uint32_t)n;
    c->held = frame_ref(run_frame(r, c->seq));
    c->held_shift_ms = r->shift_ms;
}

void cursor_advance_held(struct cursor *c, const struct wire_form *form, size_t n)
{
    must(c->held != NULL && c->offset + n <= form->total);
    c->offset += (uint32_t)n;
    if (c->offset < form->total)
        return;
    drop_held(c);
    c->seq++;
}

bool cursor_tell(struct cursor *c, struct inforce *now)
{
    bool news = !inforce_equal(c->told, now);
    if (c->told != now) {
        inforce_unref(&c->told);
        c->told = inforce_ref(now);
    }
    return news && now != NULL && now->count > 0;
}

const struct log_key *cursor_key(const struct cursor *c, const struct log *l)
{
    const struct run *r = log_find(l, c->epoch);
    const struct log_key *key = r != NULL ? run_key_from(r, c->seq) : NULL;
    return key != NULL && key->seq == c->seq ? key : NULL;
}
