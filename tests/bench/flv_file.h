#ifndef SLUICE_TESTS_BENCH_FLV_FILE_H
#define SLUICE_TESTS_BENCH_FLV_FILE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The audio and video of an FLV file, or of fragmented MP4, to be played over and over. */
struct flv_entry {
    uint8_t type; /* enum flv_tag_type */
    bool config;  /* sent in the first round only */
    uint32_t timestamp_ms;
    struct slice body;
};

struct flv_file {
    uint8_t *bytes;
    struct flv_entry *entries;
    size_t count;
    bool begun;        /* a key frame was there */
    uint32_t first_ms; /* its timestamp in the file; here it is 0 */
    uint32_t round_ms; /* from one round's first timestamp to the next one's */
};

/* 0, ERR_IO, ERR_PROTOCOL when it is no such file or holds no key frame, or ERR_UNSUPPORTED when it
 * is MP4 without fragments or with other codecs. */
int flv_file_open(struct flv_file *f, const char *path);
void flv_file_close(struct flv_file *f);

/* A place in the endless sequence of rounds; starts as all zero. */
struct flv_place {
    size_t index;
    int64_t round;
};

/* The entry there. */
const struct flv_entry *flv_file_at(const struct flv_file *f, const struct flv_place *at);
/* When it is due, milliseconds after the first one. */
int64_t flv_file_due_ms(const struct flv_file *f, const struct flv_place *at);
void flv_file_next(const struct flv_file *f, struct flv_place *at);

#endif
