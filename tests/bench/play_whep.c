/* Viewers of WebRTC, by WHEP. */
#include "play.h"
#include "whep_player.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>

#define OPEN_EACH 16 /* packet of a viewer: sequence numbers are looked at in all of them */

struct whep_viewer {
    struct viewer viewer;
    struct whep_player player;
    int64_t looked_us;
};

static struct whep_viewer *of(struct viewer *v)
{
    return container_of(v, struct whep_viewer, viewer);
}

static struct whep_crew *crew_of(struct play *p)
{
    if (p->whep == NULL) {
        p->whep = xcalloc(1, sizeof *p->whep);
        whep_crew_init(p->whep, p->epoll, &p->options.target, p->tls,
                       p->options.unchecked ? 0 : OPEN_EACH);
    }
    return p->whep;
}

static int refused(struct whep_viewer *w, int err)
{
    const char *why = whep_player_why(&w->player);
    viewer_why(&w->viewer, "%s: %.*s", err_text(err), (int)strcspn(why, "\r\n"), why);
    return err;
}

static int whep_open(struct viewer *v)
{
    struct whep_viewer *w = of(v);
    char stream[TARGET_TEXT_MAX], path[2 * TARGET_TEXT_MAX + 3];
    const struct target *to = &v->play->options.target;
    if (!target_stream(to, viewer_stream(v), stream, sizeof stream))
        return ERR_TOO_LARGE;
    snprintf(path, sizeof path, "/%s/%s", to->app, stream);
    int err = whep_player_open(&w->player, crew_of(v->play), v, path);
    return err < 0 ? refused(w, err) : 0;
}

static int whep_event(struct viewer *v, uint32_t events)
{
    struct whep_viewer *w = of(v);
    struct whep_player *p = &w->player;
    uint64_t bytes = p->bytes, missing = whep_player_missing(p);
    int err = whep_player_event(p);
    if (err < 0)
        return refused(w, err);
    if (p->connected_us != 0 && v->stats->open_us == 0)
        viewer_opened(v);
    if (p->bytes == bytes)
        return 0;
    int64_t gap_us = viewer_bytes(v, p->bytes - bytes, clock_us());
    if (v->stats->frame_us != 0 && gap_us >= v->play->options.stall_us)
        v->stats->stalls++;
    viewer_media(v);
    if (p->frame_us != 0)
        viewer_framed(v);
    uint64_t now_missing = whep_player_missing(p);
    if (now_missing > missing)
        viewer_hole(v, (uint32_t)(now_missing - missing));
    return 0;
}

static int whep_tick(struct viewer *v, int64_t now_us)
{
    struct whep_viewer *w = of(v);
    if (now_us - w->looked_us < WHEP_LOOK_US)
        return 0;
    w->looked_us = now_us;
    whep_player_look(&w->player, now_us);
    return 0;
}

static void whep_close(struct viewer *v)
{
    whep_player_leave(&of(v)->player);
    whep_player_close(&of(v)->player);
}

static bool is_whep(const char *url)
{
    size_t len = strcspn(url, "?");
    return slice_starts(slice_text(url), "http") && len > 5 &&
           memcmp(url + len - 5, "/whep", 5) == 0;
}

const struct play_protocol play_whep = {.name = "WHEP",
                                        .matches = is_whep,
                                        .viewer_size = sizeof(struct whep_viewer),
                                        .open = whep_open,
                                        .event = whep_event,
                                        .tick = whep_tick,
                                        .close = whep_close,
                                        .has_sessions = true};
