#ifndef SLUICE_TESTS_BENCH_H
#define SLUICE_TESTS_BENCH_H

#include <stdint.h>

/*
 * sluice-bench: viewers and publishers for any server, and the bare system calls they are measured
 * against.  What is JSON has one object a line, with times in monotonic microseconds, which all
 * processes of a machine share.
 */

#define BENCH_SECONDS_MAX 86400 /* of measuring, whatever was asked for */
#define BENCH_PEERS_MAX   20000 /* connections of one process */
#define BENCH_EVENTS      512   /* taken from epoll at once */

/* Exit codes. */
enum { BENCH_OK = 0, BENCH_FAILED = 1, BENCH_USAGE = 64 };

/* The commands: argv[0] is the command's name. */
int publish_main(int argc, char **argv);
int play_main(int argc, char **argv);
int bare_main(int argc, char **argv);
int watch_main(int argc, char **argv);
int hold_main(int argc, char **argv);
int parts_main(int argc, char **argv);
int whep_main(int argc, char **argv);
int whep_bare_main(int argc, char **argv);

/* A number of an option, from min to max; the program ends with BENCH_USAGE when it is none. */
int64_t bench_number(const char *text, int64_t min, int64_t max);

#endif
