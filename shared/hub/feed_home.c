/* What a source brings to its feed: runs, frames, and the state of the stream. */
#include "hub/hub_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"

#define FEED_FRAME_MS 40 /* distance of two frames where nothing better is known */

static void batch_add(struct feed *f, struct frame *frame)
{
    if (list_empty(&f->bridges))
        return;
    if (f->batch_count == f->batch_room) {
        f->batch_room = f->batch_room > 0 ? f->batch_room * 2 : 16;
        f->batch = xrealloc(f->batch, f->batch_room * sizeof f->batch[0]);
    }
    f->batch[f->batch_count++] = frame_ref(frame);
}

void feed_send_batch(struct feed *f)
{
    if (f->batch_count == 0)
        return;
    bridges_send_frames(f, f->batch, f->batch_count);
    for (size_t i = 0; i < f->batch_count; i++)
        frame_unref(&f->batch[i]);
    f->batch_count = 0;
}

static void set_home_state(struct feed *f, enum feed_state state, enum close_reason why)
{
    must(f->is_home);
    feed_send_batch(f);
    feed_set_state(f, state, why);
    bridges_send_state(f);
}

void feed_open_run(struct feed *f, uint64_t epoch, uint64_t first_seq, int64_t wall_us,
                   struct inforce *inforce)
{
    must(f->is_home);
    feed_send_batch(f);
    bool continues = f->state == FEED_LIVE || f->state == FEED_LOST;
    struct run *r = log_open_run(f->log, epoch, first_seq, inforce);
    r->wall_us = wall_us;
    r->opened_us = clock_us();
    r->shift_set = !continues;
    f->frames_pending = true;
    if (f->since_us == 0)
        f->since_us = clock_us();
    bridges_send_run(f);
    set_home_state(f, FEED_LIVE, CLOSE_UNPUBLISHED);
}

/*
 * One offset per run, chosen when its first joinable frame is there: continuous viewers get it one
 * frame after the last of the run before, or at the wall-clock gap when that is later.
 */
static void choose_shift(struct feed *f, struct run *r)
{
    const struct log_key *key = run_newest_key(r);
    if (r->shift_set || key == NULL)
        return;
    r->shift_set = true;
    const struct run *before = container_of(r->node.prev, struct run, node);
    if (r->node.prev == &f->log->runs)
        return;
    int64_t gap_ms = (clock_us() - f->last_append_us) / 1000;
    if (gap_ms < FEED_FRAME_MS)
        gap_ms = FEED_FRAME_MS;
    r->shift_ms = before->newest_wire_ms + before->shift_ms + gap_ms - key->wire_ms;
}

void feed_append(struct feed *f, struct frame *frame)
{
    must(f->is_home);
    f->bytes_in += frame->size;
    batch_add(f, frame);
    log_append(f->log, frame);
    struct run *r = log_newest(f->log);
    choose_shift(f, r);
    if (r->shift_set)
        f->last_append_us = worker_now_us(f->worker);
    f->frames_pending = true;
    feed_notify(f);
}

int feed_prepend(struct feed *f, struct inforce *inforce, struct frame **frames, size_t count)
{
    must(f->is_home);
    feed_send_batch(f);
    struct run *r = log_newest(f->log);
    bridges_send_past(f, inforce, frames, count);
    int err = log_prepend(f->log, r, inforce, frames, count);
    f->frames_pending = true;
    feed_notify(f);
    return err;
}

int feed_adopt(struct feed *f, const struct log_older *older)
{
    must(f->is_home);
    feed_send_batch(f);
    int err = log_adopt(f->log, older);
    const struct run *r = err < 0 ? NULL : log_find(f->log, older->epoch);
    if (r != NULL)
        bridges_send_older(f, r);
    f->frames_pending = true;
    feed_notify(f);
    return err;
}

void feed_set_origin(struct feed *f, struct run_origin *origin)
{
    struct run *r = log_newest(f->log);
    must(f->is_home && r != NULL);
    feed_send_batch(f);
    struct run_origin *old = r->origin;
    r->origin = run_origin_ref(origin);
    run_origin_unref(&old);
    bridges_send_state(f);
    f->state_pending = true;
    feed_notify(f);
}

void feed_set_plan(struct feed *f, const struct cut_plan *plan)
{
    struct run *r = log_newest(f->log);
    must(f->is_home && r != NULL);
    if (cut_plan_equal(&r->plan, plan))
        return;
    feed_send_batch(f);
    log_set_plan(f->log, r, plan);
    bridges_send_state(f);
    f->state_pending = true;
    feed_notify(f);
}

void feed_set_last(struct feed *f, uint64_t last_seq)
{
    struct run *r = log_newest(f->log);
    must(f->is_home && r != NULL);
    if (r->last_seq == last_seq)
        return;
    feed_send_batch(f);
    log_set_last(f->log, r, last_seq);
    bridges_send_state(f);
    f->frames_pending = true;
    feed_notify(f);
}

void feed_restart(struct feed *f, uint64_t next_seq, struct inforce *inforce)
{
    must(f->is_home);
    feed_send_batch(f);
    log_restart(f->log, next_seq, inforce);
    bridges_send_restart(f);
    f->frames_pending = true;
    feed_notify(f);
}

void feed_reset(struct feed *f)
{
    must(f->is_home);
    feed_send_batch(f);
    log_clear(f->log);
    bridges_send_reset(f);
    f->since_us = 0;
    f->frames_pending = true;
    set_home_state(f, FEED_EMPTY, CLOSE_UNPUBLISHED);
    feed_consider_idle(f);
}

void feed_lost(struct feed *f)
{
    if (f->state == FEED_LIVE)
        set_home_state(f, FEED_LOST, CLOSE_SOURCE_LOST);
}

void feed_resumed(struct feed *f)
{
    if (f->state == FEED_LOST)
        set_home_state(f, FEED_LIVE, CLOSE_UNPUBLISHED);
}

void feed_end(struct feed *f, enum close_reason why)
{
    struct run *r = log_newest(f->log);
    if (r != NULL && !r->ended)
        log_end_run(f->log, r);
    set_home_state(f, FEED_ENDED, why);
    feed_consider_idle(f);
}
