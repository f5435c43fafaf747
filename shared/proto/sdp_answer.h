#ifndef SLUICE_PROTO_SDP_ANSWER_H
#define SLUICE_PROTO_SDP_ANSWER_H

#include "base/bytes.h"
#include "proto/sdp.h"

/*
 * What an offer and what we have come to (RFC 3264, 8829, 9725), and the answer that says so: the
 * offer's payload types, mids, extension ids and order of m-lines; one codec for each track.
 */

/* A codec that we would take (WHIP) or give (WHEP). */
struct sdp_codec_wish {
    enum sdp_codec codec;
    uint32_t profile_level_id; /* of H.264 that we send; 0: any */
    uint8_t profile;           /* of VP9 and AV1 */
};
#define SDP_WISHES_MAX 8

/* The first `ranked` in this order, the others as the offer has them; count 0: none is wanted. */
struct sdp_kind_wish {
    struct sdp_codec_wish codecs[SDP_WISHES_MAX];
    size_t count, ranked;
};

struct sdp_wish {
    bool receive; /* the peer publishes: every m-line that it sends must be taken */
    struct sdp_kind_wish audio, video;
    bool playout_delay; /* we may send that extension */
};

/* What a WHIP endpoint takes: Opus; `first` where it is one of them, H.264, and then VP8, VP9 or
 * AV1, as the offer has them. */
void sdp_wish_publish(struct sdp_wish *w, enum sdp_codec first);

/* One track as agreed. */
struct sdp_track {
    enum sdp_kind kind;
    size_t media; /* index of the m-line in the offer */
    enum sdp_codec codec;
    uint8_t type, rtx_type; /* payload types; rtx_type is valid with has_rtx */
    bool has_rtx;
    bool reduced_rtcp; /* RTCP need not be compound (RFC 5506) */
    uint32_t clock_hz, channels;
    uint32_t profile_level_id;         /* H.264, of the payload type */
    uint8_t packetization_mode;        /* H.264 */
    struct slice parameter_sets;       /* H.264; in the offer's text */
    uint32_t feedback;                 /* enum sdp_feedback */
    uint8_t extensions[SDP_EXT_KINDS]; /* ids in use, 0: none */
    /* The sender's.  WHIP: as offered, 0 when not told (then by mid, or by payload type).  WHEP:
     * the caller fills them in before the answer is written. */
    uint32_t ssrc, rtx_ssrc;
};

struct sdp_session {
    bool receive;
    bool active; /* we are the client of the DTLS handshake */
    bool has_audio, has_video;
    struct sdp_track audio, video;
};

/*
 * 0, or
 *   ERR_PROTOCOL     the offer cannot be used by such an endpoint: not bundled, nothing offered
 *   ERR_UNSUPPORTED  no codec in common (receive: for any m-line; else: for video, or for all)
 * and error->why says so.  A WHEP m-line for which there is nothing is answered inactive.
 */
int sdp_negotiate(const struct sdp_offer *offer, const struct sdp_wish *wish,
                  struct sdp_session *out, struct sdp_error *error);

#define SDP_CANDIDATES_MAX 16 /* that we offer */

/* Our side of the transport. */
struct sdp_local {
    const char *ufrag, *pwd;
    const char *fingerprint;                    /* "sha-256 AB:CD…" */
    const char *candidates[SDP_CANDIDATES_MAX]; /* values of a=candidate, the best first */
    size_t candidate_count;
};

/* How the answer names what we send. */
struct sdp_names {
    uint64_t session_id;
    const char *cname;
    const char *stream_id; /* a=msid; letters, digits, '-' */
};

#define SDP_ANSWER_MAX (32 * 1024) /* bytes; enough for any answer */

/* Writes the answer; w->overflow when there is no room. */
void sdp_answer_write(struct wr *w, const struct sdp_offer *offer, const struct sdp_session *s,
                      const struct sdp_local *local, const struct sdp_names *names);

/* Writes the fragment that answers an ICE restart (RFC 9725, 4.3.3); the m-line is that whose
 * transport the bundle uses, mid "" when it has none. */
void sdp_fragment_write(struct wr *w, enum sdp_kind kind, const char *mid,
                        const struct sdp_local *local);

#endif
