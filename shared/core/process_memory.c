#include "core/process.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How much memory this process may count on: the machine's, or its control group's when less. */

#define GROUP_PATH_MAX 4096

/* The limit in dir/file, or `most` when there is none. */
static int64_t read_limit(const char *root, const char *group, const char *file, int64_t most)
{
    char path[GROUP_PATH_MAX + 128], text[64] = "";
    snprintf(path, sizeof path, "%s%s/%s", root, group, file);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return most;
    bool have = fgets(text, sizeof text, f) != NULL;
    fclose(f);
    int64_t limit = have ? strtoll(text, NULL, 10) : 0; /* "max" counts as none */
    return limit > 0 && limit < most ? limit : most;
}

/* The lowest limit of the group and all above it. */
static int64_t group_limit(const char *root, char *group, const char *file, int64_t most)
{
    for (;;) {
        most = read_limit(root, group, file, most);
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return most;
        *slash = '\0';
    }
}

/* One line of /proc/self/cgroup, "NUMBER:CONTROLLERS:/PATH"; version 2 has no controllers. */
static int64_t line_limit(char *line, int64_t most)
{
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL)
        return most;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (controllers[1] == '\0')
        return group_limit("/sys/fs/cgroup", group, "memory.max", most);
    if (strcmp(controllers + 1, "memory") == 0)
        return group_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", most);
    return most;
}

int64_t process_memory_limit(void)
{
    char line[GROUP_PATH_MAX];
    int64_t most = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        most = line_limit(line, most);
    if (f != NULL)
        fclose(f);
    return most;
}
