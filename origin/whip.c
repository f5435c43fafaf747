#include "origin/whip.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "origin/whip_tags.h"
#include "proto/codec_info.h"
#include "rtc/rtc_receiver.h"

#include <inttypes.h>
#include <stdlib.h>

#define WHIP_MAGIC    0x77686970
#define WHIP_CNAME    "sluice"
#define SCRATCH_BYTES (WHIP_METADATA_MAX + CODEC_CONFIG_MAX + RTP_UNIT_HEADROOM)

struct whip {
    struct ingest *ingest;
    struct rtc_ports *ports;
    int worker_count;
    struct list sessions[WORKERS_MAX]; /* by worker; each is that worker's */
};

struct whip_session {
    uint32_t magic;
    struct worker *worker;
    struct list node;
    struct whip *whip;
    struct rtc_resource *resource;
    struct publisher *publisher;
    struct rtc_peer *peer;
    struct rtc_receiver *receiver;
    struct rtc_receiver_stats counted; /* what the metrics have of its counters */
    struct timer timer;                /* the receiver's */
    struct sdp_session sdp;
    struct whip_tags tags;
    struct log_id log;
    struct log_limit passed_over;
    bool full;      /* frames wait for a slow link: units are dropped … */
    bool needs_key; /* … and what was dropped before a key frame is missed */
    bool failed;    /* a unit could not be taken, because of … */
    enum close_reason why;
    uint8_t scratch[SCRATCH_BYTES];
};

/* --- the end --- */

static void count_stats(struct whip_session *s)
{
    const struct rtc_receiver_stats *now = rtc_receiver_stats(s->receiver);
    struct metrics *m = &s->worker->metrics;
    METRIC_ADD(m->rtc_media_in_total, now->packets - s->counted.packets);
    METRIC_ADD(m->rtc_missing_total, now->lost - s->counted.lost);
    METRIC_ADD(m->rtc_repaired_total, now->repaired - s->counted.repaired);
    METRIC_ADD(m->rtc_nacks_out_total, now->nacks - s->counted.nacks);
    METRIC_ADD(m->rtc_plis_out_total, now->plis - s->counted.plis);
    METRIC_ADD(m->rtc_given_up_total, now->given_up - s->counted.given_up);
    s->counted = *now;
}

static void log_end(struct whip_session *s)
{
    const struct rtc_receiver_stats *t = rtc_receiver_stats(s->receiver);
    log_info(&s->log,
             "whip.end packets=%" PRIu64 " units=%" PRIu64 " missing=%" PRIu64 " repaired=%" PRIu64
             " given_up=%" PRIu64 " broken=%" PRIu64 " key_requests=%" PRIu64 " rtt_ms=%" PRId64,
             t->packets, t->units, t->lost, t->repaired, t->given_up, t->broken, t->plis,
             t->rtt_us / 1000);
}

/* The resource has been dealt with. */
static void end(struct whip_session *s, enum close_reason why, bool clean)
{
    must(s->resource == NULL);
    rtc_peer_close(&s->peer, why);
    if (s->receiver != NULL) {
        count_stats(s);
        log_end(s);
    }
    rtc_receiver_free(&s->receiver);
    publisher_close(&s->publisher, clean);
    timer_fini(&s->timer);
    list_remove(&s->node);
    OBJ_POISON(s);
    free(s);
}

/* By itself, after it was answered. */
static void leave(struct whip_session *s, enum close_reason why, bool clean)
{
    rtc_resource_end(&s->resource);
    end(s, why, clean);
}

/* --- media --- */

static void set_timer(struct whip_session *s)
{
    int64_t next_us = rtc_receiver_next_us(s->receiver);
    if (next_us == INT64_MAX || (timer_is_set(&s->timer) && s->timer.due_us <= next_us))
        return;
    int64_t now_us = clock_us();
    timer_set_us(&s->timer, next_us > now_us ? next_us - now_us : 0);
}

static void on_time(void *arg)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, arg, WHIP_MAGIC);
    rtc_receiver_run(s->receiver, clock_us());
    count_stats(s);
    if (s->failed)
        leave(s, s->why, false);
    else
        set_timer(s);
}

static void push(struct whip_session *s, const struct whip_tag *tag)
{
    int err = publisher_push(s->publisher, tag->type, tag->timestamp_ms, tag->body);
    if (err == 0)
        return;
    if (err != ERR_UNSUPPORTED && err != ERR_TOO_MANY && err != ERR_TOO_LARGE) {
        s->failed = true;
        s->why = err == ERR_NOMEM ? CLOSE_OVERLOAD : CLOSE_BAD_INPUT;
    } else if (log_limit_pass(&s->passed_over, clock_us(), &s->log)) {
        log_warn(&s->log, "publish.passed_over type=%u bytes=%zu error=\"%s\"", tag->type,
                 tag->body.len, err_text(err));
    }
}

