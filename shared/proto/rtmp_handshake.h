#ifndef SLUICE_PROTO_RTMP_HANDSHAKE_H
#define SLUICE_PROTO_RTMP_HANDSHAKE_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The RTMP handshake (Adobe RTMP 1.0 section 5.2) with the digests that Flash, ffmpeg and
 * nginx-rtmp expect.
 *
 *   server: C0 C1 -> rtmp_handshake_server() -> S0 S1 S2, then RTMP_HANDSHAKE_SIZE bytes of C2
 *   client: rtmp_handshake_client_hello() -> C0 C1; S0 S1 S2 -> rtmp_handshake_client() -> C2
 *
 * C2 is skipped unread: clients differ in what they echo.  The reply is due as soon as C1 is
 * complete, never after C2.  Nothing is kept between calls.  Thread: any.
 */

#define RTMP_HANDSHAKE_SIZE       1536                          /* bytes of C1, C2, S1 and S2 */
#define RTMP_HANDSHAKE_HELLO_SIZE (1 + RTMP_HANDSHAKE_SIZE)     /* bytes of C0 C1 */
#define RTMP_HANDSHAKE_REPLY_SIZE (1 + 2 * RTMP_HANDSHAKE_SIZE) /* bytes of S0 S1 S2 */
#define RTMP_DIGEST_SIZE          32                            /* bytes of an HMAC-SHA256 */

/* What the handshake needs and this layer does not have; core/crypto.h does. */
struct rtmp_handshake_tools {
    /* HMAC-SHA256 of the parts one after the other. */
    void (*hmac_sha256)(struct slice key, const struct slice *parts, size_t count,
                        uint8_t out[RTMP_DIGEST_SIZE]);
    void (*random)(void *dst, size_t len);
};

/*
 * Answers C0 C1.  Returns RTMP_HANDSHAKE_HELLO_SIZE with all of `reply` filled, 0 when C1 is not
 * complete yet, or ERR_PROTOCOL as soon as the first byte is neither 3 (RTMP) nor 6 (RTMPE,
 * answered in the clear).  Digest first ("scheme 1"), key first ("scheme 0") and, where neither
 * digest is right, the simple handshake.  time_ms is any clock of ours.
 */
ssize_t rtmp_handshake_server(const uint8_t *src, size_t len, const struct rtmp_handshake_tools *t,
                              uint32_t time_ms, uint8_t reply[RTMP_HANDSHAKE_REPLY_SIZE]);

/* Writes the C0 C1 of a simple handshake. */
void rtmp_handshake_client_hello(const struct rtmp_handshake_tools *t, uint32_t time_ms,
                                 uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE]);

/* Reads S0 S1 S2 and writes C2: RTMP_HANDSHAKE_REPLY_SIZE, 0 or ERR_PROTOCOL. */
ssize_t rtmp_handshake_client(const uint8_t *src, size_t len, uint8_t c2[RTMP_HANDSHAKE_SIZE]);

#endif
