#include "procstat.h"

#include "base/slice.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 4096 /* bytes of a /proc file that are read */

/* Fields of /proc/PID/stat counted from the state, which follows the name in brackets. */
enum { FIELD_UTIME = 11, FIELD_STIME = 12, FIELD_RSS = 21 };

static struct slice read_file(const char *path, char text[FILE_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return slice_of(text, 0);
    ssize_t n = read(fd, text, FILE_MAX);
    close(fd);
    return slice_of(text, n > 0 ? (size_t)n : 0);
}

/* Field `index` of a line of fields with one space between them, 0 when it is not there. */
static int64_t field(struct slice line, int index)
{
    struct slice rest = line, word = {0};
    for (int i = 0; i <= index; i++)
        word = slice_cut(rest, ' ', &rest, NULL);
    uint64_t v = 0;
    return slice_u64(word, INT64_MAX, &v) == 0 ? (int64_t)v : 0;
}

/* What its threads ran, in nanoseconds; 0 where the kernel does not count it. */
static int64_t ran_ns(pid_t pid)
{
    char path[300], text[FILE_MAX];
    int64_t sum_ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *e; tasks != NULL && (e = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/task/%.200s/schedstat", (int)pid, e->d_name);
        sum_ns += e->d_name[0] != '.' ? field(read_file(path, text), 0) : 0;
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum_ns;
}

struct procstat procstat_read(pid_t pid)
{
    char path[64], text[FILE_MAX];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    struct slice s = read_file(path, text);
    const uint8_t *name_end = s.len > 0 ? memrchr(s.p, ')', s.len) : NULL;
    if (name_end == NULL || (size_t)(name_end - s.p) + 2 > s.len)
        return (struct procstat){0};
    struct slice fields = slice_of(name_end + 2, s.len - (size_t)(name_end - s.p) - 2);
    /* Ticks of 10 ms are too coarse for a hundred viewers; they say how exact times divide. */
    double user = (double)field(fields, FIELD_UTIME), system = (double)field(fields, FIELD_STIME);
    double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK), ran_s = (double)ran_ns(pid) / 1e9;
    if (user + system > 0 && ran_s > 0)
        tick_s = ran_s / (user + system);
    return (struct procstat){
        .user_s = user * tick_s,
        .system_s = system * tick_s,
        .rss_kib = field(fields, FIELD_RSS) * (sysconf(_SC_PAGESIZE) / 1024),
    };
}

void procstat_add(struct procstat *a, struct procstat b)
{
    a->user_s += b.user_s;
    a->system_s += b.system_s;
    a->rss_kib += b.rss_kib;
}

int64_t procstat_tcp_kib(void)
{
    char text[FILE_MAX];
    struct slice rest = read_file("/proc/net/sockstat", text);
    while (rest.len > 0) {
        struct slice line = slice_cut(rest, '\n', &rest, NULL);
        if (slice_starts(line, "TCP:")) /* TCP: inuse A orphan B tw C alloc D mem PAGES */
            return field(line, 10) * (sysconf(_SC_PAGESIZE) / 1024);
    }
    return 0;
}
