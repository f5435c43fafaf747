#include "core/logline_internal.h"

#include <stdio.h>
#include <string.h>

/* Kept free for what closes a line: a quote, a brace and the line feed. */
#define TAIL_MAX 3
#define KEY_MAX  64

static void put(struct log_writer *w, const char *text, size_t len)
{
    if (w->full || w->len + len > sizeof w->line - TAIL_MAX) {
        w->full = true;
        return;
    }
    memcpy(w->line + w->len, text, len);
    w->len += len;
}

static void put_text(struct log_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/* One character of a value.  Decoded, a JSON value reads exactly as the text form's. */
static void put_escaped_char(struct log_writer *w, unsigned char c)
{
    char code[8];
    if (c < 0x20 || c >= 0x7f)
        snprintf(code, sizeof code, w->json ? "\\\\x%02x" : "\\x%02x", c);
    else if (c == '"' || c == '\\')
        snprintf(code, sizeof code, "\\%c", c);
    else
        snprintf(code, sizeof code, "%c", c);
    put_text(w, code);
}

static void put_escaped(struct log_writer *w, const char *text, size_t len)
{
    for (size_t i = 0; i < len && !w->full; i++)
        put_escaped_char(w, (unsigned char)text[i]);
}

/* The closing quote of a value has its place in the tail, so a cut value is closed too. */
static void put_quote(struct log_writer *w)
{
    if (w->len < sizeof w->line - 2)
        w->line[w->len++] = '"';
}

static bool is_taken(const char *key, size_t len)
{
    static const char *const taken[] = {"time", "level", "object", "event"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (len == strlen(taken[i]) && memcmp(key, taken[i], len) == 0)
            return true;
    return false;
}

static void put_json_field(struct log_writer *w, const char *key, size_t key_len, const char *value,
                           size_t len)
{
    char head[KEY_MAX + 8];
    int n = snprintf(head, sizeof head, ",\"%.*s%s\":\"", (int)key_len, key,
                     is_taken(key, key_len) ? "_" : "");
    put(w, head, (size_t)n);
    if (w->full)
        return;
    put_escaped(w, value, len);
    put_quote(w);
}

static bool needs_quotes(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == ' ' || text[i] == '"' || text[i] == '\\')
            return true;
    return len == 0;
}

static void put_text_field(struct log_writer *w, const char *key, size_t key_len, const char *value,
                           size_t len)
{
    char head[KEY_MAX + 8];
    bool quotes = needs_quotes(value, len);
    int n = snprintf(head, sizeof head, " %.*s=%s", (int)key_len, key, quotes ? "\"" : "");
    put(w, head, (size_t)n);
    if (w->full)
        return;
    put_escaped(w, value, len);
    if (quotes)
        put_quote(w);
}

void log_writer_begin(struct log_writer *w, bool json, const char *time, const char *level,
                      const char *object)
{
    char head[160];
    w->len = 0;
    w->json = json;
    w->full = false;
    int n = snprintf(head, sizeof head,
                     json ? "{\"time\":\"%s\",\"level\":\"%s\",\"object\":\"%s\"" : "%s %s %s",
                     time, level, object);
    put(w, head, (size_t)n < sizeof head ? (size_t)n : sizeof head - 1);
}

void log_writer_event(struct log_writer *w, const char *text, size_t len)
{
    put_text(w, w->json ? ",\"event\":\"" : " ");
    put_escaped(w, text, len);
    if (w->json)
        put_quote(w);
}

/* A field without "=" is a word of the format itself. */
void log_writer_field(struct log_writer *w, const char *text, size_t len)
{
    const char *equals = memchr(text, '=', len);
    size_t key_len = equals != NULL ? (size_t)(equals - text) : len;
    const char *value = equals != NULL ? equals + 1 : text + len;
    size_t value_len = equals != NULL ? len - key_len - 1 : 0;
    if (value_len >= 2 && value[0] == '"' && value[value_len - 1] == '"') {
        value++;
        value_len -= 2;
    }
    if (key_len == 0 || key_len > KEY_MAX)
        return;
    if (w->json)
        put_json_field(w, text, key_len, value, value_len);
    else
        put_text_field(w, text, key_len, value, value_len);
}

size_t log_writer_end(struct log_writer *w)
{
    if (w->json)
        w->line[w->len++] = '}';
    w->line[w->len++] = '\n';
    return w->len;
}
