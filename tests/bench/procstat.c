#include "procstat.h"

#include "base/slice.h"

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

struct procstat procstat_read(pid_t pid)
{
    char path[64], text[FILE_MAX];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    struct slice s = read_file(path, text);
    const uint8_t *name_end = s.len > 0 ? memrchr(s.p, ')', s.len) : NULL;
    if (name_end == NULL || (size_t)(name_end - s.p) + 2 > s.len)
        return (struct procstat){0};
    struct slice fields = slice_of(name_end + 2, s.len - (size_t)(name_end - s.p) - 2);
    double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
    return (struct procstat){
        .user_s = (double)field(fields, FIELD_UTIME) * tick_s,
        .system_s = (double)field(fields, FIELD_STIME) * tick_s,
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
