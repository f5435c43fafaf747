/*
 * One log to one node:
 *
 *   log ─frames─▶ relay_writer ─▶ http_stream_writev        state, keepalive, end, gap ─▶ control
 *
 * A flow never skips: out of the log it ends with a gap record.  Everything happens on the
 * connection's worker, which has a feed of the stream.
 */
#include "origin/relay_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "origin/relay_writer.h"

#include <inttypes.h>
#include <stdlib.h>

#define FLOW_MAGIC        0x666c6f77U
#define FLOW_END_MS       5000  /* how long an ended stream's last frames may take */
#define FLOW_DEAD_PEER_MS 10000 /* a node that vanished without a word */

struct flow {
    uint32_t magic;
    struct list node; /* of the server's flows on this worker */
    struct relay_server *server;
    struct http_exchange *x;
    struct worker *worker;
    struct feed_reader reader;
    struct log_id log;
    struct relay_request q;
    struct timer timer; /* before the start: gives up; afterwards: keepalive */
    struct task more;   /* goes on in the next turn */
    struct relay_writer out;
    struct relay_told told;
    bool started, ending;
    enum close_reason why; /* of ending */
    int64_t end_by_us;
    uint64_t epoch; /* of the next frame to send */
};

static void flush(struct flow *w);

static void flow_free(struct flow *w)
{
    struct feed *f = w->reader.feed;
    if (f != NULL) {
        f->viewers[VIEWER_RELAY]--;
        feed_leave(&w->reader);
    }
    METRIC_ADD(w->worker->metrics.relays, -1);
    if (w->started)
        relay_linked(w->server->o.links, w->q.peer, false);
    list_remove(&w->node);
    timer_fini(&w->timer);
    task_cancel(&w->more);
    relay_writer_fini(&w->out);
    OBJ_POISON(w);
    free(w);
}

static void log_ended(const struct flow *w, enum close_reason why)
{
    log_info(&w->log, "relay.end stream=%s peer=%s reason=%s frames=%" PRIu64, w->q.name, w->q.peer,
             close_reason_name(why), w->out.frames_sent);
}

/* What waits in control goes out with the end, unless it would come into the middle of a frame. */
static void finish(struct flow *w, enum close_reason why)
{
    log_ended(w, why);
    if (relay_writer_is_between(&w->out) && buf_len(&w->out.control) > 0)
        (void)http_stream_write(w->x, buf_slice(&w->out.control));
    http_stream_end(w->x, why);
    flow_free(w);
}

static void refuse(struct flow *w, int status, const char *code, const char *message)
{
    http_respond_error(w->x, status, code, message);
    flow_free(w);
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct flow *w = OBJ_CAST(struct flow, owner, FLOW_MAGIC);
    log_ended(w, why);
    flow_free(w);
}

/* Control records. */

static void end_with(struct flow *w, enum close_reason why)
{
    relay_add_end(&w->out.control, why);
    finish(w, why);
}

static void end_with_gap(struct flow *w)
{
    const struct run *run = log_newest(w->reader.feed->log);
    METRIC_INC(w->worker->metrics.relay_gaps_total);
    relay_add_gap(&w->out.control, run != NULL ? run->first : 0);
    finish(w, CLOSE_GAP);
}

static int describe(struct flow *w, const struct run *run, const struct inforce *inforce)
{
    relay_told_of(w->reader.feed, run, &w->told);
    return relay_describe(w->server, w->reader.feed, run, inforce, &w->out.control);
}

/* Sending. */

static ssize_t write_out(void *to, const struct iovec *iov, int count)
{
    struct flow *w = to;
    return http_stream_writev(w->x, iov, count);
}

static uint64_t last_of(const struct flow *w, const struct run *run)
{
    return w->q.finite && w->q.to < run->next ? w->q.to + 1 : run->next;
}

/* At the end of a run that another follows: on to that one, whose state goes before its frames. */
static enum relay_step next_run(struct flow *w, const struct log *l, const struct run *run,
                                bool *gap)
{
    const struct run *after = log_after(l, run);
    if (after == NULL || w->q.finite)
        return RELAY_STEP_NOTHING;
    struct relay_place at = relay_place_of_run(after);
    w->epoch = after->epoch;
    w->out.seq = at.seq;
    *gap = describe(w, after, at.inforce) < 0;
    return RELAY_STEP_MORE;
}

