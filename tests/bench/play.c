/* `sluice-bench play`: its options, its phases. */
#include "play.h"

#include "core/clock.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS     20   /* between two looks at the viewers while they join */
#define PROGRESS_MS 1000 /* between two lines */
#define JOINED_MS                                                                                  \
    10000              /* first frames that are not there so long after the last join do not come */
#define FILES_SPARE 32 /* descriptors of a process that are not viewers' */

/* The first that the URL fits; --protocol has their names here. */
static const struct {
    const char *name;
    const struct play_protocol *protocol;
} protocols[] = {
    {"rtmp", &play_rtmp}, {"hls", &play_hls}, {"whep", &play_whep}, {"flv", &play_flv}};

#define AT(member) offsetof(struct play_options, member)
static const struct option_row rows[] = {
    {"viewers", 'n', OPTION_INT, AT(viewers), 1, BENCH_PEERS_MAX, "N", "how many (1)"},
    {"rate", 'r', OPTION_INT, AT(rate), 1, 100000, "N", "that join each second (500)"},
    {"seconds", 't', OPTION_SECONDS, AT(window_us), 1, BENCH_SECONDS_MAX, "S",
     "that are measured, once all have joined (10)"},
    {"rest", 'w', OPTION_SECONDS, AT(rest_us), 0, BENCH_SECONDS_MAX, "S",
     "from the last first frame until then (3)"},
    {"processes", 0, OPTION_INT, AT(processes), 1, PLAY_PROCESSES_MAX, "N",
     "that share the viewers, one per core at most makes sense (1)"},
    {"streams", 'm', OPTION_INT, AT(modulo), 1, BENCH_PEERS_MAX, "M",
     "%d in the URL is the viewer's number modulo M"},
    {"pid", 'P', OPTION_LIST, AT(pid_texts), 0, 0, "PID",
     "a process of the server on this machine: its processor time and memory; repeatable"},
    {"stall-ms", 0, OPTION_MS, AT(stall_us), 1, 60000, "MS", "of silence that are a stall (1000)"},
    {"protocol", 0, OPTION_TEXT, AT(protocol_name), 0, 0, "NAME",
     "rtmp, flv, hls or whep, where the URL does not say it"},
    {"insecure", 'k', OPTION_FLAG, AT(insecure), 0, 0, NULL,
     "TLS: whoever answers is right; otherwise certificates are checked"},
    {"no-check", 0, OPTION_FLAG, AT(unchecked), 0, 0, NULL,
     "discard media unread (RTMP, FLV: in the kernel); no gaps, no latency; WHEP: open no packet"},
    {"leave", 'c', OPTION_FLAG, AT(leave), 0, 0, NULL, "a viewer leaves after its first key frame"},
    {"events", 'e', OPTION_FLAG, AT(events), 0, 0, NULL, "a JSON line for each first frame"},
    {"label", 'L', OPTION_TEXT, AT(label), 0, 0, "TEXT", "goes into the JSON"},
    {"json", 'j', OPTION_FLAG, AT(json), 0, 0, NULL, "the report as one JSON object"},
    {"quiet", 'q', OPTION_FLAG, AT(quiet), 0, 0, NULL, "no progress on stderr"},
};

static const struct option_command command = {
    .name = "play",
    .words = "URL",
    .about = "Plays a stream with many viewers that decode nothing, and tells what a viewer would "
             "notice\n"
             "and what it costs the server.  The URL decides how:\n\n"
             "  rtmp://HOST[:1935]/APP/STREAM          RTMP; rtmps:// with TLS\n"
             "  http://HOST[:80]/APP/STREAM.flv        HTTP-FLV\n"
             "  http://HOST[:80]/PATH.m3u8             HLS; LL-HLS where the playlist lists parts\n"
             "  http://HOST[:80]/PATH/whep             WebRTC, by WHEP; all of HTTP: https:// with "
             "TLS\n",
    .words_min = 1,
    .words_max = 1,
    .rows = rows,
    .row_count = sizeof rows / sizeof rows[0]};

/* ---- the run ---- */

static struct play_moment moment(const struct play *p)
{
    const struct play_sum sum = play_sum(p);
    struct play_moment m = {
        .at_us = clock_us(), .bytes = sum.bytes, .gone = sum.gone, .tcp_kib = procstat_tcp_kib()};
    for (int i = 0; i < p->options.processes; i++)
        procstat_add(&m.self, procstat_read(p->children[i]));
    for (int i = 0; i < p->options.pid_count; i++)
        procstat_add(&m.server, procstat_read(p->options.pids[i]));
    return m;
}

/* What ends a wait before its time. */
struct wait {
    bool stopped; /* SIGINT, SIGTERM */
    int ended;    /* processes of viewers */
    int64_t progress_us;
};

static void reap(struct wait *w)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        w->ended++;
}

