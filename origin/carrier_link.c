/*
 * The post of one publisher to one origin: frames out of the log as relay records, and what the
 * origin answers.
 */
#include "origin/carrier_internal.h"

#include "base/err.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "origin/relay_internal.h"

#include <inttypes.h>
#include <stdio.h>

void carrier_drop_call(struct carrier *k)
{
    relay_call_cancel(&k->call);
    task_cancel(&k->more);
    k->up = false;
    k->status = 0;
    inforce_unref(&k->preface);
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

void carrier_flush(struct carrier *k)
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
        carrier_set_full(k, unsent > CARRY_UNSENT_MAX);
}

static void on_more(void *arg)
{
    carrier_flush(OBJ_CAST(struct carrier, arg, CARRIER_MAGIC));
}

void carrier_keep_alive(struct carrier *k)
{
    int64_t left_ms = RELAY_KEEPALIVE_MS - (clock_us() - k->out.last_write_us) / 1000;
    timer_set_ms(&k->timer, left_ms > 0 ? left_ms : RELAY_KEEPALIVE_MS);
    if (left_ms > 0)
        return;
    if (relay_writer_is_between(&k->out) && buf_len(&k->out.control) == 0)
        relay_add(&k->out.control, RELAY_KEEPALIVE, slice_of(NULL, 0));
    carrier_flush(k);
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
        carrier_tell(k, &(struct contender_news){.event = CONTENDER_ACCEPTED, .epoch = epoch});
    } else {
        METRIC_INC(k->worker->metrics.carry_reconnects_total);
        carrier_tell(k, &(struct contender_news){.event = CONTENDER_WANT_KEY});
    }
    place_writer(k);
    carrier_flush(k);
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
        carrier_lose(k, why);
        return 0;
    }
    log_info(&k->log_id, "carry.end stream=%s node=%s reason=%s", k->name, k->origin,
             close_reason_name(why));
    carrier_give_up(k, why);
    return 0;
}

static int on_record(struct carrier *k, const struct relay_record *rec)
{
    switch (rec->type) {
    case RELAY_ACCEPTED:
        return on_accepted(k, rec->payload);
    case RELAY_WANT_KEY:
        carrier_tell(k, &(struct contender_news){.event = CONTENDER_WANT_KEY});
        break;
    case RELAY_END:
        return on_end_record(k, rec->payload);
    case RELAY_STATE:
    case RELAY_FRAME:
    case RELAY_GAP:
    case RELAY_KEEPALIVE:
    case RELAY_CUT:
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
            carrier_lose(k, CLOSE_BAD_INPUT);
        used += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)bytes.len;
}

static void on_head(struct relay_call *c, int status, void *owner)
{
    struct carrier *k = OBJ_CAST(struct carrier, owner, CARRIER_MAGIC);
    k->status = status;
    if (status != 200) {
        carrier_lose(k, CLOSE_REFUSED);
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
    carrier_lose(k, why);
}

static void on_writable(struct relay_call *c, void *owner)
{
    struct carrier *k = OBJ_CAST(struct carrier, owner, CARRIER_MAGIC);
    if (k->status == 200)
        carrier_flush(k);
}

/* --- the call --- */

void carrier_post(struct carrier *k, const struct cluster_node *node)
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

void carrier_link_init(struct carrier *k)
{
    relay_writer_init(&k->out, write_out, k);
    task_init(&k->more, on_more, k);
}

void carrier_link_fini(struct carrier *k)
{
    carrier_drop_call(k);
    relay_writer_fini(&k->out);
}
