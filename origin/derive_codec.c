#include "origin/derive_codec_internal.h"

#include "base/err.h"
#include "proto/flv.h"

#include <string.h>

#define CONFIG_MAX 32768 /* bytes of a published configuration */

int derive_codec_open(struct derive_codec **out, uint32_t from, struct slice config, uint32_t to)
{
    *out = NULL;
    return to == FLV_CODEC_AVC ? derive_video_open(out, from, config)
                               : derive_sound_open(out, from, config, to);
}

void derive_codec_free(struct derive_codec **cp)
{
    struct derive_codec *c = *cp;
    *cp = NULL;
    if (c != NULL)
        c->ops->free(c);
}

int derive_codec_push(struct derive_codec *c, const struct derive_unit *unit, derive_sink *sink,
                      void *arg)
{
    return c->ops->push(c, unit, sink, arg);
}

struct slice derive_codec_config(const struct derive_codec *c)
{
    return c->ops->config(c);
}

void derive_codec_quiet(void)
{
    av_log_set_level(AV_LOG_QUIET);
}

static int set_config(AVCodecContext *decoder, struct slice config)
{
    if (config.len == 0)
        return 0;
    if (config.len > CONFIG_MAX)
        return ERR_PROTOCOL;
    decoder->extradata = av_mallocz(config.len + AV_INPUT_BUFFER_PADDING_SIZE);
    if (decoder->extradata == NULL)
        return ERR_NOMEM;
    memcpy(decoder->extradata, config.p, config.len);
    decoder->extradata_size = (int)config.len;
    return 0;
}

int derive_decoder_open(AVCodecContext **out, enum AVCodecID id, struct slice config)
{
    const AVCodec *codec = avcodec_find_decoder(id);
    if (codec == NULL)
        return ERR_UNSUPPORTED;
    AVCodecContext *decoder = *out = avcodec_alloc_context3(codec);
    if (decoder == NULL)
        return ERR_NOMEM;
    decoder->pkt_timebase = (AVRational){1, 1000000};
    decoder->thread_count = 1;
    decoder->max_pixels = DERIVE_PIXELS_MAX;
    int err = set_config(decoder, config);
    if (err == 0 && avcodec_open2(decoder, codec, NULL) < 0)
        err = ERR_PROTOCOL;
    return err;
}

bool derive_decoder_send(AVCodecContext *decoder, AVPacket *packet, const struct derive_unit *unit)
{
    struct slice bytes = unit->bytes;
    if (bytes.len == 0 || bytes.len > INT32_MAX - AV_INPUT_BUFFER_PADDING_SIZE ||
        av_new_packet(packet, (int)bytes.len) < 0)
        return false;
    memcpy(packet->data, bytes.p, bytes.len);
    packet->dts = unit->dts_us;
    packet->pts = unit->dts_us + unit->cts_us;
    packet->flags = unit->key ? AV_PKT_FLAG_KEY : 0;
    int sent = avcodec_send_packet(decoder, packet);
    av_packet_unref(packet);
    return sent >= 0;
}
