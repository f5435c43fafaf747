/* What goes between the frames of a flow: states, ends, gaps. */
#include "origin/relay_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

/* NOLINTBEGIN(misc-redundant-expression): that both sides are the same is what is asserted. */
_Static_assert((int)INFORCE_MAX <= (int)RELAY_IN_FORCE_MAX &&
                   (int)LOG_TRACKS_MAX <= (int)RELAY_TRACKS_MAX,
               "a state holds what a log may");
/* NOLINTEND(misc-redundant-expression) */

uint64_t relay_run_instance(const struct relay_server *s, const struct run *run)
{
    return run->origin != NULL ? run->origin->instance : s->o.identity->instance;
}

static bool is_lost(const struct feed *f, const struct run *run)
{
    return f->state == FEED_LOST && run == log_newest(f->log);
}

void relay_told_of(const struct feed *f, const struct run *run, struct relay_told *out)
{
    *out = (struct relay_told){.epoch = run->epoch,
                               .origin = run->origin,
                               .track_count = run->track_count,
                               .lost = is_lost(f, run),
                               .last_seq = run->last_seq,
                               .plan = run->plan};
    for (uint32_t i = 0; i < run->track_count; i++)
        out->codecs = out->codecs * 31 + run->tracks[i].codec;
}

bool relay_told_equal(const struct relay_told *a, const struct relay_told *b)
{
    return a->epoch == b->epoch && a->origin == b->origin && a->track_count == b->track_count &&
           a->codecs == b->codecs && a->lost == b->lost && a->last_seq == b->last_seq &&
           cut_plan_equal(&a->plan, &b->plan);
}

struct slice relay_path_of(const struct relay_server *s, const struct run *run,
                           char room[RELAY_PATH_MAX + 1])
{
    const char *node = s->o.identity->node;
    if (run->origin == NULL)
        return slice_text(node);
    int n = snprintf(room, RELAY_PATH_MAX + 1, "%s,%s", run->origin->path, node);
    return slice_of(room, n > RELAY_PATH_MAX ? RELAY_PATH_MAX : (size_t)n);
}

static void describe_run(const struct feed *f, const struct run *run, struct relay_state *st)
{
    bool empty = run->first == run->next;
    st->version = RELAY_STATE_VERSION;
    st->epoch = run->epoch;
    st->first_seq = run->key_count > 0 ? run->keys[0].seq : 0;
    st->head_seq = empty ? 0 : run->first;
    st->tail_seq = empty ? 0 : run->next - 1;
    st->lost = is_lost(f, run);
    st->last_seq = run->last_seq;
    st->has_date_base = run->wall_us != 0;
    st->date_base_us = run->wall_us;
    relay_plan_put(st, &run->plan);
    for (uint32_t i = 0; i < run->track_count; i++)
        st->tracks[st->track_count++] =
            (struct relay_state_track){.track = relay_track(run->tracks[i].kind, run->tracks[i].id),
                                       .codec = run->tracks[i].codec};
}

int relay_describe(const struct relay_server *s, const struct feed *f, const struct run *run,
                   const struct inforce *inforce, struct buf *out)
{
    char path[RELAY_PATH_MAX + 1];
    struct relay_state *st = xcalloc(1, sizeof *st);
    struct buf payload;
    describe_run(f, run, st);
    st->instance = relay_run_instance(s, run);
    st->path = relay_path_of(s, run, path);
    for (uint32_t i = 0; inforce != NULL && i < inforce->count; i++)
        st->in_force[st->in_force_count++] = relay_record_of(inforce->frames[i]);
    buf_init(&payload, RELAY_PAYLOAD_MAX);
    int err = relay_state_encode(st, &payload);
    if (err == 0) {
        struct relay_record rec = {.type = RELAY_STATE, .payload = buf_slice(&payload)};
        err = relay_record_append(out, &rec);
    }
    buf_fini(&payload);
    free(st);
    return err;
}

void relay_add(struct buf *out, enum relay_type type, struct slice payload)
{
    struct relay_record rec = {.type = type, .payload = payload};
    /* Only a peer that takes nothing for very long fills it; it is found out by other means. */
    (void)relay_record_append(out, &rec);
}

static uint8_t end_reason(enum close_reason why)
{
    switch (why) {
    case CLOSE_FENCED:
    case CLOSE_NAME_TAKEN:
        return RELAY_END_MOVED;
    case CLOSE_DRAIN:
        return RELAY_END_DRAIN;
    case CLOSE_KICKED:
        return RELAY_END_KICKED;
    case CLOSE_PEER_CLOSED:
    case CLOSE_UNPUBLISHED:
    case CLOSE_FINISHED:
    case CLOSE_BAD_INPUT:
    case CLOSE_TOO_SLOW:
    case CLOSE_STALLED:
    case CLOSE_TIMEOUT:
    case CLOSE_IO_ERROR:
    case CLOSE_NO_MEDIA:
    case CLOSE_NOT_FOUND:
    case CLOSE_REFUSED:
    case CLOSE_AUTH:
    case CLOSE_TLS:
    case CLOSE_UNSUPPORTED:
    case CLOSE_SOURCE_LOST:
    case CLOSE_GAP:
    case CLOSE_IDLE:
    case CLOSE_OVERLOAD:
    case CLOSE_NO_ORIGIN:
    case CLOSE_LOOP:
    case CLOSE_INTERNAL:
    case CLOSE_REASON_COUNT:
        break;
    }
    return RELAY_END_STREAM;
}

void relay_add_end(struct buf *out, enum close_reason why)
{
    uint8_t room[1 + 4 + RELAY_END_TEXT_MAX];
    struct wr w = wr_init(room, sizeof room);
    struct relay_end end = {end_reason(why), slice_text(close_reason_name(why))};
    relay_end_write(&w, &end);
    must(!w.overflow);
    relay_add(out, RELAY_END, wr_slice(&w));
}

void relay_add_gap(struct buf *out, uint64_t first_seq)
{
    uint8_t room[16];
    struct wr w = wr_init(room, sizeof room);
    relay_gap_write(&w, first_seq);
    must(!w.overflow);
    relay_add(out, RELAY_GAP, wr_slice(&w));
}
