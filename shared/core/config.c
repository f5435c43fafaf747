#include "core/config.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/slice.h"
#include "core/config_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE_MAX (1 << 20) /* bytes */
#define PLACE_MAX       256       /* characters; what fits of a file's name, with line and column */
#define FILE_SHOWN_MAX  180

/* "FILE:LINE:COLUMN", "SLUICE_RTMP_LISTEN" or "--set rtmp.listen"; true when that names the
 * setting. */
static bool print_place(const struct config_loader *l, struct config_place place,
                        const char *setting, char out[PLACE_MAX])
{
    char variable[OPTION_NAME_MAX + 8];
    bool named = place.option == NULL || strcmp(place.option->name, setting) == 0;
    switch (place.kind) {
    case PLACE_FILE:
        snprintf(out, PLACE_MAX, "%.*s:%zu:%zu", FILE_SHOWN_MAX, l->file, place.line, place.column);
        return false;
    case PLACE_ENVIRONMENT:
        option_environment_name(place.option, variable);
        snprintf(out, PLACE_MAX, "%s", variable);
        return named;
    case PLACE_SET:
        snprintf(out, PLACE_MAX, "--set %s", place.option != NULL ? place.option->name : setting);
        return named;
    case PLACE_DEFAULT:
        snprintf(out, PLACE_MAX, "%s", setting);
        return true;
    }
    panic("place %d", (int)place.kind);
}

int config_fail(const struct config_loader *l, struct config_place place, const char *setting,
                const char *format, ...)
{
    char where[PLACE_MAX], why[CONFIG_REASON_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    bool named = print_place(l, place, setting, where);
    snprintf(l->error, CONFIG_ERROR_MAX, "%s%s%s: %s", where, named ? "" : ": ",
             named ? "" : setting, why);
    return ERR_TYPE;
}

int config_fail_unknown(const struct config_loader *l, struct config_place place, const char *name)
{
    char shown[OPTION_NAME_MAX + 1];
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    const char *near = option_suggest(name);
    /* What follows is not part of a name; it may be a secret after a forgotten space. */
    slice_copy(slice_of(name, n < sizeof shown ? n : sizeof shown - 1), shown, sizeof shown);
    return config_fail(l, place, shown,
                       near != NULL ? "unknown setting; did you mean %s?" : "unknown setting%s",
                       near != NULL ? near : "");
}

static void loader_init(struct config_loader *l, const char *file, char *error)
{
    error[0] = '\0';
    *l = (struct config_loader){
        .config = xcalloc(1, sizeof *l->config),
        .file = file,
        .places = xcalloc(config_option_count, sizeof *l->places),
        .error = error,
    };
    for (size_t i = 0; i < config_option_count; i++)
        option_set_default(&config_options[i], l->config);
}

/* Hands the configuration over when all went well. */
static int loader_fini(struct config_loader *l, int err, struct config **out)
{
    if (err == 0)
        err = config_relations(l);
    if (err != 0)
        config_free(&l->config);
    free(l->places);
    *out = l->config;
    return err;
}

void config_free(struct config **cp)
{
    if (*cp == NULL)
        return;
    for (size_t i = 0; i < config_option_count; i++)
        option_free(&config_options[i], *cp);
    free(*cp);
    *cp = NULL;
}

int config_parse(struct config **out, const char *name, const char *text, size_t len,
                 char error[CONFIG_ERROR_MAX])
{
    struct config_loader l;
    loader_init(&l, name, error);
    return loader_fini(&l, config_yaml_file(&l, text, len), out);
}

static int read_file(struct config_loader *l)
{
    FILE *f = fopen(l->file, "re");
    if (f == NULL) {
        snprintf(l->error, CONFIG_ERROR_MAX, "%s: %s", l->file, strerror(errno));
        return ERR_IO;
    }
    char *text = xmalloc(CONFIG_FILE_MAX + 1);
    size_t len = fread(text, 1, CONFIG_FILE_MAX + 1, f);
    int err = 0;
    if (ferror(f) != 0 || len > CONFIG_FILE_MAX) {
        snprintf(l->error, CONFIG_ERROR_MAX, "%s: %s", l->file,
                 len > CONFIG_FILE_MAX ? "larger than 1 MiB" : "cannot be read");
        err = ERR_IO;
    }
    fclose(f);
    if (err == 0)
        err = config_yaml_file(l, text, len);
    free(text);
    return err;
}

static const struct option *find_by_variable(struct slice name)
{
    char variable[OPTION_NAME_MAX + 8];
    for (size_t i = 0; i < config_option_count; i++) {
        option_environment_name(&config_options[i], variable);
        if (slice_is(name, variable))
            return &config_options[i];
    }
    return NULL;
}

static int apply_environment(struct config_loader *l, char *const *environment)
{
    int err = 0;
    for (size_t i = 0; environment != NULL && environment[i] != NULL && err == 0; i++) {
        struct slice value;
        bool has_value;
        struct slice name = slice_cut(slice_text(environment[i]), '=', &value, &has_value);
        if (!has_value || !slice_starts(name, "SLUICE_"))
            continue;
        const struct option *o = find_by_variable(name);
        if (o != NULL)
            err = config_yaml_value(l, o, (struct config_place){PLACE_ENVIRONMENT, 0, 0, o},
                                    environment[i] + name.len + 1);
    }
    return err;
}

static int apply_set(struct config_loader *l, const char *text)
{
    struct config_place place = {PLACE_SET, 0, 0, NULL};
    char name[OPTION_NAME_MAX + 1];
    struct slice value;
    bool has_value;
    struct slice key = slice_cut(slice_text(text), '=', &value, &has_value);
    if (!has_value)
        return config_fail(l, place, "KEY=VALUE", "is wanted");
    slice_copy(key, name, sizeof name);
    place.option = option_find(name);
    return place.option != NULL ? config_yaml_value(l, place.option, place, text + key.len + 1)
                                : config_fail_unknown(l, place, name);
}

int config_load(struct config **out, const char *path, char *const *environment, char *const *sets,
                size_t set_count, char error[CONFIG_ERROR_MAX])
{
    struct config_loader l;
    loader_init(&l, path, error);
    int err = path != NULL ? read_file(&l) : 0;
    if (err == 0)
        err = apply_environment(&l, environment);
    for (size_t i = 0; i < set_count && err == 0; i++)
        err = apply_set(&l, sets[i]);
    return loader_fini(&l, err, out);
}

void config_log_unknown(char *const *environment, const struct log_id *log)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        struct slice value;
        struct slice name = slice_cut(slice_text(environment[i]), '=', &value, NULL);
        if (slice_starts(name, "SLUICE_") && find_by_variable(name) == NULL)
            log_warn(log, "config.unknown_variable name=%.*s", SLICE_ARG(name));
    }
}

