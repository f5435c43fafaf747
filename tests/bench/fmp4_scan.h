#ifndef SLUICE_TESTS_BENCH_FMP4_SCAN_H
#define SLUICE_TESTS_BENCH_FMP4_SCAN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Looks at fragmented MP4 as it comes: whether each fragment of a track begins where the one before
 * it ended (tfdt).  Payloads are passed over.
 */
#define FMP4_SCAN_TRACKS 4 /* that are looked at */

struct fmp4_scan_track {
    uint32_t id;
    uint64_t next_time; /* where its next fragment should begin */
};

struct fmp4_scan {
    uint8_t head[8];
    size_t head_len;
    uint64_t left;       /* bytes still to come of the present box */
    struct buf moof;     /* what has come of a moof */
    bool in_moof, other; /* other: this is no MP4 */
    struct fmp4_scan_track tracks[FMP4_SCAN_TRACKS];
    int count;
    uint32_t fragments, holes, backs; /* all so far */
};

void fmp4_scan_init(struct fmp4_scan *s);
void fmp4_scan_fini(struct fmp4_scan *s);
/* A file begins, a segment or a part. */
void fmp4_scan_begin(struct fmp4_scan *s);
/* What comes next has nothing to do with what came before. */
void fmp4_scan_forget(struct fmp4_scan *s);
void fmp4_scan_feed(struct fmp4_scan *s, struct slice bytes);

#endif
