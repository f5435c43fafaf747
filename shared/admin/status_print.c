/*
 * The table: cells as text first, then columns as wide as their widest cell.  Below each stream are
 * the ways it takes: one line per node that feeds no other, without what the line above says.
 *
 *   o1 → e1(12) → e3(4)
 *               → e4(1)
 *      → e2
 */
#include "admin/status.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX     256 /* bytes */
#define COLUMNS_MAX  10
#define PATH_HOPS    8         /* nodes of a way that are shown */
#define ROWS_MAX     65536     /* of a table; the rest is counted */
#define VIEWERS_MAX  INT32_MAX /* of one kind; more is not true */
#define EPOCH_DIGITS 7         /* of an epoch, from the right: enough to tell two apart */

static const char *const viewer_kinds[] = {"rtmp", "flv", "hls", "whep"};

/* --- cells --- */

struct table {
    size_t columns, count, room;
    char (*cells)[CELL_MAX];
    json_t **below; /* by row; borrowed, may be NULL */
};

static void table_init(struct table *t, const char *const *heads, size_t columns)
{
    *t = (struct table){.columns = columns, .count = 1, .room = 16};
    t->cells = xcalloc(t->room * columns, sizeof *t->cells);
    t->below = xcalloc(t->room, sizeof(json_t *));
    for (size_t i = 0; i < columns; i++)
        slice_copy(slice_text(heads[i]), t->cells[i], CELL_MAX);
}

static void table_fini(struct table *t)
{
    free(t->cells);
    free(t->below);
}

/* The cells of a new row, all empty. */
static char (*table_row(struct table *t))[CELL_MAX]
{
    if (t->count == t->room) {
        t->room *= 2;
        t->cells = xrealloc(t->cells, t->room * t->columns * sizeof *t->cells);
        t->below = xrealloc(t->below, t->room * sizeof(json_t *));
    }
    t->below[t->count] = NULL;
    char(*row)[CELL_MAX] = t->cells + t->count++ * t->columns;
    memset(row, 0, t->columns * sizeof *row);
    return row;
}

/* Columns on a screen, as far as that can be told: one for each character. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Text of another's making: what a terminal would obey is shown as '?'. */
static void set_text(char *cell, const char *text)
{
    size_t n = 0;
    for (; text != NULL && *text != '\0' && n + 1 < CELL_MAX; text++) {
        unsigned char c = (unsigned char)*text;
        bool c1 = n > 0 && (unsigned char)text[-1] == 0xc2 && c < 0xa0; /* U+0080 to U+009F */
        if (c1)
            n--;
        cell[n++] = c < 0x20 || c == 0x7f || c1 ? '?' : *text;
    }
    while (n > 0 && n + 1 == CELL_MAX && ((unsigned char)cell[n - 1] & 0xc0) == 0x80)
        n--;
    cell[n] = '\0';
}

static const char *text_at(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text != NULL ? text : "";
}

static int64_t number_at(const json_t *j, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(j, key));
}

static int64_t viewers_at(const json_t *j, const char *kind)
{
    int64_t n = number_at(j, kind);
    return n < 0 ? 0 : n > VIEWERS_MAX ? VIEWERS_MAX : n;
}

static void set_number(char *cell, int64_t n)
{
    snprintf(cell, CELL_MAX, "%" PRId64, n);
}

