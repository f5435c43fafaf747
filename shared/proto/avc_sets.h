#ifndef SLUICE_PROTO_AVC_SETS_H
#define SLUICE_PROTO_AVC_SETS_H

#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The parameter sets of an H.264 stream that brings them between its pictures, and the
 * AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) made of them.
 */
#define AVC_SETS_MAX       48  /* SPS and PPS of one stream */
#define AVC_SPS_MAX        16  /* of them SPS */
#define AVC_SET_BYTES_MAX  512 /* bytes of one */
#define AVC_RECORD_MAX     (AVC_SETS_MAX * (AVC_SET_BYTES_MAX + 2) + 16) /* bytes */
#define AVC_NAL_TYPE(byte) ((byte)&0x1f)

enum avc_nal {
    AVC_NAL_SLICE = 1,
    AVC_NAL_PARTITION_A = 2,
    AVC_NAL_PARTITION_C = 4,
    AVC_NAL_IDR = 5,
    AVC_NAL_SEI = 6,
    AVC_NAL_SPS = 7,
    AVC_NAL_PPS = 8,
    AVC_NAL_AUD = 9,
    AVC_NAL_END_OF_SEQUENCE = 10,
    AVC_NAL_END_OF_STREAM = 11,
    AVC_NAL_FILLER = 12,
};

/* The NAL unit with that first byte is a parameter set. */
static inline bool avc_is_set(uint8_t first)
{
    return AVC_NAL_TYPE(first) == AVC_NAL_SPS || AVC_NAL_TYPE(first) == AVC_NAL_PPS;
}

struct avc_set {
    uint8_t type; /* AVC_NAL_SPS or AVC_NAL_PPS */
    uint16_t len;
    uint32_t id;
    uint64_t came;                    /* the last time, as avc_sets.came counts */
    uint8_t bytes[AVC_SET_BYTES_MAX]; /* the NAL unit */
};

/* All zero: empty. */
struct avc_sets {
    uint32_t count;
    uint64_t came; /* sets, so far */
    bool changed;  /* since the last avc_sets_record() */
    struct avc_set sets[AVC_SETS_MAX];
};

/* Takes an SPS or PPS NAL unit.  One of the same id is replaced; when there are too many, the one
 * that has not come for the longest time.  0, ERR_PROTOCOL or ERR_TOO_LARGE. */
int avc_sets_put(struct avc_sets *s, struct slice nal);

/* Writes the record (at most AVC_RECORD_MAX bytes, four bytes of NAL unit size); ERR_NOT_FOUND
 * without an SPS and a PPS, ERR_PROTOCOL. */
int avc_sets_record(struct avc_sets *s, struct wr *w);

#endif
