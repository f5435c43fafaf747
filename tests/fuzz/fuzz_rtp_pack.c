#include "base/bytes.h"
#include "base/must.h"
#include "proto/rtp_pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A byte for the codec, two for the length of the configuration, then that, then a frame. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t codecs[] = {FLV_CODEC_AVC, FLV_CODEC_HEVC, FLV_CODEC_VP8,
                                      FLV_CODEC_VP9, FLV_CODEC_AV1,  FLV_CODEC_OPUS};
    struct rd r = rd_init(data, size);
    unsigned choice = rd_u8(&r);
    struct slice config = rd_slice_of(&r, rd_u16(&r) % (size + 1));
    struct slice frame = rd_rest(&r);
    struct rtp_packer *p = rtp_packer_new(codecs[choice % 6]);
    struct rtp_packed packed;
    rtp_packer_configure(p, config);
    for (int key = 0; key < 2; key++) {
        if (rtp_pack(p, frame, key, &packed) != 0)
            continue;
        for (size_t i = 0; i < packed.count; i++) {
            const struct rtp_payload *payload = &packed.payloads[i];
            size_t len = 0;
            for (size_t k = 0; k < payload->piece_count; k++)
                for (size_t b = 0; b < payload->pieces[k].len; b++)
                    len += 1 + (payload->pieces[k].p[b] & 0); /* every byte is there to be read */
            must(len == payload->len && len > 0);
            must(len <= (codecs[choice % 6] == FLV_CODEC_OPUS ? RTP_AUDIO_MAX : RTP_PAYLOAD_MAX));
        }
    }
    rtp_packer_free(&p);
    return 0;
}
