/* What the WebRTC players of a stream on one worker share: its packets, and the turns in which they
 * are sent. */
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "edge/whep_internal.h"
#include "proto/flv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TURN_US       4000    /* for players of a stream, in one turn of the loop */
#define SOUND_WAIT_US 1000000 /* a run this young may still bring sound, or pictures */
#define RIDE_US       10000   /* sound waits for a picture at most so long */
#define RIDE_LOAD     10      /* percent of the worker's time; below, nothing is gained by it */
#define PICTURE_US    200000  /* between two pictures, or there is no waiting for one */

/* The derivations that players get. */
static const char *const derivations[] = {[RTC_VIDEO] = "ordered", [RTC_AUDIO] = "opus"};

/* Calls fn for each player of the list there was when it began; fn may end the one it got. */
static void each_of(struct list *players, void (*fn)(struct whep_viewer *v))
{
    struct list walk;
    list_init(&walk);
    list_splice(&walk, players);
    while (!list_empty(&walk)) {
        struct whep_viewer *v = LIST_FIRST(&walk, struct whep_viewer, node);
        list_remove(&v->node);
        list_append(players, &v->node);
        fn(v);
    }
}

void whep_stream_pump(struct whep_stream *s, struct whep_viewer *v)
{
    int64_t now_us = clock_us();
    if (v->sender == NULL)
        return;
    int64_t due_us = rtc_sender_send(v->sender, now_us);
    if (due_us == INT64_MAX || v->is_due)
        return;
    list_remove(&v->turn_node);
    list_append(&s->behind, &v->turn_node);
    if (!timer_is_set(&s->tick))
        timer_set_us(&s->tick, due_us > now_us ? due_us - now_us : 0);
}

/* Others on this worker wait meanwhile, so the last of many players get theirs in later turns of
 * the loop. */
static void serve(struct whep_stream *s)
{
    int64_t end_us = clock_us() + TURN_US;
    struct whep_viewer *v;
    while ((v = LIST_FIRST(&s->due, struct whep_viewer, turn_node)) != NULL) {
        list_remove(&v->turn_node);
        v->is_due = false;
        whep_stream_pump(s, v);
        if (clock_us() < end_us)
            continue;
        if (!list_empty(&s->due))
            timer_set_us(&s->rest, 0);
        return;
    }
}

static void add_due(struct whep_stream *s, struct whep_viewer *v)
{
    if (v->is_due)
        return;
    v->is_due = true;
    list_remove(&v->turn_node);
    list_append(&s->due, &v->turn_node);
}

static void on_rest(void *arg)
{
    serve(OBJ_CAST(struct whep_stream, arg, WHEP_STREAM_MAGIC));
}

static void on_tick(void *arg)
{
    struct whep_stream *s = OBJ_CAST(struct whep_stream, arg, WHEP_STREAM_MAGIC);
    struct whep_viewer *v;
    while ((v = LIST_FIRST(&s->behind, struct whep_viewer, turn_node)) != NULL)
        add_due(s, v);
    serve(s);
}

/* ---- what is there ---- */

static const struct frame *sound_config(const struct run *r)
{
    for (uint32_t i = 0; r->inforce != NULL && i < r->inforce->count; i++) {
        const struct frame *f = r->inforce->frames[i];
        if (f->kind == FRAME_AUDIO && f->track == 0 && (f->flags & FRAME_CONFIG) != 0)
            return f;
    }
    return NULL;
}

/* The codec of the run's sound; 0: it has none so far. */
static uint32_t sound_codec(const struct run *r)
{
    for (uint32_t i = 0; i < r->track_count; i++)
        if (r->tracks[i].kind == FRAME_AUDIO && r->tracks[i].id == 0)
            return r->tracks[i].codec;
    const struct frame *f = sound_config(r);
    return f != NULL ? f->codec : 0;
}

bool whep_stream_has_sound(const struct whep_stream *s)
{
    const struct run *r = log_newest(s->main.feed->log);
    return r != NULL && (sound_codec(r) != 0 || clock_us() - r->opened_us < SOUND_WAIT_US);
}

