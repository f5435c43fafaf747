#ifndef SLUICE_MEDIA_RUN_ORIGIN_H
#define SLUICE_MEDIA_RUN_ORIGIN_H

#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What a replica's upstream said of a run besides its frames: who owns it, and which nodes it
 * came through.  Immutable and counted, so any thread may hold it.  A run that
 * is filled by a local publisher has none.
 */
struct run_origin {
    atomic_uint refs;
    uint64_t instance; /* of the process that owns the run: order is (epoch, instance) */
    char path[];       /* node ids from the owner to our upstream, comma separated */
};

/* Held once; the path is copied. */
struct run_origin *run_origin_new(uint64_t instance, struct slice path);
struct run_origin *run_origin_ref(struct run_origin *o); /* NULL stays NULL */
void run_origin_unref(struct run_origin **op);
bool run_origin_equal(const struct run_origin *a, const struct run_origin *b);

#endif
