#include "core/metrics.h"

#include "core/process.h"
#include "core/version.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* One row per counter and gauge; all members are 64 bits wide, so a row needs only its place. */
struct metric_row {
    const char *name, *help;
    size_t offset;
    enum metric_kind kind;
};

static const struct metric_row rows[] = {
#define X(name, help) {#name, help, offsetof(struct metrics, name), METRIC_COUNTER},
    METRIC_COUNTERS(X)
#undef X
#define X(name, help) {#name, help, offsetof(struct metrics, name), METRIC_GAUGE},
        METRIC_GAUGES(X)
#undef X
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

_Static_assert(sizeof(uint64_t) == sizeof(int64_t), "counters and gauges share the rows' access");

/* Gauges of which a sum over the workers says nothing. */
static bool takes_maximum(const char *name)
{
    static const char *const others[] = {"merge_ms", "load_percent", "loop_lag_us", "redis_up"};
    size_t len = strlen(name);
    if (len > 4 && strcmp(name + len - 4, "_max") == 0)
        return true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(name, others[i]) == 0)
            return true;
    return false;
}

static int64_t *member(struct metrics *m, const struct metric_row *row)
{
    return (int64_t *)(void *)((char *)m + row->offset);
}

static const int64_t *const_member(const struct metrics *m, const struct metric_row *row)
{
    return (const int64_t *)(const void *)((const char *)m + row->offset);
}

void metrics_add(struct metrics *sum, const struct metrics *from)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        int64_t *to = member(sum, &rows[i]);
        int64_t v = METRIC_GET(*const_member(from, &rows[i]));
        if (rows[i].kind == METRIC_COUNTER || !takes_maximum(rows[i].name))
            *to += v;
        else if (v > *to)
            *to = v;
    }
    for (size_t i = 0; i < CLOSE_REASON_COUNT; i++)
        sum->closed[i] += METRIC_GET(from->closed[i]);
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        sum->limited[i] += METRIC_GET(from->limited[i]);
}

static int print_head(struct buf *out, const char *name, const char *help, const char *type)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int print_row(struct buf *out, const char *prefix, const char *name, const char *help,
                     bool is_counter, int64_t value)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    int err = print_head(out, full, help, is_counter ? "counter" : "gauge");
    return err != 0 ? err : buf_printf(out, "%s %" PRId64 "\n", full, value);
}

static int print_closed(const struct metrics *sum, struct buf *out)
{
    int err = print_head(out, "sluice_closed_total",
                         "Sessions, streams and links that ended, by reason", "counter");
    for (int i = 0; i < CLOSE_REASON_COUNT && err == 0; i++)
        err = buf_printf(out, "sluice_closed_total{reason=\"%s\"} %" PRIu64 "\n",
                         close_reason_name((enum close_reason)i), sum->closed[i]);
    return err;
}

static int print_limited(const struct metrics *sum, struct buf *out)
{
    int err = print_head(out, "sluice_limit_reached_total",
                         "What was refused or ended by a limit, by setting", "counter");
    for (int i = 0; i < LIMIT_COUNT && err == 0; i++)
        err = buf_printf(out, "sluice_limit_reached_total{setting=\"%s\"} %" PRIu64 "\n",
                         limit_setting((enum limit)i), sum->limited[i]);
    return err;
}

static int print_process(struct buf *out)
{
    const struct metric_extra values[] = {
        {"resident_memory_bytes", "Resident memory size in bytes", process_rss_bytes()},
        {"open_fds", "Open file descriptors", process_open_fds()},
        {"start_time_seconds", "Start of the process, unix seconds", process_start_unix_s()},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof values / sizeof values[0] && err == 0; i++)
        err = print_row(out, "process_", values[i].name, values[i].help, false, values[i].value);
    if (err == 0)
        err = print_head(out, "sluice_build_info", "1, with the version of the program", "gauge");
    return err != 0 ? err
                    : buf_printf(out, "sluice_build_info{version=\"%s\"} 1\n", version_text());
}

int metrics_print(const struct metrics *sum, const struct metric_extra *extra, size_t extra_count,
                  struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < ROW_COUNT && err == 0; i++)
        err = print_row(out, "sluice_", rows[i].name, rows[i].help, rows[i].kind == METRIC_COUNTER,
                        *const_member(sum, &rows[i]));
    for (size_t i = 0; i < extra_count && err == 0; i++)
        err = print_row(out, "sluice_", extra[i].name, extra[i].help, false, extra[i].value);
    if (err == 0)
        err = print_closed(sum, out);
    if (err == 0)
        err = print_limited(sum, out);
    return err != 0 ? err : print_process(out);
}