static void follow_derived(struct whep_stream *s, enum rtc_track t, bool wanted)
{
    char name[NAME_STREAM_MAX + 1];
    if (wanted == (s->derived[t].feed != NULL))
        return;
    if (!wanted) {
        feed_leave(&s->derived[t]);
        return;
    }
    name_derive(s->name, derivations[t], name);
    feed_join(s->whep->hub, s->worker, name, &s->derived[t]);
}

/* Sound other than Opus, and video with B slices, come as derived tracks. */
static void read_all(struct whep_stream *s, bool *news)
{
    const struct run *r = log_newest(s->main.feed->log);
    uint32_t sound = r != NULL ? sound_codec(r) : 0;
    *news = rtc_units_read(s->units, s->main.feed->log);
    if (sound != 0)
        follow_derived(s, RTC_AUDIO, sound != FLV_CODEC_OPUS && s->listeners > 0);
    follow_derived(s, RTC_VIDEO, rtc_units_is_replaced(s->units));
    for (unsigned t = 0; t < RTC_TRACKS; t++)
        if (s->derived[t].feed != NULL)
            *news |= rtc_units_read_derived(s->units, t, s->derived[t].feed->log);
}

/* A new publisher may bring another codec than the player was told, and pictures may come to sound
 * that was alone: it has to ask again. */
static void follow_codec_of(struct whep_viewer *v)
{
    const struct whep_stream *s = v->stream;
    uint32_t codec = rtc_units_track(s->units, RTC_VIDEO)->codec;
    bool refused = s->refuses && rtc_units_is_bidirectional(s->units);
    if (refused || (v->watches && codec != 0 && codec != v->video_codec))
        whep_viewer_end(v, CLOSE_UNSUPPORTED);
}

static void follow_codec(struct whep_stream *s)
{
    uint32_t codec = rtc_units_track(s->units, RTC_VIDEO)->codec;
    bool refused = s->refuses && rtc_units_is_bidirectional(s->units);
    if (codec == s->video_codec && !refused)
        return;
    s->video_codec = codec;
    each_of(&s->viewers, follow_codec_of);
}

/* Sound is not waited for: a derived track begins when somebody listens. */
static bool is_sound_alone(const struct whep_stream *s)
{
    const struct run *r = log_newest(s->main.feed->log);
    return r != NULL && rtc_units_track(s->units, RTC_VIDEO)->codec == 0 && sound_codec(r) != 0 &&
           clock_us() - r->opened_us >= SOUND_WAIT_US;
}

static bool is_live(const struct whep_stream *s)
{
    const struct feed *f = s->main.feed;
    return f->state == FEED_LIVE || f->state == FEED_LOST;
}

/* A run that has no key frame yet may have other codecs than the one before. */
static bool is_current(const struct whep_stream *s)
{
    const struct run *r = log_newest(s->main.feed->log);
    return r != NULL && r->epoch == rtc_units_epoch(s->units);
}

static bool is_there(const struct whep_stream *s)
{
    return is_live(s) && is_current(s) && !rtc_units_waits(s->units) &&
           (rtc_units_track(s->units, RTC_VIDEO)->next > 0 || is_sound_alone(s));
}

/* Sound alone costs as much as a whole picture: with one it is a segment more of the same message.
 * Both follow in order whatever comes first, since all that is there is sent at once. */
static bool sound_may_wait(struct whep_stream *s)
{
    int64_t next = rtc_units_track(s->units, RTC_VIDEO)->next, now_us = clock_us();
    bool picture = next != s->video_next;
    s->video_next = next;
    if (picture)
        s->video_us = now_us;
    return !picture && s->worker->load_percent >= RIDE_LOAD && now_us - s->video_us < PICTURE_US;
}

static void serve_all(struct whep_stream *s)
{
    struct whep_viewer *v;
    timer_stop(&s->ride);
    LIST_EACH (v, &s->viewers, node)
        add_due(s, v);
    serve(s);
}

static void on_ride(void *arg)
{
    serve_all(OBJ_CAST(struct whep_stream, arg, WHEP_STREAM_MAGIC));
}

