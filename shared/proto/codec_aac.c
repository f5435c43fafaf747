#include "base/err.h"
#include "proto/codec_internal.h"

/* AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), with SBR and PS signalled in either explicit
 * way.  Implicit SBR is in the frames only and is declared as what the configuration says. */

#define ASC_SIZE_MAX      128 /* bytes; a program config element with a long comment is larger */
#define AOT_AAC_LC        2
#define AOT_SBR           5
#define AOT_ER_AAC_LC     17
#define AOT_ER_AAC_LD     23
#define AOT_ER_BSAC       22
#define AOT_PS            29
#define AOT_ESCAPE        31
#define RATE_ESCAPE       15
#define SYNC_SBR          0x2b7 /* syncExtensionType */
#define SYNC_PS           0x548
#define FRAME_LONG        1024
#define FRAME_SHORT       960
#define OBJECT_TYPE_MPEG4 0x40

static const uint32_t rates[16] = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                   22050, 16000, 12000, 11025, 8000,  7350};

/* channelConfiguration; 0: told by a program config element, or reserved. */
static const uint8_t channels[16] = {0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0};

struct aac {
    uint32_t type, rate, channels, frame_samples;
    bool sbr, ps;
    uint32_t sbr_rate;
};

static uint32_t read_type(struct bits *b)
{
    uint32_t type = bits_u(b, 5);
    return type != AOT_ESCAPE ? type : 32 + bits_u(b, 6);
}

static uint32_t read_rate(struct bits *b)
{
    uint32_t index = bits_u(b, 4);
    return index != RATE_ESCAPE ? rates[index] : bits_u(b, 24);
}

static uint32_t count_elements(struct bits *b, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        n += bits_flag(b) ? 2 : 1; /* a pair or a single channel */
        bits_skip(b, 4);
    }
    return n;
}

/* program_config_element() up to the channels: how many there are (14496-3, 4.4.1.1). */
static uint32_t read_program(struct bits *b)
{
    bits_skip(b, 4 + 2 + 4);
    uint32_t front = bits_u(b, 4), side = bits_u(b, 4), back = bits_u(b, 4), lfe = bits_u(b, 2);
    uint32_t data = bits_u(b, 3), coupling = bits_u(b, 4);
    for (int mixdown = 0; mixdown < 2; mixdown++) {
        if (bits_flag(b))
            bits_skip(b, 4);
    }
    if (bits_flag(b))
        bits_skip(b, 3);
    uint32_t n = count_elements(b, front + side + back) + lfe;
    bits_skip(b, 4 * lfe + 4 * data + 5 * coupling);
    return n;
}

/* GASpecificConfig (4.4.1). */
static void read_general(struct bits *b, struct aac *a, uint32_t channel_config)
{
    bool is_short = bits_flag(b);
    a->frame_samples = is_short ? FRAME_SHORT : FRAME_LONG;
    if (a->type == AOT_ER_AAC_LD)
        a->frame_samples /= 2;
    if (bits_flag(b))
        bits_skip(b, 14); /* core coder delay */
    bool extended = bits_flag(b);
    a->channels = channels[channel_config];
    if (channel_config == 0)
        a->channels = read_program(b);
    if (extended && a->type >= AOT_ER_AAC_LC)
        bits_skip(b, 3);
    if (extended)
        bits_flag(b);
}

/* SBR and PS told behind the configuration of a decoder that knows neither. */
static void read_extension(struct bits *b, struct aac *a)
{
    if (bits_left(b) < 16 || bits_u(b, 11) != SYNC_SBR || read_type(b) != AOT_SBR)
        return;
    bool sbr = bits_flag(b);
    if (!sbr)
        return;
    uint32_t rate = read_rate(b);
    if (b->underrun)
        return;
    a->sbr = true;
    a->sbr_rate = rate;
    a->ps = bits_left(b) >= 12 && bits_u(b, 11) == SYNC_PS && bits_flag(b);
}

static int read_config(struct slice config, struct aac *a)
{
    struct bits b = bits_of(config);
    a->type = read_type(&b);
    a->rate = read_rate(&b);
    uint32_t channel_config = bits_u(&b, 4);
    if (a->type == AOT_SBR || a->type == AOT_PS) {
        a->sbr = true;
        a->ps = a->type == AOT_PS;
        a->sbr_rate = read_rate(&b);
        a->type = read_type(&b);
    }
    /* Main, LC, SSR, LTP, and the error resilient LC, LTP and LD. */
    bool known = (a->type >= 1 && a->type <= 4) || a->type == AOT_ER_AAC_LC ||
                 a->type == AOT_ER_AAC_LC + 2 || a->type == AOT_ER_AAC_LD;
    if (!known)
        return b.underrun ? ERR_PROTOCOL : ERR_UNSUPPORTED;
    read_general(&b, a, channel_config);
    if (b.underrun)
        return ERR_PROTOCOL;
    if (!a->sbr && a->type == AOT_AAC_LC)
        read_extension(&b, a);
    return 0;
}

int codec_read_aac(struct codec_info *out, struct slice config, struct slice frame)
{
    if (config.len == 0)
        return ERR_NOT_FOUND;
    if (config.len > ASC_SIZE_MAX)
        return ERR_TOO_LARGE;
    struct aac a = {0};
    int err = read_config(config, &a);
    if (err < 0)
        return err;
    bool doubled = a.sbr && a.sbr_rate == 2 * a.rate;
    out->audio.sample_rate = a.sbr ? a.sbr_rate : a.rate;
    out->audio.channels = a.ps && a.channels == 1 ? 2 : a.channels;
    out->audio.frame_samples = doubled ? 2 * a.frame_samples : a.frame_samples;
    uint32_t type = a.ps ? AOT_PS : a.sbr ? AOT_SBR : a.type;
    codec_string(out, "mp4a.40.%u", type);
    struct wr w = codec_make(out);
    codec_esds(OBJECT_TYPE_MPEG4, config, &w);
    codec_made(out, &w);
    return 0;
}
