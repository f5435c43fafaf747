#include "mp4_file.h"

#include "box.h"

#include "base/err.h"
#include "base/mem.h"
#include "proto/flv.h"

#include <stdlib.h>
#include <string.h>

#define TRACKS_MAX     8
#define SAMPLES_MAX    (16 * 1024 * 1024)
#define PREFIX_MAX     8  /* bytes of a tag's body before the sample */
#define VIDEO_ENTRY    78 /* bytes of a sample entry before its boxes (14496-12, 12.1.3) */
#define AUDIO_ENTRY    28 /* likewise of sound, in version 0 (12.2.3) */
#define ES_TAGS_MAX    8
#define SAMPLE_NO_SYNC 0x10000U
#define EX_VIDEO       0x80 /* Enhanced RTMP: a FourCC follows */
#define AAC_STEREO     0xaf

/* How a codec is written in FLV. */
struct codec {
    uint32_t entries[2]; /* types of sample entries */
    uint32_t config;     /* the box with the configuration */
    bool audio, legacy;
    uint32_t fourcc; /* when it is not legacy */
    bool timed;      /* frames have a composition time */
};

static const struct codec codecs[] = {
    {{FOURCC('a', 'v', 'c', '1'), FOURCC('a', 'v', 'c', '3')},
     FOURCC('a', 'v', 'c', 'C'),
     false,
     true,
     0,
     true},
    {{FOURCC('h', 'v', 'c', '1'), FOURCC('h', 'e', 'v', '1')},
     FOURCC('h', 'v', 'c', 'C'),
     false,
     false,
     FLV_CODEC_HEVC,
     true},
    {{FOURCC('a', 'v', '0', '1'), 0},
     FOURCC('a', 'v', '1', 'C'),
     false,
     false,
     FLV_CODEC_AV1,
     false},
    {{FOURCC('m', 'p', '4', 'a'), 0}, FOURCC('e', 's', 'd', 's'), true, true, 0, false},
};

struct track {
    uint32_t id, timescale;
    const struct codec *codec;
    struct slice config;
    uint32_t duration, size, flags; /* of trex */
    uint64_t time;                  /* after the last fragment */
};

struct sample {
    const struct track *track;
    struct slice data;
    uint32_t at_ms;
    int32_t cts_ms;
    bool key;
    size_t order;
};

struct movie {
    struct slice file;
    struct track tracks[TRACKS_MAX];
    int track_count;
    struct sample *samples;
    size_t sample_count, room;
};

bool mp4_file_is(struct slice file)
{
    return file.len > BOX_HEADER && memcmp(file.p + 4, "ftyp", 4) == 0;
}

/* ---- moov ---- */

/* The decoder's configuration inside of an esds box (14496-1, 7.2.6): the descriptor with tag 5. */
static struct slice es_config(struct slice esds)
{
    struct rd r = rd_init(esds.p, esds.len);
    (void)rd_u32(&r);
    for (int i = 0; i < ES_TAGS_MAX && !r.underrun; i++) {
        uint8_t tag = rd_u8(&r), c = 0x80;
        size_t len = 0;
        for (int j = 0; j < 4 && (c & 0x80) != 0; j++) {
            c = rd_u8(&r);
            len = len << 7 | (c & 0x7f);
        }
        if (tag == 5 && !r.underrun && len <= (size_t)(r.end - r.p))
            return slice_of(r.p, len);
        (void)rd_take(&r, tag == 3 ? 3 : tag == 4 ? 13 : len);
    }
    return (struct slice){0};
}

static void read_entry(struct track *t, struct box entry)
{
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        const struct codec *c = &codecs[i];
        size_t skip = c->audio ? AUDIO_ENTRY : VIDEO_ENTRY;
        if ((entry.type != c->entries[0] && entry.type != c->entries[1]) || entry.body.len < skip)
            continue;
        t->codec = c;
        t->config = box_find(slice_of(entry.body.p + skip, entry.body.len - skip), c->config);
        if (c->audio)
            t->config = es_config(t->config);
    }
}

