#include "relay/past.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "media/log.h"
#include "media/relay_frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAST_MAGIC    0x70617374U
#define PAST_ROOM_MIN 64

struct past {
    uint32_t magic;
    struct relay_call *call;
    past_done *done;
    void *arg;
    struct past_block block;
    size_t room, bytes, bytes_max;
    uint64_t to, before;
    struct relay_cut_ahead cut;
    bool has_state, complete;
};

static void drop_frames(struct past_block *b)
{
    for (size_t i = 0; i < b->count; i++)
        frame_unref(&b->frames[i]);
    b->count = 0;
}

struct log_older past_block_older(const struct past_block *b)
{
    return (struct log_older){.epoch = b->epoch,
                              .wall_us = b->wall_us,
                              .plan = b->plan,
                              .origin = b->origin,
                              .inforce = b->inforce,
                              .frames = b->frames,
                              .count = b->count};
}

void past_block_take(struct past_block *out, struct past_block *from)
{
    *out = *from;
    *from = (struct past_block){.epoch = from->epoch};
}

void past_block_fini(struct past_block *b)
{
    drop_frames(b);
    free(b->frames);
    b->frames = NULL;
    inforce_unref(&b->inforce);
    run_origin_unref(&b->origin);
}

static void past_free(struct past *p)
{
    relay_call_cancel(&p->call);
    past_block_fini(&p->block);
    OBJ_POISON(p);
    free(p);
}

static void on_end(enum close_reason why, void *owner)
{
    struct past *p = OBJ_CAST(struct past, owner, PAST_MAGIC);
    p->call = NULL;
    if (!p->complete)
        drop_frames(&p->block);
    p->done(&p->block, p->arg);
    past_free(p);
}

static int take_run(struct past_block *b, const struct relay_state *s)
{
    b->origin = run_origin_new(s->instance, s->path);
    b->plan = relay_plan_of(s);
    b->wall_us = s->has_date_base ? s->date_base_us : 0;
    return relay_inforce_new(s, &b->inforce);
}

/* Which run it is, if that was not asked for. */
static int take_place(struct past *p, const struct relay_state *s)
{
    if (p->before == 0)
        return s->epoch == p->block.epoch ? 0 : ERR_RANGE;
    if (p->has_state && s->epoch != p->block.epoch)
        return ERR_RANGE;
    p->block.epoch = s->epoch;
    p->to = s->last_seq;
    return s->epoch < p->before && p->to != 0 ? 0 : ERR_RANGE;
}

static int take_state(struct past *p, struct slice payload)
{
    struct relay_state *s = xcalloc(1, sizeof *s);
    int err = relay_state_decode(payload, s);
    if (err == 0)
        err = take_place(p, s);
    if (err == 0 && !p->has_state)
        err = take_run(&p->block, s);
    p->has_state = true;
    free(s);
    return err;
}

static int take_frame(struct past *p, const struct relay_record *rec)
{
    struct past_block *b = &p->block;
    struct frame *f;
    if (!p->has_state || rec->seq > p->to || b->count == LOG_FRAMES_MAX ||
        (b->count > 0 && rec->seq != b->frames[b->count - 1]->seq + 1))
        return ERR_PROTOCOL;
    p->bytes += sizeof *f + rec->payload.len;
    if (p->bytes > p->bytes_max)
        return ERR_TOO_LARGE;
    int err = relay_frame_new(NULL, rec, &f);
    if (err < 0)
        return err;
    relay_cut_give(&p->cut, f);
    if (b->count == p->room) {
        p->room = p->room > 0 ? p->room * 2 : PAST_ROOM_MIN;
        b->frames = xrealloc(b->frames, p->room * sizeof b->frames[0]);
    }
    b->frames[b->count++] = f;
    p->complete = f->seq == p->to;
    return 0;
}

static int take_record(struct past *p, const struct relay_record *rec)
{
    switch (rec->type) {
    case RELAY_STATE:
        return take_state(p, rec->payload);
    case RELAY_FRAME:
        return take_frame(p, rec);
    case RELAY_CUT:
        return relay_cut_take(&p->cut, rec);
    case RELAY_GAP:
        return ERR_RANGE;
    case RELAY_ACCEPTED:
    case RELAY_WANT_KEY:
    case RELAY_UNKNOWN:
    case RELAY_KEEPALIVE:
    case RELAY_END:
        break;
    }
    return 0;
}

static void on_head(struct relay_call *c, int status, void *owner)
{
    struct past *p = OBJ_CAST(struct past, owner, PAST_MAGIC);
    p->complete = false;
    if (status == 200)
        return;
    relay_call_cancel(&p->call);
    on_end(CLOSE_NOT_FOUND, p);
}

static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct past *p = OBJ_CAST(struct past, owner, PAST_MAGIC);
    size_t used = 0;
    for (;;) {
        struct relay_record rec;
        ssize_t n = relay_record_read(bytes.p + used, bytes.len - used, &rec);
        if (n == 0)
            return (ssize_t)used;
        int err = n < 0 ? (int)n : take_record(p, &rec);
        if (err < 0) {
            p->complete = false;
            return err; /* ends the call, and so this */
        }
        used += (size_t)n;
    }
}

struct past *past_start(struct worker *w, const struct past_options *o, past_done *done, void *arg)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    char target[RELAY_CALL_TARGET_MAX];
    int n = o->before != 0 ? snprintf(target, sizeof target, "/relay/v1/%s?before=%" PRIu64,
                                      o->name, o->before)
                           : snprintf(target, sizeof target,
                                      "/relay/v1/%s?epoch=%" PRIu64 "&from=%" PRIu64 "&to=%" PRIu64,
                                      o->name, o->epoch, o->from > 0 ? o->from : 1, o->to);
    must(n > 0 && (size_t)n < sizeof target);
    const struct relay_call_options call = {
        .address = o->address,
        .peer = o->node,
        .method = "GET",
        .target = target,
        .head_deadline_ms = PAST_HEAD_MS,
        .idle_ms = PAST_IDLE_MS,
        .unread_max = RELAY_RECORD_MAX,
    };
    struct past *p = xcalloc(1, sizeof *p);
    p->magic = PAST_MAGIC;
    p->done = done;
    p->arg = arg;
    p->block.epoch = o->epoch;
    p->to = o->to;
    p->before = o->before;
    p->bytes_max = o->bytes_max;
    p->call = relay_call_start(w, o->client, &call, &ops, p);
    return p;
}

void past_cancel(struct past **pp)
{
    struct past *p = *pp;
    *pp = NULL;
    if (p != NULL)
        past_free(OBJ_CAST(struct past, p, PAST_MAGIC));
}
