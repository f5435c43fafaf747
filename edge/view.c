#include "edge/view.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "proto/flv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_MAGIC     0x76696577U
#define SOUND          "aac"
#define SOUND_LAG_US   300000 /* by which derived sound may be behind when a run begins */
#define LEGACY_ID_MASK 0xfffU /* codecs that are older than FourCCs */

struct local {
    struct list views;
    bool stopped;
};

struct views {
    struct workers *group;
    struct hub *hub;
    struct local *locals; /* by worker index; each touched by its worker only */
};

/* One of the two that are read: how far. */
struct input {
    struct feed_reader reader;
    uint64_t seq; /* the next frame, of the run `epoch` */
};

struct view {
    uint32_t magic;
    struct list node;
    struct views *views;
    struct log_id log;
    struct feed_source source;
    struct input main, sound;
    uint64_t epoch;
    bool open;        /* the view's run is */
    int64_t begun_us; /* clock_us, when the run was first seen */
    struct timer wait, idle;
};

bool view_is(const char *name)
{
    const char *derivation = name_derivation(name);
    return derivation != NULL && strcmp(derivation, VIEW_PLAIN) == 0;
}

static bool is_sound(const struct frame *f)
{
    return f->kind == FRAME_AUDIO && f->track == 0;
}

static bool is_plain(uint32_t codec)
{
    return codec == FLV_CODEC_AAC || codec == FLV_CODEC_MP3 || (codec & ~LEGACY_ID_MASK) == 0;
}

bool view_is_needed(const struct run *r)
{
    for (uint32_t i = 0; i < r->track_count; i++)
        if (r->tracks[i].kind == FRAME_AUDIO && r->tracks[i].id == 0)
            return !is_plain(r->tracks[i].codec);
    for (uint32_t i = 0; r->inforce != NULL && i < r->inforce->count; i++)
        if (is_sound(r->inforce->frames[i]))
            return !is_plain(r->inforce->frames[i]->codec);
    return false;
}

static void view_free(struct view *v)
{
    feed_leave(&v->main.reader);
    feed_leave(&v->sound.reader);
    timer_fini(&v->wait);
    timer_fini(&v->idle);
    list_remove(&v->node);
    OBJ_POISON(v);
    free(v);
}

/* What is left would be old for who comes next. */
static void leave(struct view *v)
{
    struct feed *f = v->source.feed;
    log_info(&v->log, "view.end stream=%s", f->name);
    feed_reset(f);
    feed_detach_source(&v->source);
    view_free(v);
}

/* --- beginning a run --- */

static void add_inforce(struct inforce **to, struct frame *f)
{
    struct inforce *more = inforce_with(*to, f);
    if (more == NULL)
        return;
    inforce_unref(to);
    *to = more;
}

/* The stream's, with the derived sound's configuration in the place of its own. */
static struct inforce *merged_inforce(const struct inforce *main, const struct inforce *sound)
{
    struct inforce *all = NULL;
    for (uint32_t i = 0; main != NULL && i < main->count; i++)
        if (!is_sound(main->frames[i]))
            add_inforce(&all, main->frames[i]);
    for (uint32_t i = 0; sound != NULL && i < sound->count; i++)
        if (is_sound(sound->frames[i]))
            add_inforce(&all, sound->frames[i]);
    return all;
}

static uint64_t seq_from(const struct run *r, int64_t dts_us)
{
    uint64_t seq = r->first;
    while (seq < r->next &&
           (!frame_is_media(run_frame(r, seq)) || run_frame(r, seq)->dts_us < dts_us))
        seq++;
    return seq;
}

static bool has_waited(const struct view *v)
{
    return clock_us() - v->begun_us >= VIEW_WAIT_MS * 1000;
}

static void open_run(struct view *v, const struct run *r, const struct run *sound)
{
    const struct log_key *key = run_newest_key(r);
    bool ready = sound != NULL && sound->newest_dts_us >= r->newest_dts_us - SOUND_LAG_US;
    if (key == NULL || (!ready && !has_waited(v)))
        return;
    struct inforce *all = merged_inforce(key->inforce, sound != NULL ? sound->inforce : NULL);
    const struct run *own = log_newest(v->source.feed->log);
    if (own != NULL && own->epoch >= r->epoch)
        feed_reset(v->source.feed); /* the stream has been forgotten meanwhile, and is back */
    v->open = true;
    v->main.seq = key->seq;
    v->sound.seq = sound != NULL ? seq_from(sound, key->dts_us) : 0;
    feed_open_run(v->source.feed, r->epoch, 1, r->wall_us, all);
    inforce_unref(&all);
    timer_stop(&v->wait);
    log_info(&v->log, "view.run stream=%s epoch=%" PRIu64 " sound=%s", v->source.feed->name,
             r->epoch, ready ? "there" : "late");
}

/* --- frames --- */

/* The input's next frame, or NULL; what has left the log is passed over. */
static struct frame *peek(struct input *in, const struct run *r, bool wants_sound)
{
    if (r == NULL)
        return NULL;
    if (in->seq < r->first)
        in->seq = r->first;
    for (; in->seq < r->next; in->seq++)
        if (is_sound(run_frame(r, in->seq)) == wants_sound)
            return run_frame(r, in->seq);
    return NULL;
}

