#ifndef SLUICE_PROTO_RTP_PACK_INTERNAL_H
#define SLUICE_PROTO_RTP_PACK_INTERNAL_H

#include "base/bytes.h"
#include "proto/rtp_pack.h"

#define PACK_CONFIG_MAX 4096 /* bytes of parameter sets or OBUs out of a configuration */

/* One payload format.  Functions return what rtp_pack.h documents. */
struct rtp_pack_format {
    uint32_t codec;
    bool needs_config;
    int (*configure)(struct rtp_packer *p, struct slice config); /* may be NULL */
    int (*pack)(struct rtp_packer *p, struct slice frame, bool key);
};
extern const struct rtp_pack_format rtp_pack_avc, rtp_pack_hevc, rtp_pack_vp8, rtp_pack_vp9,
    rtp_pack_av1, rtp_pack_opus;

struct rtp_packer {
    const struct rtp_pack_format *format;
    bool configured;
    uint8_t length_size; /* bytes before a NAL unit */
    size_t config_len;
    uint8_t config[PACK_CONFIG_MAX]; /* NAL units with two bytes of length each, or OBUs */
    uint16_t picture;                /* number of the next one; 15 bits */
    bool bidirectional;              /* of this unit */

    struct rtp_payload *payloads; /* piece_count and len until the end, then all */
    size_t payload_count, payload_room;
    struct slice *pieces; /* p NULL: the next bytes of `made`, until the end */
    size_t piece_count, piece_room;
    uint8_t *made;
    size_t made_len, made_room;
};

/* The configuration's own bytes; 0 or ERR_TOO_LARGE. */
int rtp_pack_keep_config(struct rtp_packer *p, struct slice bytes);

/* Payloads are written one after the other: begin, then bytes, copied or pointed to. */
void rtp_pack_begin(struct rtp_packer *p);
void rtp_pack_copy(struct rtp_packer *p, const void *src, size_t len);
void rtp_pack_point(struct rtp_packer *p, const uint8_t *src, size_t len);
/* Bytes of the payload so far. */
size_t rtp_pack_len(const struct rtp_packer *p);

/* Bytes of each piece but the last when `len` is cut into as few as possible of at most `max`. */
static inline size_t rtp_pack_share(size_t len, size_t max)
{
    size_t pieces = (len + max - 1) / max;
    return pieces > 0 ? (len + pieces - 1) / pieces : 0;
}

#endif
