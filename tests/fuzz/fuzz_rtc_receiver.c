#include "base/must.h"
#include "proto/rtcp.h"
#include "proto/rtp.h"
#include "rtc/rtc_receiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PACKET_MAX 1500

struct state {
    bool any[RTC_TRACKS_MAX];
    int64_t dts_us[RTC_TRACKS_MAX];
    bool had_key;
};

static void on_unit(void *owner, const struct rtc_received *u)
{
    struct state *s = owner;
    must(u->track < RTC_TRACKS_MAX && u->unit->len > 0);
    must(!s->any[u->track] || u->dts_us > s->dts_us[u->track]);
    s->any[u->track] = true;
    s->dts_us[u->track] = u->dts_us;
    if (u->track != 0)
        return;
    s->had_key |= u->unit->key;
    must(s->had_key && u->unit->config.len > 0);
}

static void on_rtcp(void *owner, const uint8_t *compound, size_t len)
{
    struct rd r = rd_init(compound, len);
    struct rtcp_packet p;
    int n;
    while ((n = rtcp_next(&r, &p)) > 0)
        ;
    must(n == 0 && len <= 1200);
}

static const struct rtc_receiver_handler handler = {on_unit, on_rtcp};

/* A packet with steps of number and timestamp, so that the fuzzer finds units soon. */
static void send(struct rtc_receiver *r, struct rd *in, uint16_t seq[4], uint32_t ts[4],
                 int64_t now_us)
{
    static const uint8_t types[4] = {96, 97, 111, 96};
    uint8_t bytes[PACKET_MAX], op = rd_u8(in), flow = op & 3;
    uint8_t number[2] = {(uint8_t)(seq[0] >> 8), (uint8_t)(seq[0] + seq[2])};
    seq[flow] = (uint16_t)(seq[flow] + (int8_t)rd_u8(in));
    if ((op & 4) != 0)
        ts[flow] += 3000;
    if ((op & 8) != 0)
        ts[flow] += rd_u32(in);
    struct rtp_header h = {(op & 16) != 0, types[flow], seq[flow], ts[flow], 1000U + flow};
    struct rtp_ext ext = {3, slice_of(number, 2)};
    struct wr w = wr_init(bytes, sizeof bytes);
    (void)rtp_write_header(&w, &h, &ext, (op & 32) != 0);
    size_t len = rd_u8(in);
    wr_put(&w, rd_slice_of(in, len < rd_left(in) ? len : rd_left(in)));
    rtc_receiver_rtp(r, bytes, wr_len(&w), now_us);
}

static void step(struct rtc_receiver *r, struct rd *in, uint16_t seq[4], uint32_t ts[4],
                 int64_t *now_us)
{
    uint8_t op = rd_u8(in);
    size_t len = rd_u8(in);
    switch (op & 7) {
    case 0:
        *now_us += (int64_t)len * len * 16;
        break;
    case 1:
        rtc_receiver_rtp(r, in->p, len < rd_left(in) ? len : rd_left(in), *now_us);
        break;
    case 2:
        rtc_receiver_rtcp(r, in->p, len < rd_left(in) ? len : rd_left(in), *now_us);
        break;
    case 3:
        rtc_receiver_want_key(r);
        break;
    default:
        send(r, in, seq, ts, *now_us);
        break;
    }
    if (rtc_receiver_next_us(r) <= *now_us)
        rtc_receiver_run(r, *now_us);
    must(rtc_receiver_next_us(r) > *now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t codecs[] = {FLV_CODEC_AVC, FLV_CODEC_VP8, FLV_CODEC_VP9, FLV_CODEC_AV1};
    struct rd in = rd_init(data, size);
    uint8_t first = rd_u8(&in);
    struct state s = {.had_key = false};
    struct rtc_receiver_options o = {
        .tracks = {{.codec = codecs[first & 3],
                    .clock_hz = 90000,
                    .payload_type = 96,
                    .rtx_type = 97,
                    .has_rtx = true,
                    .nack = (first & 4) != 0,
                    .pli = (first & 8) != 0,
                    .fir = true,
                    .transport_cc_ext = 3},
                   {.codec = FLV_CODEC_OPUS, .clock_hz = 48000, .payload_type = 111, .nack = true}},
        .track_count = 2,
        .reduced_rtcp = (first & 16) != 0,
        .remb_bps = 1000000,
        .ssrc = 1,
        .cname = "x",
        .handler = &handler,
        .owner = &s,
    };
    int64_t now_us = 1000000;
    uint16_t seq[4] = {65530, 10, 100, 5000};
    uint32_t ts[4] = {0xfffffff0U, 0xfffffff0U, 5, 77};
    struct rtc_receiver *r = rtc_receiver_new(&o, now_us);
    while (rd_left(&in) > 0)
        step(r, &in, seq, ts, &now_us);
    rtc_receiver_free(&r);
    return 0;
}
