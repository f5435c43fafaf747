#include "options.h"

#include "bench.h"

#include "base/err.h"
#include "base/must.h"
#include "base/slice.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX   48
#define HELP_INDEX 1000 /* getopt's value of --help */

static void print_help(const struct option_command *c)
{
    printf("usage: sluice-bench %s %s [options]\n\n%s\n", c->name, c->words, c->about);
    for (size_t i = 0; i < c->row_count; i++) {
        const struct option_row *row = &c->rows[i];
        char left[64], letter[8] = "   ";
        if (row->letter != 0)
            snprintf(letter, sizeof letter, "-%c,", row->letter);
        snprintf(left, sizeof left, "%s --%s %s", letter, row->name,
                 row->word != NULL ? row->word : "");
        printf("  %-25s %s\n", left, row->help);
    }
    printf("      %-21s this text\n", "--help");
}

void options_refuse(const struct option_command *c, const char *what, const char *text)
{
    fprintf(stderr, "sluice-bench %s: %s%s%s\nsluice-bench %s --help lists what there is\n",
            c->name, what, text != NULL ? ": " : "", text != NULL ? text : "", c->name);
    exit(BENCH_USAGE);
}

static int64_t number(const struct option_command *c, const struct option_row *row,
                      const char *text)
{
    char what[128];
    uint64_t v = 0;
    if (slice_u64(slice_text(text), (uint64_t)row->max, &v) == 0 && (int64_t)v >= row->min)
        return (int64_t)v;
    snprintf(what, sizeof what, "--%s takes a number from %lld to %lld, not", row->name,
             (long long)row->min, (long long)row->max);
    options_refuse(c, what, text);
}

static void take(const struct option_command *c, const struct option_row *row, const char *text,
                 void *out)
{
    void *at = (char *)out + row->at;
    struct option_list *list = at;
    switch (row->kind) {
    case OPTION_INT:
        *(int *)at = (int)number(c, row, text);
        return;
    case OPTION_SECONDS:
        *(int64_t *)at = number(c, row, text) * 1000000;
        return;
    case OPTION_MS:
        *(int64_t *)at = number(c, row, text) * 1000;
        return;
    case OPTION_FLAG:
        *(bool *)at = true;
        return;
    case OPTION_TEXT:
        *(const char **)at = text;
        return;
    case OPTION_LIST:
        if (list->count == OPTION_LIST_MAX)
            options_refuse(c, "too many", row->name);
        list->values[list->count++] = text;
        return;
    }
}

/* The table as getopt wants it; both arrays end with zero. */
static void to_getopt(const struct option_command *c, struct option *longs, char *letters)
{
    must(c->row_count < ROWS_MAX);
    *letters++ = ':';
    for (size_t i = 0; i < c->row_count; i++) {
        const struct option_row *row = &c->rows[i];
        int has = row->kind == OPTION_FLAG ? no_argument : required_argument;
        *longs++ = (struct option){row->name, has, NULL, HELP_INDEX + 1 + (int)i};
        if (row->letter == 0)
            continue;
        *letters++ = row->letter;
        if (has == required_argument)
            *letters++ = ':';
    }
    *longs++ = (struct option){"help", no_argument, NULL, HELP_INDEX};
    *longs = (struct option){0};
    *letters = '\0';
}

static const struct option_row *row_of(const struct option_command *c, int value)
{
    if (value > HELP_INDEX)
        return &c->rows[value - HELP_INDEX - 1];
    for (size_t i = 0; i < c->row_count; i++)
        if (c->rows[i].letter == value)
            return &c->rows[i];
    return NULL;
}

void options_read(const struct option_command *c, int argc, char **argv, void *out,
                  struct option_list *words)
{
    struct option longs[ROWS_MAX + 2];
    char letters[2 * ROWS_MAX + 2];
    to_getopt(c, longs, letters);
    for (int v; (v = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        if (v == HELP_INDEX) {
            print_help(c);
            exit(BENCH_OK);
        }
        if (v == ':')
            options_refuse(c, "a value is missing after", argv[optind - 1]);
        if (v == '?')
            options_refuse(c, "no such option", argv[optind - 1]);
        const struct option_row *row = row_of(c, v);
        must(row != NULL);
        take(c, row, optarg, out);
    }
    *words = (struct option_list){0};
    for (; optind < argc; optind++) {
        if (words->count == c->words_max)
            options_refuse(c, "one word too many", argv[optind]);
        words->values[words->count++] = argv[optind];
    }
    if (words->count < c->words_min)
        options_refuse(c, "it wants", c->words);
}

int options_pids(const struct option_command *c, const struct option_list *list, int *pids)
{
    for (int i = 0; i < list->count; i++) {
        uint64_t v = 0;
        if (slice_u64(slice_text(list->values[i]), INT32_MAX, &v) < 0 || v == 0 ||
            kill((pid_t)v, 0) < 0)
            options_refuse(c, "no such process of ours", list->values[i]);
        pids[i] = (int)v;
    }
    return list->count;
}

void options_target(const struct option_command *c, const char *url, struct target *out)
{
    int err = target_parse(url, out);
    if (err == ERR_NOT_FOUND)
        options_refuse(c, "nobody knows this host", url);
    if (err < 0)
        options_refuse(
            c, "not a URL like rtmp[s]://HOST[:PORT]/APP/STREAM or http[s]://HOST[:PORT]/PATH",
            url);
}