static void read_trak(struct movie *m, struct slice trak)
{
    if (m->track_count == TRACKS_MAX)
        return;
    struct track *t = &m->tracks[m->track_count++];
    struct slice mdia = box_find(trak, FOURCC('m', 'd', 'i', 'a'));
    struct slice tkhd = box_find(trak, FOURCC('t', 'k', 'h', 'd'));
    struct slice mdhd = box_find(mdia, FOURCC('m', 'd', 'h', 'd'));
    struct slice stbl =
        box_find(box_find(mdia, FOURCC('m', 'i', 'n', 'f')), FOURCC('s', 't', 'b', 'l'));
    struct slice stsd = box_find(stbl, FOURCC('s', 't', 's', 'd'));
    struct rd r = rd_init(tkhd.p, tkhd.len);
    (void)rd_take(&r, rd_u32(&r) >> 24 == 1 ? 16 : 8);
    t->id = rd_u32(&r);
    r = rd_init(mdhd.p, mdhd.len);
    (void)rd_take(&r, rd_u32(&r) >> 24 == 1 ? 16 : 8);
    t->timescale = rd_u32(&r);
    struct box entry;
    if (stsd.len <= BOX_FULL_HEADER + 4)
        return;
    stsd = slice_of(stsd.p + BOX_FULL_HEADER + 4, stsd.len - BOX_FULL_HEADER - 4);
    if (t->timescale > 0 && box_next(&stsd, &entry))
        read_entry(t, entry);
}

static struct track *track_of(struct movie *m, uint32_t id)
{
    for (int i = 0; i < m->track_count; i++)
        if (m->tracks[i].id == id)
            return &m->tracks[i];
    return NULL;
}

static void read_trex(struct movie *m, struct slice trex)
{
    struct rd r = rd_init(trex.p, trex.len);
    (void)rd_u32(&r);
    struct track *t = track_of(m, rd_u32(&r));
    if (t == NULL)
        return;
    (void)rd_u32(&r);
    t->duration = rd_u32(&r);
    t->size = rd_u32(&r);
    t->flags = rd_u32(&r);
}

/* Of each kind, only the first track is played. */
static void choose(struct movie *m)
{
    bool have[2] = {false, false};
    for (int i = 0; i < m->track_count; i++) {
        struct track *t = &m->tracks[i];
        if (t->codec != NULL && (have[t->codec->audio] || t->config.len == 0))
            t->codec = NULL;
        if (t->codec != NULL)
            have[t->codec->audio] = true;
    }
}

static void read_moov(struct movie *m, struct slice moov)
{
    struct slice rest = moov;
    for (struct box b; box_next(&rest, &b);)
        if (b.type == FOURCC('t', 'r', 'a', 'k'))
            read_trak(m, b.body);
    rest = box_find(moov, FOURCC('m', 'v', 'e', 'x'));
    for (struct box b; box_next(&rest, &b);)
        if (b.type == FOURCC('t', 'r', 'e', 'x'))
            read_trex(m, b.body);
    choose(m);
}

/* ---- moof ---- */

struct run {
    struct track *track;
    size_t base, at; /* offsets in the file: what offsets count from, the next sample */
    uint32_t duration, size, flags;
};

static void add_sample(struct movie *m, struct run *run, uint32_t duration, uint32_t size,
                       uint32_t flags, int32_t cts)
{
    struct track *t = run->track;
    if (m->sample_count == m->room) {
        m->room = m->room > 0 ? 2 * m->room : 1024;
        m->samples = xrealloc(m->samples, m->room * sizeof m->samples[0]);
    }
    m->samples[m->sample_count] = (struct sample){
        .track = t,
        .data = slice_of(m->file.p + run->at, size),
        .at_ms = (uint32_t)(t->time * 1000 / t->timescale),
        .cts_ms = (int32_t)((int64_t)cts * 1000 / t->timescale),
        .key = t->codec->audio || (flags & SAMPLE_NO_SYNC) == 0,
        .order = m->sample_count,
    };
    m->sample_count++;
    t->time += duration;
    run->at += size;
}

/* 14496-12, 8.8.8 */
static int read_trun(struct movie *m, struct run *run, struct slice body)
{
    struct rd r = rd_init(body.p, body.len);
    uint32_t flags = rd_u32(&r), count = rd_u32(&r);
    if (flags & 0x1)
        run->at = run->base + (size_t)(int32_t)rd_u32(&r);
    uint32_t first_flags = flags & 0x4 ? rd_u32(&r) : run->flags;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t duration = flags & 0x100 ? rd_u32(&r) : run->duration;
        uint32_t size = flags & 0x200 ? rd_u32(&r) : run->size;
        uint32_t own = flags & 0x400 ? rd_u32(&r) : i == 0 ? first_flags : run->flags;
        int32_t cts = flags & 0x800 ? (int32_t)rd_u32(&r) : 0;
        if (r.underrun || run->at > m->file.len || size > m->file.len - run->at ||
            size > FLV_BODY_MAX - PREFIX_MAX || m->sample_count == SAMPLES_MAX)
            return ERR_PROTOCOL;
        add_sample(m, run, duration, size, own, cts);
    }
    return 0;
}

