#ifndef SLUICE_CORE_LOGLINE_INTERNAL_H
#define SLUICE_CORE_LOGLINE_INTERNAL_H

#include "core/logline.h"

#include <stddef.h>

/*
 * Puts one line together, as text or as a JSON object, escaped and never longer than LOG_LINE_MAX.
 * What does not fit is left out whole (a character, or a member with its key), and nothing after it
 * is written, so a cut JSON line is still an object.
 */
struct log_writer {
    char line[LOG_LINE_MAX];
    size_t len;
    bool json, full;
};

void log_writer_begin(struct log_writer *w, bool json, const char *time, const char *level,
                      const char *object);
/* The event, then its fields in order: "key=value", "key=\"value\"" or a word. */
void log_writer_event(struct log_writer *w, const char *text, size_t len);
void log_writer_field(struct log_writer *w, const char *text, size_t len);
/* Closes the line with a line feed; its length. */
size_t log_writer_end(struct log_writer *w);

#endif
