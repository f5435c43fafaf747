#include "proto/flv.h"

#include "base/err.h"
#include "base/must.h"

/*
 * Bodies of audio and video tags:
 *
 *   first byte ── legacy ───────────────────────────────> one packet
 *             └── enhanced: ModEx* ── command ──────────> one packet
 *                                 ├── FourCC ───────────> one packet
 *                                 └── Multitrack ───────> a packet per track
 */

#define VIDEO_EX_FLAG         0x80
#define AUDIO_FORMAT_EX       9
#define MODEX_TIMESTAMP_NANO  0
#define MODEX_NANO_MAX        999999 /* ns */
#define MULTITRACK_ONE        0
#define MULTITRACK_MANY       1
#define MULTITRACK_MANYCODECS 2

/* What a legacy codec id stands for; 0: reserved. */
static const uint32_t video_ids[16] = {
    [1] = FLV_CODEC_LEGACY_VIDEO(1),
    [2] = FLV_CODEC_LEGACY_VIDEO(2),
    [3] = FLV_CODEC_LEGACY_VIDEO(3),
    [4] = FLV_CODEC_LEGACY_VIDEO(4),
    [5] = FLV_CODEC_LEGACY_VIDEO(5),
    [6] = FLV_CODEC_LEGACY_VIDEO(6),
    [7] = FLV_CODEC_AVC,
    [12] = FLV_CODEC_HEVC,
};

static const uint32_t audio_ids[16] = {
    [0] = FLV_CODEC_LEGACY_AUDIO(0),
    [1] = FLV_CODEC_LEGACY_AUDIO(1),
    [2] = FLV_CODEC_MP3,
    [3] = FLV_CODEC_LEGACY_AUDIO(3),
    [4] = FLV_CODEC_LEGACY_AUDIO(4),
    [5] = FLV_CODEC_LEGACY_AUDIO(5),
    [6] = FLV_CODEC_LEGACY_AUDIO(6),
    [7] = FLV_CODEC_LEGACY_AUDIO(7),
    [8] = FLV_CODEC_LEGACY_AUDIO(8),
    [10] = FLV_CODEC_AAC,
    [11] = FLV_CODEC_LEGACY_AUDIO(11),
    [14] = FLV_CODEC_MP3,
};

/* What an enhanced packet type carries; reserved ones and the wrappers are not `known`. */
struct packet_kind {
    bool known;
    enum flv_class class;
};

static const struct packet_kind video_packets[16] = {
    [FLV_SEQUENCE_START] = {true, FLV_CONFIG}, [FLV_CODED_FRAMES] = {true, FLV_FRAMES},
    [FLV_SEQUENCE_END] = {true, FLV_END},      [FLV_CODED_FRAMES_X] = {true, FLV_FRAMES},
    [FLV_METADATA] = {true, FLV_META},         [FLV_MPEG2TS_SEQUENCE_START] = {true, FLV_CONFIG},
};

static const struct packet_kind audio_packets[16] = {
    [FLV_SEQUENCE_START] = {true, FLV_CONFIG},
    [FLV_CODED_FRAMES] = {true, FLV_FRAMES},
    [FLV_SEQUENCE_END] = {true, FLV_END},
    [FLV_METADATA] = {true, FLV_META},
};

static enum flv_frame_type frame_type_of(unsigned bits)
{
    return bits <= FLV_FRAME_COMMAND ? (enum flv_frame_type)bits : FLV_FRAME_NONE;
}

static struct slice since(const uint8_t *from, const struct rd *r)
{
    return slice_of(from, (size_t)(r->p - from));
}

/* Takes the SI24 if there is one, then the rest of p->coded is the payload. */
static int finish_packet(struct flv_packet *p, bool has_cts)
{
    struct rd r = rd_slice(p->coded);
    if (has_cts)
        p->cts_ms = rd_s24(&r);
    p->payload = rd_rest(&r);
    return r.underrun ? ERR_PROTOCOL : 0;
}

