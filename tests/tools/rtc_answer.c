/*
 * One WebRTC session by hand: the offer of a publisher on standard input, the answer on standard
 * output, then what comes of it, a line a second, on standard error; it ends with the session, or
 * after SECONDS.  To try the transport with peers of all kinds, without a node around it.
 *
 *   rtc_answer UDP_LISTEN TCP_LISTEN|"" SECONDS < offer.sdp > answer.sdp
 */
#include "core/clock.h"
#include "core/config.h"
#include "proto/rtcp.h"
#include "proto/sdp_answer.h"
#include "rtc/rtc_peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFER_MAX  (256 * 1024)
#define OUR_SSRC   0x53554c43U
#define REMB_BPS   2500000U
#define REPORT_MAX 512

struct session {
    struct rtc_peer *peer;
    struct event_base *base;
    struct timer tick;
    uint32_t ssrc; /* of the last packet */
    uint64_t rtp, rtcp, bytes;
    int seconds, left;
};

static void on_connected(void *arg)
{
    struct session *s = arg;
    fprintf(stderr, "connected ms=%" PRId64 "\n", rtc_peer_join_us(s->peer) / 1000);
}

static void on_rtp(void *arg, uint8_t *packet, size_t len, int64_t arrival_us)
{
    struct session *s = arg;
    struct rd r = rd_init(packet + 8, len - 8);
    s->ssrc = rd_u32(&r);
    s->rtp++;
    s->bytes += len;
}

static void on_rtcp(void *arg, const uint8_t *compound, size_t len, int64_t arrival_us)
{
    ((struct session *)arg)->rtcp++;
}

static void on_closed(void *arg, enum close_reason why)
{
    struct session *s = arg;
    s->peer = NULL;
    fprintf(stderr, "closed reason=%s\n", close_reason_name(why));
    event_base_loopbreak(s->base);
}

static const struct rtc_peer_handler handler = {on_connected, on_rtp, on_rtcp, on_closed};

/* Keeps the publisher sending: a report, a bandwidth, a wish for a key frame. */
static void on_tick(void *arg)
{
    struct session *s = arg;
    uint8_t bytes[REPORT_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    char text[NET_ADDRESS_TEXT_MAX] = "";
    if (rtc_peer_remote(s->peer) != NULL)
        net_address_text(rtc_peer_remote(s->peer), text);
    fprintf(stderr, "second=%d peer=%s rtp=%" PRIu64 " bytes=%" PRIu64 " rtcp=%" PRIu64 "\n",
            ++s->seconds, text, s->rtp, s->bytes, s->rtcp);
    rtcp_write_rr(&w, OUR_SSRC, NULL, 0);
    rtcp_write_remb(&w, OUR_SSRC, REMB_BPS, &s->ssrc, 1);
    rtcp_write_pli(&w, OUR_SSRC, s->ssrc);
    rtc_peer_send_rtcp(s->peer, bytes, wr_len(&w));
    if (--s->left == 0) {
        rtc_peer_close(&s->peer, CLOSE_FINISHED);
        event_base_loopexit(s->base, NULL);
        return;
    }
    timer_set_ms(&s->tick, 1000);
}

static void take_transport(const struct sdp_transport *t, struct rtc_remote *out)
{
    *out = (struct rtc_remote){.fingerprint_count = t->fingerprint_count,
                               .passive = t->setup == SDP_PASSIVE};
    slice_copy(t->ufrag, out->ufrag, sizeof out->ufrag);
    slice_copy(t->pwd, out->pwd, sizeof out->pwd);
    for (size_t i = 0; i < t->fingerprint_count; i++) {
        out->fingerprints[i].hash = (enum rtc_hash)t->fingerprints[i].hash;
        memcpy(out->fingerprints[i].bytes, t->fingerprints[i].bytes, SDP_HASH_MAX);
    }
}

static void print_answer(const struct sdp_offer *offer, const struct sdp_session *agreed,
                         const struct rtc_local *local)
{
    static uint8_t text[SDP_ANSWER_MAX];
    struct wr w = wr_init(text, sizeof text);
    struct sdp_local l = {.ufrag = local->ufrag,
                          .pwd = local->pwd,
                          .fingerprint = local->fingerprint,
                          .candidate_count = local->candidate_count};
    for (size_t i = 0; i < local->candidate_count; i++)
        l.candidates[i] = local->candidates[i];
    sdp_answer_write(&w, offer, agreed, &l,
                     &(struct sdp_names){.session_id = 1, .cname = "c", .stream_id = "s"});
    fwrite(text, 1, wr_len(&w), stdout);
    fclose(stdout);
}

static int answer(struct session *s, struct rtc_port *port)
{
    static char text[OFFER_MAX];
    static struct sdp_offer offer;
    struct sdp_error error = {0};
    struct sdp_wish wish;
    struct sdp_session agreed;
    struct rtc_remote remote;
    struct rtc_local local;
    size_t len = fread(text, 1, sizeof text, stdin);
    sdp_wish_publish(&wish, SDP_CODEC_OTHER);
    int err = sdp_offer_read(slice_of(text, len), &offer, &error);
    if (err == 0)
        err = sdp_negotiate(&offer, &wish, &agreed, &error);
    if (err < 0) {
        fprintf(stderr, "refused: %s\n", error.why);
        return err;
    }
    take_transport(&offer.transport, &remote);
    err = rtc_peer_open(&s->peer, port,
                        &(struct rtc_peer_options){
                            .remote = &remote, .publishes = true, .handler = &handler, .owner = s});
    if (err < 0)
        return err;
    rtc_peer_local(s->peer, &local);
    print_answer(&offer, &agreed, &local);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct text_list none;
    static struct config config;
    struct session s = {0};
    struct workers g;
    struct rtc_ports *ports = NULL;
    if (argc != 4)
        return 2;
    s.left = (int)strtol(argv[3], NULL, 10);
    if (workers_init(&g, &config, 1) < 0)
        return 1;
    int err = rtc_ports_open(&ports, &g,
                             &(struct rtc_ports_options){.listen = argv[1],
                                                         .tcp_listen = argv[2],
                                                         .public_addresses = &none,
                                                         .advertise = "",
                                                         .trusted = &none});
    if (err == 0) {
        s.base = g.workers[0].base;
        timer_init(&s.tick, &g.workers[0], "tick", on_tick, &s);
        timer_set_ms(&s.tick, 1000);
        err = answer(&s, rtc_port_of(ports, &g.workers[0]));
        if (err == 0)
            event_base_dispatch(s.base);
        timer_fini(&s.tick);
    }
    rtc_ports_free(&ports);
    workers_fini(&g);
    return err == 0 ? 0 : 1;
}
