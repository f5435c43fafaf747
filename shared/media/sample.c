#include "media/sample.h"

#include "base/mem.h"
#include "base/must.h"

static bool read_body(const struct frame *f, struct flv_packet *out)
{
    must(f->kind != FRAME_DATA);
    LEFT_AS_IT_IS struct flv_packet packets[FLV_PACKETS_MAX];
    uint8_t type = f->kind == FRAME_VIDEO ? FLV_TAG_VIDEO : FLV_TAG_AUDIO;
    /* A frame holds one track; an empty body of video holds nothing. */
    if (flv_packets(type, frame_payload(f), packets) != 1)
        return false;
    *out = packets[0];
    return true;
}

struct slice frame_coded(const struct frame *f)
{
    struct flv_packet p;
    if (!read_body(f, &p))
        return slice_of(NULL, 0);
    return p.class == FLV_FRAMES ? codec_sample(f->codec, p.payload) : p.payload;
}

int frame_codec_info(struct codec_info *out, const struct frame *config, const struct frame *meta,
                     const struct frame *media)
{
    const struct frame *any = config != NULL ? config : media;
    must(any != NULL);
    struct slice nothing = slice_of(NULL, 0);
    int err = codec_info_read(out, any->kind == FRAME_VIDEO ? FLV_VIDEO : FLV_AUDIO, any->codec,
                              config != NULL ? frame_coded(config) : nothing,
                              media != NULL ? frame_coded(media) : nothing);
    if (err == 0 && meta != NULL && meta->kind == FRAME_VIDEO)
        codec_info_colour(out, frame_coded(meta));
    return err;
}
