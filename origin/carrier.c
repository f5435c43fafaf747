#include "origin/carrier.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "origin/carry_choose.h"
#include "origin/relay_internal.h"
#include "origin/relay_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CARRIER_MAGIC 0x63617272U
#define CARRIER_EPOCH 1 /* of the only run of a carrier's log; the origin has one of its own */

struct carrier {
    uint32_t magic;
    struct carriers *table;
    struct worker *worker;
    struct list node;
    struct log_id log_id;
    struct contender *contender; /* NULL once it has left */
    char name[NAME_STREAM_MAX + 1], proto[8], identity[CLUSTER_PUBLISHER_MAX];
    struct log *log;

    struct relay_call *call;
    char origin[NAME_NODE_MAX + 1]; /* of the call */
    int status;                     /* of its answer; 0: none yet */
    bool up;                        /* the origin has accepted, and is sent frames */
    struct relay_writer out;
    struct inforce *preface; /* goes before the next frame */
    uint64_t due_bytes;      /* from where the writer began up to the newest frame */
    struct task more;

    struct timer timer; /* with an answer under way: keepalive; between calls: the next try */
    struct backoff backoff;
    struct carry_failures failures;
    int64_t up_us;      /* clock_us of the last acceptance */
    int64_t give_up_us; /* clock_us; while not up */
    bool accepted;      /* by any origin, ever */
    bool full;          /* as the publisher was told */
    bool listing;       /* the cluster's answer is to come */

    bool told_off; /* refused or ended: nothing is taken any more */
    bool leaving, end_sent, body_ended;
    enum close_reason leave_why;
    bool over; /* freed as soon as nobody calls back */
    struct task reap;
};

static void flush(struct carrier *k);
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

static void drop_call(struct carrier *k)
{
    relay_call_cancel(&k->call);
    task_cancel(&k->more);
    k->up = false;
    k->status = 0;
    inforce_unref(&k->preface);
}

static void carrier_free(struct carrier *k)
{
    drop_call(k);
    timer_fini(&k->timer);
    task_cancel(&k->reap);
    relay_writer_fini(&k->out);
    log_free(&k->log);
    if (k->accepted)
        METRIC_ADD(k->worker->metrics.carried_publishers, -1);
    list_remove(&k->node);
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
    drop_call(k);
    timer_stop(&k->timer);
    if (k->contender != NULL)
        k->contender->carrier = NULL;
    k->contender = NULL;
    task_defer(k->worker, &k->reap);
}

static void tell(struct carrier *k, const struct contender_news *news)
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
    tell(k, &news);
    k->told_off = true;
}

static void give_up(struct carrier *k, enum close_reason why)
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
    flush(k);
}

/* --- losing an origin, and trying the next --- */

static void set_full(struct carrier *k, bool full)
{
    if (k->full == full)
        return;
    k->full = full;
    tell(k, &(struct contender_news){.event = full ? CONTENDER_FULL : CONTENDER_ROOM});
}

static void again(struct carrier *k)
{
    if (clock_us() >= k->give_up_us)
        give_up(k, CLOSE_NO_ORIGIN);
    else
        timer_set_ms(&k->timer, backoff_next_ms(&k->backoff));
}

static void lose(struct carrier *k, enum close_reason why)
{
    int64_t now_us = clock_us();
    bool was_up = k->up;
    log_info(&k->log_id, "carry.down stream=%s node=%s reason=%s status=%d", k->name, k->origin,
             close_reason_name(why), was_up ? 0 : k->status);
    drop_call(k);
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
    set_full(k, false);
    again(k);
}

/* --- sending --- */

static ssize_t write_out(void *to, const struct iovec *iov, int count)
{
    struct carrier *k = to;
    return relay_call_writev(k->call, iov, count);
}

static const struct run *run_of(const struct carrier *k)
{
    return log_newest(k->log);
}

/* From the newest key frame, with what is in force there before it. */
static void place_writer(struct carrier *k)
{
    const struct run *run = run_of(k);
    struct relay_place at = relay_place_newest(run);
    inforce_unref(&k->preface);
    k->preface = inforce_ref((struct inforce *)(uintptr_t)at.inforce);
    k->out.seq = at.seq;
    k->out.bytes_sent = k->due_bytes = 0;
    for (uint64_t seq = at.seq; seq < run->next; seq++)
        k->due_bytes += run_frame(run, seq)->size;
}

/* What is in force, as if it had been published with the first frame that is sent: the origin's run
 * begins there. */