static void set_age(char *cell, int64_t ms)
{
    int64_t s = ms / 1000;
    if (s < 60)
        snprintf(cell, CELL_MAX, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    else if (s < 3600)
        snprintf(cell, CELL_MAX, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(cell, CELL_MAX, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(cell, CELL_MAX, "%" PRId64 "d", s / 86400);
}

static void set_bitrate(char *cell, int64_t bps)
{
    if (bps >= 1000000)
        snprintf(cell, CELL_MAX, "%.1f Mbit/s", (double)bps / 1e6);
    else
        snprintf(cell, CELL_MAX, "%" PRId64 " kbit/s", bps / 1000);
}

static void print_cells(FILE *out, const struct table *t, size_t row, const size_t *widths)
{
    for (size_t i = 0; i < t->columns; i++) {
        const char *text = t->cells[row * t->columns + i];
        size_t pad = i + 1 < t->columns ? widths[i] - width_of(text) + 2 : 0;
        fprintf(out, "%s%*s", text, (int)pad, "");
    }
}

static void print_below(FILE *out, const json_t *stream);

static void table_print(FILE *out, const struct table *t, bool bold)
{
    size_t widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->count * t->columns; i++) {
        size_t width = width_of(t->cells[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    for (size_t row = 0; row < t->count; row++) {
        bool heading = bold && row == 0;
        fputs(heading ? "\033[1m" : "", out);
        print_cells(out, t, row, widths);
        fputs(heading ? "\033[0m\n" : "\n", out);
        if (t->below[row] != NULL)
            print_below(out, t->below[row]);
    }
}

static size_t rows_of(const json_t *list)
{
    size_t count = json_array_size(list);
    return count < ROWS_MAX ? count : ROWS_MAX;
}

static void print_rest(FILE *out, const json_t *list)
{
    if (json_array_size(list) > ROWS_MAX)
        fprintf(out, "… and %zu more\n", json_array_size(list) - ROWS_MAX);
}

/* --- nodes --- */

static bool is_missing(const json_t *streams, const char *id)
{
    const json_t *list = json_object_get(streams, "missing");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name != NULL && strcmp(name, id) == 0)
            return true;
    }
    return false;
}

static int compare_first_cells(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void table_sort(struct table *t)
{
    qsort(t->cells + t->columns, t->count - 1, t->columns * sizeof *t->cells, compare_first_cells);
}

static void print_nodes(FILE *out, const json_t *nodes, const json_t *streams, bool bold)
{
    static const char *const heads[] = {"NODE",    "ROLE",    "ZONE", "STATE", "ADDRESS",
                                        "STREAMS", "VIEWERS", "LOAD", "AGE"};
    const json_t *list = json_object_get(nodes, "nodes");
    struct table t;
    table_init(&t, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < rows_of(list); i++) {
        const json_t *n = json_array_get(list, i);
        char(*cell)[CELL_MAX] = table_row(&t);
        const char *zone = text_at(n, "zone");
        set_text(cell[0], text_at(n, "id"));
        set_text(cell[1], text_at(n, "role"));
        set_text(cell[2], zone[0] != '\0' ? zone : "-");
        set_text(cell[3],
                 is_missing(streams, text_at(n, "id")) ? "no answer" : text_at(n, "state"));
        set_text(cell[4], text_at(n, "addr"));
        set_number(cell[5], number_at(n, "streams"));
        set_number(cell[6], number_at(n, "viewers"));
        snprintf(cell[7], CELL_MAX, "%" PRId64 " %%", number_at(n, "load"));
        set_age(cell[8], number_at(n, "age_ms"));
    }
    table_sort(&t);
    table_print(out, &t, bold);
    print_rest(out, list);
    table_fini(&t);
}

/* --- the ways of a stream --- */

struct way {
    const char *nodes[PATH_HOPS];
    size_t count;
    bool is_prefix; /* another goes through all of it */
};

static void read_way(const json_t *part, struct way *w)
{
    const json_t *path = json_object_get(part, "path");
    *w = (struct way){0};
    for (size_t i = 0; i < json_array_size(path) && w->count < PATH_HOPS; i++) {
        const char *node = json_string_value(json_array_get(path, i));
        w->nodes[w->count++] = node != NULL ? node : "?";
    }
    if (w->count == 0) /* a node that has viewers, and says no more */
        w->nodes[w->count++] = text_at(part, "id");
}

static size_t shared_length(const struct way *a, const struct way *b)
{
    size_t n = 0;
    while (n < a->count && n < b->count && strcmp(a->nodes[n], b->nodes[n]) == 0)
        n++;
    return n;
}

static int compare_ways(const void *left, const void *right)
{
    const struct way *a = left, *b = right;
    size_t n = shared_length(a, b);
    if (n == a->count || n == b->count)
        return (a->count > b->count) - (a->count < b->count);
    return strcmp(a->nodes[n], b->nodes[n]);
}

static int64_t viewers_of(const json_t *j)
{
    const json_t *viewers = json_object_get(j, "viewers");
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof viewer_kinds / sizeof viewer_kinds[0]; i++)
        sum += viewers_at(viewers, viewer_kinds[i]);
    return sum;
}

/* "e1(12)"; "e1(?)" of a node that did not say; "e1" without viewers. */
static void node_text(const json_t *parts, const char *id, char *cell)
{
    char name[CELL_MAX];
    set_text(name, id);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        if (strcmp(text_at(part, "id"), id) != 0)
            continue;
        int64_t viewers = viewers_of(part);
        if (viewers > 0)
            snprintf(cell, CELL_MAX, "%.200s(%" PRId64 ")", name, viewers);
        else
            snprintf(cell, CELL_MAX, "%s", name);
        return;
    }
    snprintf(cell, CELL_MAX, "%.200s(?)", name);
}

static void print_way(FILE *out, const json_t *parts, const struct way *w, size_t known)
{
    char cell[CELL_MAX];
    fputs("  ", out);
    for (size_t i = 0; i < w->count; i++) {
        const char *arrow = i == 0 ? "" : i < known ? "   " : " → ";
        node_text(parts, w->nodes[i], cell);
        if (i < known)
            fprintf(out, "%s%*s", arrow, (int)width_of(cell), "");
        else
            fprintf(out, "%s%s", arrow, cell);
    }
    fputc('\n', out);
}

static void print_below(FILE *out, const json_t *stream)
{
    const json_t *parts = json_object_get(stream, "nodes");
    size_t count = json_array_size(parts);
    struct way *ways = xcalloc(count + 1, sizeof *ways);
    for (size_t i = 0; i < count; i++)
        read_way(json_array_get(parts, i), &ways[i]);
    qsort(ways, count, sizeof *ways, compare_ways);
    const struct way *above = &ways[count];
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && shared_length(&ways[i], &ways[i + 1]) == ways[i].count)
            continue;
        print_way(out, parts, &ways[i], shared_length(&ways[i], above));
        above = &ways[i];
    }
    free(ways);
}

