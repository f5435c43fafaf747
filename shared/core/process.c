#include "core/process.h"

#include "base/err.h"
#include "core/clock.h"
#include "core/crash.h"

#include <dirent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PROCESS_MMAP_BYTES (60 * 1024) /* an allocation from here on is a mapping of its own */

#define LIBEVENT_VERSION_MIN 0x02010c00U /* 2.1.12 */
#define OPENSSL_VERSION_MIN  0x30000000UL

void process_setup(void)
{
    struct rlimit files, cores;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (getrlimit(RLIMIT_CORE, &cores) == 0 && cores.rlim_cur < cores.rlim_max) {
        cores.rlim_cur = cores.rlim_max;
        setrlimit(RLIMIT_CORE, &cores);
    }
    /* What is as large goes back to the system when it is freed.  To say it keeps the C library
     * from moving the bound upwards by itself. */
    mallopt(M_MMAP_THRESHOLD, PROCESS_MMAP_BYTES);
    crash_setup();
    pthread_setname_np(pthread_self(), "sluice");
}

int process_start_thread(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < crash_signal_count; i++)
        sigdelset(&all, crash_signals[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return ERR_IO;
    pthread_setname_np(*thread, name);
    return 0;
}

int process_check_libraries(const char **what)
{
    *what = NULL;
    if (event_get_version_number() < LIBEVENT_VERSION_MIN)
        *what = "libevent older than 2.1.12";
    else if (OpenSSL_version_num() < OPENSSL_VERSION_MIN)
        *what = "OpenSSL older than 3.0";
    return *what != NULL ? ERR_UNSUPPORTED : 0;
}

/* The start of a small file of /proc, terminated; empty when it cannot be read. */
static void read_small(const char *path, char *dst, size_t room)
{
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(dst, 1, room - 1, f) : 0;
    dst[n] = '\0';
    if (f != NULL)
        fclose(f);
}

int64_t process_rss_bytes(void)
{
    char text[128];
    read_small("/proc/self/statm", text, sizeof text);
    const char *second = strchr(text, ' ');
    return second != NULL ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

int64_t process_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t count = 0;
    if (dir == NULL)
        return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* the directory itself */
}

int64_t process_start_unix_s(void)
{
    enum { START_FIELD = 22 - 2 }; /* proc(5), counted from the field after the name */
    char text[1024];
    struct timespec up;
    read_small("/proc/self/stat", text, sizeof text);
    const char *p = strrchr(text, ')');
    for (int i = 0; p != NULL && i < START_FIELD; i++)
        p = strchr(p + 1, ' ');
    if (p == NULL || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return 0;
    int64_t started_s = strtoll(p, NULL, 10) / sysconf(_SC_CLK_TCK);
    return clock_wall_us() / 1000000 - (up.tv_sec - started_s);
}
