#ifndef SLUICE_PROTO_RTP_H
#define SLUICE_PROTO_RTP_H

#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * RTP packets (RFC 3550, 5.1) and their header extensions (RFC 8285), one per datagram.
 * Nothing here allocates; slices point into the caller's bytes.
 *
 *   0                   1                   2                   3
 *  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 *  |                           timestamp                           |
 *  |                             SSRC                              |
 *  |            CSRCs (CC)   [ profile | words | elements ]        |
 */
#define RTP_HEADER_SIZE    12 /* bytes, without CSRCs and extensions */
#define RTP_VIDEO_RATE     90000
#define RTP_OPUS_RATE      48000
#define RTP_EXT_DATA_MAX   255 /* bytes of one element; 16 in the one-byte form */
#define RTP_EXT_ONE_ID_MAX 14  /* larger ids need the two-byte form */

struct rtp_header {
    bool marker;
    uint8_t payload_type; /* 0..127 */
    uint16_t seq;
    uint32_t timestamp; /* of the payload format's rate */
    uint32_t ssrc;
};

struct rtp_packet {
    struct rtp_header h;
    uint16_t ext_profile; /* 0xBEDE, 0x100x or another; 0 when there is no extension */
    uint16_t header_len;  /* bytes before the payload; what SRTP leaves unencrypted */
    uint8_t padding;      /* bytes at the end that are no payload */
    bool has_padding;
    struct slice ext; /* elements; empty when there are none */
    struct slice payload;
};

/* RTCP on the port that RTP is on (RFC 5761, 4): of a datagram whose first byte is 128..191. */
static inline bool rtp_is_rtcp(const uint8_t *packet, size_t len)
{
    return len >= 2 && packet[1] >= 192 && packet[1] <= 223;
}

/* Reads what is not encrypted, all but `padding`; payload is the rest of the packet.  0 or
 * ERR_PROTOCOL. */
int rtp_read_header(const uint8_t *src, size_t len, struct rtp_packet *out);

/* Reads a whole packet; 0 or ERR_PROTOCOL.  Of one that is padding only the payload is empty. */
int rtp_read(const uint8_t *src, size_t len, struct rtp_packet *out);

/* One element of a header extension. */
struct rtp_ext {
    uint8_t id; /* as the SDP maps it: 1..14, or up to 255 */
    struct slice data;
};

/* The first element with that id; elements behind a broken one are not seen. */
bool rtp_find_ext(const struct rtp_packet *p, uint8_t id, struct slice *data);

/* Writes a header with these elements, in the one-byte form where that can hold them all.  0, or
 * ERR_RANGE (id 0, element of more than RTP_EXT_DATA_MAX bytes); w->overflow when it did not fit.
 */
int rtp_write_header(struct wr *w, const struct rtp_header *h, const struct rtp_ext *exts,
                     size_t ext_count);

/* The number nearest to `near` whose lowest 16 (32) bits are v: sequence numbers and timestamps
 * without their wrap.  May be negative. */
static inline int64_t rtp_unwrap16(int64_t near, uint16_t v)
{
    return near + (int16_t)(uint16_t)(v - (uint16_t)near);
}

static inline int64_t rtp_unwrap32(int64_t near, uint32_t v)
{
    return near + (int32_t)(v - (uint32_t)near);
}

#endif
