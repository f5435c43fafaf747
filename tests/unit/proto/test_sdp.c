#include "test.h"

#include "base/err.h"
#include "proto/sdp_files.h"

#include <stdlib.h>

static void assert_slice(const char *what, struct slice have, const char *want)
{
    if (!slice_is(have, want))
        fail_msg("%s: \"%.*s\", not \"%s\"", what, SLICE_ARG(have), want);
}

static void read_file(const char *name, struct sdp_offer *o)
{
    struct sdp_error error;
    int err = sdp_offer_read(sdp_file(name), o, &error);
    if (err < 0)
        fail_msg("%s:%u: %s", name, error.line, error.why);
}

static void real_offers(void **state)
{
    static const struct {
        const char *name, *ufrag;
        size_t media, audio_payloads, video_payloads, candidates;
        enum sdp_setup setup;
        const char *mids[2];
        enum sdp_direction direction;
    } cases[] = {
        {"chrome-whip", "qfuY", 2, 8, 23, 8, SDP_ACTPASS, {"0", "1"}, SDP_SENDONLY},
        {"chrome-whep", "bLYa", 2, 8, 34, 8, SDP_ACTPASS, {"0", "1"}, SDP_RECVONLY},
        {"ffmpeg-whip", "2d48119a", 2, 1, 2, 0, SDP_PASSIVE, {"0", "1"}, SDP_SENDONLY},
        {"webrtcbin-whip",
         "5jboyC6Lj5pfiSOGD1qyUeyyGncbE6uz",
         2,
         1,
         1,
         0,
         SDP_ACTPASS,
         {"video0", "audio1"},
         SDP_SENDONLY},
        {"werift-whep", "75df", 2, 1, 1, 4, SDP_ACTPASS, {"0", "1"}, SDP_RECVONLY},
    };
    static struct sdp_offer o;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        read_file(cases[i].name, &o);
        assert_int_equal(o.media_count, cases[i].media);
        assert_slice(cases[i].name, o.transport.ufrag, cases[i].ufrag);
        assert_int_equal(o.transport.setup, cases[i].setup);
        assert_int_equal(o.transport.fingerprint_count, 1);
        assert_int_equal(o.candidates, cases[i].candidates);
        for (size_t k = 0; k < o.media_count; k++) {
            const struct sdp_media *m = &o.media[k];
            assert_true(m->usable && m->bundled && m->rtcp_mux);
            assert_slice(cases[i].name, m->mid, cases[i].mids[k]);
            assert_int_equal(m->direction, cases[i].direction);
            assert_int_equal(m->payload_count, m->kind == SDP_VIDEO ? cases[i].video_payloads
                                                                    : cases[i].audio_payloads);
        }
    }
}

static void what_payload_types_mean(void **state)
{
    static struct sdp_offer o;
    read_file("chrome-whip", &o);
    const struct sdp_media *m = &o.media[1];
    const struct sdp_payload *p = sdp_payload_find(m, 108);
    assert_int_equal(p->codec, SDP_H264);
    assert_int_equal(p->clock_hz, 90000);
    assert_int_equal(p->profile_level_id, 0x42e01f);
    assert_int_equal(p->packetization_mode, 1);
    assert_true(p->level_asymmetry);
    assert_int_equal(p->feedback,
                     SDP_FB_NACK | SDP_FB_PLI | SDP_FB_FIR | SDP_FB_REMB | SDP_FB_TRANSPORT_CC);
    p = sdp_payload_find(m, 109);
    assert_int_equal(p->codec, SDP_RTX);
    assert_true(p->has_apt);
    assert_int_equal(p->apt, 108);
    assert_int_equal(sdp_payload_find(m, 100)->profile, 2);
    assert_null(sdp_payload_find(m, 127));
    assert_int_equal(m->extensions[SDP_EXT_MID], 4);
    assert_int_equal(m->extensions[SDP_EXT_TRANSPORT_CC], 3);
    assert_int_equal(m->ssrc_count, 2);
    assert_int_equal(m->ssrcs[0].ssrc, 695281345);
    assert_true(m->ssrcs[0].has_rtx && m->ssrcs[1].is_rtx);
    assert_int_equal(m->ssrcs[0].rtx, 1474054649);
    const uint8_t want[] = {0xaf, 0xab, 0x44, 0xcf};
    assert_int_equal(o.transport.fingerprints[0].len, 32);
    assert_memory_equal(o.transport.fingerprints[0].bytes, want, sizeof want);
    p = sdp_payload_find(&o.media[0], 111);
    assert_int_equal(p->codec, SDP_OPUS);
    assert_int_equal(p->channels, 2);
}

