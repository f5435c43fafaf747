/*
 * The command line: which configuration, and what to do with it.  A node itself is node.c.
 */
#include "admin/status.h"
#include "core/config.h"
#include "core/process.h"
#include "core/version.h"
#include "node.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETS_MAX 256 /* --set and --role on one command line */

static const char help[] =
    "usage: sluice [serve] [-c FILE] [--role node|origin|edge] [--set KEY=VALUE]...\n"
    "       sluice check [-c FILE] [--role ROLE] [--set KEY=VALUE]...\n"
    "       sluice status [--url URL] [--json]\n"
    "       sluice --version | --help\n"
    "\n"
    "  serve            run a node; without a file: one whole node with default settings\n"
    "  check            what serve would begin with: exit 0, or 78 with FILE:LINE:COLUMN and the "
    "reason\n"
    "  status           the cluster as a table: nodes, streams, owners, viewers\n"
    "\n"
    "  -c, --config FILE    settings in YAML\n"
    "      --role ROLE      the same as --set node.role=ROLE\n"
    "      --user USER      the same as --set process.user=USER\n"
    "      --set KEY=VALUE  one setting; before it count the file and then SLUICE_... variables\n"
    "      --sample         print every setting with its default (conf/sluice.yaml)\n"
    "      --url URL        the node that status asks (" STATUS_URL_HTTP ",\n"
    "                       then the admin port, " STATUS_URL_ADMIN ");\n"
    "                       SLUICE_ADMIN_TOKEN is the token of an admin port\n"
    "      --json           status prints JSON\n";

struct arguments {
    const char *config;
    char *sets[SETS_MAX];
    size_t set_count;
    const char *url;
    bool check, status, json;
};

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "sluice: %s%s\n%s", why, what, help);
    return EXIT_USAGE;
}

static bool add_set(struct arguments *a, const char *key, const char *value)
{
    if (a->set_count == SETS_MAX)
        return false;
    return asprintf(&a->sets[a->set_count++], "%s%s", key, value) >= 0;
}

/* 0: go on; otherwise 1 + the exit code. */
static int parse_options(struct arguments *a, int argc, char **argv)
{
    enum { OPT_ROLE = 256, OPT_USER, OPT_SET, OPT_SAMPLE, OPT_URL, OPT_JSON };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"role", required_argument, NULL, OPT_ROLE},
        {"user", required_argument, NULL, OPT_USER},
        {"set", required_argument, NULL, OPT_SET},
        {"sample", no_argument, NULL, OPT_SAMPLE},
        {"url", required_argument, NULL, OPT_URL},
        {"json", no_argument, NULL, OPT_JSON},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int o; (o = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            a->config = optarg;
            break;
        case OPT_ROLE:
            if (!add_set(a, "node.role=", optarg))
                return 1 + usage("too many settings", "");
            break;
        case OPT_USER:
            if (!add_set(a, "process.user=", optarg))
                return 1 + usage("too many settings", "");
            break;
        case OPT_SET:
            if (!add_set(a, "", optarg))
                return 1 + usage("too many settings", "");
            break;
        case OPT_URL:
            a->url = optarg;
            break;
        case OPT_JSON:
            a->json = true;
            break;
        case OPT_SAMPLE:
            return 1 + (config_print_sample(STDOUT_FILENO) == 0 ? EXIT_DRAINED : EXIT_FAILED);
        case 'V':
            printf("sluice %s\n", version_text());
            return 1 + EXIT_DRAINED;
        case 'h':
            fputs(help, stdout);
            return 1 + EXIT_DRAINED;
        default:
            return 1 + usage("see above", "");
        }
    }
    return 0;
}

static int parse_command(struct arguments *a, int count, char **words)
{
    if (count > 0 && strcmp(words[0], "check") == 0)
        a->check = true;
    else if (count > 0 && strcmp(words[0], "status") == 0)
        a->status = true;
    else if (count > 0 && strcmp(words[0], "serve") != 0)
        return 1 + usage("no such command: ", words[0]);
    if (count > 1)
        return 1 + usage("what is this: ", words[1]);
    if (a->status && (a->config != NULL || a->set_count > 0))
        return 1 + usage("status takes --url and --json only", "");
    if (!a->status && (a->url != NULL || a->json))
        return 1 + usage("--url and --json belong to status", "");
    return 0;
}

static int with_config(const struct arguments *a)
{
    struct config *config = NULL;
    char error[CONFIG_ERROR_MAX];
    if (config_load(&config, a->config, environ, a->sets, a->set_count, error) < 0) {
        fprintf(stderr, "sluice: %s\n", error);
        return EXIT_CONFIG;
    }
    int code = EXIT_DRAINED;
    log_setup(config->log.level, config->log.format == LOG_FORMAT_JSON);
    const struct log_id log = {"config", -1, 0};
    config_log_unknown(environ, &log);
    if (a->check)
        config_log_unused(config, &log);
    else
        code = node_run(config, a->config, a->sets, a->set_count);
    config_free(&config);
    return code;
}

static int with_status(const struct arguments *a)
{
    const struct status_options o = {
        .url = a->url, .token = getenv("SLUICE_ADMIN_TOKEN"), .json = a->json};
    return status_run(&o);
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    int done = parse_options(&a, argc, argv);
    if (done == 0)
        done = parse_command(&a, argc - optind, argv + optind);
    int code = done - 1;
    if (done == 0)
        code = a.status ? with_status(&a) : with_config(&a);
    for (size_t i = 0; i < a.set_count; i++)
        free(a.sets[i]);
    return code;
}
