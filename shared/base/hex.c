#include "base/hex.h"

#include "base/err.h"

void hex_encode(const uint8_t *src, size_t len, char *dst)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        dst[2 * i] = digits[src[i] >> 4];
        dst[2 * i + 1] = digits[src[i] & 15];
    }
    dst[2 * len] = '\0';
}

int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(struct slice text, uint8_t *dst, size_t len)
{
    if (text.len != 2 * len)
        return ERR_TYPE;
    for (size_t i = 0; i < len; i++) {
        int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return ERR_TYPE;
        dst[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}