/* Each is refused with an error that names the line. */
static void refusals(void **state)
{
    static const struct {
        const char *text;
        int want;
        unsigned line;
    } cases[] = {
        {"", ERR_PROTOCOL, 0},
        {"s=-\r\n", ERR_PROTOCOL, 1},
        {"v=1\r\n", ERR_PROTOCOL, 1},
        {"v=0\r\nv=0\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\n\r\nt=0 0\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\nA=b\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\nab\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=x\x01\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=x\r y\r\n", ERR_PROTOCOL, 2},
        {SDP_HEAD, ERR_PROTOCOL, 0},
        {SDP_HEAD "m=video\r\n", ERR_PROTOCOL, 10},
        {SDP_HEAD "m=video 65536 UDP/TLS/RTP/SAVPF 96\r\n", ERR_PROTOCOL, 10},
        {SDP_HEAD "m=video x UDP/TLS/RTP/SAVPF 96\r\n", ERR_PROTOCOL, 10},
        {SDP_HEAD "m=video 9 UDP/TLS/RTP/SAVPF\r\n", ERR_PROTOCOL, 10},
        {SDP_HEAD "m=video 9 UDP/TLS/RTP/SAVPF 128\r\n", ERR_PROTOCOL, 10},
        {SDP_HEAD "m=video 9 UDP/TLS/RTP/SAVPF 96 96\r\n", ERR_PROTOCOL, 10},
        {SDP_HEAD "m=video 9 RTP/AVP 96\r\n", ERR_PROTOCOL, 0},
        {SDP_HEAD "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n", ERR_PROTOCOL, 0},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:x VP8/90000\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 VP8\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 VP8/0\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 VP8/90000/0\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 V P/90000\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 VP8/90000\r\na=rtpmap:96 VP9/90000\r\n",
         ERR_PROTOCOL, 15},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=fmtp:96 x=1\r\na=fmtp:96 x=1\r\n", ERR_PROTOCOL, 15},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=mid:1\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=extmap:0 urn:x\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=extmap:1\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=ssrc:4294967296 cname:x\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=ssrc-group:FID 1\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=ssrc-group:FID 1 1\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") "a=rid:a/b send\r\n", ERR_PROTOCOL, 14},
        {SDP_HEAD SDP_VIDEO_LINE("96") SDP_VIDEO_LINE("96"), ERR_PROTOCOL, 0},
        {"v=0\r\na=ice-ufrag:abc\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=ice-ufrag:ab:d\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=ice-pwd:012345678901234567890\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=setup:holdconn\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=fingerprint:sha-256 " SDP_8 "\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=fingerprint:sha-384 " SDP_32 "\r\n", ERR_PROTOCOL, 2},
        {"v=0\r\na=fingerprint:sha-256 " SDP_8 "-" SDP_8 ":" SDP_8 ":" SDP_8 "\r\n", ERR_PROTOCOL,
         2},
        {"v=0\r\n" SDP_VIDEO_LINE("96"), ERR_PROTOCOL, 0},
        {"v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" SDP_VIDEO_LINE("96"),
         ERR_PROTOCOL, 0},
        {"v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
         "a=fingerprint:sha-1 00:01\r\n" SDP_VIDEO_LINE("96"),
         ERR_PROTOCOL, 0},
    };
    static struct sdp_offer o;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sdp_error error;
        int err = sdp_offer_read(slice_text(cases[i].text), &o, &error);
        if (err != cases[i].want || error.line != cases[i].line || error.why == NULL)
            fail_msg("case %zu: %d, line %u (%s)", i, err, error.line, error.why);
    }
}

