#include "proto/rtmp_handshake.h"

#include "base/bytes.h"
#include "base/err.h"

#include <string.h>

#define VERSION_RTMP  3
#define VERSION_RTMPE 6

#define HEAD_SIZE      8   /* bytes: time and version, in front of the random ones */
#define POSITIONS      728 /* where a digest may begin within its half */
#define FMS_TEXT_SIZE  36  /* bytes of the server's key that are text */
#define S2_RANDOM_SIZE (RTMP_HANDSHAKE_SIZE - RTMP_DIGEST_SIZE)
#define S1_VERSION_FMS 0x04050001 /* at least 3, or ffmpeg does not look for a digest */
#define VERSION_AT     4

/* Where the four bytes are whose sum says where the digest is: in the first half ("scheme 1"),
 * which all clients of today use, or in the second ("scheme 0", Flash Player). */
static const size_t schemes[] = {HEAD_SIZE, 772};

static const char player_key[] = "Genuine Adobe Flash Player 001";
static const uint8_t server_key[] = {
    'G',  'e',  'n',  'u',  'i',  'n',  'e',  ' ',  'A',  'd',  'o',  'b',  'e',  ' ',
    'F',  'l',  'a',  's',  'h',  ' ',  'M',  'e',  'd',  'i',  'a',  ' ',  'S',  'e',
    'r',  'v',  'e',  'r',  ' ',  '0',  '0',  '1',  0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68,
    0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e, 0xec, 0x5d, 0x2d,
    0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
};

static size_t digest_at(const uint8_t *block, size_t sum_at)
{
    const uint8_t *b = block + sum_at;
    return (size_t)(b[0] + b[1] + b[2] + b[3]) % POSITIONS + sum_at + 4;
}

/* The digest of C1 or S1 over all of its bytes but the digest itself. */
static void digest_around(const struct rtmp_handshake_tools *t, struct slice key,
                          const uint8_t *block, size_t at, uint8_t out[RTMP_DIGEST_SIZE])
{
    size_t after = at + RTMP_DIGEST_SIZE;
    struct slice parts[] = {slice_of(block, at),
                            slice_of(block + after, RTMP_HANDSHAKE_SIZE - after)};
    t->hmac_sha256(key, parts, 2, out);
}

/* The scheme whose digest is right in c1, as the place of its sum, or 0 for none. */
static size_t find_scheme(const struct rtmp_handshake_tools *t, const uint8_t *c1)
{
    static const uint8_t simple[4] = {0};
    if (memcmp(c1 + VERSION_AT, simple, sizeof simple) == 0)
        return 0;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        uint8_t digest[RTMP_DIGEST_SIZE];
        size_t at = digest_at(c1, schemes[i]);
        digest_around(t, slice_text(player_key), c1, at, digest);
        if (memcmp(digest, c1 + at, sizeof digest) == 0)
            return schemes[i];
    }
    return 0;
}

static void write_head(uint8_t *block, uint32_t time_ms, uint32_t version)
{
    uint8_t head[HEAD_SIZE];
    struct wr w = wr_init(head, sizeof head);
    wr_u32(&w, time_ms);
    wr_u32(&w, version);
    memcpy(block, head, sizeof head);
}

static void sign_s1(const struct rtmp_handshake_tools *t, uint8_t *s1, size_t scheme)
{
    uint8_t digest[RTMP_DIGEST_SIZE];
    size_t at = digest_at(s1, scheme);
    digest_around(t, slice_of(server_key, FMS_TEXT_SIZE), s1, at, digest);
    memcpy(s1 + at, digest, sizeof digest);
}

static void sign_s2(const struct rtmp_handshake_tools *t, uint8_t *s2, struct slice c1_digest)
{
    uint8_t key[RTMP_DIGEST_SIZE];
    struct slice random = slice_of(s2, S2_RANDOM_SIZE);
    t->hmac_sha256(slice_of(server_key, sizeof server_key), &c1_digest, 1, key);
    t->hmac_sha256(slice_of(key, sizeof key), &random, 1, s2 + S2_RANDOM_SIZE);
}

ssize_t rtmp_handshake_server(const uint8_t *src, size_t len, const struct rtmp_handshake_tools *t,
                              uint32_t time_ms, uint8_t reply[RTMP_HANDSHAKE_REPLY_SIZE])
{
    if (len > 0 && src[0] != VERSION_RTMP && src[0] != VERSION_RTMPE)
        return ERR_PROTOCOL;
    if (len < RTMP_HANDSHAKE_HELLO_SIZE)
        return 0;
    const uint8_t *c1 = src + 1;
    uint8_t *s1 = reply + 1, *s2 = s1 + RTMP_HANDSHAKE_SIZE;
    size_t scheme = find_scheme(t, c1);
    reply[0] = VERSION_RTMP;
    write_head(s1, time_ms, scheme != 0 ? S1_VERSION_FMS : 0);
    t->random(s1 + HEAD_SIZE, RTMP_HANDSHAKE_SIZE - HEAD_SIZE);
    if (scheme == 0) {
        memcpy(s2, c1, RTMP_HANDSHAKE_SIZE);
        return RTMP_HANDSHAKE_HELLO_SIZE;
    }
    sign_s1(t, s1, scheme);
    t->random(s2, S2_RANDOM_SIZE);
    sign_s2(t, s2, slice_of(c1 + digest_at(c1, scheme), RTMP_DIGEST_SIZE));
    return RTMP_HANDSHAKE_HELLO_SIZE;
}

void rtmp_handshake_client_hello(const struct rtmp_handshake_tools *t, uint32_t time_ms,
                                 uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE])
{
    hello[0] = VERSION_RTMP;
    write_head(hello + 1, time_ms, 0);
    t->random(hello + 1 + HEAD_SIZE, RTMP_HANDSHAKE_SIZE - HEAD_SIZE);
}

ssize_t rtmp_handshake_client(const uint8_t *src, size_t len, uint8_t c2[RTMP_HANDSHAKE_SIZE])
{
    if (len > 0 && src[0] != VERSION_RTMP)
        return ERR_PROTOCOL;
    if (len < RTMP_HANDSHAKE_REPLY_SIZE)
        return 0;
    memcpy(c2, src + 1, RTMP_HANDSHAKE_SIZE);
    return RTMP_HANDSHAKE_REPLY_SIZE;
}
