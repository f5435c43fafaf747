/*
 * What travels between a home feed and its replicas on other workers.  A replica is freed only when
 * the home has answered its detach, so a message never finds it gone.
 */
#include "hub/hub_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"

#include <stdlib.h>

/* To the home: about one replica. */
struct home_message {
    struct message m;
    struct hub *hub;
    struct stream *stream; /* referenced: the replica may be gone before the message arrives */
    struct feed *replica;
    struct worker *from;
    void (*handle)(struct feed *home, struct home_message *h);
};

/* To a replica. */
struct replica_message {
    struct message m;
    struct replica_message *then; /* handled with this one: no reader looks in between */
    struct feed *to;
    void (*handle)(struct feed *f, struct replica_message *r);
    enum feed_state state;
    enum close_reason why;
    int64_t ended_us;
    uint64_t epoch, first_seq, last_seq;
    uint64_t oldest_epoch, oldest_seq; /* where the home's log begins; all zero: it is empty */
    int64_t wall_us, shift_ms;
    bool shift_set;
    struct inforce *inforce;
    struct run_origin *origin; /* of the run at epoch, as all of the above */
    struct cut_plan plan;
    size_t count;
    struct frame *frames[];
};

static void run_home_message(struct message *m)
{
    struct home_message *h = container_of(m, struct home_message, m);
    struct feed *home = feed_get(h->hub, h->stream->home, h->stream->name);
    h->handle(home, h);
    stream_unref(h->hub, &h->stream);
    free(h);
}

static void post_home(struct feed *replica, void (*handle)(struct feed *, struct home_message *))
{
    struct home_message *h = xcalloc(1, sizeof *h);
    *h = (struct home_message){.m.run = run_home_message,
                               .hub = replica->hub,
                               .stream = stream_ref(replica->hub, replica->name, NULL),
                               .replica = replica,
                               .from = replica->worker,
                               .handle = handle};
    worker_post(h->stream->home, &h->m);
}

static void handle_and_free(struct replica_message **rp)
{
    struct replica_message *r = *rp;
    *rp = r->then;
    OBJ_CHECK(r->to, FEED_MAGIC);
    r->handle(r->to, r);
    for (size_t i = 0; i < r->count; i++)
        frame_unref(&r->frames[i]);
    inforce_unref(&r->inforce);
    run_origin_unref(&r->origin);
    free(r);
}

static void run_replica_message(struct message *m)
{
    struct replica_message *r = container_of(m, struct replica_message, m);
    while (r != NULL)
        handle_and_free(&r);
}

/* About a run of the home's log, which may be NULL. */
static struct replica_message *
message_about(const struct feed *home, const struct run *run, size_t frames,
              void (*handle)(struct feed *, struct replica_message *))
{
    struct replica_message *r = xcalloc(1, sizeof *r + frames * sizeof r->frames[0]);
    r->m.run = run_replica_message;
    r->handle = handle;
    r->state = home->state;
    r->why = home->why;
    r->ended_us = home->ended_us;
    if (run != NULL) {
        r->epoch = run->epoch;
        r->last_seq = run->last_seq;
        r->wall_us = run->wall_us;
        r->shift_ms = run->shift_ms;
        r->shift_set = run->shift_set;
        r->origin = run_origin_ref(run->origin);
        r->plan = run->plan;
        const struct run *oldest = log_oldest(home->log);
        r->oldest_epoch = oldest->epoch;
        r->oldest_seq = oldest->first;
    }
    return r;
}

static struct replica_message *message_new(const struct feed *home, size_t frames,
                                           void (*handle)(struct feed *, struct replica_message *))
{
    return message_about(home, log_newest(home->log), frames, handle);
}

static void send_to(const struct bridge *b, struct replica_message *r)
{
    r->to = b->replica;
    worker_post(b->worker, &r->m);
}

static void take_shift(struct run *run, const struct replica_message *r)
{
    if (!run->shift_set && r->shift_set) {
        run->shift_ms = r->shift_ms;
        run->shift_set = true;
    }
}

/* True when it is another one than before. */
static bool take_origin(struct run *run, struct replica_message *r)
{
    if (run == NULL || run->epoch != r->epoch || run->origin == r->origin)
        return false;
    struct run_origin *old = run->origin;
    run->origin = r->origin;
    r->origin = old;
    return true;
}

/* The same. */
static bool take_plan(struct feed *f, struct run *run, const struct replica_message *r)
{
    if (run == NULL || run->epoch != r->epoch || cut_plan_equal(&run->plan, &r->plan))
        return false;
    log_set_plan(f->log, run, &r->plan);
    return true;
}

static bool take_last(struct feed *f, struct run *run, const struct replica_message *r)
{
    if (run == NULL || run->epoch != r->epoch || run->last_seq == r->last_seq)
        return false;
    log_set_last(f->log, run, r->last_seq);
    return true;
}

