#ifndef SLUICE_BASE_FOURCC_H
#define SLUICE_BASE_FOURCC_H

#include <stdint.h>

/* Four ASCII characters in order, as Enhanced RTMP v2 writes them (big-endian). */
#define FOURCC(a, b, c, d)                                                                         \
    ((uint32_t)(uint8_t)(a) << 24 | (uint32_t)(uint8_t)(b) << 16 | (uint32_t)(uint8_t)(c) << 8 |   \
     (uint32_t)(uint8_t)(d))

#endif