/* What is odd but harmless is passed over. */
static void accepted(void **state)
{
    static const char *const cases[] = {
        SDP_HEAD SDP_VIDEO_LINE("96"),
        SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:97 VP8/90000\r\na=fmtp:97 apt=x\r\n",
        SDP_HEAD SDP_VIDEO_LINE("96") "a=rtcp-xr:rcvr-rtt=all\r\na=unheard-of\r\n\r\n",
        SDP_HEAD SDP_VIDEO_LINE("96 97") "a=rtcp-fb:* nack\r\n",
        SDP_HEAD SDP_VIDEO_LINE("96") "a=fingerprint:sha-1 00:01\r\n",
        SDP_HEAD SDP_VIDEO_LINE("96") "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
        SDP_HEAD "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\n",
        "v=0\na=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=fingerprint:sha-256 " SDP_32
        "\nm=audio 9 UDP/TLS/RTP/SAVPF 0",
    };
    static struct sdp_offer o;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sdp_error error;
        if (sdp_offer_read(slice_text(cases[i]), &o, &error) < 0)
            fail_msg("case %zu: line %u: %s", i, error.line, error.why);
    }
    struct sdp_error error;
    assert_int_equal(sdp_offer_read(slice_text(cases[1]), &o, &error), 0);
    assert_null(sdp_payload_find(&o.media[0], 97));
    assert_int_equal(sdp_offer_read(slice_text(cases[3]), &o, &error), 0);
    assert_int_equal(o.media[0].payloads[0].feedback, SDP_FB_NACK);
    assert_int_equal(o.media[0].payloads[1].feedback, SDP_FB_NACK);
    assert_int_equal(sdp_offer_read(slice_text(cases[6]), &o, &error), 0);
    assert_true(o.media[0].usable && o.media[0].bundle_only);
}

/* A value that a codec cannot have takes the payload type out of the choice. */
static void malformed_parameters(void **state)
{
    static const char *const cases[] = {"profile-level-id=42e0",
                                        "profile-level-id=xxxxxx",
                                        "packetization-mode=3",
                                        "packetization-mode=",
                                        "apt=128",
                                        "apt"};
    static struct sdp_offer o;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[2048];
        struct sdp_error error;
        snprintf(text, sizeof text,
                 "%sa=rtpmap:96 H264/90000\r\na=fmtp:96 level-asymmetry-allowed=1; %s\r\n",
                 SDP_HEAD SDP_VIDEO_LINE("96"), cases[i]);
        assert_int_equal(sdp_offer_read(slice_text(text), &o, &error), 0);
        if (!o.media[0].payloads[0].malformed)
            fail_msg("%s", cases[i]);
    }
}

/* One more than each limit. */
static void limits(void **state)
{
    static const struct {
        const char *start, *item;
        int count, want;
    } cases[] = {
        {SDP_HEAD, "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", SDP_MEDIA_MAX, ERR_TOO_MANY},
        {SDP_HEAD SDP_VIDEO_LINE("96"), "a=rid:a send\r\n", SDP_RIDS_MAX, ERR_TOO_MANY},
        {SDP_HEAD SDP_VIDEO_LINE("96"), "a=fingerprint:sha-256 " SDP_32 "\r\n",
         SDP_FINGERPRINTS_MAX, ERR_TOO_MANY},
    };
    static struct sdp_offer o;
    static char text[SDP_BYTES_MAX + 16];
    struct sdp_error error;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "%s", cases[i].start);
        for (int k = 0; k <= cases[i].count; k++) {
            int err = sdp_offer_read(slice_of(text, n), &o, &error);
            if (k > 0)
                assert_int_equal(err, 0);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", cases[i].item);
        }
        assert_int_equal(sdp_offer_read(slice_of(text, n), &o, &error), cases[i].want);
    }
    size_t n = (size_t)snprintf(text, sizeof text, SDP_HEAD SDP_VIDEO_LINE("96"));
    for (uint32_t ssrc = 1; ssrc <= SDP_SSRCS_MAX + 1; ssrc++)
        n += (size_t)snprintf(text + n, sizeof text - n, "a=ssrc:%u cname:x\r\n", ssrc);
    assert_int_equal(sdp_offer_read(slice_of(text, n), &o, &error), ERR_TOO_MANY);
    n = (size_t)snprintf(text, sizeof text, SDP_HEAD "m=video 9 UDP/TLS/RTP/SAVPF");
    for (int type = 0; type <= SDP_PAYLOADS_MAX; type++)
        n += (size_t)snprintf(text + n, sizeof text - n, " %d", type);
    assert_int_equal(sdp_offer_read(slice_of(text, n), &o, &error), ERR_TOO_MANY);

    memset(text, 'x', sizeof text);
    memcpy(text, "v=0\na=", 6);
    text[5 + SDP_LINE_MAX] = '\n';
    assert_int_equal(sdp_offer_read(slice_of(text, 6 + SDP_LINE_MAX), &o, &error), ERR_TOO_LARGE);
    assert_int_equal(error.line, 2);
    assert_int_equal(sdp_offer_read(slice_of(text, sizeof text), &o, &error), ERR_TOO_LARGE);
}