static void handle_run(struct feed *f, struct replica_message *r)
{
    struct run *run = log_open_run(f->log, r->epoch, r->first_seq, r->inforce);
    run->wall_us = r->wall_us;
    take_shift(run, r);
    take_origin(run, r);
    take_plan(f, run, r);
    take_last(f, run, r);
    f->frames_pending = true;
    feed_notify(f);
}

static void handle_frames(struct feed *f, struct replica_message *r)
{
    struct run *run = log_newest(f->log);
    must(run != NULL && run->epoch == r->epoch);
    take_shift(run, r);
    for (size_t i = 0; i < r->count; i++) {
        f->bytes_in += r->frames[i]->size;
        log_append(f->log, r->frames[i]);
        r->frames[i] = NULL;
    }
    /* The home knows stream.memory_bytes; a replica would keep its frames in memory for nothing. */
    log_forget(f->log, r->oldest_epoch, r->oldest_seq);
    f->frames_pending = true;
    feed_notify(f);
}

static void handle_past(struct feed *f, struct replica_message *r)
{
    struct run *run = log_find(f->log, r->epoch);
    if (run == NULL)
        return;
    /* A replica that was attached later may hold some of it, or have dropped its head: not
     * contiguous. */
    log_prepend(f->log, run, r->inforce, r->frames, r->count);
    r->count = 0;
    f->frames_pending = true;
    feed_notify(f);
}

static void handle_older(struct feed *f, struct replica_message *r)
{
    const struct log_older older = {.epoch = r->epoch,
                                    .wall_us = r->wall_us,
                                    .plan = r->plan,
                                    .origin = r->origin,
                                    .inforce = r->inforce,
                                    .frames = r->frames,
                                    .count = r->count};
    r->count = 0;
    /* One that was attached meanwhile has it. */
    log_adopt(f->log, &older);
    f->frames_pending = true;
    feed_notify(f);
}

static void handle_state(struct feed *f, struct replica_message *r)
{
    struct run *run = log_newest(f->log);
    bool told = take_origin(run, r);
    told = take_plan(f, run, r) || told;
    if (take_last(f, run, r))
        f->frames_pending = told = true;
    if (told) {
        f->state_pending = true;
        feed_notify(f);
    }
    if (r->state == FEED_ENDED && run != NULL && !run->ended)
        log_end_run(f->log, run);
    feed_set_state(f, r->state, r->why);
    f->ended_us = r->ended_us;
}

static void handle_restart(struct feed *f, struct replica_message *r)
{
    struct run *run = log_newest(f->log);
    must(run != NULL && run->epoch == r->epoch);
    log_restart(f->log, r->first_seq, r->inforce);
    f->frames_pending = true;
    feed_notify(f);
}

static void handle_reset(struct feed *f, struct replica_message *r)
{
    log_clear(f->log);
    f->frames_pending = true;
    feed_notify(f);
}

static struct replica_message *run_message(const struct feed *home, const struct run *run,
                                           uint64_t first_seq, struct inforce *inforce)
{
    struct replica_message *r = message_about(home, run, 0, handle_run);
    r->first_seq = first_seq;
    r->inforce = inforce_ref(inforce);
    return r;
}

static void send_frames(struct feed *home, const struct bridge *b, struct frame **frames,
                        size_t count)
{
    struct replica_message *r = message_new(home, count, handle_frames);
    r->count = count;
    for (size_t i = 0; i < count; i++)
        r->frames[i] = frame_ref(frames[i]);
    send_to(b, r);
}

/* What a replica begins with, as one message. */
struct snapshot {
    const struct bridge *to;
    struct replica_message *first, *last;
};

static void snapshot_add(struct snapshot *s, struct replica_message *r)
{
    r->to = s->to->replica;
    if (s->last != NULL)
        s->last->then = r;
    else
        s->first = r;
    s->last = r;
}

/* From the run's oldest joinable frame on; all of it while it has none but is whole. */
static void snapshot_add_run(struct snapshot *s, const struct feed *home, const struct run *run)
{
    const struct log_key *key = run_key_from(run, 0);
    uint64_t first = key != NULL ? key->seq : run->first == 1 ? 1 : run->next;
    struct inforce *inforce = key != NULL ? key->inforce : first == 1 ? NULL : run->inforce;
    snapshot_add(s, run_message(home, run, first, inforce));
    struct replica_message *r = message_about(home, run, run->next - first, handle_frames);
    for (uint64_t seq = first; seq < run->next; seq++)
        r->frames[r->count++] = frame_ref(run_frame(run, seq));
    snapshot_add(s, r);
}

static void send_snapshot(struct feed *home, const struct bridge *b)
{
    struct snapshot s = {.to = b};
    /* Known first, or readers would begin with what is over. */
    if (home->state == FEED_ENDED)
        snapshot_add(&s, message_new(home, 0, handle_state));
    struct run *run;
    LIST_EACH (run, &home->log->runs, node)
        snapshot_add_run(&s, home, run);
    snapshot_add(&s, message_new(home, 0, handle_state));
    worker_post(b->worker, &s.first->m);
}