static void add_preface(struct carrier *k, const struct frame *first)
{
    for (uint32_t i = 0; i < k->preface->count; i++) {
        struct relay_record rec = relay_record_of(k->preface->frames[i]);
        rec.flags &= (uint8_t)~FRAME_DISCONTINUITY;
        rec.seq = first->seq;
        rec.wire_ms = first->wire_ms;
        rec.dts_us = first->dts_us;
        (void)relay_record_append(&k->out.control, &rec);
    }
    inforce_unref(&k->preface);
}

static enum relay_step send_frames(struct carrier *k, size_t *sent)
{
    const struct run *run = run_of(k);
    if (k->out.seq < run->first) {
        log_warn(&k->log_id, "carry.gap stream=%s node=%s", k->name, k->origin);
        place_writer(k);
    }
    if (k->preface != NULL && k->out.seq < run->next) {
        add_preface(k, run_frame(run, k->out.seq));
        return RELAY_STEP_MORE;
    }
    return relay_writer_frames(&k->out, run, run->next, sent);
}

static enum relay_step send_end(struct carrier *k)
{
    if (!k->end_sent) {
        relay_add_end(&k->out.control, k->leave_why);
        k->end_sent = true;
        return RELAY_STEP_MORE;
    }
    if (!k->body_ended)
        relay_call_body_end(k->call);
    k->body_ended = true;
    return RELAY_STEP_NOTHING;
}

static enum relay_step step_once(struct carrier *k, size_t *sent)
{
    enum relay_step step = relay_writer_step(&k->out, sent);
    if (step != RELAY_STEP_NOTHING || !k->up)
        return step;
    if (!k->end_sent)
        step = send_frames(k, sent);
    return step == RELAY_STEP_NOTHING && k->leaving ? send_end(k) : step;
}

static void flush(struct carrier *k)
{
    size_t sent = 0;
    uint64_t before = k->out.frames_sent;
    enum relay_step step = RELAY_STEP_MORE;
    while (step == RELAY_STEP_MORE && sent < RELAY_WRITER_TURN_BYTES)
        step = step_once(k, &sent);
    METRIC_ADD(k->worker->metrics.frames_carried_total, k->out.frames_sent - before);
    if (step == RELAY_STEP_MORE)
        task_defer(k->worker, &k->more);
    uint64_t unsent = k->up ? k->due_bytes - k->out.bytes_sent : 0;
    if (unsent > CARRY_UNSENT_MAX || unsent < CARRY_UNSENT_MAX / 2)
        set_full(k, unsent > CARRY_UNSENT_MAX);
}

static void on_more(void *arg)
{
    flush(OBJ_CAST(struct carrier, arg, CARRIER_MAGIC));
}

static void keep_alive(struct carrier *k)
{
    int64_t left_ms = RELAY_KEEPALIVE_MS - (clock_us() - k->out.last_write_us) / 1000;
    timer_set_ms(&k->timer, left_ms > 0 ? left_ms : RELAY_KEEPALIVE_MS);
    if (left_ms > 0)
        return;
    if (relay_writer_is_between(&k->out) && buf_len(&k->out.control) == 0)
        relay_add(&k->out.control, RELAY_KEEPALIVE, slice_of(NULL, 0));
    flush(k);
}

/* --- the origin's words --- */

static int on_accepted(struct carrier *k, struct slice payload)
{
    uint64_t epoch;
    int err = relay_accepted_decode(payload, &epoch);
    if (err < 0 || k->up)
        return err < 0 ? err : ERR_PROTOCOL;
    bool first = !k->accepted;
    k->up = k->accepted = true;
    k->up_us = clock_us();
    log_info(&k->log_id, "carry.up stream=%s node=%s epoch=%" PRIu64, k->name, k->origin, epoch);
    if (first) {
        METRIC_INC(k->worker->metrics.carries_total);
        METRIC_ADD(k->worker->metrics.carried_publishers, 1);
        tell(k, &(struct contender_news){.event = CONTENDER_ACCEPTED, .epoch = epoch});
    } else {
        METRIC_INC(k->worker->metrics.carry_reconnects_total);
        tell(k, &(struct contender_news){.event = CONTENDER_WANT_KEY});
    }
    place_writer(k);
    flush(k);
    return 0;
}

/* Another origin may do better. */
static bool is_for_another(const struct carrier *k, enum close_reason why)
{
    if (why == CLOSE_DRAIN || why == CLOSE_OVERLOAD || why == CLOSE_INTERNAL)
        return true;
    /* Ourselves, at the origin that was lost: nobody may displace us, but we are found silent. */
    return why == CLOSE_NAME_TAKEN && k->accepted && !k->up &&
           k->worker->config->cluster.takeover == TAKEOVER_REJECT;
}

