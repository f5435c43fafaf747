/*
 * The answer as text (RFC 8829, 5.3; RFC 8843, 7.3): one line for each of ours in the same order,
 * whatever the offer's lines said besides.
 */
#include "proto/sdp_answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define TEXT_MAX 512 /* bytes of one formatted line */

static void put(struct wr *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct wr *w, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        w->overflow = true;
    else
        wr_bytes(w, text, (size_t)n);
    wr_text(w, "\r\n");
}

/* "a=NAME:" and bytes of the offer, which may be longer than one formatted line. */
static void put_slice(struct wr *w, const char *start, struct slice s)
{
    wr_text(w, start);
    wr_put(w, s);
    wr_text(w, "\r\n");
}

static const struct sdp_track *track_of(const struct sdp_session *s, size_t media)
{
    if (s->has_audio && s->audio.media == media)
        return &s->audio;
    return s->has_video && s->video.media == media ? &s->video : NULL;
}

/* Without a track an m-line is refused, or kept and silent where the peer would only receive: then
 * nothing has to be agreed on again when its track comes with another offer. */
static bool is_accepted(const struct sdp_offer *offer, const struct sdp_session *s, size_t i)
{
    return track_of(s, i) != NULL || (offer->media[i].usable && !s->receive);
}

static void write_session(struct wr *w, const struct sdp_offer *offer, const struct sdp_session *s,
                          const struct sdp_names *names)
{
    put(w, "v=0");
    put(w, "o=- %" PRIu64 " 1 IN IP4 127.0.0.1", names->session_id >> 1);
    put(w, "s=-");
    put(w, "t=0 0");
    put(w, "a=ice-lite");
    put(w, "a=msid-semantic: WMS *");
    if (!offer->has_bundle)
        return;
    wr_text(w, "a=group:BUNDLE");
    for (size_t i = 0; i < offer->media_count; i++) {
        if (!is_accepted(offer, s, i) || !offer->media[i].bundled)
            continue;
        wr_text(w, " ");
        wr_put(w, offer->media[i].mid);
    }
    wr_text(w, "\r\n");
}

static void write_transport(struct wr *w, const struct sdp_session *s,
                            const struct sdp_local *local)
{
    put(w, "a=ice-ufrag:%s", local->ufrag);
    put(w, "a=ice-pwd:%s", local->pwd);
    put(w, "a=fingerprint:%s", local->fingerprint);
    put(w, "a=setup:%s", s->active ? "active" : "passive");
}

static void write_candidates(struct wr *w, const struct sdp_local *local)
{
    for (size_t i = 0; i < local->candidate_count; i++)
        put(w, "a=candidate:%s", local->candidates[i]);
    put(w, "a=end-of-candidates");
}

static void write_extensions(struct wr *w, const struct sdp_track *t)
{
    for (int k = 0; k < SDP_EXT_KINDS; k++)
        if (t->extensions[k] != 0)
            put(w, "a=extmap:%u %s", t->extensions[k],
                sdp_extension_uri((enum sdp_extension_kind)k));
}

static void write_rtpmap(struct wr *w, const struct sdp_payload *p)
{
    char channels[16] = "";
    if (p->channels > 1)
        snprintf(channels, sizeof channels, "/%u", (unsigned)p->channels);
    put(w, "a=rtpmap:%u %.*s/%u%s", p->type, SLICE_ARG(p->name), (unsigned)p->clock_hz, channels);
}

