#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "rtc/srtp_internal.h"

#include <srtp2/srtp.h>

#define PACKET_MAX 1500
#define SSRC       0xcafebabeU

static const enum srtp_profile profiles[] = {SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_HMAC_SHA1_80};
static const enum rtc_srtp_backend backends[] = {RTC_SRTP_EVP, RTC_SRTP_LIBSRTP};

static int setup(void **state)
{
    *state = rtc_srtp_new();
    return *state == NULL;
}

static int teardown(void **state)
{
    struct rtc_srtp *lib = *state;
    rtc_srtp_free(&lib);
    return 0;
}

/* Both sides have the same secret, so that one may open what it sealed. */
static struct srtp_keys keys_of(enum srtp_profile profile)
{
    struct srtp_keys k = {.profile = profile};
    for (unsigned i = 0; i < SRTP_KEY_LEN; i++)
        k.local.key[i] = (uint8_t)(0x30 + i);
    for (unsigned i = 0; i < SRTP_SALT_MAX; i++)
        k.local.salt[i] = (uint8_t)(0xa0 + i);
    k.remote = k.local;
    return k;
}

struct pair {
    struct rtc_sealer *sealer;
    struct rtc_opener *opener;
};

static struct pair pair_new(const struct rtc_srtp *lib, enum srtp_profile profile,
                            enum rtc_srtp_backend backend)
{
    struct srtp_keys k = keys_of(profile);
    struct pair p = {rtc_sealer_new(lib, &k), rtc_opener_new(lib, &k, backend)};
    assert_non_null(p.sealer);
    assert_non_null(p.opener);
    return p;
}

static void pair_free(struct pair *p)
{
    rtc_sealer_free(&p->sealer);
    rtc_opener_free(&p->opener);
}

/* A packet whose payload is made of its number. */
static ssize_t seal(struct rtc_sealer *s, uint32_t ssrc, uint16_t seq, uint8_t *dst)
{
    uint8_t header[RTP_HEADER_SIZE], text[100];
    struct wr w = wr_init(header, sizeof header);
    const struct rtp_header h = {.payload_type = 96, .seq = seq, .timestamp = seq, .ssrc = ssrc};
    rtp_write_header(&w, &h, NULL, 0);
    memset(text, seq & 0xff, sizeof text);
    const struct slice pieces[] = {slice_of(text, 1), slice_of(text, 0), slice_of(text, 99)};
    return rtc_sealer_rtp(s, wr_slice(&w), pieces, 3, dst, PACKET_MAX);
}

static ssize_t pass(struct pair *p, uint32_t ssrc, uint16_t seq)
{
    uint8_t packet[PACKET_MAX];
    ssize_t n = seal(p->sealer, ssrc, seq, packet);
    assert_true(n > 112);
    n = rtc_opener_rtp(p->opener, packet, (size_t)n);
    if (n > 0) {
        assert_int_equal(n, 112);
        for (size_t i = RTP_HEADER_SIZE; i < 112; i++)
            assert_int_equal(packet[i], seq & 0xff);
    }
    return n;
}

/* ---- vectors: session keys are given, so below the key derivation ---- */

static struct srtp_flow flow_with(const struct rtc_srtp *lib, const struct srtp_suite *suite,
                                  const char *key, const char *salt, bool sealing)
{
    struct srtp_flow f = {0};
    uint8_t bytes[HEX_BYTES_MAX], auth[20] = {0};
    assert_true(suite->init(&f, lib, hex_bytes(key, bytes).p, auth, sealing));
    struct slice s = hex_bytes(salt, bytes);
    memcpy(f.salt, s.p, s.len);
    return f;
}

#define GCM_KEY  "000102030405060708090a0b0c0d0e0f"
#define GCM_SALT "517569642070726f2071756f"

