/*
 * One log to one node:
 *
 *   log ─frames─▶ iovecs [record header][payload] ─▶ writev        state, keepalive, end, gap ─▶
 * control
 *
 * The flow is a position in the log and, when the socket has taken part of a frame, that frame by
 * reference and how much of it is out.  Whole control records go between frames.  It never skips:
 * out of the log it ends with a gap record.  Everything happens on the connection's worker, which
 * has a feed of the stream.
 */
#include "origin/relay_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define FLOW_MAGIC        0x666c6f77U
#define FLOW_BATCH        64            /* frames of one writev */
#define FLOW_TURN_BYTES   (1024 * 1024) /* sent by one flow before others have their turn */
#define FLOW_CONTROL_MAX  (2 * RELAY_RECORD_MAX) /* bytes of control records that wait */
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
    struct buf control;
    struct relay_told told;
    bool started, ending;
    enum close_reason why; /* of ending */
    int64_t end_by_us;
    uint64_t epoch, seq; /* next frame to send */
    struct frame *held;  /* the frame at seq, when part of it is out */
    size_t held_offset;
    int64_t last_write_us;
    uint64_t frames_sent;
};

enum step { STEP_NOTHING, STEP_MORE, STEP_BLOCKED, STEP_GAP, STEP_CLOSED };

static void flush(struct flow *w);

static void flow_free(struct flow *w)
{
    struct feed *f = w->reader.feed;
    if (f != NULL) {
        f->viewers[VIEWER_RELAY]--;
        feed_leave(&w->reader);
    }
    METRIC_ADD(w->worker->metrics.relays, -1);
    list_remove(&w->node);
    timer_fini(&w->timer);
    task_cancel(&w->more);
    buf_fini(&w->control);
    frame_unref(&w->held);
    OBJ_POISON(w);
    free(w);
}

static void log_ended(const struct flow *w, enum close_reason why)
{
    log_info(&w->log, "relay.end stream=%s peer=%s reason=%s frames=%" PRIu64, w->q.name, w->q.peer,
             close_reason_name(why), w->frames_sent);
}

/* What waits in control goes out with the end, unless it would come into the middle of a frame. */
static void finish(struct flow *w, enum close_reason why)
{
    log_ended(w, why);
    if (w->held == NULL && buf_len(&w->control) > 0)
        (void)http_stream_write(w->x, buf_slice(&w->control));
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
    relay_add_end(&w->control, why);
    finish(w, why);
}

static void end_with_gap(struct flow *w)
{
    const struct run *run = log_newest(w->reader.feed->log);
    METRIC_INC(w->worker->metrics.relay_gaps_total);
    relay_add_gap(&w->control, run != NULL ? run->first : 0);
    finish(w, CLOSE_GAP);
}

static int describe(struct flow *w, const struct run *run, const struct inforce *inforce)
{
    relay_told_of(w->reader.feed, run, &w->told);
    return relay_describe(w->server, w->reader.feed, run, inforce, &w->control);
}

/* Sending. */

static enum step took(struct flow *w, ssize_t n)
{
    if (n < 0) {
        finish(w, CLOSE_IO_ERROR);
        return STEP_CLOSED;
    }
    if (n > 0)
        w->last_write_us = clock_us();
    return n > 0 ? STEP_MORE : STEP_BLOCKED;
}

static enum step send_control(struct flow *w, size_t *sent)
{
    struct slice s = buf_slice(&w->control);
    struct iovec iov = {(void *)(uintptr_t)s.p, s.len};
    ssize_t n = http_stream_writev(w->x, &iov, 1);
    enum step step = took(w, n);
    if (step != STEP_MORE)
        return step;
    *sent += (size_t)n;
    buf_consume(&w->control, (size_t)n);
    return (size_t)n < s.len ? STEP_BLOCKED : STEP_MORE;
}

static void frame_header(const struct frame *f, uint8_t out[RELAY_RECORD_HEADER_SIZE])
{
    struct relay_record rec = relay_record_of(f);
    relay_record_header(out, &rec, f->size);
}

static void frame_is_out(struct flow *w)
{
    w->seq++;
    w->frames_sent++;
    METRIC_INC(w->worker->metrics.frames_relayed_total);
}

static enum step send_held(struct flow *w, size_t *sent)
{
    uint8_t header[RELAY_RECORD_HEADER_SIZE];
    const struct frame *f = w->held;
    struct iovec iov[2];
    int count = 0;
    size_t total = sizeof header + f->size, offset = w->held_offset;
    frame_header(f, header);
    if (offset < sizeof header)
        iov[count++] = (struct iovec){header + offset, sizeof header - offset};
    size_t skip = offset > sizeof header ? offset - sizeof header : 0;
    if (skip < f->size)
        iov[count++] = (struct iovec){(void *)(uintptr_t)(f->data + skip), f->size - skip};
    ssize_t n = http_stream_writev(w->x, iov, count);
    enum step step = took(w, n);
    if (step != STEP_MORE)
        return step;
    *sent += (size_t)n;
    w->held_offset += (size_t)n;
    if (w->held_offset < total)
        return STEP_BLOCKED;
    frame_unref(&w->held);
    w->held_offset = 0;
    frame_is_out(w);
    return STEP_MORE;
}

