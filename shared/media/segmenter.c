#include "media/segmenter_internal.h"

#include "media/sample.h"
#include "proto/m3u8.h"

#include <string.h>

#define US_PER_MS         1000
#define US_PER_S          1000000
#define KEY_EARLY_PERCENT 95     /* of segment_ms, at which a key frame is taken */
#define STRETCH           2      /* segment_ms that a segment without key frames lasts */
#define ROUNDED_UP_US     500000 /* EXTINF counts as a whole second more from here */
#define OVERDUE_US        400000 /* beyond TARGETDURATION the clock has to be another track */
#define PEAK_PERCENT      120    /* of the average, where nothing is known of the peak */

void segmenter_init(struct segmenter *s, const struct segmenter_options *o)
{
    *s = (struct segmenter){.o = *o};
}

void segmenter_fini(struct segmenter *s)
{
    for (uint32_t i = 0; i < s->track_count; i++)
        frame_unref(&s->tracks[i].config);
    s->track_count = 0;
}

uint64_t segmenter_next_msn(const struct segmenter *s)
{
    return s->open ? s->now.msn + 1 : s->o.msn;
}

uint64_t segmenter_next_dsn(const struct segmenter *s)
{
    return s->open ? s->now.dsn + 1 : s->o.dsn;
}

/* --- tracks --- */

static struct segmenter_track *find_track(struct segmenter *s, uint16_t number)
{
    for (uint32_t i = 0; i < s->track_count; i++)
        if (s->tracks[i].number == number)
            return &s->tracks[i];
    return NULL;
}

static struct segmenter_track *track_of(struct segmenter *s, const struct frame *f)
{
    struct segmenter_track *t = find_track(s, frame_track_number(f));
    if (t != NULL || s->track_count == CUT_TRACKS_MAX)
        return t;
    t = &s->tracks[s->track_count++];
    *t = (struct segmenter_track){.number = frame_track_number(f)};
    return t;
}

static bool is_video(const struct segmenter_track *t)
{
    return t->number >> 8 == FRAME_VIDEO;
}

/* Every frame of sound is one to begin with. */
static bool is_key(const struct frame *f)
{
    return f->kind == FRAME_AUDIO || (f->flags & FRAME_KEY) != 0;
}

static void take_config(struct segmenter_track *t, struct frame *f)
{
    struct codec_info info;
    if (t->config != NULL && slice_eq(frame_payload(t->config), frame_payload(f)))
        return;
    frame_unref(&t->config);
    t->config = frame_ref(f);
    t->changed = t->listed;
    t->ready = frame_codec_info(&info, f, NULL, NULL) == 0;
}

/* Some codecs need no configuration, or tell the rest of it in their frames. */
static void look_ready(struct segmenter_track *t, const struct frame *f)
{
    struct codec_info info;
    if (!t->ready && is_key(f))
        t->ready = frame_codec_info(&info, t->config, NULL, f) == 0;
}

static void note_time(struct segmenter_track *t, int64_t dts_us)
{
    if (!t->started || dts_us > t->newest_us)
        t->newest_us = dts_us;
    t->started = true;
}

/* --- the clock --- */

static void set_clock(struct segmenter *s, uint16_t number, int64_t newest_us)
{
    if (s->open && s->now.clock == number)
        return;
    s->now.clock = number;
    segmenter_parts_clock(s, newest_us);
}

/* The first choice of a segment's clock: a number below all others, as tracks are in order. */
static const struct segmenter_track *first_choice(const struct segmenter *s)
{
    const struct segmenter_track *best = NULL;
    for (uint32_t i = 0; i < s->track_count; i++) {
        const struct segmenter_track *t = &s->tracks[i];
        bool better = best == NULL || (is_video(t) && t->number == 0) ||
                      (t->number == (FRAME_AUDIO << 8) && best->number != 0);
        if (t->listed && better)
            best = t;
    }
    return best;
}

static bool is_silent(const struct segmenter_track *t, int64_t dts_us)
{
    return !t->started || dts_us - t->newest_us >= SEGMENTER_SILENT_US;
}

static void choose_clock(struct segmenter *s, const struct segmenter_track *t, int64_t dts_us)
{
    const struct segmenter_track *best = first_choice(s);
    if (best == NULL || (best != t && is_silent(best, dts_us)))
        best = t;
    set_clock(s, best->number, best == t ? dts_us : best->newest_us);
}

static int64_t target_us(const struct segmenter *s)
{
    return (int64_t)m3u8_target_s(s->o.segment_ms) * US_PER_S;
}