static int legacy_avc(struct rd *r, struct flv_packet *p)
{
    static const enum flv_class classes[] = {FLV_CONFIG, FLV_FRAMES, FLV_END};
    p->packet_type = rd_u8(r);
    if (r->underrun)
        return ERR_PROTOCOL;
    if (p->packet_type > FLV_SEQUENCE_END)
        return ERR_UNSUPPORTED;
    p->class = classes[p->packet_type];
    p->coded = rd_rest(r);
    if (p->class == FLV_END)
        return 0; /* its composition time means nothing, and some leave it out */
    int err = finish_packet(p, true);
    if (p->class == FLV_CONFIG)
        p->cts_ms = 0;
    return err;
}

static int legacy_video(struct rd *r, struct flv_packet *p)
{
    uint8_t first = rd_u8(r);
    p->frame_type = frame_type_of(first >> 4);
    p->codec = video_ids[first & 0xf];
    if (p->frame_type == FLV_FRAME_NONE || p->codec == 0)
        return ERR_UNSUPPORTED;
    if (p->frame_type == FLV_FRAME_COMMAND) {
        p->class = FLV_COMMAND;
        p->codec = 0;
        p->coded = rd_rest(r);
        return finish_packet(p, false);
    }
    if (flv_codec_has_cts(p->codec))
        return legacy_avc(r, p);
    p->class = FLV_FRAMES;
    p->coded = rd_rest(r);
    return finish_packet(p, false);
}

static int legacy_audio(struct rd *r, struct flv_packet *p)
{
    p->codec = audio_ids[rd_u8(r) >> 4];
    if (p->codec == 0)
        return ERR_UNSUPPORTED;
    p->class = FLV_FRAMES;
    if (p->codec == FLV_CODEC_AAC) {
        p->packet_type = rd_u8(r);
        if (p->packet_type > FLV_CODED_FRAMES)
            return ERR_UNSUPPORTED;
        p->class = p->packet_type == FLV_SEQUENCE_START ? FLV_CONFIG : FLV_FRAMES;
    }
    if (r->underrun)
        return ERR_PROTOCOL;
    p->coded = rd_rest(r);
    return finish_packet(p, false);
}

/* One ModEx extension; *packet_type becomes the type that follows it. */
static int read_modex(struct rd *r, struct flv_packet *p, uint8_t *packet_type)
{
    size_t n = (size_t)rd_u8(r) + 1;
    if (n == 256)
        n = (size_t)rd_u16(r) + 1;
    struct rd data = rd_slice(rd_slice_of(r, n));
    uint8_t next = rd_u8(r);
    if (r->underrun)
        return ERR_UNSUPPORTED; /* an extension that is cut short costs one message, not the
                                   publisher */
    *packet_type = next & 0xf;
    if (next >> 4 != MODEX_TIMESTAMP_NANO)
        return 0;
    uint32_t nano = rd_u24(&data);
    if (!data.underrun && nano <= MODEX_NANO_MAX)
        p->nano = nano;
    return 0;
}

/* Classifies an enhanced packet and takes its headers off p->coded. */
static int finish_enhanced(struct flv_packet *p)
{
    const struct packet_kind *kinds = p->kind == FLV_VIDEO ? video_packets : audio_packets;
    if (!kinds[p->packet_type].known)
        return ERR_UNSUPPORTED;
    p->class = kinds[p->packet_type].class;
    if (p->class == FLV_META || p->kind == FLV_AUDIO)
        p->frame_type = FLV_FRAME_NONE;
    else if (p->class == FLV_FRAMES && p->frame_type == FLV_FRAME_NONE)
        return ERR_UNSUPPORTED;
    return finish_packet(p, p->kind == FLV_VIDEO && p->packet_type == FLV_CODED_FRAMES &&
                                flv_codec_has_cts(p->codec));
}

/* The next track of a Multitrack message, from its FourCC or id on. */
static int read_track(struct rd *r, struct flv_packet *p)
{
    if (p->form == FLV_MANY_CODECS)
        p->codec = rd_u32(r);
    p->track = rd_u8(r);
    size_t size = p->form == FLV_ONE_TRACK ? rd_left(r) : rd_u24(r);
    p->coded = rd_slice_of(r, size);
    if (r->underrun)
        return ERR_PROTOCOL;
    return finish_enhanced(p);
}

