/*
 * Parts: they last between 85 % of PART-TARGET and all of it.  The clock's first frame in that
 * range ends them.  Where there is none, another track that has come to PART-TARGET does, at
 * exactly that time.
 */
#include "media/segmenter_internal.h"

#include "proto/m3u8.h"

#include <string.h>

#define LEAD_SHARE 8 /* of what a lead has become less, that is believed at each frame */

void segmenter_parts_clock(struct segmenter *s, int64_t newest_us)
{
    s->clock_began_us = s->clock_newest_us = newest_us;
    s->clock_distance_us = 0;
    s->clock_steps = 0;
    memset(s->steps_us, 0, sizeof s->steps_us);
    for (uint32_t i = 0; i < s->track_count; i++)
        s->tracks[i].lead_known = false;
}

static int64_t target_us(const struct segmenter *s)
{
    return s->part_target_us > 0 ? s->part_target_us : m3u8_part_target_us(s->o.part_ms, 0);
}

/* How far others are ahead of the clock when its frames come: nearly the most of the last ones.
 * Who has stopped says nothing, until it comes again. */
static void note_leads(struct segmenter *s)
{
    for (uint32_t i = 0; i < s->track_count; i++) {
        struct segmenter_track *t = &s->tracks[i];
        int64_t lead_us = t->newest_us - s->clock_newest_us;
        if (!t->lead_known)
            continue;
        if (lead_us > t->lead_us)
            t->lead_us = lead_us;
        else if (lead_us + target_us(s) < t->lead_us)
            t->lead_known = false;
        else
            t->lead_us -= (t->lead_us - lead_us) / LEAD_SHARE;
    }
}

void segmenter_parts_step(struct segmenter *s, int64_t dts_us)
{
    int64_t distance_us = dts_us - s->clock_newest_us;
    if (distance_us > 0) {
        s->clock_newest_us = dts_us;
        s->clock_distance_us = distance_us;
        s->clock_steps++;
        if (distance_us <= target_us(s))
            s->steps_us[s->step_at++ % SEGMENTER_STEPS] = distance_us;
    }
    note_leads(s);
}

static int64_t longest_step_us(const struct segmenter *s)
{
    int64_t longest_us = 0;
    for (int i = 0; i < SEGMENTER_STEPS; i++)
        if (s->steps_us[i] > longest_us)
            longest_us = s->steps_us[i];
    return longest_us;
}

void segmenter_settle(struct segmenter *s)
{
    int64_t lasted_us = s->clock_newest_us - s->clock_began_us;
    if (s->part_target_us == 0)
        s->part_target_us =
            m3u8_part_target_us(s->o.part_ms, s->clock_steps > 0 ? lasted_us / s->clock_steps : 0);
}

int64_t segmenter_place_us(const struct segmenter_track *t, int64_t dts_us)
{
    return t->lead_known ? dts_us - t->lead_us : dts_us;
}

/* Somebody else goes on, and can end a part that the clock cannot. */
static bool has_company(const struct segmenter *s)
{
    for (uint32_t i = 0; i < s->track_count; i++) {
        const struct segmenter_track *t = &s->tracks[i];
        if (t->listed && t->lead_known && t->number != s->now.clock &&
            segmenter_place_us(t, t->newest_us) + target_us(s) >= s->clock_newest_us)
            return true;
    }
    return false;
}

int64_t segmenter_unit_start_us(const struct segmenter *s, int64_t dts_us)
{
    int64_t latest_us = s->now.start_us + target_us(s);
    return dts_us > latest_us && has_company(s) ? latest_us : dts_us;
}

static bool clock_ends(struct segmenter *s, int64_t dts_us, int64_t *start_us)
{
    int64_t lasted_us = dts_us - s->now.start_us, most_us = target_us(s);
    *start_us = segmenter_unit_start_us(s, dts_us);
    if (lasted_us >= m3u8_part_least_us(most_us))
        return true;
    return lasted_us > 0 && lasted_us + longest_step_us(s) > most_us && !has_company(s);
}

/* Until the clock's next frame shows it. */
static void guess_lead(const struct segmenter *s, struct segmenter_track *t, int64_t dts_us)
{
    if (t->lead_known)
        return;
    t->lead_us = dts_us - s->clock_newest_us;
    t->lead_known = true;
}

bool segmenter_part_ends(struct segmenter *s, struct segmenter_track *t, const struct frame *f,
                         int64_t *start_us)
{
    bool is_clock = t->number == s->now.clock;
    if (!is_clock)
        guess_lead(s, t, f->dts_us);
    int64_t at_us = is_clock ? f->dts_us : segmenter_place_us(t, f->dts_us);
    int64_t soon_us = is_clock ? at_us + longest_step_us(s) : at_us;
    if (soon_us - s->now.start_us >= m3u8_part_least_us(target_us(s)))
        segmenter_settle(s);
    if (is_clock)
        return clock_ends(s, f->dts_us, start_us);
    *start_us = s->now.start_us + target_us(s);
    return at_us >= *start_us;
}
