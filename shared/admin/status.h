#ifndef SLUICE_ADMIN_STATUS_H
#define SLUICE_ADMIN_STATUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * `sluice status`: what the cluster looks like to a person.  A client of the API (any node's), with
 * blocking calls of its own; no part of a node.
 */
#define STATUS_URL_HTTP   "http://127.0.0.1:8080"
#define STATUS_URL_ADMIN  "http://127.0.0.1:8090"
#define STATUS_CONNECT_MS 2000       /* of each address of the host */
#define STATUS_ANSWER_MS  5000       /* a node waits 2 s for the others */
#define STATUS_ANSWER_MAX (64 << 20) /* bytes of an answer */

struct status_options {
    const char *url;   /* http://HOST[:PORT]; what follows is not used.  NULL: the first of
                        * STATUS_URL_HTTP and STATUS_URL_ADMIN that answers */
    const char *token; /* of the admin port; NULL: none */
    bool json;         /* print the answers, not the table */
};

/* Asks and prints to standard output: EXIT_DRAINED, EXIT_FAILED (told on standard error) or
 * EXIT_USAGE for a URL that is none. */
int status_run(const struct status_options *o);

#define STATUS_ERROR_MAX 400 /* bytes of a reason */

/* GET url + path: the JSON object, or NULL with the reason in `error`; *usage says that it is the
 * URL's fault.  A new reference. */
json_t *status_fetch(const struct status_options *o, const char *path, char error[STATUS_ERROR_MAX],
                     bool *usage);

/* The table out of what GET /api/v1/nodes and /api/v1/streams?scope=cluster said; nothing in it is
 * trusted.  `bold`: headings are for a terminal. */
void status_print(FILE *out, const json_t *nodes, const json_t *streams, bool bold);

#endif
