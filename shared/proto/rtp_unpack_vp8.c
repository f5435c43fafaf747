/* VP8 (RFC 7741, 4.2): a descriptor, then the next bytes of the frame. */
#include "base/err.h"
#include "proto/rtp_unpack_internal.h"

#define VP8_EXTENDED      0x80
#define VP8_START         0x10
#define VP8_PARTITION     0x07
#define VP8_PICTURE_ID    0x80
#define VP8_TL0PICIDX     0x40
#define VP8_TID_OR_KEYIDX 0x30
#define VP8_LONG_ID       0x80
#define VP8_INTER_FRAME   0x01 /* of the frame's first byte (RFC 6386, 9.1) */

/* Reads the descriptor; *first says whether a frame begins here. */
static int read_descriptor(struct rd *r, bool *first)
{
    uint8_t required = rd_u8(r);
    *first = (required & VP8_START) != 0 && (required & VP8_PARTITION) == 0;
    uint8_t extension = (required & VP8_EXTENDED) != 0 ? rd_u8(r) : 0;
    if ((extension & VP8_PICTURE_ID) != 0 && (rd_u8(r) & VP8_LONG_ID) != 0)
        rd_u8(r);
    if ((extension & VP8_TL0PICIDX) != 0)
        rd_u8(r);
    if ((extension & VP8_TID_OR_KEYIDX) != 0)
        rd_u8(r);
    return r->underrun || rd_left(r) == 0 ? ERR_PROTOCOL : 0;
}

static int put_payload(struct rtp_unpacker *u, struct slice payload)
{
    struct rd r = rd_slice(payload);
    bool first;
    int err = read_descriptor(&r, &first);
    if (err < 0)
        return err;
    return first == (u->len == 0) ? rtp_unit_put(u, rd_rest(&r)) : ERR_PROTOCOL;
}

static int unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count, bool *key)
{
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        if (payloads[i].len > 0)
            err = put_payload(u, payloads[i]);
    if (err < 0 || u->len == 0)
        return err;
    *key = (rtp_unit_bytes(u)[0] & VP8_INTER_FRAME) == 0;
    if (*key)
        err = rtp_unit_config_of_frame(u);
    /* A frame of three bytes and more, or it is none. */
    return err == ERR_NOT_FOUND ? ERR_PROTOCOL : err;
}

static bool begins(struct slice payload)
{
    struct rd r = rd_slice(payload);
    bool first;
    return read_descriptor(&r, &first) == 0 && first;
}

const struct rtp_format rtp_format_vp8 = {FLV_CODEC_VP8, unpack, begins};
