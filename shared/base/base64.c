#include "base/base64.h"

#include "base/err.h"

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t without_padding(struct slice text)
{
    size_t len = text.len;
    if (len > 0 && len % 4 == 0 && text.p[len - 1] == '=')
        len -= text.p[len - 2] == '=' ? 2 : 1;
    return len;
}

int base64_decode(struct slice text, uint8_t *dst, size_t room)
{
    size_t len = without_padding(text), out = 0;
    uint32_t bits = 0;
    if (len % 4 == 1)
        return ERR_TYPE;
    if (len / 4 * 3 + (len % 4 > 0 ? len % 4 - 1 : 0) > room)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < len; i++) {
        int d = digit(text.p[i]);
        if (d < 0)
            return ERR_TYPE;
        bits = bits << 6 | (uint32_t)d;
        if (i % 4 != 0)
            dst[out++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return (int)out;
}