/* *gap: the place is not held any more, or its run cannot be described. */
static enum relay_step send_frames(struct flow *w, size_t *sent, bool *gap)
{
    const struct feed *f = w->reader.feed;
    const struct run *run = log_find(f->log, w->epoch);
    *gap = run == NULL || w->out.seq < run->first;
    if (*gap)
        return RELAY_STEP_NOTHING;
    struct relay_told now;
    relay_told_of(f, run, &now);
    if (!relay_told_equal(&now, &w->told)) {
        *gap = describe(w, run, relay_newest_inforce(run)) < 0;
        return RELAY_STEP_MORE;
    }
    enum relay_step step = relay_writer_frames(&w->out, run, last_of(w, run), sent);
    return step == RELAY_STEP_NOTHING ? next_run(w, f->log, run, gap) : step;
}

static enum relay_step step_once(struct flow *w, size_t *sent, bool *gap)
{
    enum relay_step step = relay_writer_step(&w->out, sent);
    return step == RELAY_STEP_NOTHING ? send_frames(w, sent, gap) : step;
}

static bool is_complete(const struct flow *w)
{
    return w->ending || (w->q.finite && w->out.seq > w->q.to);
}

static void flush(struct flow *w)
{
    size_t sent = 0;
    bool gap = false;
    uint64_t before = w->out.frames_sent;
    enum relay_step step = RELAY_STEP_MORE;
    while (step == RELAY_STEP_MORE && !gap && sent < RELAY_WRITER_TURN_BYTES)
        step = step_once(w, &sent, &gap);
    METRIC_ADD(w->worker->metrics.frames_relayed_total, w->out.frames_sent - before);
    if (gap) {
        end_with_gap(w);
        return;
    }
    switch (step) {
    case RELAY_STEP_MORE:
        task_defer(w->worker, &w->more);
        break;
    case RELAY_STEP_NOTHING:
        if (is_complete(w))
            end_with(w, w->ending ? w->why : CLOSE_FINISHED);
        break;
    case RELAY_STEP_BLOCKED:
        if (w->ending && clock_us() > w->end_by_us)
            end_with(w, w->why);
        break;
    case RELAY_STEP_CLOSED:
        finish(w, CLOSE_IO_ERROR);
        break;
    }
}

static void on_more(void *arg)
{
    flush(OBJ_CAST(struct flow, arg, FLOW_MAGIC));
}

static void on_writable(struct http_exchange *x, void *owner)
{
    flush(OBJ_CAST(struct flow, owner, FLOW_MAGIC));
}

/* Starting. */

static void tell_handed_over(const struct flow *w)
{
    const struct relay_options *o = &w->server->o;
    if (w->q.before != 0 && o->on_handed_over != NULL)
        o->on_handed_over(w->q.name, w->worker, o->arg);
}

static void start_at(struct flow *w, const struct relay_place *at)
{
    const struct http_header type = {"Content-Type", slice_text("application/octet-stream")};
    w->started = true;
    relay_linked(w->server->o.links, w->q.peer, true);
    w->epoch = at->run->epoch;
    w->out.seq = at->seq;
    w->out.last_write_us = clock_us();
    timer_set_ms(&w->timer, RELAY_KEEPALIVE_MS);
    http_stream(w->x, 200, &type, 1);
    struct io *io = http_exchange_io(w->x);
    if (io != NULL)
        io_set_dead_peer(io, FLOW_DEAD_PEER_MS);
    log_info(&w->log, "relay.start stream=%s peer=%s epoch=%" PRIu64 " seq=%" PRIu64, w->q.name,
             w->q.peer, w->epoch, w->out.seq);
    tell_handed_over(w);
    if (describe(w, at->run, at->inforce) < 0)
        finish(w, CLOSE_INTERNAL);
    else
        flush(w);
}

/* What is held decides once the feed has anything; `final` is the last chance. */
static void try_start(struct flow *w, bool final)
{
    const struct feed *f = w->reader.feed;
    struct relay_place at;
    bool ready = f->state != FEED_EMPTY && log_newest(f->log) != NULL;
    int known = ready && w->q.before != 0 ? relay_place_before(&w->q, f->log) : 1;
    if (known == 0 && !final)
        return;
    if (known <= 0)
        refuse(w, 404, "not_over", "no run before that one is over here");
    else if (ready && w->q.finite && !relay_place_past(&w->q, f->log, &at))
        refuse(w, 404, "not_held", "these frames are not held here");
    else if (ready && (w->q.finite || relay_place_live(&w->q, f->log, &at)))
        start_at(w, &at);
    else if (final && ready)
        refuse(w, 409, "stale", "the run asked for has not begun here");
    else if (final)
        refuse(w, 404, "not_found", "no such stream here");
}

