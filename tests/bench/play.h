#ifndef SLUICE_TESTS_BENCH_PLAY_H
#define SLUICE_TESTS_BENCH_PLAY_H

#include "bench.h"
#include "link.h"
#include "mark.h"
#include "options.h"
#include "procstat.h"

#include <stdatomic.h>

/*
 * Many viewers of one server, by any protocol, in one or more processes of one thread each.
 *
 *   the first process ──fork──▶ viewers' processes: play_process()
 *        ▲  progress, report        │ protocol->open, event, tick
 *        └──── struct viewer_stats ◀┘ (shared memory, written by the viewer's process only)
 *
 * The run has phases, which the first process sets: viewers join at a rate, all of them rest, the
 * window is measured, the end.
 */

#define PLAY_PROCESSES_MAX 64
#define PLAY_LATENCY_SLOTS 10000 /* of a millisecond each; the last is for all that is longer */
#define PLAY_STEP_MS       1000  /* a timestamp that leaps further is a gap */
#define PLAY_TICK_MS       5     /* between two calls of a protocol's tick */
#define PLAY_WHY_MAX       96    /* bytes of what the first viewer that failed was told */

enum play_phase { PLAY_JOIN, PLAY_REST, PLAY_MEASURE, PLAY_END };

enum viewer_state {
    VIEWER_WAITING, /* its turn has not come */
    VIEWER_CONNECTING,
    VIEWER_OPEN,
    VIEWER_GONE,
};

/* What is known of one viewer; times by clock_us(), 0: not yet. */
struct viewer_stats {
    int64_t connect_us, open_us;  /* connecting was begun, and done */
    int64_t media_us, frame_us;   /* first media of any kind, first whole key frame */
    int64_t last_us, gap_us;      /* bytes came last; longest silence in the window */
    uint64_t bytes, bytes_before; /* all, and those before the window */
    uint32_t stalls;              /* silences of --stall-ms, or a player's buffer that ran empty */
    uint32_t holes, lost_frames;  /* steps in what should be continuous, and what is known lost */
    uint32_t backs;               /* timestamps that go back */
    uint8_t state;                /* enum viewer_state */
};

/* Of all viewers of one process. */
struct play_tally {
    uint32_t latency[PLAY_LATENCY_SLOTS];
    char why[PLAY_WHY_MAX]; /* "" while no viewer failed */
};

struct play_shared {
    _Atomic int phase; /* enum play_phase */
    struct play_tally tallies[PLAY_PROCESSES_MAX];
    struct viewer_stats stats[];
};

struct play_protocol;
struct whep_crew;

struct play_options {
    const char *url;
    struct target target;
    const struct play_protocol *protocol;
    int viewers, rate, modulo, processes;
    int64_t window_us, rest_us, stall_us;
    bool leave, events, unchecked, json, quiet, insecure;
    const char *protocol_name; /* NULL: as the URL says */
    const char *label;
    struct option_list pid_texts;
    int pids[OPTION_LIST_MAX];
    int pid_count;
};

struct play_moment {
    int64_t at_us, tcp_kib;
    uint64_t bytes;
    int gone;
    struct procstat server, self;
};

struct play {
    struct play_options options;
    struct play_shared *shared;
    pid_t children[PLAY_PROCESSES_MAX];
    struct play_moment begin, from, to; /* before the first viewer; the window */
    /* Of a viewers' process. */
    int process;
    int epoll;        /* of those who join, whose times are taken, and of `playing` */
    int playing;      /* another one: of streams that have begun; a few events at a time */
    uint8_t *scratch; /* PLAY_SCRATCH_BYTES that nobody keeps */
    SSL_CTX *tls;
    struct whep_crew *whep; /* play_whep.c's; NULL until it is needed */
};
#define PLAY_SCRATCH_BYTES (1024 * 1024)

/* What every viewer begins with. */
struct viewer {
    struct play *play;
    struct viewer_stats *stats;
    int number; /* also in the place of %d in the URL, modulo --streams */
};

/*
 * A way to play.  open() begins a connection and hands its sockets to play->epoll with the viewer
 * as data.ptr; event() is called for each of them, tick() every PLAY_TICK_MS.  A negative result
 * ends the viewer, and close() is called once for each that was opened.
 */
struct play_protocol {
    const char *name;
    bool (*matches)(const char *url);
    size_t viewer_size; /* of its own struct, the first member of which is struct viewer */
    int (*open)(struct viewer *v);
    int (*event)(struct viewer *v, uint32_t events);
    int (*tick)(struct viewer *v, int64_t now_us); /* NULL: nothing to do without bytes */
    void (*close)(struct viewer *v);
    bool has_sessions; /* outlive their connection: viewers are closed one by one at the end */
};

extern const struct play_protocol play_rtmp, play_flv, play_hls, play_whep;

/* The numbers of the stream that a viewer plays. */
int viewer_stream(const struct viewer *v);

/* What protocols tell: connected; so many bytes came; media; a whole key frame. */
void viewer_opened(struct viewer *v);
int64_t viewer_bytes(struct viewer *v, size_t len, int64_t now_us); /* since the last, or 0 */
void viewer_media(struct viewer *v);
void viewer_framed(struct viewer *v);
/* A mark that says when the frame was sent (mark.h). */
void viewer_latency(struct viewer *v, uint32_t sent_us);
/* Something is missing, `lost` frames of it as far as is known. */
void viewer_hole(struct viewer *v, uint32_t lost);
/* Why it ends, told once in a process. */
void viewer_why(struct viewer *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A connection to the target, the events of which come to the viewer; 0 or negative. */
int viewer_connect(struct viewer *v, struct link *l);
/* After an event, as link_event(); the viewer is open when the link is. */
int viewer_link(struct viewer *v, struct link *l);

/* The body of a viewers' process: all viewers whose number is `process` modulo the processes. */
_Noreturn void play_process(struct play *p, int process);

/* Sums, for progress and report. */
struct play_sum {
    int started, open, framed, gone;
    uint64_t bytes, stalls, holes, lost_frames, backs;
};
struct play_sum play_sum(const struct play *p);
void play_progress(const struct play *p, const char *what);
void play_report(const struct play *p);

#endif
