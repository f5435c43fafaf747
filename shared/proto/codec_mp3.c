#include "base/err.h"
#include "proto/codec_internal.h"

/* MP3: the header of a frame (ISO/IEC 11172-3, 2.4.1.3; 13818-3), and the elementary stream
 * descriptor that MP3 has in common with AAC (14496-1, 7.2.6). */

#define MP3_SYNC           0x7ff
#define MP3_VERSION_1      3
#define MP3_VERSION_2      2
#define MP3_VERSION_2_5    0
#define MP3_LAYER_3        1
#define MP3_MONO           3
#define MP3_SAMPLES_1      1152 /* of a frame, in version 1; half as many in the others */
#define OBJECT_TYPE_MP3    0x6b
#define OBJECT_TYPE_MP3_V2 0x69

#define TAG_ES             3
#define TAG_DECODER_CONFIG 4
#define TAG_DECODER_INFO   5
#define TAG_SL_CONFIG      6
#define DESCRIPTOR_HEADER  5    /* bytes: tag, and the size in its long form */
#define DECODER_CONFIG     13   /* bytes before the decoder specific info */
#define STREAM_AUDIO       0x15 /* streamType 5, downstream, the reserved bit */
#define SL_MP4             2    /* predefined: as MP4 files use it */

struct mp3 {
    uint32_t version, rate, channels, samples;
};

static bool read_header(struct slice frame, struct mp3 *m)
{
    static const uint32_t rates[3] = {44100, 48000, 32000};
    struct bits b = bits_of(frame);
    uint32_t sync = bits_u(&b, 11);
    m->version = bits_u(&b, 2);
    uint32_t layer = bits_u(&b, 2);
    bits_skip(&b, 1 + 4);
    uint32_t rate = bits_u(&b, 2);
    bits_skip(&b, 2);
    m->channels = bits_u(&b, 2) == MP3_MONO ? 1 : 2;
    if (b.underrun || sync != MP3_SYNC || m->version == 1 || layer != MP3_LAYER_3 || rate == 3)
        return false;
    unsigned shift = m->version == MP3_VERSION_1 ? 0 : m->version == MP3_VERSION_2 ? 1 : 2;
    m->rate = rates[rate] >> shift;
    m->samples = shift == 0 ? MP3_SAMPLES_1 : MP3_SAMPLES_1 / 2;
    return true;
}

static void open_descriptor(struct wr *w, uint8_t tag, size_t size)
{
    wr_u8(w, tag);
    for (int shift = 21; shift > 0; shift -= 7)
        wr_u8(w, 0x80U | (unsigned)(size >> shift));
    wr_u8(w, size & 0x7f);
}

void codec_esds(uint32_t object_type, struct slice dsi, struct wr *w)
{
    size_t info = dsi.len > 0 ? DESCRIPTOR_HEADER + dsi.len : 0;
    size_t config = DECODER_CONFIG + info;
    wr_u32(w, 0); /* version and flags */
    open_descriptor(w, TAG_ES, 3 + DESCRIPTOR_HEADER + config + DESCRIPTOR_HEADER + 1);
    wr_u16(w, 0); /* ES_ID */
    wr_u8(w, 0);
    open_descriptor(w, TAG_DECODER_CONFIG, config);
    wr_u8(w, object_type);
    wr_u8(w, STREAM_AUDIO);
    wr_u24(w, 0); /* buffer size, bit rates: not known */
    wr_u32(w, 0);
    wr_u32(w, 0);
    if (dsi.len > 0) {
        open_descriptor(w, TAG_DECODER_INFO, dsi.len);
        wr_put(w, dsi);
    }
    open_descriptor(w, TAG_SL_CONFIG, 1);
    wr_u8(w, SL_MP4);
}

int codec_read_mp3(struct codec_info *out, struct slice config, struct slice frame)
{
    struct mp3 m;
    if (!read_header(frame, &m))
        return ERR_NOT_FOUND;
    out->audio.sample_rate = m.rate;
    out->audio.channels = m.channels;
    out->audio.frame_samples = m.samples;
    codec_string(out, "mp4a.40.34");
    struct wr w = codec_make(out);
    uint32_t type = m.version == MP3_VERSION_1 ? OBJECT_TYPE_MP3 : OBJECT_TYPE_MP3_V2;
    codec_esds(type, slice_of(NULL, 0), &w);
    codec_made(out, &w);
    return 0;
}

uint32_t codec_count_mp3(const struct codec_info *info, struct slice payload)
{
    struct mp3 m;
    return read_header(payload, &m) ? m.samples : 0;
}
