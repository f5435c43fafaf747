#ifndef SLUICE_ADMIN_WWW_INTERNAL_H
#define SLUICE_ADMIN_WWW_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* A file of www/, and the same by gzip (or as it is, where the build had no gzip). */
struct www_file {
    const char *name, *type;
    const uint8_t *begin, *end, *packed, *packed_end;
};

extern const struct www_file www_files[];
extern const size_t www_file_count;

#endif