static void look(void *arg)
{
    struct whep_stream *s = OBJ_CAST(struct whep_stream, arg, WHEP_STREAM_MAGIC);
    bool news;
    read_all(s, &news);
    if (news) {
        follow_codec(s);
        if (!sound_may_wait(s))
            serve_all(s);
        else if (!timer_is_set(&s->ride))
            timer_set_us(&s->ride, RIDE_US);
    }
    if (is_there(s))
        each_of(&s->newcomers, whep_viewer_answer);
}

static void on_main(struct feed_reader *r)
{
    look(container_of(r, struct whep_stream, main));
}

static void on_derived_video(struct feed_reader *r)
{
    look(container_of(r, struct whep_stream, derived[RTC_VIDEO]));
}

static void on_derived_sound(struct feed_reader *r)
{
    look(container_of(r, struct whep_stream, derived[RTC_AUDIO]));
}

static void end_viewer(struct whep_viewer *v)
{
    whep_viewer_end(v, v->stream->main.feed->why);
}

/* Newcomers wait for the stream to come back. */
static void on_end(struct feed_reader *r, enum close_reason why)
{
    each_of(&container_of(r, struct whep_stream, main)->viewers, end_viewer);
}

/* ---- who comes and goes ---- */

static void set_sweep(struct whep_stream *s)
{
    const struct whep_viewer *first = LIST_FIRST(&s->newcomers, struct whep_viewer, node);
    if (first == NULL)
        return;
    int64_t left_us = first->joined_us + s->worker->config->stream.wait_ms * 1000 - clock_us();
    timer_set_us(&s->sweep, left_us > 0 ? left_us : 0);
}

static struct whep_viewer *first_in_vain(struct whep_stream *s)
{
    struct whep_viewer *v = LIST_FIRST(&s->newcomers, struct whep_viewer, node);
    int64_t wait_us = s->worker->config->stream.wait_ms * 1000;
    return v != NULL && clock_us() - v->joined_us >= wait_us ? v : NULL;
}

/* late: pictures in order did not come in time, and the log has no key frame to do without them. */
static enum close_reason why_in_vain(const struct whep_stream *s, bool late)
{
    if (!is_live(s) || rtc_units_live_us(s->units) <= 0)
        return CLOSE_NOT_FOUND;
    /* What has come, and is nothing yet, are codecs that do not go over RTP. */
    return late ? CLOSE_TIMEOUT : CLOSE_UNSUPPORTED;
}

static void on_sweep(void *arg)
{
    struct whep_stream *s = OBJ_CAST(struct whep_stream, arg, WHEP_STREAM_MAGIC);
    struct whep_viewer *v;
    bool late = rtc_units_waits(s->units);
    if (first_in_vain(s) != NULL && late) {
        log_warn(&s->log, "whep.no_video stream=%s help=\"B slices are left out\"", s->name);
        rtc_units_drop_b(s->units, s->main.feed->log);
        look(s);
    }
    while ((v = first_in_vain(s)) != NULL) {
        enum close_reason why = why_in_vain(s, late);
        if (why == CLOSE_NOT_FOUND)
            METRIC_INC(s->worker->metrics.play_not_found_total);
        whep_viewer_end(v, why);
    }
    set_sweep(s);
}

void whep_stream_enter(struct whep_stream *s, struct whep_viewer *v)
{
    v->stream = s;
    list_append(&s->newcomers, &v->node);
    s->count++;
    s->main.feed->viewers[VIEWER_WHEP]++;
    METRIC_INC(s->worker->metrics.viewers_whep);
    task_defer(s->worker, &s->look);
    if (!timer_is_set(&s->sweep))
        set_sweep(s);
}

void whep_stream_leave(struct whep_stream *s, struct whep_viewer *v)
{
    list_remove(&v->node);
    list_remove(&v->turn_node);
    s->main.feed->viewers[VIEWER_WHEP]--;
    METRIC_ADD(s->worker->metrics.viewers_whep, -1);
    s->listeners -= v->listens;
    if (--s->count == 0)
        task_defer(s->worker, &s->close);
}

