#ifndef SLUICE_PROTO_FMP4_H
#define SLUICE_PROTO_FMP4_H

#include "base/bytes.h"
#include "base/slice.h"
#include "proto/codec_info.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Writes fragmented MP4 (ISO/IEC 14496-12, CMAF: 23000-19): an initialization segment, and media in
 * parts.
 *
 *   tracks ──fmp4_init──> [ftyp][moov]
 *   runs of samples ──fmp4_part_head──> [moof][mdat header], then the payloads where they lie
 *
 * A part is one moof and one mdat.  In mdat the runs follow each other, and a run's samples lie
 * side by side.  A segment is its parts one after the other: nothing is between them, before the
 * first or after the last.
 *
 * The same input gives the same bytes, always: there are no times of creation, no edit lists and no
 * random numbers.  Thread: any; nothing is shared.
 */

#define FMP4_TRACKS_MAX     64                   /* tracks of one init segment, runs of one part */
#define FMP4_SAMPLES_MAX    65536                /* samples of one part */
#define FMP4_PART_BYTES_MAX (1024 * 1024 * 1024) /* payload of one part; offsets have 31 bits */

/* Flags of a sample (14496-12, 8.8.3.1): depends on others or not, and not a sync sample. */
#define FMP4_SAMPLE_SYNC  0x02000000U
#define FMP4_SAMPLE_INTER 0x01010000U

/* The id of a published track: video 0 is 1, audio 0 is 2, video 1 is 3 ... */
static inline uint32_t fmp4_track_id(enum flv_kind kind, uint8_t track)
{
    return 1U + (kind == FLV_AUDIO ? 1U : 0U) + 2U * track;
}

/* mfhd's sequence_number of a part. */
static inline uint32_t fmp4_sequence(uint64_t msn, uint32_t part)
{
    return (uint32_t)(msn & 0x3fffff) << 10 | (part & 0x3ff);
}

struct fmp4_track {
    uint32_t id; /* fmp4_track_id() */
    const struct codec_info *info;
};

/* Room that fmp4_init() needs; it may write less. */
size_t fmp4_init_size(const struct fmp4_track *tracks, int count);

/* Writes the initialization segment of 1 to FMP4_TRACKS_MAX tracks, in this order. */
void fmp4_init(const struct fmp4_track *tracks, int count, struct wr *w);

struct fmp4_sample {
    struct slice payload; /* codec_sample() */
    uint32_t duration;    /* in units of the track's timescale */
    int32_t cts;          /* presentation minus decoding time, the same units */
    bool sync;            /* decoding may start here; every sample of sound */
};

/* Samples of one track that follow each other. */
struct fmp4_run {
    uint32_t track_id;
    bool audio;           /* all samples are sync samples without cts */
    uint64_t decode_time; /* of the first one (tfdt), in units of the track's timescale */
    const struct fmp4_sample *samples;
    uint32_t count; /* with 0, the track is not mentioned */
};

struct fmp4_part {
    uint32_t sequence; /* fmp4_sequence() */
    const struct fmp4_run *runs;
    int count; /* runs, at most FMP4_TRACKS_MAX */
};

/*
 * What a part costs: *head_size is what fmp4_part_head() writes, *payload_size what follows.
 * 0, or ERR_TOO_LARGE / ERR_TOO_MANY when it is over a limit above.
 */
int fmp4_part_size(const struct fmp4_part *part, size_t *head_size, size_t *payload_size);

/* Writes moof and the header of mdat of a part that fmp4_part_size() accepted. */
void fmp4_part_head(const struct fmp4_part *part, struct wr *w);

/* The whole part: head (as written) and the payloads in their order.  Returns the number of iovecs,
 * at most one more than there are samples, or ERR_TOO_MANY when they are more than room. */
int fmp4_part_iov(const struct fmp4_part *part, struct slice head, struct iovec *iov, int room);

#endif
