#ifndef SLUICE_CORE_PROCESS_H
#define SLUICE_CORE_PROCESS_H

#include <pthread.h>
#include <stdint.h>

/* Exit codes of the program (contract). */
enum exit_code { EXIT_DRAINED = 0, EXIT_FAILED = 1, EXIT_USAGE = 64, EXIT_CONFIG = 78 };

/* Ignores SIGPIPE, raises the limits of descriptors and of core files to their hard limits, tells
 * crashes (core/crash.h), sets the thread's name. */
void process_setup(void);

/* A thread beside the workers, which takes no signals but its own faults.  0 or ERR_IO. */
int process_start_thread(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg);

/* The interfaces this program was written for, as loaded at run time: 0, or ERR_UNSUPPORTED with
 * *what naming the library that is too old.  (scripts/setup looks after the packages' security
 * versions.) */
int process_check_libraries(const char **what);

/* Resident memory in bytes, open descriptors, start in unix seconds: for metrics. */
int64_t process_rss_bytes(void);
int64_t process_open_fds(void);
int64_t process_start_unix_s(void);
/* The machine's memory, or its control group's limit when that is lower. */
int64_t process_memory_limit(void);

#endif
