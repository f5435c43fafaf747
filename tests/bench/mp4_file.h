#ifndef SLUICE_TESTS_BENCH_MP4_FILE_H
#define SLUICE_TESTS_BENCH_MP4_FILE_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

/* Whether it looks like MP4. */
bool mp4_file_is(struct slice file);

/*
 * Fragmented MP4 as an FLV file: the first track of H.264, HEVC or AV1 and the first of AAC, in the
 * order of decoding.  0, ERR_UNSUPPORTED (MP4 without fragments, or of other codecs) or
 * ERR_PROTOCOL.  buf_append()'s errors.
 */
int mp4_file_to_flv(struct slice file, struct buf *out);

#endif
