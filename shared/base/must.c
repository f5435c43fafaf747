#include "base/must.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKTRACE_FRAMES_MAX 48

_Noreturn void panic(const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text - 1, format, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n > sizeof text - 2)
        n = (int)sizeof text - 2;
    text[n++] = '\n';
    /* Not stdio: another thread may hold its lock, and this must get out. */
    if (write(STDERR_FILENO, "panic: ", 7) != 7 || write(STDERR_FILENO, text, (size_t)n) != n)
        abort();
    void *frames[BACKTRACE_FRAMES_MAX];
    backtrace_symbols_fd(frames, backtrace(frames, BACKTRACE_FRAMES_MAX), STDERR_FILENO);
    abort();
}