static void append(struct view *v, struct frame *f)
{
    struct frame *own = frame_alias(f);
    own->seq = log_newest(v->source.feed->log)->next;
    feed_append(v->source.feed, own);
}

static void merge(struct view *v, const struct run *r, const struct run *sound)
{
    for (;;) {
        struct frame *a = peek(&v->main, r, false), *b = peek(&v->sound, sound, true);
        bool take_sound = b != NULL && (a == NULL || b->dts_us < a->dts_us);
        if (a == NULL && b == NULL)
            return;
        append(v, take_sound ? b : a);
        if (take_sound)
            v->sound.seq++;
        else
            v->main.seq++;
    }
}

static void follow(struct view *v)
{
    const struct run *r = log_newest(v->main.reader.feed->log);
    if (r == NULL)
        return;
    if (r->epoch != v->epoch) {
        v->epoch = r->epoch;
        v->open = false;
        v->begun_us = clock_us();
        timer_set_ms(&v->wait, VIEW_WAIT_MS);
    }
    const struct run *sound = log_find(v->sound.reader.feed->log, r->epoch);
    if (!v->open && !r->ended)
        open_run(v, r, sound);
    if (v->open)
        merge(v, r, sound);
}

static void on_wait(void *arg)
{
    follow(OBJ_CAST(struct view, arg, VIEW_MAGIC));
}

static struct view *of_main(struct feed_reader *r)
{
    return OBJ_CAST(struct view, container_of(r, struct view, main.reader), VIEW_MAGIC);
}

static void on_main_frames(struct feed_reader *r)
{
    follow(of_main(r));
}

static void on_main_state(struct feed_reader *r)
{
    struct view *v = of_main(r);
    if (r->feed->state == FEED_LOST)
        feed_lost(v->source.feed);
    else if (r->feed->state == FEED_LIVE)
        feed_resumed(v->source.feed);
    follow(v);
}

static void on_main_end(struct feed_reader *r, enum close_reason why)
{
    struct view *v = of_main(r);
    follow(v);
    v->open = false; /* derived sound may come later still: it is another feed's */
    feed_end(v->source.feed, why);
}

static void on_sound_frames(struct feed_reader *r)
{
    follow(OBJ_CAST(struct view, container_of(r, struct view, sound.reader), VIEW_MAGIC));
}

/* --- the view's feed --- */

static struct view *of_source(struct feed_source *s)
{
    return OBJ_CAST(struct view, container_of(s, struct view, source), VIEW_MAGIC);
}

static void on_displaced(struct feed_source *s, enum close_reason why)
{
    view_free(of_source(s));
}

static void on_wanted(struct feed_source *s, bool wanted)
{
    if (wanted)
        timer_stop(&of_source(s)->idle);
    else
        timer_set_ms(&of_source(s)->idle, VIEW_IDLE_MS);
}

static void on_want_key(struct feed_source *s)
{
    feed_want_key(of_source(s)->main.reader.feed);
}

static void on_idle(void *arg)
{
    leave(OBJ_CAST(struct view, arg, VIEW_MAGIC));
}

void view_start(struct views *views, struct feed *f)
{
    static const struct feed_source_ops source_ops = {
        .on_displaced = on_displaced, .on_wanted = on_wanted, .on_want_key = on_want_key};
    static const struct feed_reader_ops main_ops = {on_main_frames, on_main_state, on_main_end};
    static const struct feed_reader_ops sound_ops = {.on_frames = on_sound_frames};
    struct local *local = &views->locals[f->worker->index];
    char base[NAME_STREAM_MAX + 1], sound[NAME_STREAM_MAX + 1];
    if (f->source != NULL || local->stopped)
        return;
    struct view *v = xcalloc(1, sizeof *v);
    v->magic = VIEW_MAGIC;
    v->views = views;
    v->log = (struct log_id){"view", f->worker->index, log_new_id()};
    v->source.ops = &source_ops;
    v->source.kind = "view";
    v->main.reader.ops = &main_ops;
    v->sound.reader.ops = &sound_ops;
    timer_init(&v->wait, f->worker, "view.wait", on_wait, v);
    timer_init(&v->idle, f->worker, "view.idle", on_idle, v);
    list_append(&local->views, &v->node);
    name_base(f->name, base);
    name_derive(base, SOUND, sound);
    log_info(&v->log, "view.start stream=%s", f->name);
    feed_attach_source(f, &v->source);
    feed_join(views->hub, f->worker, base, &v->main.reader);
    feed_join(views->hub, f->worker, sound, &v->sound.reader);
}

void views_stop(struct views *views, struct worker *w)
{
    struct view *v;
    struct local *local = &views->locals[w->index];
    local->stopped = true;
    while ((v = LIST_FIRST(&local->views, struct view, node)) != NULL)
        leave(v);
}

struct views *views_new(struct workers *g, struct hub *hub)
{
    struct views *v = xcalloc(1, sizeof *v);
    v->group = g;
    v->hub = hub;
    v->locals = xcalloc((size_t)g->count, sizeof v->locals[0]);
    for (int i = 0; i < g->count; i++)
        list_init(&v->locals[i].views);
    return v;
}

void views_free(struct views **vp)
{
    struct views *v = *vp;
    *vp = NULL;
    if (v == NULL)
        return;
    for (int i = 0; i < v->group->count; i++)
        views_stop(v, &v->group->workers[i]);
    free(v->locals);
    free(v);
}
