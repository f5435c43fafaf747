/*
 * offer + wishes ──▶ one payload type per track.
 */
#include "base/err.h"
#include "proto/sdp_answer.h"

#define VIDEO_CLOCK_HZ 90000
#define OPUS_CLOCK_HZ  48000
#define OPUS_CHANNELS  2

/* Ranks: the smaller the better, the first of equals. */
#define RANK_NONE   (-1)
#define RANK_CODECS 100 /* between two codecs */
#define RANK_MODE_0 50  /* single NAL units only */

static int refuse(struct sdp_error *error, int err, const char *why)
{
    *error = (struct sdp_error){0, why};
    return err;
}

void sdp_wish_publish(struct sdp_wish *w, enum sdp_codec first)
{
    static const enum sdp_codec video[] = {SDP_H264, SDP_VP8, SDP_VP9, SDP_AV1};
    *w = (struct sdp_wish){.receive = true};
    w->audio.codecs[w->audio.count++].codec = SDP_OPUS;
    for (size_t i = 0; i < sizeof video / sizeof video[0]; i++)
        if (video[i] == first)
            w->video.codecs[w->video.count++].codec = first;
    w->video.ranked = w->video.count + 1;
    for (size_t i = 0; i < sizeof video / sizeof video[0]; i++)
        if (video[i] != first || video[i] == SDP_H264)
            w->video.codecs[w->video.count++].codec = video[i];
}

/* ---- codecs ---- */

enum h264_profile { H264_CONSTRAINED_BASELINE, H264_BASELINE, H264_MAIN, H264_HIGH, H264_REST };

/* RFC 6184, 8.1, table 5, as far as browsers go. */
static enum h264_profile h264_profile_of(uint32_t profile_level_id)
{
    unsigned idc = profile_level_id >> 16 & 0xff, constraints = profile_level_id >> 8 & 0xff;
    if (idc == 0x42)
        return constraints & 0x40 ? H264_CONSTRAINED_BASELINE : H264_BASELINE;
    if (idc == 0x4d)
        return constraints & 0x80 ? H264_CONSTRAINED_BASELINE : H264_MAIN;
    return idc == 0x64 ? H264_HIGH : H264_REST;
}

/* What we take, the simplest for the peer first; what we send as it is, else as Constrained
 * Baseline, on which browsers decode any profile. */
static int h264_rank(const struct sdp_payload *p, const struct sdp_codec_wish *c, bool receive)
{
    enum h264_profile offered = h264_profile_of(p->profile_level_id);
    if (p->packetization_mode > 1)
        return RANK_NONE;
    if (receive)
        return (int)offered + (p->packetization_mode == 1 ? 0 : RANK_MODE_0);
    if (p->packetization_mode != 1)
        return RANK_NONE;
    if (c->profile_level_id != 0 && offered == h264_profile_of(c->profile_level_id))
        return 0;
    return 1 + (int)offered;
}

static int codec_rank(const struct sdp_payload *p, const struct sdp_codec_wish *c, bool receive)
{
    if (p->codec != c->codec || p->malformed)
        return RANK_NONE;
    if (p->codec == SDP_OPUS)
        return p->clock_hz == OPUS_CLOCK_HZ && p->channels == OPUS_CHANNELS ? 0 : RANK_NONE;
    if (p->clock_hz != VIDEO_CLOCK_HZ)
        return RANK_NONE;
    if (p->codec == SDP_H264)
        return h264_rank(p, c, receive);
    bool has_profile = p->codec == SDP_VP9 || p->codec == SDP_AV1;
    return has_profile && p->profile != c->profile ? RANK_NONE : 0;
}

static int payload_rank(const struct sdp_payload *p, const struct sdp_kind_wish *k, bool receive)
{
    for (size_t i = 0; i < k->count; i++) {
        int rank = codec_rank(p, &k->codecs[i], receive);
        if (rank != RANK_NONE)
            return rank + RANK_CODECS * (int)(i < k->ranked ? i : k->ranked);
    }
    return RANK_NONE;
}

static const struct sdp_payload *choose(const struct sdp_media *m, const struct sdp_kind_wish *k,
                                        bool receive)
{
    const struct sdp_payload *best = NULL;
    int best_rank = 0;
    for (size_t i = 0; i < m->payload_count; i++) {
        int rank = payload_rank(&m->payloads[i], k, receive);
        if (rank == RANK_NONE || (best != NULL && rank >= best_rank))
            continue;
        best = &m->payloads[i];
        best_rank = rank;
    }
    return best;
}

/* ---- tracks ---- */

static void set_rtx(struct sdp_track *t, const struct sdp_media *m)
{
    for (size_t i = 0; i < m->payload_count && !t->has_rtx; i++) {
        const struct sdp_payload *p = &m->payloads[i];
        if (p->codec != SDP_RTX || p->malformed || !p->has_apt || p->apt != t->type)
            continue;
        t->has_rtx = true;
        t->rtx_type = p->type;
    }
}

static void set_ssrcs(struct sdp_track *t, const struct sdp_media *m)
{
    for (size_t i = 0; i < m->ssrc_count; i++) {
        if (m->ssrcs[i].is_rtx)
            continue;
        t->ssrc = m->ssrcs[i].ssrc;
        t->rtx_ssrc = m->ssrcs[i].has_rtx ? m->ssrcs[i].rtx : 0;
        return;
    }
}

