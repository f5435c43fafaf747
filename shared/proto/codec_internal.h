#ifndef SLUICE_PROTO_CODEC_INTERNAL_H
#define SLUICE_PROTO_CODEC_INTERNAL_H

#include "proto/bits.h"
#include "proto/codec_info.h"

/*
 * One reader per codec family.  out has kind, codec, entry and box set; a reader adds the rest, or
 * returns what codec_info_read() documents.
 */
typedef int codec_reader(struct codec_info *out, struct slice config, struct slice frame);

codec_reader codec_read_avc, codec_read_hevc, codec_read_av1, codec_read_vp9, codec_read_vp8;
codec_reader codec_read_aac, codec_read_mp3, codec_read_opus, codec_read_flac;
codec_reader codec_read_ac3, codec_read_eac3;

/* Samples of one coded frame; 0 when it does not tell. */
typedef uint32_t codec_counter(const struct codec_info *info, struct slice payload);

codec_counter codec_count_mp3, codec_count_opus, codec_count_flac, codec_count_eac3;

/* The box's content is made here: len (at most CODEC_MADE_MAX) bytes of zero to be filled. */
struct wr codec_make(struct codec_info *out);
/* What was written is the content. */
void codec_made(struct codec_info *out, const struct wr *w);

/* The picture as coded, and what of it is cropped away at each side, in pixels. */
struct codec_window {
    uint32_t width, height;
    uint64_t crop_width, crop_height;
};

/* Sets the picture's size; ERR_PROTOCOL when nothing is left, ERR_UNSUPPORTED when it is over
 * CODEC_SIDE_MAX. */
int codec_set_size(struct codec_video *v, const struct codec_window *w);

/* The part of the video usability information that H.264 and H.265 have in common: from
 * aspect_ratio_info_present_flag to chroma_loc_info (ISO/IEC 14496-10, E.1.1). */
void codec_read_vui(struct bits *b, struct codec_video *v);

/* Frame rate from a clock of `scale` ticks a second and `ticks` ticks per frame; nothing when it
 * makes no sense. */
void codec_set_rate(struct codec_video *v, uint32_t scale, uint64_t ticks);

/* Appends to info->codecs; what does not fit is our bug. */
void codec_string(struct codec_info *info, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the esds box for an MPEG-4 object type, with a decoder specific info of dsi (may be
 * empty), and its size. */
size_t codec_esds_size(struct slice dsi);
void codec_esds(uint32_t object_type, struct slice dsi, struct wr *w);

#endif
