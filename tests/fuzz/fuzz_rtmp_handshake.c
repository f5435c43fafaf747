#include "base/must.h"
#include "proto/rtmp_handshake.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all it is given, and is right only for a digest of zeroes, which the fuzzer can find. */
static void hmac(struct slice key, const struct slice *parts, size_t count,
                 uint8_t out[RTMP_DIGEST_SIZE])
{
    uint8_t sum = key.p[0];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < parts[i].len; j++)
            sum = (uint8_t)(sum + parts[i].p[j]);
    memset(out, sum & 1, RTMP_DIGEST_SIZE);
}

static void zeroes(void *dst, size_t len)
{
    memset(dst, 0, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rtmp_handshake_tools tools = {hmac, zeroes};
    uint8_t reply[RTMP_HANDSHAKE_REPLY_SIZE], c2[RTMP_HANDSHAKE_SIZE];
    ssize_t n = rtmp_handshake_server(data, size, &tools, 1, reply);
    must(n <= 0 || (n == RTMP_HANDSHAKE_HELLO_SIZE && reply[0] == 3));
    n = rtmp_handshake_client(data, size, c2);
    must(n <= 0 || n == RTMP_HANDSHAKE_REPLY_SIZE);
    return 0;
}
