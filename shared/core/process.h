#ifndef SLUICE_CORE_PROCESS_H
#define SLUICE_CORE_PROCESS_H

#include <stdint.h>

/* Exit codes of the program (contract). */
enum exit_code { EXIT_DRAINED = 0, EXIT_FAILED = 1, EXIT_USAGE = 64, EXIT_CONFIG = 78 };

/* Ignores SIGPIPE, raises the descriptor limit to the hard limit, sets the thread's name. */
void process_setup(void);

/* The interfaces this program was written for, as loaded at run time: 0, or ERR_UNSUPPORTED with
 * *what naming the library that is too old.  (scripts/setup looks after the packages' security
 * versions.) */
int process_check_libraries(const char **what);

/* Resident memory in bytes, open descriptors, start in unix seconds: for metrics. */
int64_t process_rss_bytes(void);
int64_t process_open_fds(void);
int64_t process_start_unix_s(void);
/* Half of the machine's memory (or of the control group's limit, when lower). */
int64_t process_memory_default(void);

#endif
