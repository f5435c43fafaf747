#ifndef SLUICE_PROTO_CODEC_INFO_H
#define SLUICE_PROTO_CODEC_INFO_H

#include "base/bytes.h"
#include "base/slice.h"
#include "proto/flv.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What a published codec configuration says, as MP4 and HLS want to know it: sample entry,
 * configuration box, CODECS string, picture and sound.
 *
 *   configuration (FLV_CONFIG payload) ─┐
 *                                       ├─ codec_info_read() ─> struct codec_info ─> fmp4_init()
 *   first coded frame's payload ────────┘        │
 *                                     codec_info_colour(), from Metadata packets
 *
 * Coded frames are not changed for MP4: parameter sets in them stay, and the length of NAL unit
 * sizes is the one that the published configuration states.  Nothing here allocates.  Thread: any.
 */

#define CODEC_CONFIG_MAX   (32 * 1024) /* bytes of a published configuration */
#define CODEC_MADE_MAX     288         /* bytes of one that is made here; dOps with 255 channels */
#define CODEC_STRING_MAX   64          /* bytes of a CODECS entry with its end */
#define CODEC_VIDEO_TICKS  90000       /* timescale of every video track, per second */
#define CODEC_SIDE_MAX     65535       /* pixels of a picture's width or height */
#define CODEC_CHANNELS_MAX 255

/* Colour as numbers of ITU-T H.273.  Not `known`: unspecified. */
struct codec_colour {
    bool known, full_range;
    uint8_t primaries, transfer, matrix;
};

/* Static HDR metadata in the units of the boxes mdcv and clli (SMPTE ST 2086, CTA-861.3). */
struct codec_hdr {
    bool has_mdcv, has_clli;
    uint16_t primaries[6];                 /* x, y of green, blue, red; 1/50,000 */
    uint16_t white[2];                     /* x, y; 1/50,000 */
    uint32_t luminance_max, luminance_min; /* 1/10,000 cd/m2 */
    uint16_t cll_max, fall_max;            /* cd/m2 */
};

struct codec_video {
    uint32_t width, height;         /* pixels to be shown, before sar_ is applied */
    uint32_t sar_width, sar_height; /* of one pixel; both 1 when nothing else was said */
    uint32_t rate_num, rate_den;    /* frames per second as declared; 0 / 0 when it was not */
    struct codec_colour colour;
    struct codec_hdr hdr;
};

struct codec_audio {
    uint32_t sample_rate;   /* of what a decoder puts out; the track's timescale */
    uint32_t channels;      /* of what a decoder puts out */
    uint32_t frame_samples; /* per coded frame at sample_rate; 0 when they differ in length */
};

struct codec_info {
    enum flv_kind kind;
    uint32_t codec;                /* FLV_CODEC_ */
    uint32_t entry;                /* sample entry's FourCC: avc1, hvc1, mp4a ... */
    uint32_t box;                  /* configuration box inside of it: avcC, esds ... */
    uint32_t timescale;            /* per second */
    char codecs[CODEC_STRING_MAX]; /* entry of CODECS (RFC 6381), terminated */
    struct codec_video video;      /* of kind FLV_VIDEO */
    struct codec_audio audio;      /* of kind FLV_AUDIO */
    struct slice published;        /* the box's content; points into the caller's bytes */
    uint8_t made[CODEC_MADE_MAX];  /* the box's content when published is empty */
    uint16_t made_len;
};

/*
 * Reads a configuration.  `config` is the payload of the newest FLV_CONFIG packet of the track,
 * empty when there was none or it holds nothing; `frame` is the payload of a coded frame from which
 * decoding can start (a key frame of video), empty when there is none yet.  MP3, AC-3, E-AC-3, VP8
 * and VP9, AV1 and Opus without a configuration, need the frame.
 * *out points into config: it lives no longer.
 *   ERR_NOT_FOUND    the frame is needed and this one does not tell; try again with the next one
 *   ERR_UNSUPPORTED  this codec or variant does not go into MP4
 *   ERR_PROTOCOL     broken
 *   ERR_TOO_LARGE    more than CODEC_CONFIG_MAX
 */
int codec_info_read(struct codec_info *out, enum flv_kind kind, uint32_t codec, struct slice config,
                    struct slice frame);

/*
 * Adds what a Metadata packet (payload of an FLV_META packet of video: "colorInfo" and an object,
 * Enhanced RTMP v2, Metadata Frame) says about colour and HDR; it wins over the bitstream's own
 * word.  0, or ERR_PROTOCOL (nothing changed).
 */
int codec_info_colour(struct codec_info *info, struct slice metadata);

/* Bytes that codec_info_box() writes. */
size_t codec_info_box_size(const struct codec_info *info);

/* Writes the configuration box, with its header. */
void codec_info_box(const struct codec_info *info, struct wr *w);

/* Samples of sound in one coded frame (its whole payload), in units of timescale; 0 when it does
 * not tell.  Only of kind FLV_AUDIO. */
uint32_t codec_frame_samples(const struct codec_info *info, struct slice payload);

/* A coded frame's payload as an MP4 sample: the same bytes, without the temporal delimiters that
 * AV1 does not want there. */
struct slice codec_sample(uint32_t codec, struct slice payload);

#endif
