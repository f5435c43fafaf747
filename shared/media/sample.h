#ifndef SLUICE_MEDIA_SAMPLE_H
#define SLUICE_MEDIA_SAMPLE_H

#include "media/frame.h"
#include "proto/codec_info.h"

/*
 * Frames as codec_info.h and fmp4.h want them: the coded bytes in a frame's payload, which is an
 * FLV tag body.  Nothing is copied: slices point into the frames.
 */

/* The coded bytes of a media frame, as an MP4 sample; or of a configuration or metadata frame, what
 * it carries.  Empty when there is nothing or the body is broken. */
struct slice frame_coded(const struct frame *f);

/*
 * codec_info_read() for a track: `config` and `meta` are its configuration and video Metadata frame
 * in force, NULL when there is none; `media` is a frame that decoding can start with, or NULL.  One
 * of config and media is not NULL.  *out lives as long as config.  Errors as of codec_info_read();
 * a broken meta is left out.
 */
int frame_codec_info(struct codec_info *out, const struct frame *config, const struct frame *meta,
                     const struct frame *media);

#endif