static void handle_attach(struct feed *home, struct home_message *h)
{
    must(home->is_home);
    /* What waits for the end of this turn is in the log, and so in the snapshot. */
    if (home->batch_count > 0) {
        bridges_send_frames(home, home->batch, home->batch_count);
        for (size_t i = 0; i < home->batch_count; i++)
            frame_unref(&home->batch[i]);
        home->batch_count = 0;
    }
    struct bridge *b = xcalloc(1, sizeof *b);
    b->replica = h->replica;
    b->worker = h->from;
    list_append(&home->bridges, &b->node);
    send_snapshot(home, b);
    feed_update_wanted(home);
    feed_consider_idle(home);
}

static void handle_detached(struct feed *f, struct replica_message *r)
{
    f->attached = f->detaching = false;
    log_clear(f->log);
    f->state = FEED_EMPTY;
    if (f->reader_count > 0)
        replica_attach(f);
    else
        timer_set_ms(&f->linger, 0);
}

static void handle_detach(struct feed *home, struct home_message *h)
{
    struct bridge *b, *tmp;
    LIST_EACH_SAFE (b, tmp, &home->bridges, node) {
        if (b->replica != h->replica)
            continue;
        send_to(b, message_new(home, 0, handle_detached));
        list_remove(&b->node);
        free(b);
    }
    feed_update_wanted(home);
    feed_consider_idle(home);
}

static void handle_want_key(struct feed *home, struct home_message *h)
{
    feed_want_key(home);
    feed_consider_idle(home);
}

static void handle_want_past(struct feed *home, struct home_message *h)
{
    if (home->source != NULL && home->source->ops->on_want_past != NULL)
        home->source->ops->on_want_past(home->source);
    feed_consider_idle(home);
}

void replica_attach(struct feed *replica)
{
    replica->attached = true;
    post_home(replica, handle_attach);
}

void replica_detach(struct feed *replica)
{
    replica->detaching = true;
    post_home(replica, handle_detach);
}

void replica_want_key(struct feed *replica)
{
    post_home(replica, handle_want_key);
}

void replica_want_past(struct feed *replica)
{
    post_home(replica, handle_want_past);
}

void bridges_send_run(struct feed *home)
{
    struct run *run = log_newest(home->log);
    struct bridge *b;
    LIST_EACH (b, &home->bridges, node)
        send_to(b, run_message(home, run, run->first, run->inforce));
}

void bridges_send_frames(struct feed *home, struct frame **frames, size_t count)
{
    struct bridge *b;
    LIST_EACH (b, &home->bridges, node)
        send_frames(home, b, frames, count);
}

void bridges_send_past(struct feed *home, struct inforce *inforce, struct frame **frames,
                       size_t count)
{
    struct bridge *b;
    LIST_EACH (b, &home->bridges, node) {
        struct replica_message *r = message_new(home, count, handle_past);
        r->inforce = inforce_ref(inforce);
        r->count = count;
        for (size_t i = 0; i < count; i++)
            r->frames[i] = frame_ref(frames[i]);
        send_to(b, r);
    }
}

void bridges_send_older(struct feed *home, const struct run *run)
{
    struct bridge *b;
    const struct log_key *key = run_key_from(run, 0);
    uint64_t first = key != NULL ? key->seq : run->first;
    LIST_EACH (b, &home->bridges, node) {
        struct replica_message *r = message_about(home, run, run->next - first, handle_older);
        r->inforce = inforce_ref(key != NULL ? key->inforce : NULL);
        for (uint64_t seq = first; seq < run->next; seq++)
            r->frames[r->count++] = frame_ref(run_frame(run, seq));
        send_to(b, r);
    }
}

void bridges_send_state(struct feed *home)
{
    struct bridge *b;
    LIST_EACH (b, &home->bridges, node)
        send_to(b, message_new(home, 0, handle_state));
}

void bridges_send_restart(struct feed *home)
{
    const struct run *run = log_newest(home->log);
    struct bridge *b;
    LIST_EACH (b, &home->bridges, node) {
        struct replica_message *r = message_new(home, 0, handle_restart);
        r->first_seq = run->next;
        r->inforce = inforce_ref(run->inforce);
        send_to(b, r);
    }
}

void bridges_send_reset(struct feed *home)
{
    struct bridge *b;
    LIST_EACH (b, &home->bridges, node)
        send_to(b, message_new(home, 0, handle_reset));
}

void bridges_drop(struct feed *home)
{
    struct bridge *b, *tmp;
    LIST_EACH_SAFE (b, tmp, &home->bridges, node) {
        list_remove(&b->node);
        free(b);
    }
}
