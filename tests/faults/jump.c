/*
 * LD_PRELOAD shim: the wall clock of a process is off by the seconds in the file $SLUICE_JUMP (an
 * int64_t, read at every call), its other clocks are right.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t offset_s(void)
{
    static const volatile int64_t *shared;
    if (shared == NULL) {
        const char *path = getenv("SLUICE_JUMP");
        int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *p = fd >= 0 ? mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
        if (fd >= 0)
            close(fd);
        if (p == MAP_FAILED)
            return 0;
        shared = p;
    }
    return *shared;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    long failed = syscall(SYS_clock_gettime, clock, t);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        t->tv_sec += offset_s();
    return (int)failed;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
