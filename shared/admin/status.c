/* `sluice status`: two questions to one node, one table. */
#include "admin/status.h"

#include "base/must.h"
#include "core/process.h"

#include <unistd.h>

static int failed(const char *error, bool usage)
{
    fprintf(stderr, "sluice: %s\n", error);
    return usage ? EXIT_USAGE : EXIT_FAILED;
}

static int print_json(const json_t *nodes, json_t *streams)
{
    json_t *all = json_object(), *list = json_object_get(nodes, "nodes");
    must(json_object_update(all, streams) == 0);
    if (list != NULL)
        must(json_object_set(all, "nodes", list) == 0);
    /* In ASCII, since a terminal obeys some of what is not. */
    const size_t form = JSON_INDENT(2) | JSON_ENSURE_ASCII;
    bool ok = json_dumpf(all, stdout, form) == 0 && fputc('\n', stdout) != EOF;
    json_decref(all);
    return ok ? EXIT_DRAINED : EXIT_FAILED;
}

/* Where the HTTP port expects PROXY headers, the admin port still answers. */
static json_t *find_node(struct status_options *o, char error[STATUS_ERROR_MAX])
{
    char ignored[STATUS_ERROR_MAX];
    bool usage = false;
    o->url = STATUS_URL_HTTP;
    json_t *nodes = status_fetch(o, "/api/v1/nodes", error, &usage);
    if (nodes != NULL)
        return nodes;
    o->url = STATUS_URL_ADMIN;
    return status_fetch(o, "/api/v1/nodes", ignored, &usage);
}

int status_run(const struct status_options *options)
{
    struct status_options asked = *options, *o = &asked;
    char error[STATUS_ERROR_MAX];
    bool usage = false;
    json_t *nodes =
        o->url != NULL ? status_fetch(o, "/api/v1/nodes", error, &usage) : find_node(o, error);
    if (nodes == NULL)
        return failed(error, usage);
    json_t *streams = status_fetch(o, "/api/v1/streams?scope=cluster", error, &usage);
    if (streams == NULL) {
        json_decref(nodes);
        return failed(error, usage);
    }
    int code = EXIT_DRAINED;
    if (o->json)
        code = print_json(nodes, streams);
    else
        status_print(stdout, nodes, streams, isatty(STDOUT_FILENO) == 1);
    json_decref(nodes);
    json_decref(streams);
    return fflush(stdout) == 0 ? code : EXIT_FAILED;
}
