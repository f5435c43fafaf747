#ifndef SLUICE_TESTS_BENCH_WHEP_H
#define SLUICE_TESTS_BENCH_WHEP_H

#include "procstat.h"
#include "whep_player.h"

/* A load of WebRTC players for the measurement beside this (`webrtc`). */
struct whep_one {
    struct whep_player player;
    uint64_t missing_before; /* the window */
    bool gone;               /* refused */
};

struct whep_options {
    struct target target;
    int players, rate;  /* started a second */
    unsigned open_each; /* packet of a player; 0: none */
    int64_t window_us, rest_us;
    pid_t pid; /* of the server; 0: none */
    const char *label;
};

struct whep_moment {
    int64_t at_us;
    uint64_t packets, bytes;
    struct procstat server, self;
};

struct whep_load {
    struct whep_options options;
    struct whep_crew crew;
    struct whep_one *players;
    int epoll, started, framed, gone;
    int64_t looked_us;
    struct whep_moment begin, from, to;
};

/* A line of JSON. */
void whep_report(const struct whep_load *l);

#endif
