#ifndef SLUICE_PROTO_RTP_PACK_H
#define SLUICE_PROTO_RTP_PACK_H

#include "base/slice.h"
#include "proto/flv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An access unit, as (Enhanced) FLV carries it, becomes RTP payloads of at most RTP_PAYLOAD_MAX
 * bytes:
 *
 *   H.264  single NAL units, STAP-A, FU-A              RFC 6184, packetization mode 1
 *   H.265  single NAL units, AP, FU                    RFC 7798
 *   VP8    descriptor with a picture number            RFC 7741
 *   VP9    descriptor with a picture number, no layers RFC 9628
 *   AV1    OBUs without their sizes                    RTP Payload Format For AV1 (AOM)
 *   Opus   the packet                                  RFC 7587
 *
 * What is cut is cut into pieces of one size (the last may be shorter), so that a viewer's packets
 * leave as one GSO message.  Coded bytes are not copied but where several small units share a
 * payload: pieces point into the unit.  Delimiters, filler and SEI are left out; key frames of
 * H.264, H.265 and AV1 that do not bring what a decoder needs beforehand get it from the
 * configuration.
 */
#define RTP_PAYLOAD_MAX    1188 /* bytes; with RTP, SRTP, UDP and IPv6 headers below 1,280 */
#define RTP_AUDIO_MAX      1400 /* bytes of an audio packet, which cannot be cut */
#define RTP_PACK_UNITS_MAX 4096 /* NAL units or OBUs of one access unit */

struct rtp_packer; /* of one track */

/* The codec is one of FLV_CODEC_AVC, HEVC, VP8, VP9, AV1 and OPUS, else NULL. */
struct rtp_packer *rtp_packer_new(uint32_t codec);
void rtp_packer_free(struct rtp_packer **pp);

/* The configuration from here on: what an FLV_CONFIG packet carries.  0, or ERR_PROTOCOL,
 * ERR_TOO_LARGE (the one before stays). */
int rtp_packer_configure(struct rtp_packer *p, struct slice config);

struct rtp_payload {
    const struct slice *pieces; /* one after the other */
    size_t piece_count, len;
};

struct rtp_packed {
    const struct rtp_payload *payloads; /* the last one gets the marker */
    size_t count;                       /* 0: nothing to send in it */
    bool bidirectional;                 /* H.264: it has B slices */
};

/*
 * Payloads of a coded frame: the payload of an FLV_FRAMES packet.  They are valid until the next
 * call and point into `frame`, which has to live as long, or into the packer.  0, or
 *   ERR_PROTOCOL   broken
 *   ERR_NOT_FOUND  no configuration, which tells how to read it
 *   ERR_TOO_LARGE  audio over RTP_AUDIO_MAX
 *   ERR_TOO_MANY   units
 */
int rtp_pack(struct rtp_packer *p, struct slice frame, bool key, struct rtp_packed *out);

#endif
