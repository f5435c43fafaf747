#ifndef SLUICE_EDGE_NEGATIVE_H
#define SLUICE_EDGE_NEGATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names that were not found a moment ago.  Bounded by time and number; of one worker. */
struct negative;

struct negative *negative_new(size_t max, int64_t keep_us);
void negative_free(struct negative **np);
void negative_put(struct negative *n, const char *name, int64_t now_us);
/* *until_us is when it may be asked again. */
bool negative_has(struct negative *n, const char *name, int64_t now_us, int64_t *until_us);

#endif