/* Moves over what writev took of the frames from seq on; the one it stopped in is held. */
static enum step advance(struct flow *w, const struct run *run, uint64_t to, size_t n)
{
    while (w->seq < to) {
        struct frame *f = run_frame(run, w->seq);
        size_t total = RELAY_RECORD_HEADER_SIZE + f->size;
        if (n < total) {
            w->held = n > 0 ? frame_ref(f) : NULL;
            w->held_offset = n;
            return STEP_BLOCKED;
        }
        n -= total;
        frame_is_out(w);
    }
    return STEP_MORE;
}

static uint64_t last_of(const struct flow *w, const struct run *run)
{
    return w->q.finite && w->q.to < run->next ? w->q.to + 1 : run->next;
}

static enum step send_batch(struct flow *w, const struct run *run, size_t *sent)
{
    uint8_t headers[FLOW_BATCH][RELAY_RECORD_HEADER_SIZE];
    struct iovec iov[2 * FLOW_BATCH];
    int count = 0;
    size_t bytes = 0;
    uint64_t seq = w->seq, last = last_of(w, run);
    for (int i = 0; i < FLOW_BATCH && seq < last && bytes < FLOW_TURN_BYTES; i++, seq++) {
        struct frame *f = run_frame(run, seq);
        frame_header(f, headers[i]);
        iov[count++] = (struct iovec){headers[i], sizeof headers[i]};
        if (f->size > 0)
            iov[count++] = (struct iovec){f->data, f->size};
        bytes += sizeof headers[i] + f->size;
    }
    if (count == 0)
        return STEP_NOTHING;
    ssize_t n = http_stream_writev(w->x, iov, count);
    enum step step = took(w, n);
    if (step != STEP_MORE)
        return step;
    *sent += (size_t)n;
    return advance(w, run, seq, (size_t)n);
}

/* At the end of a run that another follows: on to that one, whose state goes before its frames. */
static enum step next_run(struct flow *w, const struct log *l, const struct run *run)
{
    const struct run *after = log_after(l, run);
    if (after == NULL || w->q.finite)
        return STEP_NOTHING;
    struct relay_place at = relay_place_of_run(after);
    w->epoch = after->epoch;
    w->seq = at.seq;
    return describe(w, after, at.inforce) < 0 ? STEP_GAP : STEP_MORE;
}

static enum step send_frames(struct flow *w, size_t *sent)
{
    const struct feed *f = w->reader.feed;
    const struct run *run = log_find(f->log, w->epoch);
    if (run == NULL || w->seq < run->first)
        return STEP_GAP;
    struct relay_told now;
    relay_told_of(f, run, &now);
    if (!relay_told_equal(&now, &w->told))
        return describe(w, run, relay_newest_inforce(run)) < 0 ? STEP_GAP : STEP_MORE;
    enum step step = send_batch(w, run, sent);
    return step == STEP_NOTHING ? next_run(w, f->log, run) : step;
}

static enum step step_once(struct flow *w, size_t *sent)
{
    if (w->held != NULL)
        return send_held(w, sent);
    if (buf_len(&w->control) > 0)
        return send_control(w, sent);
    return send_frames(w, sent);
}

static bool is_complete(const struct flow *w)
{
    return w->ending || (w->q.finite && w->seq > w->q.to);
}

static void flush(struct flow *w)
{
    size_t sent = 0;
    enum step step = STEP_MORE;
    while (step == STEP_MORE && sent < FLOW_TURN_BYTES)
        step = step_once(w, &sent);
    switch (step) {
    case STEP_MORE:
        task_defer(w->worker, &w->more);
        break;
    case STEP_GAP:
        end_with_gap(w);
        break;
    case STEP_NOTHING:
        if (is_complete(w))
            end_with(w, w->ending ? w->why : CLOSE_FINISHED);
        break;
    case STEP_BLOCKED:
        if (w->ending && clock_us() > w->end_by_us)
            end_with(w, w->why);
        break;
    case STEP_CLOSED:
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

static void start_at(struct flow *w, const struct relay_place *at)
{
    const struct http_header type = {"Content-Type", slice_text("application/octet-stream")};
    w->started = true;
    w->epoch = at->run->epoch;
    w->seq = at->seq;
    w->last_write_us = clock_us();
    timer_set_ms(&w->timer, RELAY_KEEPALIVE_MS);
    http_stream(w->x, 200, &type, 1);
    struct io *io = http_exchange_io(w->x);
    if (io != NULL)
        io_set_dead_peer(io, FLOW_DEAD_PEER_MS);
    log_info(&w->log, "relay.start stream=%s peer=%s epoch=%" PRIu64 " seq=%" PRIu64, w->q.name,
             w->q.peer, w->epoch, w->seq);
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
    if (ready && w->q.finite && !relay_place_past(&w->q, f->log, &at))
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
    int64_t silent_ms = (clock_us() - w->last_write_us) / 1000;
    bool due = silent_ms >= RELAY_KEEPALIVE_MS;
    timer_set_ms(&w->timer, due ? RELAY_KEEPALIVE_MS : RELAY_KEEPALIVE_MS - silent_ms);
    if (due && w->held == NULL && buf_len(&w->control) == 0)
        relay_add(&w->control, RELAY_KEEPALIVE, slice_of(NULL, 0));
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
    buf_init(&w->control, FLOW_CONTROL_MAX);
    METRIC_ADD(w->worker->metrics.relays, 1);
    METRIC_INC(w->worker->metrics.relays_total);
    http_exchange_watch(x, &ops, w);
    struct feed *f = feed_join(s->o.hub, w->worker, q->name, &w->reader);
    f->viewers[VIEWER_RELAY]++;
    timer_set_ms(&w->timer, RELAY_WAIT_MS);
}
