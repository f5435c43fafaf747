#include "base/err.h"
#include "proto/amf0.h"
#include "proto/codec_internal.h"

/* colorInfo of a Metadata packet (Enhanced RTMP v2, "Metadata Frame"). */

#define COLOUR_VALUES_MAX 64 /* values in the message */

static bool is_number(const struct amf0_value *v)
{
    return v != NULL && v->type == AMF0_NUMBER;
}

/* A number in units of 1 / scale, rounded; 0 when it is none or out of range. */
static uint32_t scaled(const struct amf0_value *object, const char *key, double scale, uint32_t max)
{
    double v = amf0_number(amf0_get(object, key), 0) * scale + 0.5;
    return v >= 1 && v < (double)max + 1 ? (uint32_t)v : 0;
}

static void read_config(const struct amf0_value *config, struct codec_colour *c)
{
    const struct amf0_value *primaries = amf0_get(config, "colorPrimaries"),
                            *transfer = amf0_get(config, "transferCharacteristics"),
                            *matrix = amf0_get(config, "matrixCoefficients");
    uint32_t p = amf0_u32(primaries, 0), t = amf0_u32(transfer, 0), m = amf0_u32(matrix, 0);
    if (!is_number(primaries) || !is_number(transfer) || !is_number(matrix) || p > UINT8_MAX ||
        t > UINT8_MAX || m > UINT8_MAX)
        return;
    c->known = true;
    c->primaries = (uint8_t)p;
    c->transfer = (uint8_t)t;
    c->matrix = (uint8_t)m;
}

static void read_mastering(const struct amf0_value *mdcv, struct codec_hdr *h)
{
    static const char *const keys[] = {"greenX", "greenY", "blueX", "blueY", "redX", "redY"};
    for (int i = 0; i < 6; i++)
        h->primaries[i] = (uint16_t)scaled(mdcv, keys[i], 50000, UINT16_MAX);
    h->white[0] = (uint16_t)scaled(mdcv, "whitePointX", 50000, UINT16_MAX);
    h->white[1] = (uint16_t)scaled(mdcv, "whitePointY", 50000, UINT16_MAX);
    h->luminance_max = scaled(mdcv, "maxLuminance", 10000, UINT32_MAX);
    h->luminance_min = scaled(mdcv, "minLuminance", 10000, UINT32_MAX);
    h->has_mdcv = h->luminance_max > 0;
}

int codec_info_colour(struct codec_info *info, struct slice metadata)
{
    struct amf0_value values[COLOUR_VALUES_MAX];
    size_t count;
    int err = amf0_parse_all(metadata, true, values, COLOUR_VALUES_MAX, &count);
    if (err < 0 || count < 2 || !slice_is(amf0_text(&values[0]), "colorInfo"))
        return ERR_PROTOCOL;
    const struct amf0_value *object = &values[1], *cll = amf0_get(object, "hdrCll"),
                            *mdcv = amf0_get(object, "hdrMdcv");
    struct codec_video *v = &info->video;
    read_config(amf0_get(object, "colorConfig"), &v->colour);
    if (mdcv != NULL)
        read_mastering(mdcv, &v->hdr);
    if (cll != NULL) {
        v->hdr.cll_max = (uint16_t)scaled(cll, "maxCLL", 1, UINT16_MAX);
        v->hdr.fall_max = (uint16_t)scaled(cll, "maxFall", 1, UINT16_MAX);
        v->hdr.has_clli = v->hdr.cll_max > 0;
    }
    return 0;
}