static void write_feedback(struct wr *w, const struct sdp_track *t)
{
    static const struct {
        enum sdp_feedback bit;
        const char *text;
    } texts[] = {{SDP_FB_REMB, "goog-remb"},
                 {SDP_FB_TRANSPORT_CC, "transport-cc"},
                 {SDP_FB_FIR, "ccm fir"},
                 {SDP_FB_NACK, "nack"},
                 {SDP_FB_PLI, "nack pli"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (t->feedback & texts[i].bit)
            put(w, "a=rtcp-fb:%u %s", t->type, texts[i].text);
}

/* What the payload type stands for stays as offered; what a side says of itself does not. */
static void write_fmtp(struct wr *w, const struct sdp_payload *p)
{
    if (p->codec == SDP_OPUS) {
        put(w, "a=fmtp:%u minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1", p->type);
    } else if (p->codec == SDP_H264) {
        put(w, "a=fmtp:%u %spacketization-mode=%u;profile-level-id=%06" PRIx32, p->type,
            p->level_asymmetry ? "level-asymmetry-allowed=1;" : "", p->packetization_mode,
            p->profile_level_id);
    } else if (p->fmtp.len > 0) {
        char start[32];
        snprintf(start, sizeof start, "a=fmtp:%u ", p->type);
        put_slice(w, start, p->fmtp);
    }
}

static void write_codecs(struct wr *w, const struct sdp_media *m, const struct sdp_track *t)
{
    const struct sdp_payload *p = sdp_payload_find(m, t->type);
    write_rtpmap(w, p);
    write_feedback(w, t);
    write_fmtp(w, p);
    if (!t->has_rtx)
        return;
    write_rtpmap(w, sdp_payload_find(m, t->rtx_type));
    put(w, "a=fmtp:%u apt=%u", t->rtx_type, t->type);
}

static void write_sources(struct wr *w, const struct sdp_track *t, const struct sdp_names *names)
{
    char track = t->kind == SDP_VIDEO ? 'v' : 'a';
    bool rtx = t->has_rtx && t->rtx_ssrc != 0;
    put(w, "a=msid:%s %s-%c", names->stream_id, names->stream_id, track);
    if (rtx)
        put(w, "a=ssrc-group:FID %" PRIu32 " %" PRIu32, t->ssrc, t->rtx_ssrc);
    put(w, "a=ssrc:%" PRIu32 " cname:%s", t->ssrc, names->cname);
    if (rtx)
        put(w, "a=ssrc:%" PRIu32 " cname:%s", t->rtx_ssrc, names->cname);
}

static void write_m_line(struct wr *w, const struct sdp_media *m, const struct sdp_track *t,
                         bool accepted)
{
    wr_text(w, "m=");
    wr_put(w, m->type);
    wr_text(w, accepted ? " 9 " : " 0 ");
    wr_put(w, m->protocol);
    wr_text(w, " ");
    if (t != NULL && t->has_rtx)
        put(w, "%u %u", t->type, t->rtx_type);
    else if (t != NULL)
        put(w, "%u", t->type);
    else if (accepted)
        put(w, "%u", m->payloads[0].type);
    else
        put_slice(w, "", m->formats);
    put(w, "c=IN IP4 0.0.0.0");
    if (m->mid.len > 0)
        put_slice(w, "a=mid:", m->mid);
}

static void write_media(struct wr *w, const struct sdp_media *m, const struct sdp_track *t,
                        const struct sdp_session *s, const struct sdp_names *names)
{
    put(w, "a=%s", t == NULL ? "inactive" : s->receive ? "recvonly" : "sendonly");
    put(w, "a=rtcp-mux");
    if (m->rtcp_mux_only)
        put(w, "a=rtcp-mux-only");
    if (m->rtcp_rsize)
        put(w, "a=rtcp-rsize");
    if (t == NULL) {
        if (m->payloads[0].has_rtpmap)
            write_rtpmap(w, &m->payloads[0]);
        return;
    }
    if (m->rcvr_rtt && !s->receive)
        put(w, "a=rtcp-xr:rcvr-rtt=all");
    write_extensions(w, t);
    write_codecs(w, m, t);
    if (!s->receive)
        write_sources(w, t, names);
}

void sdp_answer_write(struct wr *w, const struct sdp_offer *offer, const struct sdp_session *s,
                      const struct sdp_local *local, const struct sdp_names *names)
{
    bool tagged = false; /* the m-line with the candidates of the bundle has been written */
    write_session(w, offer, s, names);
    for (size_t i = 0; i < offer->media_count; i++) {
        const struct sdp_media *m = &offer->media[i];
        const struct sdp_track *t = track_of(s, i);
        bool accepted = is_accepted(offer, s, i);
        write_m_line(w, m, t, accepted);
        if (!accepted) {
            put(w, "a=inactive");
            continue;
        }
        write_transport(w, s, local);
        write_media(w, m, t, s, names);
        if (!tagged)
            write_candidates(w, local);
        tagged = true;
    }
}

void sdp_fragment_write(struct wr *w, enum sdp_kind kind, const char *mid,
                        const struct sdp_local *local)
{
    put(w, "a=ice-lite");
    put(w, "m=%s 9 RTP/AVP 0", kind == SDP_VIDEO ? "video" : "audio");
    if (mid[0] != '\0')
        put(w, "a=mid:%s", mid);
    put(w, "a=ice-ufrag:%s", local->ufrag);
    put(w, "a=ice-pwd:%s", local->pwd);
    write_candidates(w, local);
}