/* Transport-wide feedback costs a viewer's uplink and ours 10 to 20 packets a second, and could
 * only matter where there is a choice of renditions. */
static uint32_t feedback_of(const struct sdp_payload *p, const struct sdp_media *m, bool receive)
{
    uint32_t feedback = p->feedback;
    if (!receive || m->extensions[SDP_EXT_TRANSPORT_CC] == 0)
        feedback &= ~(uint32_t)SDP_FB_TRANSPORT_CC;
    /* Browsers do not offer NACK for audio, and answer it all the same. */
    return m->kind == SDP_AUDIO ? (feedback & SDP_FB_TRANSPORT_CC) | SDP_FB_NACK : feedback;
}

static void set_extensions(struct sdp_track *t, const struct sdp_media *m,
                           const struct sdp_wish *wish)
{
    if (wish->receive) {
        t->extensions[SDP_EXT_MID] = m->extensions[SDP_EXT_MID];
        if (t->feedback & SDP_FB_TRANSPORT_CC)
            t->extensions[SDP_EXT_TRANSPORT_CC] = m->extensions[SDP_EXT_TRANSPORT_CC];
    } else if (wish->playout_delay) {
        t->extensions[SDP_EXT_PLAYOUT_DELAY] = m->extensions[SDP_EXT_PLAYOUT_DELAY];
    }
}

static void set_track(struct sdp_track *t, const struct sdp_offer *offer, size_t media,
                      const struct sdp_payload *p, const struct sdp_wish *wish)
{
    const struct sdp_media *m = &offer->media[media];
    *t = (struct sdp_track){
        .kind = m->kind,
        .media = media,
        .codec = p->codec,
        .type = p->type,
        .reduced_rtcp = m->rtcp_rsize,
        .clock_hz = p->clock_hz,
        .channels = p->channels,
        .profile_level_id = p->codec == SDP_H264 ? p->profile_level_id : 0,
        .packetization_mode = p->packetization_mode,
        .parameter_sets = p->parameter_sets,
        .feedback = feedback_of(p, m, wish->receive),
    };
    set_rtx(t, m);
    set_extensions(t, m, wish);
    if (wish->receive)
        set_ssrcs(t, m);
}

/* ---- m-lines ---- */

static bool has_media(const struct sdp_media *m, bool receive)
{
    if (m->direction == SDP_SENDRECV)
        return true;
    return m->direction == (receive ? SDP_SENDONLY : SDP_RECVONLY);
}

static int take_media(const struct sdp_offer *offer, size_t i, const struct sdp_wish *wish,
                      struct sdp_session *out, struct sdp_error *error)
{
    const struct sdp_media *m = &offer->media[i];
    bool video = m->kind == SDP_VIDEO;
    bool *has = video ? &out->has_video : &out->has_audio;
    if (*has) /* a second of its kind */
        return wish->receive ? refuse(error, ERR_UNSUPPORTED, "more than one audio or video track")
                             : 0;
    const struct sdp_kind_wish *k = video ? &wish->video : &wish->audio;
    const struct sdp_payload *p = choose(m, k, wish->receive);
    if (p == NULL && wish->receive)
        return refuse(error, ERR_UNSUPPORTED,
                      video ? "no video codec in common: H264, VP8, VP9 (profile 0) or AV1"
                            : "no audio codec in common: Opus");
    if (p == NULL && video && k->count > 0)
        return refuse(error, ERR_UNSUPPORTED, "the offer lacks the video codec of the stream");
    if (p == NULL)
        return 0;
    *has = true;
    set_track(video ? &out->video : &out->audio, offer, i, p, wish);
    return 0;
}

static int check_media(const struct sdp_offer *offer, const struct sdp_media *m,
                       struct sdp_error *error)
{
    if (!m->rtcp_mux && !m->rtcp_mux_only)
        return refuse(error, ERR_PROTOCOL, "an m-line lacks a=rtcp-mux");
    if (offer->media_count > 1 && !m->bundled)
        return refuse(error, ERR_PROTOCOL, "the m-lines are not bundled");
    return 0;
}

int sdp_negotiate(const struct sdp_offer *offer, const struct sdp_wish *wish,
                  struct sdp_session *out, struct sdp_error *error)
{
    *out = (struct sdp_session){.receive = wish->receive,
                                .active = offer->transport.setup == SDP_PASSIVE};
    *error = (struct sdp_error){0};
    if (offer->ice_lite)
        return refuse(error, ERR_UNSUPPORTED, "both sides cannot be ICE-lite");
    for (size_t i = 0; i < offer->media_count; i++) {
        const struct sdp_media *m = &offer->media[i];
        if (!m->usable && wish->receive && m->kind == SDP_OTHER_KIND)
            return refuse(error, ERR_UNSUPPORTED, "only audio and video are taken");
        if (!m->usable)
            continue;
        int err = check_media(offer, m, error);
        if (err == 0 && has_media(m, wish->receive))
            err = take_media(offer, i, wish, out, error);
        if (err < 0)
            return err;
    }
    if (!out->has_audio && !out->has_video)
        return refuse(error, ERR_UNSUPPORTED, "nothing in common");
    return 0;
}
