/*
 * The index of cuts of a run: built from the cuts that its frames carry, never computed.
 */
#include "media/log_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_ROOM_MIN    16
#define FRAME_FALLBACK_US 40000 /* what a last frame lasts where nothing is known */

static struct log_part *part_at(const struct run *r, uint32_t at)
{
    return &r->parts[r->part_first + at];
}

static void drop_first_part(struct run *r)
{
    inforce_unref(&part_at(r, 0)->inforce);
    r->part_first++;
    r->part_count--;
}

/* Room for `count` more at the end. */
static void make_room(struct run *r, uint32_t count)
{
    if (r->part_room - r->part_first - r->part_count >= count)
        return;
    uint32_t needed = r->part_count + count;
    /* A third of it free after moving: what is moved is paid for by half as many insertions. */
    uint32_t room = needed + needed / 2;
    if (room < PARTS_ROOM_MIN)
        room = PARTS_ROOM_MIN;
    struct log_part *parts = xcalloc(room, sizeof *parts);
    if (r->part_count > 0)
        memcpy(parts, part_at(r, 0), r->part_count * sizeof *parts);
    free(r->parts);
    r->parts = parts;
    r->part_first = 0;
    r->part_room = room;
}

static int order(const struct cut *c, uint64_t msn, uint32_t part)
{
    if (c->msn != msn)
        return c->msn < msn ? -1 : 1;
    return (c->part > part) - (c->part < part);
}

/* A peer's numbers may be anything; what does not rise is not indexed. */
static bool may_follow(const struct run *r, const struct log_part *last, const struct cut *c)
{
    return c->msn <= CUT_NUMBER_MAX &&
           (last == NULL || (order(&last->cut, c->msn + r->plan.first_msn, c->part) < 0 &&
                             c->start_us >= last->cut.start_us));
}

/* Cuts of frames count from the run's first segment. */
static void set_part(const struct run *r, struct log_part *p, const struct frame *f,
                     struct inforce *inforce)
{
    *p = (struct log_part){.cut = *f->cut,
                           .seq = f->seq,
                           .first_us = f->dts_us,
                           .first_number = frame_track_number(f)};
    p->cut.msn += r->plan.first_msn;
    p->cut.dsn += r->plan.first_dsn;
    p->inforce = f->cut->part == 0 ? inforce_ref(inforce) : NULL;
}

static void count_in(struct log_part *p, const struct frame *f)
{
    struct log_part_has *has = &p->has;
    p->bytes += f->size;
    if (!frame_is_media(f) || f->track >= LOG_TRACKS_MAX)
        return;
    uint16_t bit = (uint16_t)(1U << f->track);
    bool is_key = f->kind == FRAME_VIDEO && (f->flags & FRAME_KEY) != 0;
    if (is_key && (has->video & bit) == 0)
        has->starts |= bit;
    if (is_key)
        has->keys |= bit;
    if (f->kind == FRAME_VIDEO)
        has->video |= bit;
    else
        has->audio |= bit;
}

static void note_length(struct run *r, int64_t end_us)
{
    for (uint32_t i = r->part_count; i-- > 0;) {
        if (part_at(r, i)->cut.part != 0)
            continue;
        int64_t lasted_us = end_us - part_at(r, i)->cut.start_us;
        if (lasted_us > r->longest_segment_us)
            r->longest_segment_us = lasted_us;
        return;
    }
}

static void add_cut(struct run *r, const struct frame *f, struct inforce *inforce)
{
    if (!may_follow(r, run_newest_part(r), f->cut))
        return;
    if (f->cut->part == 0)
        note_length(r, f->cut->start_us);
    if (r->part_count == LOG_PARTS_MAX)
        drop_first_part(r);
    make_room(r, 1);
    set_part(r, part_at(r, r->part_count++), f, inforce);
}