static int on_end_record(struct carrier *k, struct slice payload)
{
    struct relay_end record;
    enum close_reason why;
    int err = relay_end_decode(payload, &record);
    if (err < 0)
        return err;
    if (!close_reason_parse(record.text, &why))
        why = CLOSE_INTERNAL;
    if (k->leaving || is_for_another(k, why)) {
        lose(k, why);
        return 0;
    }
    log_info(&k->log_id, "carry.end stream=%s node=%s reason=%s", k->name, k->origin,
             close_reason_name(why));
    give_up(k, why);
    return 0;
}

static int on_record(struct carrier *k, const struct relay_record *rec)
{
    switch (rec->type) {
    case RELAY_ACCEPTED:
        return on_accepted(k, rec->payload);
    case RELAY_WANT_KEY:
        tell(k, &(struct contender_news){.event = CONTENDER_WANT_KEY});
        break;
    case RELAY_END:
        return on_end_record(k, rec->payload);
    case RELAY_STATE:
    case RELAY_FRAME:
    case RELAY_GAP:
    case RELAY_KEEPALIVE:
    case RELAY_UNKNOWN:
        break;
    }
    return 0;
}

static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct carrier *k = OBJ_CAST(struct carrier, owner, CARRIER_MAGIC);
    size_t used = 0;
    while (k->call == c) {
        struct relay_record rec;
        ssize_t n = relay_record_read(bytes.p + used, bytes.len - used, &rec);
        if (n == 0)
            return (ssize_t)used;
        int err = n < 0 ? (int)n : on_record(k, &rec);
        if (err < 0 && k->call == c)
            lose(k, CLOSE_BAD_INPUT);
        used += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)bytes.len;
}

static void on_head(struct relay_call *c, int status, void *owner)
{
    struct carrier *k = OBJ_CAST(struct carrier, owner, CARRIER_MAGIC);
    k->status = status;
    if (status != 200) {
        lose(k, CLOSE_REFUSED);
        return;
    }
    relay_writer_fini(&k->out);
    relay_writer_init(&k->out, write_out, k);
    timer_set_ms(&k->timer, RELAY_KEEPALIVE_MS);
}

static void on_call_end(enum close_reason why, void *owner)
{
    struct carrier *k = OBJ_CAST(struct carrier, owner, CARRIER_MAGIC);
    k->call = NULL;
    lose(k, why);
}

static void on_writable(struct relay_call *c, void *owner)
{
    struct carrier *k = OBJ_CAST(struct carrier, owner, CARRIER_MAGIC);
    if (k->status == 200)
        flush(k);
}

/* --- finding an origin --- */

static void post_to(struct carrier *k, const struct cluster_node *node)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_call_end, .on_writable = on_writable};
    char target[RELAY_CALL_TARGET_MAX];
    int n = snprintf(target, sizeof target, "/relay/v1/%s/publish?proto=%s&publisher=%s", k->name,
                     k->proto, k->identity);
    must(n > 0 && (size_t)n < sizeof target);
    must(slice_copy(slice_text(node->id), k->origin, sizeof k->origin));
    const struct relay_call_options o = {
        .address = node->address,
        .peer = node->id,
        .method = "POST",
        .target = target,
        .streams_body = true,
        .head_deadline_ms = CARRY_HEAD_MS,
        .idle_ms = CARRY_DEAD_MS,
        .unread_max = RELAY_RECORD_HEADER_SIZE + RELAY_END_TEXT_MAX + 1,
    };
    k->status = 0;
    k->call = relay_call_start(k->worker, k->table->client, &o, &ops, k);
}

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
        post_to(k, node);
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
        lose(k, CLOSE_TIMEOUT);
    else
        keep_alive(k);
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
    relay_writer_init(&k->out, write_out, k);
    backoff_init(&k->backoff, CARRY_STEP_MS, CARRY_WAIT_MS);
    timer_init(&k->timer, w, "carry.timer", on_timer, k);
    task_init(&k->more, on_more, k);
    task_init(&k->reap, on_reap, k);
    k->give_up_us = clock_us() + CARRY_FIRST_MS * 1000;
    list_append(&t->carriers, &k->node);
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
    if (!hub_has_memory(t->hub)) {
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
        frames[i]->seq = run_of(k)->next;
        k->due_bytes += frames[i]->size;
        log_append(k->log, frames[i]);
    }
    if (takes && k->up)
        flush(k);
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