/* While there is no room nothing is taken; pictures go on with a key frame then. */
static bool is_dropped(struct whip_session *s, const struct rtc_received *u)
{
    bool video = s->tags.codecs[u->track] != FLV_CODEC_OPUS;
    if (s->full) {
        s->needs_key |= video;
        return true;
    }
    if (!video || !s->needs_key)
        return false;
    s->needs_key = !u->unit->key;
    if (s->needs_key)
        rtc_receiver_want_key(s->receiver);
    return s->needs_key;
}

static void on_unit(void *owner, const struct rtc_received *u)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    struct whip_tag tags[WHIP_TAGS_MAX];
    if (s->failed)
        return;
    if (is_dropped(s, u)) {
        whip_tags_skip(&s->tags, u);
        return;
    }
    struct wr scratch = wr_init(s->scratch, sizeof s->scratch);
    int count = whip_tags_of(&s->tags, u, &scratch, tags);
    for (int i = 0; i < count && !s->failed; i++)
        push(s, &tags[i]);
    publisher_flush(s->publisher);
}

static void on_rtcp_out(void *owner, const uint8_t *compound, size_t len)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    (void)rtc_peer_send_rtcp(s->peer, compound, len);
}

static const struct rtc_receiver_handler receiver_handler = {on_unit, on_rtcp_out};

/* --- the peer --- */

static void on_connected(void *owner)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    set_timer(s);
}

static void on_rtp(void *owner, uint8_t *packet, size_t len, int64_t arrival_us)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    rtc_receiver_rtp(s->receiver, packet, len, arrival_us);
    if (s->failed)
        leave(s, s->why, false);
    else
        set_timer(s);
}

static void on_rtcp(void *owner, const uint8_t *compound, size_t len, int64_t arrival_us)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    rtc_receiver_rtcp(s->receiver, compound, len, arrival_us);
}

static void on_closed(void *owner, enum close_reason why)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    s->peer = NULL;
    leave(s, why, false);
}

static const struct rtc_peer_handler peer_handler = {
    .connected = on_connected, .rtp = on_rtp, .rtcp = on_rtcp, .closed = on_closed};

/* --- what was agreed on --- */

static uint32_t flv_codec(enum sdp_codec c)
{
    static const uint32_t codecs[] = {
        [SDP_H264] = FLV_CODEC_AVC, [SDP_VP8] = FLV_CODEC_VP8,   [SDP_VP9] = FLV_CODEC_VP9,
        [SDP_AV1] = FLV_CODEC_AV1,  [SDP_OPUS] = FLV_CODEC_OPUS, [SDP_RTX] = 0};
    return codecs[c];
}

static void add_track(struct rtc_receiver_options *o, const struct sdp_offer *offer,
                      const struct sdp_track *t)
{
    struct rtc_receiver_track *track = &o->tracks[o->track_count++];
    *track = (struct rtc_receiver_track){
        .codec = flv_codec(t->codec),
        .clock_hz = t->clock_hz,
        .payload_type = t->type,
        .rtx_type = t->rtx_type,
        .has_rtx = t->has_rtx,
        .nack = (t->feedback & SDP_FB_NACK) != 0,
        .pli = (t->feedback & SDP_FB_PLI) != 0,
        .fir = (t->feedback & SDP_FB_FIR) != 0,
        .parameter_sets = t->parameter_sets,
        .mid_ext = t->extensions[SDP_EXT_MID],
    };
    must(track->codec != 0);
    if ((t->feedback & SDP_FB_TRANSPORT_CC) != 0)
        track->transport_cc_ext = t->extensions[SDP_EXT_TRANSPORT_CC];
    /* One that is too long for the header extension cannot be in it. */
    (void)slice_copy(offer->media[t->media].mid, track->mid, sizeof track->mid);
    o->reduced_rtcp &= t->reduced_rtcp;
}

static void open_receiver(struct whip_session *s)
{
    const struct sdp_offer *offer = rtc_resource_request(s->resource)->offer;
    struct rtc_receiver_options o = {
        .reduced_rtcp = true,
        .key_every_us = s->worker->config->webrtc.key_interval_ms * 1000,
        .remb_bps = (uint64_t)s->worker->config->webrtc.publish_bps_max,
        .ssrc = (uint32_t)crypto_random_u64(),
        .cname = WHIP_CNAME,
        .handler = &receiver_handler,
        .owner = s,
    };
    if (s->sdp.has_video)
        add_track(&o, offer, &s->sdp.video);
    if (s->sdp.has_audio)
        add_track(&o, offer, &s->sdp.audio);
    for (unsigned i = 0; i < o.track_count; i++)
        s->tags.codecs[i] = o.tracks[i].codec;
    s->receiver = rtc_receiver_new(&o, clock_us());
}

