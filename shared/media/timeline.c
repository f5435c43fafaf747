#include "media/timeline.h"

static bool is_near(int64_t wire_ms, int64_t last_ms)
{
    int64_t step_ms = wire_ms - last_ms;
    return step_ms >= -TIMELINE_BACK_MS && step_ms <= TIMELINE_FORWARD_MS;
}

/* Serial-number arithmetic: the value nearest to the reference that is the same modulo 2^32. */
static int64_t unwrap(uint32_t published_ms, int64_t near_ms)
{
    return near_ms + (int32_t)(published_ms - (uint32_t)near_ms);
}

static struct timestamp on_present_line(struct timeline *t, int64_t wire_ms, bool discontinuity)
{
    if (wire_ms > t->last_wire_ms)
        t->last_wire_ms = wire_ms;
    int64_t dts_us = wire_ms * 1000 + t->shift_us;
    if (dts_us > t->newest_dts_us)
        t->newest_dts_us = dts_us;
    return (struct timestamp){wire_ms, dts_us, discontinuity};
}

struct timestamp timeline_place(struct timeline *t, uint32_t published_ms)
{
    if (!t->started) {
        *t = (struct timeline){.started = true,
                               .last_wire_ms = published_ms,
                               .shift_us = -(int64_t)published_ms * 1000};
        return on_present_line(t, published_ms, false);
    }
    int64_t wire_ms = unwrap(published_ms, t->last_wire_ms);
    if (is_near(wire_ms, t->last_wire_ms))
        return on_present_line(t, wire_ms, false);

    if (t->has_previous) {
        int64_t old_ms = unwrap(published_ms, t->previous_wire_ms);
        if (is_near(old_ms, t->previous_wire_ms))
            return (struct timestamp){old_ms, old_ms * 1000 + t->previous_shift_us, false};
    }
    t->has_previous = true;
    t->previous_wire_ms = t->last_wire_ms;
    t->previous_shift_us = t->shift_us;
    t->last_wire_ms = wire_ms;
    t->shift_us = t->newest_dts_us + TIMELINE_STEP_US - wire_ms * 1000;
    return on_present_line(t, wire_ms, true);
}
