#include "proto/flv.h"

#include "base/err.h"
#include "base/must.h"

/* The same packet in another wrapping: one message per track, or without Multitrack and ModEx. */

#define FOURCC_SIZE 4

static uint8_t multitrack_type(const struct flv_packet *p)
{
    return p->kind == FLV_VIDEO ? FLV_VIDEO_MULTITRACK : FLV_AUDIO_MULTITRACK;
}

bool flv_is_whole(const struct flv_packet *p)
{
    return p->form != FLV_MANY_TRACKS && p->form != FLV_MANY_CODECS;
}

size_t flv_split_size(const struct flv_packet *p)
{
    size_t wrapping = p->track == 0 ? FOURCC_SIZE : 1 + FOURCC_SIZE + 1;
    return p->prefix.len + wrapping + p->coded.len;
}

void flv_split(const struct flv_packet *p, struct wr *w)
{
    must(!flv_is_whole(p) && p->prefix.len > 0);
    size_t last = p->prefix.len - 1;
    wr_bytes(w, p->prefix.p, last);
    uint8_t outer = p->track == 0 ? p->packet_type : multitrack_type(p);
    wr_u8(w, (p->prefix.p[last] & 0xf0U) | outer);
    if (p->track != 0)
        wr_u8(w, p->packet_type); /* multitrack type 0, OneTrack */
    wr_u32(w, p->codec);
    if (p->track != 0)
        wr_u8(w, p->track);
    wr_put(w, p->coded);
}

int flv_downgrade(uint8_t type, struct slice body, struct flv_rewrite *out)
{
    struct flv_packet packets[FLV_PACKETS_MAX];
    *out = (struct flv_rewrite){0};
    int count = flv_packets(type, body, packets);
    if (count < 0)
        return count;
    if (count == 0)
        return 0;
    const struct flv_packet *p = &packets[0];
    if (!flv_is_whole(p) || p->track != 0)
        return ERR_UNSUPPORTED;
    if (p->form == FLV_LEGACY || (p->form == FLV_PLAIN && p->prefix.len == 1))
        return 0;
    struct wr w = wr_init(out->header, FLV_REWRITE_MAX);
    wr_u8(&w, (p->prefix.p[0] & 0xf0U) | p->packet_type);
    if (p->class != FLV_COMMAND)
        wr_u32(&w, p->codec);
    must(!w.overflow);
    out->header_len = wr_len(&w);
    out->skip = (size_t)(p->coded.p - body.p);
    return 0;
}