/* --- streams --- */

static void set_codecs(char *cell, const json_t *stream)
{
    const json_t *tracks = json_object_get(stream, "tracks");
    struct buf text;
    buf_init(&text, CELL_MAX - 1);
    for (size_t i = 0; i < json_array_size(tracks); i++) {
        const char *codec = text_at(json_array_get(tracks, i), "codec");
        if (buf_printf(&text, "%s%s", i > 0 ? " " : "", codec) < 0)
            break;
    }
    char plain[CELL_MAX];
    if (slice_copy(buf_slice(&text), plain, sizeof plain))
        set_text(cell, plain[0] != '\0' ? plain : "-");
    buf_fini(&text);
}

static void set_viewers(char *cell, const json_t *stream)
{
    const json_t *viewers = json_object_get(stream, "viewers");
    int n = 0;
    for (size_t i = 0; i < sizeof viewer_kinds / sizeof viewer_kinds[0]; i++) {
        int64_t count = viewers_at(viewers, viewer_kinds[i]);
        if (count > 0)
            n += snprintf(cell + n, CELL_MAX - (size_t)n, "%s%s %" PRId64, n > 0 ? ", " : "",
                          viewer_kinds[i], count);
    }
    if (n == 0)
        set_number(cell, 0);
}

static void set_epoch(char *cell, const char *epoch)
{
    size_t len = strlen(epoch);
    bool cut = len > EPOCH_DIGITS;
    char text[CELL_MAX];
    snprintf(text, sizeof text, "%s%.32s", cut ? "…" : "",
             cut ? epoch + len - EPOCH_DIGITS : epoch);
    set_text(cell, text);
}

static void print_streams(FILE *out, const json_t *streams, bool bold)
{
    static const char *const heads[] = {"STREAM",  "OWNER", "EPOCH",  "CODECS",
                                        "BITRATE", "AGE",   "VIEWERS"};
    const json_t *list = json_object_get(streams, "streams");
    struct table t;
    table_init(&t, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < rows_of(list); i++) {
        json_t *s = json_array_get(list, i);
        char(*cell)[CELL_MAX] = table_row(&t);
        t.below[t.count - 1] = s;
        set_text(cell[0], text_at(s, "name"));
        set_text(cell[1], text_at(s, "owner"));
        set_epoch(cell[2], text_at(s, "epoch"));
        set_codecs(cell[3], s);
        set_bitrate(cell[4], number_at(s, "bitrate_bps"));
        set_age(cell[5], number_at(s, "age_ms"));
        set_viewers(cell[6], s);
    }
    table_print(out, &t, bold);
    print_rest(out, list);
    table_fini(&t);
}

static void print_missing(FILE *out, const json_t *streams)
{
    const json_t *list = json_object_get(streams, "missing");
    char name[CELL_MAX];
    if (!json_is_true(json_object_get(streams, "partial")))
        return;
    fputs("\npartial: no answer from", out);
    for (size_t i = 0; i < json_array_size(list); i++) {
        set_text(name, json_string_value(json_array_get(list, i)));
        fprintf(out, " %s", name);
    }
    fputs(json_array_size(list) > 0 ? "\n" : " the directory\n", out);
}

void status_print(FILE *out, const json_t *nodes, const json_t *streams, bool bold)
{
    print_nodes(out, nodes, streams, bold);
    fputc('\n', out);
    if (json_array_size(json_object_get(streams, "streams")) > 0)
        print_streams(out, streams, bold);
    else
        fputs("no streams\n", out);
    print_missing(out, streams);
}