static void nap(const struct play *p, struct wait *w, int64_t until_us, const char *what)
{
    int64_t now_us = clock_us(), left_us = until_us - now_us;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    if (!p->options.quiet && now_us >= w->progress_us) {
        w->progress_us = now_us + PROGRESS_MS * 1000;
        play_progress(p, what);
    }
    if (left_us > PROGRESS_MS * 1000)
        left_us = PROGRESS_MS * 1000;
    const struct timespec t = {left_us / 1000000, left_us % 1000000 * 1000};
    int signal = left_us > 0 ? sigtimedwait(&set, NULL, &t) : -1;
    if (signal == SIGCHLD)
        reap(w);
    else if (signal > 0)
        w->stopped = true;
}

static bool over(const struct play *p, const struct wait *w)
{
    return w->stopped || w->ended == p->options.processes;
}

static void wait_until(const struct play *p, struct wait *w, int64_t until_us, const char *what)
{
    while (!over(p, w) && clock_us() < until_us)
        nap(p, w, until_us, what);
}

static void wait_for_frames(const struct play *p, struct wait *w)
{
    const struct play_options *o = &p->options;
    int64_t until_us = p->begin.at_us + (int64_t)o->viewers * 1000000 / o->rate + JOINED_MS * 1000;
    while (!over(p, w) && clock_us() < until_us) {
        const struct play_sum sum = play_sum(p);
        if (sum.framed + sum.gone >= o->viewers)
            return;
        nap(p, w, clock_us() + LOOK_MS * 1000, "joining");
    }
}

static void run(struct play *p)
{
    struct wait w = {0};
    if (p->options.leave) {
        wait_until(p, &w, p->begin.at_us + p->options.window_us, "joining");
    } else {
        wait_for_frames(p, &w);
        atomic_store(&p->shared->phase, PLAY_REST);
        wait_until(p, &w, clock_us() + p->options.rest_us, "resting");
        p->from = moment(p);
        atomic_store(&p->shared->phase, PLAY_MEASURE);
        wait_until(p, &w, p->from.at_us + p->options.window_us, "measuring");
    }
    p->to = moment(p);
    if (!p->options.quiet && isatty(STDERR_FILENO))
        fputc('\n', stderr);
}

/* The viewers keep what they said; then nobody is left. */
static void stop(struct play *p)
{
    atomic_store(&p->shared->phase, PLAY_END);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

static void start(struct play *p)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fflush(stdout);
    p->begin = p->from = moment(p);
    for (int i = 0; i < p->options.processes; i++) {
        p->children[i] = fork();
        if (p->children[i] == 0)
            play_process(p, i);
        if (p->children[i] < 0) {
            perror("sluice-bench: fork");
            exit(BENCH_FAILED);
        }
    }
}

/* ---- options ---- */

static const struct play_protocol *protocol_of(const struct play_options *o)
{
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++)
        if (o->protocol_name != NULL ? strcmp(o->protocol_name, protocols[i].name) == 0
                                     : protocols[i].protocol->matches(o->url))
            return protocols[i].protocol;
    options_refuse(&command, "no such protocol", o->protocol_name);
}

static void check_files(const struct play_options *o)
{
    struct rlimit files;
    char text[64];
    uint64_t wanted = (uint64_t)((o->viewers + o->processes - 1) / o->processes) + FILES_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= wanted)
        return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)files.rlim_cur);
    options_refuse(&command,
                   "too many viewers for a process that may have so many files open "
                   "(ulimit -n, or more --processes)",
                   text);
}

static void read_options(struct play_options *o, int argc, char **argv)
{
    struct option_list words;
    options_read(&command, argc, argv, o, &words);
    o->url = words.values[0];
    options_target(&command, o->url, &o->target);
    o->protocol = protocol_of(o);
    if (o->target.http == (o->protocol == &play_rtmp))
        options_refuse(&command, "this protocol has other URLs", o->url);
    o->pid_count = options_pids(&command, &o->pid_texts, o->pids);
    if (o->processes > o->viewers)
        o->processes = o->viewers;
    check_files(o);
}

int play_main(int argc, char **argv)
{
    struct play p = {.options = {.viewers = 1,
                                 .modulo = BENCH_PEERS_MAX,
                                 .rate = 500,
                                 .rest_us = 3 * 1000000,
                                 .window_us = 10 * 1000000,
                                 .stall_us = 1000000,
                                 .processes = 1,
                                 .label = ""}};
    read_options(&p.options, argc, argv);
    size_t size = sizeof *p.shared + (size_t)p.options.viewers * sizeof p.shared->stats[0];
    p.shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p.shared == MAP_FAILED) {
        perror("sluice-bench: mmap");
        return BENCH_FAILED;
    }
    if (p.options.target.tls)
        p.tls = link_tls_new(p.options.insecure);
    start(&p);
    run(&p);
    stop(&p);
    play_report(&p);
    bool played = play_sum(&p).framed > 0;
    SSL_CTX_free(p.tls);
    munmap(p.shared, size);
    return played ? BENCH_OK : BENCH_FAILED;
}
