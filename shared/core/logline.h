#ifndef SLUICE_CORE_LOGLINE_H
#define SLUICE_CORE_LOGLINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One event per line on standard error: `time level object event key=value…`, or the same as a JSON
 * object with the members time, level, object, event and one text member per key.  The format
 * string of every call begins with the event, a lower-case dotted word, followed by key=value pairs
 * with one space between.  Where a value begins and ends is taken from the format, never from what
 * was printed into it: the sink quotes values that need it, escapes everything outside printable
 * ASCII as \xHH and cuts a line at LOG_LINE_MAX, so peers' text may be passed as it is and cannot
 * make up a line or a key.  Text with spaces in the format itself is quoted there: why="no room".
 * Any thread may log.
 */
#define LOG_LINE_MAX 1024 /* bytes, line feed included */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* The object a line is about: "w1/rtmp#2f3a", or just the kind when id is 0 ("main").  worker < 0:
 * no worker. */
struct log_id {
    const char *kind; /* a literal */
    int worker;
    uint32_t id;
};

/* Before any thread starts; the level may change later (SIGHUP). */
void log_setup(enum log_level level, bool json);
void log_set_level(enum log_level level);

/* A number for a new object, unique in this process and never 0. */
uint32_t log_new_id(void);

void log_write(enum log_level level, const struct log_id *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

extern enum log_level log_threshold;

#define LOG_AT(level, id, ...)                                                                     \
    ((level) < __atomic_load_n(&log_threshold, __ATOMIC_RELAXED)                                   \
         ? (void)0                                                                                 \
         : log_write((level), (id), __VA_ARGS__))
#define log_debug(id, ...) LOG_AT(LOG_DEBUG, id, __VA_ARGS__)
#define log_info(id, ...)  LOG_AT(LOG_INFO, id, __VA_ARGS__)
#define log_warn(id, ...)  LOG_AT(LOG_WARN, id, __VA_ARGS__)
#define log_error(id, ...) LOG_AT(LOG_ERROR, id, __VA_ARGS__)

/*
 * Lines that a peer can provoke at will go through a limiter: at most LOG_LIMIT_PER_SECOND a
 * second, the rest is counted, and told by a line of its own when one may pass again.
 */
struct log_limit {
    int64_t window_us;
    uint32_t in_window, suppressed;
};
#define LOG_LIMIT_PER_SECOND 10
/* True when a line may be written now; before it, `log.suppressed lines=N` is, about `id`, when
 * there were some that might not. */
bool log_limit_pass(struct log_limit *l, int64_t now_us, const struct log_id *id);

#endif
