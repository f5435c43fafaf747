#include "edge/hls_tracks.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/crypto.h"
#include "proto/fmp4.h"

#include <stdlib.h>

#define LOOK_FRAMES 2048 /* frames of a segment that are looked at for a codec's first word */

static const struct frame *find_inforce(const struct inforce *i, uint16_t number, uint8_t flag)
{
    for (uint32_t n = 0; i != NULL && n < i->count; n++)
        if (frame_track_number(i->frames[n]) == number && (i->frames[n]->flags & flag) != 0)
            return i->frames[n];
    return NULL;
}

static bool is_start(const struct frame *f, uint16_t number)
{
    return frame_is_media(f) && frame_track_number(f) == number &&
           (f->kind == FRAME_AUDIO || (f->flags & FRAME_KEY) != 0);
}

/* The configuration says it all, or the first frames do. */
static int read_track(struct hls_track *t, const struct run *r, const struct log_part *first)
{
    const struct frame *config = find_inforce(first->inforce, t->number, FRAME_CONFIG);
    const struct frame *meta = find_inforce(first->inforce, t->number, FRAME_META);
    int err = config != NULL ? frame_codec_info(&t->info, config, meta, NULL) : ERR_NOT_FOUND;
    uint64_t seq = first->seq > r->first ? first->seq : r->first;
    for (int n = 0; n < LOOK_FRAMES && seq < r->next && err == ERR_NOT_FOUND; n++, seq++) {
        const struct frame *f = run_frame(r, seq);
        if (is_start(f, t->number))
            err = frame_codec_info(&t->info, config, meta, f);
    }
    return err;
}

/* Sound alone would not be the stream. */
static bool has_no_form(const struct run *r)
{
    for (uint32_t i = 0; i < r->track_count; i++)
        if (r->tracks[i].kind == FRAME_VIDEO && r->tracks[i].id == 0)
            return flv_codec_needs_webrtc(r->tracks[i].codec);
    return false;
}

struct hls_tracks *hls_tracks_new(const struct run *r, const struct log_part *first)
{
    const struct cut *c = &first->cut;
    struct hls_tracks *t = xcalloc(1, sizeof *t + c->track_count * sizeof t->tracks[0]);
    t->epoch = r->epoch;
    t->init = c->init;
    t->inforce = inforce_ref(first->inforce);
    bool complete = run_segment_extent(r, first).complete, may_tell = false;
    for (uint32_t i = 0; i < c->track_count; i++) {
        t->tracks[t->count].number = c->tracks[i];
        int err = read_track(&t->tracks[t->count], r, first);
        t->count += err == 0;
        may_tell = may_tell || (err == ERR_NOT_FOUND && !complete);
    }
    if (t->count == 0 || may_tell || has_no_form(r))
        hls_tracks_free(&t);
    return t;
}

void hls_tracks_free(struct hls_tracks **tp)
{
    struct hls_tracks *t = *tp;
    *tp = NULL;
    if (t == NULL)
        return;
    inforce_unref(&t->inforce);
    free(t);
}

const struct hls_track *hls_tracks_find(const struct hls_tracks *t, enum frame_kind kind,
                                        unsigned track)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->tracks[i].number == ((unsigned)kind << 8 | track))
            return &t->tracks[i];
    return NULL;
}

static bool rendition_has(struct hls_rendition r, uint16_t track_number)
{
    unsigned kind = track_number >> 8, track = track_number & 0xff;
    if (r.kind == HLS_MAIN)
        return track == 0 && kind != FRAME_DATA;
    return track == r.track && kind == (r.kind == HLS_VIDEO ? FRAME_VIDEO : FRAME_AUDIO);
}

size_t hls_tracks_of(const struct hls_tracks *t, struct hls_rendition r,
                     const struct hls_track *out[LOG_TRACKS_MAX])
{
    size_t n = 0;
    for (uint32_t i = 0; i < t->count && n < LOG_TRACKS_MAX; i++)
        if (rendition_has(r, t->tracks[i].number))
            out[n++] = &t->tracks[i];
    return n;
}

uint8_t *hls_init_make(const struct hls_tracks *t, struct hls_rendition r, size_t *len,
                       uint64_t *hash)
{
    const struct hls_track *list[LOG_TRACKS_MAX];
    struct fmp4_track tracks[LOG_TRACKS_MAX];
    size_t n = hls_tracks_of(t, r, list);
    if (n == 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        tracks[i] = (struct fmp4_track){fmp4_track_id(list[i]->info.kind, (uint8_t)list[i]->number),
                                        &list[i]->info};
    size_t room = fmp4_init_size(tracks, (int)n);
    uint8_t *bytes = xmalloc(room), sum[SHA256_SIZE];
    struct wr w = wr_init(bytes, room);
    fmp4_init(tracks, (int)n, &w);
    must(!w.overflow);
    *len = wr_len(&w);
    crypto_sha256(slice_of(bytes, *len), sum);
    struct rd rd = rd_init(sum, sizeof sum);
    *hash = rd_u64(&rd);
    return bytes;
}
