/*
 * Opus (RFC 7587): a packet is a payload.  The configuration is an identification header (RFC 7845,
 * 5.1): two channels, as in every rtpmap of Opus, since packets may change between mono and stereo
 * and decoders put out what the header says; no pre-skip, since listeners join in the middle.
 */
#include "base/err.h"
#include "proto/codec_internal.h"
#include "proto/rtp_unpack_internal.h"

#define OPUS_RATE     48000
#define OPUS_HEAD_LEN 19
#define OPUS_CHANNELS 2

static int make_head(struct rtp_unpacker *u)
{
    uint8_t head[OPUS_HEAD_LEN];
    struct wr w = wr_init(head, sizeof head);
    wr_text(&w, "OpusHead");
    wr_u8(&w, 1); /* version */
    wr_u8(&w, OPUS_CHANNELS);
    wr_u16(&w, 0); /* pre-skip */
    wr_u32le(&w, OPUS_RATE);
    wr_u16(&w, 0); /* gain */
    wr_u8(&w, 0);  /* mapping family */
    return rtp_unit_config(u, wr_slice(&w));
}

static int unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count, bool *key)
{
    *key = true;
    for (size_t i = 0; i < count; i++) {
        if (payloads[i].len == 0)
            continue;
        if (u->len > 0 || codec_count_opus(NULL, payloads[i]) == 0)
            return ERR_PROTOCOL;
        int err = rtp_unit_put(u, payloads[i]);
        if (err < 0)
            return err;
    }
    return u->len > 0 ? make_head(u) : 0;
}

static bool begins(struct slice payload)
{
    return payload.len > 0;
}

const struct rtp_format rtp_format_opus = {FLV_CODEC_OPUS, unpack, begins};
