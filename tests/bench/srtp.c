#include "rtc/srtp.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "proto/rtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What sealing and opening cost: microseconds of a processor per packet with 1,188 bytes of payload
 * (120 with `small`), one packet after the other of SESSIONS sessions in turn.
 *
 * usage: srtp-bench [SESSIONS [small]]
 */
#define PACKETS      100000
#define PAYLOAD_MAX  1188
#define SESSIONS_MAX 10000

struct session {
    struct rtc_sealer *sealer;
    struct rtc_opener *openers[2]; /* by enum rtc_srtp_backend */
};

struct bench {
    struct session *sessions;
    int count;
    size_t payload;
    uint8_t (*packets)[1300]; /* sealed, for the openers */
};

static size_t seal(struct bench *b, int i, uint8_t *dst)
{
    static const uint8_t bytes[PAYLOAD_MAX];
    uint8_t header[RTP_HEADER_SIZE];
    struct wr w = wr_init(header, sizeof header);
    const struct rtp_header h = {.payload_type = 96, .seq = (uint16_t)(i / b->count), .ssrc = 1};
    const struct slice pieces[] = {slice_of(bytes, 2), slice_of(bytes, b->payload - 2)};
    rtp_write_header(&w, &h, NULL, 0);
    ssize_t n =
        rtc_sealer_rtp(b->sessions[i % b->count].sealer, wr_slice(&w), pieces, 2, dst, 1300);
    must(n > 0);
    return (size_t)n;
}

static double seal_all(struct bench *b, int packets)
{
    int64_t cpu_us = clock_thread_cpu_us();
    for (int i = 0; i < packets; i++)
        seal(b, i, b->packets[i]);
    return (double)(clock_thread_cpu_us() - cpu_us) / packets;
}

static double open_all(struct bench *b, int packets, size_t len, enum rtc_srtp_backend backend)
{
    uint8_t copy[1300];
    int64_t cpu_us = clock_thread_cpu_us();
    for (int i = 0; i < packets; i++) {
        memcpy(copy, b->packets[i], len);
        must(rtc_opener_rtp(b->sessions[i % b->count].openers[backend], copy, len) > 0);
    }
    return (double)(clock_thread_cpu_us() - cpu_us) / packets;
}

static void measure(struct bench *b, const struct rtc_srtp *lib, enum srtp_profile profile,
                    const char *name)
{
    const struct srtp_keys keys = {.profile = profile};
    for (int i = 0; i < b->count; i++) {
        struct session *s = &b->sessions[i];
        s->sealer = rtc_sealer_new(lib, &keys);
        s->openers[RTC_SRTP_EVP] = rtc_opener_new(lib, &keys, RTC_SRTP_EVP);
        s->openers[RTC_SRTP_LIBSRTP] = rtc_opener_new(lib, &keys, RTC_SRTP_LIBSRTP);
        must(s->sealer != NULL && s->openers[0] != NULL && s->openers[1] != NULL);
    }
    double seal_us = seal_all(b, PACKETS);
    size_t len = b->payload + RTP_HEADER_SIZE + (profile == SRTP_AEAD_AES_128_GCM ? 16 : 10);
    double evp_us = open_all(b, PACKETS, len, RTC_SRTP_EVP);
    double libsrtp_us = open_all(b, PACKETS, len, RTC_SRTP_LIBSRTP);
    printf("%-24s %6d %6zu   %6.2f   %6.2f   %6.2f\n", name, b->count, b->payload, seal_us, evp_us,
           libsrtp_us);
    for (int i = 0; i < b->count; i++) {
        rtc_sealer_free(&b->sessions[i].sealer);
        rtc_opener_free(&b->sessions[i].openers[0]);
        rtc_opener_free(&b->sessions[i].openers[1]);
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1,
                      .payload = argc > 2 ? 120 : PAYLOAD_MAX};
    must(b.count >= 1 && b.count <= SESSIONS_MAX);
    b.sessions = xcalloc((size_t)b.count, sizeof *b.sessions);
    b.packets = xcalloc(PACKETS, sizeof *b.packets);
    memset(b.packets, 1, PACKETS * sizeof *b.packets); /* or their first use is measured */
    struct rtc_srtp *lib = rtc_srtp_new();
    must(lib != NULL);
    printf("%-24s %6s %6s   %6s   %6s   %6s\n", "us per packet", "peers", "bytes", "seal", "open",
           "libsrtp");
    measure(&b, lib, SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM");
    measure(&b, lib, SRTP_AES128_CM_HMAC_SHA1_80, "AES_CM_128_HMAC_SHA1_80");
    rtc_srtp_free(&lib);
    free(b.packets);
    free(b.sessions);
    return 0;
}
