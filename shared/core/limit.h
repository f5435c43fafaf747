#ifndef SLUICE_CORE_LIMIT_H
#define SLUICE_CORE_LIMIT_H

#include <stdint.h>

struct worker;

/*
 * What is refused, or ended, because a limit of this node was reached.  One row: name, setting,
 * help.  Each is a metric, sluice_limit_reached_total{setting="…"}, and a line `limit.reached
 * setting=… who=…`, of which there are at most LOG_LIMIT_PER_SECOND a second, worker and limit.
 */
#define LIMITS(X)                                                                                  \
    X(CONNECTIONS, "limits.connections")                                                           \
    X(ADDRESS, "limits.connections_per_address")                                                   \
    X(HALF_OPEN, "limits.half_open_per_address")                                                   \
    X(DESCRIPTORS, "limits.descriptors_reserve")                                                   \
    X(HANDSHAKE, "limits.handshake_ms")                                                            \
    X(REQUEST, "limits.request_ms")                                                                \
    X(UNACCEPTED, "limits.unaccepted_bytes")                                                       \
    X(STREAMS, "limits.streams")                                                                   \
    X(APP_STREAMS, "limits.publishers_per_app")                                                    \
    X(DERIVED_SOUNDS, "limits.derived_sounds")                                                     \
    X(DERIVED_VIDEOS, "limits.derived_videos")                                                     \
    X(LAG, "limits.loop_lag_ms")                                                                   \
    X(MEMORY, "limits.memory_bytes")                                                               \
    X(LOG_MEMORY, "stream.memory_bytes")                                                           \
    X(VIEWERS, "viewer.max")

enum limit {
#define X(name, setting) LIMIT_##name,
    LIMITS(X)
#undef X
        LIMIT_COUNT
};

const char *limit_setting(enum limit which);

/* Counts, and tells with `who` (an address, a stream) in the line.  On w's thread. */
void limit_reached(struct worker *w, enum limit which, const char *who);

/* limits.handshake_ms, limits.request_ms, limits.unaccepted_bytes; the defaults where a worker has
 * no configuration or one without them (tests). */
int64_t limit_handshake_ms(const struct worker *w);
int64_t limit_request_ms(const struct worker *w);
int64_t limit_unaccepted_bytes(const struct worker *w);

#define LIMIT_HANDSHAKE_MS     5000
#define LIMIT_REQUEST_MS       10000
#define LIMIT_UNACCEPTED_BYTES (256 * 1024)

#endif
