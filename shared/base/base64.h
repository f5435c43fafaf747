#ifndef SLUICE_BASE_BASE64_H
#define SLUICE_BASE_BASE64_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes of a text in base64 (RFC 4648, section 4), padded or not: their number (at most room),
 * ERR_TYPE when it is none, or ERR_TOO_LARGE. */
int base64_decode(struct slice text, uint8_t *dst, size_t room);

#endif
