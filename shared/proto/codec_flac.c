#include "base/err.h"
#include "proto/codec_internal.h"

/* FLAC: STREAMINFO (RFC 9639, 8.2) becomes dfLa (Encapsulation of FLAC in ISO Base Media File
 * Format); lengths of frames are in their headers (9.1). */

#define FLAC_STREAMINFO_SIZE 34
#define FLAC_LAST_BLOCK      0x80
#define FLAC_SYNC            0x7ffc /* 14 bits and a reserved one */
#define FLAC_NUMBER_MAX      7      /* bytes of a frame's coded number */

/* With the stream's mark and the header of its block, as Enhanced RTMP has it, or without. */
static int find_streaminfo(struct slice config, struct slice *info)
{
    struct rd r = rd_slice(config);
    if (slice_starts(config, "fLaC")) {
        rd_take(&r, 4);
        uint32_t header = rd_u32(&r);
        if ((header & 0x7fffffff) != FLAC_STREAMINFO_SIZE)
            return ERR_PROTOCOL;
    }
    *info = rd_slice_of(&r, FLAC_STREAMINFO_SIZE);
    return r.underrun ? ERR_PROTOCOL : 0;
}

int codec_read_flac(struct codec_info *out, struct slice config, struct slice frame)
{
    struct slice info;
    if (config.len == 0)
        return ERR_NOT_FOUND;
    int err = find_streaminfo(config, &info);
    if (err < 0)
        return err;
    struct bits b = bits_of(info);
    uint32_t shortest = bits_u(&b, 16), longest = bits_u(&b, 16);
    bits_skip(&b, 24 + 24); /* sizes of frames */
    out->audio.sample_rate = bits_u(&b, 20);
    out->audio.channels = bits_u(&b, 3) + 1;
    out->audio.frame_samples = shortest == longest ? longest : 0;
    codec_string(out, "fLaC");
    struct wr w = codec_make(out);
    wr_u32(&w, 0); /* version and flags */
    wr_u32(&w, (uint32_t)FLAC_LAST_BLOCK << 24 | FLAC_STREAMINFO_SIZE);
    wr_put(&w, info);
    codec_made(out, &w);
    return 0;
}

/* The frame's or sample's number, coded like UTF-8: as many bytes as its first one begins with
 * bits of 1. */
static void skip_number(struct bits *b)
{
    uint32_t first = bits_u(b, 8);
    unsigned more = 0;
    while (more < FLAC_NUMBER_MAX && (first & 0x40U >> more) != 0)
        more++;
    if ((first & 0x80) != 0)
        bits_skip(b, 8 * more);
}

uint32_t codec_count_flac(const struct codec_info *info, struct slice payload)
{
    struct bits b = bits_of(payload);
    if (bits_u(&b, 15) != FLAC_SYNC)
        return 0;
    bits_flag(&b); /* blocking strategy */
    uint32_t code = bits_u(&b, 4);
    bits_skip(&b, 4 + 4 + 3 + 1);
    skip_number(&b);
    uint32_t samples = 0;
    if (code == 1)
        samples = 192;
    else if (code >= 2 && code <= 5)
        samples = 576U << (code - 2);
    else if (code >= 8)
        samples = 256U << (code - 8);
    else if (code == 6 || code == 7)
        samples = bits_u(&b, code == 6 ? 8 : 16) + 1;
    return b.underrun ? 0 : samples;
}