/* A thousand candidates are counted; none of them is of interest. */
static void many_candidates(void **state)
{
    static struct sdp_offer o;
    static char text[SDP_BYTES_MAX];
    struct sdp_error error;
    size_t n = (size_t)snprintf(text, sizeof text, SDP_HEAD SDP_VIDEO_LINE("96"));
    for (int i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "a=candidate:1 1 udp 1 192.0.2.%d 9 typ host\r\n", i % 256);
    assert_int_equal(sdp_offer_read(slice_of(text, n), &o, &error), 0);
    assert_int_equal(o.candidates, 1000);
}

/* However it is cut or damaged, it is refused or read, and what was read lies in it. */
static void check_inside(struct slice text, const struct sdp_offer *o)
{
    for (size_t i = 0; i < o->media_count; i++) {
        const struct sdp_media *m = &o->media[i];
        assert_true(m->mid.len == 0 || (m->mid.p >= text.p && m->mid.p < text.p + text.len));
        assert_true(m->payload_count <= SDP_PAYLOADS_MAX && m->ssrc_count <= SDP_SSRCS_MAX);
    }
}

static void cut_and_changed(void **state)
{
    static const char *const names[] = {"chrome-whip", "ffmpeg-whip", "webrtcbin-whip",
                                        "werift-whep"};
    static struct sdp_offer o;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice whole = sdp_file(names[i]);
        for (size_t cut = 0; cut <= whole.len; cut++) {
            struct sdp_error error;
            uint8_t *copy = malloc(cut + 1); /* so that a read past the end is found */
            memcpy(copy, whole.p, cut);
            struct slice text = slice_of(copy, cut);
            int err = sdp_offer_read(text, &o, &error);
            assert_true(err <= 0 && (err == 0 || error.why != NULL));
            if (err == 0)
                check_inside(text, &o);
            if (cut > 0) {
                copy[cut / 2] ^= (uint8_t)(1 + cut % 255);
                (void)sdp_offer_read(text, &o, &error);
            }
            free(copy);
        }
    }
}

static void fragments(void **state)
{
    static const struct {
        const char *text, *ufrag;
        int want;
        uint32_t candidates;
        bool end;
    } cases[] = {
        {"", "", 0, 0, false},
        {"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", "", 0, 1, false},
        {"a=end-of-candidates\r\n", "", 0, 0, true},
        {"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", "abcd", 0, 0, false},
        {"m=audio 9 RTP/AVP "
         "0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
         "m=video 9 RTP/AVP 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
         "a=candidate:x\r\na=candidate:y\r\na=end-of-candidates\r\n",
         "abcd", 0, 2, true},
        {"a=ice-ufrag:abcd\r\n", "", ERR_PROTOCOL, 0, false},
        {"a=ice-pwd:0123456789012345678901\r\n", "", ERR_PROTOCOL, 0, false},
        {"a=ice-ufrag:abcd\r\na=ice-ufrag:abce\r\n", "", ERR_PROTOCOL, 0, false},
        {"a=ice-ufrag:abc\r\n", "", ERR_PROTOCOL, 0, false},
        {"candidate:1\r\n", "", ERR_PROTOCOL, 0, false},
        {"{}", "", ERR_PROTOCOL, 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sdp_fragment f;
        struct sdp_error error;
        int err = sdp_fragment_read(slice_text(cases[i].text), &f, &error);
        if (err != cases[i].want)
            fail_msg("case %zu: %d (line %u: %s)", i, err, error.line, error.why);
        if (err < 0)
            continue;
        assert_slice("ufrag", f.ufrag, cases[i].ufrag);
        assert_int_equal(f.candidates, cases[i].candidates);
        assert_int_equal(f.end_of_candidates, cases[i].end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_offers),
        cmocka_unit_test(what_payload_types_mean),
        cmocka_unit_test(refusals),
        cmocka_unit_test(accepted),
        cmocka_unit_test(malformed_parameters),
        cmocka_unit_test(limits),
        cmocka_unit_test(many_candidates),
        cmocka_unit_test(cut_and_changed),
        cmocka_unit_test(fragments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
