/* The command line of sluice-bench. */
#include "bench.h"

#include "base/slice.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char help[] =
    "usage: sluice-bench load -u URL [-n N] [-t S] [-r RATE] [-w S] [-P PID]... [-m M] [-c] [-e]\n"
    "       sluice-bench publish -u URL... -f FILE... [-n N] [-t S] [-r RATE] [-l S] [-M N] [-R] "
    "[-a "
    "MS] [-e]\n"
    "       sluice-bench watch -u URL... [-n N] [-t S] [-r RATE] [-m M] [-b KBIT] [-R]\n"
    "       sluice-bench bare -f FILE [-n N] [-t S] [-k MS]\n"
    "       sluice-bench hold -u PLAYLIST|-B BYTES [-n N] [-k ROUNDS] [-P PID] [-z]\n"
    "       sluice-bench parts -u PLAYLIST [-n STREAMS] [-k PARTS]\n"
    "\n"
    "  URL    rtmp://IP:PORT/APP/STREAM, load also http://IP:PORT/APP/STREAM.flv; %d in it is the\n"
    "         number of the player or publisher, with -m M counted modulo M\n"
    "  -n N   how many          -t S  seconds to measure (load -c, publish: to live at most)\n"
    "  -r R   started a second  -w S  seconds of rest between the last first frame and measuring\n"
    "  -P PID a server whose processor time and memory are reported\n"
    "  -c     a player leaves after its first frame\n"
    "  -l S   a publisher leaves after so long\n"
    "  -e     print a line for each player or publisher that gets going\n"
    "  -R     whose connection breaks goes to the next URL at once; SIGUSR1: all go\n"
    "  -a MS  pause after a refusal\n"
    "  -M N   video frames end with a mark (mark.h); N is the first connection's session\n"
    "  -T     as -M, and the mark says when the frame was sent\n"
    "  -B N   bytes of an answer that the bare calls send      -z  players take gzip\n"
    "  -b K   a player reads K kbit/s only\n"
    "  -k MS  merge writes for so long; 0: one write per message\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {{"load", load_main},   {"publish", publish_main}, {"bare", bare_main},
                {"watch", watch_main}, {"hold", hold_main},       {"parts", parts_main}};

static int usage(void)
{
    fputs(help, stderr);
    return BENCH_USAGE;
}

int64_t bench_number(const char *text, int64_t min, int64_t max)
{
    uint64_t v = 0;
    if (slice_u64(slice_text(text), (uint64_t)max, &v) == 0 && (int64_t)v >= min)
        return (int64_t)v;
    fprintf(stderr, "sluice-bench: not a number from %lld to %lld: %s\n", (long long)min,
            (long long)max, text);
    exit(usage());
}

int main(int argc, char **argv)
{
    const struct rlimit files = {BENCH_PEERS_MAX + 64, BENCH_PEERS_MAX + 64};
    (void)setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        int code = commands[i].run(argc - 1, argv + 1);
        return code == BENCH_USAGE ? usage() : code;
    }
    return usage();
}
