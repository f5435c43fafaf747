#ifndef SLUICE_EDGE_HLS_TRACKS_H
#define SLUICE_EDGE_HLS_TRACKS_H

#include "media/log.h"
#include "media/sample.h"
#include "proto/hls_name.h"

/*
 * What the tracks of a segment are, as its configuration says: for init segments, for the samples
 * of its parts and for the multivariant playlist.  Segments with the same (epoch, init) share one.
 * On one worker.
 */
struct hls_track {
    uint16_t number; /* frame_track_number() */
    struct codec_info info;
};

struct hls_tracks {
    uint64_t epoch;
    uint32_t init;
    struct inforce *inforce; /* what the codec_infos point into */
    uint32_t count;
    struct hls_track tracks[]; /* those that MP4 can carry */
};

/* Of the segment that begins with `first`.  NULL when no track of it can be carried, or its frames
 * do not say how yet. */
struct hls_tracks *hls_tracks_new(const struct run *r, const struct log_part *first);
void hls_tracks_free(struct hls_tracks **tp);

const struct hls_track *hls_tracks_find(const struct hls_tracks *t, enum frame_kind kind,
                                        unsigned track);
/* A rendition's tracks, in order, into out; how many. */
size_t hls_tracks_of(const struct hls_tracks *t, struct hls_rendition r,
                     const struct hls_track *out[LOG_TRACKS_MAX]);

/* An init segment, allocated; NULL when the rendition has no track. */
uint8_t *hls_init_make(const struct hls_tracks *t, struct hls_rendition r, size_t *len,
                       uint64_t *hash);

#endif
