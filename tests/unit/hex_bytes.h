#ifndef SLUICE_TESTS_UNIT_HEX_BYTES_H
#define SLUICE_TESTS_UNIT_HEX_BYTES_H

#include "base/hex.h"
#include "base/slice.h"

#define HEX_BYTES_MAX 512

/* The bytes of hexadecimal text (blanks are skipped) in dst; include "test.h" before. */
static inline struct slice hex_bytes(const char *text, uint8_t dst[HEX_BYTES_MAX])
{
    char digits[2 * HEX_BYTES_MAX];
    size_t n = 0;
    for (; *text != '\0'; text++)
        if (*text != ' ') {
            assert_true(n < sizeof digits);
            digits[n++] = *text;
        }
    assert_int_equal(hex_decode(slice_of(digits, n), dst, n / 2), 0);
    return slice_of(dst, n / 2);
}

#endif
