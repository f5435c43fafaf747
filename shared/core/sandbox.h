#ifndef SLUICE_CORE_SANDBOX_H
#define SLUICE_CORE_SANDBOX_H

#include "core/logline.h"

#include <stdbool.h>

/*
 * The system calls of this process, as the kernel lets them through (seccomp, by libseccomp):
 *
 *   what the server and its libraries use    as ever
 *   execve, fork, ptrace, mount and their like    the process is killed (SIGSYS), with a core
 *   everything else                          EPERM, and a line in the kernel's audit log
 *
 * So a library that calls something new after an update fails at that and no more, while what only
 * an attacker would call ends him.  Threads yes, processes no.
 */

/* Closes the sandbox for all threads, for good.  False, logged (`process.seccomp_off why=`), where
 * the kernel has none or the build is with a sanitizer, whose leak checker traces its own process.
 */
bool sandbox_enter(const struct log_id *log);

#endif