/* The clock does not go on, while t does. */
static void stand_in(struct segmenter *s, const struct segmenter_track *t, int64_t dts_us)
{
    const struct segmenter_track *clock = find_track(s, s->now.clock);
    int64_t place_us = segmenter_place_us(t, dts_us);
    int64_t at_us = place_us < dts_us ? place_us : dts_us;
    bool overdue = at_us - s->segment_us >= target_us(s) + OVERDUE_US;
    if (overdue || is_silent(clock, at_us))
        set_clock(s, t->number, dts_us);
}

/* --- opening --- */

static void begin_unit(struct segmenter *s, struct frame *f, int64_t start_us)
{
    struct cut *now = &s->now;
    if (start_us > now->start_us)
        now->start_us = start_us;
    now->wall_us = s->o.wall_us + now->start_us;
    now->independent =
        f->kind == FRAME_VIDEO ? (f->flags & FRAME_KEY) != 0 : now->tracks[0] >> 8 != FRAME_VIDEO;
    struct cut cut = *now;
    if (cut.part > 0) {
        cut.track_count = 0;
        memset(cut.tracks, 0, sizeof cut.tracks);
    }
    frame_set_cut(f, &cut);
}

static void list_tracks(struct segmenter *s)
{
    struct cut *now = &s->now;
    now->track_count = 0;
    memset(now->tracks, 0, sizeof now->tracks);
    for (uint32_t i = 0; i < s->track_count; i++) {
        struct segmenter_track *t = &s->tracks[i];
        t->changed = false;
        if (!t->listed)
            continue;
        uint8_t at = now->track_count++;
        for (; at > 0 && now->tracks[at - 1] > t->number; at--)
            now->tracks[at] = now->tracks[at - 1];
        now->tracks[at] = t->number;
    }
}

static bool drop_unready(struct segmenter *s)
{
    bool dropped = false;
    for (uint32_t i = 0; i < s->track_count; i++) {
        struct segmenter_track *t = &s->tracks[i];
        dropped = dropped || (t->listed && !t->ready);
        t->listed = t->listed && t->ready;
    }
    return dropped;
}

static bool any_changed(const struct segmenter *s)
{
    for (uint32_t i = 0; i < s->track_count; i++)
        if (s->tracks[i].changed)
            return true;
    return false;
}

static uint32_t per_second(uint64_t n, int64_t duration_us)
{
    uint64_t rate = n * US_PER_S / (uint64_t)duration_us;
    return rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
}

/* What the first segment was like. */
static void measure(struct segmenter *s, int64_t end_us)
{
    struct segmenter_declared *d = &s->declared;
    int64_t duration_us = end_us > s->segment_us ? end_us - s->segment_us : 1;
    uint64_t bps = 0;
    for (uint32_t i = 0; i < s->track_count; i++) {
        const struct segmenter_track *t = &s->tracks[i];
        struct cut_rate *rate = &d->rates[d->rate_count];
        if (t->first_frames == 0)
            continue;
        rate->track = t->number;
        rate->bps = per_second(t->first_bytes * 8, duration_us);
        rate->frame_rate_milli = is_video(t) ? per_second(t->first_frames * 1000, duration_us) : 0;
        bps += rate->bps;
        d->rate_count++;
        if (d->frame_rate_milli == 0 && t->number == 0)
            d->frame_rate_milli = rate->frame_rate_milli;
    }
    if (!d->known) {
        d->average_bps = bps;
        d->peak_bps = bps * PEAK_PERCENT / 100;
    }
    d->known = true;
}

static void declare(struct segmenter *s)
{
    const struct segmenter_metadata *m = &s->metadata;
    if (m->bps == 0)
        return;
    s->declared = (struct segmenter_declared){.known = true,
                                              .average_bps = m->bps,
                                              .peak_bps = m->bps * PEAK_PERCENT / 100,
                                              .frame_rate_milli = m->frame_rate_milli};
}

static void open_segment(struct segmenter *s, const struct segmenter_track *t, struct frame *f,
                         int64_t start_us)
{
    bool renewed = drop_unready(s) || any_changed(s);
    if (s->open && s->declared.rate_count == 0)
        measure(s, f->dts_us);
    if (s->open)
        segmenter_settle(s);
    list_tracks(s);
    s->now.part = 0;
    if (!s->open) {
        declare(s);
        s->now.msn = s->o.msn;
        s->now.dsn = s->o.dsn;
        s->now.init = 1;
        s->now.start_us = f->dts_us;
    } else {
        s->now.msn++;
        s->now.dsn += renewed || s->step_pending ? 1 : 0;
        s->now.init += renewed ? 1 : 0;
    }
    s->step_pending = false;
    choose_clock(s, t, f->dts_us);
    s->open = true;
    begin_unit(s, f, start_us);
    s->segment_us = s->now.start_us;
}

