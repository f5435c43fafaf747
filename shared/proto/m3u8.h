#ifndef SLUICE_PROTO_M3U8_H
#define SLUICE_PROTO_M3U8_H

#include "base/buf.h"
#include "proto/hls_name.h"

/*
 * Writes HLS playlists (draft-pantos-hls-rfc8216bis-22) from a plain model.  The same model gives
 * the same bytes everywhere: no clock, no locale, no floating point.  URIs are relative and made of
 * the names of hls_name.h.  Text that is given is written as it is: it may hold no quote and no
 * control character.
 */
#define M3U8_BYTES_MAX      (1024 * 1024) /* of a playlist */
#define M3U8_PART_TARGETS   3 /* target durations from the end within which parts are listed … */
#define M3U8_PART_SEGMENTS  3 /* … of so many segments at most, with the one being written */
#define M3U8_WINDOW_TARGETS 3 /* target durations that a live playlist has at least */
#define M3U8_SKIP_TARGETS   6 /* target durations that the skip boundary is from the end */
#define M3U8_HOLD_PARTS     3 /* part targets that players stay behind the end */

struct m3u8_part {
    int64_t duration_us;
    bool independent; /* has a key frame */
    bool gap;         /* its bytes are not to be had */
};

struct m3u8_segment {
    uint64_t epoch;
    uint64_t dsn;        /* one more than that of the segment before it: a discontinuity */
    int64_t wall_us;     /* unix time of its first frame */
    int64_t duration_us; /* of a complete one */
    uint64_t init_hash;  /* 0: a gap without a configuration */
    bool complete;       /* false: the last, of which there are only parts */
    bool independent;    /* begins with a key frame */
    bool gap;
    const struct m3u8_part *parts; /* in order, from 0 */
    uint32_t part_count;
};

/* How far another media playlist of the stream is. */
struct m3u8_report {
    struct hls_rendition rendition;
    uint64_t msn;
    uint32_t part;
    bool has_part;
};

struct m3u8_media {
    struct hls_rendition rendition;
    uint32_t target_s;      /* TARGETDURATION: never changes */
    int64_t part_target_us; /* 0: no low latency */
    bool can_skip;          /* delta updates are offered: m3u8_can_skip() */
    uint64_t first_msn;     /* of segments[0]; the others follow without gaps */
    const struct m3u8_segment *segments;
    size_t segment_count;
    const struct hls_object *hint; /* the coming part; NULL: none */
    const struct m3u8_report *reports;
    size_t report_count;
    bool ended;
};

/* TARGETDURATION for segments of segment_ms, which may be twice as long between key frames. */
uint32_t m3u8_target_s(int64_t segment_ms);
/*
 * PART-TARGET for parts of part_ms, whole milliseconds: 115 % of it, so that what lasts part_ms, or
 * a little less by rounded times, is more than the 85 % that parts must have.  Where a part of
 * whole frames (step_us apart; 0: not known) would be longer than that, a little more than it
 * lasts.
 */
int64_t m3u8_part_target_us(int64_t part_ms, int64_t step_us);
/* What parts last at least, but for the exceptions of section 4.4.4.9. */
int64_t m3u8_part_least_us(int64_t part_target_us);
/* Whether playlists of so many segments are long enough for delta updates. */
bool m3u8_can_skip(int64_t segment_ms, size_t window_segments);

/* Appends the playlist.  `delta`: a delta update if the model has one, else all of it.  0 or as
 * buf_append(). */
int m3u8_write_media(const struct m3u8_media *m, bool delta, struct buf *out);

/* The multivariant playlist. */
struct m3u8_variant {
    struct hls_rendition rendition;
    uint32_t bandwidth_bps, average_bps; /* average 0: not told */
    const char *codecs;                  /* RFC 6381, of every rendition of it */
    uint32_t width, height;              /* 0: none, or not known */
    uint32_t frame_rate_milli;           /* frames per 1000 s; 0: not told */
    const char *audio_group;             /* NULL: none */
};

/* An alternative audio rendition (EXT-X-MEDIA). */
struct m3u8_audio {
    struct hls_rendition rendition;
    const char *group, *name;
    uint32_t channels; /* 0: not told */
    bool is_default;
    bool in_variant; /* it is in the variants' own segments */
};

struct m3u8_multivariant {
    const struct m3u8_variant *variants;
    size_t variant_count;
    const struct m3u8_audio *audios;
    size_t audio_count;
};
int m3u8_write_multivariant(const struct m3u8_multivariant *m, struct buf *out);

#endif
