#ifndef SLUICE_PROTO_HLS_NAME_H
#define SLUICE_PROTO_HLS_NAME_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Names of HLS playlists and objects, and the delivery directives of a playlist request
 * (draft-pantos-hls-rfc8216bis-22, 6.2.5).  A name says where the bytes are in the stream and so
 * never means other bytes; each thing has exactly one name (numbers without leading zeros).
 *
 *   index.m3u8                      the multivariant playlist
 *   main.m3u8 v1.m3u8 a2.m3u8       the media playlist of a rendition
 *   main-<epoch>-<msn>.m4s          a segment
 *   main-<epoch>-<msn>.<part>.m4s   a part of it
 *   main-<hash>.mp4                 what to initialise a decoder with; 16 hexadecimal digits
 */
#define HLS_NAME_MAX  64                /* bytes of a name, with terminator */
#define HLS_TRACK_MAX 15                /* of a rendition */
#define HLS_MSN_MAX   (1ULL << 53)      /* what a number of ECMAScript holds */
#define HLS_PART_MAX  ((1U << 10) - 1U) /* parts of a segment: mfhd has ten bits for them */

enum hls_rendition_kind {
    HLS_MAIN,  /* video 0 and audio 0 */
    HLS_VIDEO, /* video track alone */
    HLS_AUDIO, /* audio track alone */
};

struct hls_rendition {
    uint8_t kind;  /* enum hls_rendition_kind */
    uint8_t track; /* 0 for HLS_MAIN */
};

enum hls_object_kind { HLS_MULTIVARIANT, HLS_PLAYLIST, HLS_SEGMENT, HLS_PART, HLS_INIT };

struct hls_object {
    enum hls_object_kind kind;
    struct hls_rendition rendition; /* all but HLS_MULTIVARIANT */
    uint64_t epoch, msn;            /* HLS_SEGMENT, HLS_PART */
    uint32_t part;                  /* HLS_PART */
    uint64_t hash;                  /* HLS_INIT */
};

/* 0 or ERR_NAME. */
int hls_name_read(struct slice name, struct hls_object *out);
/* The name, terminated; its length. */
size_t hls_name_write(const struct hls_object *o, char out[HLS_NAME_MAX]);

/* "main", "v1", "a2": what a rendition's names begin with. */
#define HLS_RENDITION_TEXT_MAX 8 /* with terminator */
void hls_rendition_text(struct hls_rendition r, char out[HLS_RENDITION_TEXT_MAX]);

/* What a playlist request asks for besides the playlist. */
struct hls_directives {
    bool has_msn, has_part;
    bool skip;     /* a delta update will do */
    uint64_t msn;  /* _HLS_msn */
    uint32_t part; /* _HLS_part */
};

/* Reads a query as sent; what it does not know it ignores.  0, or ERR_PROTOCOL: no number, one
 * given twice, a part without a segment (to be answered with 400). */
int hls_directives_read(struct slice query, struct hls_directives *out);

/* How far a playlist is: the part that is being written.  Everything before it is listed. */
struct hls_head {
    uint64_t msn;            /* of the segment that is being written */
    uint32_t parts;          /* its complete parts */
    uint32_t previous_parts; /* parts of the segment before it; 0: none, or not known */
    uint32_t ahead_max;      /* parts that may be asked for in advance: hls_ahead_max() */
};

/* The Advance Part Limit: three parts, or parts for three seconds when they are shorter. */
uint32_t hls_ahead_max(int64_t part_target_us);

enum hls_verdict {
    HLS_READY,   /* the present playlist answers it */
    HLS_WAIT,    /* not yet */
    HLS_TOO_FAR, /* nobody who has read the playlist asks for that: 400 */
};

/* Whether a request is to be held.  That of a part behind the last one of its segment is one for
 * the first of the next. */
enum hls_verdict hls_directives_judge(const struct hls_directives *d, const struct hls_head *h);

#endif
