/*
 * index and view ──model──▶ m3u8_write_… ──▶ text, plain or compressed, made once for all who ask
 * while nothing changes.
 */
#include "base/mem.h"
#include "edge/hls_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_LEVEL      6
#define GZIP_WINDOW     (15 + 16) /* with the header of gzip, whose time is 0 */
#define GZIP_MEMORY     8
#define CODECS_MAX      (CODEC_STRING_MAX * 4)
#define BANDWIDTH_PEAK  12 / 10 /* of the average, where nothing better is known */
#define BANDWIDTH_LEAST 64000   /* bit/s */

void hls_text_unref(void *text)
{
    struct hls_text *t = text;
    if (--t->refs == 0)
        free(t);
}

void hls_texts_drop(struct hls_stream *s)
{
    struct hls_text *t;
    while ((t = LIST_FIRST(&s->texts, struct hls_text, node)) != NULL) {
        list_remove(&t->node);
        hls_text_unref(t);
    }
}

/* The media playlist's model. */

struct model {
    struct m3u8_media media;
    struct hls_object hint;
    struct m3u8_report reports[HLS_RENDITIONS_MAX];
};

/* The last part that is listed, of every rendition: all are cut at the same places. */
static void fill_reports(struct hls_stream *s, struct model *m)
{
    struct hls_rendition list[HLS_RENDITIONS_MAX];
    const struct hls_head *h = &s->view.head;
    size_t n = hls_view_renditions(s, list);
    for (size_t i = 0; i < n; i++) {
        if (list[i].kind == m->media.rendition.kind && list[i].track == m->media.rendition.track)
            continue;
        struct m3u8_report *r = &m->reports[m->media.report_count++];
        *r = (struct m3u8_report){.rendition = list[i], .has_part = true};
        r->msn = h->parts > 0 ? h->msn : h->msn - 1;
        r->part = h->parts > 0 ? h->parts - 1 : h->previous_parts - 1;
    }
}

static bool is_in(const struct log_part_has *has, struct hls_rendition r)
{
    if (r.kind == HLS_MAIN)
        return ((has->video | has->audio) & 1) != 0;
    return ((r.kind == HLS_VIDEO ? has->video : has->audio) >> r.track & 1) != 0;
}

/* Of a segment of one rendition: parts without a sample are gaps. */
static void set_parts(const struct hls_view *v, struct m3u8_segment *to, struct hls_rendition r,
                      bool has_video)
{
    size_t at = (size_t)(to->parts - v->parts);
    const struct log_part_has *has = &v->has[at];
    bool empty = true;
    for (uint32_t i = 0; i < to->part_count; i++, has++) {
        struct m3u8_part *p = &v->parts[at + i];
        p->independent = !has_video || (has->keys >> r.track & 1) != 0;
        p->gap = to->gap || !is_in(has, r);
        empty = empty && p->gap;
    }
    to->gap = to->gap || empty;
    to->independent = !has_video || (to->part_count > 0 && (v->has[at].starts >> r.track & 1) != 0);
}

/* The view's segments are every rendition's, but for this. */
static void set_rendition(struct hls_stream *s, struct hls_rendition r)
{
    struct hls_view *v = &s->view;
    for (size_t i = 0; i < v->count; i++) {
        struct m3u8_segment *to = &v->segments[i];
        const struct hls_init *init = hls_init_get(s, to->epoch, v->first_msn + i, r);
        const struct hls_tracks *t = hls_tracks_get(s, to->epoch, v->first_msn + i);
        bool has_video =
            r.kind != HLS_AUDIO && t != NULL && hls_tracks_find(t, FRAME_VIDEO, r.track) != NULL;
        to->gap = init == NULL;
        to->init_hash = init != NULL ? init->hash : 0;
        set_parts(v, to, r, has_video);
    }
}

static int write_media(struct hls_stream *s, struct hls_rendition r, bool delta, struct buf *out)
{
    const struct hls_view *v = &s->view;
    struct model m = {.media = {.rendition = r,
                                .target_s = v->target_s,
                                .part_target_us = v->part_target_us,
                                .can_skip = v->can_skip,
                                .ended = v->ended,
                                .first_msn = v->first_msn,
                                .segments = v->segments,
                                .segment_count = v->count}};
    m.media.reports = m.reports;
    m.hint = (struct hls_object){HLS_PART, r, v->epoch, v->head.msn, v->head.parts, 0};
    m.media.hint = v->has_hint ? &m.hint : NULL;
    set_rendition(s, r);
    fill_reports(s, &m);
    return m3u8_write_media(&m.media, delta, out);
}

