#ifndef SLUICE_BASE_BYTES_H
#define SLUICE_BASE_BYTES_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Bounded cursors over bytes, big-endian unless the name says le.  A read past the end yields 0 (or
 * NULL) and sets `underrun`; a write past the end writes nothing and sets `overflow`; both flags
 * stick, so a parser reads field after field and checks once.  Every narrowing cast of the wire
 * formats is in here.
 */

struct rd {
    const uint8_t *p, *end;
    bool underrun;
};

static inline struct rd rd_init(const void *src, size_t len)
{
    const uint8_t *p = src;
    return (struct rd){p, len > 0 ? p + len : p, false};
}

static inline struct rd rd_slice(struct slice s)
{
    return rd_init(s.p, s.len);
}

static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}

/* The next n bytes, or NULL (and nothing consumed) when there are fewer. */
static inline const uint8_t *rd_take(struct rd *r, size_t n)
{
    if (n > rd_left(r)) {
        r->underrun = true;
        r->p = r->end;
        return NULL;
    }
    const uint8_t *p = r->p;
    if (n > 0)
        r->p += n;
    return p;
}

static inline struct slice rd_slice_of(struct rd *r, size_t n)
{
    const uint8_t *p = rd_take(r, n);
    return slice_of(p, r->underrun ? 0 : n);
}

static inline struct slice rd_rest(struct rd *r)
{
    return rd_slice_of(r, rd_left(r));
}

static inline uint8_t rd_u8(struct rd *r)
{
    const uint8_t *p = rd_take(r, 1);
    return p != NULL ? p[0] : 0;
}

static inline uint16_t rd_u16(struct rd *r)
{
    const uint8_t *p = rd_take(r, 2);
    return p != NULL ? (uint16_t)((unsigned)p[0] << 8 | p[1]) : 0;
}

static inline uint32_t rd_u24(struct rd *r)
{
    const uint8_t *p = rd_take(r, 3);
    return p != NULL ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

/* A two's complement 24-bit number, sign extended. */
static inline int32_t rd_s24(struct rd *r)
{
    uint32_t v = rd_u24(r);
    return (int32_t)(v ^ 0x800000U) - 0x800000;
}

static inline uint32_t rd_u32(struct rd *r)
{
    const uint8_t *p = rd_take(r, 4);
    return p != NULL ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint32_t rd_u32le(struct rd *r)
{
    const uint8_t *p = rd_take(r, 4);
    return p != NULL ? (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0] : 0;
}

static inline uint64_t rd_u64(struct rd *r)
{
    uint64_t hi = rd_u32(r);
    return hi << 32 | rd_u32(r);
}

static inline double rd_f64(struct rd *r)
{
    uint64_t bits = rd_u64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

struct wr {
    uint8_t *start, *p, *end;
    bool overflow;
};

static inline struct wr wr_init(void *dst, size_t room)
{
    uint8_t *p = dst;
    return (struct wr){p, p, room > 0 ? p + room : p, false};
}

static inline size_t wr_len(const struct wr *w)
{
    return (size_t)(w->p - w->start);
}

static inline struct slice wr_slice(const struct wr *w)
{
    return slice_of(w->start, wr_len(w));
}

/* Room for n bytes to fill in, or NULL when there is not that much left. */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
    if (w->overflow || n > (size_t)(w->end - w->p)) {
        w->overflow = true;
        return NULL;
    }
    uint8_t *p = w->p;
    if (n > 0)
        w->p += n;
    return p;
}

static inline void wr_bytes(struct wr *w, const void *src, size_t n)
{
    uint8_t *p = wr_room(w, n);
    if (p != NULL && n > 0)
        memcpy(p, src, n);
}

static inline void wr_put(struct wr *w, struct slice s)
{
    wr_bytes(w, s.p, s.len);
}

static inline void wr_text(struct wr *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

static inline void wr_u8(struct wr *w, unsigned v)
{
    uint8_t *p = wr_room(w, 1);
    if (p != NULL)
        p[0] = (uint8_t)v;
}

static inline void wr_u16(struct wr *w, unsigned v)
{
    uint8_t *p = wr_room(w, 2);
    if (p != NULL) {
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
    }
}

static inline void wr_u24(struct wr *w, uint32_t v)
{
    uint8_t *p = wr_room(w, 3);
    if (p != NULL) {
        p[0] = (uint8_t)(v >> 16);
        p[1] = (uint8_t)(v >> 8);
        p[2] = (uint8_t)v;
    }
}

/* v into the four bytes at p. */
static inline void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void wr_u32(struct wr *w, uint32_t v)
{
    uint8_t *p = wr_room(w, 4);
    if (p != NULL)
        put_u32(p, v);
}

static inline void wr_u32le(struct wr *w, uint32_t v)
{
    wr_u32(w, __builtin_bswap32(v));
}

static inline void wr_u64(struct wr *w, uint64_t v)
{
    uint8_t *p = wr_room(w, 8);
    if (p != NULL) {
        put_u32(p, (uint32_t)(v >> 32));
        put_u32(p + 4, (uint32_t)v);
    }
}

static inline void wr_f64(struct wr *w, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    wr_u64(w, bits);
}

#endif