/* 14496-12, 8.8.7 */
static void read_tfhd(struct movie *m, struct run *run, struct slice body)
{
    struct rd r = rd_init(body.p, body.len);
    uint32_t flags = rd_u32(&r);
    run->track = track_of(m, rd_u32(&r));
    if (run->track == NULL || run->track->codec == NULL) {
        run->track = NULL;
        return;
    }
    if (flags & 0x1)
        run->base = run->at = (size_t)rd_u64(&r);
    if (flags & 0x2)
        (void)rd_u32(&r);
    run->duration = flags & 0x8 ? rd_u32(&r) : run->track->duration;
    run->size = flags & 0x10 ? rd_u32(&r) : run->track->size;
    run->flags = flags & 0x20 ? rd_u32(&r) : run->track->flags;
}

static int read_traf(struct movie *m, size_t moof_at, struct slice rest)
{
    struct run run = {.base = moof_at, .at = moof_at};
    int err = 0;
    for (struct box b; err == 0 && box_next(&rest, &b);) {
        struct rd r = rd_init(b.body.p, b.body.len);
        if (b.type == FOURCC('t', 'f', 'h', 'd'))
            read_tfhd(m, &run, b.body);
        else if (b.type == FOURCC('t', 'f', 'd', 't') && run.track != NULL)
            run.track->time = rd_u32(&r) >> 24 == 1 ? rd_u64(&r) : rd_u32(&r);
        else if (b.type == FOURCC('t', 'r', 'u', 'n') && run.track != NULL)
            err = read_trun(m, &run, b.body);
    }
    return err;
}

/* ---- FLV ---- */

static void write_prefix(const struct codec *c, bool config, const struct sample *s, struct wr *w)
{
    unsigned type = config || s->key ? 0x10 : 0x20;
    if (c->audio) {
        wr_u8(w, AAC_STEREO);
        wr_u8(w, !config);
        return;
    }
    if (c->legacy) {
        wr_u8(w, type | 7);
        wr_u8(w, !config);
    } else {
        wr_u8(w, EX_VIDEO | type | !config);
        wr_u32(w, c->fourcc);
    }
    if (c->legacy || (c->timed && !config))
        wr_u24(w, (uint32_t)s->cts_ms & 0xffffff);
}

static int write_tag(struct buf *out, const struct codec *c, bool config, const struct sample *s)
{
    uint8_t head[FLV_TAG_HEADER_SIZE], prefix[PREFIX_MAX], trailer[FLV_TAG_TRAILER_SIZE];
    struct wr w = wr_init(prefix, sizeof prefix);
    write_prefix(c, config, s, &w);
    size_t body_len = wr_len(&w) + s->data.len;
    flv_tag_header(head, c->audio ? FLV_TAG_AUDIO : FLV_TAG_VIDEO, body_len, s->at_ms);
    flv_tag_trailer(trailer, body_len);
    int err = buf_append(out, head, sizeof head);
    if (err == 0)
        err = buf_append(out, prefix, wr_len(&w));
    if (err == 0)
        err = buf_append(out, s->data.p, s->data.len);
    return err == 0 ? buf_append(out, trailer, sizeof trailer) : err;
}

static int by_time(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static int write_flv(struct movie *m, struct buf *out)
{
    uint8_t head[FLV_FILE_HEADER_SIZE];
    flv_file_header(head, true, true);
    int err = buf_append(out, head, sizeof head);
    for (int i = 0; i < m->track_count && err == 0; i++) {
        const struct track *t = &m->tracks[i];
        const struct sample config = {.track = t, .data = t->config};
        if (t->codec != NULL)
            err = write_tag(out, t->codec, true, &config);
    }
    qsort(m->samples, m->sample_count, sizeof m->samples[0], by_time);
    for (size_t i = 0; i < m->sample_count && err == 0; i++)
        err = write_tag(out, m->samples[i].track->codec, false, &m->samples[i]);
    return err;
}

int mp4_file_to_flv(struct slice file, struct buf *out)
{
    struct movie m = {.file = file};
    struct slice rest = file;
    int err = 0;
    for (struct box b; err == 0 && box_next(&rest, &b);) {
        struct slice inside = b.body;
        if (b.type == FOURCC('m', 'o', 'o', 'v'))
            read_moov(&m, b.body);
        for (struct box t;
             b.type == FOURCC('m', 'o', 'o', 'f') && err == 0 && box_next(&inside, &t);)
            if (t.type == FOURCC('t', 'r', 'a', 'f'))
                err = read_traf(&m, (size_t)(b.body.p - file.p) - BOX_HEADER, t.body);
    }
    if (err == 0)
        err = m.sample_count > 0 ? write_flv(&m, out) : ERR_UNSUPPORTED;
    free(m.samples);
    return err;
}