/* RFC 7714, 16.1.1. */
static void seals_the_vector_of_rfc_7714(void **state)
{
    uint8_t header[HEX_BYTES_MAX], text[HEX_BYTES_MAX], want[HEX_BYTES_MAX], have[PACKET_MAX];
    struct srtp_flow f = flow_with(*state, &srtp_suite_gcm, GCM_KEY, GCM_SALT, true);
    struct slice h = hex_bytes("8040f17b8041f8d35501a0b2", header);
    struct slice t = hex_bytes("47616c6c696120657374206f6d6e697320646976697361"
                               "20696e207061727465732074726573",
                               text);
    struct slice w = hex_bytes("8040f17b8041f8d35501a0b2"
                               "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b"
                               "36de3adf8833899d7f27beb16a9152cf765ee4390cce",
                               want);
    ssize_t n = srtp_suite_gcm.seal_rtp(&f, 0x5501a0b2, 0xf17b, h, &t, 1, have);
    assert_int_equal(n, w.len);
    assert_memory_equal(have, w.p, w.len);
    srtp_flow_fini(&f);

    f = flow_with(*state, &srtp_suite_gcm, GCM_KEY, GCM_SALT, false);
    n = srtp_suite_gcm.open_rtp(&f, 0x5501a0b2, 0xf17b, have, 12, w.len);
    assert_int_equal(n, 12 + t.len);
    assert_memory_equal(have + 12, t.p, t.len);
    srtp_flow_fini(&f);
}

/* RFC 7714, 17.1. */
static void seals_the_rtcp_vector_of_rfc_7714(void **state)
{
    uint8_t plain[HEX_BYTES_MAX], want[HEX_BYTES_MAX], have[PACKET_MAX];
    struct srtp_flow f = flow_with(*state, &srtp_suite_gcm, GCM_KEY, GCM_SALT, true);
    struct slice c = hex_bytes("81c8000d4d6172734e5450314e545032525450200000042a0000e930"
                               "4c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
                               plain);
    struct slice w = hex_bytes("81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f7"
                               "6c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa458"
                               "96cf4d2fc5abf87245d9eade800005d4",
                               want);
    ssize_t n = srtp_suite_gcm.seal_rtcp(&f, 0x4d617273, 0x5d4, c, have);
    assert_int_equal(n, w.len);
    assert_memory_equal(have, w.p, w.len);
    srtp_flow_fini(&f);
}

/* RFC 3711, B.2: zeros become the key stream. */
static void makes_the_key_stream_of_rfc_3711(void **state)
{
    static const uint8_t zeros[48];
    uint8_t want[HEX_BYTES_MAX], have[PACKET_MAX];
    struct srtp_flow f = flow_with(*state, &srtp_suite_cm, "2B7E151628AED2A6ABF7158809CF4F3C",
                                   "F0F1F2F3F4F5F6F7F8F9FAFBFCFD", true);
    struct slice w = hex_bytes("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
                               "41E95B3BB0A2E8DD477901E4FCA894C0",
                               want);
    const struct slice piece = slice_of(zeros, sizeof zeros), header = slice_of(zeros, 12);
    assert_int_equal(srtp_suite_cm.seal_rtp(&f, 0, 0, header, &piece, 1, have), 70);
    assert_memory_equal(have + 12, w.p, w.len);
    srtp_flow_fini(&f);
}

/* RFC 3711, B.3: the salt is derived like the keys. */
static void derives_the_salt_of_rfc_3711(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct srtp_secret master;
    struct srtp_flow f = {0};
    memcpy(master.key, hex_bytes("E1F97A0D3E018BE0D64FA32C06DE4139", bytes).p, SRTP_KEY_LEN);
    memcpy(master.salt, hex_bytes("0EC675AD498AFEEBB6960B3AABE6", bytes).p, SRTP_SALT_MAX);
    assert_true(
        srtp_flow_init(&f, *state, SRTP_AES128_CM_HMAC_SHA1_80, &master, SRTP_LABEL_RTP, true));
    assert_memory_equal(f.salt, hex_bytes("30CBBC08863D8C85D49DB34A9AE1", bytes).p, SRTP_SALT_MAX);
    srtp_flow_fini(&f);
}

/* ---- each backend against the other ---- */

static void each_opens_what_we_seal(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++)
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
            struct pair pair = pair_new(*state, profiles[p], backends[b]);
            for (unsigned i = 0; i < 300; i++)
                assert_int_equal(pass(&pair, SSRC + i % 3, (uint16_t)(32000 + i / 3)), 112);
            pair_free(&pair);
        }
}

