#ifndef SLUICE_EDGE_HLS_UNIT_H
#define SLUICE_EDGE_HLS_UNIT_H

#include "edge/hls_tracks.h"

#include <sys/uio.h>

/*
 * The bytes of a part or a segment: heads that are made here, and between them the payloads of
 * frames where they lie.  A segment is its parts one after the other.  The same frames and cuts
 * give the same bytes on every node.  On one worker; counted by the answers that send it.
 */
struct hls_unit {
    unsigned refs;
    struct frame **frames; /* held */
    size_t frame_count;
    uint8_t *heads;
    struct iovec *iov;
    int iov_count;
    size_t len; /* bytes of all */
};

/* `first` and the `parts` - 1 after it, complete and held.  NULL: the rendition has no track, or
 * they are larger than can be. */
struct hls_unit *hls_unit_new(const struct run *r, const struct log_part *first, uint32_t parts,
                              const struct hls_tracks *t, struct hls_rendition rendition);
struct hls_unit *hls_unit_ref(struct hls_unit *u);
void hls_unit_unref(struct hls_unit **up);

#endif
