/* What all protocols of `play` have in common about one viewer. */
#include "play.h"

#include "core/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int viewer_stream(const struct viewer *v)
{
    return v->number % v->play->options.modulo;
}

void viewer_opened(struct viewer *v)
{
    v->stats->open_us = clock_us();
    v->stats->state = VIEWER_OPEN;
}

int64_t viewer_bytes(struct viewer *v, size_t len, int64_t now_us)
{
    struct viewer_stats *s = v->stats;
    int64_t gap_us = s->last_us != 0 ? now_us - s->last_us : 0;
    if (gap_us > s->gap_us)
        s->gap_us = gap_us;
    s->last_us = now_us;
    s->bytes += len;
    return gap_us;
}

void viewer_media(struct viewer *v)
{
    if (v->stats->media_us == 0)
        v->stats->media_us = clock_us();
}

void viewer_framed(struct viewer *v)
{
    struct viewer_stats *s = v->stats;
    if (s->frame_us != 0)
        return;
    viewer_media(v);
    s->frame_us = clock_us();
    if (v->play->options.events)
        printf("{\"event\":\"first_frame\",\"label\":\"%s\",\"viewer\":%d,\"connect_us\":%lld,"
               "\"media_us\":%lld,\"frame_us\":%lld}\n",
               v->play->options.label, v->number, (long long)s->connect_us, (long long)s->media_us,
               (long long)s->frame_us);
}

void viewer_latency(struct viewer *v, uint32_t sent_us)
{
    /* What was cached for who joins is old; and that is no latency. */
    if (atomic_load_explicit(&v->play->shared->phase, memory_order_relaxed) != PLAY_MEASURE)
        return;
    uint32_t ms = ((uint32_t)clock_us() - sent_us) / 1000;
    v->play->shared->tallies[v->play->process]
        .latency[ms < PLAY_LATENCY_SLOTS ? ms : PLAY_LATENCY_SLOTS - 1]++;
}

void viewer_hole(struct viewer *v, uint32_t lost)
{
    v->stats->holes++;
    v->stats->lost_frames += lost;
}

void viewer_why(struct viewer *v, const char *format, ...)
{
    char *why = v->play->shared->tallies[v->play->process].why;
    if (why[0] != '\0')
        return;
    va_list list;
    va_start(list, format);
    vsnprintf(why, PLAY_WHY_MAX, format, list);
    va_end(list);
}

int viewer_connect(struct viewer *v, struct link *l)
{
    const struct play *p = v->play;
    int err = link_open(l, p->epoll, v, &p->options.target, p->tls);
    if (err < 0)
        viewer_why(v, "connect: %s", link_why(l));
    return err;
}

int viewer_link(struct viewer *v, struct link *l)
{
    int state = link_event(l);
    if (state < 0)
        viewer_why(v, "connect: %s", link_why(l));
    else if (state == LINK_READY)
        viewer_opened(v);
    return state;
}
