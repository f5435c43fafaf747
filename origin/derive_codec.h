#ifndef SLUICE_ORIGIN_DERIVE_CODEC_H
#define SLUICE_ORIGIN_DERIVE_CODEC_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Coded frames of one track made into coded frames of another kind, by FFmpeg's libraries.  No
 * thread and no I/O of its own; used by one thread at a time.
 *
 * Sound (derive_sound.c): 48 kHz, one or two channels.  What comes in says its decoding time; what
 * goes out is counted in samples from the first of them.  Distances of up to a millisecond or two
 * are rounding, and nothing is done about them; a clock that drifts is followed by resampling (at
 * most 1 %), and where sound is missing, or there is too much of it, silence is put in or sound
 * left out.  So the two never part, and nothing adds up.  The encoder's delay is taken off: a
 * packet's time is that of the sound that a decoder gives for it.
 *
 * Pictures (derive_video.c): H.264 in the order in which it is shown, so without B-frames,
 * constrained baseline, key frames where the source has them; up to level 5.2 (4096 x 2304).
 */
#define DERIVE_RATE 48000 /* samples of sound per second */

struct derive_codec;

/* One coded frame that goes in or comes out; valid during the call. */
struct derive_unit {
    struct slice bytes;
    int64_t dts_us, cts_us;
    bool key; /* of pictures: decoding may start here */
};

/* The codec cannot be decoded or made here, or its configuration is broken: ERR_UNSUPPORTED,
 * ERR_PROTOCOL.  from, to: FLV_CODEC_; config: the published configuration's payload. */
int derive_codec_open(struct derive_codec **out, uint32_t from, struct slice config, uint32_t to);
void derive_codec_free(struct derive_codec **cp);

typedef void derive_sink(const struct derive_unit *made, void *arg);

/*
 * One coded frame.  0; ERR_PROTOCOL: it cannot be decoded, and is left out; ERR_UNSUPPORTED: what
 * it holds cannot be made into anything, and nor can what follows.  The sink is called for each
 * frame that is complete now.
 */
int derive_codec_push(struct derive_codec *c, const struct derive_unit *unit, derive_sink *sink,
                      void *arg);

/* The configuration of what is made, as FLV carries it (OpusHead, AudioSpecificConfig, avcC); empty
 * before the first frame. */
struct slice derive_codec_config(const struct derive_codec *c);

/* Nothing of FFmpeg's own words on stderr; for the process. */
void derive_codec_quiet(void);

#endif
