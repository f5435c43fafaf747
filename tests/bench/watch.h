#ifndef SLUICE_TESTS_BENCH_WATCH_H
#define SLUICE_TESTS_BENCH_WATCH_H

#include "bench.h"
#include "client.h"
#include "mark.h"

/*
 * Players that are looked at while something happens to the servers: every message is read, and
 * what a person would notice is told as it happens, one JSON object a line.
 *
 *   framed   a first key frame        stall  video stood still, told when it goes on
 *   run      another session's frames hole   frames of a session are missing
 *   back     a time went back         stale  frames of a session that was over already
 *   closed   a connection ended       state  all of them, every WATCH_STATE_MS
 */

#define WATCH_STATE_MS    200
#define WATCH_STALL_MS    500 /* without a video frame */
#define WATCH_SESSIONS    16  /* that a viewer remembers */
#define WATCH_SCRATCH     (1024 * 1024)
#define WATCH_TICK_MS     50   /* a slow player reads this often */
#define WATCH_SLOW_RCVBUF 8192 /* bytes; a slow player's receive buffer */
#define WATCH_RETRY_MS    100  /* from a refusal to the next attempt */

struct watch_options {
    struct target targets[TARGETS_MAX];
    int target_count, viewers, rate, modulo;
    int64_t run_us, slow_bits; /* slow_bits: a second; 0: as they come */
    bool again;
};

struct watch_viewer {
    struct watch *watch;
    struct client client;
    int fd, number, attempts;
    bool connecting;
    int64_t connect_us, again_us;
    int64_t frame_us;      /* the last video frame came, 0 before the first key frame */
    uint32_t newest_ms[2]; /* timestamps of video and audio */
    bool timed[2];
    struct mark mark;              /* of the last video frame */
    uint32_t over[WATCH_SESSIONS]; /* sessions that were seen before the present one */
    int over_count;
    int configs;    /* video configurations since the last frame */
    int64_t gap_us; /* longest time between two video frames */
};

struct watch_counts {
    uint64_t frames, opened, closed, refused, back, holes, lost_frames, stale, runs, stalls,
        keyless;
};

struct watch {
    struct watch_options options;
    struct watch_viewer *viewers;
    int epoll, signals, started;
    bool stopped;
    int64_t begin_us, state_us, tick_us;
    uint8_t *scratch;
    struct watch_counts counts;
};

/* Begins a connection; what went wrong comes as `closed`. */
void watch_viewer_start(struct watch_viewer *v);
/* Something happened to its socket. */
void watch_viewer_event(struct watch_viewer *v);
/* A slow player reads its share of a tick. */
void watch_viewer_tick(struct watch_viewer *v);
/* Frees what it has. */
void watch_viewer_close(struct watch_viewer *v);

#endif
