#include "test.h"

#include "base/err.h"
#include "proto/rtmp_handshake.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define S1_AT 1
#define S2_AT (1 + RTMP_HANDSHAKE_SIZE)

static const char player_key[] = "Genuine Adobe Flash Player 001";
static const char server_key[] = "Genuine Adobe Flash Media Server 001"
                                 "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57"
                                 "\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
#define SERVER_TEXT 36
#define SERVER_KEY  (SERVER_TEXT + 32)

static void hmac(struct slice key, const struct slice *parts, size_t count,
                 uint8_t out[RTMP_DIGEST_SIZE])
{
    uint8_t all[2 * RTMP_HANDSHAKE_SIZE];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(len + parts[i].len <= sizeof all);
        memcpy(all + len, parts[i].p, parts[i].len);
        len += parts[i].len;
    }
    unsigned digest_len = 0;
    assert_non_null(HMAC(EVP_sha256(), key.p, (int)key.len, all, len, out, &digest_len));
    assert_int_equal(digest_len, RTMP_DIGEST_SIZE);
}

/* Not random at all, but no two bytes near each other are the same. */
static void fill(void *dst, size_t len)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 89 + 7);
}

static const struct rtmp_handshake_tools tools = {hmac, fill};

static size_t place(const uint8_t *block, size_t sum_at)
{
    const uint8_t *b = block + sum_at;
    return (size_t)(b[0] + b[1] + b[2] + b[3]) % 728 + sum_at + 4;
}

static void digest(const char *key, size_t key_len, const uint8_t *block, size_t at,
                   uint8_t out[RTMP_DIGEST_SIZE])
{
    struct slice parts[] = {
        slice_of(block, at),
        slice_of(block + at + RTMP_DIGEST_SIZE, RTMP_HANDSHAKE_SIZE - RTMP_DIGEST_SIZE - at)};
    hmac(slice_of(key, key_len), parts, 2, out);
}

/* C0 C1 of ffmpeg 5.1 as recorded by us. */
static void load_ffmpeg(uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE])
{
    FILE *f = fopen("vectors/ffmpeg51-exttimestamp.head.c2s.bin", "rb");
    assert_non_null(f);
    assert_int_equal(fread(hello, 1, RTMP_HANDSHAKE_HELLO_SIZE, f), RTMP_HANDSHAKE_HELLO_SIZE);
    fclose(f);
}

/* C0 C1 with a digest whose place comes from the sum at sum_at, and these four bytes there. */
static void make_signed(uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE], size_t sum_at, uint32_t sum)
{
    uint8_t *c1 = hello + 1;
    fill(hello, RTMP_HANDSHAKE_HELLO_SIZE);
    hello[0] = 3;
    for (size_t i = 0; i < 4; i++)
        c1[sum_at + i] = (uint8_t)(sum >> 8 * i);
    digest(player_key, strlen(player_key), c1, place(c1, sum_at), c1 + place(c1, sum_at));
}

/* S1 is signed in the client's scheme and S2 answers the client's digest. */
static void check_signed(const uint8_t *hello, const uint8_t *reply, size_t sum_at)
{
    uint8_t expected[RTMP_DIGEST_SIZE], key[RTMP_DIGEST_SIZE];
    const uint8_t *s1 = reply + S1_AT, *s2 = reply + S2_AT, *c1 = hello + 1;
    size_t s2_random = RTMP_HANDSHAKE_SIZE - RTMP_DIGEST_SIZE;
    assert_int_equal(reply[0], 3);
    assert_true(s1[4] >= 3);
    digest(server_key, SERVER_TEXT, s1, place(s1, sum_at), expected);
    assert_memory_equal(s1 + place(s1, sum_at), expected, sizeof expected);
    struct slice c1_digest = slice_of(c1 + place(c1, sum_at), RTMP_DIGEST_SIZE);
    struct slice random = slice_of(s2, s2_random);
    hmac(slice_of(server_key, SERVER_KEY), &c1_digest, 1, key);
    hmac(slice_of(key, sizeof key), &random, 1, expected);
    assert_memory_equal(s2 + s2_random, expected, sizeof expected);
}

