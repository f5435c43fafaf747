/*
 * frames of a part ──by track──▶ runs of samples ──fmp4──▶ head, payloads
 *
 * Times are the frames' own, on the run's line.  A sample lasts until the next one of its track;
 * the last of a part until the next part's first one when both are of the clock track, else as long
 * as the codec says or as the one before it, which the next part's decoding time puts right.
 */
#include "edge/hls_unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/fmp4.h"

#include <stdlib.h>

/* Published times are whole milliseconds: sound that is not further off than that goes on evenly.
 */
#define JITTER_US 1500

struct builder {
    const struct run *run;
    const struct hls_track *tracks[LOG_TRACKS_MAX];
    size_t track_count;
    struct hls_unit *unit;
    size_t iov_room;
    struct fmp4_sample *samples; /* of one part, all tracks */
    size_t sample_room;
};

static int64_t ticks(int64_t us, uint32_t timescale)
{
    __int128 v = (__int128)us * timescale;
    return (int64_t)((v + (v < 0 ? -500000 : 500000)) / 1000000);
}

/* Frames [from, to) of a run. */
struct span {
    uint64_t from, to;
    int64_t end_us;
    int32_t next; /* track of the frame at end_us; -1: none is there */
};

/* The next media frame of the track at or after seq, or NULL. */
static const struct frame *next_frame(const struct builder *b, const struct span *at, uint64_t seq,
                                      uint16_t number)
{
    for (; seq < at->to; seq++) {
        const struct frame *f = run_frame(b->run, seq);
        if (frame_is_media(f) && frame_track_number(f) == number)
            return f;
    }
    return NULL;
}

/* Until the next sample, by the times of both. */
static int64_t length_between(const struct hls_track *t, const struct frame *f, int64_t next_us)
{
    int64_t n = ticks(next_us, t->info.timescale) - ticks(f->dts_us, t->info.timescale);
    return n > 0 ? n : 0;
}

static uint32_t sample_length(const struct hls_track *t, const struct span *at,
                              const struct frame *f, const struct frame *next, uint32_t previous)
{
    uint32_t even = t->info.kind == FLV_AUDIO ? codec_frame_samples(&t->info, frame_coded(f)) : 0;
    int64_t next_us = next != NULL ? next->dts_us : at->end_us;
    bool is_known = next != NULL || t->number == at->next;
    if (!is_known && (even > 0 || previous > 0))
        return even > 0 ? even : previous;
    int64_t length = length_between(t, f, next_us);
    int64_t off_us =
        even > 0 ? f->dts_us + (int64_t)even * 1000000 / t->info.timescale - next_us : 0;
    if (even > 0 && off_us <= JITTER_US && off_us >= -JITTER_US)
        return even;
    return length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
}

static void add_iov(struct builder *b, struct slice bytes)
{
    struct hls_unit *u = b->unit;
    if (bytes.len == 0)
        return;
    must((size_t)u->iov_count < b->iov_room);
    u->iov[u->iov_count++] = (struct iovec){(void *)(uintptr_t)bytes.p, bytes.len};
    u->len += bytes.len;
}

/* The samples of one track; how many. */
static uint32_t collect(const struct builder *b, const struct hls_track *t, const struct span *at,
                        struct fmp4_sample *out, struct fmp4_run *run)
{
    const struct frame *f = next_frame(b, at, at->from, t->number);
    uint32_t n = 0;
    *run = (struct fmp4_run){.track_id = fmp4_track_id(t->info.kind, (uint8_t)t->number),
                             .audio = t->info.kind == FLV_AUDIO,
                             .samples = out};
    if (f != NULL)
        run->decode_time = (uint64_t)ticks(f->dts_us > 0 ? f->dts_us : 0, t->info.timescale);
    while (f != NULL) {
        const struct frame *next = next_frame(b, at, f->seq + 1, t->number);
        out[n] = (struct fmp4_sample){
            .payload = frame_coded(f),
            .duration = sample_length(t, at, f, next, n > 0 ? out[n - 1].duration : 0),
            .cts = (int32_t)ticks(f->cts_us, t->info.timescale),
            .sync = t->info.kind == FLV_AUDIO || (f->flags & FRAME_KEY) != 0};
        n++;
        f = next;
    }
    run->count = n;
    return n;
}

