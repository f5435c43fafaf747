#include "core/logline.h"

#include "core/clock.h"
#include "core/logline_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_FORMAT_MAX 512                /* bytes of a call's format string */
#define LOG_TEXT_MAX   (LOG_LINE_MAX + 1) /* before escaping; more could not be shown */
#define LOG_MARK       '\x1f'

enum log_level log_threshold = LOG_INFO;
static bool log_json;
static uint32_t log_last_id;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, bool json)
{
    log_json = json;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&log_threshold, level, __ATOMIC_RELAXED);
}

uint32_t log_new_id(void)
{
    uint32_t id;
    do
        id = __atomic_add_fetch(&log_last_id, 1, __ATOMIC_RELAXED);
    while (id == 0);
    return id;
}

bool log_limit_pass(struct log_limit *l, int64_t now_us, const struct log_id *id)
{
    if (l->window_us == 0 || now_us - l->window_us >= 1000000) {
        l->window_us = now_us;
        l->in_window = 0;
    }
    if (l->in_window >= LOG_LIMIT_PER_SECOND) {
        l->suppressed++;
        return false;
    }
    l->in_window++;
    if (l->suppressed > 0)
        log_info(id, "log.suppressed lines=%u", l->suppressed);
    l->suppressed = 0;
    return true;
}

/* ---- the line ---- */

static void format_time(char *dst, size_t room)
{
    int64_t now_us = clock_wall_us();
    time_t seconds = now_us / 1000000;
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(dst, room, "%s.%03dZ", text, (int)(now_us / 1000 % 1000));
}

static void format_object(char *dst, size_t room, const struct log_id *id)
{
    char worker[16] = "", number[16] = "";
    if (id->worker >= 0)
        snprintf(worker, sizeof worker, "w%d/", id->worker);
    if (id->id != 0)
        snprintf(number, sizeof number, "#%x", id->id);
    snprintf(dst, room, "%s%s%s", worker, id->kind, number);
}

/* The format again, with a mark for every space that divides it; its length and that of what is
 * printed with it stay the same.  An over-long format is left as it is: one field. */
static void mark_format(char *dst, size_t room, const char *format)
{
    bool quoted = false;
    if (snprintf(dst, room, "%s", format) >= (int)room)
        return;
    for (char *p = dst; *p != '\0'; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == ' ' && !quoted)
            *p = LOG_MARK;
    }
}

/* Where text and its marked twin differ, a field of the format ends: nothing that was printed into
 * it can be taken for one. */
static size_t field_length(const char *text, const char *marked)
{
    size_t n = 0;
    while (text[n] != '\0' && text[n] == marked[n])
        n++;
    return n;
}

static void write_fields(struct log_writer *w, const char *text, const char *marked)
{
    bool is_event = true;
    for (size_t at = 0;; at++) {
        size_t len = field_length(text + at, marked + at);
        if (is_event)
            log_writer_event(w, text + at, len);
        else
            log_writer_field(w, text + at, len);
        is_event = false;
        at += len;
        if (text[at] == '\0')
            return;
    }
}

static void write_line(enum log_level level, const struct log_id *id, const char *text,
                       const char *marked)
{
    static const struct log_id nobody = {"-", -1, 0};
    char time_text[40], object[64];
    struct log_writer w;
    format_time(time_text, sizeof time_text);
    format_object(object, sizeof object, id != NULL ? id : &nobody);
    log_writer_begin(&w, log_json, time_text, level_names[level], object);
    write_fields(&w, text, marked);
    size_t len = log_writer_end(&w);
    if (write(STDERR_FILENO, w.line, len) < 0)
        return; /* nowhere to tell it */
}

/* The marked format is made from a literal that the compiler has checked at the call. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void log_write(enum log_level level, const struct log_id *id, const char *format, ...)
{
    char marked_format[LOG_FORMAT_MAX], text[LOG_TEXT_MAX], marked[LOG_TEXT_MAX];
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(text, sizeof text, format, ap);
    mark_format(marked_format, sizeof marked_format, format);
    if (strlen(marked_format) != strlen(format) ||
        vsnprintf(marked, sizeof marked, marked_format, again) != n)
        memcpy(marked, text, sizeof marked);
    va_end(again);
    va_end(ap);
    if (n >= 0)
        write_line(level, id, text, marked);
}
#pragma GCC diagnostic pop