static srtp_t oracle_new(enum srtp_profile profile)
{
    struct srtp_keys k = keys_of(profile);
    uint8_t master[SRTP_KEY_LEN + SRTP_SALT_MAX];
    memcpy(master, k.local.key, SRTP_KEY_LEN);
    memcpy(master + SRTP_KEY_LEN, k.local.salt, SRTP_SALT_MAX);
    srtp_policy_t policy = {.ssrc = {.type = ssrc_any_outbound}, .key = master, .window_size = 128};
    if (profile == SRTP_AEAD_AES_128_GCM) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else {
        srtp_crypto_policy_set_rtp_default(&policy.rtp);
        srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    }
    srtp_t oracle;
    assert_int_equal(srtp_create(&oracle, &policy), srtp_err_status_ok);
    return oracle;
}

static const uint8_t report[] = {0x80, 201, 0,  7,  0xca, 0xfe, 0xba, 0xbe, 1,  2,  3,
                                 4,    5,   6,  7,  8,    9,    10,   11,   12, 13, 14,
                                 15,   16,  17, 18, 19,   20,   21,   22,   23, 24};

/* Byte for byte what libsrtp2 makes of the same, over the wrap of sequence numbers; RTCP is opened.
 */
static void seals_as_libsrtp_does(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++) {
        struct pair pair = pair_new(*state, profiles[p], RTC_SRTP_EVP);
        srtp_t oracle = oracle_new(profiles[p]);
        for (unsigned i = 0; i < 70000; i += 7) {
            uint8_t have[PACKET_MAX], want[PACKET_MAX] = {0x80, 96};
            put_u32(want + 4, i & 0xffff);
            put_u32(want + 8, SSRC);
            want[2] = (uint8_t)(i >> 8);
            want[3] = (uint8_t)i;
            memset(want + 12, (int)(i & 0xff), 100);
            int len = 112;
            assert_int_equal(srtp_protect(oracle, want, &len), srtp_err_status_ok);
            assert_int_equal(seal(pair.sealer, SSRC, (uint16_t)i, have), len);
            assert_memory_equal(have, want, (size_t)len);
            assert_int_equal(rtc_opener_rtp(pair.opener, want, (size_t)len), 112);
        }
        for (int i = 0; i < 5; i++) {
            uint8_t want[PACKET_MAX];
            memcpy(want, report, sizeof report);
            int len = sizeof report;
            assert_int_equal(srtp_protect_rtcp(oracle, want, &len), srtp_err_status_ok);
            ssize_t n = rtc_opener_rtcp(pair.opener, want, (size_t)len);
            assert_int_equal(n, sizeof report);
            assert_memory_equal(want, report, sizeof report);
        }
        srtp_dealloc(oracle);
        pair_free(&pair);
    }
}

static void each_opens_the_rtcp_we_seal(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++)
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
            struct pair pair = pair_new(*state, profiles[p], backends[b]);
            for (int i = 0; i < 20; i++) {
                uint8_t packet[PACKET_MAX], again[PACKET_MAX];
                ssize_t n = rtc_sealer_rtcp(pair.sealer, slice_of(report, sizeof report), packet,
                                            sizeof packet);
                assert_true(n > (ssize_t)sizeof report);
                memcpy(again, packet, (size_t)n);
                assert_int_equal(rtc_opener_rtcp(pair.opener, packet, (size_t)n), sizeof report);
                assert_memory_equal(packet, report, sizeof report);
                assert_int_equal(rtc_opener_rtcp(pair.opener, again, (size_t)n), ERR_EXISTS);
            }
            pair_free(&pair);
        }
}

/* ---- replay, wrap, tampering ---- */

