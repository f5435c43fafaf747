#include "test.h"

#include "base/err.h"
#include "proto/sdp_answer.h"
#include "proto/sdp_files.h"

static struct sdp_offer offer;

static void read_text(struct slice text)
{
    struct sdp_error error;
    if (sdp_offer_read(text, &offer, &error) < 0)
        fail_msg("line %u: %s", error.line, error.why);
}

static struct sdp_wish viewer(enum sdp_codec video, uint32_t profile)
{
    struct sdp_wish w = {0};
    w.audio.codecs[w.audio.count++].codec = SDP_OPUS;
    if (video != SDP_CODEC_OTHER)
        w.video.codecs[w.video.count++] =
            (struct sdp_codec_wish){.codec = video, .profile_level_id = profile};
    return w;
}

/* Publishers: which payload type of which codec. */
static void publishing(void **state)
{
    static const struct {
        const char *name;
        enum sdp_codec first, codec;
        uint8_t type, rtx;
        bool active;
        uint32_t ssrc;
    } cases[] = {
        {"chrome-whip", SDP_CODEC_OTHER, SDP_H264, 108, 109, false, 695281345},
        {"chrome-whip", SDP_VP8, SDP_VP8, 96, 97, false, 695281345},
        {"chrome-whip", SDP_AV1, SDP_AV1, 45, 46, false, 695281345},
        {"chrome-whip", SDP_VP9, SDP_VP9, 98, 99, false, 695281345},
        {"ffmpeg-whip", SDP_CODEC_OTHER, SDP_H264, 106, 105, true, 2260721604},
        {"webrtcbin-whip", SDP_CODEC_OTHER, SDP_VP8, 96, 0, false, 2},
        {"webrtcbin-whip", SDP_AV1, SDP_VP8, 96, 0, false, 2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sdp_wish w;
        struct sdp_session s;
        struct sdp_error error;
        read_text(sdp_file(cases[i].name));
        sdp_wish_publish(&w, cases[i].first);
        assert_int_equal(sdp_negotiate(&offer, &w, &s, &error), 0);
        assert_true(s.has_audio && s.has_video && s.receive);
        assert_int_equal(s.active, cases[i].active);
        assert_int_equal(s.video.codec, cases[i].codec);
        assert_int_equal(s.video.type, cases[i].type);
        assert_int_equal(s.video.has_rtx, cases[i].rtx != 0);
        assert_int_equal(s.video.rtx_type, cases[i].rtx);
        assert_int_equal(s.video.ssrc, cases[i].ssrc);
        assert_int_equal(s.audio.codec, SDP_OPUS);
        assert_true(s.audio.feedback & SDP_FB_NACK);
    }
}

/* Viewers: the stream's profile, else Constrained Baseline. */
static void playing(void **state)
{
    static const struct {
        const char *name;
        enum sdp_codec codec;
        uint32_t profile;
        uint8_t type, rtx;
    } cases[] = {
        {"chrome-whep", SDP_H264, 0x42e01f, 108, 109},
        {"chrome-whep", SDP_H264, 0x42c028, 108, 109},
        {"chrome-whep", SDP_H264, 0x42001f, 102, 103},
        {"chrome-whep", SDP_H264, 0x4d0028, 116, 117},
        {"chrome-whep", SDP_H264, 0x640028, 108, 109},
        {"chrome-whep", SDP_H264, 0, 108, 109},
        {"chrome-whep", SDP_VP8, 0, 96, 97},
        {"chrome-whep", SDP_AV1, 0, 45, 46},
        {"chrome-whep", SDP_VP9, 0, 98, 99},
        {"werift-whep", SDP_H264, 0x640028, 97, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sdp_wish w = viewer(cases[i].codec, cases[i].profile);
        struct sdp_session s;
        struct sdp_error error;
        read_text(sdp_file(cases[i].name));
        if (sdp_negotiate(&offer, &w, &s, &error) < 0)
            fail_msg("case %zu: %s", i, error.why);
        assert_int_equal(s.video.type, cases[i].type);
        assert_int_equal(s.video.rtx_type, cases[i].rtx);
        assert_false(s.video.feedback & SDP_FB_TRANSPORT_CC);
        assert_int_equal(s.video.extensions[SDP_EXT_TRANSPORT_CC], 0);
        assert_int_equal(s.video.extensions[SDP_EXT_MID], 0);
    }
}

#define RECVONLY "a=recvonly\r\n"
#define VP8      "a=rtpmap:96 VP8/90000\r\n"
#define AUDIO    SDP_AUDIO_LINE RECVONLY
#define VIDEO    SDP_VIDEO_LINE("96") RECVONLY

static void refusals(void **state)
{
    static const struct {
        const char *text;
        bool publish;
        int want;
    } cases[] = {
        {SDP_HEAD VIDEO VP8 AUDIO, false, ERR_UNSUPPORTED},                    /* we have H264 */
        {SDP_HEAD VIDEO "a=rtpmap:96 H264/90000\r\n", false, ERR_UNSUPPORTED}, /* mode 0 */
        {SDP_HEAD VIDEO "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n", false, 0},
        {SDP_HEAD VIDEO "a=rtpmap:96 h264/90000\r\na=fmtp:96 packetization-mode=1\r\n", false, 0},
        {SDP_HEAD AUDIO, false, 0},
        {SDP_HEAD SDP_AUDIO_LINE, false, ERR_UNSUPPORTED}, /* nothing to send to */
        {SDP_HEAD "a=ice-lite\r\n" AUDIO, false, ERR_UNSUPPORTED},
        {SDP_HEAD "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n", false, ERR_PROTOCOL},
        {SDP_HEAD AUDIO "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:7\r\na=rtcp-mux\r\n", false,
         ERR_PROTOCOL},
        {SDP_HEAD SDP_VIDEO_LINE("96") VP8 SDP_AUDIO_LINE, true, 0},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 H264/90000\r\n", true, 0},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 H263/90000\r\n" SDP_AUDIO_LINE, true,
         ERR_UNSUPPORTED},
        {SDP_HEAD SDP_VIDEO_LINE(
             "96") "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=9\r\n",
         true, ERR_UNSUPPORTED},
        {SDP_HEAD "m=audio 9 UDP/TLS/RTP/SAVPF 8\r\na=mid:1\r\na=rtcp-mux\r\n", true,
         ERR_UNSUPPORTED},
        {SDP_HEAD SDP_AUDIO_LINE "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtcp-mux\r\n"
                                 "a=rtpmap:111 opus/48000/2\r\n",
         true, ERR_UNSUPPORTED},
        {SDP_HEAD SDP_AUDIO_LINE "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n",
         true, ERR_UNSUPPORTED},
        {SDP_HEAD AUDIO, true, ERR_UNSUPPORTED}, /* it only receives */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sdp_wish w = viewer(SDP_H264, 0x42e01f);
        struct sdp_session s;
        struct sdp_error error;
        if (cases[i].publish)
            sdp_wish_publish(&w, SDP_CODEC_OTHER);
        read_text(slice_text(cases[i].text));
        int err = sdp_negotiate(&offer, &w, &s, &error);
        if (err != cases[i].want || (err < 0 && error.why == NULL))
            fail_msg("case %zu: %d %s", i, err, error.why);
    }
}

static const struct sdp_local local = {
    .ufrag = "w0ab",
    .pwd = "pwpwpwpwpwpwpwpwpwpwpwpw",
    .fingerprint = "sha-256 AA:BB",
    .candidates = {"1 1 udp 2130706431 192.0.2.9 8000 typ host",
                   "2 1 tcp 1671430143 192.0.2.9 8000 typ host tcptype passive"},
    .candidate_count = 2,
};
static const struct sdp_names names = {.session_id = 14, .cname = "cn", .stream_id = "st"};

static const char *answer(const struct sdp_wish *wish, bool with_ssrcs)
{
    static char text[SDP_ANSWER_MAX];
    struct sdp_session s;
    struct sdp_error error;
    if (sdp_negotiate(&offer, wish, &s, &error) < 0)
        fail_msg("%s", error.why);
    if (with_ssrcs) {
        s.video.ssrc = 1;
        s.video.rtx_ssrc = 2;
        s.audio.ssrc = 3;
    }
    struct wr w = wr_init(text, sizeof text - 1);
    sdp_answer_write(&w, &offer, &s, &local, &names);
    assert_false(w.overflow);
    text[wr_len(&w)] = '\0';
    return text;
}

#define TRANSPORT(setup)                                                                           \
    "a=ice-ufrag:w0ab\r\na=ice-pwd:pwpwpwpwpwpwpwpwpwpwpwpw\r\na=fingerprint:sha-256 AA:BB\r\n"    \
    "a=setup:" setup "\r\n"
#define CANDIDATES                                                                                 \
    "a=candidate:1 1 udp 2130706431 192.0.2.9 8000 typ host\r\n"                                   \
    "a=candidate:2 1 tcp 1671430143 192.0.2.9 8000 typ host tcptype passive\r\n"                   \
    "a=end-of-candidates\r\n"
#define HEAD(mids)                                                                                 \
    "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=msid-semantic: WMS *\r\n"  \
    "a=group:BUNDLE " mids "\r\n"
#define NOWHERE "c=IN IP4 0.0.0.0\r\n"

static void publisher_answer(void **state)
{
    struct sdp_wish w;
    sdp_wish_publish(&w, SDP_CODEC_OTHER);
    read_text(sdp_file("ffmpeg-whip"));
    assert_string_equal(
        answer(&w, false),
        HEAD("0 1") "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" NOWHERE "a=mid:0\r\n" TRANSPORT(
            "active") "a=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 "
                      "nack\r\n"
                      "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n" CANDIDATES
                      "m=video 9 UDP/TLS/RTP/SAVPF 106 105\r\n" NOWHERE "a=mid:1\r\n" TRANSPORT(
                          "active") "a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:106 "
                                    "H264/90000\r\n"
                                    "a=rtcp-fb:106 nack\r\n"
                                    "a=fmtp:106 "
                                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-"
                                    "id=42000d\r\n"
                                    "a=rtpmap:105 rtx/90000\r\na=fmtp:105 apt=106\r\n");
    read_text(sdp_file("chrome-whip"));
    const char *text = answer(&w, false);
    assert_non_null(strstr(text, "a=rtcp-fb:108 transport-cc\r\n"));
    assert_non_null(strstr(text, "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-"
                                 "wide-cc-extensions-01\r\n"));
    assert_non_null(strstr(text, "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"));
    assert_null(strstr(text, "a=ssrc"));
    assert_null(strstr(text, "rtp-stream-id"));
}

static void viewer_answer(void **state)
{
    struct sdp_wish w = viewer(SDP_H264, 0x640028);
    read_text(sdp_file("chrome-whep"));
    assert_string_equal(
        answer(&w, true),
        HEAD("0 1") "m=video 9 UDP/TLS/RTP/SAVPF 108 109\r\n" NOWHERE "a=mid:0\r\n" TRANSPORT(
            "passive") "a=sendonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtcp-xr:rcvr-rtt=all\r\na="
                       "rtpmap:108 H264/90000\r\n"
                       "a=rtcp-fb:108 goog-remb\r\na=rtcp-fb:108 ccm fir\r\na=rtcp-fb:108 nack\r\n"
                       "a=rtcp-fb:108 nack pli\r\n"
                       "a=fmtp:108 "
                       "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
                       "a=rtpmap:109 rtx/90000\r\na=fmtp:109 apt=108\r\na=msid:st st-v\r\n"
                       "a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:cn\r\na=ssrc:2 "
                       "cname:cn\r\n" CANDIDATES "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" NOWHERE
                       "a=mid:1\r\n" TRANSPORT(
                           "passive") "a=sendonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtcp-xr:rcvr-"
                                      "rtt=all\r\na=rtpmap:111 "
                                      "opus/48000/2\r\n"
                                      "a=rtcp-fb:111 nack\r\na=fmtp:111 "
                                      "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n"
                                      "a=msid:st st-a\r\na=ssrc:3 cname:cn\r\n");
}

/* A stream without video: the m-line stays, silent; what is no media of ours is refused. */
static void missing_tracks(void **state)
{
    struct sdp_wish w = viewer(SDP_CODEC_OTHER, 0);
    read_text(slice_text(
        SDP_HEAD
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n" VIDEO VP8 AUDIO));
    const char *text = answer(&w, true);
    assert_non_null(strstr(text, "a=group:BUNDLE 0 1\r\nm=application 0 UDP/DTLS/SCTP "
                                 "webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n"
                                 "a=inactive\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"));
    assert_non_null(strstr(text, "a=inactive\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n" CANDIDATES
                                 "m=audio 9 "));
    w.playout_delay = true;
    read_text(sdp_file("chrome-whep"));
    w.video.codecs[w.video.count++].codec = SDP_VP8;
    assert_non_null(
        strstr(answer(&w, true),
               "a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n"));
}

/* Whatever room there is, nothing is written beyond it. */
static void no_room(void **state)
{
    struct sdp_wish w = viewer(SDP_H264, 0);
    struct sdp_session s;
    struct sdp_error error;
    static char text[SDP_ANSWER_MAX];
    read_text(sdp_file("chrome-whep"));
    size_t whole = strlen(answer(&w, true));
    assert_int_equal(sdp_negotiate(&offer, &w, &s, &error), 0);
    s.video.ssrc = 1, s.video.rtx_ssrc = 2, s.audio.ssrc = 3;
    for (size_t room = 0; room <= whole; room++) {
        struct wr wr = wr_init(text, room);
        sdp_answer_write(&wr, &offer, &s, &local, &names);
        assert_int_equal(wr.overflow, room < whole);
    }
}

static void fragment(void **state)
{
    char text[SDP_ANSWER_MAX];
    struct wr w = wr_init(text, sizeof text - 1);
    sdp_fragment_write(&w, SDP_VIDEO, "0", &local);
    text[wr_len(&w)] = '\0';
    assert_string_equal(text, "a=ice-lite\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\na=ice-ufrag:w0ab\r\n"
                              "a=ice-pwd:pwpwpwpwpwpwpwpwpwpwpwpw\r\n" CANDIDATES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishing),    cmocka_unit_test(playing),
        cmocka_unit_test(refusals),      cmocka_unit_test(publisher_answer),
        cmocka_unit_test(viewer_answer), cmocka_unit_test(missing_tracks),
        cmocka_unit_test(no_room),       cmocka_unit_test(fragment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
