#ifndef SLUICE_CORE_CONFIG_INTERNAL_H
#define SLUICE_CORE_CONFIG_INTERNAL_H

#include "core/config.h"

/*
 * How a configuration is loaded: config_options.c is the table of settings, config_values.c puts
 * one value into its member, config_yaml.c walks a file, config_relations.c checks what belongs
 * together, config.c joins them.  No error text holds a value: some are secrets.
 */

enum option_type {
    OPTION_TEXT,
    OPTION_BOOL,
    OPTION_INT,
    OPTION_MS,    /* int64_t milliseconds */
    OPTION_BYTES, /* int64_t */
    OPTION_ENUM,  /* the index into `words` */
    OPTION_LIST,
};

enum option_flag {
    OPTION_RELOAD = 1, /* SIGHUP takes a new value */
};

struct option {
    const char *name; /* "rtmp.listen" */
    enum option_type type;
    size_t offset;        /* of its member in struct config */
    const char *standard; /* the default, as a YAML scalar without quotes; NULL: an empty list */
    int64_t min, max;     /* of numbers; of a text's bytes; of a list's items */
    const char *const *words; /* OPTION_ENUM; a number may have one word, which stands for -1 */
    const char *(*check)(const char *text); /* of a text or an item: why it is refused, or NULL */
    unsigned flags;
    const char *help;
};

extern const struct option config_options[];
extern const size_t config_option_count;

#define OPTION_NAME_MAX 64  /* characters */
#define OPTION_ITEM_MAX 512 /* bytes of one item of a list */

/* The row of a name, or NULL. */
const struct option *option_find(const char *name);
/* True when settings' names go on below it ("cluster.redis"). */
bool option_is_section(const char *name);
/* The known name within two slips of an unknown one, or NULL. */
const char *option_suggest(const char *name);
/* Sets the option's member of `to` to a copy of that of `from`. */
void option_copy(const struct option *o, struct config *to, const struct config *from);
/* "SLUICE_RTMP_LISTEN". */
void option_environment_name(const struct option *o, char out[OPTION_NAME_MAX + 8]);

/* Where a value came from, for errors. */
enum place_kind { PLACE_DEFAULT, PLACE_FILE, PLACE_ENVIRONMENT, PLACE_SET };
struct config_place {
    enum place_kind kind;
    size_t line, column;         /* PLACE_FILE, from 1 */
    const struct option *option; /* PLACE_ENVIRONMENT, PLACE_SET: which was given; NULL: unknown */
};

struct config_loader {
    struct config *config;
    const char *file;            /* its name in errors */
    struct config_place *places; /* one for each option */
    char *error;                 /* CONFIG_ERROR_MAX bytes */
};

/* Fills the error: place, setting, reason.  Returns ERR_TYPE. */
int config_fail(const struct config_loader *l, struct config_place place, const char *setting,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for a name that is no setting, with the one that may have been meant. */
int config_fail_unknown(const struct config_loader *l, struct config_place place, const char *name);

/* Sets a member from a scalar; `plain` is false for a quoted one.  NULL, or the reason in `reason`.
 */
#define CONFIG_REASON_MAX 192
const char *option_set_scalar(const struct option *o, struct config *c, const char *text,
                              size_t len, bool plain, char reason[CONFIG_REASON_MAX]);
/* A list, item by item after clearing it. */
void option_clear_list(const struct option *o, struct config *c);
const char *option_add_item(const struct option *o, struct config *c, const char *text, size_t len,
                            char reason[CONFIG_REASON_MAX]);
void option_set_default(const struct option *o, struct config *c);
void option_free(const struct option *o, struct config *c);
bool option_equal(const struct option *o, const struct config *a, const struct config *b);

/* A whole file; then one value of the environment or of --set, which is text as it stands (quotes
 * around it are taken off) or a YAML scalar or flow list. */
int config_yaml_file(struct config_loader *l, const char *text, size_t len);
int config_yaml_value(struct config_loader *l, const struct option *o, struct config_place place,
                      const char *text);

/* Fills in what depends on other settings or on the machine, and refuses what does not fit
 * together. */
int config_relations(struct config_loader *l);

/* What the table's rows check texts by. */
const char *check_listen(const char *text);
const char *check_listen_or_empty(const char *text);
const char *check_peer(const char *text);
const char *check_host_or_empty(const char *text);
const char *check_ip(const char *text);
const char *check_ice_server(const char *text);
const char *check_prefix(const char *text);
const char *check_group(const char *text);
const char *check_word(const char *text);
const char *check_word_or_empty(const char *text);
const char *check_visible(const char *text);
const char *check_redis_url(const char *text);

#endif
