#include "base/must.h"
#include "proto/codec_info.h"
#include "proto/rtp_unpack.h"

#include <string.h>

#define PAYLOADS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An H.264 unit is NAL units with their sizes, the first slice first. */
static void check_nals(struct slice unit)
{
    struct rd r = rd_slice(unit);
    while (rd_left(&r) > 0) {
        struct slice nal = rd_slice_of(&r, rd_u32(&r));
        must(!r.underrun && nal.len > 0 && (nal.p[0] & 0x80) == 0);
    }
}

static void check_unit(uint32_t codec, const struct rtp_unit *unit, size_t bytes_in)
{
    must(unit->len <= 3 * bytes_in + 64);
    if (unit->len == 0)
        return;
    memset(unit->bytes - RTP_UNIT_HEADROOM, 0, RTP_UNIT_HEADROOM);
    struct slice frame = slice_of(unit->bytes, unit->len);
    struct codec_info info;
    if (codec == FLV_CODEC_AVC)
        check_nals(frame);
    if (unit->key && codec != FLV_CODEC_AVC)
        must(codec_info_read(&info, codec == FLV_CODEC_OPUS ? FLV_AUDIO : FLV_VIDEO, codec,
                             unit->config, frame) == 0);
}

/* The first byte chooses the codec; then payloads, each behind its length (a byte, or two when it
 * is 255); a length of 0 ends a unit. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t codecs[] = {FLV_CODEC_AVC, FLV_CODEC_VP8, FLV_CODEC_VP9, FLV_CODEC_AV1,
                                      FLV_CODEC_OPUS};
    struct rd r = rd_init(data, size);
    uint32_t codec = codecs[rd_u8(&r) % 5];
    struct rtp_unpacker *u = rtp_unpacker_new(codec);
    struct slice payloads[PAYLOADS_MAX];
    size_t count = 0, bytes = 0;
    while (rd_left(&r) > 0) {
        size_t len = rd_u8(&r);
        if (len == 255)
            len = rd_u16(&r);
        if (len > rd_left(&r))
            len = rd_left(&r);
        struct rtp_unit unit;
        if (len > 0 && count < PAYLOADS_MAX) {
            payloads[count] = rd_slice_of(&r, len);
            (void)rtp_unpack_begins(u, payloads[count++]);
            bytes += len;
        }
        if (len > 0 && rd_left(&r) > 0)
            continue;
        if (rtp_unpack(u, payloads, count, &unit) == 0)
            check_unit(codec, &unit, bytes);
        count = bytes = 0;
    }
    rtp_unpacker_free(&u);
    return 0;
}
