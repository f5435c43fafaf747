#ifndef SLUICE_TESTS_BENCH_OPTIONS_H
#define SLUICE_TESTS_BENCH_OPTIONS_H

#include "target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The command line of a command as a table: what may be said, where it goes, and its help.
 *
 *   sluice-bench COMMAND WORD... [--option[=VALUE]]...
 */

enum option_kind {
    OPTION_INT,     /* int */
    OPTION_SECONDS, /* int64_t, microseconds */
    OPTION_MS,      /* int64_t, microseconds */
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char * */
    OPTION_LIST,    /* struct option_list */
};

#define OPTION_LIST_MAX 16 /* values of an option that may be repeated */

struct option_list {
    const char *values[OPTION_LIST_MAX];
    int count;
};

struct option_row {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t at;        /* offset in the command's struct */
    int64_t min, max; /* of numbers */
    const char *word; /* what the help calls the value */
    const char *help; /* ends with the default where there is one */
};

struct option_command {
    const char *name;
    const char *words; /* what comes before the options, for the help */
    const char *about; /* some sentences, with line ends */
    int words_min, words_max;
    const struct option_row *rows;
    size_t row_count;
};

/*
 * Fills *out, which holds the defaults, and *words with what is no option.  What is wrong is said
 * on stderr, and the program ends with BENCH_USAGE; --help prints the help and ends it with
 * BENCH_OK.
 */
void options_read(const struct option_command *c, int argc, char **argv, void *out,
                  struct option_list *words);

/* Says on stderr what is wrong and ends the program with BENCH_USAGE. */
_Noreturn void options_refuse(const struct option_command *c, const char *what, const char *text);

/* The process ids of a list, at most OPTION_LIST_MAX; their number.  Ends the program when one is
 * no process. */
int options_pids(const struct option_command *c, const struct option_list *list, int *pids);

/* A URL that the command can do something with, or the program ends. */
void options_target(const struct option_command *c, const char *url, struct target *out);

#endif