void log_parts_append(struct run *r, const struct frame *f, struct inforce *inforce)
{
    if (f->cut != NULL)
        add_cut(r, f, inforce);
    if (r->part_count > 0)
        count_in(part_at(r, r->part_count - 1), f);
}

/* The parts that begin in the block, oldest first; how many.  The last one goes on behind the
 * block, up to what is indexed. */
static uint32_t collect(const struct run *r, struct inforce *inforce, size_t count,
                        struct log_part *out, uint32_t room)
{
    const struct log_part *next = run_first_part(r);
    struct inforce *held = inforce_ref(inforce);
    uint32_t n = 0;
    uint64_t end = next != NULL ? next->seq : r->next;
    for (uint64_t seq = r->first; seq < end; seq++) {
        struct frame *f = run_frame(r, seq);
        bool fits =
            f->cut != NULL && seq < r->first + count && n < room &&
            may_follow(r, n > 0 ? &out[n - 1] : NULL, f->cut) &&
            (next == NULL || order(&next->cut, f->cut->msn + r->plan.first_msn, f->cut->part) > 0);
        if (fits)
            set_part(r, &out[n++], f, held);
        if (n > 0)
            count_in(&out[n - 1], f);
        held = log_inforce_after(held, f);
    }
    inforce_unref(&held);
    return n;
}

static void note_lengths(struct run *r)
{
    const struct log_part *p = run_first_part(r), *next;
    for (; p != NULL; p = next) {
        next = run_next_segment(r, p);
        int64_t lasted_us = next != NULL ? next->cut.start_us - p->cut.start_us : 0;
        if (p->cut.part == 0 && lasted_us > r->longest_segment_us)
            r->longest_segment_us = lasted_us;
    }
}

void log_parts_prepend(struct run *r, struct inforce *inforce, size_t count)
{
    uint32_t room = 0;
    for (uint64_t seq = r->first; seq < r->first + count; seq++)
        room += run_frame(r, seq)->cut != NULL;
    if (room > LOG_PARTS_MAX - r->part_count)
        room = LOG_PARTS_MAX - r->part_count;
    if (room == 0)
        return;
    struct log_part *older = xcalloc(room, sizeof *older);
    uint32_t n = collect(r, inforce, count, older, room);
    make_room(r, n);
    if (n > 0 && r->part_count > 0)
        memmove(part_at(r, n), part_at(r, 0), r->part_count * sizeof *older);
    if (n > 0)
        memcpy(part_at(r, 0), older, n * sizeof *older);
    r->part_count += n;
    free(older);
    note_lengths(r);
}

void log_parts_trim(struct run *r)
{
    const struct log_part *newest = run_newest_part(r), *p;
    while ((p = run_first_part(r)) != NULL && p->seq < r->first &&
           p->cut.msn + log_kept_segments(&r->plan) < newest->cut.msn)
        drop_first_part(r);
}

void log_parts_clear(struct run *r)
{
    while (r->part_count > 0)
        drop_first_part(r);
    free(r->parts);
    r->parts = NULL;
    r->part_first = r->part_room = 0;
    r->longest_segment_us = 0;
}

void log_parts_renumber(struct run *r, uint64_t msn, uint64_t dsn)
{
    for (uint32_t i = 0; i < r->part_count; i++) {
        part_at(r, i)->cut.msn += msn;
        part_at(r, i)->cut.dsn += dsn;
    }
}

int64_t log_parts_window_us(const struct run *r)
{
    int64_t segment_us = (int64_t)r->plan.segment_ms * 1000;
    if (segment_us < r->longest_segment_us)
        segment_us = r->longest_segment_us;
    int64_t kept = (int64_t)log_kept_segments(&r->plan);
    return segment_us < INT64_MAX / kept ? segment_us * kept : INT64_MAX;
}

/* --- looking --- */

const struct log_part *run_first_part(const struct run *r)
{
    return r->part_count > 0 ? part_at(r, 0) : NULL;
}

const struct log_part *run_newest_part(const struct run *r)
{
    return r->part_count > 0 ? part_at(r, r->part_count - 1) : NULL;
}