/* --- the claim's word --- */

static int open_peer(struct whip_session *s)
{
    struct rtc_remote remote;
    rtc_resource_remote(s->resource, &remote);
    return rtc_peer_open(
        &s->peer, rtc_port_of(s->whip->ports, s->worker),
        &(struct rtc_peer_options){.remote = &remote,
                                   .client = rtc_resource_request(s->resource)->client,
                                   .publishes = true,
                                   .handler = &peer_handler,
                                   .owner = s});
}

static void on_accepted(void *owner, uint64_t epoch)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    struct rtc_local local;
    if (open_peer(s) < 0) {
        rtc_resource_refuse(&s->resource, CLOSE_OVERLOAD, "too many sessions are being set up");
        end(s, CLOSE_OVERLOAD, true);
        return;
    }
    open_receiver(s);
    s->log = *rtc_peer_log(s->peer);
    rtc_peer_local(s->peer, &local);
    rtc_resource_answer(s->resource, &s->sdp, &local, NULL);
}

static void on_refused(void *owner, enum close_reason why, const char *text)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    rtc_resource_refuse(&s->resource, why, text);
    end(s, why, true);
}

static void on_ended(void *owner, enum close_reason why)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    leave(s, why, false);
}

static void on_want_key(void *owner)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    rtc_receiver_want_key(s->receiver);
    set_timer(s);
}

static void on_full(void *owner, bool full)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, owner, WHIP_MAGIC);
    s->full = full;
}

static const struct publisher_ops publisher_ops = {
    .on_accepted = on_accepted,
    .on_refused = on_refused,
    .on_ended = on_ended,
    .on_want_key = on_want_key,
    .on_full = on_full,
};

/* --- the resource --- */

static void open_session(struct rtc_resource *r, void *arg)
{
    struct whip *whip = arg;
    const struct rtc_request *req = rtc_resource_request(r);
    char peer[NET_ADDRESS_TEXT_MAX];
    struct sdp_session sdp;
    struct sdp_wish wish;
    sdp_wish_publish(&wish, req->video);
    if (rtc_resource_negotiate(&r, &wish, &sdp) < 0)
        return;
    struct whip_session *s = xcalloc(1, sizeof *s);
    s->magic = WHIP_MAGIC;
    s->whip = whip;
    s->worker = rtc_resource_worker(r);
    s->resource = r;
    s->sdp = sdp;
    list_append(&whip->sessions[s->worker->index], &s->node);
    timer_init(&s->timer, s->worker, "whip.receiver", on_time, s);
    rtc_resource_set_session(r, s);
    net_address_text(req->client, peer);
    s->publisher = publisher_open(whip->ingest, s->worker,
                                  &(struct publisher_options){.name = req->name,
                                                              .identity = req->identity,
                                                              .proto = "whip",
                                                              .peer = peer,
                                                              .ops = &publisher_ops,
                                                              .owner = s});
}

static void restart_session(void *session, const struct rtc_remote *remote, struct rtc_local *local)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, session, WHIP_MAGIC);
    rtc_peer_restart(s->peer, remote, local);
}

static void close_session(void *session, enum close_reason why)
{
    struct whip_session *s = OBJ_CAST(struct whip_session, session, WHIP_MAGIC);
    s->resource = NULL;
    end(s, why, true);
}

/* --- of the node --- */

struct whip *whip_new(struct workers *g, struct ingest *i, struct rtc_ports *ports)
{
    struct whip *w = xcalloc(1, sizeof *w);
    w->ingest = i;
    w->ports = ports;
    for (int n = 0; n < g->count; n++)
        list_init(&w->sessions[n]);
    w->worker_count = g->count;
    return w;
}

void whip_free(struct whip **wp)
{
    struct whip *w = *wp;
    *wp = NULL;
    for (int n = 0; w != NULL && n < w->worker_count; n++)
        while (!list_empty(&w->sessions[n]))
            leave(container_of(w->sessions[n].next, struct whip_session, node), CLOSE_DRAIN, false);
    free(w);
}

struct rtc_maker whip_maker(struct whip *w)
{
    return (struct rtc_maker){
        .open = open_session, .restart = restart_session, .close = close_session, .arg = w};
}
