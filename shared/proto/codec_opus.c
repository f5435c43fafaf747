#include "base/err.h"
#include "proto/codec_internal.h"

/* Opus: the identification header (RFC 7845, 5.1) becomes dOps (Encapsulation of Opus in ISO Base
 * Media File Format, 4.3.2): the same fields, big-endian.  Packets: RFC 6716, 3.1. */

#define OPUS_RATE         48000 /* samples per second, whatever was put in */
#define OPUS_VERSION_MAX  15    /* of versions that only add fields */
#define OPUS_TICKS_2_5_MS 120   /* samples in 2.5 ms */
#define OPUS_SAMPLES_MAX  5760  /* of a packet: 120 ms */

struct opus {
    uint8_t channels, family;
    uint16_t pre_skip, gain;
    uint32_t rate;
    struct slice mapping; /* stream count, coupled count, channel mapping */
};

static int read_header(struct slice config, struct opus *o)
{
    struct rd r = rd_slice(config);
    struct slice magic = rd_slice_of(&r, 8);
    uint8_t version = rd_u8(&r);
    o->channels = rd_u8(&r);
    o->pre_skip = __builtin_bswap16(rd_u16(&r));
    o->rate = rd_u32le(&r);
    o->gain = __builtin_bswap16(rd_u16(&r));
    o->family = rd_u8(&r);
    if (o->family != 0)
        o->mapping = rd_slice_of(&r, 2 + (size_t)o->channels);
    bool bad = !slice_is(magic, "OpusHead") || version > OPUS_VERSION_MAX || o->channels == 0 ||
               (o->family == 0 && o->channels > 2);
    return r.underrun || bad ? ERR_PROTOCOL : 0;
}

/* Without a header the packet itself says whether it is stereo. */
static int guess_header(struct slice frame, struct opus *o)
{
    if (frame.len == 0)
        return ERR_NOT_FOUND;
    o->channels = (frame.p[0] & 4) != 0 ? 2 : 1;
    o->rate = OPUS_RATE;
    return 0;
}

int codec_read_opus(struct codec_info *out, struct slice config, struct slice frame)
{
    struct opus o = {0};
    int err = config.len > 0 ? read_header(config, &o) : guess_header(frame, &o);
    if (err < 0)
        return err;
    out->audio.sample_rate = OPUS_RATE;
    out->audio.channels = o.channels;
    codec_string(out, "opus");
    struct wr w = codec_make(out);
    wr_u8(&w, 0); /* version */
    wr_u8(&w, o.channels);
    wr_u16(&w, o.pre_skip);
    wr_u32(&w, o.rate);
    wr_u16(&w, o.gain);
    wr_u8(&w, o.family);
    wr_put(&w, o.mapping);
    codec_made(out, &w);
    return 0;
}

/* Of one frame, by the packet's configuration number, in steps of 2.5 ms. */
static uint32_t frame_steps(uint8_t config)
{
    static const uint8_t silk[] = {4, 8, 16, 24}, hybrid[] = {4, 8}, celt[] = {1, 2, 4, 8};
    if (config < 12)
        return silk[config & 3];
    return config < 16 ? hybrid[config & 1] : celt[config & 3];
}

uint32_t codec_count_opus(const struct codec_info *info, struct slice payload)
{
    struct rd r = rd_slice(payload);
    uint8_t first = rd_u8(&r);
    uint32_t frames = (first & 3) == 0 ? 1 : 2;
    if ((first & 3) == 3)
        frames = rd_u8(&r) & 0x3f;
    uint32_t samples = frames * frame_steps(first >> 3) * OPUS_TICKS_2_5_MS;
    return r.underrun || samples > OPUS_SAMPLES_MAX ? 0 : samples;
}