/* The tracks after a Multitrack packet type; `common` is what they share. */
static int read_multitrack(struct rd *r, struct flv_packet *common, struct flv_packet *out)
{
    static const enum flv_form forms[] = {
        [MULTITRACK_ONE] = FLV_ONE_TRACK,
        [MULTITRACK_MANY] = FLV_MANY_TRACKS,
        [MULTITRACK_MANYCODECS] = FLV_MANY_CODECS,
    };
    uint8_t types = rd_u8(r);
    unsigned multitrack = types >> 4;
    if (r->underrun)
        return ERR_PROTOCOL;
    if (multitrack > MULTITRACK_MANYCODECS)
        return ERR_UNSUPPORTED;
    common->form = forms[multitrack];
    common->packet_type = types & 0xf;
    if (common->packet_type ==
        (common->kind == FLV_VIDEO ? FLV_VIDEO_MULTITRACK : FLV_AUDIO_MULTITRACK))
        return ERR_PROTOCOL;
    if (common->form != FLV_MANY_CODECS)
        common->codec = rd_u32(r);
    int count = 0;
    do {
        if (count == FLV_PACKETS_MAX)
            return ERR_TOO_MANY;
        out[count] = *common;
        int err = read_track(r, &out[count]);
        if (err < 0)
            return err;
        count++;
    } while (rd_left(r) > 0);
    return count;
}

/*
 * Whether the frame type "command" is to be believed.  Metadata packets ignore it (Enhanced RTMP
 * v2, ExVideoTagHeader); ffmpeg sets it on them inside of Multitrack too, where it is no more a
 * command.
 */
static bool is_command(const struct rd *r, uint8_t packet_type)
{
    if (packet_type == FLV_VIDEO_MULTITRACK)
        return rd_left(r) < 2 || (r->p[0] & 0xf) != FLV_METADATA;
    return packet_type != FLV_METADATA;
}

static int read_enhanced(struct rd *r, struct flv_packet *p, struct flv_packet *out)
{
    const uint8_t *start = r->p;
    uint8_t first = rd_u8(r);
    uint8_t packet_type = first & 0xf;
    if (p->kind == FLV_VIDEO)
        p->frame_type = frame_type_of(first >> 4 & 7);
    while (packet_type == FLV_MODEX) {
        int err = read_modex(r, p, &packet_type);
        if (err < 0)
            return err;
    }
    p->prefix = since(start, r);
    p->packet_type = packet_type;
    p->form = FLV_PLAIN;
    if (p->frame_type == FLV_FRAME_COMMAND && is_command(r, packet_type)) {
        p->class = FLV_COMMAND;
        p->coded = p->payload = rd_slice_of(r, 1);
        *out = *p;
        return r->underrun ? ERR_PROTOCOL : 1;
    }
    if (packet_type == (p->kind == FLV_VIDEO ? FLV_VIDEO_MULTITRACK : FLV_AUDIO_MULTITRACK))
        return read_multitrack(r, p, out);
    p->codec = rd_u32(r);
    if (r->underrun)
        return ERR_PROTOCOL;
    p->coded = rd_rest(r);
    *out = *p;
    int err = finish_enhanced(out);
    return err < 0 ? err : 1;
}

static bool is_enhanced(uint8_t type, uint8_t first)
{
    return type == FLV_TAG_VIDEO ? (first & VIDEO_EX_FLAG) != 0 : first >> 4 == AUDIO_FORMAT_EX;
}

int flv_packets(uint8_t type, struct slice body, struct flv_packet out[FLV_PACKETS_MAX])
{
    must(type == FLV_TAG_AUDIO || type == FLV_TAG_VIDEO);
    struct flv_packet p = {.kind = type == FLV_TAG_VIDEO ? FLV_VIDEO : FLV_AUDIO};
    if (body.len == 0) {
        p.class = FLV_END;
        out[0] = p;
        return type == FLV_TAG_AUDIO ? 1 : 0;
    }
    struct rd r = rd_slice(body);
    if (is_enhanced(type, body.p[0]))
        return read_enhanced(&r, &p, out);
    p.prefix = slice_of(body.p, 1);
    int err = type == FLV_TAG_VIDEO ? legacy_video(&r, &p) : legacy_audio(&r, &p);
    out[0] = p;
    return err < 0 ? err : 1;
}