/* One part: 0, or negative when it is too large. */
static int add_part(struct builder *b, const struct log_part *part, struct buf *heads)
{
    const struct log_extent e = run_part_extent(b->run, part);
    const struct log_part *next = run_next_part(b->run, part);
    struct span at = {e.from, e.to, part->cut.start_us + e.duration_us, -1};
    if (next != NULL && next->first_number == part->cut.clock) {
        at.end_us = next->first_us;
        at.next = part->cut.clock;
    } else if (next == NULL) {
        at.next = part->cut.clock;
    }
    struct fmp4_run runs[LOG_TRACKS_MAX];
    struct fmp4_part p = {fmp4_sequence(part->cut.msn, part->cut.part), runs, 0};
    size_t n = 0, head_len, payload_len;
    for (size_t i = 0; i < b->track_count; i++) {
        uint32_t added = collect(b, b->tracks[i], &at, b->samples + n, &runs[p.count]);
        n += added;
        p.count += added > 0 ? 1 : 0;
    }
    int err = fmp4_part_size(&p, &head_len, &payload_len);
    uint8_t *head = err == 0 ? buf_reserve(heads, head_len) : NULL;
    if (head == NULL)
        return err < 0 ? err : ERR_TOO_LARGE;
    struct wr w = wr_init(head, head_len);
    fmp4_part_head(&p, &w);
    must(!w.overflow && wr_len(&w) == head_len);
    buf_commit(heads, head_len);
    /* Heads move while they grow: an offset stands for each, until all are there. */
    b->unit->iov[b->unit->iov_count++] = (struct iovec){NULL, head_len};
    b->unit->len += head_len;
    for (int i = 0; i < p.count; i++)
        for (uint32_t k = 0; k < runs[i].count; k++)
            add_iov(b, runs[i].samples[k].payload);
    return 0;
}

static void place_heads(struct hls_unit *u, struct buf *heads)
{
    struct slice all = buf_slice(heads);
    size_t at = 0;
    u->heads = xmalloc(all.len + 1);
    if (all.p != NULL)
        memcpy(u->heads, all.p, all.len);
    for (int i = 0; i < u->iov_count; i++) {
        if (u->iov[i].iov_base != NULL)
            continue;
        u->iov[i].iov_base = u->heads + at;
        at += u->iov[i].iov_len;
    }
}

static void hold_frames(struct builder *b, uint64_t from, uint64_t to)
{
    struct hls_unit *u = b->unit;
    size_t n = (size_t)(to - from);
    u->frames = xcalloc(n, sizeof(struct frame *));
    for (uint64_t seq = from; seq < to; seq++)
        u->frames[u->frame_count++] = frame_ref(run_frame(b->run, seq));
    b->samples = xcalloc(n, sizeof b->samples[0]);
    b->sample_room = n;
}

#define HEADS_MAX (16 * 1024 * 1024) /* bytes of all heads of a segment */

struct hls_unit *hls_unit_new(const struct run *r, const struct log_part *first, uint32_t parts,
                              const struct hls_tracks *t, struct hls_rendition rendition)
{
    struct builder b = {.run = r};
    uint64_t end = run_part_extent(r, first + parts - 1).to;
    b.track_count = hls_tracks_of(t, rendition, b.tracks);
    if (b.track_count == 0)
        return NULL;
    struct hls_unit *u = b.unit = xcalloc(1, sizeof *u);
    struct buf heads;
    buf_init(&heads, HEADS_MAX);
    u->refs = 1;
    hold_frames(&b, first->seq, end);
    b.iov_room = (size_t)(end - first->seq) + parts;
    u->iov = xcalloc(b.iov_room, sizeof u->iov[0]);
    int err = 0;
    for (uint32_t i = 0; i < parts && err == 0; i++)
        err = add_part(&b, first + i, &heads);
    place_heads(u, &heads);
    buf_fini(&heads);
    free(b.samples);
    if (err < 0)
        hls_unit_unref(&u);
    return u;
}

struct hls_unit *hls_unit_ref(struct hls_unit *u)
{
    u->refs++;
    return u;
}

void hls_unit_unref(struct hls_unit **up)
{
    struct hls_unit *u = *up;
    *up = NULL;
    if (u == NULL || --u->refs > 0)
        return;
    for (size_t i = 0; i < u->frame_count; i++)
        frame_unref(&u->frames[i]);
    free(u->frames);
    free(u->heads);
    free(u->iov);
    free(u);
}
