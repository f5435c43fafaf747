#ifndef SLUICE_BASE_HEX_H
#define SLUICE_BASE_HEX_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

/* The value of a hexadecimal digit of either case, or -1. */
int hex_digit(uint8_t c);

/* Lower-case hexadecimal of src and a terminator; dst has room for 2 * len + 1. */
void hex_encode(const uint8_t *src, size_t len, char *dst);

/* Exactly len bytes out of text of 2 * len hexadecimal digits; 0 or ERR_TYPE. */
int hex_decode(struct slice text, uint8_t *dst, size_t len);

#endif
