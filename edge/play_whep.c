/*
 * One WebRTC player.
 *
 *   offer ─▶ newcomer ─stream is there─▶ negotiated, answered ─peer connected─▶ sender ─▶ ended
 */
#include "edge/play_whep.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "edge/player.h"
#include "edge/whep_internal.h"
#include "proto/flv.h"

#include <inttypes.h>
#include <stdlib.h>

static struct whep_viewer *viewer_of(void *p)
{
    return OBJ_CAST(struct whep_viewer, p, WHEP_VIEWER_MAGIC);
}

/* ---- the end ---- */

static void tell_close(const struct whep_viewer *v, enum close_reason why)
{
    const struct whep_stream *s = v->stream;
    METRIC_INC(s->worker->metrics.closed[why]);
    if (!edge_may_log(s->whep->edge, s->worker, false, &v->log))
        return;
    struct rtc_sender_stats none = {0};
    const struct rtc_sender_stats *st = v->sender != NULL ? rtc_sender_stats(v->sender) : &none;
    int64_t first_ms = st->first_us != 0 ? (st->first_us - v->joined_us) / 1000 : -1;
    /* A page that waits for its stream asks again and again. */
    enum log_level level = why == CLOSE_NOT_FOUND ? LOG_DEBUG : LOG_INFO;
    LOG_AT(close_reason_is_fault(why) ? LOG_WARN : level, &v->log,
           "whep.close reason=%s stream=%s peer=%s seconds=%" PRId64 " first_ms=%" PRId64
           " packets=%" PRIu64 " nacked=%" PRIu64 " resent=%" PRIu64 " key_requests=%" PRIu64
           " skips=%" PRIu64 " rtt_ms=%" PRId64 " remb_kbps=%" PRIu64,
           close_reason_name(why), s->name, v->client, (clock_us() - v->joined_us) / 1000000,
           first_ms, st->packets, st->nacked, st->resent, st->key_requests, st->skips,
           st->rtt_us / 1000, st->remb_bps / 1000);
}

static const char *refusal_text(enum close_reason why)
{
    static const struct {
        enum close_reason why;
        const char *text;
    } texts[] = {
        {CLOSE_NOT_FOUND, "nobody publishes this stream"},
        {CLOSE_DRAIN, "this node is going out of service"},
        {CLOSE_OVERLOAD, "this node has as many players as it can serve"},
        {CLOSE_UNSUPPORTED, "the stream cannot be sent to this player"},
        {CLOSE_TIMEOUT, "the stream's video is not ready for players of WebRTC"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].why == why)
            return texts[i].text;
    return "the stream cannot be played now";
}

void whep_viewer_end(struct whep_viewer *v, enum close_reason why)
{
    struct whep_stream *s = v->stream;
    tell_close(v, why);
    if (v->peer != NULL) {
        rtc_sender_bye(v->sender);
        rtc_peer_close(&v->peer, why);
    }
    rtc_sender_free(&v->sender);
    if (v->resource != NULL && v->answered)
        rtc_resource_end(&v->resource);
    else if (v->resource != NULL)
        rtc_resource_refuse(&v->resource, why, refusal_text(why));
    whep_stream_leave(s, v);
    edge_leave_seat(s->whep->edge, &v->seat);
    OBJ_POISON(v);
    free(v);
}

static void on_drain(struct edge_seat *seat)
{
    whep_viewer_end(container_of(seat, struct whep_viewer, seat), CLOSE_DRAIN);
}

/* ---- the peer ---- */

static void tell_audio_only(struct whep_viewer *v)
{
    const struct rtc_sender_stats *st = rtc_sender_stats(v->sender);
    if (st->audio_only == v->audio_only)
        return;
    v->audio_only = st->audio_only;
    if (edge_may_log(v->stream->whep->edge, v->stream->worker, false, &v->log))
        log_info(&v->log,
                 "whep.video sent=%s stream=%s peer=%s lost_percent=%u remb_kbps=%" PRIu64
                 " rtt_ms=%" PRId64,
                 st->audio_only ? "no" : "yes", v->stream->name, v->client,
                 st->fraction_lost * 100U / 256, st->remb_bps / 1000, st->rtt_us / 1000);
}

static void on_connected(void *owner)
{
    struct whep_viewer *v = viewer_of(owner);
    rtc_sender_start(v->sender, clock_us());
    whep_stream_pump(v->stream, v);
}

static void on_rtp(void *owner, uint8_t *packet, size_t len, int64_t arrival_us)
{
    (void)owner; /* players send no media */
}