/* Each number once, within the window, on both sides of the wrap. */
static void replays_are_refused(void **state)
{
    static const struct {
        uint16_t seq;
        bool opened;
    } cases[] = {
        {100, true},    {100, false},  {102, true}, {101, true},   {101, false}, {32000, true},
        {102, false}, /* far behind the window */
        {64000, true},  {65535, true}, {2, true},   {0, true},     {1, true},    {2, false},
        {65535, false}, {65534, true}, {500, true}, {65013, true}, /* the last in it */
        {65012, false},                                            /* too old */
        {65013, false},
    };
    for (size_t p = 0; p < COUNT_OF(profiles); p++)
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
            struct pair pair = pair_new(*state, profiles[p], backends[b]);
            for (size_t i = 0; i < COUNT_OF(cases); i++) {
                ssize_t n = pass(&pair, SSRC, cases[i].seq);
                if (n != (cases[i].opened ? 112 : ERR_EXISTS))
                    fail_msg("profile %zu backend %zu: %u: %zd", p, b, cases[i].seq, n);
            }
            pair_free(&pair);
        }
}

/* A receiver that misses the packets around a wrap counts it all the same. */
static void a_wrap_may_be_missed(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++)
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
            struct pair pair = pair_new(*state, profiles[p], backends[b]);
            uint8_t packet[PACKET_MAX];
            assert_int_equal(pass(&pair, SSRC, 32767), 112);
            for (unsigned seq = 32768; seq < 65536 + 20; seq += 20000)
                assert_int_equal(pass(&pair, SSRC, (uint16_t)seq), 112);
            for (unsigned seq = 72768; seq < 80000; seq++)
                assert_true(seal(pair.sealer, SSRC, (uint16_t)seq, packet) > 0);
            assert_int_equal(pass(&pair, SSRC, (uint16_t)80000), 112);
            pair_free(&pair);
        }
}

/* No bit of a packet may change, and what is refused leaves no trace. */
static void tampering_is_seen(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++)
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
            struct pair pair = pair_new(*state, profiles[p], backends[b]);
            uint8_t packet[PACKET_MAX], changed[PACKET_MAX];
            ssize_t n = seal(pair.sealer, SSRC, 7, packet);
            for (size_t bit = 0; bit < (size_t)n * 8; bit++) {
                memcpy(changed, packet, (size_t)n);
                changed[bit / 8] ^= (uint8_t)(1U << bit % 8);
                assert_true(rtc_opener_rtp(pair.opener, changed, (size_t)n) < 0);
            }
            for (size_t len = 0; len < (size_t)n; len++) {
                memcpy(changed, packet, (size_t)n);
                assert_true(rtc_opener_rtp(pair.opener, changed, len) < 0);
            }
            assert_int_equal(rtc_opener_rtp(pair.opener, packet, (size_t)n), 112);
            pair_free(&pair);
        }
}

static void tampering_with_rtcp_is_seen(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++)
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
            struct pair pair = pair_new(*state, profiles[p], backends[b]);
            uint8_t packet[PACKET_MAX], changed[PACKET_MAX];
            ssize_t n = rtc_sealer_rtcp(pair.sealer, slice_of(report, sizeof report), packet,
                                        sizeof packet);
            for (size_t bit = 0; bit < (size_t)n * 8; bit++) {
                memcpy(changed, packet, (size_t)n);
                changed[bit / 8] ^= (uint8_t)(1U << bit % 8);
                assert_true(rtc_opener_rtcp(pair.opener, changed, (size_t)n) < 0);
            }
            for (size_t len = 0; len < (size_t)n; len++) {
                memcpy(changed, packet, (size_t)n);
                assert_true(rtc_opener_rtcp(pair.opener, changed, len) < 0);
            }
            assert_int_equal(rtc_opener_rtcp(pair.opener, packet, (size_t)n), sizeof report);
            pair_free(&pair);
        }
}

