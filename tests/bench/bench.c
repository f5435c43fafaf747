/* The commands of sluice-bench. */
#include "bench.h"

#include "base/slice.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char help[] =
    "usage: sluice-bench COMMAND ...\n"
    "\n"
    "Loads a live-media server (any, not only sluice) and tells what its viewers would notice.\n"
    "\n"
    "  publish URL FILE   streams a file in real time, over and over, on many connections\n"
    "  play URL           plays a stream with many viewers: RTMP, HTTP-FLV, HLS, WHEP\n"
    "\n"
    "Each has --help.  For example, against a server on this machine:\n"
    "\n"
    "  sluice-bench publish rtmp://127.0.0.1/live/cam1 film.flv --mark --seconds 60 &\n"
    "  sluice-bench play rtmp://127.0.0.1/live/cam1 --viewers 1000 --rate 200 --seconds 20\n"
    "\n"
    "For the measurements in sluice's tests/bench there are also:\n"
    "\n"
    "  bare -f FILE [-n N] [-t S] [-k MS] [-r]\n"
    "         the bare system calls: one sendmsg to each of N sockets, merged for MS (0: one per\n"
    "         message); -r: N streams, recv and send\n"
    "  watch -u URL... [-n N] [-t S] [-r RATE] [-m M] [-b KBIT] [-R]\n"
    "         players that tell as it happens what they notice; -b: read so slowly; -R: whose\n"
    "         connection breaks goes to the next URL\n"
    "  hold -u PLAYLIST|-B BYTES [-n N] [-k ROUNDS] [-P PID] [-z]\n"
    "         N players that wait for the same HLS part; -B: bare calls of that size; -z: gzip\n"
    "  parts -u PLAYLIST [-n STREAMS] [-k PARTS]\n"
    "         how soon parts are there after the frames that end them (publish --mark)\n"
    "  whep -u http://HOST:PORT/APP/STREAM [-n N] [-t S] [-r RATE] [-w S] [-P PID] [-k K] [-L "
    "NAME]\n"
    "         N WebRTC players, RATE of them a second; measured for S seconds after a rest; -k:\n"
    "         every k-th packet is opened, 0: none (numbers are looked at in all of them)\n"
    "  whep-bare -m own|libsrtp|libsrtp-gcm [-n N] [-t S]\n"
    "         the bare calls for so many: sealed, and sent by sendmmsg with GSO, or by sendto\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {{"publish", publish_main}, {"play", play_main},          {"bare", bare_main},
                {"watch", watch_main},     {"hold", hold_main},          {"parts", parts_main},
                {"whep", whep_main},       {"whep-bare", whep_bare_main}};

static int usage(FILE *to)
{
    fputs(help, to);
    return to == stdout ? BENCH_OK : BENCH_USAGE;
}

int64_t bench_number(const char *text, int64_t min, int64_t max)
{
    uint64_t v = 0;
    if (slice_u64(slice_text(text), (uint64_t)max, &v) == 0 && (int64_t)v >= min)
        return (int64_t)v;
    fprintf(stderr, "sluice-bench: not a number from %lld to %lld: %s\n", (long long)min,
            (long long)max, text);
    exit(BENCH_USAGE);
}

/* As many files as we may have. */
static void raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    raise_files();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        int code = commands[i].run(argc - 1, argv + 1);
        return code == BENCH_USAGE ? usage(stderr) : code;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
        return usage(stdout);
    if (argc > 1)
        fprintf(stderr, "sluice-bench: no such command: %s\n\n", argv[1]);
    return usage(stderr);
}