/* The multivariant playlist. */

struct variants {
    struct m3u8_multivariant model;
    struct m3u8_variant variants[HLS_RENDITIONS_MAX];
    struct m3u8_audio audios[2 * HLS_RENDITIONS_MAX];
    char codecs[HLS_RENDITIONS_MAX][CODECS_MAX];
    char names[LOG_TRACKS_MAX][sizeof "audio 15"];
};

static void add_audio(struct variants *v, const struct hls_tracks *t, uint8_t track,
                      const char *group, bool in_variant)
{
    const struct hls_track *audio = hls_tracks_find(t, FRAME_AUDIO, track);
    if (audio == NULL)
        return;
    snprintf(v->names[track], sizeof v->names[0], "audio %u", track);
    v->audios[v->model.audio_count++] = (struct m3u8_audio){.rendition = {HLS_AUDIO, track},
                                                            .group = group,
                                                            .name = v->names[track],
                                                            .channels = audio->info.audio.channels,
                                                            .is_default = track == 0,
                                                            .in_variant = in_variant};
}

static void add_codec(char *to, const struct hls_track *t)
{
    size_t len = strlen(to);
    if (t != NULL && strstr(to, t->info.codecs) == NULL)
        snprintf(to + len, CODECS_MAX - len, "%s%s", len > 0 ? "," : "", t->info.codecs);
}

static uint32_t clip_bps(uint64_t bps)
{
    return bps < UINT32_MAX ? (uint32_t)bps : UINT32_MAX;
}

static const struct cut_rate *find_rate(const struct cut_plan *plan, enum frame_kind kind,
                                        unsigned track)
{
    for (uint32_t i = 0; i < plan->rate_count; i++)
        if (plan->rates[i].track == ((unsigned)kind << 8 | track))
            return &plan->rates[i];
    return NULL;
}

/* Its video and the sound that needs most; of a stream without other tracks what was declared. */
static uint64_t average_bps(const struct cut_plan *plan, const struct hls_tracks *t,
                            struct hls_rendition r)
{
    const struct cut_rate *video = find_rate(plan, FRAME_VIDEO, r.track);
    uint64_t audio_bps = 0;
    for (unsigned i = 0; i < LOG_TRACKS_MAX; i++) {
        const struct cut_rate *audio = find_rate(plan, FRAME_AUDIO, i);
        if (audio != NULL && audio->bps > audio_bps)
            audio_bps = audio->bps;
    }
    bool alone = t->count <= 2 && r.kind == HLS_MAIN;
    uint64_t bps = alone ? plan->average_bps : (video != NULL ? video->bps : 0) + audio_bps;
    return bps > BANDWIDTH_LEAST ? bps : BANDWIDTH_LEAST;
}

static uint32_t frame_rate_milli(const struct cut_plan *plan, struct hls_rendition r)
{
    const struct cut_rate *rate = find_rate(plan, FRAME_VIDEO, r.track);
    return r.kind == HLS_MAIN ? plan->frame_rate_milli : rate != NULL ? rate->frame_rate_milli : 0;
}

static void add_variant(struct variants *v, struct hls_stream *s, const struct hls_tracks *t,
                        struct hls_rendition r, bool has_group)
{
    struct m3u8_variant *to = &v->variants[v->model.variant_count];
    char *codecs = v->codecs[v->model.variant_count++];
    const struct hls_track *video = hls_tracks_find(t, FRAME_VIDEO, r.track);
    const struct cut_plan *plan = &s->view.plan;
    uint64_t bps = average_bps(plan, t, r), peak_bps = bps * BANDWIDTH_PEAK;
    if (bps == plan->average_bps && plan->peak_bps > peak_bps)
        peak_bps = plan->peak_bps;
    add_codec(codecs, video);
    add_codec(codecs, hls_tracks_find(t, FRAME_AUDIO, 0));
    *to = (struct m3u8_variant){.rendition = r,
                                .bandwidth_bps = clip_bps(peak_bps),
                                .average_bps = clip_bps(bps),
                                .codecs = codecs};
    if (has_group) {
        to->audio_group = r.kind == HLS_MAIN ? "main" : "alone";
        for (unsigned i = 1; i < LOG_TRACKS_MAX; i++)
            add_codec(codecs, hls_tracks_find(t, FRAME_AUDIO, i));
    }
    if (video == NULL)
        return;
    to->width = video->info.video.width;
    to->height = video->info.video.height;
    to->frame_rate_milli = frame_rate_milli(plan, r);
}

