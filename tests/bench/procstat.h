#ifndef SLUICE_TESTS_BENCH_PROCSTAT_H
#define SLUICE_TESTS_BENCH_PROCSTAT_H

#include <stdint.h>
#include <sys/types.h>

/* What the kernel says about processes (proc(5)). */
struct procstat {
    double user_s, system_s; /* processor time, all threads */
    int64_t rss_kib;
};

/* All zero when there is no such process. */
struct procstat procstat_read(pid_t pid);

/* Adds b to *a. */
void procstat_add(struct procstat *a, struct procstat b);

/* Memory of all TCP sockets of the machine, KiB. */
int64_t procstat_tcp_kib(void);

#endif
