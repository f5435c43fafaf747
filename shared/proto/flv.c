#include "proto/flv.h"

#include "base/err.h"
#include "base/must.h"

/* FLV: file and tag framing, and the names of codecs.  Bodies are in flv_body.c and flv_rewrite.c.
 */

#define FLV_VERSION       1
#define FLV_HEADER_SIZE   9 /* DataOffset of version 1 */
#define FLV_FLAG_VIDEO    0x01
#define FLV_FLAG_AUDIO    0x04
#define FLV_TAG_ENCRYPTED 0x20
#define FLV_TAG_TYPE_MASK 0x1f

void flv_file_header(uint8_t out[FLV_FILE_HEADER_SIZE], bool audio, bool video)
{
    memcpy(out, "FLV", 3);
    out[3] = FLV_VERSION;
    out[4] = (uint8_t)((audio ? FLV_FLAG_AUDIO : 0) | (video ? FLV_FLAG_VIDEO : 0));
    put_u32(out + 5, FLV_HEADER_SIZE);
    put_u32(out + 9, 0);
}

ssize_t flv_file_header_read(const uint8_t *src, size_t len, bool *audio, bool *video)
{
    struct rd r = rd_init(src, len);
    struct slice magic = rd_slice_of(&r, 3);
    uint8_t version = rd_u8(&r), flags = rd_u8(&r);
    uint32_t offset = rd_u32(&r);
    rd_u32(&r); /* PreviousTagSize0: nothing is before it */
    if (r.underrun)
        return 0;
    if (!slice_is(magic, "FLV") || version != FLV_VERSION || offset != FLV_HEADER_SIZE)
        return ERR_PROTOCOL;
    *audio = (flags & FLV_FLAG_AUDIO) != 0;
    *video = (flags & FLV_FLAG_VIDEO) != 0;
    return FLV_FILE_HEADER_SIZE;
}

void flv_tag_header(uint8_t out[FLV_TAG_HEADER_SIZE], uint8_t type, size_t body_len,
                    uint32_t timestamp_ms)
{
    must(body_len <= FLV_BODY_MAX);
    put_u32(out, (uint32_t)type << 24 | (uint32_t)body_len);
    put_u32(out + 4, timestamp_ms << 8 | timestamp_ms >> 24);
    memset(out + 8, 0, 3);
}

void flv_tag_trailer(uint8_t out[FLV_TAG_TRAILER_SIZE], size_t body_len)
{
    must(body_len <= FLV_BODY_MAX);
    put_u32(out, (uint32_t)body_len + FLV_TAG_HEADER_SIZE);
}

ssize_t flv_tag_read(const uint8_t *src, size_t len, size_t body_max, struct flv_tag *out)
{
    struct rd r = rd_init(src, len);
    struct flv_tag tag = {0};
    tag.type = rd_u8(&r);
    uint32_t size = rd_u24(&r);
    tag.timestamp_ms = rd_u24(&r);
    tag.timestamp_ms |= (uint32_t)rd_u8(&r) << 24;
    rd_u24(&r); /* stream id: 0, and other numbers mean nothing */
    if (r.underrun)
        return 0;
    if ((tag.type & FLV_TAG_ENCRYPTED) != 0)
        return ERR_UNSUPPORTED;
    if (size > body_max)
        return ERR_TOO_LARGE;
    tag.type &= FLV_TAG_TYPE_MASK;
    tag.body = rd_slice_of(&r, size);
    tag.back_pointer = rd_u32(&r);
    if (r.underrun)
        return 0;
    *out = tag;
    return (ssize_t)(FLV_TAG_HEADER_SIZE + (size_t)size + FLV_TAG_TRAILER_SIZE);
}

static const struct {
    uint32_t codec;
    bool has_cts;
    const char *name;
} codecs[] = {
    {FLV_CODEC_AVC, true, "h264"},
    {FLV_CODEC_HEVC, true, "hevc"},
    {FLV_CODEC_VVC, true, "vvc"},
    {FLV_CODEC_AV1, false, "av1"},
    {FLV_CODEC_VP9, false, "vp9"},
    {FLV_CODEC_VP8, false, "vp8"},
    {FLV_CODEC_AAC, false, "aac"},
    {FLV_CODEC_OPUS, false, "opus"},
    {FLV_CODEC_MP3, false, "mp3"},
    {FLV_CODEC_FLAC, false, "flac"},
    {FLV_CODEC_AC3, false, "ac3"},
    {FLV_CODEC_EAC3, false, "eac3"},
    {FLV_CODEC_LEGACY_VIDEO(1), false, "jpeg"},
    {FLV_CODEC_LEGACY_VIDEO(2), false, "h263"},
    {FLV_CODEC_LEGACY_VIDEO(3), false, "screen"},
    {FLV_CODEC_LEGACY_VIDEO(4), false, "vp6"},
    {FLV_CODEC_LEGACY_VIDEO(5), false, "vp6a"},
    {FLV_CODEC_LEGACY_VIDEO(6), false, "screen2"},
    {FLV_CODEC_LEGACY_AUDIO(0), false, "pcm"},
    {FLV_CODEC_LEGACY_AUDIO(1), false, "adpcm"},
    {FLV_CODEC_LEGACY_AUDIO(3), false, "pcm"},
    {FLV_CODEC_LEGACY_AUDIO(4), false, "nellymoser"},
    {FLV_CODEC_LEGACY_AUDIO(5), false, "nellymoser"},
    {FLV_CODEC_LEGACY_AUDIO(6), false, "nellymoser"},
    {FLV_CODEC_LEGACY_AUDIO(7), false, "g711a"},
    {FLV_CODEC_LEGACY_AUDIO(8), false, "g711u"},
    {FLV_CODEC_LEGACY_AUDIO(11), false, "speex"},
};

const char *flv_codec_name(uint32_t codec)
{
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (codecs[i].codec == codec)
            return codecs[i].name;
    }
    return "unknown";
}

bool flv_codec_needs_webrtc(uint32_t codec)
{
    return codec == FLV_CODEC_VP8;
}

bool flv_codec_has_cts(uint32_t codec)
{
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (codecs[i].codec == codec)
            return codecs[i].has_cts;
    }
    return false;
}