static int write_multivariant(struct hls_stream *s, struct buf *out)
{
    struct hls_rendition list[HLS_RENDITIONS_MAX];
    const struct hls_view *view = &s->view;
    const struct hls_tracks *t =
        hls_tracks_get(s, view->segments[view->count - 1].epoch, view->first_msn + view->count - 1);
    size_t n = hls_view_renditions(s, list), audios = 0, videos = 0;
    if (t == NULL || n == 0)
        return -1;
    struct variants *v = xcalloc(1, sizeof *v);
    v->model.variants = v->variants;
    v->model.audios = v->audios;
    for (size_t i = 0; i < n; i++) {
        audios += list[i].kind == HLS_AUDIO && list[i].track > 0;
        videos += list[i].kind == HLS_VIDEO;
    }
    for (uint8_t i = 0; i <= HLS_TRACK_MAX && audios > 0; i++)
        add_audio(v, t, i, "main", i == 0);
    for (uint8_t i = 0; i <= HLS_TRACK_MAX && videos > 0; i++)
        add_audio(v, t, i, "alone", false);
    for (size_t i = 0; i < n; i++)
        if (list[i].kind != HLS_AUDIO)
            add_variant(v, s, t, list[i],
                        list[i].kind == HLS_MAIN ? audios > 0 : v->model.audio_count > 0);
    int err = m3u8_write_multivariant(&v->model, out);
    free(v);
    return err;
}

/* Texts. */

static struct hls_text *text_new(size_t room)
{
    struct hls_text *t = xcalloc(1, sizeof *t + room);
    t->refs = 1;
    list_init(&t->node);
    return t;
}

static struct hls_text *compress_text(struct slice in)
{
    z_stream z = {0};
    must(deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) ==
         Z_OK);
    size_t room = deflateBound(&z, in.len);
    struct hls_text *t = text_new(room);
    z.next_in = (uint8_t *)(uintptr_t)in.p;
    z.avail_in = (unsigned)in.len;
    z.next_out = t->data;
    z.avail_out = (unsigned)room;
    must(deflate(&z, Z_FINISH) == Z_STREAM_END);
    t->len = z.total_out;
    deflateEnd(&z);
    return t;
}

static struct hls_text *plain_text(struct slice in)
{
    struct hls_text *t = text_new(in.len);
    if (in.p != NULL)
        memcpy(t->data, in.p, in.len);
    t->len = in.len;
    return t;
}

static struct hls_text *make(struct hls_stream *s, const struct hls_object *o, bool delta,
                             bool gzip)
{
    struct hls_text *t = NULL;
    struct buf b;
    buf_init(&b, M3U8_BYTES_MAX);
    int err = o->kind == HLS_MULTIVARIANT ? write_multivariant(s, &b)
                                          : write_media(s, o->rendition, delta, &b);
    if (err == 0)
        t = gzip ? compress_text(buf_slice(&b)) : plain_text(buf_slice(&b));
    buf_fini(&b);
    return t;
}

struct hls_text *hls_text_get(struct hls_stream *s, const struct hls_object *o, bool delta,
                              bool gzip)
{
    struct hls_text *t;
    bool multivariant = o->kind == HLS_MULTIVARIANT;
    LIST_EACH (t, &s->texts, node)
        if (t->multivariant == multivariant && t->delta == delta && t->gzip == gzip &&
            t->rendition.kind == o->rendition.kind && t->rendition.track == o->rendition.track)
            return t;
    if (!multivariant && !hls_view_has(s, o->rendition))
        return NULL;
    t = make(s, o, delta, gzip);
    if (t == NULL)
        return NULL;
    t->rendition = o->rendition;
    t->multivariant = multivariant;
    t->delta = delta;
    t->gzip = gzip;
    t->iov = (struct iovec){t->data, t->len};
    list_append(&s->texts, &t->node);
    return t;
}
