#ifndef SLUICE_TESTS_BENCH_HLS_LIST_H
#define SLUICE_TESTS_BENCH_HLS_LIST_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A playlist as anybody's server may write it (RFC 8216 and its second edition), read as far as a
 * player needs that decodes nothing.  Slices point into the text. */

struct hls_entry {
    bool is_part; /* else a whole segment, after its parts if they are listed */
    uint64_t msn;
    uint32_t part;
    struct slice uri;
    int64_t duration_us;
    bool independent; /* of parts: decoding may begin here */
    bool gap;
    bool discontinuity; /* before the segment that it belongs to */
};

struct hls_list {
    struct slice variant; /* the first variant's URI: this is a multivariant playlist */
    uint64_t first_msn;
    int64_t target_us, part_target_us, hold_back_us; /* part_target_us 0: no parts */
    bool can_block, ended;
    struct hls_entry *entries; /* in the order of time */
    size_t count;
};

/* 0 or ERR_PROTOCOL; in any case hls_list_free() follows. */
int hls_list_read(struct slice text, struct hls_list *out);
void hls_list_free(struct hls_list *l);

/* The segment, whole or with some parts, or NULL. */
const struct hls_entry *hls_list_segment(const struct hls_list *l, uint64_t msn);
const struct hls_entry *hls_list_part(const struct hls_list *l, uint64_t msn, uint32_t part);

/* Where a player begins that wants no more delay than it must: the msn. */
uint64_t hls_list_join(const struct hls_list *l);

#endif