static void on_timer(void *arg)
{
    struct flow *w = OBJ_CAST(struct flow, arg, FLOW_MAGIC);
    if (!w->started) {
        try_start(w, true);
        return;
    }
    int64_t silent_ms = (clock_us() - w->out.last_write_us) / 1000;
    bool due = silent_ms >= RELAY_KEEPALIVE_MS;
    timer_set_ms(&w->timer, due ? RELAY_KEEPALIVE_MS : RELAY_KEEPALIVE_MS - silent_ms);
    if (due && relay_writer_is_between(&w->out) && buf_len(&w->out.control) == 0)
        relay_add(&w->out.control, RELAY_KEEPALIVE, slice_of(NULL, 0));
    if (due)
        flush(w);
}

/* What has been appended still goes out. */
static void end_soon(struct flow *w, enum close_reason why)
{
    if (w->ending)
        return;
    w->ending = true;
    w->why = why;
    w->end_by_us = clock_us() + FLOW_END_MS * 1000;
}

/* The process will end, and others have what this flow sends. */
static bool must_leave(const struct flow *w)
{
    const struct run *run = log_newest(w->reader.feed->log);
    return w->server->locals[w->worker->index].leaving && (run == NULL || run->origin != NULL);
}

static void on_change(struct feed_reader *r)
{
    struct flow *w = container_of(r, struct flow, reader);
    bool leave = must_leave(w);
    if (r->feed->state == FEED_ENDED)
        end_soon(w, r->feed->why);
    else if (leave)
        end_soon(w, CLOSE_DRAIN);
    else
        w->ending = false; /* a stream that comes back goes on here */
    if (w->started)
        flush(w);
    else if (leave)
        refuse(w, 503, "draining", "this node is going out of service");
    else
        try_start(w, false);
}

/* Calls fn for each flow there was when it began; fn may free the one it got. */
static void each_flow(struct list *flows, void (*fn)(struct flow *w))
{
    struct list walk = LIST_INIT(walk);
    struct flow *w;
    list_splice(&walk, flows);
    while ((w = LIST_FIRST(&walk, struct flow, node)) != NULL) {
        list_remove(&w->node);
        list_append(flows, &w->node);
        fn(w);
    }
}

static void look_again(struct flow *w)
{
    on_change(&w->reader);
}

void relay_server_leave(struct relay_server *s, struct worker *w)
{
    s->locals[w->index].leaving = true;
    each_flow(&s->locals[w->index].flows, look_again);
}

static void drain_flow(struct flow *w)
{
    if (w->started)
        end_with(w, CLOSE_DRAIN);
    else
        refuse(w, 503, "draining", "this node is going out of service");
}

void relay_server_drain(struct relay_server *s, struct worker *w)
{
    each_flow(&s->locals[w->index].flows, drain_flow);
}

static void on_feed_end(struct feed_reader *r, enum close_reason why)
{
    on_change(r);
}

void relay_flow_open(struct relay_server *s, struct http_exchange *x, const struct relay_request *q)
{
    static const struct http_exchange_ops ops = {.on_writable = on_writable, .on_gone = on_gone};
    static const struct feed_reader_ops reader_ops = {on_change, on_change, on_feed_end};
    struct flow *w = xcalloc(1, sizeof *w);
    w->magic = FLOW_MAGIC;
    w->server = s;
    w->x = x;
    w->worker = http_exchange_worker(x);
    w->reader.ops = &reader_ops;
    w->log = (struct log_id){"relay", w->worker->index, log_new_id()};
    w->q = *q;
    list_append(&s->locals[w->worker->index].flows, &w->node);
    timer_init(&w->timer, w->worker, "relay.flow", on_timer, w);
    task_init(&w->more, on_more, w);
    relay_writer_init(&w->out, write_out, w);
    METRIC_ADD(w->worker->metrics.relays, 1);
    METRIC_INC(w->worker->metrics.relays_total);
    http_exchange_watch(x, &ops, w);
    struct feed *f = feed_join(s->o.hub, w->worker, q->name, &w->reader);
    f->viewers[VIEWER_RELAY]++;
    timer_set_ms(&w->timer, RELAY_WAIT_MS);
}