static void on_rtcp(void *owner, const uint8_t *compound, size_t len, int64_t arrival_us)
{
    struct whep_viewer *v = viewer_of(owner);
    rtc_sender_rtcp(v->sender, compound, len, arrival_us);
    tell_audio_only(v);
}

static void on_closed(void *owner, enum close_reason why)
{
    struct whep_viewer *v = viewer_of(owner);
    v->peer = NULL;
    whep_viewer_end(v, why);
}

static size_t send_rtp(void *owner, const struct rtc_out *packets, size_t count)
{
    return rtc_peer_send_rtp(viewer_of(owner)->peer, packets, count);
}

static bool send_rtcp(void *owner, const uint8_t *compound, size_t len)
{
    return rtc_peer_send_rtcp(viewer_of(owner)->peer, compound, len);
}

static size_t queued(void *owner)
{
    return rtc_peer_queued(viewer_of(owner)->peer);
}

static void want_key(void *owner)
{
    feed_want_key(viewer_of(owner)->stream->main.feed);
}

/* ---- the answer ---- */

static enum sdp_codec sdp_codec_of(uint32_t codec)
{
    static const struct {
        uint32_t codec;
        enum sdp_codec sdp;
    } table[] = {
        {FLV_CODEC_AVC, SDP_H264}, {FLV_CODEC_HEVC, SDP_H265}, {FLV_CODEC_VP8, SDP_VP8},
        {FLV_CODEC_VP9, SDP_VP9},  {FLV_CODEC_AV1, SDP_AV1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].codec == codec)
            return table[i].sdp;
    return SDP_CODEC_OTHER;
}

/* What the codec's configuration says of its profile, as SDP names it. */
static struct sdp_codec_wish wish_of(const struct rtc_units_track *t)
{
    struct sdp_codec_wish w = {.codec = sdp_codec_of(t->codec)};
    struct rd r = rd_slice(t->config);
    rd_u8(&r); /* of avcC: version */
    if (w.codec == SDP_H264)
        w.profile_level_id = rd_u24(&r);
    else if (w.codec == SDP_AV1)
        w.profile = rd_u8(&r) >> 5; /* av1C: seq_profile */
    else if (w.codec == SDP_VP9 && rd_u24(&r) == 0)
        w.profile = rd_u8(&r); /* vpcC, with version and flags in front */
    return w;
}

static void make_wish(const struct whep_stream *s, struct sdp_wish *w)
{
    const struct rtc_units_track *video = rtc_units_track(s->units, RTC_VIDEO);
    *w = (struct sdp_wish){.playout_delay = s->worker->config->webrtc.playout_max_ms > 0};
    if (video->codec != 0)
        w->video = (struct sdp_kind_wish){.codecs = {wish_of(video)}, .count = 1, .ranked = 1};
    if (whep_stream_has_sound(s))
        w->audio = (struct sdp_kind_wish){.codecs = {{.codec = SDP_OPUS}}, .count = 1, .ranked = 1};
}

static struct rtc_sender_track sent_track(bool has, const struct sdp_track *t, uint32_t codec)
{
    if (!has)
        return (struct rtc_sender_track){0};
    return (struct rtc_sender_track){codec, t->type, t->rtx_type, t->has_rtx,
                                     t->extensions[SDP_EXT_PLAYOUT_DELAY]};
}

static void make_sender(struct whep_viewer *v, const struct sdp_session *session)
{
    const struct whep_stream *s = v->stream;
    static const struct rtc_sender_ops ops = {send_rtp, send_rtcp, queued, want_key};
    const uint32_t video = rtc_units_track(s->units, RTC_VIDEO)->codec;
    v->sender = rtc_sender_new(
        &(struct rtc_sender_options){
            .stream = s->units,
            .tracks = {sent_track(session->has_video, &session->video, video),
                       sent_track(session->has_audio, &session->audio, FLV_CODEC_OPUS)},
            .cname = s->cname,
            .ops = &ops,
            .owner = v,
            .metrics = &s->worker->metrics,
            .unix_us = clock_wall_us(),
            .playout_min_ms = session->has_audio ? s->worker->config->webrtc.playout_min_ms : 0,
            .playout_max_ms = s->worker->config->webrtc.playout_max_ms},
        clock_us());
}

static void name_sources(const struct whep_stream *s, struct sdp_session *session)
{
    const struct rtc_units_track *video = rtc_units_track(s->units, RTC_VIDEO);
    const struct rtc_units_track *audio = rtc_units_track(s->units, RTC_AUDIO);
    session->video.ssrc = video->ssrc;
    session->video.rtx_ssrc = video->rtx_ssrc;
    session->audio.ssrc = audio->ssrc;
    session->audio.rtx_ssrc = audio->rtx_ssrc;
}