const struct log_part *run_next_part(const struct run *r, const struct log_part *p)
{
    return p == run_newest_part(r) ? NULL : p + 1;
}

/* The first one that is not before (msn, part), or NULL. */
static const struct log_part *part_from(const struct run *r, uint64_t msn, uint32_t part)
{
    uint32_t low = 0, high = r->part_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (order(&part_at(r, mid)->cut, msn, part) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->part_count ? part_at(r, low) : NULL;
}

const struct log_part *run_part(const struct run *r, uint64_t msn, uint32_t part)
{
    const struct log_part *p = part_from(r, msn, part);
    return p != NULL && order(&p->cut, msn, part) == 0 ? p : NULL;
}

const struct log_part *run_part_from_seq(const struct run *r, uint64_t seq)
{
    uint32_t low = 0, high = r->part_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (part_at(r, mid)->seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->part_count ? part_at(r, low) : NULL;
}

const struct inforce *run_part_inforce(const struct run *r, const struct log_part *p)
{
    const struct log_part *first = run_part(r, p->cut.msn, 0);
    return first != NULL ? first->inforce : NULL;
}

const struct log_part *run_next_segment(const struct run *r, const struct log_part *p)
{
    return part_from(r, p->cut.msn + 1, 0);
}

static const struct frame *last_of(const struct run *r, uint64_t to, uint64_t from, uint16_t track)
{
    for (uint64_t seq = to; seq-- > from && seq >= r->first;) {
        const struct frame *f = run_frame(r, seq);
        if (frame_is_media(f) && frame_track_number(f) == track)
            return f;
    }
    return NULL;
}

/* Where the open part ends by now: its last frame lasts as long as the one before it. */
static int64_t open_end_us(const struct run *r, const struct log_part *p)
{
    const struct frame *last = last_of(r, r->next, p->seq, p->cut.clock);
    if (last == NULL)
        return p->cut.start_us;
    const struct frame *before = last_of(r, last->seq, r->first, p->cut.clock);
    int64_t lasts_us = before != NULL ? last->dts_us - before->dts_us : 0;
    int64_t end_us = last->dts_us + (lasts_us > 0 ? lasts_us : FRAME_FALLBACK_US);
    return end_us > p->cut.start_us ? end_us : p->cut.start_us;
}

static struct log_extent extent(const struct run *r, const struct log_part *p,
                                const struct log_part *end)
{
    struct log_extent e = {.from = p->seq, .to = end != NULL ? end->seq : r->next};
    const struct log_part *newest = run_newest_part(r);
    int64_t end_us = end != NULL ? end->cut.start_us : open_end_us(r, newest);
    e.duration_us = end_us - p->cut.start_us;
    e.complete = end != NULL || run_is_whole(r);
    e.held = e.from >= r->first;
    for (; p != NULL && p != end; p = run_next_part(r, p))
        e.bytes += p->bytes;
    return e;
}

struct log_extent run_part_extent(const struct run *r, const struct log_part *p)
{
    return extent(r, p, run_next_part(r, p));
}

struct log_extent run_segment_extent(const struct run *r, const struct log_part *p)
{
    must(p->cut.part == 0);
    return extent(r, p, run_next_segment(r, p));
}

uint64_t run_oldest_listed_msn(const struct run *r, uint64_t head_msn)
{
    uint64_t window = r->plan.window_segments;
    uint64_t oldest = head_msn > window ? head_msn - window : 0;
    return oldest > r->plan.base_msn ? oldest : r->plan.base_msn;
}

const struct run *log_previous(const struct log *l, const struct run *r)
{
    if (r->plan.previous_epoch == 0)
        return NULL;
    const struct run *before = log_find(l, r->plan.previous_epoch);
    bool whole = before != NULL && before->next == r->plan.previous_last_seq + 1;
    return whole && before->epoch < r->epoch ? before : NULL;
}