static void sources_are_bounded(void **state)
{
    for (size_t b = 0; b < COUNT_OF(backends); b++) {
        struct pair pair = pair_new(*state, SRTP_AEAD_AES_128_GCM, backends[b]);
        struct srtp_keys other = keys_of(SRTP_AEAD_AES_128_GCM);
        other.local.key[0] ^= 1;
        struct rtc_sealer *stranger = rtc_sealer_new(*state, &other);
        uint8_t packet[PACKET_MAX];
        /* Who is not authentic takes no place. */
        for (unsigned i = 0; i < RTC_SRTP_SSRCS_MAX; i++) {
            ssize_t n = seal(stranger, 1000 + i, 1, packet);
            assert_int_equal(rtc_opener_rtp(pair.opener, packet, (size_t)n), ERR_AUTH);
        }
        for (unsigned i = 0; i < RTC_SRTP_SSRCS_MAX; i++)
            assert_int_equal(pass(&pair, i, 1), 112);
        assert_int_equal(seal(pair.sealer, 99, 1, packet), ERR_TOO_MANY);
        struct srtp_keys same = keys_of(SRTP_AEAD_AES_128_GCM);
        struct rtc_sealer *fresh = rtc_sealer_new(*state, &same);
        ssize_t n = seal(fresh, 99, 1, packet);
        assert_int_equal(rtc_opener_rtp(pair.opener, packet, (size_t)n), ERR_TOO_MANY);
        assert_int_equal(pass(&pair, 0, 2), 112);
        rtc_sealer_free(&stranger);
        rtc_sealer_free(&fresh);
        pair_free(&pair);
    }
}

static void a_sealer_refuses_what_it_cannot_seal(void **state)
{
    struct pair pair = pair_new(*state, SRTP_AEAD_AES_128_GCM, RTC_SRTP_EVP);
    uint8_t packet[PACKET_MAX], header[12] = {0x80};
    const struct slice piece = slice_of(packet, 100), h = slice_of(header, 12);
    assert_int_equal(rtc_sealer_rtp(pair.sealer, slice_of(header, 11), &piece, 1, packet, 1500),
                     ERR_RANGE);
    assert_int_equal(rtc_sealer_rtp(pair.sealer, h, &piece, 1, packet, 127), ERR_RANGE);
    assert_int_equal(rtc_sealer_rtcp(pair.sealer, slice_of(report, 7), packet, 1500), ERR_RANGE);
    assert_int_equal(rtc_sealer_rtcp(pair.sealer, slice_of(report, 32), packet, 51), ERR_RANGE);
    /* Before rollover counter 0. */
    assert_true(seal(pair.sealer, SSRC, 3, packet) > 0);
    assert_int_equal(seal(pair.sealer, SSRC, 65535, packet), ERR_RANGE);
    pair_free(&pair);
}

/* The same packet again is the same bytes, whatever was sealed in between. */
static void sealing_again_gives_the_same_bytes(void **state)
{
    for (size_t p = 0; p < COUNT_OF(profiles); p++) {
        struct pair pair = pair_new(*state, profiles[p], RTC_SRTP_EVP);
        uint8_t first[PACKET_MAX], other[PACKET_MAX], again[PACKET_MAX];
        assert_true(seal(pair.sealer, SSRC, 30000, other) > 0);
        assert_true(seal(pair.sealer, SSRC, 60000, other) > 0);
        ssize_t n = seal(pair.sealer, SSRC, 65000, first);
        assert_true(seal(pair.sealer, SSRC, 10, other) > 0);
        assert_int_equal(seal(pair.sealer, SSRC, 65000, again), n);
        assert_memory_equal(first, again, (size_t)n);
        pair_free(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seals_the_vector_of_rfc_7714),
        cmocka_unit_test(seals_the_rtcp_vector_of_rfc_7714),
        cmocka_unit_test(makes_the_key_stream_of_rfc_3711),
        cmocka_unit_test(derives_the_salt_of_rfc_3711),
        cmocka_unit_test(each_opens_what_we_seal),
        cmocka_unit_test(seals_as_libsrtp_does),
        cmocka_unit_test(each_opens_the_rtcp_we_seal),
        cmocka_unit_test(replays_are_refused),
        cmocka_unit_test(a_wrap_may_be_missed),
        cmocka_unit_test(tampering_is_seen),
        cmocka_unit_test(tampering_with_rtcp_is_seen),
        cmocka_unit_test(sources_are_bounded),
        cmocka_unit_test(a_sealer_refuses_what_it_cannot_seal),
        cmocka_unit_test(sealing_again_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