/* Peers are for the backend static, and for redis beside it. */
static bool peers_are_unused(const struct config *c)
{
    return c->cluster.static_peers.peers.count > 0 &&
           (c->cluster.backend == CLUSTER_NONE || c->cluster.backend == CLUSTER_MULTICAST);
}

static bool has_no_peers(const struct config *c)
{
    return c->cluster.backend == CLUSTER_STATIC && c->cluster.static_peers.peers.count == 0;
}

static bool has_no_zone(const struct config *c)
{
    return c->cluster.backend != CLUSTER_NONE && c->cluster.tiers && c->node.zone[0] == '\0';
}

static bool has_no_cluster(const struct config *c)
{
    return c->cluster.backend == CLUSTER_NONE && (c->cluster.tls || c->cluster.tiers);
}

static bool has_no_webrtc(const struct config *c)
{
    return c->webrtc.listen[0] == '\0' && c->webrtc.tcp_listen[0] != '\0';
}

/* What is accepted, since it may be meant, and leaves a part without effect. */
static const struct {
    bool (*holds)(const struct config *);
    enum log_level level;
    const char *setting, *help;
} doubts[] = {
    {has_no_peers, LOG_INFO, "cluster.static.peers",
     "without peers this node waits for others to name it"},
    {has_no_zone, LOG_WARN, "node.zone", "cluster.tiers needs the zone of each node"},
    {has_no_cluster, LOG_WARN, "cluster.backend", "cluster.tls and cluster.tiers need a cluster"},
    {has_no_webrtc, LOG_WARN, "webrtc.listen", "webrtc.tcp_listen needs it"},
};

void config_log_unused(const struct config *c, const struct log_id *log)
{
    if (peers_are_unused(c))
        log_warn(log, "config.unused setting=cluster.static.peers");
    for (size_t i = 0; i < sizeof doubts / sizeof doubts[0]; i++)
        if (doubts[i].holds(c))
            LOG_AT(doubts[i].level, log, "config.incomplete setting=%s help=\"%s\"",
                   doubts[i].setting, doubts[i].help);
}

void config_keep(struct config *next, const struct config *now, const struct log_id *log)
{
    for (size_t i = 0; i < config_option_count; i++) {
        const struct option *o = &config_options[i];
        if ((o->flags & OPTION_RELOAD) != 0 || option_equal(o, now, next))
            continue;
        log_warn(log, "config.kept setting=%s", o->name);
        option_copy(o, next, now);
    }
}