/* A peer for what was agreed; 0 or what rtc_peer_open() says. */
static int open_peer(struct whep_viewer *v, const struct sdp_session *session)
{
    static const struct rtc_peer_handler handler = {on_connected, on_rtp, on_rtcp, on_closed};
    struct rtc_remote remote;
    struct whep_stream *s = v->stream;
    rtc_resource_remote(v->resource, &remote);
    int err = rtc_peer_open(
        &v->peer, rtc_port_of(s->whep->ports, s->worker),
        &(struct rtc_peer_options){.remote = &remote,
                                   .client = rtc_resource_request(v->resource)->client,
                                   .handler = &handler,
                                   .owner = v});
    if (err == 0)
        make_sender(v, session);
    return err;
}

static bool asks_video(const struct sdp_offer *offer)
{
    for (size_t i = 0; i < offer->media_count; i++)
        if (offer->media[i].usable && offer->media[i].kind == SDP_VIDEO)
            return true;
    return false;
}

void whep_viewer_answer(struct whep_viewer *v)
{
    struct whep_stream *s = v->stream;
    struct sdp_wish wish;
    struct sdp_session session;
    struct rtc_local local;
    make_wish(s, &wish);
    if ((s->refuses && rtc_units_is_bidirectional(s->units)) ||
        rtc_resource_negotiate(&v->resource, &wish, &session) < 0) {
        METRIC_INC(s->worker->metrics.play_refused_total);
        whep_viewer_end(v, CLOSE_UNSUPPORTED);
        return;
    }
    if (session.has_video && session.video.codec == SDP_H264 &&
        session.video.packetization_mode != 1) {
        whep_viewer_end(v, CLOSE_UNSUPPORTED);
        return;
    }
    if (open_peer(v, &session) < 0) {
        METRIC_INC(s->worker->metrics.play_refused_total);
        whep_viewer_end(v, CLOSE_OVERLOAD);
        return;
    }
    name_sources(s, &session);
    rtc_peer_local(v->peer, &local);
    list_remove(&v->node);
    list_append(&s->viewers, &v->node);
    v->answered = true;
    v->listens = session.has_audio;
    v->watches = asks_video(rtc_resource_request(v->resource)->offer);
    v->video_codec = rtc_units_track(s->units, RTC_VIDEO)->codec;
    s->listeners += v->listens;
    task_defer(s->worker, &s->look); /* for its sound */
    METRIC_INC(s->worker->metrics.play_total);
    if (edge_may_log(s->whep->edge, s->worker, true, &v->log))
        log_info(&v->log, "whep.open stream=%s peer=%s video=%s audio=%s", s->name, v->client,
                 session.has_video ? sdp_codec_name(session.video.codec) : "none",
                 session.has_audio ? sdp_codec_name(session.audio.codec) : "none");
    rtc_resource_answer(v->resource, &session, &local, s->cname);
}

/* ---- the resource ---- */

static void open_session(struct rtc_resource *r, void *arg)
{
    struct whep *w = arg;
    const struct rtc_request *req = rtc_resource_request(r);
    struct worker *worker = rtc_resource_worker(r);
    struct whep_viewer *v = xcalloc(1, sizeof *v);
    v->seat.on_drain = on_drain;
    int err = edge_take_seat(w->edge, worker, &v->seat);
    if (err < 0) {
        METRIC_INC(worker->metrics.play_refused_total);
        rtc_resource_refuse(&r, player_refusal(err), player_refusal_text(err));
        free(v);
        return;
    }
    v->magic = WHEP_VIEWER_MAGIC;
    v->resource = r;
    v->joined_us = clock_us();
    v->log = (struct log_id){"whep", worker->index, log_new_id()};
    list_init(&v->node);
    list_init(&v->turn_node);
    net_address_text(req->client, v->client);
    rtc_resource_set_session(r, v);
    whep_stream_enter(whep_stream_get(w, worker, req->name), v);
}

static void restart_session(void *session, const struct rtc_remote *remote, struct rtc_local *local)
{
    rtc_peer_restart(viewer_of(session)->peer, remote, local);
}

static void close_session(void *session, enum close_reason why)
{
    struct whep_viewer *v = viewer_of(session);
    v->resource = NULL;
    whep_viewer_end(v, why);
}

struct rtc_maker whep_maker(struct whep *w)
{
    return (struct rtc_maker){
        .open = open_session, .restart = restart_session, .close = close_session, .arg = w};
}
