/* VP8 (RFC 7741), VP9 (RFC 9628) and Opus (RFC 7587): a descriptor or none, then the next bytes. */
#include "base/err.h"
#include "proto/rtp_pack_internal.h"

#define PICTURE_MASK 0x7fff
#define PICTURE_LONG 0x8000 /* the number has 15 bits */

#define VP8_EXTENDED  0x80
#define VP8_BEGINS    0x10 /* a partition */
#define VP8_HAS_ID    0x80
#define VP8_HEAD_SIZE 4

#define VP9_HAS_ID    0x80
#define VP9_INTER     0x40
#define VP9_BEGINS    0x08
#define VP9_ENDS      0x04
#define VP9_HEAD_SIZE 3

/* Cuts the frame; head(first, last) is written before each piece. */
static void cut(struct rtp_packer *p, struct slice frame, bool key, size_t head_len,
                void (*write_head)(struct wr *w, uint16_t picture, bool key, bool first, bool last))
{
    size_t share = rtp_pack_share(frame.len, RTP_PAYLOAD_MAX - head_len);
    for (size_t at = 0; at < frame.len;) {
        uint8_t head[VP8_HEAD_SIZE];
        size_t len = frame.len - at < share ? frame.len - at : share;
        struct wr w = wr_init(head, sizeof head);
        write_head(&w, p->picture, key, at == 0, at + len == frame.len);
        rtp_pack_begin(p);
        rtp_pack_copy(p, head, wr_len(&w));
        rtp_pack_point(p, frame.p + at, len);
        at += len;
    }
    p->picture = (p->picture + 1) & PICTURE_MASK;
}

static void vp8_head(struct wr *w, uint16_t picture, bool key, bool first, bool last)
{
    wr_u8(w, VP8_EXTENDED | (first ? VP8_BEGINS : 0));
    wr_u8(w, VP8_HAS_ID);
    wr_u16(w, PICTURE_LONG | picture);
}

static int vp8_pack(struct rtp_packer *p, struct slice frame, bool key)
{
    cut(p, frame, key, VP8_HEAD_SIZE, vp8_head);
    return 0;
}

const struct rtp_pack_format rtp_pack_vp8 = {FLV_CODEC_VP8, false, NULL, vp8_pack};

static void vp9_head(struct wr *w, uint16_t picture, bool key, bool first, bool last)
{
    wr_u8(w, VP9_HAS_ID | (key ? 0 : VP9_INTER) | (first ? VP9_BEGINS : 0) | (last ? VP9_ENDS : 0));
    wr_u16(w, PICTURE_LONG | picture);
}

static int vp9_pack(struct rtp_packer *p, struct slice frame, bool key)
{
    cut(p, frame, key, VP9_HEAD_SIZE, vp9_head);
    return 0;
}

const struct rtp_pack_format rtp_pack_vp9 = {FLV_CODEC_VP9, false, NULL, vp9_pack};

static int opus_pack(struct rtp_packer *p, struct slice frame, bool key)
{
    if (frame.len > RTP_AUDIO_MAX)
        return ERR_TOO_LARGE;
    if (frame.len == 0)
        return 0;
    rtp_pack_begin(p);
    rtp_pack_point(p, frame.p, frame.len);
    return 0;
}

const struct rtp_pack_format rtp_pack_opus = {FLV_CODEC_OPUS, false, NULL, opus_pack};
