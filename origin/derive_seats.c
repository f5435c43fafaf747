#include "origin/derive_seats.h"

#include "core/config.h"
#include "core/limit.h"

static int64_t seats_max(const struct derive_seats *s, const struct worker *w, enum frame_kind kind)
{
    bool video = kind == FRAME_VIDEO;
    int64_t set = video ? w->config->limits.derived_videos : w->config->limits.derived_sounds;
    return set > 0 ? set
                   : s->threads * (video ? DERIVE_VIDEOS_PER_THREAD : DERIVE_SOUNDS_PER_THREAD);
}

static atomic_int *taken(struct derive_seats *s, enum frame_kind kind)
{
    return kind == FRAME_VIDEO ? &s->videos : &s->sounds;
}

bool derive_seat_take(struct derive_seats *s, struct worker *w, enum frame_kind kind)
{
    if (atomic_fetch_add(taken(s, kind), 1) < seats_max(s, w, kind))
        return true;
    derive_seat_leave(s, kind);
    return false;
}

void derive_seat_leave(struct derive_seats *s, enum frame_kind kind)
{
    atomic_fetch_sub(taken(s, kind), 1);
}

void derive_seat_tell(struct worker *w, enum frame_kind kind, const char *who)
{
    limit_reached(w, kind == FRAME_VIDEO ? LIMIT_DERIVED_VIDEOS : LIMIT_DERIVED_SOUNDS, who);
}
