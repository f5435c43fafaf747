/* Where the logs are read: runs that follow each other, and derived tracks next to them. */
#include "rtc/rtc_units_internal.h"

#define RUN_GAP_MIN_US 1000 /* between the last unit of a run and the first of the next one */

static void enter(struct rtc_units *s, const struct log_key *key, bool derived)
{
    for (uint32_t i = 0; key != NULL && key->inforce != NULL && i < key->inforce->count; i++)
        if ((key->inforce->frames[i]->flags & FRAME_CONFIG) != 0)
            rtc_units_take_config(s, key->inforce->frames[i], derived);
}

/* A place to begin at, of the newest run; numbers go on where they were, and times do when it is
 * the same run. */
static bool join(struct rtc_units *s, const struct log *l)
{
    uint64_t epoch = s->cursor.epoch;
    cursor_fini(&s->cursor);
    if (!cursor_join(&s->cursor, l))
        return false;
    if (s->cursor.epoch != epoch) {
        s->run_begun = false;
        s->gap_us = RUN_GAP_MIN_US;
        s->bidirectional = false;
    }
    enter(s, cursor_key(&s->cursor, l), false);
    return true;
}

/* Steps to the run that follows, when it has a frame to begin at. */
static bool next_run(struct rtc_units *s, const struct log *l)
{
    const struct run *before = log_find(l, s->cursor.epoch);
    int64_t end_ms = before->newest_wire_ms + before->shift_ms;
    if (!cursor_next_run(&s->cursor, l))
        return false;
    const struct run *r = log_find(l, s->cursor.epoch);
    const struct log_key *key = cursor_key(&s->cursor, l);
    s->gap_us = (key->wire_ms + r->shift_ms - end_ms) * 1000;
    if (s->gap_us < RUN_GAP_MIN_US)
        s->gap_us = RUN_GAP_MIN_US;
    s->run_begun = false;
    s->bidirectional = false;
    enter(s, cursor_key(&s->cursor, l), false);
    return true;
}

bool rtc_units_read(struct rtc_units *s, const struct log *l)
{
    bool news = false;
    s->exposed = s->next > 0;
    for (;;) {
        const struct run *r = s->cursor.epoch != 0 ? log_find(l, s->cursor.epoch) : NULL;
        if (r == NULL || s->cursor.seq < r->first) {
            if (!join(s, l))
                return news;
            continue;
        }
        for (; s->cursor.seq < r->next; s->cursor.seq++)
            news |= rtc_units_take(s, run_frame(r, s->cursor.seq), false);
        if (!next_run(s, l))
            return news;
    }
}

void rtc_units_drop_b(struct rtc_units *s, const struct log *l)
{
    bool waited = rtc_units_waits(s);
    s->options.b_frames = RTC_B_DROP;
    s->replaced = false;
    if (waited)
        (void)join(s, l); /* the next read does, where it cannot */
}

/* Where to begin to read a derived track's run: sound goes back as far as there is, video needs its
 * key frame. */
static bool find_derived(struct rtc_units *s, enum rtc_track t, const struct run *r)
{
    const struct log_key *key = t == RTC_VIDEO ? run_newest_key(r) : NULL;
    if (s->derived[t].epoch == r->epoch && s->derived[t].seq >= r->first)
        return true;
    if (t == RTC_VIDEO && key == NULL)
        return false;
    enter(s, key, true);
    s->derived[t].epoch = r->epoch;
    s->derived[t].seq = key != NULL ? key->seq : r->first;
    return true;
}

bool rtc_units_read_derived(struct rtc_units *s, enum rtc_track t, const struct log *l)
{
    bool news = false;
    const struct run *r = s->run_begun ? log_find(l, s->cursor.epoch) : NULL;
    uint8_t kind = t == RTC_VIDEO ? FRAME_VIDEO : FRAME_AUDIO;
    if (r == NULL || !find_derived(s, t, r))
        return false;
    for (uint64_t *seq = &s->derived[t].seq; *seq < r->next; ++*seq)
        news |= run_frame(r, *seq)->kind == kind && rtc_units_take(s, run_frame(r, *seq), true);
    return news;
}
