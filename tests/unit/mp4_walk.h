#ifndef SLUICE_TESTS_UNIT_MP4_WALK_H
#define SLUICE_TESTS_UNIT_MP4_WALK_H

#include "base/bytes.h"
#include "base/fourcc.h"
#include "base/must.h"

/* A reader of the boxes that fmp4.h writes; what does not add up ends the program. */

#define MP4_WALK_DEPTH 8

struct mp4_walk_sample {
    uint32_t track, duration, flags;
    uint64_t decode_time;
    int32_t cts;
    struct slice data;
};

/* The next box; its content. */
static inline struct slice mp4_walk_box(struct rd *r, uint32_t *type)
{
    uint32_t size = rd_u32(r);
    *type = rd_u32(r);
    must(size >= 8);
    struct slice content = rd_slice_of(r, size - 8);
    must(!r->underrun);
    return content;
}

/* The next box, which has to be of this type. */
static inline struct rd mp4_walk_in(struct rd *r, uint32_t type)
{
    uint32_t found;
    struct slice content = mp4_walk_box(r, &found);
    must(found == type);
    return rd_slice(content);
}

/* Boxes inside of boxes fill them; returns how many boxes there are. */
static inline int mp4_walk_boxes(struct slice bytes)
{
    static const uint32_t containers[] = {
        FOURCC('m', 'o', 'o', 'v'), FOURCC('t', 'r', 'a', 'k'), FOURCC('m', 'd', 'i', 'a'),
        FOURCC('m', 'i', 'n', 'f'), FOURCC('d', 'i', 'n', 'f'), FOURCC('s', 't', 'b', 'l'),
        FOURCC('m', 'v', 'e', 'x'), FOURCC('m', 'o', 'o', 'f'), FOURCC('t', 'r', 'a', 'f'),
    };
    struct rd levels[MP4_WALK_DEPTH] = {rd_slice(bytes)};
    int depth = 0, count = 0;
    while (depth >= 0) {
        if (rd_left(&levels[depth]) == 0) {
            depth--;
            continue;
        }
        uint32_t type;
        struct slice content = mp4_walk_box(&levels[depth], &type);
        count++;
        for (size_t i = 0; i < sizeof containers / sizeof containers[0]; i++) {
            if (containers[i] == type) {
                must(depth + 1 < MP4_WALK_DEPTH);
                levels[++depth] = rd_slice(content);
                break;
            }
        }
    }
    return count;
}

/* Takes the samples of one traf; `moof` is where offsets count from, `mdat` what they have to stay
 * inside of. */
static inline size_t mp4_walk_traf(struct rd *traf, struct slice part, struct slice mdat,
                                   struct mp4_walk_sample *out, size_t room)
{
    struct rd tfhd = mp4_walk_in(traf, FOURCC('t', 'f', 'h', 'd'));
    must(rd_u32(&tfhd) == 0x020000); /* default-base-is-moof and nothing else */
    uint32_t track = rd_u32(&tfhd);
    struct rd tfdt = mp4_walk_in(traf, FOURCC('t', 'f', 'd', 't'));
    must(rd_u32(&tfdt) == 0x01000000);
    uint64_t time = rd_u64(&tfdt);
    struct rd trun = mp4_walk_in(traf, FOURCC('t', 'r', 'u', 'n'));
    uint32_t flags = rd_u32(&trun), count = rd_u32(&trun), offset = rd_u32(&trun);
    must(flags >> 24 == 1 && (flags & 0x301) == 0x301 && (flags & 0x00fff0fe) == 0);
    must(count > 0 && count <= room);
    for (uint32_t i = 0; i < count; i++) {
        struct mp4_walk_sample *s = &out[i];
        *s = (struct mp4_walk_sample){.track = track, .decode_time = time};
        s->duration = rd_u32(&trun);
        uint32_t size = rd_u32(&trun);
        s->flags = (flags & 0x400) != 0 ? rd_u32(&trun) : 0;
        s->cts = (flags & 0x800) != 0 ? (int32_t)rd_u32(&trun) : 0;
        must(offset <= part.len && size <= part.len - offset);
        s->data = slice_of(part.p + offset, size);
        must(s->data.p >= mdat.p && s->data.p + size <= mdat.p + mdat.len);
        offset += size;
        time += s->duration;
    }
    must(!trun.underrun && rd_left(&trun) == 0);
    must(!tfhd.underrun && rd_left(&tfhd) == 0 && !tfdt.underrun && rd_left(&tfdt) == 0);
    return count;
}

/* The samples of one part, in their order in it. */
static inline size_t mp4_walk_part(struct slice part, uint32_t *sequence,
                                   struct mp4_walk_sample *out, size_t room)
{
    struct rd r = rd_slice(part);
    struct rd moof = mp4_walk_in(&r, FOURCC('m', 'o', 'o', 'f'));
    struct rd mdat = mp4_walk_in(&r, FOURCC('m', 'd', 'a', 't'));
    must(rd_left(&r) == 0);
    struct slice media = rd_rest(&mdat);
    struct rd mfhd = mp4_walk_in(&moof, FOURCC('m', 'f', 'h', 'd'));
    must(rd_u32(&mfhd) == 0);
    *sequence = rd_u32(&mfhd);
    size_t count = 0, bytes = 0;
    while (rd_left(&moof) > 0) {
        struct rd traf = mp4_walk_in(&moof, FOURCC('t', 'r', 'a', 'f'));
        count += mp4_walk_traf(&traf, part, media, out + count, room - count);
        must(rd_left(&traf) == 0);
    }
    for (size_t i = 0; i < count; i++)
        bytes += out[i].data.len;
    must(bytes == media.len);
    return count;
}

#endif
