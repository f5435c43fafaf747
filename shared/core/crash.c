#include "core/crash.h"

#include "base/must.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CRASH_FRAMES_MAX 48
#define CRASH_TELL_S     3 /* a report that hangs (a lock that the fault left behind) ends here */

const int crash_signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
const size_t crash_signal_count = sizeof crash_signals / sizeof crash_signals[0];

static const struct log_id crash_log = {"panic", -1, 0};

void crash_place(char out[CRASH_PLACE_MAX], const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        snprintf(out, CRASH_PLACE_MAX, "%p", address);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    snprintf(out, CRASH_PLACE_MAX, "%.64s+0x%zx", slash != NULL ? slash + 1 : info.dli_fname,
             (size_t)((uintptr_t)address - (uintptr_t)info.dli_fbase));
}

void crash_log_frames(const struct log_id *id, void *const *frames, int count)
{
    char place[CRASH_PLACE_MAX];
    for (int i = 0; i < count; i++) {
        crash_place(place, frames[i]);
        log_error(id, "process.panic_frame n=%d at=%s", i, place);
    }
}

static void log_panic(const char *text, void *const *frames, int count)
{
    log_error(&crash_log, "process.panic what=\"%s\"", text);
    crash_log_frames(&crash_log, frames, count);
    /* It has been told: our handler of what follows would tell it once more. */
    signal(SIGABRT, SIG_DFL);
}

/* The signal has been set to its default by SA_RESETHAND: raised again, or the fault repeated, it
 * ends the process with a core of this thread. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
    char text[80];
    void *frames[CRASH_FRAMES_MAX];
    alarm(CRASH_TELL_S);
    snprintf(text, sizeof text, "signal %d at %p", sig, sig == SIGABRT ? NULL : info->si_addr);
    log_panic(text, frames, backtrace(frames, CRASH_FRAMES_MAX));
    raise(sig);
}

void crash_setup(void)
{
    void *frame;
    struct sigaction action = {.sa_sigaction = on_crash,
                               .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
    panic_set_sink(log_panic);
    backtrace(&frame, 1); /* the first call loads the unwinder, which allocates */
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < crash_signal_count; i++)
        if (!CRASH_SANITIZED || crash_signals[i] == SIGABRT)
            sigaction(crash_signals[i], &action, NULL);
}