static void stream_free(void *arg)
{
    struct whep_stream *s = OBJ_CAST(struct whep_stream, arg, WHEP_STREAM_MAGIC);
    if (s->count > 0)
        return;
    feed_leave(&s->main);
    for (unsigned t = 0; t < RTC_TRACKS; t++)
        feed_leave(&s->derived[t]);
    timer_fini(&s->tick);
    timer_fini(&s->rest);
    timer_fini(&s->ride);
    timer_fini(&s->sweep);
    task_cancel(&s->look);
    task_cancel(&s->close);
    rtc_units_free(&s->units);
    map_take(s->whep->streams[s->worker->index], s->name);
    OBJ_POISON(s);
    free(s);
}

static struct whep_stream *stream_new(struct whep *w, struct worker *worker, const char *name)
{
    static const struct feed_reader_ops main_ops = {on_main, on_main, on_end};
    static const struct feed_reader_ops derived_ops[] = {
        [RTC_VIDEO] = {.on_frames = on_derived_video},
        [RTC_AUDIO] = {.on_frames = on_derived_sound},
    };
    static const enum rtc_b_frames b_frames[] = {[BFRAMES_TRANSCODE] = RTC_B_REPLACE,
                                                 [BFRAMES_DROP] = RTC_B_DROP,
                                                 [BFRAMES_REFUSE] = RTC_B_SEND};
    enum bframes_policy policy = worker->config->transcode.bframes;
    struct whep_stream *s = xcalloc(1, sizeof *s);
    s->magic = WHEP_STREAM_MAGIC;
    s->whep = w;
    s->worker = worker;
    s->log = (struct log_id){"whep", worker->index, log_new_id()};
    s->main.ops = &main_ops;
    for (unsigned t = 0; t < RTC_TRACKS; t++)
        s->derived[t].ops = &derived_ops[t];
    s->refuses = policy == BFRAMES_REFUSE;
    s->units = rtc_units_new(
        &(struct rtc_units_options){.b_frames = b_frames[policy], .metrics = &worker->metrics});
    list_init(&s->newcomers);
    list_init(&s->viewers);
    list_init(&s->due);
    list_init(&s->behind);
    timer_init(&s->tick, worker, "whep.tick", on_tick, s);
    timer_init(&s->rest, worker, "whep.rest", on_rest, s);
    timer_init(&s->ride, worker, "whep.ride", on_ride, s);
    timer_init(&s->sweep, worker, "whep.sweep", on_sweep, s);
    task_init(&s->look, look, s);
    task_init(&s->close, stream_free, s);
    snprintf(s->cname, sizeof s->cname, "%016" PRIx64, crypto_random_u64());
    must(slice_copy(slice_text(name), s->name, sizeof s->name));
    return s;
}

struct whep_stream *whep_stream_get(struct whep *w, struct worker *worker, const char *name)
{
    struct whep_stream *s = map_get(w->streams[worker->index], name);
    if (s != NULL)
        return s;
    s = stream_new(w, worker, name);
    map_put(w->streams[worker->index], name, s);
    feed_join(w->hub, worker, name, &s->main);
    return s;
}

/* ---- of the node ---- */

struct whep *whep_new(struct workers *g, struct hub *hub, struct edge *e, struct rtc_ports *ports)
{
    struct whep *w = xcalloc(1, sizeof *w);
    *w = (struct whep){g, hub, e, ports, xcalloc((size_t)g->count, sizeof w->streams[0])};
    for (int i = 0; i < g->count; i++)
        w->streams[i] = map_new();
    return w;
}

static void end_all(const char *name, void *value, void *arg)
{
    struct whep_stream *s = OBJ_CAST(struct whep_stream, value, WHEP_STREAM_MAGIC);
    struct whep_viewer *v;
    while ((v = LIST_FIRST(&s->newcomers, struct whep_viewer, node)) != NULL ||
           (v = LIST_FIRST(&s->viewers, struct whep_viewer, node)) != NULL)
        whep_viewer_end(v, CLOSE_DRAIN);
    stream_free(s);
}

void whep_free(struct whep **wp)
{
    struct whep *w = *wp;
    *wp = NULL;
    if (w == NULL)
        return;
    for (int i = 0; i < w->group->count; i++) {
        map_each(w->streams[i], end_all, NULL);
        map_free(&w->streams[i]);
    }
    free(w->streams);
    free(w);
}
