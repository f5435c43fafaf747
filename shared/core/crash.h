#ifndef SLUICE_CORE_CRASH_H
#define SLUICE_CORE_CRASH_H

#include "core/logline.h"

#include <stddef.h>

/*
 * What is told before the process dies: a broken promise (must), a fault (SIGSEGV and its like), an
 * abort of a library.  One line `process.panic what="…"` and one `process.panic_frame n= at=` for
 * each frame, in the log's format, then the signal's own end, with a core where the system keeps
 * one.  Addresses are FILE+0xOFFSET, which `addr2line -Cfie FILE 0xOFFSET` reads.
 */

/* True in a build with a sanitizer, which reports faults itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRASH_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CRASH_SANITIZED 1
#endif
#endif
#ifndef CRASH_SANITIZED
#define CRASH_SANITIZED 0
#endif

/* Room of crash_place(). */
#define CRASH_PLACE_MAX 96

/* Handlers for faults and abort(), and panic()'s way into the log.  Before any thread starts.
 * Sanitizers keep the signals that they report themselves. */
void crash_setup(void);

/* "sluice+0x1f2e3" for a code address; calls nothing that allocates. */
void crash_place(char out[CRASH_PLACE_MAX], const void *address);

/* One line for each frame: `process.panic_frame`. */
void crash_log_frames(const struct log_id *id, void *const *frames, int count);

/* The faults that crash_setup() handles: a thread must not block them. */
extern const int crash_signals[];
extern const size_t crash_signal_count;

#endif