/* --- the first segment --- */

static bool is_announced_ready(struct segmenter *s)
{
    static const uint16_t usual[] = {FRAME_VIDEO << 8, FRAME_AUDIO << 8};
    const struct segmenter_metadata *m = &s->metadata;
    const uint16_t *numbers = m->seen ? m->tracks : usual;
    uint32_t count = m->seen ? m->track_count : 2;
    for (uint32_t i = 0; i < count; i++) {
        const struct segmenter_track *t = find_track(s, numbers[i]);
        if (t == NULL || !t->ready)
            return false;
    }
    return count > 0;
}

static bool may_open(struct segmenter *s, const struct segmenter_track *t, const struct frame *f)
{
    const struct segmenter_track *video = find_track(s, FRAME_VIDEO << 8);
    int64_t waited_us = f->dts_us - s->began_us;
    int64_t patience_us = SEGMENTER_OPEN_US + (int64_t)STRETCH * s->o.segment_ms * US_PER_MS;
    if (waited_us < SEGMENTER_OPEN_US && !is_announced_ready(s))
        return false;
    if (video != NULL && video->ready && waited_us < patience_us)
        return t == video && is_key(f);
    return is_key(f) || waited_us >= patience_us;
}

static void open_first(struct segmenter *s, const struct segmenter_track *t, struct frame *f)
{
    if (!may_open(s, t, f))
        return;
    for (uint32_t i = 0; i < s->track_count; i++)
        s->tracks[i].listed = s->tracks[i].ready;
    open_segment(s, t, f, f->dts_us);
}

/* --- the limits --- */

/* What cannot be told in the open segment.  New video waits for its key frame. */
static bool must_cut(struct segmenter *s, struct segmenter_track *t, const struct frame *f)
{
    if (t->listed)
        return t->changed || s->step_pending;
    if (!is_key(f))
        return false;
    t->listed = t->changed = true;
    return true;
}

/* Sound may be ahead of the clock, which goes on where it is. */
static int64_t forced_start_us(const struct segmenter *s, const struct segmenter_track *t,
                               const struct frame *f)
{
    int64_t next_us = s->clock_newest_us + s->clock_distance_us;
    return t->number != s->now.clock && f->dts_us > next_us ? next_us : f->dts_us;
}

static bool segment_ends(const struct segmenter *s, const struct frame *f)
{
    int64_t segment_us = (int64_t)s->o.segment_ms * US_PER_MS;
    int64_t lasted_us = f->dts_us - s->segment_us;
    if (is_key(f) && lasted_us >= segment_us * KEY_EARLY_PERCENT / 100)
        return true;
    return lasted_us >= STRETCH * segment_us ||
           (lasted_us > 0 && lasted_us + s->clock_distance_us >= target_us(s) + ROUNDED_UP_US);
}

static void cut_by_limits(struct segmenter *s, struct segmenter_track *t, struct frame *f)
{
    int64_t start_us;
    if (t->number != s->now.clock)
        stand_in(s, t, f->dts_us);
    if (t->number == s->now.clock && segment_ends(s, f)) {
        open_segment(s, t, f, segmenter_unit_start_us(s, f->dts_us));
    } else if (segmenter_part_ends(s, t, f, &start_us)) {
        s->now.part++;
        begin_unit(s, f, start_us);
    }
}

static void take_media(struct segmenter *s, struct segmenter_track *t, struct frame *f)
{
    look_ready(t, f);
    if (!t->ready)
        return;
    if (s->open && t->number == s->now.clock)
        segmenter_parts_step(s, f->dts_us);
    if (!s->open)
        open_first(s, t, f);
    else if (must_cut(s, t, f))
        open_segment(s, t, f, forced_start_us(s, t, f));
    else if (t->listed)
        cut_by_limits(s, t, f);
    note_time(t, f->dts_us);
    if (s->open && s->now.msn == s->o.msn && t->listed) {
        t->first_bytes += f->size;
        t->first_frames++;
    }
}

void segmenter_take(struct segmenter *s, struct frame *f)
{
    if (!s->began)
        s->began_us = f->dts_us;
    s->began = true;
    s->step_pending = s->step_pending || (s->open && (f->flags & FRAME_DISCONTINUITY) != 0);
    if (f->kind == FRAME_DATA) {
        if ((f->flags & FRAME_META) != 0)
            segmenter_read_metadata(f, &s->metadata);
        return;
    }
    struct segmenter_track *t = track_of(s, f);
    if (t == NULL)
        return;
    if ((f->flags & FRAME_CONFIG) != 0)
        take_config(t, f);
    else if (frame_is_media(f))
        take_media(s, t, f);
}
