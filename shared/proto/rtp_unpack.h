#ifndef SLUICE_PROTO_RTP_UNPACK_H
#define SLUICE_PROTO_RTP_UNPACK_H

#include "base/slice.h"
#include "proto/flv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * RTP payloads of one whole access unit become its bytes as an (Enhanced) FLV body carries them:
 *
 *   H.264  NAL units with four bytes of length    RFC 6184, packetization modes 0 and 1
 *   VP8    the frame                              RFC 7741
 *   VP9    the frame, or a superframe of layers   RFC 9628
 *   AV1    OBUs with their sizes                  RTP Payload Format For AV1 (AOM)
 *   Opus   the packet                             RFC 7587
 *
 * Whoever calls has put the packets in order and knows that none is missing between them; what is
 * still not whole (a fragment without its end, a slice without the picture's first one) is refused.
 * Parameter sets, delimiters and filler are taken out of H.264, temporal delimiters and padding out
 * of AV1: what a decoder needs beforehand is in the configuration.
 */
#define RTP_UNIT_BYTES_MAX (4 * 1024 * 1024) /* of one access unit */
#define RTP_UNIT_HEADROOM  16 /* bytes before rtp_unit.bytes that are the caller's: FLV header */

struct rtp_unpacker; /* of one track: what is in force, and room for one unit */

/* The codec is one of FLV_CODEC_AVC, VP8, VP9, AV1 and OPUS, else NULL. */
struct rtp_unpacker *rtp_unpacker_new(uint32_t codec);
void rtp_unpacker_free(struct rtp_unpacker **up);

/* H.264: parameter sets that were told beforehand (RFC 6184, 8.1, sprop-parameter-sets); those that
 * are none are passed over.  Nothing happens with other codecs. */
void rtp_unpack_sets(struct rtp_unpacker *u, struct slice sprop);

struct rtp_unit {
    bool key;            /* decoding may start here */
    bool config_changed; /* config is another one than before this unit */
    struct slice config; /* as FLV_SEQUENCE_START carries it; empty until it is known */
    uint8_t *bytes;      /* of the coded frame; valid, with config, until the next call */
    size_t len;          /* 0: nothing to decode in it, as parameter sets alone */
};

/*
 * The payloads of one access unit in order; empty ones (padding) are passed over.  0, or
 *   ERR_PROTOCOL     not whole, or broken
 *   ERR_UNSUPPORTED  a payload structure that was not negotiated
 *   ERR_NOT_FOUND    parameter sets that a decoder needs have not come
 *   ERR_TOO_LARGE    over RTP_UNIT_BYTES_MAX, or a parameter set that is too long
 *   ERR_TOO_MANY     parameter sets, or layers
 *   ERR_NOMEM
 * After an error decoding can go on only with a key frame.
 */
int rtp_unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count,
               struct rtp_unit *out);

/* This payload is the first of an access unit, whatever was sent before it; false when it does not
 * tell. */
bool rtp_unpack_begins(const struct rtp_unpacker *u, struct slice payload);

#endif
