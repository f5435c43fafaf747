#include "base/must.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKTRACE_FRAMES_MAX 48

static void print_panic(const char *text, void *const *frames, int count)
{
    /* Not stdio: another thread may hold its lock, and this must get out. */
    if (write(STDERR_FILENO, "panic: ", 7) != 7 ||
        write(STDERR_FILENO, text, strlen(text)) != (ssize_t)strlen(text) ||
        write(STDERR_FILENO, "\n", 1) != 1)
        return;
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
}

static void (*panic_sink)(const char *text, void *const *frames, int count) = print_panic;

void panic_set_sink(void (*sink)(const char *text, void *const *frames, int count))
{
    panic_sink = sink != NULL ? sink : print_panic;
}

_Noreturn void panic(const char *format, ...)
{
    char text[512] = "";
    void *frames[BACKTRACE_FRAMES_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    panic_sink(text, frames, backtrace(frames, BACKTRACE_FRAMES_MAX));
    abort();
}