static ssize_t answer(const uint8_t *hello, size_t len, uint8_t reply[RTMP_HANDSHAKE_REPLY_SIZE])
{
    return rtmp_handshake_server(hello, len, &tools, 0x01020304, reply);
}

static void test_ffmpeg(void **state)
{
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE], reply[RTMP_HANDSHAKE_REPLY_SIZE];
    load_ffmpeg(hello);
    assert_int_equal(answer(hello, sizeof hello, reply), sizeof hello);
    assert_memory_equal(reply + S1_AT, "\1\2\3\4", 4);
    check_signed(hello, reply, 8);
}

static void test_schemes(void **state)
{
    static const size_t sums_at[] = {8, 772};
    /* The first and the last place, and the largest sum. */
    static const uint32_t sums[] = {0, 0xffffd9, 0xffffffff, 0x01020304};
    for (size_t i = 0; i < COUNT_OF(sums_at); i++)
        for (size_t j = 0; j < COUNT_OF(sums); j++) {
            uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE], reply[RTMP_HANDSHAKE_REPLY_SIZE];
            make_signed(hello, sums_at[i], sums[j]);
            assert_int_equal(answer(hello, sizeof hello, reply), sizeof hello);
            check_signed(hello, reply, sums_at[i]);
        }
}

static void check_simple(const uint8_t *hello)
{
    uint8_t reply[RTMP_HANDSHAKE_REPLY_SIZE];
    assert_int_equal(answer(hello, RTMP_HANDSHAKE_HELLO_SIZE, reply), RTMP_HANDSHAKE_HELLO_SIZE);
    assert_int_equal(reply[0], 3);
    assert_memory_equal(reply + S1_AT, "\1\2\3\4\0\0\0\0", 8);
    assert_memory_equal(reply + S2_AT, hello + 1, RTMP_HANDSHAKE_SIZE);
}

static void test_simple(void **state)
{
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE];
    rtmp_handshake_client_hello(&tools, 5, hello);
    check_simple(hello);
    /* A version without a digest, and a digest that is wrong. */
    hello[5] = 9;
    check_simple(hello);
    load_ffmpeg(hello);
    hello[1535] ^= 1;
    check_simple(hello);
}

static void test_first_byte(void **state)
{
    for (unsigned first = 0; first < 256; first++) {
        uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE], reply[RTMP_HANDSHAKE_REPLY_SIZE];
        load_ffmpeg(hello);
        hello[0] = (uint8_t)first;
        bool ok = first == 3 || first == 6;
        assert_int_equal(answer(hello, 1, reply), ok ? 0 : ERR_PROTOCOL);
        assert_int_equal(answer(hello, sizeof hello, reply),
                         ok ? (ssize_t)sizeof hello : ERR_PROTOCOL);
        if (ok)
            assert_int_equal(reply[0], 3);
    }
}

static void test_every_cut(void **state)
{
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE], reply[RTMP_HANDSHAKE_REPLY_SIZE] = {0};
    load_ffmpeg(hello);
    for (size_t cut = 0; cut < sizeof hello; cut++)
        assert_int_equal(answer(hello, cut, reply), 0);
    assert_int_equal(reply[0], 0);
}

static void test_client(void **state)
{
    uint8_t hello[RTMP_HANDSHAKE_HELLO_SIZE], reply[RTMP_HANDSHAKE_REPLY_SIZE];
    uint8_t c2[RTMP_HANDSHAKE_SIZE];
    rtmp_handshake_client_hello(&tools, 5, hello);
    assert_int_equal(answer(hello, sizeof hello, reply), sizeof hello);
    for (size_t cut = 0; cut < sizeof reply; cut++)
        assert_int_equal(rtmp_handshake_client(reply, cut, c2), 0);
    assert_int_equal(rtmp_handshake_client(reply, sizeof reply, c2), sizeof reply);
    assert_memory_equal(c2, reply + S1_AT, sizeof c2);
    reply[0] = 6;
    assert_int_equal(rtmp_handshake_client(reply, 1, c2), ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ffmpeg),    cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_simple),    cmocka_unit_test(test_first_byte),
        cmocka_unit_test(test_every_cut), cmocka_unit_test(test_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
