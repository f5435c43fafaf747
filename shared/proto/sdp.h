#ifndef SLUICE_PROTO_SDP_H
#define SLUICE_PROTO_SDP_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Session descriptions (RFC 8866) as WebRTC uses them (RFC 8829): the offer of a WHIP or WHEP
 * client and the fragment of a PATCH (RFC 8840).  Every value that is used is checked; attributes
 * that mean nothing to us are passed over, candidates are counted and forgotten.  Slices point into
 * the caller's text, so a struct sdp_offer lives no longer than it.  Nothing here allocates.
 *
 *   text ──sdp_offer_read──▶ sdp_offer ──sdp_negotiate──▶ sdp_session ──sdp_answer_write──▶ text
 */
#define SDP_BYTES_MAX        (64 * 1024)
#define SDP_LINE_MAX         2048 /* bytes of a line */
#define SDP_MEDIA_MAX        8    /* m-lines */
#define SDP_PAYLOADS_MAX     64   /* payload types of an m-line */
#define SDP_FINGERPRINTS_MAX 4    /* of a transport */
#define SDP_EXTENSIONS_MAX   32   /* header extensions of an m-line */
#define SDP_SSRCS_MAX        16   /* of an m-line: three simulcast layers with RTX are six */
#define SDP_RIDS_MAX         8    /* of an m-line */
#define SDP_TOKEN_MAX        64   /* bytes of a mid, a rid or a codec's name */
#define SDP_UFRAG_MIN        4    /* bytes (RFC 8839, 5.4) */
#define SDP_PWD_MIN          22
#define SDP_ICE_MAX          256 /* bytes of either */

enum sdp_kind { SDP_AUDIO, SDP_VIDEO, SDP_OTHER_KIND };

enum sdp_codec {
    SDP_CODEC_OTHER, /* known by its number only */
    SDP_H264,
    SDP_H265,
    SDP_VP8,
    SDP_VP9,
    SDP_AV1,
    SDP_OPUS,
    SDP_RTX
};
/* As in a=rtpmap: "H264". */
const char *sdp_codec_name(enum sdp_codec c);

/* What may be told back (a=rtcp-fb), as bits. */
enum sdp_feedback {
    SDP_FB_NACK = 1,
    SDP_FB_PLI = 2,  /* nack pli */
    SDP_FB_FIR = 4,  /* ccm fir */
    SDP_FB_REMB = 8, /* goog-remb */
    SDP_FB_TRANSPORT_CC = 16
};

/* Header extensions (a=extmap) that mean something here. */
enum sdp_extension_kind {
    SDP_EXT_MID,
    SDP_EXT_RID,
    SDP_EXT_REPAIRED_RID,
    SDP_EXT_TRANSPORT_CC,
    SDP_EXT_ABS_SEND_TIME,
    SDP_EXT_PLAYOUT_DELAY,
    SDP_EXT_KINDS
};
/* The URI that stands for it. */
const char *sdp_extension_uri(enum sdp_extension_kind k);

/* A payload type with what rtpmap, fmtp and rtcp-fb say of it. */
struct sdp_payload {
    uint8_t type; /* 0 to 127 */
    enum sdp_codec codec;
    struct slice name; /* the codec's, as the offer writes it */
    uint32_t clock_hz;
    uint32_t channels;           /* 1 when not told */
    uint32_t feedback;           /* enum sdp_feedback */
    struct slice fmtp;           /* as sent; p NULL: none */
    struct slice parameter_sets; /* H.264: sprop-parameter-sets; len 0: none */
    /* Out of fmtp; 0 when not told. */
    uint32_t profile_level_id;  /* H.264: three bytes; without it 0x42000a (RFC 6184, 8.1) */
    uint8_t packetization_mode; /* H.264 */
    bool level_asymmetry;       /* H.264 */
    uint8_t profile;            /* VP9 profile-id, AV1 profile */
    uint8_t apt;                /* RTX: the payload type that it repeats */
    bool has_apt, has_rtpmap;
    bool malformed; /* one of those has no valid value: not to be used */
};

enum sdp_hash { SDP_SHA256, SDP_SHA384, SDP_SHA512 };
#define SDP_HASH_MAX 64 /* bytes */
struct sdp_fingerprint {
    enum sdp_hash hash;
    uint8_t bytes[SDP_HASH_MAX];
    size_t len; /* of the hash */
};

enum sdp_setup { SDP_SETUP_NONE, SDP_ACTPASS, SDP_ACTIVE, SDP_PASSIVE };
enum sdp_direction { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };

/* ICE and DTLS of the session, or of one m-line. */
struct sdp_transport {
    struct slice ufrag, pwd; /* len 0: none here */
    struct sdp_fingerprint fingerprints[SDP_FINGERPRINTS_MAX];
    size_t fingerprint_count; /* of hashes that we know; others are passed over */
    enum sdp_setup setup;
};

/* An SSRC, and the one that repeats it (a=ssrc-group:FID). */
struct sdp_ssrc {
    uint32_t ssrc, rtx;
    bool has_rtx, is_rtx;
};

struct sdp_media {
    enum sdp_kind kind;
    struct slice type, protocol, formats; /* of the m-line, as sent: a refused one is answered so */
    bool usable;                          /* RTP over DTLS, and the port does not refuse it */
    bool bundled;                         /* its mid is in the BUNDLE group */
    struct slice mid;                     /* len 0: none */
    enum sdp_direction direction;
    bool rtcp_mux, rtcp_mux_only, rtcp_rsize, bundle_only;
    bool rcvr_rtt; /* RFC 3611, 5.1: a receiver measures the round trip, whoever it is */
    struct sdp_transport transport;
    struct sdp_payload payloads[SDP_PAYLOADS_MAX]; /* in the order of the m-line */
    size_t payload_count;
    uint8_t extensions[SDP_EXT_KINDS]; /* ids, 0: not offered */
    struct sdp_ssrc ssrcs[SDP_SSRCS_MAX];
    size_t ssrc_count;
    struct slice rids[SDP_RIDS_MAX]; /* that the peer would send */
    size_t rid_count;
    bool simulcast;
    uint32_t candidates;
};

struct sdp_offer {
    struct sdp_media media[SDP_MEDIA_MAX];
    size_t media_count;
    bool has_bundle, ice_lite;
    /* That of the bundle: of the first bundled m-line, else of the first, with what it lacks out of
     * the session. */
    struct sdp_transport transport;
    uint32_t candidates; /* of all m-lines */
};

/* Why a text was refused: `line` counts from 1 (0: the whole of it), `why` is a literal. */
struct sdp_error {
    unsigned line;
    const char *why;
};

/*
 * Reads an offer.  0, or
 *   ERR_TOO_LARGE    a line or the whole is too long
 *   ERR_TOO_MANY     more items than the limits above
 *   ERR_PROTOCOL     malformed, or an m-line of ours lacks what WebRTC demands
 * and *error says where.  *out is undefined then.
 */
int sdp_offer_read(struct slice text, struct sdp_offer *out, struct sdp_error *error);

/* The payload type of that number, NULL when the m-line has none. */
const struct sdp_payload *sdp_payload_find(const struct sdp_media *m, unsigned type);

/* A fragment: new candidates, or new credentials. */
struct sdp_fragment {
    struct slice ufrag, pwd; /* len 0: none; both or neither */
    uint32_t candidates;
    bool end_of_candidates;
};

/* Reads application/trickle-ice-sdpfrag, as sdp_offer_read() does. */
int sdp_fragment_read(struct slice text, struct sdp_fragment *out, struct sdp_error *error);

#endif
