#ifndef SLUICE_TESTS_BENCH_LOAD_H
#define SLUICE_TESTS_BENCH_LOAD_H

#include "bench.h"
#include "client.h"
#include "procstat.h"

/*
 * N players on one thread.  Each is parsed up to its first key frame, then its bytes are discarded
 * in the kernel, so that the load costs little beside the server.
 */

#define LOAD_PIDS_MAX   16
#define LOAD_LABEL_MAX  64
#define LOAD_STARTED_MS 10000 /* the first frames that are not there by then do not come */

struct load_options {
    struct target target;
    int players, modulo, rate;
    int64_t window_us, rest_us;
    bool leave, events;
    const char *label;
    pid_t pids[LOAD_PIDS_MAX];
    int pid_count;
};

struct player {
    struct load *load;
    struct client client;
    int fd, number;
    bool connecting, discarding;
    int64_t connect_us;           /* when the connection was begun */
    int64_t media_us;             /* first audio or video message, 0 before */
    int64_t frame_us;             /* first whole key frame, 0 before */
    int64_t last_us;              /* bytes came last */
    int64_t gap_us;               /* longest time without bytes in the window */
    uint64_t bytes, bytes_before; /* all, and those before the window */
};

struct load_moment {
    int64_t at_us;
    uint64_t bytes;
    int gone;
    int64_t tcp_kib;
    struct procstat server, self;
};

struct load {
    struct load_options options;
    struct player *players;
    int epoll, started, framed, gone;
    uint64_t bytes;
    uint8_t *scratch;
    struct load_moment begin, from, to; /* before the first player; the window */
};

/* The result as one JSON object. */
void load_report(const struct load *l);

#endif
