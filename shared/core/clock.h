#ifndef SLUICE_CORE_CLOCK_H
#define SLUICE_CORE_CLOCK_H

#include <stdint.h>

/* Monotonic microseconds: every timer and time-out. */
int64_t clock_us(void);

/* Unix microseconds: only for epochs, program date-time, request signatures and log lines. */
int64_t clock_wall_us(void);

/* Processor time the calling thread has used, microseconds. */
int64_t clock_thread_cpu_us(void);

#endif
