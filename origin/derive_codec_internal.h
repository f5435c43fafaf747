#ifndef SLUICE_ORIGIN_DERIVE_CODEC_INTERNAL_H
#define SLUICE_ORIGIN_DERIVE_CODEC_INTERNAL_H

#include "origin/derive_codec.h"

#include <libavcodec/avcodec.h>

/* What derive_sound.c and derive_video.c are to derive_codec.c: each begins with this. */
struct derive_codec_ops {
    int (*push)(struct derive_codec *c, const struct derive_unit *unit, derive_sink *sink,
                void *arg);
    struct slice (*config)(const struct derive_codec *c);
    void (*free)(struct derive_codec *c);
};
struct derive_codec {
    const struct derive_codec_ops *ops;
};

int derive_sound_open(struct derive_codec **out, uint32_t from, struct slice config, uint32_t to);
int derive_video_open(struct derive_codec **out, uint32_t from, struct slice config);

/* Of a picture that is decoded: level 5.2.  A decoder holds up to 17 of them, an encoder some more,
 * and a few bytes are enough for one of any size. */
#define DERIVE_PIXELS_MAX (4096 * 2304)

/* A decoder with the configuration and times in microseconds: 0, or ERR_UNSUPPORTED, ERR_PROTOCOL,
 * ERR_NOMEM.  *out is the caller's to free, also then. */
int derive_decoder_open(AVCodecContext **out, enum AVCodecID id, struct slice config);
/* Gives it one frame; false when it does not take it. */
bool derive_decoder_send(AVCodecContext *decoder, AVPacket *packet, const struct derive_unit *unit);

#endif
